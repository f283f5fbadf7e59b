"""Solids: imperfect meshes are filled like the perfect ones they were made from, or it is said."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch

from svr_nb.conventions import seeded
from svr_nb.shapes.mesh import Mesh, box, cylinder, ellipsoid, icosphere, torus
from svr_nb.shapes.solids import inside_cells, mended, odd_votes
from svr_nb.shapes.voxels import VoxelGrid, voxelize

BALL, CUBE = icosphere(3, 0.3), box(0.5)
WHOLE = {
    "ball": BALL,
    "box": CUBE,
    "ring": torus(0.3, 0.12, axis="z"),
    "cone": cylinder(0.3, 0.7, top=0),
    "egg": ellipsoid((0.45, 0.2, 0.3)).flipped(1),
    "two apart": Mesh.join([box(0.3, (-0.3, 0, 0)), icosphere(2, 0.15).transform(translation=0.3)]),
    "hollow": Mesh.join([icosphere(3, 0.45), icosphere(3, 0.25).turned()]),
    "side by side": Mesh.join([box(0.25), box(0.25, (0.25, 0, 0))]),
}


def turned(mesh: Mesh, share: float = 0.5, seed: int = 0) -> Mesh:
    chosen = torch.rand(len(mesh.faces), generator=seeded(seed)) < share
    faces = torch.where(chosen[:, None], mesh.faces[:, [0, 2, 1]], mesh.faces)
    return Mesh(mesh.verts, faces)


def holed(mesh: Mesh, share: float, seed: int = 0) -> Mesh:
    return Mesh(mesh.verts, mesh.faces[torch.rand(len(mesh.faces), generator=seeded(seed)) > share])


def soup(mesh: Mesh) -> Mesh:
    return Mesh(
        mesh.verts[mesh.faces].reshape(-1, 3), torch.arange(3 * len(mesh.faces)).view(-1, 3)
    )


FAULTS: dict[str, Callable[[Mesh], Mesh]] = {
    "every face twice, both ways round": lambda m: Mesh(
        m.verts, torch.cat([m.faces, m.turned().faces])
    ),
    "twice, with corners of its own": lambda m: Mesh.join([m, m.turned()]),
    "every face twice, one way round": lambda m: Mesh(m.verts, m.faces.repeat(2, 1)),
    "every second face turned": lambda m: Mesh(
        m.verts,
        torch.where(torch.arange(len(m.faces))[:, None] % 2 > 0, m.faces, m.faces[:, [0, 2, 1]]),
    ),
    "turned at random": turned,
    "a soup of triangles, turned at random": lambda m: turned(soup(m)),
    "corners shuffled, unused ones between": lambda m: Mesh(
        torch.cat([torch.full((3, 3), 50.0), m.verts]), (m.faces + 3).flip(0)
    ),
    "inside out": lambda m: m.turned(),
    "faces without area": lambda m: Mesh(m.verts, torch.cat([m.faces, m.faces[:9, [0, 1, 1]]])),
}


def said(make: Callable[[], VoxelGrid]) -> tuple[VoxelGrid, str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        grid = make()
    assert all(w.filename == __file__ for w in caught)  # the warning points at the caller
    return grid, " ".join(str(w.message) for w in caught)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("shape", WHOLE)
def test_what_can_be_mended_gives_the_cells_of_the_whole_mesh(shape: str, fault: str) -> None:
    mesh = WHOLE[shape]
    if shape == "hollow" and ("twice, both" in fault or "twice, with" in fault):
        mesh = Mesh(mesh.verts, mesh.faces[: len(mesh.faces) // 2])  # no inner wall can be known
    for directions in (1, 3):
        grid, text = said(lambda n=directions: voxelize(FAULTS[fault](mesh), 24, directions=n))
        assert torch.equal(grid.occupancy, voxelize(mesh, 24).occupancy) and not text


@pytest.mark.parametrize("share", [0.02, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("name", ["ball", "egg", "ring"])
def test_missing_faces_cost_little(name: str, share: float) -> None:
    mesh = WHOLE[name]
    grid, text = said(lambda: voxelize(turned(holed(mesh, share)), 32))
    whole = voxelize(mesh, 32)
    assert text or abs(grid.volume() / whole.volume() - 1) < 0.1
    if name == "ball":
        assert abs(grid.volume() / BALL.volume() - 1) < 0.1


def test_a_box_without_its_lid_is_full() -> None:
    for lid in ([0, 6], [1, 7], [2, 8], [3, 9], [4, 10], [5, 11]):
        keep = [i for i in range(12) if i not in lid]
        for mesh in (
            Mesh(CUBE.verts, CUBE.faces[keep]),
            turned(Mesh(CUBE.verts, CUBE.faces[keep])),
        ):
            assert said(lambda mesh=mesh: voxelize(mesh, 32))[0].volume() == 0.125


def test_open_parts_that_overlap_are_their_union() -> None:
    parts = [box(0.4), box((0.2, 0.9, 0.2))]
    crates = Mesh.join([Mesh(p.verts, p.faces[[0, 1, 2, 3, 4, 6, 7, 8, 9, 10]]) for p in parts])
    whole = voxelize(Mesh.join(parts), 24)
    assert abs(said(lambda: voxelize(crates, 24))[0].volume() / whole.volume() - 1) < 0.05


@pytest.mark.parametrize(
    ("mesh", "text"),
    [
        (box(50.0), "reaches out of the cube"),
        (Mesh(CUBE.verts + 5, CUBE.faces), "lies outside the cube"),
        (Mesh(CUBE.verts - 20, CUBE.faces), "lies outside the cube"),
        (Mesh(CUBE.verts + torch.tensor([0.4, 0, 0]), CUBE.faces), "reaches out of the cube"),
        (Mesh(box(100.0).verts, box(100.0).faces[1:]), "reaches out of the cube"),
        (holed(BALL, 0.7), "is not closed"),
        (
            Mesh(torch.rand(90, 3, generator=seeded(3)) - 0.5, torch.arange(90).view(-1, 3)),
            "not closed",
        ),
        (Mesh([[-0.4, -0.3, 0.1], [0.4, -0.2, 0.1], [0, 0.4, -0.2]], [[0, 1, 2]]), "has no inside"),
        (box((0.9, 0.9, 1e-4)), "thinner than a cell"),
        (Mesh.join([box((0.9, 0.9, 1e-4)), box((0.9, 0.9, 1e-4)).turned()]), "thinner than a cell"),
    ],
)
def test_what_cannot_be_trusted_is_said(mesh: Mesh, text: str) -> None:
    assert text in said(lambda: voxelize(mesh, 32))[1]


def test_the_surface_of_what_is_open_is_kept() -> None:
    sheet = Mesh([[-0.4, 0.2, -0.4], [0.4, 0.2, -0.4], [0.4, 0.2, 0.4]], [[0, 1, 2]])
    winged = Mesh.join([box(0.2, (0, -0.3, 0)), sheet])
    cells = voxelize(winged, 24).occupancy
    assert torch.equal(
        cells,
        voxelize(box(0.2, (0, -0.3, 0)), 24).occupancy.maximum(
            voxelize(sheet, 24, "surface").occupancy
        ),
    )


def test_closed_meshes_are_quiet_and_nothing_is_guessed() -> None:
    for mesh in WHOLE.values():
        found = inside_cells(mesh, 20)
        assert (found.open_faces, found.doubtful) == (0, 0)
        assert not said(lambda mesh=mesh: voxelize(mesh, 20, "both"))[1]
    exact = box(1.0)
    assert not said(lambda: voxelize(exact, 7))[1] and voxelize(exact, 7).volume() == 1


def test_votes_are_all_or_none_in_a_closed_mesh_and_any_block_of_cells() -> None:
    triangles = (BALL.verts.double().numpy()[BALL.faces.numpy()] + 0.5) * np.array([10, 14, 18])
    votes = odd_votes(triangles, (10, 14, 18))
    assert votes.shape == (10, 14, 18) and np.isin(votes, (0, 26)).all()
    assert abs((votes == 26).mean() - BALL.volume()) < 0.01


def test_mended_keeps_every_triangle_once() -> None:
    verts, faces = BALL.verts.double().numpy(), BALL.faces.numpy()
    closed, loose, part = mended(verts, np.concatenate([faces, faces[:, ::-1], faces]))
    assert len(closed) == len(faces) and len(loose) == len(part) == 0
    closed, loose, part = mended(verts, np.concatenate([faces[3:], faces[3:4]]))
    assert len(closed) == 0 and len(loose) == len(faces) - 3 and part.max() == 0
    closed, loose, _ = mended(np.zeros((3, 3)), np.array([[0, 1, 2]]))
    assert len(closed) == len(loose) == 0


@pytest.mark.parametrize(
    "old, new", [(5, 3), (7, 2), (9, 4), (3, 1), (6, 4), (8, 4), (32, 20), (31, 16)]
)
def test_coarser_grids_keep_the_volume(old: int, new: int) -> None:
    grid = VoxelGrid((torch.rand(old, old, old, generator=seeded(old)) > 0.5).float())
    coarse = grid.resized(new)
    assert coarse.size == new and coarse.volume() == pytest.approx(grid.volume(), abs=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_odd_grids_become_closed_meshes(size: int) -> None:
    for seed in range(10):
        cells = torch.randint(0, 3, (size,) * 3, generator=seeded(size, seed)) / 2
        for level in (0.0, 0.3, 0.5, 0.999):
            mesh = VoxelGrid(cells).to_mesh(level)
            assert mesh.is_closed() == bool((cells > level).any())
            assert mesh.volume() >= 0
        assert len(VoxelGrid(cells).to_mesh(1.0).faces) == 0
    for level in (-0.1, 1.5, float("nan")):
        for ask in (VoxelGrid.to_mesh, VoxelGrid.to_blocks, VoxelGrid.points):
            with pytest.raises(ValueError, match="^level"):
                ask(VoxelGrid(torch.ones(2, 2, 2)), level)


def test_a_shape_that_fits_but_for_a_cell_is_no_reason_to_warn() -> None:
    assert not said(lambda: voxelize(box(1.03), 32))[1]
    assert not said(lambda: voxelize(VoxelGrid(torch.ones(5, 5, 5)).to_mesh(), 16))[1]
    assert said(lambda: voxelize(box(1.1), 32))[1]
