"""Polygons are covered by their triangles, once, and seen from the same side."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from svr_nb.conventions import seeded
from svr_nb.shapes.mesh_files import load_mesh
from svr_nb.shapes.points import sample_surface
from svr_nb.shapes.polygons import cut_polygons, newell_normals

OUTLINES = {
    "U": [(1, 3), (0, 3), (0, 0), (3, 0), (3, 3), (2, 3), (2, 1), (1, 1)],
    "chevron": [(0, 0), (2, 1), (0, 2), (0.5, 1)],
    "L": [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)],
    "comb": [(0, 0), (7, 0), (7, 3), (6, 3), (6, 1), (5, 1), (5, 3), (4, 3), (4, 1), (3, 1), (3, 3), (0, 3)],
    "star": [(math.sin(math.pi * k / 5) * (1 + k % 2), math.cos(math.pi * k / 5) * (1 + k % 2)) for k in range(10)],
    "corners on straight sides": [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (0, 2), (0, 1)],
    "a corner twice": [(0, 0), (2, 0), (2, 0), (2, 2), (1, 1), (0, 2)],
    "a spike": [(0, 0), (3, 0), (3, 1), (3, 0), (3, 3), (0, 3)],
    "a hole": [(0, 0), (3, 0), (3, 3), (0, 3), (0, 0), (1, 1), (1, 2), (2, 2), (2, 1), (1, 1)],
    "two holes": [(0, 0), (6, 0), (6, 3), (0, 3), (0, 0), (1, 1), (1, 2), (2, 2), (2, 1), (1, 1), (0, 0), (4, 1), (4, 2), (5, 2), (5, 1), (4, 1)],
    "touching itself": [(0, 0), (2, 0), (1, 1), (2, 2), (0, 2), (1, 1)],
}  # fmt: skip


def shoelace(corners: np.ndarray) -> float:
    """Signed area in the plane."""
    x, y = corners[:, 0], corners[:, 1]
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def triangles(verts: np.ndarray, corners: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, int]:
    """Half the cross product of every triangle, and how many polygons are odd."""
    cut = cut_polygons(verts, corners, sizes)
    a, b, c = verts[corners[cut.corners]].transpose(1, 0, 2)
    return np.cross(b - a, c - a) / 2, cut.odd


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("name", OUTLINES)
def test_any_outline_is_covered_once(name: str, turn: int):
    """From every starting corner, both ways round, anywhere in space."""
    turned = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    outline = np.array(OUTLINES[name], dtype=float)[::turn]
    for start in range(len(outline)):
        flat = np.roll(outline, start, axis=0)
        verts = np.pad(flat, ((0, 0), (0, 1))) @ turned * 7 + 2
        crosses, odd = triangles(verts, np.arange(len(flat)), np.array([len(flat)]))
        assert not odd
        assert np.linalg.norm(crosses, axis=1).sum() == pytest.approx(49 * abs(shoelace(flat)))
        assert np.allclose(crosses.sum(0), newell_normals(verts[None])[0] / 2)


@given(some.integers(0, 10**6), some.integers(4, 40), some.booleans())
def test_any_star_shaped_outline(seed: int, count: int, bent: bool):
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * (np.arange(count) + 0.8 * rng.random(count)) / count
    reach = 0.1 + rng.random(count)
    flat = np.stack([reach * np.cos(angle), reach * np.sin(angle)], 1)
    verts = np.pad(flat, ((0, 0), (0, 1)))
    verts[:, 2] = 0.02 * rng.normal(size=count) * bent
    crosses, odd = triangles(verts, np.arange(count), np.array([count]))
    assert not odd and len(crosses) == count - 2
    if not bent:
        assert (crosses[:, 2] >= -1e-9).all() and crosses[:, 2].sum() == pytest.approx(
            shoelace(flat)
        )


def test_polygons_of_all_sizes_keep_their_order():
    verts = np.pad(
        np.array([(0, 0), (1, 0), (1, 1), (0, 1), (2, 0), (2, 1)], dtype=float), ((0, 0), (0, 1))
    )
    corners = np.array([1, 4, 2, 0, 1, 2, 3, 0, 1, 1, 2, 0, 1, 4, 5, 2])
    cut = cut_polygons(verts, corners, np.array([3, 4, 2, 2, 5]))
    assert cut.owner.tolist() == [0, 1, 1, 4, 4, 4] and cut.corners.max() == 15


def test_what_crosses_itself_is_counted():
    eight = np.array([(0, 0, 0), (2, 2, 0), (2, 0, 0), (0, 3, 0)], dtype=float)
    line = np.array([(0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0)], dtype=float)
    assert cut_polygons(eight, np.arange(4), np.array([4])).odd == 1
    assert len(cut_polygons(line, np.arange(5), np.array([5])).corners) == 3
    pentagram = [
        (math.sin(4 * math.pi * k / 5), math.cos(4 * math.pi * k / 5), 0) for k in range(5)
    ]
    assert cut_polygons(np.array(pentagram), np.arange(5), np.array([5])).odd == 1


def written(kind: str, outline: list, path: Path) -> Path:
    """A file with one face."""
    n = len(outline)
    rows = "".join(f"{x} {y} 0\n" for x, y in outline)
    numbers = " ".join(map(str, range(n)))
    head = "ply\nformat ascii 1.0\nelement vertex {0}\nproperty float x\nproperty float y\nproperty float z\nelement face 1\nproperty list uchar int vertex_indices\nend_header\n"
    text = {
        "obj": "".join(f"v {row}\n" for row in rows.splitlines())
        + "f " + " ".join(str(k + 1) for k in range(n)) + "\n",
        "off": f"OFF\n{n} 1 0\n{rows}{n} {numbers}\n",
        "ply": head.format(n) + rows + f"{n} {numbers}\n",
    }[kind]  # fmt: skip
    path = path / f"polygon.{kind}"
    path.write_text(text)
    return path


@pytest.mark.parametrize("kind", ["obj", "off", "ply"])
@pytest.mark.parametrize("name", OUTLINES)
def test_every_format_cuts_polygons(name: str, kind: str, tmp_path: Path):
    outline = OUTLINES[name]
    area = shoelace(np.array(outline, dtype=float))
    mesh = load_mesh(written(kind, outline, tmp_path))
    assert float(mesh.areas().sum()) == pytest.approx(abs(area), rel=1e-5)
    facing = mesh.normals()[mesh.areas() > 1e-6, 2]
    assert torch.allclose(facing, torch.full_like(facing, math.copysign(1, area)), atol=1e-4)


def test_no_sample_falls_into_the_opening_of_a_u(tmp_path: Path):
    points = sample_surface(
        load_mesh(written("obj", OUTLINES["U"], tmp_path)), 5000, seeded(0)
    ).points
    inside = (points[:, 0] > 1.05) & (points[:, 0] < 1.95) & (points[:, 1] > 1.05)
    assert not inside.any()


def test_crossing_polygons_are_said(tmp_path: Path):
    with pytest.warns(UserWarning, match="polygon.obj: 1 polygons cross themselves"):
        load_mesh(written("obj", [(0, 0), (2, 2), (2, 0), (0, 3)], tmp_path))
