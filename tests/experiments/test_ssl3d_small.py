"""The pose network of an SSL3D goes on alone; new paint changes paint and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.data.sample_items import both_looks, samples
from svr_nb.experiments.ssl3d_small import (
    PaintLesson,
    drawn_clouds,
    lesson_losses,
    lesson_stage,
    main,
    pose_stage,
    poses_go_on,
    recolored,
    repainted,
    shifted,
)
from svr_nb.ssl3d.config import SSL3DConfig
from svr_nb.ssl3d.system import SSL3D
from svr_nb.training.loop import fit

TINY = replace(SSL3DConfig.tiny(), image_size=16, points=32, widths=(8, 8), kernels=(3, 3))


def small_car() -> SSL3D:
    system = SSL3D(TINY, seed=1)
    system.category = "car"
    return system


@pytest.fixture(scope="module")
def cars():
    return both_looks("car", "train", 6, seed=3, size=16, points=0, progress=False)


def weights(module):
    return torch.cat([value.detach().flatten() for value in module.parameters()])


@pytest.mark.parametrize("repaint", [False, True])
def test_the_clouds_stay_and_the_poses_go_on(tmp_path, repaint):
    before, system = small_car(), small_car()
    poses_go_on(system, tmp_path, steps=2, count=8, repaint=repaint, progress=False)
    assert torch.equal(weights(before.recon), weights(system.recon))
    assert not torch.equal(weights(before.pose), weights(system.pose))
    assert system.config.hypotheses == (1 if repaint else 2)
    assert torch.equal(before.frame, system.frame)


def test_a_run_goes_on_where_it_was_stopped(tmp_path):
    stages, data = [lesson_stage(4)], both_looks("car", "train", 8, seed=1, size=16, progress=False)
    data.fields |= {"taught": torch.zeros(16, 2), "sure": (torch.arange(16) < 8).float()}
    pupils = [PaintLesson(TINY, seed=1) for _ in range(3)]
    how = {"seed": 2, "progress": False, "stages": stages}
    fit(pupils[0], data, **how)
    fit(pupils[1], data, tmp_path, on_step=lambda step, losses: step == 2, **how)
    fit(pupils[2], data, tmp_path, **how)
    assert torch.equal(weights(pupils[0].pose), weights(pupils[2].pose))
    assert not torch.equal(weights(pupils[1].pose), weights(pupils[2].pose))


def test_only_the_poses_learn_in_either_stage():
    plain = pose_stage(small_car(), 7)
    assert set(plain.weights) == {"pose"} == set(lesson_stage(3).weights) and plain.steps == 7
    assert plain.weights["pose"] == small_car().stages()[0].weights["pose"]


def test_new_paint_keeps_the_silhouette(cars):
    image, mask = cars["image"] * cars["mask"], cars["mask"]
    moved, inside = shifted(image, mask, seeded(1))
    new = repainted(moved, inside, seeded(2))
    assert new.shape == image.shape and float(new.min()) >= 0 and float(new.max()) <= 1
    assert bool((new * (1 - inside) == 0).all()) and set(inside.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(new, repainted(moved, inside, seeded(2)))
    assert float((new - moved).abs().mean()) > 0.01


def test_what_had_one_colour_has_one_again():
    image = torch.full((40, 3, 8, 8), 0.2)
    image[:, 0, :4] = 0.9
    new = recolored(image, seeded(3))
    assert torch.allclose(new[:, :, :4].amax((2, 3)), new[:, :, :4].amin((2, 3)))
    assert torch.allclose(new[:, :, 4:].amax((2, 3)), new[:, :, 4:].amin((2, 3)))
    changed = (new - image).abs().amax((1, 2, 3)) > 1e-6
    assert 20 <= int(changed.sum()) < 40  # three kinds of paint, and the old one


def test_a_picture_is_rolled_resized_and_shifted_only_a_little(cars):
    mask = cars["mask"]
    _, inside = shifted(mask.expand(-1, 3, -1, -1), mask, seeded(4))
    size = inside.mean((1, 2, 3)) / mask.mean((1, 2, 3))
    assert 0.5 < float(size.min()) and float(size.max()) < 1.35
    overlap = (inside * mask).sum((1, 2, 3)) / (inside + mask).clamp(max=1).sum((1, 2, 3))
    assert float(overlap.min()) > 0.45


def test_the_lesson_ignores_answers_that_it_is_not_sure_of(cars):
    system = PaintLesson(TINY, seed=1)
    batch = {"image": cars["image"], "mask": cars["mask"], "sure": torch.zeros(12)}
    batch["sure"][:6] = 1
    values = []
    for wrong in (0.0, 1.0):
        taught = torch.full((12, 2), wrong)
        taught[:6] = 0.3
        values.append(lesson_losses(system, batch | {"taught": taught, "generator": seeded(5)}))
    assert set(values[0]) == set(lesson_stage(1).weights["pose"])
    assert all(torch.equal(values[0][name], values[1][name]) for name in values[0])
    system.losses(batch | {"taught": taught, "generator": seeded(5)})["drawn"].backward()
    assert all(value.grad is None for value in system.recon.parameters())


def test_drawn_clouds_have_the_poses_that_they_say(cars):
    system = small_car()
    drawn, poses = drawn_clouds(system, cars["image"] * cars["mask"], seeded(6))
    assert drawn.shape == (12, 3, 16, 16) and poses.shape == (12, 2)
    low, high = (torch.tensor(e).deg2rad() for e in TINY.elevation)
    assert bool(((poses[:, 1] >= low) & (poses[:, 1] <= high)).all())


def test_both_looks_are_those_of_samples():
    usual = {"seed": 3, "size": 16, "progress": False}
    both = both_looks("car", "val", 2, points=0, **usual)
    clean = samples("car", "val", 2, points=8, **usual)
    natural = samples("car", "val", 2, domain="natural", roll=0.0, **usual)
    assert torch.equal(both["image"], torch.cat([clean["image"], natural["image"]]))
    assert "occluder" in natural and "occluder" not in both


def test_the_command(tmp_path, capsys):
    words = ["car", "--poses", "--repaint", "--steps", "1", "--count", "8", "--out", str(tmp_path)]
    assert main(words) == 0 and "model" in capsys.readouterr().out
    assert SSL3D.from_pretrained(tmp_path / "model").config.hypotheses == 1


def test_a_system_of_no_category_is_refused(tmp_path):
    with pytest.raises(InputError):
        poses_go_on(SSL3D(TINY), tmp_path, steps=1, progress=False)
