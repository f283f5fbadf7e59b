"""Several pictures on one sheet: every face shows its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from svr_nb.conventions import rand, seeded
from svr_nb.shapes.bake import baked, quartered, vertex_paint
from svr_nb.shapes.mesh import Mesh, box, icosphere
from svr_nb.shapes.mesh_files import load_mesh, save_mesh
from svr_nb.shapes.points import sample_surface
from svr_nb.shapes.sheets import MOST_PIXELS, Block, Piece, colored_vertices, packed, painted
from svr_nb.shapes.uv import wrap_texture

QUAD = "v {0} 0 0\nv {1} 0 0\nv {1} 1 0\nv {0} 1 0\n"


def halves(left: object, right: object, size: int = 64) -> Image.Image:
    picture = Image.new("RGB", (size, size), left)
    picture.paste(right, (size // 2, 0, size, size))
    return picture


def strip(
    folder: Path, materials: list[str], reach: float = 1.0, corners: bool = True, tail: str = ""
) -> list[list[float]]:
    """Squares in a row, one for each material: the mean colours of their left and right halves."""
    (folder / "a.mtl").write_text(
        "\n".join(f"newmtl m{k}\n{m}" for k, m in enumerate(materials)) + "\n"
    )
    text = "mtllib a.mtl\n" + f"vt 0 0\nvt {reach} 0\nvt {reach} {reach}\nvt 0 {reach}\n"
    for k in range(len(materials)):
        text += QUAD.format(2 * k, 2 * k + 1) + f"usemtl m{k}\n"
        numbers = [4 * k + c + 1 for c in range(4)]
        text += (
            "f "
            + " ".join(f"{n}/{c + 1}" if corners else str(n) for c, n in enumerate(numbers))
            + "\n"
        )
    (folder / "a.obj").write_text(text + tail)
    cloud = sample_surface(load_mesh(folder / "a.obj"), 6000 * len(materials), seeded(0))
    x, found = cloud.points[:, 0], []
    for k in range(len(materials)):
        for low in (2 * k + 0.02, 2 * k + 0.52):
            found.append(cloud.colors[(x > low) & (x < low + 0.46)].mean(0).tolist())
    return found


def same(found: list[list[float]], right: list[list[float]], by: float = 0.04) -> None:
    assert np.abs(np.array(found) - np.array(right)).max() < by, found


def test_two_pictures_keep_every_pixel(tmp_path: Path):
    halves("red", "yellow").save(tmp_path / "a.png")
    halves("blue", "lime", 128).save(tmp_path / "b.png")
    found = strip(tmp_path, ["map_Kd a.png", "map_Kd b.png"])
    same(found, [[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 0]])


def test_a_picture_beside_plain_colours(tmp_path: Path):
    halves("red", "yellow").save(tmp_path / "a.png")
    found = strip(tmp_path, ["map_Kd a.png", "Kd .2 .3 .4", "Kd 1 0 1", "Kd 0 0 0"])
    same(
        found,
        [
            [1, 0, 0],
            [1, 1, 0],
            [0.2, 0.3, 0.4],
            [0.2, 0.3, 0.4],
            *[[1, 0, 1]] * 2,
            *[[0, 0, 0]] * 2,
        ],
    )


def test_the_same_picture_twice_stays_one(tmp_path: Path):
    halves("red", "yellow").save(tmp_path / "a.png")
    same(strip(tmp_path, ["map_Kd a.png", "map_Kd A.PNG"]), [[1, 0, 0], [1, 1, 0]] * 2)
    assert load_mesh(tmp_path / "a.obj").texture.shape == (3, 64, 64)


@pytest.mark.parametrize("reach", [2.0, 3.0, 8.0, 40.0, 1000.0])
def test_repeated_pictures_beside_another(reach: float, tmp_path: Path):
    halves("red", "blue", 32).save(tmp_path / "a.png")
    halves("lime", "lime").save(tmp_path / "b.png")
    found = strip(tmp_path, ["map_Kd a.png", "map_Kd b.png"], reach)
    if reach == 2:
        with_one = load_mesh(tmp_path / "a.obj")
        assert with_one.uvs.min() >= 0 and with_one.uvs.max() <= 1
    same([np.mean(found[:2], 0)], [[0.5, 0, 0.5]], 0.06)
    same(found[2:], [[0, 1, 0]] * 2)


def test_a_tinted_picture(tmp_path: Path):
    halves("white", "yellow").save(tmp_path / "a.png")
    found = strip(tmp_path, ["map_Kd a.png", "Kd 1 0 0\nmap_Kd a.png", "Kd 0 1 1\nmap_Kd a.png"])
    same(found, [[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 1, 0]])


def test_a_missing_picture_beside_another(tmp_path: Path):
    halves("red", "yellow").save(tmp_path / "a.png")
    with pytest.warns(UserWarning, match="gone.png"):
        found = strip(tmp_path, ["map_Kd a.png", "Kd 0 0 1\nmap_Kd gone.png"])
    same(found, [[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 1]])


def test_what_cannot_show_a_picture_is_said(tmp_path: Path):
    halves("red", "yellow").save(tmp_path / "a.png")
    with pytest.warns(UserWarning, match="without coordinates"):
        strip(tmp_path, ["map_Kd a.png", "Kd 0 0 1"], tail="usemtl m0\nf 1 2 3\n")


def test_the_sheet_survives_a_round_trip(tmp_path: Path):
    halves("red", "yellow").save(tmp_path / "p.png")
    strip(tmp_path, ["map_Kd p.png", "Kd 0 0 1"])
    mesh = load_mesh(tmp_path / "a.obj")
    for kind in ("glb", "obj"):
        again = load_mesh(save_mesh(mesh, tmp_path / f"b.{kind}"))
        assert (again.texture - mesh.texture).abs().max() < 0.005 and torch.allclose(
            again.uvs, mesh.uvs, atol=1e-5
        )


def test_large_pictures_are_made_smaller_and_it_is_said():
    big = torch.rand(1, 1, 1).expand(3, 4000, 4000)
    quad, notes = np.array([[[0, 0], [1, 0], [1, 1.0]]]), []
    pieces = [
        Piece(np.array([[0, 1, 2]]), uvs=quad, picture=big),
        Piece(np.array([[0, 1, 2]]), np.ones((1, 3, 3)) / 2),
    ]
    mesh = painted(np.eye(3, dtype=np.float32), pieces, "a.obj", notes)
    assert mesh.texture[0].numel() < 1.5 * MOST_PIXELS and "of their size" in notes[0]


@pytest.mark.parametrize("textured", [True, False])
def test_colours_that_change_over_a_face(textured: bool):
    """Beside a picture they become texels; with a picture they are multiplied."""
    colors = np.eye(3)[None]
    uvs = np.array([[[0, 0], [1, 0], [0, 1.0]]])
    white = torch.ones(3, 32, 32)
    first = Piece(
        np.array([[0, 1, 2]]), colors, uvs if textured else None, white if textured else None
    )
    pieces = [first, Piece(np.array([[3, 4, 5]]), uvs=uvs, picture=0.25 * torch.ones(3, 8, 8))]
    verts = np.concatenate([np.eye(3), np.eye(3) + 2]).astype(np.float32)
    cloud = sample_surface(painted(verts, pieces, "a", []), 3000, seeded(1))
    own = cloud.points[:, 0] < 1.5
    off = (cloud.colors[own] - cloud.points[own]).abs()
    assert off.max() < 0.1 and off.mean() < 0.01
    assert (cloud.colors[~own] - 0.25).abs().max() < 0.01


def test_very_many_faces_get_a_pixel_each():
    count = 120_000
    verts = np.random.default_rng(0).random((300, 3)).astype(np.float32)
    faces = np.random.default_rng(1).integers(0, 300, (count, 3))
    colors = np.random.default_rng(2).random((count, 3, 3))
    small = Piece(np.array([[0, 1, 2]]), uvs=np.zeros((1, 3, 2)), picture=torch.ones(3, 4, 4))
    mesh = painted(verts, [Piece(faces, colors), small], "a", [])
    middle = sample_surface(
        Mesh(mesh.verts, mesh.faces[:5], uvs=mesh.uvs[:5], texture=mesh.texture), 5, seeded(0)
    )
    right = torch.as_tensor(colors[:5].mean(1))[middle.faces]
    assert (middle.colors - right).abs().max() < 0.01


def test_blocks_do_not_overlap():
    sides = [(5 + 7 * k % 11, 3 + 5 * k % 13) for k in range(20)]
    blocks = [
        Block(torch.full((3, h, w), k / 20), np.zeros((1, 3, 2))) for k, (w, h) in enumerate(sides)
    ]
    sheet, places = packed(blocks)
    for k, (w, h) in enumerate(sides):
        x, y = np.round(places[k][0, 0] * sheet.shape[:0:-1]).astype(int)
        assert (sheet[:, y : y + h, x : x + w] == k / 20).all()


def test_vertices_are_doubled_only_where_colours_differ():
    ball = icosphere(1)
    verts, faces = ball.verts.numpy(), ball.faces.numpy()
    plain = np.ones((80, 3, 3)) * 0.3
    assert len(colored_vertices(verts, faces, plain)[0]) == 42
    plain[0] = 0.6
    more, moved, colors = colored_vertices(verts, faces, plain)
    assert len(more) in (43, 44, 45) and np.allclose(colors[moved], plain, atol=1e-3)


def test_baking(tmp_path: Path, recwarn: pytest.WarningsRecorder):
    finer = quartered(icosphere(1))
    assert finer.is_closed() and len(finer.faces) == 320 and len(finer.verts) == 162
    plain = wrap_texture(icosphere(1), torch.full((3, 8, 16), 0.25))
    assert len(load_mesh(save_mesh(plain, tmp_path / "a.ply")).faces) == 80 and not recwarn.list
    noisy = wrap_texture(icosphere(1), rand(3, 32, 64, generator=seeded(1)))
    found, error = baked(noisy, max_faces=2000)
    assert len(found.faces) == 1280 and error > 0.02


def test_a_picture_saved_as_ply_is_still_there(tmp_path: Path):
    halves("red", "blue").save(tmp_path / "a.png")
    strip(tmp_path, ["map_Kd a.png"])
    with pytest.warns(UserWarning, match="became those of"):
        path = save_mesh(load_mesh(tmp_path / "a.obj"), tmp_path / "b.ply")
    cloud = sample_surface(load_mesh(path), 4000, seeded(0))
    left = cloud.points[:, 0] < 0.5
    assert cloud.colors[left].mean(0).tolist() == pytest.approx([1, 0, 0], abs=0.05)
    assert cloud.colors[~left].mean(0).tolist() == pytest.approx([0, 0, 1], abs=0.05)


def test_painting_vertices_measures_what_is_lost():
    shape = box()
    uvs = torch.tensor([[0, 0], [1, 0], [1, 1]]).float().expand(12, 3, 2)
    ramp = torch.linspace(0, 1, 64).expand(3, 64, 64)
    assert (
        vertex_paint(Mesh(shape.verts, shape.faces, uvs=uvs, texture=torch.ones(3, 4, 4)))[1] < 1e-6
    )
    assert vertex_paint(Mesh(shape.verts, shape.faces, uvs=uvs, texture=ramp))[1] > 0.05
