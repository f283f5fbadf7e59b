"""Saving touches the file that was named, and no other."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
import torch
from PIL import Image

from svr_nb.conventions import FileError, InputError, seeded
from svr_nb.shapes.mesh import Mesh, box
from svr_nb.shapes.mesh_files import load_mesh, save_mesh
from svr_nb.shapes.points import sample_surface
from svr_nb.shapes.side_files import is_own, own_side_files

RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def textured(color: tuple) -> Mesh:
    """A box with a plain picture."""
    shape = box((0.5, 0.5, 0.5))
    corners = torch.tensor([[0, 0], [1, 0], [1, 1]]).float().expand(len(shape.faces), 3, 2)
    picture = torch.tensor(color)[:, None, None].expand(3, 16, 16)
    return Mesh(shape.verts, shape.faces, uvs=corners, texture=picture)


def colour(path: Path) -> tuple | None:
    colors = sample_surface(load_mesh(path), 200, seeded(0)).colors
    return None if colors is None else tuple(round(x, 2) for x in colors.mean(0).tolist())


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.mark.parametrize(
    "name",
    [
        "photo.png",
        "photo.mtl",
        "PHOTO.PNG",
        "Photo.Mtl",
        "photo_texture.png",
        "photo_texture_2.mtl",
        "photo.jpg",
        "photo.PNG.bak",
    ],
)
def test_what_lies_there_is_kept(name: str, tmp_path: Path):
    (tmp_path / name).write_bytes(b"somebody's own")
    Image.new("RGB", (9, 9), (1, 2, 3)).save(tmp_path / "photo_texture_3.png")
    before = contents(tmp_path)
    for color in (RED, GREEN, GREEN, BLUE):
        save_mesh(textured(color), tmp_path / "photo.obj")
        assert colour(tmp_path / "photo.obj") == color
        assert before.items() <= contents(tmp_path).items()
    assert len(contents(tmp_path)) == len(before) + 3  # no litter either


def test_a_picture_that_was_painted_over_is_not_ours(tmp_path: Path):
    path = save_mesh(textured(RED), tmp_path / "a.obj")
    with Image.open(tmp_path / "a.png") as picture:
        note = picture.info
        changed = picture.copy()
    changed.putpixel((0, 0), (9, 9, 9))
    from PIL.PngImagePlugin import PngInfo

    kept = PngInfo()
    kept.add_itxt("svr_nb", str(note["svr_nb"]))  # an editor may carry the line along
    changed.save(tmp_path / "a.png", pnginfo=kept)
    mine = (tmp_path / "a.png").read_bytes()
    assert not is_own(tmp_path / "a.png", "a.obj")
    save_mesh(textured(BLUE), path)
    assert (tmp_path / "a.png").read_bytes() == mine and colour(path) == BLUE


NAMES = ["my horse", "my_horse", "My Horse", "my#horse", "my.horse", "my horse.", "my-horse", "-my horse",
         unicodedata.normalize("NFC", "möhre"), unicodedata.normalize("NFD", "möhre"), "MÖHRE", "馬", "x" * 200, "my%20horse", "my\\horse"]  # fmt: skip


def test_distinct_names_have_distinct_side_files(tmp_path: Path):
    colors = {name: (k / 20, 1 - k / 20, 0.5) for k, name in enumerate(NAMES)}
    for _ in range(2):
        for name in NAMES:
            save_mesh(textured(colors[name]), tmp_path / f"{name}.obj")
        for name in NAMES:
            read = colour(tmp_path / f"{name}.obj")
            assert read == pytest.approx(colors[name], abs=0.01), name
    assert len(contents(tmp_path)) == 3 * len(NAMES)
    lower = [unicodedata.normalize("NFC", p.name).casefold() for p in tmp_path.glob("*.png")]
    assert len(lower) == len(set(lower))


@pytest.mark.parametrize("stop", range(1, 5))
@pytest.mark.parametrize("step", ["fsync", "replace", "link"])
def test_a_save_that_fails_leaves_the_old_object(
    step: str, stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = save_mesh(textured(RED), tmp_path / "a.obj")
    before, count = contents(tmp_path), [0]
    owner = Path if step == "replace" else os
    real = getattr(owner, step)

    def failing(*given: object) -> object:
        count[0] += 1
        if count[0] >= stop:
            raise OSError(28, "No space left on device")
        return real(*given)

    monkeypatch.setattr(owner, step, failing)
    try:
        save_mesh(textured(BLUE), path)
        monkeypatch.undo()
        assert colour(path) == BLUE and len(contents(tmp_path)) == 3
    except FileError:
        monkeypatch.undo()
        assert contents(tmp_path) == before and colour(path) == RED


def test_inputs_of_the_same_call_stay(tmp_path: Path):
    path = save_mesh(textured(RED), tmp_path / "a.obj")
    photo = tmp_path / "a.png"  # ours, and now somebody's input
    before = photo.read_bytes()
    save_mesh(textured(BLUE), path, keep=[photo])
    assert photo.read_bytes() == before and colour(path) == BLUE
    with pytest.raises(InputError, match="another file than the input"):
        save_mesh(textured(BLUE), path, keep=[str(path)])


def test_a_copy_keeps_its_picture(tmp_path: Path):
    path = save_mesh(textured(RED), tmp_path / "a.obj")
    (tmp_path / "copy.obj").write_bytes(path.read_bytes())
    save_mesh(textured(BLUE), path)
    assert colour(tmp_path / "copy.obj") == RED and colour(path) == BLUE


def test_a_plain_object_takes_its_side_files_along(tmp_path: Path):
    path = save_mesh(textured(RED), tmp_path / "a.obj")
    assert len(own_side_files(path)) == 2
    save_mesh(box(), path)
    assert list(contents(tmp_path)) == ["a.obj"]


def test_a_folder_of_that_name_is_no_obstacle(tmp_path: Path):
    (tmp_path / "a.png").mkdir()
    assert colour(save_mesh(textured(RED), tmp_path / "a.obj")) == RED


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for kind in ("glb", "obj", "ply", "off", "stl"):
        with pytest.warns(UserWarning) if kind in ("off", "stl") else pytest.MonkeyPatch.context():
            assert save_mesh(textured(RED), f"~/a.{kind}") == tmp_path / f"a.{kind}"
        load_mesh(f"~/a.{kind}")
    assert not (tmp_path / "~").exists()
