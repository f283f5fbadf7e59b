"""OBJ and MTL in all their dialects."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from svr_nb.conventions import FileError, seeded
from svr_nb.shapes import obj_files
from svr_nb.shapes.materials import Neighbors, decode_mtl, picture_line
from svr_nb.shapes.mesh import Mesh
from svr_nb.shapes.mesh_files import load_mesh
from svr_nb.shapes.points import sample_surface

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
CORNERS, FACE = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n", "f 1/1 2/2 3/3 4/4\n"
USED = "mtllib a.mtl\nusemtl a\n" + SQUARE + CORNERS + FACE
GREEN = [0, 1, 0]


def mesh(
    folder: Path,
    text: str | bytes,
    material: str | None = None,
    picture: str = "green.png",
    color: object = "lime",
) -> Mesh:
    """An OBJ with its material and a picture of one colour."""
    if material is not None:
        (folder / "a.mtl").write_text(material)
    (folder / picture).parent.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8), color).save(folder / picture)
    (folder / "a.obj").write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_mesh(folder / "a.obj")


def colour(read: Mesh) -> list[float]:
    """Its mean colour."""
    colors = sample_surface(read, 500, seeded(0)).colors
    assert colors is not None
    return colors.mean(0).tolist()


PLAIN = SQUARE + "f 1 2 3 4\n"


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + PLAIN.encode(),
        PLAIN.encode("utf-16"),
        PLAIN.replace(" ", "\t").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("f 1 2 3 4", "f 1 2 \\\n  3 4").encode(),
        PLAIN.replace("f 1 2 3 4", "f 1 2 \\\r\n 3 \\  \r\n 4").encode(),
        PLAIN.replace("1 2 3 4", "-4 -3 -2 -1").encode(),
        PLAIN.replace("1 2 3 4", "1//1 2//1 3//1 4//1").encode(),
        PLAIN.replace("f 1 2 3 4", "f 1 2 3\nf 1 3 4 # the other half").encode(),
        PLAIN.replace("v 1 0 0", "v 1E0 0e+5 -0.0 # a comment").encode(),
        ("# caf\xe9\n" + PLAIN).encode("latin1"),
        ("l 1 2\np 1 2 3\n" + PLAIN + "l 3 4\ng a b\ns off\no thing\n").encode(),
        PLAIN.replace("v ", "V  ").replace("f ", "  f   ").encode(),
        PLAIN.replace("0\nv", "0 1.0\nv").encode(),
        ("f 1 2 3 4\n" + SQUARE).encode(),
        PLAIN.encode().rstrip(),
    ],
)
def test_one_square_in_many_dialects(text: bytes, tmp_path: Path, recwarn: pytest.WarningsRecorder):
    read = mesh(tmp_path, text)
    assert float(read.areas().sum()) == pytest.approx(1) and len(read.verts) == 4
    assert (read.normals()[:, 2] > 0.9).all() and not recwarn.list


@pytest.mark.parametrize(
    "face",
    [
        "f 0 1 2",
        "f 1 2 0",
        "f 1 2 5",
        "f -5 1 2",
        "f 1/9 2/1 3/1",
        "f 1/0 2/1 3/1",
        "f 1.0 2 3",
        "f a b c",
        "f 1 2 1e99",
    ],
)
def test_numbers_that_point_nowhere_are_refused(face: str, tmp_path: Path):
    with pytest.raises(FileError, match="a.obj: expected a readable .obj mesh"):
        mesh(tmp_path, SQUARE + CORNERS + face + "\nf 1 2 3\n")


@pytest.mark.parametrize(
    "text",
    ["v 0 0\n", "v 0 0 x\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "v 1e999 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"],
)
def test_positions_that_are_none_are_refused(text: str, tmp_path: Path):
    with pytest.raises(FileError, match="a.obj"):
        mesh(tmp_path, text + "f 1 1 1\n")


@pytest.mark.parametrize("white", [1, 255])
@pytest.mark.parametrize(
    "material",
    [
        None,
        "newmtl a\nKd 0.8 0.8 0.8\n",
        "newmtl a\nKa 0 0 0\nKd 0.5 0.5 0.5\nd 0.5\nTr 1\nillum 2\n",
        "newmtl a\n",
    ],
)
def test_colours_of_vertices_win_over_grey(white: int, material: str | None, tmp_path: Path):
    blue = SQUARE.replace(" 0\n", f" 0 0 0 {white}\n")
    for tail in ("usemtl a\nf 1 2 3 4\n", CORNERS + "usemtl a\n" + FACE):
        assert colour(
            mesh(tmp_path, ("mtllib a.mtl\n" if material else "") + blue + tail, material)
        ) == pytest.approx([0, 0, 1], abs=0.01)


def test_a_coloured_material_tints(tmp_path: Path):
    yellow = SQUARE.replace(" 0\n", " 0 1 1 0\n")
    text = "mtllib a.mtl\n" + yellow + "usemtl a\nf 1 2 3 4\n"
    assert colour(mesh(tmp_path, text, "newmtl a\nKd 1 0 0\n")) == pytest.approx(
        [1, 0, 0], abs=0.01
    )
    text = "mtllib a.mtl\n" + SQUARE + CORNERS + "usemtl a\n" + FACE
    read = mesh(tmp_path, text, "newmtl a\nKd 1 0 0\nmap_Kd green.png\n", color="yellow")
    assert colour(read) == pytest.approx([1, 0, 0], abs=0.01)
    text = "mtllib a.mtl\n" + yellow + CORNERS + "usemtl a\n" + FACE
    read = mesh(tmp_path, text, "newmtl a\nmap_Kd green.png\n", color="cyan")
    assert colour(read) == pytest.approx([0, 1, 0], abs=0.01)


def test_a_grey_material_beside_a_picture_is_said(tmp_path: Path):
    with pytest.warns(UserWarning, match="Kd 0.64 beside a picture"):
        assert colour(
            mesh(tmp_path, USED, "newmtl a\nKd .64 .64 .64\nmap_Kd green.png\n")
        ) == pytest.approx(GREEN)


@pytest.mark.parametrize(
    ("line", "picture"),
    [
        ("green.png", "green.png"),
        ("-s 1 1 1 green.png", "green.png"),
        ("-s 2 2 green.png", "green.png"),
        ("-o 0.5 -s 1 1 1 green.png", "green.png"),
        ("-blendu on -mm 0 1 green.png", "green.png"),
        ("-blendv off -clamp on -texres 256 -bm 1.0 -imfchan r green.png", "green.png"),
        ("-boost 2 -cc on -t 0 0 0 my green.png", "my green.png"),
        ("C:\\Users\\me\\textures\\green.png", "green.png"),
        ("C:\\Users\\me\\textures\\green.png", "textures/green.png"),
        ("/home/me/green.png", "green.png"),
        ("textures\\Green.PNG", "textures/green.png"),
        ("./textures/green.png", "textures/green.png"),
        ("green.png", "GREEN.PNG"),
        ("GREEN.png", "green.png"),
        ('"my green.png"', "my green.png"),
        ("my green picture.png", "my green picture.png"),
        ("my%20green.png", "my green.png"),
        ("gru\u0308n.png", "gr\u00fcn.png"),
        ("gr\u00fcn.png", "gru\u0308n.png"),
        ("-green.png", "-green.png"),
        ("\t green.png \t", "green.png"),
    ],
)  # fmt: skip
def test_pictures_are_found(
    line: str, picture: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
):
    for key in ("map_Kd", "map_kd", "\tmap_Kd"):
        assert colour(mesh(tmp_path, USED, f"newmtl a\n{key} {line}\n", picture)) == pytest.approx(
            GREEN
        )
    assert not recwarn.list


def test_what_is_missing_is_named(tmp_path: Path):
    with pytest.warns(UserWarning, match="a.obj: 'gone.png' left out"):
        mesh(tmp_path, USED, "newmtl a\nKd 1 0 0\nmap_Kd gone.png\n")
    with pytest.warns(UserWarning, match="no material file describes 'a'"):
        mesh(tmp_path, USED, "newmtl b\n")
    (tmp_path / "a.mtl").unlink()
    with pytest.warns(UserWarning, match="a.obj: 'a.mtl' left out"):
        mesh(tmp_path, USED)
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match="without its texture"):
        assert mesh(tmp_path, USED, "newmtl a\nmap_Kd b.png\n").texture is None
    with pytest.warns(UserWarning, match="name texture coordinates, and there are none"):
        assert mesh(tmp_path, SQUARE + FACE).texture is None
    with pytest.warns(UserWarning, match="without coordinates"):
        mesh(tmp_path, USED + "f 1 3 4\n", "newmtl a\nmap_Kd green.png\n")


def test_library_names(tmp_path: Path):
    """With blanks, several in a line, several lines."""
    (tmp_path / "my file.mtl").write_text("newmtl a\nKd 1 0 0\n")
    (tmp_path / "b.mtl").write_text("newmtl b\nKd 0 0 1\n")
    tail = "v 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl a\nf 1 2 3\nusemtl b\nf 3 2 1\n"
    for top in ("mtllib my file.mtl\nmtllib b.mtl\n", 'mtllib "my file.mtl"\nmtllib .\\B.MTL\n'):
        assert colour(mesh(tmp_path, top + tail)) == pytest.approx([0.5, 0, 0.5], abs=0.01)
    (tmp_path / "c.mtl").write_text("newmtl a\nKd 1 0 0\n")
    assert colour(mesh(tmp_path, "mtllib c.mtl b.mtl\n" + tail)) == pytest.approx(
        [0.5, 0, 0.5], abs=0.01
    )


def test_options_do_what_they_say(tmp_path: Path):
    halves = Image.new("RGB", (64, 64), "red")
    halves.paste((0, 0, 255), (32, 0, 64, 64))
    text = "mtllib a.mtl\nusemtl a\n" + SQUARE + "vt 0 0\nvt .5 0\nvt .5 1\nvt 0 1\n" + FACE
    for options, right in (
        ("", [1, 0, 0]),
        ("-o 0.5 0 ", [0, 0, 1]),
        ("-s 2 1 1 ", [0.5, 0, 0.5]),
        ("-mm 0 0.5 ", [0.5, 0, 0]),
    ):
        halves.save(tmp_path / "h.png")
        read = mesh(tmp_path, text, f"newmtl a\nmap_Kd {options}h.png\n")
        assert colour(read) == pytest.approx(right, abs=0.05), options
    halves.save(tmp_path / "h.png")
    wide = text.replace("vt .5", "vt 4")
    assert colour(mesh(tmp_path, wide, "newmtl a\nmap_Kd -clamp on h.png\n"))[2] > 0.8
    assert colour(mesh(tmp_path, wide, "newmtl a\nmap_Kd h.png\n")) == pytest.approx(
        [0.5, 0, 0.5], abs=0.05
    )


def test_a_line_is_taken_apart():
    assert picture_line("-s 2 a b.png") == ("a b.png", {"s": ["2"]})
    assert picture_line("-unknown 2 a.png") == ("-unknown 2 a.png", {})
    notes: list[str] = []
    found = decode_mtl(
        "newmtl my wood\nKd 255 0 0\nnewmtl b\nKd 0.5\nnewmtl c\nKd spectral x.rfl\n",
        "a.mtl",
        notes,
    )
    assert (
        found["my wood"].color == (1, 0, 0)
        and found["b"].color == (0.5, 0.5, 0.5)
        and found["c"].color is None
    )
    assert len(notes) == 2


def test_only_the_own_folder_is_read(tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "secret.png")
    (home / "link.png").symlink_to(tmp_path / "secret.png")
    notes: list[str] = []
    for name in (
        "../secret.png",
        "link.png",
        str(tmp_path / "secret.png"),
        "..\\secret.png",
        "a\0b.png",
        "x" * 5000,
        "~/a.png",
        "",
    ):
        assert Neighbors(home, notes, "a.obj").find(name) is None
    assert len(notes) == 8


def test_vertices_stay_shared_and_in_order(tmp_path: Path):
    read = mesh(tmp_path, PLAIN)
    assert torch.equal(read.verts, torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]]))


def test_a_material_for_every_face_takes_no_longer(tmp_path: Path):
    """Notes about thousands of them are not said one by one."""
    count = 4000
    text = "mtllib a.mtl\n" + SQUARE + CORNERS
    text += "".join(f"usemtl m{k}\nf 1/1 2/2 {3 + k % 2}/3\n" for k in range(count))
    material = "newmtl other\n" + "".join(
        f"newmtl m{k}\nmap_Kd gone{k}.png\n" for k in range(count // 2)
    )
    began = time.perf_counter()
    with pytest.warns(UserWarning) as said:
        read = mesh(tmp_path, text, material)
    assert (
        len(read.faces) == count
        and len(said) == 13
        and "more things like these" in str(said[-1].message)
    )
    assert time.perf_counter() - began < 30


AT_ONCE = [
    SQUARE + "f 1 2 3\nf 1 3 4\n",
    SQUARE + "f 1 2 3 4\n",
    "# a\n\no thing\n" + SQUARE + "g a\ns off\nvn 0 0 1\nf 1 2 3\n# b\nf 1 3 4",
    "f 1 2 3\n" + SQUARE,
    "v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 1 1 0 0 0 1\nf 1 2 3\n",
    "v 1e-1 -2.5E+2 .5\nv\t1 0 0\nv 1  1 0 \nf  1 2\t3 \n".replace("v\t", "v "),
    "v 0 0 0 1\nv 1 0 0 1\nv 1 1 0 1\nf 1 2 3\n",
]
OTHER = [
    USED,
    SQUARE + "f 1 2 3\nf 1 2 3 4\n",
    SQUARE + "f -4 -3 -2\n",
    SQUARE + "f 1//1 2//1 3//1\n",
    SQUARE + "f 1 2 \\\n 3\n",
    SQUARE + "v 1 2 3 4 5 6\nf 1 2 3\n",
    SQUARE + " f 1 2 3\n",
    SQUARE + "F 1 2 3\n",
    SQUARE + "f 1 2 3 # a comment\n",
    SQUARE + "v 1-2 3 e\nf 1 2 3\n",
    SQUARE + "v 1 2 nan\nf 1 2 3\n",
    SQUARE + "v 1_0 2 3\nf 1 2 3\n",
    SQUARE + "f 0 1 2\n",
    SQUARE + "f 1.0 2 3\n",
    SQUARE + "f 1 2\n",
    SQUARE,
    "",
]


@pytest.mark.parametrize("text", AT_ONCE)
def test_a_plain_file_is_read_at_once_like_line_by_line(text: str, monkeypatch):
    quick = obj_files._plain_lines(text, 100)
    assert quick is not None
    notes: list[str] = []
    verts, pieces = obj_files.decode_obj(text, Neighbors(None, notes, "a.obj"))
    monkeypatch.setattr(obj_files, "_plain_lines", lambda text, most: None)
    slow_notes: list[str] = []
    slow, slow_pieces = obj_files.decode_obj(text, Neighbors(None, slow_notes, "a.obj"))
    assert notes == slow_notes and (verts == slow).all() and verts.dtype == slow.dtype
    for one, two in zip(pieces, slow_pieces, strict=True):
        assert (one.faces == two.faces).all() and one.faces.dtype == two.faces.dtype
        assert (one.colors is None) == (two.colors is None)
        assert one.colors is None or (one.colors == two.colors).all()


@pytest.mark.parametrize("text", OTHER)
def test_what_is_not_plain_is_read_line_by_line(text: str):
    assert obj_files._plain_lines(text, 100) is None


def test_a_plain_file_with_too_many_faces():
    with pytest.raises(ValueError, match="more than 1 faces"):
        obj_files.decode_obj(AT_ONCE[1], Neighbors(None, [], "a.obj"), 1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"),
        ("b.off", "OFF\n3 1 0\n0 0 0\n1 0 0 # a remark\n0 1 0\n3 0 1 2\n"),
    ],
)
def test_readers_do_not_touch_the_filters_of_warnings(name, text, tmp_path, monkeypatch):
    """Filters belong to all threads: a reader that changes them leaves them changed for others."""
    path = tmp_path / name
    path.write_text(text)

    touched: list[tuple] = []
    with monkeypatch.context() as patch:
        patch.setattr("warnings.simplefilter", lambda *words, **_: touched.append(words))
        assert load_mesh(path).faces.shape == (1, 3)
    assert not touched
