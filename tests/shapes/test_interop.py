"""Meshes to and from trimesh and PyTorch3D."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import trimesh

from svr_nb.conventions import InputError, seeded
from svr_nb.shapes.mesh import Mesh, box, icosphere
from svr_nb.shapes.uv import wrap_texture


def test_trimesh_round_trip_with_colors() -> None:
    mesh = replace(icosphere(2), vert_colors=torch.rand(162, 3, generator=seeded(0)))
    back = Mesh.from_trimesh(mesh.to_trimesh(), "ball")
    assert (
        torch.equal(back.faces, mesh.faces)
        and torch.allclose(back.verts, mesh.verts)
        and back.name == "ball"
    )
    assert (back.vert_colors - mesh.vert_colors).abs().max() <= 0.5 / 255 + 1e-6


def test_trimesh_round_trip_with_texture() -> None:
    mesh = wrap_texture(icosphere(2), torch.rand(3, 8, 16, generator=seeded(1)))
    back = Mesh.from_trimesh(mesh.to_trimesh())
    assert (
        torch.allclose(back.uvs, mesh.uvs, atol=1e-6)
        and (back.texture - mesh.texture).abs().max() <= 0.5 / 255 + 1e-6
    )
    assert torch.allclose(back.verts[back.faces], mesh.verts[mesh.faces])


def test_measures_agree_with_trimesh() -> None:
    mesh = Mesh.join([icosphere(2), box((1, 2, 3), (5, 0, 0))])
    other = mesh.to_trimesh()
    assert mesh.volume() == pytest.approx(other.volume, rel=1e-4) and float(
        mesh.areas().sum()
    ) == pytest.approx(other.area, rel=1e-5)
    assert mesh.euler() == other.euler_number and mesh.is_closed() == other.is_watertight


def test_scenes_are_flattened_and_other_things_refused() -> None:
    scene = trimesh.Scene()
    for x in (-1.0, 1.0):
        scene.add_geometry(
            trimesh.creation.box((1, 1, 1)),
            transform=trimesh.transformations.translation_matrix([x, 0, 0]),
        )
    assert Mesh.from_trimesh(scene).volume() == pytest.approx(2, rel=1e-5)
    for bad in (trimesh.PointCloud([[0, 0, 0]]), "mesh", None):
        with pytest.raises(InputError, match="other"):
            Mesh.from_trimesh(bad)


def test_pytorch3d_round_trip() -> None:
    pytest.importorskip("pytorch3d")
    mesh = replace(icosphere(1), vert_colors=torch.rand(42, 3, generator=seeded(2)))
    back = Mesh.from_pytorch3d(mesh.to_pytorch3d())
    assert torch.equal(back.verts, mesh.verts) and torch.equal(back.vert_colors, mesh.vert_colors)
