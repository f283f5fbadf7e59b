"""The frame of SSL3D, its camera, and the two networks."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, strategies as st

from svr_nb.cameras.projections import orbit
from svr_nb.conventions import InputError, seeded
from svr_nb.ssl3d.networks import PoseNet, ReconNet
from svr_nb.ssl3d.frame import camera_of, from_house, pose_of, project, random_poses, to_house, turn

cloud = lambda b=2, n=20: torch.rand(b, n, 3, generator=seeded(1)) * 0.6 - 0.3
poses = lambda b=2: torch.rand(b, 2, generator=seeded(2)) * 2 - 1


def test_projection_equals_the_house_camera():
    assert torch.allclose(
        project(cloud(), poses()), camera_of(poses()).project(to_house(cloud())), atol=1e-5
    )


def test_projection_has_the_papers_numbers():
    u, v, depth = project(torch.tensor([[[0.1, 0.2, 0.3]]]), torch.zeros(1, 2))[0, 0].tolist()
    row, column = 120 * 0.1 / 1.7 + 32, 120 * 0.2 / 1.7 + 32
    assert (
        depth == pytest.approx(1.7)
        and v == pytest.approx(row / 32 - 1, abs=1e-5)
        and u == pytest.approx(column / 32 - 1, abs=1e-5)
    )


@given(st.floats(-179, 179), st.floats(-60, 60))
def test_poses_are_house_degrees(azimuth, elevation):
    pose = torch.tensor([[math.radians(azimuth), math.radians(elevation)]])
    house = orbit(azimuth, elevation)
    assert torch.allclose(camera_of(pose).rotation, house.rotation, atol=1e-5) and torch.allclose(
        pose_of(house), pose, atol=1e-4
    )


def test_turns_are_rotations():
    r = turn(poses(8))
    assert torch.allclose(r @ r.transpose(1, 2), torch.eye(3).expand(8, 3, 3), atol=1e-6)
    assert torch.allclose(torch.linalg.det(r), torch.ones(8), atol=1e-6)


def test_frames_are_inverse():
    assert torch.equal(from_house(to_house(cloud())), cloud())


def test_projection_gradient():
    pose = poses().double().requires_grad_()
    points = cloud(2, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(project, (points, pose))


def test_random_poses_cover_their_range_and_repeat():
    a, b = random_poses(500, seeded(3), (-10, 50)), random_poses(500, seeded(3), (-10, 50))
    degrees = torch.rad2deg(a)
    assert (
        torch.equal(a, b)
        and degrees[:, 1].min() > -10.01
        and degrees[:, 1].max() < 50.01
        and degrees[:, 0].abs().max() > 170
    )


@pytest.mark.parametrize(
    "bad",
    [
        dict(count=0),
        dict(count=2, elevation=(-20, 120)),
        dict(count=2, elevation=(float("nan"), 0)),
    ],
)
def test_random_poses_refuse(bad):
    with pytest.raises(InputError):
        random_poses(generator=seeded(0), **bad)


def test_recon_starts_as_one_ball():
    net = ReconNet(32, 50, seeded(0), (8, 16), 3, (8, 16), code=32)
    points, colors, code = net(torch.rand(5, 3, 32, 32, generator=seeded(1)))
    assert points.shape == (5, 50, 3) and colors.shape == (5, 50, 3) and code.shape == (5, 64)
    assert (
        points.std(0).max() < 0.1
        and points.norm(dim=-1).max() < 0.6
        and colors.min() > 0
        and colors.max() < 1
    )


@pytest.mark.parametrize("head", ["sincos", "tanh"])
def test_pose_heads(head):
    pose, direction = PoseNet(32, (8, 16), 3, 32, head)(torch.rand(4, 3, 32, 32))
    assert pose.shape == (4, 2) and torch.allclose(
        torch.atan2(direction[:, 0], direction[:, 1]), pose[:, 0], atol=1e-5
    )
    assert head == "tanh" or torch.rad2deg(pose[:, 1]).abs().max() <= 70.01


def test_wrong_sizes_and_heads_are_refused():
    with pytest.raises(InputError, match="image"):
        PoseNet(32, (8,), 3, 16)(torch.zeros(1, 3, 16, 16))
    with pytest.raises(InputError, match="azimuth"):
        PoseNet(32, (8,), 3, 16, "quaternion")
