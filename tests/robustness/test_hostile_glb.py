"""glTF files of many kinds with lies in their trees: a result or one clear error, in bounded time
and memory, and nothing read outside of the folder. SVR_HOSTILE sets how many.
"""

from __future__ import annotations

import copy
import json
import struct
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from svr_nb.shapes.mesh import Mesh
from svr_nb.shapes.mesh_files import load_mesh
from svr_nb.shapes.point_files import load_points

from ..shapes.glb_files import CORNERS, Builder, cube, halves, one, picture, square

sys.path.insert(0, str(Path(__file__).parent))
from hostile import CASES, damaged, outcome, peak_memory  # noqa: E402

MEMORY = 900.0


def nested() -> Builder:
    """Mirrored, turned, instanced, in two scenes."""
    nodes = (
        {"children": [1, 2], "rotation": [0, 0.6, 0, 0.8]},
        {"mesh": 0, "scale": [-1, 1, 2]},
        {"mesh": 0, "matrix": [0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 1], "children": [3]},
        {"mesh": 0},
    )
    builder = one(cube()).scene(*nodes)
    builder.tree["scenes"] = [{"nodes": [0]}, {"nodes": [3]}]
    return builder


def strips() -> Builder:
    """A strip, a fan, points and lines."""
    rows = np.array([[x, y, 0] for x in range(4) for y in (0, 1)], np.float32)
    modes = [{"attributes": {"POSITION": rows}, "mode": mode} for mode in (5, 6, 0, 1)]
    return one(cube(), *modes, square(uv=None, mode=5))


def painted() -> Builder:
    """Three pictures, factors, wraps, a transform, vertex colours."""
    builder = Builder()
    shift = {
        "extensions": {
            "KHR_texture_transform": {"offset": [0.5, 0], "rotation": 0.3, "scale": [2, 2]}
        }
    }
    builder.material(
        picture(halves()[:9, 20:41]),
        {"wrapS": 33648, "wrapT": 33071},
        baseColorFactor=[0.5, 1, 1, 1],
    )
    builder.material(picture(halves()[:5, :7], "JPEG"), info=shift | {"texCoord": 1})
    builder.material(
        picture(halves()[:5, :7], "WEBP"), more={"alphaMode": "BLEND", "emissiveFactor": [1, 0, 0]}
    )
    ends = np.array([[0, 0, 1], [1, 0, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    uv = np.array([[-1, 2], [2, 2], [2, -1], [-1, -1]], np.float32)
    builder.mesh(
        square(uv=uv) | {"material": 0},
        square(2, TEXCOORD_1=uv) | {"material": 1},
        square(4, COLOR_0=ends) | {"material": 2},
        square(6, uv=None, COLOR_0=ends),
    )
    return builder


def moving() -> Builder:
    """A skin, other shapes, instances, sparse values."""
    item = cube(targets=[{"POSITION": CORNERS * 2}])
    joints, weights = np.zeros((8, 4), np.uint8), np.zeros((8, 4), np.float32)
    weights[:, 0] = 1
    item["attributes"] = item["attributes"] | {"JOINTS_0": joints, "WEIGHTS_0": weights}
    builder = one(item, weights=[0.5])
    back = np.tile(np.eye(4, dtype=np.float32).reshape(1, 16), (2, 1))
    builder.tree["skins"] = [{"joints": [2, 3], "inverseBindMatrices": builder.array(back)}]
    rows, fresh = np.array([3], np.uint16), np.ones((1, 3), np.float32)
    builder.tree["accessors"][0]["sparse"] = {
        "count": 1,
        "indices": {"bufferView": builder.view(rows.tobytes()), "componentType": 5123},
        "values": {"bufferView": builder.view(fresh.tobytes())},
    }
    many = {"TRANSLATION": builder.array(np.eye(3, dtype=np.float32))}
    far = {"EXT_mesh_gpu_instancing": {"attributes": many}}
    builder.mesh(cube())
    builder.scene(
        {"children": [1, 2, 4]},
        {"mesh": 0, "skin": 0},
        {"children": [3]},
        {},
        {"mesh": 1, "extensions": far},
    )
    return builder


@cache
def healthy() -> dict[str, Builder]:
    return {"nested": nested(), "strips": strips(), "painted": painted(), "moving": moving()}


ODD: tuple = (
    *(None, True, -1, 0, 1, 2, 3, 7, 255, 1.5, 1e300, -1e300, 10**9, 2**31, 2**63, 10**40),
    *("", "x", "../../etc/passwd", "~/secret.png", "data:;base64,AAAA", "data:image/png;base64,%%"),
    *([], {}, [0], [[0]], [1e38] * 16, [0, 0, 0], ["a"] * 4, {"index": 0}, {"bufferView": 0}),
    *(5120, 5121, 5122, 5123, 5125, 5126, 33071, 33648, "SCALAR", "VEC2", "VEC3", "VEC4", "MAT4"),
    *(float("nan"), float("inf"), "\ud800", "\0", "KHR_draco_mesh_compression"),
)


def places(tree: Any, above: tuple = ()) -> Iterator[tuple]:
    """The way to everything in a tree."""
    pairs = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in pairs:
        yield (*above, key)
        yield from places(value, (*above, key))


def lied(tree: dict, rng: np.random.Generator) -> dict:
    """A tree with one to four entries replaced, removed, or put where another was."""
    tree = copy.deepcopy(tree)
    for _ in range(int(rng.integers(1, 5))):
        found = list(places(tree))
        way = found[rng.integers(len(found))]
        other = found[rng.integers(len(found))]
        owner = tree
        for key in way[:-1]:
            owner = owner[key]
        value = tree
        for key in other:
            value = value[key]
        kind = rng.integers(4)
        if kind == 0:
            owner.pop(way[-1])
        else:
            owner[way[-1]] = copy.deepcopy(value) if kind == 1 else ODD[rng.integers(len(ODD))]
        if not tree or len(str(tree)) > 100_000:
            break
    return tree


def written(tree: dict, block: bytes) -> bytes:
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(block))
    return (
        head
        + struct.pack("<I4s", len(text), b"JSON")
        + text
        + struct.pack("<I4s", len(block), b"BIN\0")
        + block
    )


def check(mesh: Mesh) -> None:
    assert len(mesh.faces) and bool(torch.isfinite(mesh.verts).all())
    assert int(mesh.faces.min()) >= 0 and int(mesh.faces.max()) < len(mesh.verts)
    if mesh.texture is not None:
        assert bool(torch.isfinite(mesh.uvs).all()) and mesh.texture[0].numel() <= 40_000_000


@pytest.mark.parametrize("name", healthy())
def test_healthy_files_are_read(name: str, tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(load_mesh(healthy()[name].at(tmp_path)))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("number", range(len(healthy())), ids=list(healthy()))
def test_lies_and_damage(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    builder, before = list(healthy().values())[number], peak_memory()
    data, home = builder.glb(), tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret.png").write_bytes(picture((1, 2, 3)))
    tree = builder.tree | {"buffers": [{"byteLength": len(builder.data)}]}
    opened, real = [], Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda self: (opened.append(self.resolve()), real(self))[1]
    )
    path = home / "thing.glb"
    for case in range(-(-CASES // len(healthy()))):
        rng = np.random.default_rng((8, number, case))
        broken = (
            written(lied(tree, rng), bytes(builder.data))
            if case % 3
            else damaged(data, number, case)
        )
        path.write_bytes(broken)
        read = load_points if case % 7 == 0 else load_mesh
        result = outcome(read, "thing.", path)
        if isinstance(result, Mesh):
            check(result)
    assert peak_memory() - before < MEMORY
    assert all(p.is_relative_to(home) for p in opened)
