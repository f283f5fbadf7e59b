"""Triangles: normals, volumes, edges, Laplacian, mirror partners."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from svr_nb.conventions import seeded
from svr_nb.shapes.mesh import icosphere, torus
from svr_nb.shapes.triangles import (
    corners,
    edge_lengths,
    face_crosses,
    face_pairs,
    half_edges,
    mirror_vertices,
    signed_volume,
    uniform_laplacian,
    unique_edges,
    unit,
    vertex_normals,
)

FACES = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def test_shapes_with_batches() -> None:
    verts = torch.rand(2, 5, 4, 3, generator=seeded(0))
    assert corners(verts, FACES)[0].shape == (2, 5, 4, 3)
    assert face_crosses(verts, FACES).shape == (2, 5, 4, 3)
    assert signed_volume(verts, FACES).shape == (2, 5)
    assert vertex_normals(verts, FACES).shape == (2, 5, 4, 3)
    assert edge_lengths(verts, unique_edges(FACES)).shape == (2, 5, 6)
    assert half_edges(FACES).shape == (12, 2)
    one = signed_volume(verts[1, 2], FACES)
    assert torch.allclose(signed_volume(verts, FACES)[1, 2], one)


def test_gradients() -> None:
    verts = torch.rand(4, 3, generator=seeded(1), dtype=torch.float64).requires_grad_()
    edges = unique_edges(FACES)
    for function in (
        lambda v: signed_volume(v, FACES),
        lambda v: vertex_normals(v, FACES),
        lambda v: edge_lengths(v, edges),
    ):
        assert torch.autograd.gradcheck(function, verts)


def test_zero_size_gives_zero_not_nan() -> None:
    verts = torch.zeros(4, 3, requires_grad=True)
    (vertex_normals(verts, FACES).sum() + edge_lengths(verts, unique_edges(FACES)).sum()).backward()
    assert torch.equal(verts.grad, torch.zeros(4, 3))
    assert unit(torch.zeros(3)).tolist() == [0, 0, 0]


@given(st.floats(0.1, 10), st.floats(-5, 5))
def test_volume_scales_and_does_not_move(scale: float, shift: float) -> None:
    mesh = torus()
    moved = mesh.verts.double() * scale + shift
    assert float(signed_volume(moved, mesh.faces)) == pytest.approx(
        mesh.volume() * scale**3, rel=1e-4
    )


def test_sphere_normals_point_outward() -> None:
    ball = icosphere(3)
    assert (vertex_normals(ball.verts, ball.faces) * ball.verts).sum(1).min() > 0.999


def test_every_edge_of_a_closed_mesh_has_two_faces() -> None:
    ring = torus()
    edges, pairs = face_pairs(ring.faces)
    assert len(edges) == len(unique_edges(ring.faces)) == 3 * len(ring.faces) // 2
    for edge, pair in zip(edges[:50].tolist(), pairs[:50]):
        assert all(set(edge) <= set(ring.faces[face].tolist()) for face in pair)
    assert len(face_pairs(ring.faces[:1])[0]) == 0


def test_laplacian_rows_sum_to_zero_and_match_a_loop() -> None:
    ball = icosphere(1)
    dense = uniform_laplacian(ball.faces, len(ball.verts) + 1).to_dense()
    assert dense.sum(1).abs().max() < 1e-6 and torch.equal(
        dense[-1], torch.zeros(len(ball.verts) + 1)
    )
    near = {i: set() for i in range(len(ball.verts))}
    for face in ball.faces.tolist():
        for i in face:
            near[i] |= set(face) - {i}
    slow = torch.stack([ball.verts[i] - ball.verts[list(near[i])].mean(0) for i in near])
    assert torch.allclose(dense[:-1, :-1] @ ball.verts, slow, atol=1e-6)


def test_mirror_partners() -> None:
    verts = icosphere(3).verts.numpy()
    for axis in range(3):
        partner = mirror_vertices(verts, axis, digits=6)
        assert (partner[partner] == np.arange(len(verts))).all()
    assert mirror_vertices(verts + 0.1).max() == -1


@pytest.mark.parametrize("seed", range(5))
def test_numbered_edges_are_the_rows_that_differ(seed: int) -> None:
    """Against the comparison of whole rows, on soups with holes, doubles and faces with one vertex
    twice; and for no faces at all.
    """
    faces = torch.randint(0, 4 + 6 * seed, (30, 3), generator=seeded(80, seed))
    rows = half_edges(faces).sort(1).values
    edges, owner, count = torch.unique(rows, dim=0, return_inverse=True, return_counts=True)
    assert torch.equal(unique_edges(faces), edges)
    shared, pairs = face_pairs(faces)
    assert torch.equal(shared, edges[count == 2])
    found = [sorted((owner == e).nonzero()[:, 0] // 3) for e in (count == 2).nonzero()[:, 0]]
    assert pairs.tolist() == [[int(one) for one in two] for two in found]
    assert (
        unique_edges(faces[:0]).shape == (0, 2) and unique_edges(faces.int()).dtype == torch.int32
    )
