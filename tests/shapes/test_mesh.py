"""Mesh: construction, measures, movement, ready-made solids, other libraries."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.shapes.mesh import Mesh, box, cylinder, ellipsoid, icosphere, torus

SOLIDS = {
    "sphere": (icosphere(2), 2),
    "box": (box((1, 2, 3)), 2),
    "cylinder": (cylinder(axis="z"), 2),
    "cone": (cylinder(top=0), 2),
    "stump": (cylinder(top=0.2), 2),
    "torus": (torus(axis="x"), 0),
    "ellipsoid": (ellipsoid((0.5, 0.2, 0.3), (1, 2, 3)), 2),
}
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("name", SOLIDS)
def test_solids_are_closed_and_outward(name: str) -> None:
    mesh, euler = SOLIDS[name]
    assert mesh.is_closed() and mesh.euler() == euler and mesh.volume() > 0
    assert (
        mesh.verts.dtype == torch.float32
        and mesh.faces.dtype == torch.int64
        and mesh.areas().min() > 0
    )
    assert torch.allclose(mesh.normals().norm(dim=1), torch.ones(len(mesh.faces)), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("verts", {"verts": [[0, 0, NAN]] * 3}),
        ("verts", {"verts": [[0, 0, INF]] * 3}),
        ("verts", {"verts": torch.zeros(3, 2)}),
        ("faces", {"faces": [[0, 1, 3]]}),
        ("faces", {"faces": [[-1, 1, 2]]}),
        ("faces", {"faces": torch.zeros(1, 3)}),
        ("vert_colors", {"vert_colors": torch.full((3, 3), 1.5)}),
        ("vert_colors", {"vert_colors": torch.zeros(2, 3)}),
        ("face_labels", {"face_labels": [0, 1]}),
        ("face_labels", {"face_labels": [0.5]}),
        ("uvs", {"uvs": torch.zeros(3, 2)}),
        ("texture", {"texture": torch.zeros(4, 2, 2)}),
    ],
)
def test_bad_fields_are_named(name: str, fields: dict) -> None:
    with pytest.raises(InputError, match=f"^{name}"):
        Mesh(**({"verts": torch.zeros(3, 3), "faces": [[0, 1, 2]]} | fields))


@pytest.mark.parametrize("level,plane,side", [(2, 16, 73), (3, 32, 305), (4, 64, 1249)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_icosphere_order(level: int, plane: int, side: int, axis: int) -> None:
    ball = icosphere(level, axis=axis)
    signs = torch.ones(3)
    signs[axis] = -1
    assert len(ball.verts) == plane + 2 * side and len(ball.faces) == 20 * 4**level
    assert (ball.verts[:plane, axis] == 0).all() and (
        ball.verts[plane : plane + side, axis] > 0
    ).all()
    assert torch.equal(ball.verts[plane : plane + side] * signs, ball.verts[plane + side :])
    partner = torch.cat(
        [torch.arange(plane), torch.arange(side) + plane + side, torch.arange(side) + plane]
    )
    own = plane
    half = (len(ball.faces) - own) // 2
    assert torch.equal(
        partner[ball.faces[own : own + half]][:, [1, 0, 2]], ball.faces[own + half :]
    )
    assert torch.equal(partner[ball.faces[:own]][:, [1, 0, 2]], ball.faces[:own])
    assert all((ball.verts[:, i] == 0).sum() == plane for i in range(3))


def test_known_volumes() -> None:
    assert box((1, 2, 3)).volume() == pytest.approx(6)
    assert icosphere(5, 0.5).volume() == pytest.approx(math.pi / 6, rel=2e-3)
    assert cylinder(0.3, 0.7, 400).volume() == pytest.approx(math.pi * 0.09 * 0.7, rel=1e-3)
    assert cylinder(0.3, 0.6, 400, top=0).volume() == pytest.approx(math.pi * 0.09 * 0.2, rel=1e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: icosphere(-1),
        lambda: icosphere(9),
        lambda: icosphere(2, axis=3),
        lambda: icosphere(1.5),
        lambda: box(0),
        lambda: cylinder(sides=2),
        lambda: cylinder(axis="w"),
        lambda: torus(tube=1.0),
        lambda: ellipsoid((1, 1)),
        lambda: Mesh.join([]),
        lambda: box().flipped(4),
        lambda: box().transform(scale=NAN),
    ],
)
def test_bad_numbers(make: object) -> None:
    with pytest.raises(InputError):
        make()  # type: ignore[operator]


def test_closedness_sees_holes_and_flipped_faces() -> None:
    cube = box()
    assert not Mesh(cube.verts, cube.faces[1:]).is_closed()
    mixed = cube.faces.clone()
    mixed[0] = mixed[0].flip(0)
    assert not Mesh(cube.verts, mixed).is_closed()
    assert cube.turned().is_closed() and cube.turned().volume() == pytest.approx(-1)


def test_transform_keeps_the_outside() -> None:
    ring = torus()
    for matrix in (
        torch.diag(torch.tensor([-1.0, 1, 1])),
        -torch.eye(3),
        torch.linalg.qr(torch.randn(3, 3, generator=seeded(0)))[0],
    ):
        moved = ring.transform(matrix, (1.0, 2.0, 3.0), 2.0)
        assert moved.volume() == pytest.approx(8 * ring.volume(), rel=1e-4)
    assert torch.allclose(ring.flipped(0).flipped(0).verts, ring.verts)


def test_mirroring_takes_texture_corners_along() -> None:
    mesh = Mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], uvs=[[[0, 0], [1, 0], [0, 1]]])
    mirrored = mesh.flipped(0)
    before = {
        tuple(mesh.verts[v].tolist()): uv.tolist() for v, uv in zip(mesh.faces[0], mesh.uvs[0])
    }
    after = {
        tuple((mirrored.verts[v] * torch.tensor([-1, 1, 1])).tolist()): uv.tolist()
        for v, uv in zip(mirrored.faces[0], mirrored.uvs[0])
    }
    assert {key: before[key] for key in before} == {
        tuple(abs(x) for x in key): value for key, value in after.items()
    }


def test_normalized_and_join() -> None:
    both = Mesh.join(
        [
            replace(m, vert_colors=torch.rand(len(m.verts), 3, generator=seeded(1)))
            for m in (box((3, 1, 1)), torus(center=(5, 0, 0)))
        ]
    )
    assert both.euler() == 2 and both.vert_colors is not None and both.is_closed()
    low, high = both.normalized().bounds()
    assert torch.allclose(low, -high, atol=1e-6) and float((high - low).norm()) == pytest.approx(
        1, abs=1e-5
    )
    assert Mesh.join([both, box()]).vert_colors is None


def test_empty_mesh() -> None:
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    assert not empty.is_closed() and empty.volume() == 0 and empty.euler() == 0
    with pytest.raises(InputError, match="empty"):
        empty.bounds()
    with pytest.raises(InputError, match="one point"):
        Mesh(torch.ones(3, 3), [[0, 1, 2]]).normalized()


def test_float64_and_gradients_pass_through() -> None:
    verts = torch.rand(4, 3, dtype=torch.float64).requires_grad_()
    mesh = Mesh(verts, [[0, 1, 2], [0, 3, 1]])
    mesh.transform(scale=2.0).areas().sum().backward()
    assert mesh.verts.dtype == torch.float64 and torch.isfinite(verts.grad).all()


def test_is_frozen() -> None:
    with pytest.raises(AttributeError):
        box().name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("name", SOLIDS)
def test_vertices_that_no_face_uses_count_nowhere(name: str) -> None:
    from svr_nb.losses import laplacian_loss
    from svr_nb.shapes.points import sample_surface
    from svr_nb.shapes.voxels import voxelize

    mesh = SOLIDS[name][0]
    far = torch.tensor([[100.0, 0, 0], [0, -70.0, 3]])
    stray = Mesh(torch.cat([far, mesh.verts, far]), mesh.faces + 2)
    assert torch.equal(stray.bounds(), mesh.bounds()) and stray.volume() == mesh.volume()
    assert stray.euler() == mesh.euler() and stray.is_closed()
    small, right = stray.normalized(), mesh.normalized()
    assert torch.equal(small.verts[2:-2], right.verts) and len(small.verts) == len(stray.verts)
    assert torch.equal(voxelize(small, 12).occupancy, voxelize(right, 12).occupancy)
    drawn = [sample_surface(m, 50, seeded(1)).points for m in (stray, mesh)]
    assert torch.equal(*drawn)
    for reduce in ("sum", "mean"):
        costs = [laplacian_loss(m.verts[None], m.faces, reduce=reduce) for m in (stray, mesh)]
        assert torch.equal(*costs)


def test_without_faces_the_vertices_are_the_shape() -> None:
    points = Mesh([[0.0, 0, 0], [1, 2, 3]], torch.zeros(0, 3, dtype=torch.int64))
    assert points.bounds().tolist() == [[0, 0, 0], [1, 2, 3]] and points.volume() == 0
