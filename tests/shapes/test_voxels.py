"""Voxels: the inside test against the winding number, the skin, the ways out."""

from __future__ import annotations

import time

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.shapes.mesh import Mesh, box, cylinder, ellipsoid, icosphere, torus
from svr_nb.shapes.solids import winding_number
from svr_nb.shapes.voxels import VoxelGrid, voxel_centers, voxelize


def random_parts(count: int, seed: int) -> Mesh:
    """Closed parts, turned and moved at random, some of them overlapping and some mirrored."""
    g, parts = (
        seeded(seed),
        [torus(0.1, 0.04), icosphere(3, 0.09), box((0.2, 0.1, 0.15)), cylinder(0.05, 0.3)],
    )
    turn = [torch.linalg.qr(torch.randn(3, 3, generator=g))[0] for _ in range(count)]
    return Mesh.join(
        [
            parts[i % 4].transform(turn[i], (torch.rand(3, generator=g) - 0.5) * 0.7)
            for i in range(count)
        ]
    )


@pytest.mark.filterwarnings("ignore:mesh. reaches out")
@pytest.mark.parametrize(
    "mesh",
    [
        icosphere(2, 0.4),
        torus(),
        box((0.5, 0.26, 0.94)),
        cylinder(0.3, 0.7, axis="x"),
        ellipsoid((0.5, 0.2, 0.3)).flipped(1),
        box(0.5).turned(),
        random_parts(5, 1),
        random_parts(5, 2),
        box(2.0),
        icosphere(2, 0.4).transform(translation=(0.3, 0, 0)),
    ],
)
def test_every_cell_agrees_with_the_winding_number(mesh: Mesh) -> None:
    size = 16
    exact = (
        winding_number(mesh, voxel_centers(size).reshape(-1, 3)).abs().reshape(size, size, size)
        > 0.5
    )
    for directions in (1, 3):
        assert torch.equal(voxelize(mesh, size, directions=directions).occupancy > 0.5, exact)


def test_columns_through_edges_and_corners() -> None:
    for size in (
        6,
        10,
        18,
    ):  # the diagonals of the box's sides run through cell centres, and nearly its edges too
        line = ((torch.arange(size) + 0.5) / size - 0.5).abs()
        for side in (0.5 - 1e-4, 0.5 + 1e-4):
            assert voxelize(box(side), size).occupancy.sum() == int((line < side / 2).sum()) ** 3


def test_winding_number_values() -> None:
    ball = icosphere(2)
    inside = winding_number(ball, torch.tensor([[0.0, 0, 0], [0.5, 0.2, 0.1], [2, 0, 0]]))
    assert torch.allclose(inside, torch.tensor([1.0, 1, 0]), atol=1e-5)
    assert torch.allclose(
        winding_number(Mesh.join([ball, ball]), torch.zeros(1, 3)), torch.tensor([2.0]), atol=1e-5
    )
    places = torch.rand(50, 3, generator=seeded(9))
    assert torch.allclose(
        winding_number(ball, places, chunk=1000), winding_number(ball, places), atol=1e-6
    )
    with pytest.raises(InputError, match="points"):
        winding_number(ball, torch.zeros(3))


def test_speed() -> None:
    mesh = random_parts(20, 3)
    voxelize(mesh)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        voxelize(mesh)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.25


def test_mirror_image_gives_mirrored_cells() -> None:
    mesh = random_parts(6, 4)
    for axis in range(3):
        assert torch.equal(
            voxelize(mesh.flipped(axis), 24).occupancy, voxelize(mesh, 24).occupancy.flip(axis)
        )


@pytest.mark.filterwarnings("ignore:mesh. reaches out")
def test_surface_cells_hold_the_surface() -> None:
    from svr_nb.shapes.points import sample_surface

    mesh = torus()
    cells = voxelize(mesh, 16, "surface").occupancy
    index = ((sample_surface(mesh, 5000, seeded(0)).points + 0.5) * 16).long().unique(dim=0)
    assert cells[tuple(index.T)].all() and cells.sum() <= 1.4 * len(index)
    touched = voxelize(
        Mesh([[-0.9, 0.01, 0.01], [0.9, 0.01, 0.01], [0.9, 0.02, 0.01]], [[0, 1, 2]]), 8, "surface"
    ).occupancy
    assert touched.sum() == 8


def test_open_sheets_are_their_surface_and_empty_meshes_nothing() -> None:
    sheet = Mesh([[-0.4, -0.3, 0.1], [0.4, -0.2, 0.1], [0, 0.4, -0.2]], [[0, 1, 2]])
    with pytest.warns(UserWarning, match="no inside"):
        solid = voxelize(sheet).occupancy
    assert torch.equal(solid, voxelize(sheet, mode="surface").occupancy)
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    assert voxelize(empty, 8, "both").occupancy.sum() == 0
    assert (
        len(VoxelGrid(torch.zeros(4, 4, 4)).to_blocks().faces)
        == len(VoxelGrid(torch.zeros(4, 4, 4)).to_mesh().faces)
        == 0
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: VoxelGrid(torch.zeros(2, 2, 3)),
        lambda: VoxelGrid(torch.full((2, 2, 2), 1.5)),
        lambda: VoxelGrid(torch.full((2, 2, 2), float("nan"))),
        lambda: voxelize(box(), 0),
        lambda: voxelize(box(), 2.5),
        lambda: voxelize(box(), mode="thick"),
        lambda: VoxelGrid(torch.zeros(2, 2, 2)).resized(0),
    ],
)
def test_bad_input(make: object) -> None:
    with pytest.raises(InputError):
        make()  # type: ignore[operator]


def test_ways_out() -> None:
    grid = voxelize(random_parts(6, 5), 24)
    assert len(grid.points()) == int(grid.occupancy.sum())
    blocks = grid.to_blocks()
    assert blocks.is_closed() and blocks.volume() == pytest.approx(grid.volume(), rel=1e-4)
    assert torch.equal(voxelize(blocks, 24).occupancy, grid.occupancy)
    assert VoxelGrid(torch.ones(3, 3, 3)).to_blocks().volume() == pytest.approx(1)
    assert VoxelGrid(torch.ones(3, 3, 3)).to_mesh().is_closed()
    assert VoxelGrid(torch.ones(2, 2, 2, dtype=torch.bool)).volume() == 1


def test_resized_keeps_the_volume() -> None:
    grid = voxelize(torus(), 32)
    assert (
        grid.resized(16).volume() == pytest.approx(grid.volume(), rel=1e-5)
        and grid.resized(16).size == 16
    )
    assert grid.resized(64).volume() == pytest.approx(grid.volume(), rel=0.02)


def test_index_order() -> None:
    cells = voxelize(box(0.2, (0.35, -0.35, 0.05)), 10).occupancy
    assert cells.nonzero().float().mean(0).tolist() == pytest.approx([8, 1, 5], abs=0.51)
    assert voxel_centers(10)[9, 0, 5].tolist() == pytest.approx([0.45, -0.45, 0.05])
