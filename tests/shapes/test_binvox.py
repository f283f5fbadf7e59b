"""Voxel grids in the binvox format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from svr_nb.conventions import FileError
from svr_nb.shapes.binvox import decode_binvox, encode_binvox, load_binvox, save_binvox
from svr_nb.shapes.mesh_files import load_mesh
from svr_nb.shapes.voxels import VoxelGrid


@given(some.integers(1, 12), some.floats(0, 1), some.integers(0, 99))
def test_round_trip(size: int, share: float, seed: int):
    cells = np.random.default_rng(seed).random((size, size, size)) < share
    again, corner, scale = decode_binvox(encode_binvox(cells, (1.5, -2, 0.25), 3.5))
    assert np.array_equal(again, cells) and corner == (1.5, -2, 0.25) and scale == 3.5


def test_the_order_is_x_then_z_then_y():
    """Against the definition, cell by cell, without the reader's reshape."""
    size = 5
    flat = np.random.default_rng(1).integers(0, 2, size**3).astype(np.uint8)
    data = (
        b"#binvox 1\ndim 5 5 5\ntranslate 0 0 0\nscale 1\ndata\n"
        + np.stack([flat, np.ones_like(flat)], 1).tobytes()
    )
    cells = decode_binvox(data)[0]
    for x, y, z in np.ndindex(size, size, size):
        assert cells[x, y, z] == flat[x * size * size + z * size + y]


@pytest.mark.parametrize("size", [7, 16, 33])
def test_long_runs_are_split(size: int):
    for cells in (np.zeros((size,) * 3, bool), np.ones((size,) * 3, bool)):
        data = encode_binvox(cells)
        counts = np.frombuffer(data.split(b"data\n", 1)[1], np.uint8)[1::2]
        assert (
            counts.min() > 0
            and counts.sum(dtype=int) == size**3
            and len(counts) == -(-(size**3) // 255)
        )
        assert np.array_equal(decode_binvox(data)[0], cells)


def test_chatty_headers():
    data = encode_binvox(np.eye(4, dtype=bool)[None].repeat(4, 0))
    for change in (
        data.replace(b"dim", b"# words\n\n  dim"),
        data.replace(b"translate -0.5 -0.5 -0.5\nscale 1\n", b""),
        data.replace(b"\n", b"\r\n", 4),
    ):
        assert decode_binvox(change)[0].sum() == 16


def test_data_that_contains_the_word_data():
    cells = np.zeros((8, 8, 8), bool)
    data = encode_binvox(cells)
    head, body = data.split(b"data\n", 1)
    assert np.array_equal(decode_binvox(head + b"# data\ndata\n" + body)[0], cells)


def test_files(tmp_path: Path):
    soft = torch.linspace(0, 1, 64).reshape(4, 4, 4)
    path = save_binvox(VoxelGrid(soft), tmp_path / "a.binvox", level=0.7)
    assert torch.equal(load_binvox(path).occupancy, (soft > 0.7).float())
    with pytest.raises(FileError, match="up to 3 cells"):
        load_binvox(path, max_side=3)
    with pytest.raises(FileError, match="binvox"):
        save_binvox(VoxelGrid(soft), tmp_path / "a.vox")
    with pytest.raises(FileError, match="nothing of that name"):
        load_binvox(tmp_path / "b.binvox")


def test_real_grid_lies_over_its_mesh(shared_data: Path):
    folder = shared_data / "shapenet_derived" / "trimesh_chair"
    cells, corner, scale = decode_binvox((folder / "chair_model.binvox").read_bytes())
    mesh = load_mesh(folder / "chair_model.obj")
    assert cells.shape == (32, 32, 32) and cells.sum() == 1932
    assert np.allclose(mesh.bounds()[0].numpy(), corner, atol=1e-4)
    inside = ((mesh.verts.numpy() - corner) / scale * 32).astype(int).clip(0, 31)
    near = (
        cells
        | np.roll(cells, 1, 0)
        | np.roll(cells, -1, 0)
        | np.roll(cells, 1, 1)
        | np.roll(cells, -1, 1)
        | np.roll(cells, 1, 2)
        | np.roll(cells, -1, 2)
    )
    assert near[tuple(inside.T)].mean() > 0.98
    swapped = near.transpose(0, 2, 1)
    assert swapped[tuple(inside.T)].mean() < 0.9
