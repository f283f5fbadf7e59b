"""What is written opens elsewhere and comes back as it was."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.shapes.glb import HIDDEN, GlbPart, decode_glb, encode_glb
from svr_nb.shapes.mesh import Mesh, box, icosphere
from svr_nb.shapes.mesh_files import load_mesh, save_mesh
from svr_nb.shapes.patchwork import part_of_mesh
from svr_nb.shapes.uv import wrap_texture

from .glb_files import picture


def tree_of(data: bytes) -> tuple[dict, bytes]:
    size = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def meshes() -> dict[str, Mesh]:
    ball = icosphere(1)
    colors = torch.rand(len(ball.verts), 3, generator=seeded(3))
    skin = (torch.rand(3, 8, 16, generator=seeded(4)) * 255).round() / 255
    textured = wrap_texture(ball, skin)
    return {
        "plain": ball,
        "colours": Mesh(ball.verts, ball.faces, vert_colors=colors),
        "texture": textured,
        "both": Mesh(ball.verts, ball.faces, colors, uvs=textured.uvs, texture=textured.texture),
        "beyond": Mesh(ball.verts, ball.faces, uvs=textured.uvs * 3 - 1, texture=textured.texture),
        "one face": Mesh(torch.eye(3), torch.tensor([[0, 1, 2]])),
    }


@pytest.mark.parametrize("name", meshes())
def test_everything_comes_back(name: str, tmp_path: Path):
    mesh = meshes()[name]
    again = load_mesh(save_mesh(mesh, tmp_path / "thing.glb"))
    assert torch.equal(again.faces, mesh.faces) and torch.allclose(
        again.verts, mesh.verts, atol=1e-6
    )
    assert (again.vert_colors is None) == (mesh.vert_colors is None)
    if mesh.vert_colors is not None:
        assert torch.allclose(again.vert_colors, mesh.vert_colors, atol=1e-5)
    assert (again.texture is None) == (mesh.texture is None)
    if mesh.texture is not None and name != "beyond":
        assert torch.allclose(again.texture, mesh.texture, atol=1e-6)
        assert torch.allclose(again.uvs, mesh.uvs, atol=1e-6)


@pytest.mark.parametrize("name", meshes())
def test_the_rules_of_the_format(name: str):
    data = encode_glb(part_of_mesh(meshes()[name]), name)
    tree, block = tree_of(data)
    assert len(data) % 4 == 0 and tree["buffers"] == [{"byteLength": len(block)}]
    item = tree["meshes"][0]["primitives"][0]
    for number, accessor in enumerate(tree["accessors"]):
        view = tree["bufferViews"][accessor["bufferView"]]
        indices = number == item["indices"]
        kind, width = ("<u4", 1) if indices else ("<f4", int(accessor["type"][-1]))
        values = np.frombuffer(block, kind, accessor["count"] * width, view["byteOffset"])
        assert view["byteOffset"] % 4 == 0 and view["byteLength"] == values.nbytes
        assert view["target"] == (34963 if indices else 34962)
        if "min" in accessor:
            assert accessor["min"] == values.reshape(-1, width).min(0).tolist()
            assert accessor["max"] == values.reshape(-1, width).max(0).tolist()
        if indices:
            assert values.max() < tree["accessors"][item["attributes"]["POSITION"]]["count"]
    assert "min" in tree["accessors"][item["attributes"]["POSITION"]]
    assert all(
        k in ("POSITION", "COLOR_0", "TEXCOORD_0") or k[0] == "_" for k in item["attributes"]
    )
    if "textures" in tree:
        assert tree["textures"] == [{"source": 0, "sampler": 0}] and "mimeType" in tree["images"][0]
        wrap = 10497 if name == "beyond" else 33071
        assert tree["samplers"][0]["wrapS"] == tree["samplers"][0]["wrapT"] == wrap


def test_a_texture_hides_vertex_colours_in_viewers_too():
    """In glTF COLOR_0 would be multiplied with the texture; here it does not show."""
    tree, _ = tree_of(encode_glb(part_of_mesh(meshes()["both"])))
    names = tree["meshes"][0]["primitives"][0]["attributes"]
    assert "COLOR_0" not in names and HIDDEN in names


def test_another_reader_sees_the_same(tmp_path: Path):
    import trimesh

    for name, mesh in meshes().items():
        data = encode_glb(part_of_mesh(mesh))
        other = trimesh.load_scene(io.BytesIO(data), file_type="glb", process=False).to_mesh()
        corners = other.vertices[other.faces] * [-1, 1, -1]
        assert np.allclose(corners, mesh.verts[mesh.faces].numpy(), atol=1e-6), name
        if mesh.texture is not None:
            assert np.allclose(
                other.visual.uv[other.faces] * [1, -1] + [0, 1], mesh.uvs.numpy(), atol=1e-5
            )
            pixels = np.asarray(other.visual.material.baseColorTexture.convert("RGB"))
            assert np.array_equal(pixels.transpose(2, 0, 1), (mesh.texture * 255).round().numpy())


def test_a_vertex_is_written_once_for_every_place_it_reads():
    mesh = meshes()["texture"]
    part = part_of_mesh(mesh)
    pairs = {
        (v, *uv)
        for v, uv in zip(
            mesh.faces.reshape(-1).tolist(), map(tuple, mesh.uvs.reshape(-1, 2).tolist())
        )
    }
    assert len(part.verts) == len(pairs) < mesh.faces.numel()


@pytest.mark.parametrize(
    "mesh",
    [
        Mesh(torch.zeros(0, 3), torch.zeros(0, 3).long()),
        Mesh(torch.eye(3), torch.zeros(0, 3).long()),
    ],
)
def test_nothing_is_refused_in_one_sentence(mesh: Mesh, tmp_path: Path):
    with pytest.raises(InputError, match="^mesh: expected at least one .*face"):
        save_mesh(mesh, tmp_path / "nothing.glb")
    assert not list(tmp_path.iterdir())


def test_factor_wrap_and_colours_of_a_part_come_back():
    part = GlbPart(
        box().verts.numpy(),
        box().faces.numpy(),
        colors=np.linspace(0, 1, 24, dtype=np.float32).reshape(8, 3),
        uvs=np.linspace(-1, 2, 16, dtype=np.float32).reshape(8, 2),
        texture=picture((9, 8, 7)),
        factor=(0.25, 0.5, 1.0),
        wrap=("mirror", "clamp"),
    )
    (again,), _ = decode_glb(encode_glb(part))
    assert again.wrap == part.wrap and again.factor == part.factor and again.texture == part.texture
    assert np.allclose(again.colors, part.colors, atol=1e-6) and np.array_equal(again.uvs, part.uvs)
