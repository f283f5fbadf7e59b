"""Binary glTF, checked against its own rules and against another reader."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from svr_nb.conventions import FileError
from svr_nb.shapes.glb import GlbPart, _pack, decode_glb, encode_glb, linear_to_srgb, srgb_to_linear

VERTS = np.array([[0, 0, 0], [0.5, 0, 0], [0, 0.4, 0], [0, 0, 0.3]], dtype=np.float32)
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def pieces(data: bytes) -> tuple[dict, bytes]:
    size = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def changed(change) -> bytes:
    tree, block = pieces(encode_glb(GlbPart(VERTS, FACES)))
    change(tree)
    return _pack({k: v for k, v in tree.items() if k != "buffers"}, block)


@given(some.integers(0, 9999))
def test_round_trip(seed: int):
    rng = np.random.default_rng(seed)
    part = GlbPart(
        rng.normal(size=(9, 3)).astype(np.float32),
        rng.integers(0, 9, (5, 3)),
        rng.random((9, 3)).astype(np.float32),
    )
    (again,), extras = decode_glb(encode_glb(part, extras={"seed": seed}))
    assert np.allclose(again.verts, part.verts, atol=1e-6) and np.array_equal(
        again.faces, part.faces
    )
    assert np.allclose(again.colors, part.colors, atol=1e-5) and extras == {"seed": seed}


def test_the_file_follows_the_rules():
    data = encode_glb(GlbPart(VERTS, FACES, colors=np.full((4, 3), 0.5, np.float32)))
    tree, block = pieces(data)
    assert (
        struct.unpack_from("<4sII", data) == (b"glTF", 2, len(data))
        and len(data) % 4 == 0
        and tree["asset"]["version"] == "2.0"
    )
    assert tree["buffers"][0]["byteLength"] == len(block) and all(
        v["byteOffset"] % 4 == 0 for v in tree["bufferViews"]
    )
    position = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    assert np.allclose(position["min"], [-0.5, 0, -0.3]) and np.allclose(
        position["max"], [0, 0.4, 0]
    )
    color = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    start = tree["bufferViews"][color["bufferView"]]["byteOffset"]
    assert np.allclose(
        np.frombuffer(block, np.float32, 12, start), 0.2140, atol=1e-4
    )  # .5 in sRGB is .214 of the light


def test_another_reader_agrees_on_the_geometry():
    import trimesh

    other = trimesh.load(
        io.BytesIO(encode_glb(GlbPart(VERTS, FACES, colors=np.eye(4, 3, dtype=np.float32)))),
        file_type="glb",
        force="mesh",
        process=False,
    )
    assert np.allclose(other.vertices, VERTS * [-1, 1, -1], atol=1e-6) and np.array_equal(
        other.faces, FACES
    )


def test_files_by_another_writer():
    import trimesh

    ball = trimesh.creation.icosphere(1)
    scene = trimesh.Scene()
    turn = trimesh.transformations.rotation_matrix(0.7, [1, 2, 3], [0.1, 0, 0])
    scene.add_geometry(ball, transform=turn)
    scene.add_geometry(
        trimesh.creation.box(), transform=trimesh.transformations.translation_matrix([3, 0, 0])
    )
    parts, _ = decode_glb(scene.export(file_type="glb"))
    assert sorted(len(p.faces) for p in parts) == [12, 80]
    found = next(p for p in parts if len(p.faces) == 80)
    assert np.allclose(
        found.verts, trimesh.transform_points(ball.vertices, turn) * [-1, 1, -1], atol=1e-5
    )


def test_nodes_move_what_hangs_below():
    half = float(np.sqrt(0.5))
    moved = changed(
        lambda t: t.update(
            nodes=[
                {"children": [1], "translation": [1, 0, 0]},
                {"mesh": 0, "rotation": [0, half, 0, half], "scale": [2, 2, 2]},
            ]
        )
    )
    verts = decode_glb(moved)[0][0].verts
    gltf = VERTS * [-1, 1, -1]
    turned = np.stack([gltf[:, 2], gltf[:, 1], -gltf[:, 0]], 1) * 2 + [
        1,
        0,
        0,
    ]  # a quarter turn about y takes z to x
    assert np.allclose(verts, turned * [-1, 1, -1], atol=1e-6)


def test_interleaved_and_normalized_arrays():
    values = np.zeros(4, dtype=[("p", "<f4", 3), ("c", "u1", 4)])
    values["p"], values["c"] = VERTS * [-1, 1, -1], [255, 51, 0, 255]
    tree = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
            {
                "bufferView": 0,
                "byteOffset": 12,
                "componentType": 5121,
                "normalized": True,
                "count": 4,
                "type": "VEC4",
            },
            {"bufferView": 1, "componentType": 5121, "count": 12, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": 64, "byteStride": 16},
            {"buffer": 0, "byteOffset": 64, "byteLength": 12},
        ],
    }
    (part,), _ = decode_glb(_pack(tree, values.tobytes() + FACES.astype(np.uint8).tobytes()))
    assert np.allclose(part.verts, VERTS) and np.array_equal(part.faces, FACES)
    assert np.allclose(
        part.colors, linear_to_srgb(torch.tensor([1, 0.2, 0])).expand(4, 3), atol=1e-6
    )


def test_material_colours():
    parts, _ = decode_glb(
        changed(
            lambda t: t["materials"][0]["pbrMetallicRoughness"].update(
                baseColorFactor=[1, 0.2140, 0, 1]
            )
        )
    )
    assert np.allclose(parts[0].colors[0], [1, 0.5, 0], atol=1e-3)
    assert decode_glb(encode_glb(GlbPart(VERTS, FACES)))[0][0].colors is None


def test_transfer_curve():
    values = torch.linspace(0, 1, 1001, dtype=torch.float64, requires_grad=True)
    assert torch.allclose(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-7)
    for function in (srgb_to_linear, linear_to_srgb):
        assert function(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([0, 1], abs=1e-6)
        assert torch.autograd.gradcheck(
            function, torch.tensor([0.001, 0.02, 0.3, 0.9], dtype=torch.float64, requires_grad=True)
        )
        assert bool((torch.autograd.grad(function(values).sum(), values)[0] > 0).all())


def test_refusals_name_the_file():
    for data in (
        b"",
        b"glTF",
        encode_glb(GlbPart(VERTS, FACES))[:-9],
        b"x" * 400,
        changed(lambda t: t.update(extensionsRequired=["EXT_meshopt_compression"])),
    ):
        with pytest.raises(FileError, match="^bird.glb: expected a binary glTF"):
            decode_glb(data, "bird.glb")
    with pytest.raises(FileError, match="more than 3 faces"):
        decode_glb(encode_glb(GlbPart(VERTS, FACES)), max_faces=3)
    with pytest.raises(FileError, match="finite"):
        decode_glb(encode_glb(GlbPart(VERTS * np.float32("nan"), FACES)))
