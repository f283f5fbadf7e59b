"""Rotations: conversions agree, chance is uniform and repeatable, gradients are finite where they
used not to be.
"""

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from svr_nb.conventions import InputError, seeded
from svr_nb.cameras.rotations import (
    axis_angle_rad,
    cube_rotations,
    geodesic_angle,
    matrix_to_quaternion,
    quaternion_multiply,
    quaternion_to_matrix,
    random_rotation,
    rotation_x_rad,
    rotation_y_rad,
    rotation_z_rad,
)

AXES = (rotation_x_rad, rotation_y_rad, rotation_z_rad)


@pytest.mark.parametrize("axis", range(3))
def test_axis_rotations_agree_with_axis_angle(axis):
    angle = torch.tensor([-2.0, 0.0, 0.5, 3.0])
    assert torch.allclose(
        AXES[axis](angle), axis_angle_rad(torch.eye(3)[axis].expand(4, 3), angle), atol=1e-6
    )


@pytest.mark.parametrize("make", AXES)
def test_axis_rotations_shapes_dtypes_errors(make):
    assert make(0.5).shape == (3, 3) and make(0.5).dtype == torch.float32
    assert make(torch.zeros(2, 5, dtype=torch.float64)).dtype == torch.float64
    assert make(torch.zeros(2, 5)).shape == (2, 5, 3, 3)
    for bad in (math.nan, "north"):
        with pytest.raises(InputError, match="angle"):
            make(bad)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=8, max_size=8))
def test_product_of_quaternions_is_product_of_matrices(numbers):
    p, q = torch.tensor(numbers, dtype=torch.float64).view(2, 4)
    if p.norm() < 1e-3 or q.norm() < 1e-3:
        return
    assert torch.allclose(
        quaternion_to_matrix(quaternion_multiply(p, q)),
        quaternion_to_matrix(p) @ quaternion_to_matrix(q),
        atol=1e-9,
    )


def test_quaternion_round_trip_at_all_angles():
    for angle in (0.0, 1e-4, 1.0, math.pi - 1e-4, math.pi):
        matrix = axis_angle_rad(torch.randn(50, 3, generator=seeded(1), dtype=torch.float64), angle)
        q = matrix_to_quaternion(matrix)
        assert torch.allclose(quaternion_to_matrix(q), matrix, atol=1e-9) and bool(
            (q[:, 0] >= 0).all()
        )
    for matrix in cube_rotations():
        assert torch.allclose(quaternion_to_matrix(matrix_to_quaternion(matrix)), matrix, atol=1e-6)


def test_known_quaternion():
    half = math.sqrt(0.5)
    assert torch.allclose(
        quaternion_to_matrix(torch.tensor([half, half, 0, 0])),
        rotation_x_rad(math.pi / 2),
        atol=1e-6,
    )
    assert torch.equal(
        quaternion_multiply(torch.tensor([0.0, 1, 0, 0]), torch.tensor([0.0, 0, 1, 0])),
        torch.tensor([0.0, 0, 0, 1]),
    )


@pytest.mark.parametrize(
    "bad", [torch.zeros(4), torch.zeros(2, 3), torch.full((4,), math.nan), torch.zeros(0, 4), "q"]
)
def test_bad_quaternions_are_refused(bad):
    with pytest.raises(InputError, match="q: "):
        quaternion_to_matrix(bad)


def test_other_bad_input():
    with pytest.raises(InputError, match="axis"):
        axis_angle_rad(torch.zeros(3), 1.0)
    with pytest.raises(InputError, match="matrix"):
        matrix_to_quaternion(torch.zeros(3, 4))
    with pytest.raises(InputError, match="p: "):
        quaternion_multiply(torch.zeros(3), torch.ones(4))
    with pytest.raises(InputError, match="count"):
        random_rotation(seeded(0), 0)
    with pytest.raises(InputError, match="second"):
        geodesic_angle(torch.eye(3), torch.eye(4))


def test_random_rotations_are_rotations_and_uniform():
    matrices = random_rotation(seeded(2), 4000)
    assert torch.allclose(
        matrices @ matrices.transpose(1, 2), torch.eye(3).expand(4000, 3, 3), atol=1e-5
    )
    assert torch.allclose(torch.linalg.det(matrices), torch.ones(4000), atol=1e-5)
    assert matrices.mean(0).abs().max() < 0.05
    expected = math.degrees(math.pi / 2 + 2 / math.pi)
    assert abs(geodesic_angle(matrices[:2000], matrices[2000:]).mean().item() - expected) < 2
    assert torch.equal(random_rotation(seeded(2), 5), random_rotation(seeded(2), 5))


def test_cube_rotations_form_a_group():
    cube = cube_rotations()
    keys = {tuple(m.flatten().tolist()) for m in cube}
    products = {tuple((a @ b + 0.0).flatten().tolist()) for a in cube for b in cube}
    assert len(keys) == 24 and {tuple(x + 0.0 for x in k) for k in keys} == products


@pytest.mark.parametrize("degrees", [0.0, 0.001, 10, 90, 179, 180])
def test_geodesic_angle_values_and_gradient(degrees):
    turn = axis_angle_rad(torch.tensor([1.0, 2, -1], dtype=torch.float64), math.radians(degrees))
    start = random_rotation(seeded(3))[0].double().requires_grad_()
    angle = geodesic_angle(start, start.detach() @ turn)
    assert angle.item() == pytest.approx(degrees, abs=2e-5)
    angle.backward()
    assert bool(torch.isfinite(start.grad).all())


def test_gradients():
    q = torch.randn(3, 4, generator=seeded(4), dtype=torch.float64).requires_grad_()
    p = torch.randn(3, 4, generator=seeded(5), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(quaternion_to_matrix, (q,)) and torch.autograd.gradcheck(
        quaternion_multiply, (p, q)
    )
    assert torch.autograd.gradcheck(
        lambda a, b: geodesic_angle(quaternion_to_matrix(a), quaternion_to_matrix(b)), (p, q)
    )
    assert torch.autograd.gradcheck(lambda a: matrix_to_quaternion(quaternion_to_matrix(a)), (q,))
