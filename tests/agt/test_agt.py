"""Settings, the losses of the texture stage, and the system that starts from UMR."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import svr_nb as svr
from svr_nb.agt.adaptive_sampling import VarianceMap
from svr_nb.agt.config import AGTConfig, TextureWeights, agt_stages, texture_weights
from svr_nb.agt.scores import faces_at_home, standardised, texture_scores
from svr_nb.agt.system import AGT, continued
from svr_nb.agt.losses import (
    align_loss,
    joined_by_earlier,
    random_view,
    seen_losses,
    step_loss,
    unseen_losses,
)
from svr_nb.cameras.projections import WeakPerspective
from svr_nb.conventions import InputError, seeded
from svr_nb.render.soft_mesh import soft_rasterize
from svr_nb.scores.metrics import ssim
from svr_nb.shapes.uv import symmetric_sphere
from svr_nb.training.loop import fit
from svr_nb.umr.expectation import crop_view
from svr_nb.umr.networks import predict
from svr_nb.umr.semantic_uv import exact_flow
from svr_nb.umr.texture_cycle import cycle_gap, flow_on_faces

from ..suite.systems import few_birds, small_agt, small_umr

SPHERE = symmetric_sphere(1)
CAMERA = WeakPerspective(
    torch.tensor([0.7]), torch.tensor([[0.1, 0.0]]), torch.tensor([[1.0, 0, 0, 0]])
)


def gap(shift=0.0):
    render = soft_rasterize(CAMERA.project(SPHERE.mesh.verts[None]), SPHERE.mesh.faces, 32)
    return cycle_gap(
        flow_on_faces(exact_flow(SPHERE.mesh.verts, SPHERE.mesh, CAMERA, 16, 32), SPHERE.mesh)
        + shift,
        render,
    )


def batch(seed=0, count=3):
    return {**few_birds().batch(torch.arange(count)), "generator": seeded(seed)}


def texture_losses(system, seed=0):
    return system.losses(batch(seed), system.stages()[-1])


# the stage's pieces
# -------------------------------------------------------------------------------------------------
def test_alignment_is_the_cycle_without_its_square():
    found = gap(0.1)
    away = (found.looked - found.seen).norm(dim=-1)[found.visible]
    assert float(align_loss(found)) == pytest.approx(float(away.mean()), rel=1e-4)
    assert float(align_loss(found, 2)) == pytest.approx(float(away.square().mean()), rel=1e-4)


def test_random_views_keep_scale_place_and_elevation():
    many = WeakPerspective(
        *(
            x.expand(200, *x.shape[1:])
            for x in (CAMERA.scale, CAMERA.translation, CAMERA.quaternion)
        )
    )
    views = random_view(many, seeded(0))
    up = views.project(torch.tensor([0.0, 1.0, 0.0]).expand(200, 1, 3))[:, 0, :2]
    assert torch.allclose(up, up[:1].expand_as(up), atol=1e-5)
    front = views.project(torch.tensor([0.0, 0.0, 1.0]).expand(200, 1, 3))[:, 0, 0]
    assert float(front.min()) < float(up[0, 0]) - 0.5 and float(front.max()) > float(up[0, 0]) + 0.5


def test_step_loss_teaches_the_map_alone():
    image, raw = (
        torch.rand(1, 3, 32, 32, generator=seeded(1)),
        torch.zeros(1, 1, 32, 32, requires_grad=True),
    )
    found = gap(0.1)
    assert not step_loss(image, found, VarianceMap(1 + raw.detach()), 3.0).requires_grad
    step_loss(image, found, VarianceMap(1 + raw), 3.0).backward()
    assert raw.grad.abs().sum() > 0


# settings
# ------------------------------------------------------------------------------------------------------------
def test_presets_continue_umr():
    assert (
        AGTConfig.tiny().second == svr.UMR.Config.tiny().second
        and AGTConfig.paper().image_size == 256
    )
    names = [stage.name for stage in agt_stages(AGTConfig.tiny())]
    assert names == ["round 1", "round 2", "texture"]


def test_weights_follow_the_switches():
    tiny = AGTConfig.tiny()
    assert {"align", "rec", "perc", "var", "step", "fid", "adv", "mask"} <= set(
        texture_weights(tiny)
    )
    assert "step" not in texture_weights(
        replace(tiny, variance="joint")
    ) and "var" not in texture_weights(replace(tiny, variance="off"))
    silent = replace(tiny, texture=TextureWeights(fid=0.0, adv=0.0))
    assert "critic" not in agt_stages(silent)[-1].weights
    assert agt_stages(replace(tiny, critic_steps=5))[-1].active(3) == ("critic",)


@pytest.mark.parametrize(
    "change",
    [
        {"variance": "both"},
        {"judge": "tiny"},
        {"align_norm": 3},
        {"gan": "hinge"},
        {"var_mode": "add"},
        {"fid_form": "half"},
        {"var_sees": "labels"},
        {"flow_rate": -1.0},
        {"fakes": -1},
    ],
)
def test_choices_that_do_not_exist_are_refused(change):
    with pytest.raises(InputError, match=next(iter(change))):
        replace(AGTConfig.tiny(), **change)


# the system
# ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "change",
    [
        {"variance": "joint"},
        {"variance": "off"},
        {"var_mode": "affine", "var_channels": 3},
        {"variance": "joint", "var_forward": "straight_through"},
        {"gan": "wgan_gp"},
        {"saturating": True},
        {"fid_form": "mean_only"},
        {"fid_form": "diag"},
        {"align_norm": 2, "rec_norm": 2},
        {"texture": TextureWeights(adv=0.0)},
        {"texture": TextureWeights(fid=0.0)},
        {"var_sees": "flow"},
        {"var_sees": "flow", "variance": "joint"},
        {"flow_rate": 1e-3},
        {"fakes": 5},
        {"fakes": 5, "fid_texture": True, "fid_features": "paint"},
    ],
)
def test_every_reading_trains(change):
    system = AGT(replace(small_agt().config, **change), seed=0)
    history = fit(
        system, few_birds(), progress=False, stages=[replace(system.stages()[-1], steps=2)]
    )
    wanted = {name for group in system.stages()[-1].weights.values() for name in group}
    assert wanted <= set(history.columns)
    assert all(torch.isfinite(torch.tensor(v)).all() for v in history.columns.values())
    start = AGT(system.config, seed=0).state_dict()
    for name in ("flow.last.weight", "shape.mean.weight", "critic.last.weight"):
        if name in start:
            assert not torch.equal(system.state_dict()[name], start[name]), name
    assert all(torch.isfinite(p).all() for p in system.parameters())


def test_critic_and_networks_get_their_own_gradients():
    system = small_agt()
    losses = texture_losses(system)
    networks, critic = system.parameter_groups()["networks"], system.parameter_groups()["critic"]
    assert all(
        g is None
        for g in torch.autograd.grad(
            losses["critic"], networks, allow_unused=True, retain_graph=True
        )
    )
    assert any(
        g is not None and g.abs().sum() > 0
        for g in torch.autograd.grad(losses["adv"], networks, allow_unused=True, retain_graph=True)
    )
    assert any(
        g is not None and g.abs().sum() > 0
        for g in torch.autograd.grad(losses["critic"], critic, allow_unused=True)
    )


@pytest.mark.parametrize("shape_too", [False, True])
@pytest.mark.parametrize("name", ["align", "rec", "perc", "fid", "adv"])
def test_losses_of_drawings_reach_the_shape_if_wanted(name, shape_too):
    system = AGT(replace(small_agt().config, shape_too=shape_too), seed=0)
    for module in (system.shape, system.camera):
        found = torch.autograd.grad(
            texture_losses(system)[name], list(module.parameters()), allow_unused=True
        )
        assert any(g is not None and g.any() for g in found) == (shape_too and name != "align")


def test_unrolled_map_learns_from_its_step_and_not_from_colours():
    system = small_agt()
    losses, head = texture_losses(system), [system.var.last.weight]
    assert torch.autograd.grad(losses["step"], head, retain_graph=True)[0].abs().sum() > 0
    assert torch.autograd.grad(losses["rec"], head, allow_unused=True)[0] is None


def test_joint_map_learns_from_colours():
    system = AGT(replace(small_agt().config, variance="joint"), seed=0)
    losses = texture_losses(system)
    assert (
        "step" not in losses
        and torch.autograd.grad(losses["rec"], [system.var.last.weight])[0].abs().sum() > 0
    )


def test_from_umr_answers_as_the_umr_and_keeps_the_template():
    umr = small_umr()
    fit(umr, few_birds(), progress=False)
    system = AGT.from_umr(
        umr,
        continued(umr, texture_steps=2, var_widths=(8,), var_start=8, critic_widths=(4, 8), bank=6),
    )
    image, mask = few_birds()["image"][0], few_birds()["mask"][0]
    a, b = (s.reconstruct(image, mask) for s in (umr, system))
    assert torch.equal(a.mesh.verts, b.mesh.verts) and torch.allclose(
        a.render(size=32), b.render(size=32), atol=1e-3
    )
    fit(system, few_birds(), progress=False, stages=system.stages()[-1:])
    assert torch.equal(system.template, umr.template) and torch.equal(
        system.vert_labels, umr.vert_labels
    )
    assert system.memory["bank"].shape == (6, 64) and not torch.equal(
        system.flow.last.weight, umr.flow.last.weight
    )


def test_from_umr_refuses_what_does_not_fit():
    umr = small_umr()
    for call in (
        lambda: AGT.from_umr("umr"),
        lambda: AGT.from_umr(umr, replace(small_agt().config, code=8)),
    ):
        with pytest.raises(InputError, match="umr|config"):
            call()


def test_scores_name_what_the_paper_measures():
    system = small_agt()
    scores = system.evaluate(few_birds())
    assert {"mask IoU", "SSIM", "SSIM in the union", "unseen views, kernel distance"} <= set(scores)
    assert (
        torch.equal(texture_scores(system, few_birds())["SSIM"], scores["SSIM"])
        and float(scores["SSIM"].max()) <= 1
    )


def test_shipped_umr_can_be_continued():
    system = AGT.from_umr(svr.load("umr", "bird"))
    assert system.category == "bird" and system.config.image_size == 48 and system.var is not None


def test_modulated_texture_is_read_from_the_modulated_photograph():
    system = small_agt()
    torch.nn.init.constant_(system.var.last.bias, 5.0)
    image, mask = few_birds()["image"][0], few_birds()["mask"][0]
    bright = system.reconstruct(image, mask).render(size=32)
    system.config = replace(system.config, var_forward="straight_through")
    assert float((bright - system.reconstruct(image, mask).render(size=32)).max()) > 0.05


def test_an_agt_is_a_umr_with_more_in_it():
    system = small_agt()
    twin = svr.UMR(system.config, seed=0)
    added = {name.split(".")[0] for name in set(system.state_dict()) - set(twin.state_dict())}
    assert added == {"var", "critic"} and isinstance(system, svr.UMR)
    groups = system.parameter_groups()
    grouped = [id(p) for group in groups.values() for p in group]
    assert set(groups) == {"networks", "critic"}
    assert sorted(grouped) == sorted(id(p) for p in system.parameters())
    system.judge()
    system.frechet()
    assert {
        name.split(".")[0] for name in set(system.state_dict()) - set(twin.state_dict())
    } == added


def test_rounds_of_umr_are_those_of_umr():
    system, twin = small_agt(), svr.UMR(small_agt().config, seed=0)
    for stage in system.stages()[:2]:
        mine, theirs = system.losses(batch(), stage), twin.losses(batch(), stage)
        assert set(mine) == set(theirs)
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_bank_is_drawn_anew_in_each_epoch_and_only_in_the_texture_stage():
    system = AGT(replace(small_agt().config, bank=4), seed=0)
    first, _, texture = system.stages()
    system.before_epoch(few_birds(), first, 0, seeded(0))
    assert "bank" not in system.memory
    system.before_epoch(few_birds(), texture, 0, seeded(0))
    one = system.memory["bank"]
    system.before_epoch(few_birds(), texture, 1, seeded(1))
    assert one.shape == (4, 64) and not torch.equal(one, system.memory["bank"])
    system.before_epoch(few_birds(), texture, 1, seeded(0))
    assert torch.equal(one, system.memory["bank"])


def test_unseen_losses_need_a_bank_and_make_only_what_is_wanted():
    system = small_agt()
    view = crop_view(few_birds()["image"], few_birds()["mask"], None, system.config.image_size)
    said = predict(system, view, 4)
    texels = seen_losses(system, said, view, None)[1]
    ask = lambda wanted: set(
        unseen_losses(system, said, view, texels, wanted, bank=None, generator=seeded(0))
    )
    assert ask({}) == set() and ask({"adv": 1.0}) == {"adv", "critic"}
    with pytest.raises(InputError, match="bank"):
        ask({"fid": 1.0})


def test_black_agrees_with_black_and_the_union_does_not_mind():
    picture = torch.rand(2, 3, 24, 24, generator=seeded(0))
    other = torch.rand(2, 3, 24, 24, generator=seeded(1))
    pad = lambda x, side: torch.nn.functional.pad(x, [side] * 4)
    ones, values = torch.ones(2, 1, 24, 24), {}
    for side in (12, 48):
        pair = pad(picture, side), pad(other, side)
        values[side] = ssim(*pair), ssim(*pair, pad(ones, side))
    assert bool((values[48][0] > values[12][0] + 0.1).all())
    torch.testing.assert_close(values[48][1], values[12][1], atol=1e-4, rtol=0)


def test_features_are_standardised_by_the_photographs():
    real = 3 + 2 * torch.randn(50, 4, generator=seeded(0))
    one, other = standardised(real, real + 2 * real.std(0))
    torch.testing.assert_close(one.std(0), torch.ones(4))
    torch.testing.assert_close(other - one, torch.full((50, 4), 2.0))


# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("var_trunk", [True, False])
def test_whether_the_map_teaches_the_trunk(var_trunk):
    change = {"variance": "unrolled", "var_trunk": var_trunk}
    system = AGT(replace(small_agt().config, **change), seed=0)
    with torch.no_grad():  # a fresh head ends in zeros, which would let nothing through
        for parameter in system.var.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=seeded(7)))
    found = texture_losses(system)["step"]
    pulls = torch.autograd.grad(found, list(system.trunk.parameters()), allow_unused=True)
    moved = any(g is not None and bool(g.abs().sum() > 0) for g in pulls)
    assert moved == var_trunk
    own = torch.autograd.grad(texture_losses(system)["step"], list(system.var.parameters()))
    assert any(bool(g.abs().sum() > 0) for g in own)


# a map that sees the flow, plain descent, and a queue of drawings
# ------------------------------------------------------------------------------------------------
def seeing_agt(**change):
    """An AGT whose map sees the flow and says something already."""
    system = AGT(replace(small_agt().config, var_sees="flow", **change), seed=0)
    torch.nn.init.normal_(system.var.last.weight, 0, 0.3, generator=seeded(0))
    return system


def test_a_map_that_sees_the_flow_changes_with_the_flow_and_leaves_the_trunk_alone():
    system = seeing_agt()
    view = crop_view(few_birds()["image"], few_birds()["mask"], None, system.config.image_size)
    before = system.variance_maps(view).multiply
    assert before.shape == (len(few_birds()), 1, 32, 32)
    assert torch.equal(before, system.variance_maps(view, predict(system, view, 4)).multiply)
    losses = texture_losses(system)
    assert torch.autograd.grad(losses["step"], [system.var.last.weight])[0].abs().sum() > 0
    found = torch.autograd.grad(
        texture_losses(system)["step"], list(system.trunk.parameters()), allow_unused=True
    )
    assert all(g is None for g in found)
    torch.nn.init.normal_(system.flow.last.bias, 0, 0.5, generator=seeded(1))
    assert not torch.allclose(system.variance_maps(view).multiply, before)
    with pytest.raises(InputError, match="image_size"):
        replace(system.config, image_size=36)


def test_a_system_that_sees_the_flow_comes_back_from_its_folder(tmp_path):
    system = seeing_agt()
    system.save_pretrained(tmp_path)
    image, mask = few_birds()["image"][0], few_birds()["mask"][0]
    again = AGT.from_pretrained(str(tmp_path))
    mine, theirs = (s.reconstruct(image, mask).render(size=32) for s in (system, again))
    assert torch.equal(mine, theirs)


def test_the_flow_learns_by_plain_descent_in_the_texture_stage_alone():
    system = AGT(replace(small_agt().config, flow_rate=1e-3), seed=0)
    groups, stages = system.parameter_groups(), system.stages()
    grouped = [id(p) for group in groups.values() for p in group]
    assert sorted(grouped) == sorted(id(p) for p in system.parameters())
    assert {id(p) for p in groups["flow"]} == {id(p) for p in system.flow.parameters()}
    assert [stage.plain for stage in stages] == [(), (), ("flow",)]
    assert all(stage.weights["flow"] == stage.weights["networks"] for stage in stages)
    assert stages[-1].rate("flow", 0) == 1e-3
    start = system.flow.last.weight.detach().clone()
    stage = replace(stages[-1], steps=1, clip=None)
    fit(system, few_birds(), progress=False, stages=[replace(stage, lr=stage.lr | {"flow": 0.0})])
    assert torch.equal(system.flow.last.weight, start)


def test_earlier_drawings_join_the_crowd_and_each_new_one_pulls_as_before():
    live = torch.randn(4, 3, generator=seeded(0)).requires_grad_()
    joined = joined_by_earlier(live, torch.randn(12, 3, generator=seeded(1)))
    assert joined.shape == (16, 3)
    torch.testing.assert_close(joined[:4], live)
    (pull,) = torch.autograd.grad(joined.mean(0).sum(), live)
    torch.testing.assert_close(pull, torch.full((4, 3), 1 / 4))
    assert joined_by_earlier(live, live[:0]) is live


def test_a_queue_keeps_the_newest_and_only_while_training():
    system = AGT(replace(small_agt().config, fakes=5), seed=0)
    system.train()
    texture_losses(system)
    first = system.memory["fakes"]
    assert first.shape == (3, 64) and not first.requires_grad
    texture_losses(system, seed=1)
    second = system.memory["fakes"]
    assert second.shape == (5, 64) and torch.equal(second[:2], first[1:])
    system.eval()
    texture_losses(system, seed=2)
    assert torch.equal(system.memory["fakes"], second)


def test_the_crowd_may_move_the_texture_alone():
    system = AGT(replace(small_agt().config, fid_texture=True), seed=0)
    for module, moves in ((system.shape, False), (system.camera, False), (system.flow, True)):
        pulls = torch.autograd.grad(
            texture_losses(system)["fid"], list(module.parameters()), allow_unused=True
        )
        assert any(g is not None and bool(g.any()) for g in pulls) == moves
    pulls = torch.autograd.grad(
        texture_losses(system)["adv"], list(system.shape.parameters()), allow_unused=True
    )
    assert any(g is not None and bool(g.any()) for g in pulls)


def test_faces_at_home_are_all_when_the_circle_is_large():
    system = small_agt()
    shares = [faces_at_home(system, few_birds(), within) for within in (0.5, 3.0, 100.0)]
    assert bool((shares[0] <= shares[1]).all()) and bool((shares[2] == 1).all())
    assert float(shares[0].mean()) < 0.5
