"""A pupil learns shapes from the poses that a teacher tells, and the teacher stays as it is."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.data.sample_items import both_looks
from svr_nb.experiments import ssl3d_pupils as pupils
from svr_nb.experiments.mirrored_readings import read_twice, reflected_poses
from svr_nb.experiments.ssl3d_pupils import (
    Lessons,
    ShapeLesson,
    main,
    pupil_of,
    shape_losses,
    shape_stage,
    smaller,
    told_by,
)
from svr_nb.ssl3d.config import SSL3DConfig
from svr_nb.ssl3d.system import SSL3D

TINY = replace(SSL3DConfig.tiny(), image_size=16, points=32, widths=(8, 8), kernels=(3, 3))
SHORT = Lessons(shapes=2, poses=2, count=8)


def network(size: int = 16) -> SSL3D:
    system = SSL3D(replace(TINY, image_size=size), seed=1)
    system.category = "car"
    return system


@pytest.fixture(scope="module")
def cars():
    return both_looks("car", "train", 4, seed=3, size=32, points=0, progress=False)


@pytest.fixture
def small_pupils(monkeypatch):
    """Pupils of 32 pixels, so that a run takes a second."""
    config = replace(TINY, image_size=32)
    monkeypatch.setattr(pupils, "small_config", lambda category: config)


def weights(module):
    return torch.cat([value.detach().flatten() for value in module.parameters()])


def test_smaller_pictures_are_means_and_the_same_size_is_the_same():
    picture = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert smaller(picture, 4) is picture
    assert smaller(picture, 2).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_a_teacher_of_fewer_pixels_tells_the_poses_of_small_pictures(cars):
    teacher = network()
    told = told_by(teacher, cars)
    image, mask = cars["image"] * cars["mask"], (smaller(cars["mask"], 16) > 0.5).float()
    said = read_twice(teacher, smaller(image, 16), mask)
    chosen = told["taught"]
    either = (chosen == said.own).all(1) | (chosen == said.twin).all(1)
    assert bool(either.all()) and torch.equal(told["image"], cars["image"])
    assert torch.allclose(told["twin"], reflected_poses(chosen, said.axis))
    assert set(told["sure"].tolist()) <= {0.0, 1.0}


def test_the_twin_of_a_flipped_picture_costs_what_the_picture_costs(cars):
    learner = ShapeLesson(replace(TINY, image_size=32, draws=0), seed=1)
    pose = torch.tensor([[0.0, 0.2]]).expand(8, -1)
    image = (cars["image"] + cars["image"].flip(-1)) / 2
    mask = torch.maximum(cars["mask"], cars["mask"].flip(-1))
    batch = {"image": image, "mask": mask, "taught": pose, "twin": pose, "generator": seeded(1)}
    found = shape_losses(learner, batch)
    assert found["image"].item() == pytest.approx(found["twin image"].item(), rel=1e-5)
    assert found["mask"].item() == pytest.approx(found["twin mask"].item(), rel=1e-5)
    assert set(found) == set(shape_stage(3).weights["recon"])


def test_shapes_and_poses_learn_and_the_teacher_stays(tmp_path, small_pupils):
    teacher = network()
    before = copy.deepcopy(teacher)
    pupil = pupil_of(teacher, tmp_path / "one", how=SHORT, progress=False)
    assert all(
        torch.equal(a, b)
        for a, b in zip(teacher.state_dict().values(), before.state_dict().values())
    )
    fresh = SSL3D(pupil.config, seed=19)
    assert not torch.equal(weights(fresh.recon), weights(pupil.recon))
    assert not torch.equal(weights(fresh.pose), weights(pupil.pose))
    assert pupil.category == "car" and pupil.config.hypotheses == 1


def test_a_teacher_of_the_same_size_hands_its_poses_on(tmp_path, small_pupils):
    teacher = network(32)
    pupil = pupil_of(teacher, tmp_path, how=SHORT, progress=False)
    assert torch.equal(weights(teacher.pose), weights(pupil.pose))
    assert not torch.equal(weights(teacher.recon), weights(pupil.recon))


def test_a_run_goes_on_where_it_was_stopped(tmp_path, small_pupils):
    whole = pupil_of(network(), tmp_path / "whole", how=SHORT, progress=False)
    pupil_of(network(), tmp_path / "run", how=SHORT, progress=False)
    again = pupil_of(network(), tmp_path / "run", how=SHORT, progress=False)
    assert torch.equal(weights(whole), weights(again))


@pytest.mark.parametrize("wrong", [{"shapes": 0}, {"poses": -1}, {"count": 0.5}, {"spread": -1}])
def test_lengths_that_are_none_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Lessons(**wrong)


def test_the_command(tmp_path, small_pupils, capsys):
    network().save_pretrained(tmp_path / "teacher")
    words = ["car", "--teacher", str(tmp_path / "teacher"), "--out", str(tmp_path / "out")]
    assert main([*words, "--shapes", "2", "--poses", "2", "--count", "8"]) == 0
    assert SSL3D.from_pretrained(tmp_path / "out" / "model").category == "car"
    assert "wrote" in capsys.readouterr().out
