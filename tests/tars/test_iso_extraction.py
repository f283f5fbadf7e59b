"""Asking near the surface only gives the mesh that asking everywhere gives."""

from __future__ import annotations

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.networks.encoders import fresh_weights
from svr_nb.shapes.fields import sdf_box, sdf_sphere, sdf_torus, union
from svr_nb.tars.deformation import CanonicalSDF
from svr_nb.tars.iso_extraction import (
    dense_values,
    extract_surface,
    lattice_points,
    measured_slope,
    near_values,
    trace_lattice,
)

BODIES = {
    "ball": lambda p: sdf_sphere(p, 0.4),
    "ring": lambda p: sdf_torus(p, 0.35, 0.05),
    "thin board": lambda p: sdf_box(p, (0.9, 0.03, 0.5)),
    "two": lambda p: union(
        sdf_sphere(p, 0.1, (0.3, 0.3, 0.3)), sdf_sphere(p, 0.04, (-0.4, -0.3, 0.1))
    ),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("stride", [1, 2, 8])
def test_identical_meshes(name, stride):
    near = near_values(BODIES[name], 0.6, 48, 1.0, stride)
    a, b = trace_lattice(near.values), trace_lattice(dense_values(BODIES[name], 0.6, 48))
    assert torch.equal(a.verts, b.verts) and torch.equal(a.faces, b.faces) and len(a.faces) > 50
    assert near.asked <= 49**3 and (stride == 1 or near.asked < 49**3 / 2)


def test_values_are_exact_or_proved():
    true, near = dense_values(BODIES["ring"], 0.6, 32), near_values(BODIES["ring"], 0.6, 32, 1.0)
    assert ((true < 0) == (near.values < 0)).all() and (
        near.values.abs() <= true.abs() + 1e-6
    ).all()


def test_a_network_with_measured_slope():
    with fresh_weights(0):
        net = CanonicalSDF(4, 0, width=16, layers=2, levels=1)
    written = net.write(torch.zeros(1, 4))
    field = lambda p: (
        sdf_sphere(p, 0.35)[:, None] + 0.1 * net(written, p[None], p[None, :, :0])[0][0]
    )
    a, b = extract_surface(field, 0.6, 40), extract_surface(field, 0.6, 40, dense=True)
    assert (
        torch.equal(a.faces, b.faces)
        and torch.allclose(a.verts, b.verts, rtol=0, atol=1e-6)
        and measured_slope(field, 0.6) > 0.9
    )


@pytest.mark.parametrize("bound", [0.6, 1.2])
def test_radius_to_half_a_cell(bound):
    mesh = extract_surface(lambda p: sdf_sphere(p, 0.4), bound, 64)
    assert (
        (mesh.verts.norm(dim=1) - 0.4).abs().max() < bound / 64
        and mesh.is_closed()
        and mesh.volume() > 0
    )


def test_dividing_by_one_too_many_shrinks():
    right, wrong = (
        extract_surface(lambda p: sdf_sphere(p, 0.4), 0.6, 128, 1.0, divide_by=d)
        for d in (None, 129)
    )
    width = lambda m: float(m.verts[:, 0].max() - m.verts[:, 0].min())
    assert abs(width(wrong) / width(right) - 128 / 129) < 1e-4


def test_nothing_and_everything():
    assert len(extract_surface(lambda p: p.norm(dim=1) + 1, 0.6, 16).faces) == 0
    full = extract_surface(lambda p: p[:, 0] * 0 - 1.0, 0.6, 16)
    assert full.is_closed() and len(full.faces) > 0


def test_nodes_are_where_they_should_be():
    torch.testing.assert_close(
        lattice_points(torch.tensor([[0, 64, 128]]), 0.6, 128), torch.tensor([[-0.6, 0.0, 0.6]])
    )
    values = dense_values(lambda p: p[:, 0] + 10 * p[:, 1] + 100 * p[:, 2], 1.0, 4)
    torch.testing.assert_close(values[1, 2, 3], torch.tensor(-0.5 + 0 + 50.0))


def test_refusals():
    for wrong in (
        lambda: near_values(BODIES["ball"], 0.6, 30, 1.0, 8),
        lambda: near_values(BODIES["ball"], 0.6, 48, 1.0, 3),
        lambda: near_values(BODIES["ball"], slope=0.0),
        lambda: trace_lattice(torch.zeros(3, 3)),
    ):
        with pytest.raises(InputError):
            wrong()


def test_measured_slope_of_a_plane():
    way = torch.nn.functional.normalize(torch.randn(3, generator=seeded(0)), dim=0)
    assert 1.9 < measured_slope(lambda p: 2 * p @ way, 0.6, safety=1.0) <= 2.001


def test_nodes_at_the_level_itself_leave_no_gap() -> None:
    for seed in range(50):
        draw = torch.Generator().manual_seed(seed)
        values = torch.randint(-2, 3, (5, 5, 5), generator=draw).float()
        assert (
            trace_lattice(values).is_closed() and trace_lattice(values / 3, level=1 / 3).is_closed()
        )
