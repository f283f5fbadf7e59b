"""Cameras: the orbit convention, three projections and their inverses, mirrored photographs, clear
refusals.
"""

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from svr_nb.cameras.projections import (
    Orthographic,
    Pinhole,
    WeakPerspective,
    hypothesis_offsets,
    look_at,
    orbit,
    orbit_rad,
    view_angles,
)
from svr_nb.cameras.rotations import (
    geodesic_angle,
    matrix_to_quaternion,
    quaternion_multiply,
    quaternion_to_matrix,
    random_rotation,
    rotation_x_rad,
    rotation_y_rad,
)
from svr_nb.conventions import FRONT, RIGHT, UP, InputError, frame_matrix, seeded

angles = st.tuples(st.floats(-175, 175), st.floats(-85, 85))


def some_cameras(count=3):
    """One batch of each kind."""
    turn = random_rotation(seeded(1), count)
    shift = torch.randn(count, 3, generator=seeded(2)) * 0.1
    size = torch.rand(count, generator=seeded(3)) + 1
    away = torch.tensor([0, 0, 3.0])
    return [
        Pinhole(turn, shift + away, size, shift[:, :2]),
        Orthographic(turn, shift, size),
        WeakPerspective(size, shift[:, :2], matrix_to_quaternion(turn)),
    ]


def points(count=20, seed=4):
    return torch.randn(1, count, 3, generator=seeded(seed)) * 0.2


def test_orbit_convention():
    front, side, above = orbit(0), orbit(90), orbit(0, 90)
    assert torch.allclose(front.position(), torch.tensor([FRONT]) * 2, atol=1e-6)
    assert torch.allclose(side.position(), torch.tensor([[-2.0, 0, 0]]), atol=1e-6)
    assert torch.allclose(above.position(), torch.tensor([UP]) * 2, atol=1e-6)
    u, v, z = front.project(torch.tensor([[RIGHT]]) * 0.1)[0, 0]
    assert (
        u < 0 and abs(v) < 1e-6 and z == pytest.approx(2)
    )  # the object's right is the viewer's left
    assert front.project(torch.tensor([[UP]]) * 0.1)[0, 0, 1] < 0  # up is a smaller v
    assert front.project(torch.tensor([[FRONT]]) * 0.1)[0, 0, 2] < 2  # the front is near


@settings(derandomize=True, max_examples=30, deadline=None)
@given(angles)
def test_orbit_position_and_view_angles(pair):
    azimuth, elevation = pair
    a, e = math.radians(azimuth), math.radians(elevation)
    camera = orbit(azimuth, elevation, 3.0)
    wanted = 3 * torch.tensor([-math.sin(a) * math.cos(e), math.sin(e), -math.cos(a) * math.cos(e)])
    assert torch.allclose(camera.position()[0], wanted, atol=1e-5)
    back = view_angles(camera)
    assert back[0].item() == pytest.approx(azimuth, abs=1e-3) and back[1].item() == pytest.approx(
        elevation, abs=1e-3
    )
    assert torch.linalg.det(camera.rotation[0]).item() == pytest.approx(1, abs=1e-5)
    assert torch.allclose(look_at(camera.position()), camera.rotation, atol=1e-5)


@settings(derandomize=True, max_examples=30, deadline=None)
@given(st.floats(-3.1, 3.1), st.floats(-1.5, 1.5))
def test_ssl3d_pose_is_orbit_in_our_frame(azimuth, elevation):
    cloud = points()[0]
    turned = cloud @ rotation_x_rad(azimuth).T @ rotation_y_rad(elevation).T - torch.tensor(
        [0, 0, 2.0]
    )
    depth = -turned[:, 2]
    theirs = torch.stack([3.75 * turned[:, 1] / depth, 3.75 * turned[:, 0] / depth, depth], -1)
    ours = orbit_rad(azimuth, elevation).project((cloud @ frame_matrix("ssl3d").T)[None])[0]
    assert torch.allclose(ours, theirs, atol=2e-5)


def test_roll_turns_the_picture_clockwise():
    up = torch.tensor([[UP]]) * 0.1
    u, v, _ = orbit(0, roll=90).project(up)[0, 0]
    assert u > 0.1 and abs(v) < 1e-5


@pytest.mark.parametrize("kind", range(3))
def test_shapes_batches_and_inverse(kind):
    cameras, cloud = some_cameras()[kind], points()
    seen = cameras.project(cloud)
    assert seen.shape == (3, 20, 3) and len(cameras) == 3
    assert torch.allclose(cameras.unproject(seen), cloud.expand(3, -1, -1), atol=1e-5)
    for i in range(3):
        assert torch.allclose(cameras[i].project(cloud), seen[i : i + 1], atol=1e-6)
    assert (
        torch.allclose(cameras[torch.tensor([2, 0])].project(cloud), seen[[2, 0]], atol=1e-6)
        and len(cameras[1:]) == 2
    )
    assert cameras.to(torch.float64).project(cloud.double()).dtype == torch.float64
    middle = cameras.to_camera(cloud)
    assert middle.shape == (3, 20, 3) and cameras.position().shape == (3, 3)
    assert cameras[0].project(cloud.expand(4, -1, -1)).shape == (4, 20, 3)
    with pytest.raises(IndexError):
        cameras[3]


@pytest.mark.parametrize("kind", range(3))
@pytest.mark.parametrize("axis", range(3))
def test_mirrored_camera_sees_the_flipped_image(kind, axis):
    cameras, cloud = some_cameras()[kind], points()
    flip = 1 - 2 * torch.eye(3)[axis]
    seen = cameras.project(cloud) * torch.tensor([-1.0, 1, 1])
    mirrored = cameras.mirrored(axis)
    assert torch.allclose(mirrored.project(cloud * flip), seen, atol=1e-5)
    assert torch.allclose(torch.linalg.det(mirrored.rotation), torch.ones(3), atol=1e-5)
    assert torch.allclose(mirrored.mirrored(axis).project(cloud), cameras.project(cloud), atol=1e-5)


def test_the_quaternion_recipe_is_right_for_x_only():
    camera = some_cameras()[2]
    recipe = quaternion_to_matrix(camera.quaternion * torch.tensor([1.0, 1, -1, -1]))
    assert geodesic_angle(recipe, camera.mirrored(0).rotation).max() < 0.1
    assert geodesic_angle(recipe, camera.mirrored(1).rotation).min() > 10


def test_weak_perspective_numbers():
    camera = WeakPerspective(
        torch.tensor([2.0]), torch.tensor([[0.1, -0.2]]), torch.tensor([[3.0, 0, 0, 0]])
    )
    assert torch.allclose(
        camera.project(torch.tensor([[[0.1, 0.2, 0.3]]])),
        torch.tensor([[[0.3, 0.2, 5.6]]]),
        atol=1e-6,
    )


@pytest.mark.parametrize("kind", range(3))
def test_gradients(kind):
    camera = some_cameras(1)[kind].to(torch.float64)
    cloud = points(4).double().requires_grad_()
    assert torch.autograd.gradcheck(camera.project, (cloud,)) and torch.autograd.gradcheck(
        camera.unproject, (cloud + 2,)
    )


def test_gradient_reaches_the_pose():
    pose = torch.tensor([0.3, -0.2, 2.0, 3.0, 0.1], dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p: orbit_rad(*(x[None] for x in p)).project(points(4).double()), (pose,)
    )
    q = torch.randn(1, 4, generator=seeded(5), dtype=torch.float64).requires_grad_()
    one, none = torch.ones(1, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda q: WeakPerspective(one, none, q).mirrored(1).project(points(4).double()), (q,)
    )


def test_view_angles_have_a_finite_gradient_at_the_pole():
    rotation = orbit(0, 90).rotation.requires_grad_()
    sum(
        view_angles(Pinhole(rotation, torch.zeros(1, 3), torch.ones(1), torch.zeros(1, 2)))
    ).sum().backward()
    assert bool(torch.isfinite(rotation.grad).all())


def test_hypotheses_stand_around_the_object():
    for count, elevation in ((1, 0.0), (8, 15.0)):
        q = quaternion_multiply(hypothesis_offsets(count, elevation), torch.tensor([1.0, 0, 0, 0]))
        azimuth, height = view_angles(WeakPerspective(torch.ones(count), torch.zeros(count, 2), q))
        assert torch.allclose(
            (azimuth + 1e-3) % 360, torch.arange(count) * 360 / count, atol=1e-2
        ) and torch.allclose(height, torch.tensor(elevation), atol=1e-3)


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: orbit(math.nan), "azimuth"),
        (lambda: orbit(0, math.inf), "elevation"),
        (lambda: orbit("north"), "azimuth"),
        (lambda: orbit(torch.zeros(2), torch.zeros(3)), "azimuth"),
        (lambda: orbit(torch.zeros(2, 2)), "azimuth"),
        (lambda: orbit(0, distance=None), "distance"),
        (lambda: orbit(0).project(torch.zeros(5, 3)), "points"),
        (lambda: orbit(0).project(torch.full((1, 1, 3), math.nan)), "points"),
        (lambda: orbit(torch.zeros(3)).project(torch.zeros(2, 5, 3)), "points"),
        (lambda: orbit(0).unproject(torch.zeros(1, 5, 2)), "uvz"),
        (lambda: orbit(0).mirrored(3), "axis"),
        (lambda: look_at(torch.tensor([[0.0, 2, 0]])), "eye"),
        (lambda: look_at(torch.zeros(1, 3)), "eye"),
        (lambda: hypothesis_offsets(0), "count"),
        (lambda: Orthographic(torch.eye(3)[None], torch.zeros(2, 3), torch.ones(1)), "translation"),
        (
            lambda: Pinhole(torch.eye(3), torch.zeros(1, 3), torch.ones(1), torch.zeros(1, 2)),
            "rotation",
        ),
        (
            lambda: WeakPerspective(torch.ones(1), torch.zeros(1, 2), torch.full((1, 4), math.nan)),
            "quaternion",
        ),
    ],
)
def test_refusals_name_the_argument(call, name):
    with pytest.raises(InputError, match=f"^{name}:"):
        call()


def test_no_points_and_points_behind():
    assert orbit(0).project(torch.zeros(1, 0, 3)).shape == (1, 0, 3)
    seen = orbit(0).project(torch.tensor([[[0.0, 0, -2], [0, 0, -3]]]))
    assert bool(torch.isfinite(seen).all()) and seen[0, 1, 2] < 0
