"""The pieces that UMR is put together from: networks, rounds, the two halves of a round, scores,
starts.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import pytest
import torch

import svr_nb as svr
from svr_nb.cameras.projections import WeakPerspective, orbit
from svr_nb.conventions import InputError, seeded
from svr_nb.networks.encoders import fresh_weights
from svr_nb.cameras.rotations import geodesic_angle, random_rotation, rotation_x_rad
from svr_nb.umr.camera_hypotheses import Hypotheses
from svr_nb.umr.expectation import (
    batch_losses,
    crop_view,
    hypothesis_costs,
    quick_costs,
    shape_losses,
    texture_losses,
    turned_camera,
)
from svr_nb.umr.maximisation import (
    ChartWeights,
    agreeing_pictures,
    average_labels,
    canonical_chart,
    label_confidence,
    label_surface,
    labels_seen,
    maximise,
    mirror_index,
    survey,
)
from svr_nb.umr.keypoint_transfer import visible_verts
from svr_nb.umr.networks import CameraHeads, FlowHead, ResidualTrunk, ShapeHead, SmallTrunk
from svr_nb.umr.scores import fit_camera_frame, survey_scores
from svr_nb.umr.config import UMRConfig, current_weights, loss_weights, rounds
from svr_nb.umr import starts
from svr_nb.umr.starts import first_round, start_confidence, start_noise, train_umr, two_agree


@lru_cache
def birds():
    return svr.data.samples(
        "bird", count=12, size=48, seed=3, part_map=True, projection="orthographic", points=0
    )


def small(**changes) -> UMRConfig:
    base = replace(
        UMRConfig.tiny(),
        image_size=32,
        level=1,
        chart=16,
        flow_widths=(16, 8),
        flow_start=16,
        feature=32,
        code=16,
        widths=(8, 16, 32, 32),
        first_steps=3,
        second_steps=3,
        batch=4,
    )
    return replace(base, **changes)


def labelled(**changes):
    """A system whose faces have parts by their place."""
    system = svr.UMR(small(**changes), seed=0).eval()
    z = system.template[:, 2]
    system.vert_labels.copy_((z * 8 + 2).round().clamp(0, 3).long() + 1)
    system.face_labels.copy_(system.vert_labels[system.faces].amax(1))
    return system


def view_of(system, generator=None):
    c = system.config
    return crop_view(
        birds()["image"],
        birds()["mask"],
        birds()["part_map"],
        c.image_size,
        c.fill,
        jitter=0.05,
        flips=True,
        generator=generator,
    )


# --- networks
# ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trunk, size, length",
    [(lambda: SmallTrunk(32, (8, 16, 32, 32), 20), 32, 20), (lambda: ResidualTrunk(64), 64, 200)],
)
def test_trunks_give_one_vector_per_picture(trunk, size, length):
    with fresh_weights(0):
        net = trunk().eval()
    images = torch.rand(3, 3, size, size, generator=seeded(0))
    torch.testing.assert_close(net(images)[1:2], net(images[1:2]), atol=1e-4, rtol=1e-4)
    assert net(images).shape == (3, length) and not torch.equal(net(images)[0], net(images)[1])


def test_fresh_heads_start_where_they_should():
    with fresh_weights(0):
        shape, camera, flow = (
            ShapeHead(16, 8, 20),
            CameraHeads(16, 16, 3),
            FlowHead(16, 16, (8, 8), 8, deep=False),
        )
    feature = torch.randn(4, 16, generator=seeded(1))
    assert shape.decode(shape.encode(feature)).norm(dim=-1).max() < 0.01
    assert camera(feature).abs().max() < 0.5 and camera(feature).shape == (4, 3, 9)
    assert flow(feature).shape == (4, 2, 16, 32) and flow(feature).abs().max() < 0.5


def test_variational_codes_vary_in_training_only():
    with fresh_weights(0):
        head = ShapeHead(6, 4, 5, variational=True)
    feature = torch.randn(2, 6, generator=seeded(0))
    assert not torch.equal(head.train().encode(feature), head.encode(feature))
    assert torch.equal(head.eval().encode(feature), head.encode(feature))


# --- rounds
# -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["paper", "release", "tiny"])
def test_presets_make_two_rounds(preset):
    config = getattr(UMRConfig, preset)()
    first, second = rounds(config)
    assert "sp" not in first.weights["networks"] and {"sp", "sv", "cyc", "tex", "dt"} <= set(
        second.weights["networks"]
    )
    assert UMRConfig.from_dict(config.to_dict()) == config and first.steps == config.first_steps


def test_the_papers_numbers():
    c = UMRConfig.paper()
    assert (c.pretrained, c.perceptual, c.flow_norm, c.form) == (True, "vgg", "batch", "printed")
    assert c.first.edge == c.second.edge == 0.1
    assert (c.image_size, c.level, c.side, c.chart, c.first_cameras, c.cameras, c.batch, c.lr) == (
        256,
        3,
        6,
        128,
        1,
        8,
        16,
        1e-4,
    )
    assert (c.second.mask, c.second.sp, c.second.sv, c.second.cyc, c.first.deform, c.first.cyc) == (
        2.5,
        5.0,
        10.0,
        1.0,
        5.0,
        0.5,
    )
    assert (c.choice, c.head, c.labels, c.form, c.decay) == (
        "expected",
        "quaternion",
        "flow",
        "printed",
        "hyperbolic",
    )


def test_weights_that_move():
    first, second = rounds(UMRConfig.paper())
    at = lambda stage, t: current_weights(stage, "networks", t)
    assert at(first, 0.0)["ori"] == 0.4 and at(first, 0.5)["ori"] == 0
    assert (
        at(second, 0.0)["ent"] == -0.05
        and at(second, 1 / 3)["ent"] == pytest.approx(0.05)
        and at(second, 1.0)["ent"] == pytest.approx(0.05)
    )


@pytest.mark.parametrize(
    "field",
    [
        "head",
        "choice",
        "labels",
        "subset",
        "template_from",
        "form",
        "trunk",
        "texture_views",
        "decay",
    ],
)
def test_unknown_choices_are_refused(field):
    with pytest.raises(InputError, match=field):
        replace(UMRConfig.tiny(), **{field: "something"})


# --- E-step
# -----------------------------------------------------------------------------------------------------------


def test_crops_repeat_and_follow_the_generator():
    system = labelled()
    a, b, c = (view_of(system, seeded(s)) for s in (1, 1, 2))
    assert torch.equal(a.image, b.image) and not torch.equal(a.image, c.image)
    assert set(a.mask.unique().tolist()) <= {0.0, 1.0} and float((a.maps * (1 - a.mask)).max()) < 1


def test_costs_one_per_hypothesis_and_quick_ones_agree():
    system = labelled()
    view = view_of(system)
    p, wanted = system.predict_view(view, 4), {"mask": 3.0, "sp": 5.0, "sv": 2.0}
    costs = hypothesis_costs(system, p, view, wanted, seeded(0))
    assert {k: tuple(v.shape) for k, v in costs.items()} == dict.fromkeys(
        ("mask", "sp", "sv"), (12, 4)
    )
    soft, quick = (
        sum(w * costs[n] for n, w in wanted.items()).detach(),
        quick_costs(system, p, view, wanted, seeded(0)),
    )
    assert (
        torch.corrcoef(torch.stack([soft.flatten(), quick.flatten()]))[0, 1] > 0.8
        and not quick.requires_grad
    )


def test_costs_of_one_equal_a_slice_of_many():
    system = labelled()
    view = view_of(system)
    p = system.predict_view(view, 3)
    one = replace(p, hypotheses=p.hypotheses.only(torch.full((12,), 2)))
    many = hypothesis_costs(system, p, view, {"mask": 1.0, "sp": 1.0}, seeded(0))
    single = hypothesis_costs(system, one, view, {"mask": 1.0, "sp": 1.0}, seeded(0))
    for name in single:
        torch.testing.assert_close(many[name][:, 2:], single[name], atol=1e-5, rtol=1e-4)


def test_without_parts_only_the_silhouette_judges():
    system = svr.UMR(small(), seed=0).eval()
    view = view_of(system)
    assert list(
        hypothesis_costs(
            system,
            system.predict_view(view, 2),
            view,
            {"mask": 1.0, "sp": 1.0, "sv": 1.0},
            seeded(0),
        )
    ) == ["mask"]


def test_texture_gradients_reach_the_flow_alone():
    system = labelled()
    view = view_of(system)
    p = system.predict_view(view, 2)
    total = sum(texture_losses(system, p, view, torch.full((12, 2), 0.5)).values())
    flow, verts, scale = torch.autograd.grad(
        total, [p.flow, p.verts, p.hypotheses.scale], allow_unused=True
    )
    assert flow is not None and float(flow.abs().sum()) > 0 and verts is None and scale is None


def test_template_itself_is_smooth_and_free():
    system = labelled()
    p = system.predict_view(view_of(system), 1)
    calm = replace(p, verts=system.template.expand(12, -1, -1))
    values = shape_losses(system, calm)
    assert float(values["deform"]) == 0 and float(values["lap"]) == 0 and float(values["flat"]) > 0


@pytest.mark.parametrize("views", ["all", "best"])
@pytest.mark.parametrize("choice, draw", [("expected", False), ("winner", False), ("winner", True)])
def test_every_way_to_choose_gives_gradients(choice, draw, views):
    system = labelled(choice=choice, draw=draw, texture_views=views)
    losses = batch_losses(
        system,
        birds().batch(range(4)) | {"generator": seeded(0)},
        loss_weights(UMRConfig.tiny().second),
        4,
    )
    total = sum(losses.values())
    assert torch.isfinite(total)
    for part in (system.trunk, system.shape, system.camera, system.flow):
        grads = torch.autograd.grad(
            total, list(part.parameters()), retain_graph=True, allow_unused=True
        )
        assert any(g is not None and float(g.abs().sum()) > 0 for g in grads)


def test_adversary_pulls_both_ways():
    system = svr.UMR(small(adversary=True), seed=0)
    batch = birds().batch(range(4)) | {"generator": seeded(0)}
    for textured in (False, True):
        loss = batch_losses(system, batch, {"mask": 1.0, "adv": 1.0}, 2, textured)["adv"]
        critics = torch.autograd.grad(
            loss, list(system.critics.parameters()), retain_graph=True, allow_unused=True
        )
        assert any(g is not None and float(g.abs().sum()) > 0 for g in critics) and torch.isfinite(
            loss
        )
        assert any(
            g is not None and float(g.abs().sum()) > 0
            for g in torch.autograd.grad(loss, list(system.camera.parameters()), allow_unused=True)
        )


def test_turned_cameras_keep_elevation_and_size():
    camera = WeakPerspective(
        torch.ones(5),
        torch.zeros(5, 2),
        svr.cameras.matrix_to_quaternion(orbit(torch.arange(5) * 60.0, 20.0).rotation),
    )
    turned = turned_camera(camera, seeded(0))
    torch.testing.assert_close(
        svr.cameras.view_angles(turned)[1], torch.full((5,), 20.0), atol=0.05, rtol=0
    )
    assert not torch.allclose(turned.quaternion, camera.quaternion)


def test_a_wrong_number_of_parts_is_named():
    system = labelled()
    bad = birds().batch(range(4)) | {"generator": seeded(0), "part_map": torch.zeros(4, 2, 48, 48)}
    with pytest.raises(InputError, match="part_map"):
        batch_losses(system, bad, {"sp": 1.0}, 2)


# --- M-step
# -----------------------------------------------------------------------------------------------------------


def test_mirror_index_is_the_mirror():
    system = labelled()
    verts = system.sphere.mesh.verts
    torch.testing.assert_close(
        verts[mirror_index(system.sphere)], verts * torch.tensor([-1.0, 1, 1])
    )


def test_visible_vertices_belong_to_visible_faces():
    faces = torch.tensor([[0, 1, 2], [2, 3, 4]])
    assert visible_verts(torch.tensor([[True, False]]), faces, 6).tolist() == [
        [True, True, True, False, False, False]
    ]


def test_labels_are_read_where_vertices_are_seen():
    system = labelled()
    found = survey(system, birds(), 4)
    maps = torch.zeros(12, 4, 32, 32)
    maps[:, 1] = 1.0
    labels, known = labels_seen(found.verts, found.camera, maps, found.seen, system.sphere)
    assert torch.equal(known, known[:, mirror_index(system.sphere)])
    torch.testing.assert_close(labels[:, 2][known], torch.ones(int(known.sum())), atol=1e-4, rtol=0)


def test_the_agreeing_ones_are_found():
    n, v = 40, 30
    truth = torch.nn.functional.one_hot(torch.arange(v) % 3, 4).float().T
    other = truth.flip(1)
    odd = torch.arange(n) % 3 == 0
    found = torch.where(odd[:, None, None], other, truth) + 0.05 * torch.randn(
        n, 4, v, generator=seeded(0)
    )
    known = torch.rand(n, v, generator=seeded(1)) < 0.7
    error = torch.ones(n)
    error[1] = 0
    chosen = agreeing_pictures(found, known, error, share=0.5)
    assert not bool(odd[chosen].any())
    mean, some = average_labels(found, known, chosen)
    assert bool(some.all()) and torch.equal(mean.argmax(1), truth.argmax(0))


def test_chart_weights_and_labels_go_round():
    sphere = svr.shapes.symmetric_sphere(2).mesh
    labels = (sphere.verts[:, 2] > 0).long()
    chart = ChartWeights(sphere, 32).chart(torch.nn.functional.one_hot(labels + 1, 3).float())
    torch.testing.assert_close(chart.sum(0), torch.ones(32, 64), atol=1e-4, rtol=0)
    verts = label_surface(chart, sphere, balance=False)[1]
    clear = sphere.verts[:, 2].abs() > 0.3
    assert torch.equal(verts[clear], labels[clear] + 1) and label_confidence(chart) > 0.9


@pytest.mark.parametrize("labels", ["projection", "flow"])
@pytest.mark.parametrize("subset", ["chosen", "all"])
def test_canonical_charts_are_probabilities(labels, subset):
    system = labelled(labels=labels, subset=subset)
    chart, chosen = canonical_chart(system, survey(system, birds(), 4))
    assert chart.shape == (5, 16, 32) and 0 <= float(chart.min()) and float(chart.max()) <= 1.001
    assert len(chosen) == 12 if subset == "all" else len(chosen) <= 12


def test_the_m_step_moves_the_template_and_not_the_meshes():
    system = svr.UMR(small(), seed=0).eval()
    with torch.no_grad():
        system.shape.decoder.bias.add_(
            0.02 * torch.randn(system.shape.decoder.bias.shape, generator=seeded(1))
        )
    view = view_of(system)
    before, template = system.predict_view(view, 4).verts, system.template.clone()
    report = maximise(system, birds(), 4)
    torch.testing.assert_close(system.predict_view(view, 4).verts, before, atol=1e-5, rtol=0)
    assert (
        not torch.equal(system.template, template)
        and report["moved"] > 0
        and system.face_labels.any()
    )


def test_a_long_update_is_capped():
    system = svr.UMR(small(cap=0.01), seed=0)
    with torch.no_grad():
        system.shape.decoder.bias.add_(0.05)
    before = system.template.clone()
    system.move_template(torch.zeros(1, 16))
    assert float((system.template - before).norm(dim=-1).mean()) <= 0.0101


def test_no_part_maps_are_named():
    system = labelled()
    found = survey(system, svr.data.samples("bird", count=2, size=48, points=0), 4)
    with pytest.raises(InputError, match="part_map"):
        canonical_chart(system, found)


# --- scores, starts, evidence
# -----------------------------------------------------------------------------------------


def test_the_frame_is_found_among_nonsense():
    true = random_rotation(seeded(0), 50)
    frame = rotation_x_rad(torch.tensor(0.7)) @ torch.diag(torch.tensor([-1.0, 1, -1]))
    found = true @ frame.T
    found[::3] = random_rotation(seeded(1), 17)
    assert float(geodesic_angle(fit_camera_frame(found, true), frame)) < 0.1
    with pytest.raises(InputError):
        fit_camera_frame(found, true[:3])


def test_all_scores_of_a_collection():
    system = labelled()
    scores = survey_scores(system, survey(system, birds(), 4), birds())
    assert {
        "mask IoU",
        "mask IoU, hard",
        "PCK by camera",
        "PCK by camera vis",
        "PCK by flow",
        "APK by camera",
        "camera error (degrees)",
    } <= set(scores)
    assert all(bool(torch.isfinite(v.float()).all()) for v in scores.values())
    shares = [n for n in scores if "IoU" in n or "PCK" in n or "APK" in n or "within" in n]
    assert all(0 <= float(scores[n].min()) and float(scores[n].max()) <= 1 for n in shares)
    error = scores["camera error (degrees)"]
    assert torch.equal(scores["camera within 30"], (error < 30).float())
    assert scores["mask IoU"].shape == error.shape == (len(birds()),)


def test_restarts_are_counted_and_repeat():
    kept, report = first_round(small(), birds(), 0, starts=2, enough=1.0, progress=False)
    again, same = first_round(small(), birds(), 0, starts=2, enough=1.0, progress=False)
    assert report == same and report["restarts"] == 1
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in kept.state_dict().items())


def test_two_starts_agree_within_what_their_pictures_explain():
    assert two_agree([(0.50, 0.02), (0.40, 0.0), (0.485, 0.0)])
    assert not two_agree([(0.50, 0.01), (0.40, 0.01), (0.485, 0.01)])
    assert not two_agree([(0.5, 1.0)]) and not two_agree([])


def test_the_search_ends_when_two_starts_agree(monkeypatch):
    told = iter([0.40, 0.49, 0.485, 0.60])
    monkeypatch.setattr(starts, "one_start", lambda *options: object())
    monkeypatch.setattr(starts, "start_confidence", lambda system, data: next(told))
    monkeypatch.setattr(starts, "start_noise", lambda system, data: 0.01)
    system, report = first_round(small(), birds(), 0, starts=9, progress=False)
    assert report == {"confidence": 0.49, "restarts": 2.0}


def test_noise_of_a_start_is_the_difference_of_two_halves():
    system, data = svr.UMR(small(), seed=0), birds()
    halves = [start_confidence(system, data.subset(range(k, len(data), 2))) for k in (0, 1)]
    assert start_noise(system, data) == abs(halves[0] - halves[1]) > 0


def test_second_rounds_share_a_start():
    system, start, _ = train_umr(small(), birds(), 0, starts=1, progress=False)
    other, _, report = train_umr(small(), birds(), 0, start=start, progress=False)
    assert (
        all(torch.equal(v, other.state_dict()[k]) for k, v in system.state_dict().items())
        and report["restarts"] == 0
    )


# --- the result
# -------------------------------------------------------------------------------------------------------


def test_hypotheses_of_a_subset():
    h = Hypotheses(
        torch.ones(2, 3),
        torch.zeros(2, 3, 2),
        torch.randn(2, 3, 4, generator=seeded(0)),
        torch.tensor([[0.0, 1, 0], [2.0, 0, 0]]),
    )
    assert (
        h.best.tolist() == [1, 0]
        and len(h.pick()) == 2
        and torch.equal(h.pick().quaternion[0], h.quaternion[0, 1])
    )


def test_a_reconstruction_projects_into_its_photograph():
    system = labelled()
    item = birds()[0]
    result = system.reconstruct(item["image"], item["mask"])
    corner = result.mesh.verts.amax(0) - result.mesh.verts.amin(0)
    uv = result.camera.project(result.mesh.verts[None])[0, :, :2]
    inside = svr.data.framing.object_windows(item["mask"][None])
    assert 0.8 < float(corner.norm()) < 1.2
    torch.testing.assert_close(uv.mean(0), inside.center[0], atol=0.3, rtol=0)
    assert result.mesh.texture is not None and result.mesh.face_labels is not None
