"""PLY in all its dialects."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from svr_nb.conventions import FileError, seeded
from svr_nb.shapes.mesh import icosphere
from svr_nb.shapes.mesh_files import load_mesh, save_mesh
from svr_nb.shapes.ply_files import decode_ply
from svr_nb.shapes.point_files import load_points
from svr_nb.shapes.points import sample_surface

CORNERS = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (2, 0, 0), (2, 1, 0)]
PLACE = "property float x\nproperty float y\nproperty float z\n"
TEXT = "".join("{} {} {}\n".format(*p) for p in CORNERS)
ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}


def head(form: str, vertices: int, faces: int, of_vertex: str = "", face: str = "") -> bytes:
    face = face or "property list uchar int vertex_indices\n"
    element = f"element face {faces}\n{face}" if faces else ""
    text = f"ply\nformat {form} 1.0\nelement vertex {vertices}\n{PLACE}{of_vertex}{element}end_header\n"
    return text.encode()


def mesh(data: bytes, folder: Path):
    (folder / "a.ply").write_bytes(data)
    return load_mesh(folder / "a.ply")


def colour(data: bytes, folder: Path) -> list[float]:
    return sample_surface(mesh(data, folder), 1000, seeded(0)).colors.mean(0).tolist()


def three(kind: str, names: str = "red green blue") -> str:
    return "".join(f"property {kind} {name}\n" for name in names.split())


@pytest.mark.parametrize(
    ("length", "a"), [("uchar", "B"), ("ushort", "H"), ("int", "i"), ("uint8", "B"), ("short", "h")]
)
@pytest.mark.parametrize(
    ("number", "b"), [("int", "i"), ("uint", "I"), ("uchar", "B"), ("ushort", "H"), ("int16", "h")]
)
@pytest.mark.parametrize("form", ORDERS)
def test_quads_beside_triangles(
    form: str, number: str, b: str, length: str, a: str, tmp_path: Path
):
    order = ORDERS[form]
    places = b"".join(struct.pack(order + "3f", *p) for p in CORNERS)
    faces = struct.pack(order + f"{a}4{b}", 4, 0, 1, 2, 3) + struct.pack(
        order + f"{a}3{b}", 3, 1, 4, 2
    )
    top = head(form, 6, 2, face=f"property list {length} {number} vertex_index\n")
    read = mesh(top + places + faces, tmp_path)
    assert len(read.faces) == 3 and float(read.areas().sum()) == pytest.approx(1.5)


@pytest.mark.parametrize("form", ORDERS)
def test_what_is_not_known_is_passed_over(form: str, tmp_path: Path):
    """Elements before and behind, properties in between, lists of vertices, doubles."""
    order = ORDERS[form]
    text = (
        f"ply\nformat {form} 1.0\ncomment made by hand\nobj_info 7\n"
        "element camera 1\nproperty list uchar float view\nproperty short id\n"
        "element vertex 3\nproperty uchar flags\nproperty double x\nproperty double y\n"
        "property list int ushort near\nproperty double z\n"
        "element face 1\nproperty float quality\nproperty list uchar int vertex_indices\n"
        "property list uchar float texcoord\nelement edge 1\nproperty int a\nproperty int b\nend_header\n"
    ).encode()
    body = struct.pack(order + "B2fh", 2, 0.5, 0.5, 9)
    for k, (x, y, z) in enumerate(CORNERS[:3]):
        body += struct.pack(order + f"Bddi{k}Hd", k, x, y, k, *range(k), z)
    body += struct.pack(order + "fB3iB6f", 1.0, 3, 0, 1, 2, 6, *range(6)) + struct.pack(
        order + "2i", 0, 1
    )
    assert mesh(text + body, tmp_path).verts.tolist() == [list(map(float, p)) for p in CORNERS[:3]]


@pytest.mark.parametrize("form", ORDERS)
def test_strips_become_triangles(form: str, tmp_path: Path):
    order, ball = ORDERS[form], icosphere(0)
    top = f"ply\nformat {form} 1.0\nelement vertex 12\n{PLACE}element tristrips 1\nproperty list int int vertex_indices\nend_header\n"
    strip = [0, 1, 3, 2, -1, 1, 4, 2, 5]
    places = b"".join(struct.pack(order + "3f", *p) for p in CORNERS + ball.verts[:6].tolist())
    read = mesh(
        top.encode() + places + struct.pack(order + f"i{len(strip)}i", len(strip), *strip), tmp_path
    )
    assert float(read.areas().sum()) == pytest.approx(2) and (read.normals()[:, 2] > 0).all()


@pytest.mark.parametrize("change", ["\r\n", "\r", "bom", "tabs", "comments", "UPPER"])
def test_lines_of_all_kinds(change: str, tmp_path: Path):
    data = head("ascii", 6, 2).decode() + TEXT + "4 0 1 2 3\n3 1 4 2\n"
    data = {
        "bom": "\ufeff" + data,
        "tabs": data.replace(" ", "\t"),
        "comments": data.replace("3 1 4 2", "comment in between\n3 1 4 2").replace("element f", "comment x\nelement f"),
        "UPPER": data.replace("vertex_indices", "Vertex_Indices").replace("float x", "float X"),
    }.get(change, data.replace("\n", change))  # fmt: skip
    assert float(mesh(data.encode(), tmp_path).areas().sum()) == pytest.approx(1.5)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("first", [10.0, 13.0])
def test_a_header_ends_where_its_line_does(end: str, first: float, tmp_path: Path):
    """The first byte of the numbers may be a line feed."""
    value = struct.unpack("<f", bytes([int(first), 0, 0, 0]))[0]
    places = struct.pack("<9f", value, 0, 0, 1, 0, 0, 0, 1, 0)
    data = head("binary_little_endian", 3, 1).replace(b"\n", end.encode()) + places
    assert mesh(data + struct.pack("<B3i", 3, 0, 1, 2), tmp_path).verts[1, 0] == 1


def test_colours_of_faces(tmp_path: Path):
    face = "property list uchar int vertex_indices\n" + three("uchar")
    data = (
        head("ascii", 6, 2, face=face) + f"{TEXT}4 0 1 2 3 255 51 0\n4 1 4 5 2 0 51 255\n".encode()
    )
    assert colour(data, tmp_path) == pytest.approx([0.5, 0.2, 0.5], abs=0.03)


@pytest.mark.parametrize(
    ("kind", "white"),
    [
        ("uchar", 255),
        ("float", 1),
        ("float", 255),
        ("double", 255),
        ("int", 255),
        ("uint", 255),
        ("ushort", 65535),
        ("uint16", 65535),
        ("int", 65535),
    ],
)
@pytest.mark.parametrize(
    "names", ["red green blue", "r g b", "diffuse_red diffuse_green diffuse_blue", "Red Green Blue"]
)
def test_colour_ranges(
    kind: str, white: int, names: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
):
    rows = "".join("{} {} {} 0 {:g} {}\n".format(*p, 0.2 * white, white) for p in CORNERS)
    data = head("ascii", 6, 1, three(kind, names)) + (rows + "3 0 1 2\n").encode()
    assert colour(data, tmp_path) == pytest.approx([0, 0.2, 1], abs=0.01)
    (tmp_path / "c.ply").write_bytes(head("ascii", 6, 0, three(kind, names)) + rows.encode())
    assert load_points(tmp_path / "c.ply").colors.mean(0).tolist() == pytest.approx(
        [0, 0.2, 1], abs=0.01
    )
    assert not recwarn.list


def test_doubtful_colours_are_said(tmp_path: Path):
    rows = "".join("{} {} {} 0 51 255\n".format(*p) for p in CORNERS)
    with pytest.warns(UserWarning, match="read as 0 to 255"):
        assert (
            mesh(
                head("ascii", 6, 1, three("ushort")) + (rows + "3 0 1 2\n").encode(), tmp_path
            ).vert_colors.max()
            == 1
        )
    with pytest.warns(UserWarning, match="no colours"):
        bad = rows.replace("51", "-51")
        assert (
            mesh(
                head("ascii", 6, 1, three("int")) + (bad + "3 0 1 2\n").encode(), tmp_path
            ).vert_colors
            is None
        )


def test_a_picture_named_in_a_comment(tmp_path: Path):
    Image.new("RGB", (4, 4), "lime").save(tmp_path / "my green.png")
    face = "property list uchar int vertex_indices\nproperty list uchar float texcoord\n"
    top = head("ascii", 6, 1, face=face).replace(
        b"element v", b"comment TextureFile My Green.png\nelement v"
    )
    data = top + f"{TEXT}4 0 1 2 3 8 0 0 1 0 1 1 0 1\n".encode()
    assert colour(data, tmp_path) == pytest.approx([0, 1, 0], abs=0.01)
    top = head(
        "ascii", 6, 1, three("float", "s t").replace("property float t\n", "property float t\n")
    ).replace(b"element v", b"comment TextureFile gone.png\nelement v")
    rows = "".join("{} {} {} 0 0\n".format(*p) for p in CORNERS)
    with pytest.warns(UserWarning, match="gone.png"):
        assert mesh(top + (rows + "3 0 1 2\n").encode(), tmp_path).texture is None


@pytest.mark.parametrize(
    "data",
    [
        head("ascii", 6, 1) + TEXT.encode() + b"4 0 1 2\n",
        head("ascii", 6, 1) + TEXT.encode() + b"-4 0 1 2\n",
        head("binary_little_endian", 6, 1) + bytes(72),
        head("binary_little_endian", 6, 1) + bytes(72) + b"\xff",
        head("middle_endian", 6, 1) + TEXT.encode(),
        head("ascii", 6, 1).replace(b"float y", b"float q") + TEXT.encode() + b"3 0 1 2\n",
        head("ascii", 6, 1).replace(b"list uchar int", b"list uchar") + TEXT.encode() + b"3 0 1 2\n",
        b"ply\n",
    ],
)  # fmt: skip
def test_damage_is_one_sentence(data: bytes, tmp_path: Path):
    with pytest.raises(FileError, match="a.ply: expected a readable .ply mesh, got"):
        mesh(data, tmp_path)


def test_what_is_written_is_plain(tmp_path: Path):
    ball = icosphere(2)
    ply = decode_ply(save_mesh(ball, tmp_path / "ball.ply").read_bytes())
    assert ply.tables["face"]["vertex_indices"].values.tolist() == ball.faces.reshape(-1).tolist()
    assert np.array_equal(
        ply.columns("vertex", ("x", "y", "z")).astype(np.float32), ball.verts.numpy()
    )
    assert torch.equal(load_mesh(tmp_path / "ball.ply").faces, ball.faces)
