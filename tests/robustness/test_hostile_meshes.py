"""Damaged, lying and odd meshes, clouds and grids: a result or one clear error, in bounded time and
memory. SVR_HOSTILE sets how many.
"""

from __future__ import annotations

import io
import json
import struct
import sys
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from PIL import Image

from svr_nb.conventions import FileError, seeded
from svr_nb.shapes.binvox import encode_binvox, load_binvox
from svr_nb.shapes.mesh_files import load_mesh, save_mesh
from svr_nb.shapes.point_files import load_points, save_points
from svr_nb.shapes.mesh import Mesh, icosphere
from svr_nb.shapes.points import PointCloud, sample_surface
from svr_nb.shapes.side_files import own_side_files
from svr_nb.shapes.uv import wrap_texture
from svr_nb.shapes.voxels import VoxelGrid

sys.path.insert(0, str(Path(__file__).parent))
from hostile import CASES, damaged, outcome, peak_memory  # noqa: E402

MEMORY = 600.0
READERS = {"mesh": load_mesh, "cloud": load_points, "grid": load_binvox}


@cache
def healthy() -> dict[str, dict[str, bytes]]:
    """For every kind of thing and file: the files that belong to it, the main one last."""
    ball = icosphere(1).normalized()
    colored = Mesh(ball.verts, ball.faces, vert_colors=ball.verts + 0.5)
    textured = wrap_texture(icosphere(1), torch.rand(3, 8, 16, generator=seeded(1)))
    cloud = sample_surface(colored, 40, seeded(2))
    found: dict[str, dict[str, bytes]] = {}
    with TemporaryDirectory() as name:
        for label, mesh in (("colored", colored), ("textured", textured)):
            for kind in ("glb", "obj") + (("ply", "off", "stl") if label == "colored" else ()):
                folder = Path(name) / f"{label}-{kind}"
                folder.mkdir()
                save_mesh(mesh, folder / f"thing.{kind}")
                found[f"mesh {label} {kind}"] = {
                    p.name: p.read_bytes()
                    for p in sorted(folder.iterdir(), key=lambda p: p.suffix == f".{kind}")
                }
        for kind in ("ply", "glb", "xyz"):
            found[f"cloud plain {kind}"] = {
                f"thing.{kind}": save_points(cloud, Path(name) / f"thing.{kind}").read_bytes()
            }
    found |= dialects()
    found["mesh ascii ply"] = {"thing.ply": ascii_ply(colored)}
    found["mesh ascii stl"] = {"thing.stl": ascii_stl(colored)}
    found["grid plain binvox"] = {
        "thing.binvox": encode_binvox(np.random.default_rng(0).random((8, 8, 8)) < 0.4)
    }
    return found


U = [(1, 3), (0, 3), (0, 0), (3, 0), (3, 3), (2, 3), (2, 1), (1, 1)]


def dialects() -> dict[str, dict[str, bytes]]:
    """Files as other programs write them: polygons, materials, strips, colours of faces."""
    places = "".join(f"v {x} {y} 0 {x / 3} {y / 3} 1\n" for x, y in U)
    obj = "mtllib thing.mtl\n" + places + "vt 0 0\nvt 3 0\nvt 3 3\nvt 0 3\nusemtl one\n"
    obj += "f 1/1 2/2 3/3 4/4 5/1 6/2 7/3 8/4\nusemtl two\nf -8 -1 -2 \\\n -3\nusemtl three\nf 1/1 2/2 3/3\n"
    mtl = "newmtl one\nmap_Kd -s 2 2 1 -mm 0 .5 thing.png\nnewmtl two\nKd 255 0 0\n"
    mtl += "newmtl three\nKd 1 .5 .2\nmap_Kd -clamp on thing.png\n"
    picture = io.BytesIO()
    Image.new("RGB", (16, 8), "teal").save(picture, "PNG")
    rows = "".join(f"{x} {y} 0\n" for x, y in U)
    coff = (
        "COFF 8 2 0\n"
        + rows.replace(" 0\n", " 0 9 99 255 255\n")
        + "8 0 1 2 3 4 5 6 7 255 0 9\n3 0 1 2 1 2 3\n"
    )
    head = "ply\nformat {} 1.0\ncomment TextureFile thing.png\nelement camera 1\nproperty list uchar float view\n"
    head += "element vertex 8\nproperty float x\nproperty float y\nproperty float z\nproperty ushort red\n"
    head += "property ushort green\nproperty ushort blue\nelement face 2\nproperty list uchar int vertex_indices\n"
    head += "property list uchar float texcoord\nproperty uchar red\nproperty uchar green\nproperty uchar blue\n"
    head += "element tristrips 1\nproperty list int int vertex_indices\nend_header\n"
    faces = [(list(range(8)), [0.5] * 16), ([0, 1, 2], [0.1] * 6)]
    text = "2 0.5 0.5\n" + rows.replace(" 0\n", " 0 1 2 65535\n")
    data = struct.pack(">B2f", 2, 0.5, 0.5)
    data += b"".join(struct.pack(">3f3H", x, y, 0, 1, 2, 65535) for x, y in U)
    for corners, uvs in faces:
        text += " ".join(map(str, [len(corners), *corners, len(uvs), *uvs, 9, 9, 9])) + "\n"
        data += struct.pack(
            f">B{len(corners)}iB{len(uvs)}f3B", len(corners), *corners, len(uvs), *uvs, 9, 9, 9
        )
    text += "6 0 1 2 -1 3 4\n"
    data += struct.pack(">i6i", 6, 0, 1, 2, -1, 3, 4)
    extra = {"thing.mtl": mtl.encode(), "thing.png": picture.getvalue()}
    normals = "x y z r g b nx ny nz\n" + "0 0 0 9 9 255 0 0 1\n" * 9
    return {
        "mesh dialect obj": extra | {"thing.obj": obj.encode()},
        "mesh dialect off": {"thing.off": coff.encode()},
        "mesh dialect ply": {"thing.png": picture.getvalue(), "thing.ply": head.format("binary_big_endian").encode() + data},
        "mesh dialect text ply": {"thing.png": picture.getvalue(), "thing.ply": head.format("ascii").encode() + text.encode()},
        "cloud dialect ply": {"thing.ply": head.format("ascii").encode() + text.encode()},
        "cloud dialect xyz": {"thing.xyz": normals.encode()},
        "cloud numbers xyz": {"thing.xyz": normals.split("\n", 1)[1].replace(" ", ",").encode()},
    }  # fmt: skip


HABITS: list[tuple[bytes, bytes]] = [
    (b"\n", b"\r"), (b"\n", b"\r\n"), (b" ", b"\t"), (b"", b"\xef\xbb\xbf"), (b"/", b"//"), (b" 1", b" -1"),
    (b" 0", b" 1"), (b"f ", b"f 0 "), (b"uchar", b"ushort"), (b"float", b"double"), (b"int", b"uchar"), (b"list uchar", b"list float"),
    (b"thing.png", b"C:\\x\\THING.PNG"), (b"map_Kd", b"map_Kd -o nan -s 1e30 0 1"), (b"-s 2 2 1", b"-s 1e9 -1e9"), (b"3", b"300"),
    (b"vt 3", b"vt 1e30"), (b"vt 0", b"vt nan"), (b"usemtl", b"usemtl x"), (b"8 0 1", b"4 0 1"), (b"OFF", b"NOFF"), (b"COFF", b"STOFF"),
    (b" 1 2", b" 2 2"), (b"endloop", b"endloop\nendfacet\nfacet"), (b"255", b"-255"), (b"\n", b" # \n"), (b".", b","), (b"\n", b"\\\n"),
]  # fmt: skip


def altered(data: bytes, *seed: int) -> bytes:
    """The same file in other habits of writing, as often as not wrong: one to three of them."""
    rng = np.random.default_rng(seed)
    for number in rng.integers(0, len(HABITS), rng.integers(1, 4)):
        old, new = HABITS[number]
        times = [-1, 1, int(rng.integers(1, 9))][rng.integers(3)]
        data = data.replace(old, new, times) if old else new + data
    return data


def ascii_ply(mesh: Mesh) -> bytes:
    lines = [
        "ply",
        "format ascii 1.0",
        "comment by hand",
        f"element vertex {len(mesh.verts)}",
        *(f"property float {n}" for n in "xyz"),
        f"element face {len(mesh.faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    rows = [" ".join(f"{x:.6g}" for x in v) for v in mesh.verts.tolist()] + [
        "3 " + " ".join(map(str, f)) for f in mesh.faces.tolist()
    ]
    return "\n".join(lines + rows).encode() + b"\n"


def ascii_stl(mesh: Mesh) -> bytes:
    corners = "".join(
        "facet normal 0 0 1\nouter loop\n"
        + "".join(f"vertex {x:.6g} {y:.6g} {z:.6g}\n" for x, y, z in face)
        + "endloop\nendfacet\n"
        for face in mesh.verts[mesh.faces].tolist()
    )
    return f"solid thing\n{corners}endsolid thing\n".encode()


def check(result: object) -> None:
    """Finite coordinates and indices that exist."""
    if isinstance(result, Mesh):
        assert len(result.faces) and bool(torch.isfinite(result.verts).all())
        assert int(result.faces.min()) >= 0 and int(result.faces.max()) < len(result.verts)
        assert result.vert_colors is None or bool(torch.isfinite(result.vert_colors).all())
    elif isinstance(result, PointCloud):
        assert len(result) and bool(torch.isfinite(result.points).all())
    else:
        assert isinstance(result, VoxelGrid)


def laid_out(folder: Path, files: dict[str, bytes]) -> Path:
    """Writes the files and returns the main one."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder / list(files)[-1]


@pytest.mark.parametrize("label", healthy())
def test_healthy_files_are_read(label: str, tmp_path: Path):
    check(READERS[label.split()[0]](laid_out(tmp_path, healthy()[label])))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("number", range(len(healthy())), ids=list(healthy()))
def test_damaged_files(number: int, tmp_path: Path, capfd: pytest.CaptureFixture):
    label, before = list(healthy())[number], peak_memory()
    files, read = healthy()[label], READERS[label.split()[0]]
    for case in range(-(-CASES // len(healthy()))):
        victim = list(files)[case % len(files)]
        change = altered if case % 3 == 2 else damaged
        path = laid_out(tmp_path, files | {victim: change(files[victim], number, case)})
        before_reading = sorted(tmp_path.iterdir())
        result = outcome(read, "thing.", path)
        assert sorted(tmp_path.iterdir()) == before_reading, "reading wrote something"
        if result is not None:
            check(result)
    assert peak_memory() - before < MEMORY
    assert "Traceback" not in capfd.readouterr().err


STRANGE = ["a b", "a_b", "A_B", "a.b", "a#b", "a\u0308", "\u00e4", "a.", "-a", "a'b", 'a"b', "a%20b", "a\tb", "a\\b", "\u99ac" * 60, "con", "..a"]  # fmt: skip


def test_strange_names_beside_other_files(tmp_path: Path):
    """Whatever lies in a folder, saving an object changes that object and nothing else."""
    textured = wrap_texture(icosphere(0), torch.rand(3, 4, 8, generator=seeded(1)))
    rng = np.random.default_rng(5)
    for case in range(-(-CASES // 6)):
        stems = [STRANGE[k] for k in rng.integers(0, len(STRANGE), 2)]
        ending = [".png", ".mtl", "_texture.png", ".PNG", "_texture_2.mtl"][rng.integers(5)]
        theirs = tmp_path / f"{stems[0]}{ending}"
        if not theirs.exists():
            theirs.write_bytes(b"somebody's")
        path = tmp_path / f"{stems[1]}.obj"
        before = {p: p.read_bytes() for p in tmp_path.iterdir()}
        own = set(own_side_files(path)) if path.exists() else set()
        save_mesh(textured if case % 5 else icosphere(0), path)
        after = {p: p.read_bytes() for p in tmp_path.iterdir()}
        assert {p: d for p, d in before.items() if p not in own | {path}}.items() <= after.items()
        assert (load_mesh(path).texture is not None) == bool(case % 5)
        assert len(after) <= len(before) + 3
        if len(after) > 60:
            for p in after:
                p.unlink()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_open_files_damaged():
    for number, (label, files) in enumerate(healthy().items()):
        kind = list(files)[-1].rsplit(".", 1)[1]
        for case in range(max(1, CASES // 60)):
            stream = io.BytesIO(damaged(files[f"thing.{kind}"], number, case, 9))
            read = READERS[label.split()[0]]
            result = outcome(partial(read, stream, kind=kind), "the open file")
            if result is not None:
                check(result)


PLY = (
    "ply\nformat {kind} 1.0\nelement vertex {v}\nproperty float x\nproperty float y\nproperty float z\n"
    "element face {f}\nproperty list uchar int vertex_indices\nend_header\n"
)
TRIANGLE = "0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
BAD = {
    "promise.ply": PLY.format(kind="ascii", v=10**9, f=1) + TRIANGLE,
    "promise2.ply": PLY.format(kind="binary_little_endian", v=10**9, f=10**9) + TRIANGLE,
    "promise3.ply": PLY.format(kind="ascii", v="9" * 40, f=1) + TRIANGLE,
    "negative.ply": PLY.format(kind="ascii", v=-3, f=1) + TRIANGLE,
    "nothing.ply": PLY.format(kind="ascii", v=0, f=0),
    "index.ply": PLY.format(kind="ascii", v=3, f=1) + TRIANGLE.replace("0 1 2", "0 1 3"),
    "below.ply": PLY.format(kind="ascii", v=3, f=1) + TRIANGLE.replace("0 1 2", "0 1 -1"),
    "nan.ply": PLY.format(kind="ascii", v=3, f=1) + TRIANGLE.replace("1 0 0", "nan 0 0"),
    "promise.off": "OFF\n1000000000 1 0\n" + TRIANGLE,
    "promise2.off": "OFF\n3 1000000000 0\n" + TRIANGLE,
    "below.off": "OFF\n-3 -1 0\n" + TRIANGLE,
    "inf.off": "OFF\n3 1 0\n" + TRIANGLE.replace("1 0 0", "inf 0 0"),
    "index.off": "OFF\n3 1 0\n" + TRIANGLE.replace("0 1 2", "0 1 7"),
    "short.off": "OFF\n3 1 0\n" + TRIANGLE.replace("3 0 1 2", "3 0 1"),
    "index.obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n",
    "zero.obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 0 0\nf 1 2 99999999999\n",
    "nan.obj": "v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    "large.obj": "v 1e39 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    "empty.obj": "# nothing\n",
    "points.obj": "v 0 0 0\nv 1 1 1\n",
    "lines.obj": "v 0 0 0\nv 1 1 1\nl 1 2\n",
    "empty.stl": "solid nothing\nendsolid nothing\n",
    "short.stl": "solid x\nfacet normal 0 0 1\nouter loop\nvertex 0 0\n",
}


@pytest.mark.parametrize("name", BAD)
def test_lies_and_gaps_are_named(name: str, tmp_path: Path):
    path, before = tmp_path / name, peak_memory()
    path.write_text(BAD[name])
    assert outcome(lambda: load_mesh(path), name) is None
    assert peak_memory() - before < 100


def test_binary_stl_that_promises_a_lot(tmp_path: Path):
    (tmp_path / "a.stl").write_bytes(bytes(80) + struct.pack("<I", 10**9) + bytes(500))
    with pytest.raises(FileError, match="a.stl"):
        load_mesh(tmp_path / "a.stl")


def changed_glb(change) -> bytes:
    """A GLB with its JSON altered."""
    from svr_nb.shapes.glb import _pack

    data = healthy()["mesh colored glb"]["thing.glb"]
    size = struct.unpack_from("<I", data, 12)[0]
    tree = json.loads(data[20 : 20 + size])
    change(tree)
    return _pack({k: v for k, v in tree.items() if k != "buffers"}, data[28 + size :])


def deep(tree: dict) -> None:
    """A chain of 5000 nodes, each below the one before."""
    tree["nodes"] = [{"children": [n + 1]} for n in range(5000)] + [{"mesh": 0}]


def many(tree: dict) -> None:
    """The same mesh a hundred thousand times."""
    tree["nodes"] = [{"mesh": 0} for _ in range(100_000)]
    tree["scenes"] = [{"nodes": list(range(100_000))}]


CHANGES = {
    "count": lambda t: t["accessors"][0].update(count=10**9),
    "negative": lambda t: t["accessors"][0].update(count=-1),
    "fraction": lambda t: t["accessors"][0].update(count=1.5),
    "offset": lambda t: t["bufferViews"][0].update(byteOffset=10**9),
    "stride": lambda t: t["bufferViews"][0].update(byteStride=1),
    "type": lambda t: t["accessors"][0].update(type="MAT4"),
    "cycle": lambda t: t["nodes"][0].update(children=[0]),
    "matrix": lambda t: t["nodes"][0].update(matrix=[float("nan")] * 16),
    "scale": lambda t: t["nodes"][0].update(scale=[1e300] * 3),
    "lost": lambda t: t.pop("meshes"),
    "list": lambda t: t.update(nodes="abc"),
    "draco": lambda t: t.update(extensionsRequired=["KHR_draco_mesh_compression"]),
    "sparse": lambda t: t["accessors"][0].update(sparse={"count": 10**9}),
    "remote": lambda t: t["bufferViews"][0].update(buffer=1),
    "bool": lambda t: t.update(scene=True),
    "many": many,
}


@pytest.mark.parametrize("name", CHANGES)
def test_lies_in_glb_are_named(name: str, tmp_path: Path):
    path, before = tmp_path / "thing.glb", peak_memory()
    path.write_bytes(changed_glb(CHANGES[name]))
    assert outcome(lambda: load_mesh(path, max_faces=100_000), "thing.glb") is None
    assert peak_memory() - before < 300


def test_deep_trees_are_walked(tmp_path: Path):
    (tmp_path / "deep.glb").write_bytes(changed_glb(deep))
    check(load_mesh(tmp_path / "deep.glb"))
    (tmp_path / "nested.glb").write_bytes(
        b"glTF" + struct.pack("<II", 2, 0) + struct.pack("<I4s", 60_000, b"JSON") + b"[" * 60_000
    )
    with pytest.raises(FileError, match="nested.glb"):
        load_mesh(tmp_path / "nested.glb")


@pytest.mark.parametrize(
    "reference",
    [
        "../secret.png",
        "../../../../../../etc/passwd",
        "/etc/passwd",
        "..\\secret.png",
        "inner/../../secret.png",
        "link.png",
    ],
)
def test_materials_stay_in_their_folder(
    reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home = tmp_path / "home"
    home.mkdir()
    path = laid_out(home, healthy()["mesh textured obj"])
    picture = (home / "thing.png").read_bytes()
    (home / "thing.png").unlink()
    (tmp_path / "secret.png").write_bytes(picture)
    (home / "link.png").symlink_to(tmp_path / "secret.png")
    (home / "thing.mtl").write_text(f"newmtl surface\nmap_Kd {reference}\n")
    opened, real = [], Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda self: (opened.append(self.resolve()), real(self))[1]
    )
    mesh = load_mesh(path)
    assert mesh.texture is None and len(mesh.faces) == 80
    assert all(p.is_relative_to(home) for p in opened), opened


def test_material_file_outside_is_not_read(tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    path = laid_out(home, healthy()["mesh textured obj"])
    (tmp_path / "thing.mtl").write_bytes((home / "thing.mtl").read_bytes())
    (tmp_path / "thing.png").write_bytes((home / "thing.png").read_bytes())
    path.write_bytes(path.read_bytes().replace(b"mtllib thing.mtl", b"mtllib ../thing.mtl"))
    assert load_mesh(path).texture is None


@pytest.mark.parametrize(
    "head",
    [
        b"dim 100000 100000 100000",
        b"dim 0 0 0",
        b"dim -4 -4 -4",
        b"dim 8 8 9",
        b"dim nan nan nan",
        b"dim 8",
        b"",
        b"dim 8.5 8.5 8.5",
    ],
)
def test_lies_in_binvox_are_named(head: bytes, tmp_path: Path):
    data = healthy()["grid plain binvox"]["thing.binvox"].replace(b"dim 8 8 8", head)
    (tmp_path / "thing.binvox").write_bytes(data)
    with pytest.raises(FileError, match="thing.binvox"):
        load_binvox(tmp_path / "thing.binvox")


def test_binvox_runs_that_add_up_to_too_much(tmp_path: Path):
    (tmp_path / "bomb.binvox").write_bytes(
        b"#binvox 1\ndim 512 512 512\ndata\n" + b"\1\xff" * 2_000_000
    )
    before = peak_memory()
    with pytest.raises(FileError, match="bomb.binvox"):
        load_binvox(tmp_path / "bomb.binvox")
    assert peak_memory() - before < 200


def test_too_many_faces_are_refused(tmp_path: Path):
    for kind in ("glb", "obj", "ply", "off", "stl"):
        path = save_mesh(icosphere(2), tmp_path / f"ball.{kind}")
        with pytest.raises(FileError, match=f"ball.{kind}"):
            load_mesh(path, max_faces=100)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_real_meshes_damaged(shared_data: Path, tmp_path: Path):
    files = [
        p
        for p in sorted(shared_data.glob("meshes/**/*"))
        if p.suffix.lower() in (".obj", ".ply", ".off", ".stl") and 0 < p.stat().st_size < 200_000
    ]
    for number, path in enumerate(files):
        for case in range(max(1, CASES // 300)):
            copy = tmp_path / f"thing{path.suffix.lower()}"
            copy.write_bytes(damaged(path.read_bytes(), 77, number, case))
            result = outcome(load_mesh, "thing.", copy)
            if result is not None:
                check(result)
