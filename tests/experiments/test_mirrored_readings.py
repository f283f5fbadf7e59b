"""Two readings of a picture: the geometry of the mirror, the judge, and the lesson."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from svr_nb.conventions import InputError, rand, seeded
from svr_nb.data.sample_items import both_looks
from svr_nb.experiments import mirrored_readings as mirrored
from svr_nb.experiments.mirrored_readings import (
    Readings,
    Rounds,
    judge_cloud,
    judged,
    mirror_axis,
    mirror_rounds,
    mirrored_lesson,
    read_twice,
    reflected_points,
    reflected_poses,
    turn_between,
)
from svr_nb.experiments.runner import main, read_rows
from svr_nb.render.soft_points import splat_mask
from svr_nb.ssl3d.config import SSL3DConfig
from svr_nb.ssl3d.frame import project
from svr_nb.ssl3d.system import SSL3D

TINY = replace(SSL3DConfig.tiny(), image_size=16, points=32, widths=(8, 8), kernels=(3, 3))
ANGLES = st.floats(-3.1, 3.1)


def small_car() -> SSL3D:
    system = SSL3D(TINY, seed=1)
    system.category = "car"
    return system


def poses(count: int, seed: int) -> torch.Tensor:
    azimuth = rand(count, 1, generator=seeded(seed), low=-math.pi, high=math.pi)
    return torch.cat([azimuth, rand(count, 1, generator=seeded(seed + 1), low=-0.3, high=0.6)], 1)


@settings(max_examples=30, deadline=None)
@given(ANGLES, ANGLES, st.floats(-0.5, 1.0))
def test_the_mirrored_cloud_from_the_mirrored_pose_is_the_flipped_picture(axis, azimuth, elevation):
    cloud = rand(50, 3, generator=seeded(3), low=-0.4, high=0.4)
    pose = torch.tensor([[azimuth, elevation]])
    plain = project(cloud[None], pose)
    other = project(reflected_points(cloud, axis)[None], reflected_poses(pose, axis))
    assert torch.allclose(plain * torch.tensor([-1.0, 1.0, 1.0]), other, atol=1e-4)


@given(ANGLES)
def test_mirrored_twice_is_as_before(axis):
    cloud, pose = rand(9, 3, generator=seeded(4)), poses(9, 5)
    twice = reflected_points(reflected_points(cloud, axis), axis)
    assert torch.allclose(twice, cloud, atol=1e-5)
    assert torch.allclose(reflected_poses(reflected_poses(pose, axis), axis), pose, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(ANGLES)
def test_the_axis_is_found_though_half_of_the_readings_are_wrong(axis):
    own = poses(200, 6)
    flipped = reflected_poses(own, axis)
    flipped[::2, 0] = poses(100, 8)[:, 0]
    gap = math.remainder(mirror_axis(own, flipped) - axis, 2 * math.pi)
    assert abs(gap) < math.radians(8)


class Knows(SSL3D):
    """Answers with the poses it was given, in turn for the pictures and for their mirror images."""

    def predict(self, image, mask):
        points, colors, _ = super().predict(image, mask)
        return points, colors, self.answers.pop(0)


def test_readings_that_are_each_others_mirror_images_agree():
    data = both_looks("car", "train", 4, seed=3, size=16, points=0, progress=False)
    system, own = Knows(TINY, seed=1), poses(8, 9)
    flipped = reflected_poses(own, 0.8)
    flipped[0, 0] += 2.0
    system.answers = [own, flipped]
    said = read_twice(system, data["image"], data["mask"])
    assert abs(math.remainder(said.axis - 0.8, 2 * math.pi)) < 0.02
    assert said.agree.tolist() == [False] + 7 * [True]
    assert float(turn_between(said.own[1:], said.twin[1:]).max()) < 2


def lopsided(count: int = 300) -> torch.Tensor:
    """A cloud that is its own mirror image (axis 0) and unlike from in front and behind."""
    cloud = rand(count, 3, generator=seeded(11), low=-0.3, high=0.3)
    cloud[:, 0] = cloud[:, 0].abs() * (0.3 + cloud[:, 2])  # higher behind than in front
    return torch.cat([cloud, reflected_points(cloud, 0.0)])


def test_the_judge_finds_who_was_misread():
    cloud, true = lopsided(), poses(40, 12)
    seen = project(cloud.expand(40, -1, -1), true)[..., :2].contiguous()
    mask = (splat_mask(seen, 32, 0.4) > 0.5).float()
    wrong = torch.arange(40) % 3 == 0
    own = torch.where(wrong[:, None], reflected_poses(true, 0.0), true)
    points = cloud.expand(40, -1, -1)
    readings = Readings(points, own, true, 0.0, turn_between(own, true) < 20)
    chosen, margin = judged(readings, mask, torch.ones(40, dtype=torch.bool), 0.4)
    apart = turn_between(own, true) > 60
    assert int(apart.sum()) > 5
    assert float(turn_between(chosen, true)[apart].max()) < 1
    assert bool((margin[apart] < 0).all())


def test_the_judge_is_its_own_mirror_image_and_asks_those_who_agree():
    points = rand(4, 10, 3, generator=seeded(13), low=-0.3, high=0.3)
    agree = torch.tensor([True, True, False, True])
    readings = Readings(points, poses(4, 14), poses(4, 15), 0.6, agree)
    trusted = torch.tensor([True, False, True, True])
    cloud = judge_cloud(readings, trusted)
    assert torch.allclose(cloud[:10], points[[0, 3]].mean(0), atol=1e-6)
    assert torch.allclose(reflected_points(cloud[:10], 0.6), cloud[10:], atol=1e-6)
    nobody = readings._replace(agree=torch.zeros(4, dtype=torch.bool))
    assert torch.allclose(judge_cloud(nobody, trusted)[:10], points[[0, 2, 3]].mean(0), atol=1e-6)


@pytest.mark.parametrize("judge", [True, False])
def test_a_lesson_teaches_pictures_and_their_mirror_images(judge):
    data = both_looks("car", "train", 6, seed=3, size=16, points=0, progress=False)
    system = small_car()
    lesson = mirrored_lesson(system, data, judge)
    said = read_twice(system, data["image"], data["mask"])
    assert len(lesson) == 24 and torch.equal(lesson["image"][12:], data["image"].flip(-1))
    taught = lesson["taught"]
    assert torch.allclose(taught[12:], reflected_poses(taught[:12], said.axis), atol=1e-5)
    assert bool(lesson["sure"][:6].all()) and torch.equal(lesson["sure"][:12], lesson["sure"][12:])
    if not judge:
        assert torch.equal(taught[:12], said.own)


def weights(module):
    return torch.cat([value.detach().flatten() for value in module.parameters()])


def test_rounds_go_on_where_they_were_stopped_and_leave_the_clouds(tmp_path):
    before, how = small_car(), Rounds(rounds=2, steps=2, count=8)
    whole = mirror_rounds(copy.deepcopy(before), None, how=how, progress=False)
    short = Rounds(rounds=1, steps=2, count=8)
    mirror_rounds(copy.deepcopy(before), tmp_path, how=short, progress=False)
    again = mirror_rounds(copy.deepcopy(before), tmp_path, how=how, progress=False)
    assert torch.equal(weights(whole.pose), weights(again.pose))
    assert torch.equal(weights(before.recon), weights(again.recon))
    assert not torch.equal(weights(before.pose), weights(again.pose))


@pytest.mark.parametrize("name", ["rounds", "steps", "count"])
def test_lengths_that_are_none_are_refused(name):
    with pytest.raises(InputError, match=name):
        Rounds(**{name: 0})


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(mirrored, "TESTS", 4)
    small_car().save_pretrained(tmp_path / "start")
    words = ["--category", "car", "--start", str(tmp_path / "start"), "--seeds", "1"]
    words += ["--rounds", "1", "--steps", "2", "--count", "8", "--out", str(tmp_path / "rows.json")]
    words += ["--models", str(tmp_path / "models")]
    assert main(mirrored.EXPERIMENT, words)
    rows = read_rows(tmp_path / "rows.json")
    assert [row["arm"] for row in rows] == ["start", "own readings", "mirrored readings"]
    assert all(row["category"] == "car" for row in rows)
    assert SSL3D.from_pretrained(tmp_path / "models" / "car-1").category == "car"
    assert "Two readings, judged" in capsys.readouterr().out
