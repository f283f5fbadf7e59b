"""OFF, STL and XYZ in their dialects."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from svr_nb.conventions import FileError, seeded
from svr_nb.shapes import stl_files
from svr_nb.shapes.color_ranges import unit_colors
from svr_nb.shapes.mesh import box, icosphere
from svr_nb.shapes.mesh_files import load_mesh, save_mesh
from svr_nb.shapes.point_files import load_points
from svr_nb.shapes.points import sample_surface

SQUARE = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n"


def mesh(data: str | bytes, path: Path):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return load_mesh(path)


@pytest.mark.parametrize(
    "text",
    [
        f"OFF\n4 1 0\n{SQUARE}4 0 1 2 3\n",
        f"OFF 4 1 0\n{SQUARE}4 0 1 2 3\n",
        f"OFF4 1 0\n{SQUARE}4 0 1 2 3\n",
        f"OFF 4 1\n{SQUARE}4 0 1 2 3\n",
        f"\ufeffoff\n# words\n\n4 1 0 # counts\n{SQUARE}# between\n4 0 1 2 3 # a face\n",
        f"OFF\n4 1 0\n{SQUARE}4 0 1 2 3\n".replace(" ", "\t"),
        f"OFF\n4 1 0\n{SQUARE}4 0 1 2 3\n".replace("\n", "\r"),
        f"OFF\n4 1 0\n{SQUARE}4 0 1 2 3\n".replace("\n", "\r\n"),
        "OFF\n4 1 0\n0 0 0 1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3",
        "NOFF\n4 1 0\n" + SQUARE.replace(" 0\n", " 0 0 0 1\n") + "4 0 1 2 3\n",
        "4OFF\n4 1 0\n" + SQUARE.replace("1", "2").replace(" 0\n", " 0 2\n") + "4 0 1 2 3\n",
        "STOFF\n4 1 0\n" + SQUARE.replace(" 0\n", " 0 0.5 0.5\n") + "4 0 1 2 3\n",
        f"OFF\n4 2 0\n{SQUARE}4 0 1 2 3\n2 0 1\n",
    ],
)
def test_off_dialects(text: str, tmp_path: Path, recwarn: pytest.WarningsRecorder):
    read = mesh(text, tmp_path / "a.off")
    assert (
        float(read.areas().sum()) == pytest.approx(1)
        and read.vert_colors is None
        and not recwarn.list
    )


@pytest.mark.parametrize("color", ["255 0 51", "255 0 51 255", "1.0 0.0 0.2", "1.0 0.0 0.2 1.0"])
@pytest.mark.parametrize("of", ["vertices", "vertices and normals", "faces"])
def test_off_colours(of: str, color: str, tmp_path: Path, recwarn: pytest.WarningsRecorder):
    text = {
        "vertices": "COFF\n4 1 0\n" + SQUARE.replace(" 0\n", f" 0 {color}\n") + "4 0 1 2 3\n",
        "vertices and normals": "CNOFF\n4 1 0\n"
        + SQUARE.replace(" 0\n", f" 0 0 0 1 {color}\n")
        + "4 0 1 2 3\n",
        "faces": f"OFF\n4 1 0\n{SQUARE}4 0 1 2 3 {color}\n",
    }[of]
    colors = sample_surface(mesh(text, tmp_path / "a.off"), 99, seeded(0)).colors
    assert colors.mean(0).tolist() == pytest.approx([1, 0, 0.2], abs=0.01) and not recwarn.list


def test_off_numbers_that_nobody_announced(tmp_path: Path):
    for row, match in (("9 9 9", "read as colours"), ("7", "nothing says what they are")):
        text = "OFF\n4 1 0\n" + SQUARE.replace(" 0\n", f" 0 {row}\n") + "4 0 1 2 3\n"
        with pytest.warns(UserWarning, match=match):
            assert float(mesh(text, tmp_path / "a.off").areas().sum()) == pytest.approx(1)
    with pytest.warns(UserWarning, match="left out"):
        mesh(f"OFF\n4 1 0\n{SQUARE}4 0 1 2 3 7\n", tmp_path / "a.off")


@pytest.mark.parametrize(
    "text",
    [
        "OFF BINARY\n4 1 0\n",
        f"nOFF\n3\n4 1 0\n{SQUARE}4 0 1 2 3\n",
        f"4 1 0\n{SQUARE}4 0 1 2 3\n",
        f"OFF\n4 1 0\n{SQUARE}4 0 1 2\n",
        f"OFF\n4 1 0\n{SQUARE}4 0 1 2 9\n",
        f"OFF\n4 1 0\n{SQUARE}4 0 1 2 -1\n",
        "OFF\n4 1 0\n0 0 0\n",
    ],
)
def test_off_damage(text: str, tmp_path: Path):
    with pytest.raises(FileError, match="a.off: expected a readable .off mesh, got"):
        mesh(text, tmp_path / "a.off")


def stl(shape, form: str) -> bytes:
    """A shape as STL, in text or in bytes."""
    corners = shape.verts[shape.faces].tolist()
    if form.startswith("bytes"):
        rows = b"".join(struct.pack("<12fH", 0, 0, 0, *sum(face, []), 0) for face in corners)
        top = b"solid facet of something" if "solid" in form else b"binary"
        return top.ljust(80) + struct.pack("<I", len(corners)) + rows + b"\n" * ("tail" in form)
    pattern = (
        "  vertex {:.7g} {:.7g} {:.7g}\n"
        if "short" not in form
        else "vertex {:.9e} {:.9e} {:.9e}\n"
    )
    facet = lambda face: (
        "facet normal 0 0 0\n outer loop\n"
        + "".join(pattern.format(*p) for p in face)
        + " endloop\nendfacet\n"
    )
    half = len(corners) // 2
    text = "solid a\n" + "".join(map(facet, corners[:half]))
    text += (
        ("endsolid a\nsolid b c\n" if "several" in form else "")
        + "".join(map(facet, corners[half:]))
        + "endsolid\n"
    )
    text = text.upper() if "upper" in form else text.replace("\n", "\r") if "CR" in form else text
    return (
        "\ufeff" * ("bom" in form) + text.replace(" ", "\t" if "tabs" in form else " ")
    ).encode()


@pytest.mark.parametrize(
    "form",
    [
        "bytes",
        "bytes, solid",
        "bytes, tail",
        "text",
        "text, short",
        "text, several",
        "text, upper",
        "text, CR",
        "text, tabs",
        "text, bom",
    ],
)
def test_stl_is_welded_by_one_rule(form: str, tmp_path: Path):
    for shape in (box(), icosphere(2)):
        read = mesh(stl(shape, form), tmp_path / "a.stl")
        assert (
            len(read.verts) == len(shape.verts)
            and read.is_closed()
            and len(read.faces) == len(shape.faces)
        )
        assert read.volume() == pytest.approx(shape.volume(), rel=1e-4)


def test_a_ball_comes_back_from_stl(tmp_path: Path):
    again = load_mesh(save_mesh(icosphere(2), tmp_path / "ball.stl"))
    assert len(again.verts) == 162 and again.is_closed()
    assert again.name == "ball" and torch.equal(
        again.verts[again.faces], icosphere(2).verts[icosphere(2).faces]
    )


@pytest.mark.parametrize(
    "data",
    [
        b"solid x\nendsolid x\n",
        b"solid x\nfacet normal 0 0 1\nouter loop\nvertex 0 0\n",
        bytes(84),
        bytes(80) + b"\2\0\0\0" + bytes(60),
        b"short",
    ],
)
def test_stl_damage(data: bytes, tmp_path: Path):
    with pytest.raises(FileError, match="a.stl: expected a readable .stl mesh, got"):
        mesh(data, tmp_path / "a.stl")


def cloud(text: str, folder: Path):
    (folder / "a.xyz").write_text(text)
    return load_points(folder / "a.xyz")


def rows(tail: str, between: str = " ") -> str:
    """Twelve points with something behind each."""
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(12):
        x = rng.normal(size=3)
        n = rng.normal(size=3)
        n /= np.linalg.norm(n)
        words = tail.format(n=" ".join(f"{v:.6f}" for v in n), i=rng.integers(-2000, 2000)).split()
        lines.append(between.join([*(f"{v:.5f}" for v in x), *words]))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("between", [" ", "\t", ",", ", ", ";", "   "])
@pytest.mark.parametrize(
    ("tail", "colour", "normal", "said"),
    [
        ("", None, False, ""),
        ("0 51 255", [0, 0.2, 1], False, ""),
        ("0.3 0.2 0.5", [0.3, 0.2, 0.5], False, ""),
        ("{n}", None, True, ""),
        ("{n} 0 51 255", [0, 0.2, 1], True, ""),
        ("0 51 255 {n}", [0, 0.2, 1], True, ""),
        ("0.5", None, False, "1 left out"),
        ("0.5 7", None, False, "2 left out"),
        ("{i} 0 51 255", [0, 0.2, 1], False, "1 left out"),
        ("0 51 255 255", [0, 0.2, 1], False, "1 left out"),
        ("-5 7 -9", None, False, "3 left out"),
        ("0 0 1", [0, 0, 1], False, "may be colours or normals"),
    ],
)
def test_xyz_columns(
    between: str,
    tail: str,
    colour,
    normal: bool,
    said: str,
    tmp_path: Path,
    recwarn: pytest.WarningsRecorder,
):
    read = cloud(rows(tail, between), tmp_path)
    assert len(read) == 12 and (read.normals is not None) == normal
    assert (None if read.colors is None else read.colors[0].tolist()) == (
        colour and pytest.approx(colour, abs=0.01)
    )
    texts = " ".join(str(w.message) for w in recwarn.list)
    assert said in texts if said else not texts


@pytest.mark.parametrize(
    "title",
    [
        "x y z nx ny nz r g b",
        "# X Y Z NX NY NZ Red Green Blue",
        "//X Y Z Nx Ny Nz R G B",
        '"x","y","z","nx","ny","nz","r","g","b"',
    ],
)
def test_xyz_titles(title: str, tmp_path: Path, recwarn: pytest.WarningsRecorder):
    read = cloud(title + "\n0 0 0 0 0 1 0 51 255\n1 0 0 0 0 1 0 51 255\n", tmp_path)
    assert (
        read.normals[0].tolist() == [0, 0, 1]
        and read.colors[0].tolist() == pytest.approx([0, 0.2, 1])
        and not recwarn.list
    )


def test_xyz_counts_marks_and_decimal_commas(tmp_path: Path):
    assert len(cloud("2\n0 0 0\n1 0 0\n", tmp_path)) == 2
    assert cloud("\ufeff0,5;1,5;2\n1;1;1\n", tmp_path).points[0].tolist() == [0.5, 1.5, 2]
    assert len(cloud("0 0 0\r1 0 0\r", tmp_path)) == 2
    with pytest.raises(FileError, match="a.xyz"):
        cloud("0 0 0\nC 1 1 1\n", tmp_path)


@pytest.mark.parametrize(
    ("top", "kind", "white"),
    [
        (255, "u1", 255),
        (1, "u1", 255),
        (1, "f4", 1),
        (255, "f4", 255),
        (65535, "u2", 65535),
        (300, "f8", 65535),
    ],
)
def test_what_white_is(top: float, kind: str, white: float):
    notes: list[str] = []
    read = unit_colors(np.array([[0, 0, top]]), np.dtype(kind), "a", notes)
    assert read[0, 2] == pytest.approx(top / white) and not notes


@pytest.mark.parametrize("values", [[[0, 0, -1]], [[0, 0, np.nan]], [[0, 0, 1e9]]])
def test_what_is_no_colour_is_left_out(values: list):
    notes: list[str] = []
    assert unit_colors(np.array(values), np.dtype(float), "a", notes) is None and len(notes) == 1


@pytest.mark.parametrize("kind", ["few values", "all different", "copies", "not finite"])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 50, 2000])
def test_welding_by_one_number_is_welding_by_three(kind: str, count: int):
    """Against NumPy's own grouping of rows, with negative zeros and values that are not finite."""
    draw = np.random.default_rng(count)
    points = draw.normal(size=(count, 3)).astype(np.float32)
    if kind == "few values":
        points = np.round(points)
    if kind == "copies" and count:
        points = points[draw.integers(0, count, count)]
    if kind == "not finite":
        points[draw.random((count, 3)) < 0.1] = np.nan
        points[draw.random((count, 3)) < 0.1] = -0.0
    _, first, which = np.unique(
        np.ascontiguousarray(points + np.float32(0)),
        axis=0,
        return_index=True,
        return_inverse=True,
    )
    kept, now = stl_files.weld(points)
    assert (kept == np.sort(first)).all() and (kept[now] == first[which.reshape(-1)]).all()


def test_two_places_with_one_number_are_two(monkeypatch):
    monkeypatch.setattr(stl_files, "_ODD", np.zeros(3, dtype=np.uint64))
    points = np.eye(3, dtype=np.float32)
    assert stl_files._by_key(points) is None and len(stl_files.weld(points)[0]) == 3
