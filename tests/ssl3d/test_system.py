"""SSL3D assembled: presets, curriculum, neighbours, alignment, and what leaves the system."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from svr_nb.conventions import CheckpointError, InputError, seeded
from svr_nb.data.sample_items import samples
from svr_nb.ssl3d.config import SSL3DConfig, curriculum, late
from svr_nb.ssl3d.system import SSL3D
from svr_nb.training.loop import fit

SMALL = replace(
    SSL3DConfig.tiny(),
    image_size=16,
    points=40,
    widths=(8, 8),
    kernels=(3, 3),
    color_widths=(8, 8),
    code=16,
    steps=6,
    batch=3,
    draws=20,
)


@pytest.fixture(scope="module")
def cars():
    return samples("car", count=6, size=16, seed=3, points=64, progress=False)


def batch(cars, step=0):
    return {**cars.batch(torch.arange(4)), "index": torch.arange(4), "generator": seeded(0, step)}


def test_paper_preset_has_the_papers_values():
    c = SSL3DConfig.paper()
    assert (
        c.image_size,
        c.points,
        c.views,
        c.lr,
        c.azimuth,
        c.cycle_color,
        c.hypotheses,
        c.fold,
    ) == (64, 1024, 4, 5e-5, "tanh", 0.0, 1, False)
    assert c.widths == (32, 64, 128, 256) and (c.alpha, c.beta, c.gamma, c.rho) == (100, 1e4, 1, 1)
    assert "pull" not in curriculum(c)[0].weights["pose"]
    assert c.every_neighbor and all(s.weights["recon"]["symmetry"] == 1e3 for s in curriculum(c))


def test_paper_network_runs():
    system = SSL3D(replace(SSL3DConfig.paper(), steps=1), seed=0)
    image = torch.rand(1, 3, 64, 64, generator=seeded(0))
    points, colors, code = system.recon(image)
    assert (
        points.shape == (1, 1024, 3)
        and code.shape == (1, 256)
        and system.pose(image)[0].shape == (1, 2)
    )


def test_curriculum():
    names = [s.name for s in curriculum(SMALL)]
    assert names == ["cycle", "neighbors"] and [
        s.name for s in curriculum(replace(SMALL, neighbor_share=0.0))
    ] == ["cycle"]
    assert (
        "neighbors" in curriculum(SMALL)[1].weights["recon"]
        and "neighbors" not in curriculum(SMALL)[1].weights["pose"]
    )
    assert late(5, 10) == 1 and late(10, 10) == pytest.approx(0.1)


def test_only_wanted_losses_are_computed(cars):
    system = SSL3D(SMALL)
    no_cycle = curriculum(replace(SMALL, beta=0.0, rho=0.0, hypotheses=1))[0]
    assert set(system.losses(batch(cars), no_cycle)) == {"image", "mask"}
    assert set(system.losses(batch(cars))) == {
        "image",
        "mask",
        "pull",
        "geometric",
        "pose",
        "symmetry",
    }


def test_neighbours_are_found_and_used(cars):
    system = SSL3D(SMALL)
    stage = system.stages()[1]
    assert system.losses(batch(cars), stage)["neighbors"] == 0
    system.before_epoch(cars, stage, 0, seeded(0))
    assert (
        system.memory["neighbors"].shape == (6, 3) and system.memory["masks"].dtype == torch.uint8
    )
    assert system.losses(batch(cars), stage)["neighbors"] > 0
    before = system.memory["neighbors"]
    system.before_epoch(cars, stage, 1, seeded(0))
    assert system.memory["neighbors"] is before


def test_all_neighbours_are_a_sum(cars):
    """Eq. 9: the sum over n is n times the mean of what each single neighbour costs."""
    system = SSL3D(replace(SMALL, every_neighbor=True, draws=0))
    stage = system.stages()[1]
    system.before_epoch(cars, stage, 0, seeded(0))
    whole, table = system.losses(batch(cars), stage)["neighbors"], system.memory["neighbors"]
    single = []
    for place in range(3):
        system.memory["neighbors"] = table[:, place : place + 1]
        single.append(system.losses(batch(cars), stage)["neighbors"])
    assert torch.allclose(whole, torch.stack(single).sum(), rtol=1e-5)


def test_the_extent_is_measured(cars):
    system = SSL3D(SMALL)
    fit(system, cars, progress=False)
    assert 0 < system.extent[0] <= system.extent[1] < 1


def test_both_judges(cars):
    own, mean = (
        SSL3D(replace(SMALL, judge=j, fold=True), seed=2).losses(batch(cars))
        for j in ("own", "mean")
    )
    assert set(own) == set(mean)
    with pytest.raises(InputError, match="judge"):
        SSL3D(replace(SMALL, judge="nobody"))


def test_align_makes_the_front_the_front(cars):
    system = SSL3D(SMALL)
    one = system.reconstruct(cars.fields["image"][0], cars.fields["mask"][0])
    frame = system.align(cars)
    assert torch.allclose(frame @ frame.T, torch.eye(3), atol=1e-4) and torch.linalg.det(frame) > 0
    two = system.reconstruct(cars.fields["image"][0], cars.fields["mask"][0])
    assert torch.allclose(two.points.points, one.points.points @ frame.T, atol=1e-4)
    assert torch.allclose(
        two.camera.project(two.points.points[None]),
        one.camera.project(one.points.points[None]),
        atol=1e-4,
    )


def test_align_needs_points(cars):
    from svr_nb.data.collection import Collection

    with pytest.raises(InputError, match="points"):
        SSL3D(SMALL).align(Collection({k: cars.fields[k] for k in ("image", "mask")}))


def test_reconstruction_is_seen_where_it_was_drawn(cars):
    r = SSL3D(SMALL).reconstruct(cars.fields["image"][0], cars.fields["mask"][0])
    assert (
        r.correspondence.shape == (16, 16)
        and r.correspondence.max() < 40
        and r.correspondence.min() == -1
    )
    inside = (r.camera.project(r.points.points[None])[0, :, :2].abs() < 1).all(-1)
    assert inside.float().mean() > 0.9


def test_steps_at_inference(cars):
    system = SSL3D(SMALL)
    plain, better = (
        system.reconstruct(cars.fields["image"][0], cars.fields["mask"][0], steps=n) for n in (0, 3)
    )
    assert not torch.equal(plain.points.points, better.points.points)
    with pytest.raises(InputError, match="steps"):
        system.reconstruct(cars.fields["image"][0], cars.fields["mask"][0], steps=-1)


def test_evaluate_names_and_levels(cars):
    system = SSL3D(SMALL)
    scores = system.evaluate(cars)
    assert {"chamfer x100", "emd x100", "pose within 30", "mask IoU", "colour error"} <= set(
        scores
    ) and all(len(v) == 6 for v in scores.values())
    assert "truth sampled again" in system.reference_levels(cars)


def test_frame_and_extent_travel_with_the_weights(cars, tmp_path):
    system = SSL3D(SMALL)
    system.align(cars)
    system.save_pretrained(tmp_path)
    assert torch.equal(SSL3D.from_pretrained(str(tmp_path)).frame, system.frame)
    with pytest.raises(CheckpointError):
        SSL3D.from_pretrained(str(tmp_path / "no"))


def test_a_mirrored_judge_cannot_tell_a_cloud_from_its_mirror_image(cars):
    from svr_nb.ssl3d.losses import choose

    model = SSL3D(replace(SSL3DConfig.tiny(), fold=True, hypotheses=1, margin=0.0), seed=0)
    points = torch.rand(3, 40, 3, generator=seeded(3)) - 0.5
    colors = torch.rand(3, 40, 3, generator=seeded(4))
    pose = torch.tensor([[0.3, 0.1], [1.0, 0.2], [-2.0, 0.0]])
    picture = (cars["image"][:3], cars["mask"][:3])
    flip = points * torch.tensor((1.0, -1.0, 1.0))
    one, other = (choose(model, (p, colors), pose, picture, "mirrored") for p in (points, flip))
    assert torch.equal(one.which, other.which) and torch.allclose(one.pose, other.pose)


def test_known_poses_are_drawn_from_and_asked_for():
    config = replace(SSL3DConfig.tiny(), known_poses=True, hypotheses=1, pull=0.0)
    data = samples("car", count=2, size=32, seed=3, progress=False)
    system = SSL3D(config, seed=0)
    batch = {name: data.fields[name] for name in ("image", "mask", "azimuth", "elevation")}
    known = system.losses(batch | {"generator": torch.Generator().manual_seed(0)})
    batch["azimuth"] = batch["azimuth"] + 90
    other = system.losses(batch | {"generator": torch.Generator().manual_seed(0)})
    assert known["mask"] != other["mask"] and known["pose"] == other["pose"]
    del batch["azimuth"]
    with pytest.raises(InputError, match="azimuth"):
        system.losses(batch | {"generator": torch.Generator().manual_seed(0)})


def test_room_has_a_weight_in_every_stage_and_none_in_the_paper():
    stages = curriculum(replace(SSL3DConfig.tiny(), spread=3.0))
    assert [stage.weights["recon"]["spread"] for stage in stages] == [3.0, 3.0]
    for preset in (SSL3DConfig.paper, SSL3DConfig.tiny, SSL3DConfig.small):
        assert "spread" not in curriculum(preset())[0].weights["recon"]


def test_room_is_among_the_losses_where_it_is_wanted():
    config = replace(SSL3DConfig.tiny(), spread=3.0, image_size=16, widths=(8, 8), kernels=(3, 3))
    system = SSL3D(config, seed=1)
    image, mask = torch.rand(2, 3, 16, 16), torch.ones(2, 1, 16, 16)
    batch = {"image": image, "mask": mask, "generator": torch.Generator().manual_seed(1)}
    found = system.losses(batch, system.stages()[0])
    assert 0 < float(found["spread"].detach()) <= 1
