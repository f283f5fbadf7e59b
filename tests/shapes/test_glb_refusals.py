"""Files that cannot be read as they are: one clear sentence each, and nothing read elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from svr_nb.conventions import FileError, InputError
from svr_nb.shapes.glb import decode_glb
from svr_nb.shapes.mesh_files import load_mesh, save_mesh

from .glb_files import CORNERS, Builder, cube, one, picture, square

PACKED = {
    "KHR_draco_mesh_compression": "Draco",
    "EXT_meshopt_compression": "meshopt",
    "KHR_texture_basisu": "Basis",
    "ACME_teapots": "ACME_teapots",
}


@pytest.mark.parametrize("extension", PACKED)
def test_what_is_required_and_unknown_is_named(extension: str, tmp_path: Path):
    path = one(cube()).at(tmp_path, extensionsRequired=["KHR_mesh_quantization", extension])
    with pytest.raises(
        FileError, match=f"case.glb: expected .*{PACKED[extension]}.*Export it again"
    ):
        load_mesh(path)


def test_packed_arrays_are_named_even_if_nothing_is_required(tmp_path: Path):
    builder = one(cube(extensions={"KHR_draco_mesh_compression": {"bufferView": 0}}))
    assert len(load_mesh(builder.at(tmp_path)).faces) == 12  # the unpacked copy is there
    for accessor in builder.tree["accessors"]:
        del accessor["bufferView"]
    with pytest.raises(FileError, match="Draco"):
        load_mesh(builder.at(tmp_path))
    builder = one(cube())
    builder.tree["bufferViews"][0]["buffer"] = 1
    data = builder.glb()
    builder.scene()
    packed = [{"byteLength": 9}, {"byteLength": 9, "extensions": {"EXT_meshopt_compression": {}}}]
    with pytest.raises(FileError, match="meshopt"):
        decode_glb(
            builder.gltf().replace(b'"buffers"', b'"other"')[:-1]
            + b', "buffers": %s}' % str(packed).replace("'", '"').encode()
        )
    assert data[:4] == b"glTF"


def test_a_picture_in_basis_form_is_named(tmp_path: Path):
    builder = Builder()
    builder.mesh(square() | {"material": builder.material(b"\xabKTX 20\xbb rest")})
    with pytest.warns(UserWarning, match="KTX2"):
        assert load_mesh(builder.at(tmp_path)).texture is None
    lost = [{"extensions": {"KHR_texture_basisu": {"source": 0}}}]
    with pytest.warns(UserWarning, match="KHR_texture_basisu"):
        assert load_mesh(builder.at(tmp_path, textures=lost)).texture is None


def test_older_versions_are_named(tmp_path: Path):
    with pytest.raises(FileError, match="version 1.0.*Convert it"):
        load_mesh(one(cube()).at(tmp_path, asset={"version": "1.0"}))


OUTSIDE = [
    "../secret.png",
    "%2e%2e/secret.png",
    "..\\secret.png",
    "inner/../../secret.png",
    "~/secret.png",
    "link.png",
    "https://example.org/secret.png",
    "file:///etc/passwd",
    "/etc/passwd",
    "secret.txt",
    "nul\0.png",
    "",
]


@pytest.mark.parametrize("suffix", ["glb", "gltf"])
@pytest.mark.parametrize("uri", OUTSIDE)
def test_only_its_own_folder_is_read(
    uri: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home = tmp_path / "home"
    (home / "inner").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("secret.png", "home/secret.txt"):
        (tmp_path / name).write_bytes(picture((1, 2, 3)))
    (home / "link.png").symlink_to(tmp_path / "secret.png")
    opened, real = [], Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda self: (opened.append(self.resolve()), real(self))[1]
    )
    builder = Builder()
    builder.mesh(square() | {"material": builder.material({"uri": uri, "name": "bark"})})
    path = home / f"case.{suffix}"
    path.write_bytes(builder.glb() if suffix == "glb" else builder.gltf())
    with pytest.warns(UserWarning, match="case.gl.*the picture 'bark'.*not a file in its folder"):
        assert load_mesh(path).texture is None
    assert all(p.is_relative_to(home) for p in opened), opened
    path.write_bytes(builder.gltf(uri))
    with pytest.raises(FileError, match="case.gl.*not a file in its folder.*Put it there"):
        load_mesh(path)
    assert all(p.is_relative_to(home) for p in opened), opened


def test_pictures_beside_and_below_are_read(tmp_path: Path):
    (tmp_path / "my skins").mkdir()
    (tmp_path / "my skins" / "bark.png").write_bytes(picture((0, 0, 255)))
    builder = Builder()
    builder.mesh(square() | {"material": builder.material({"uri": "my%20skins/bark.png"})})
    assert load_mesh(builder.at(tmp_path)).texture[:, 0, 0].tolist() == [0, 0, 1]
    with pytest.warns(UserWarning, match="bark.png.*not a file in its folder"):
        decode_glb(builder.glb())  # in memory there is no folder


def broken(change) -> bytes:
    """A file whose tree a test has changed."""
    builder = one(cube()).scene()
    change(builder.tree)
    return builder.glb()


BROKEN = {
    "a list": lambda t: t.update(meshes={"a": 1}),
    "an index": lambda t: t["meshes"][0]["primitives"][0].update(indices=-1),
    "too far": lambda t: t["accessors"][0].update(count=9),
    "width": lambda t: t["accessors"][0].update(type="VEC2", count=8),
    "signs": lambda t: t["accessors"][1].update(componentType=5122),
    "vertices": lambda t: t["accessors"][0].update(count=7),
    "corners": lambda t: t["accessors"][1].update(count=35),
    "mode": lambda t: t["meshes"][0]["primitives"][0].update(mode=7),
    "mode as text": lambda t: t["meshes"][0]["primitives"][0].update(mode="strip"),
    "matrix": lambda t: t["nodes"][0].update(matrix=[1, 2, 3]),
    "rotation": lambda t: t["nodes"][0].update(rotation=["a"] * 4),
    "circle": lambda t: t["nodes"][0].update(children=[0]),
    "zeros": lambda t: t["accessors"].__setitem__(
        0, {"componentType": 5126, "type": "VEC3", "count": 10**12}
    ),
    "sparse": lambda t: t["accessors"][0].update(
        sparse={
            "count": 1,
            "indices": {"bufferView": 1, "componentType": 5125},
            "values": {"bufferView": 0},
        }
    ),
    "asset": lambda t: t.update(asset=[1]),
    "material": lambda t: t["meshes"][0]["primitives"][0].update(material=3),
    "skin": lambda t: (
        t.update(skins=[{"joints": []}])
        or t["nodes"][0].update(skin=4)
        or t["meshes"][0]["primitives"][0]["attributes"].update(JOINTS_0=0)
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_trees_get_one_sentence(name: str):
    with pytest.raises(FileError, match="^bird.glb: expected ") as caught:
        decode_glb(broken(BROKEN[name]), "bird.glb")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("uri", ["data:;base64,!!!", "data:,", "data:", "data:;base64,AA"])
def test_buffers_of_broken_text(uri: str):
    with pytest.raises(FileError, match="^bird.gltf: expected "):
        decode_glb(one(cube()).gltf(uri), "bird.gltf")


def test_colours_of_another_length(tmp_path: Path):
    item = cube()
    item["attributes"] = item["attributes"] | {"COLOR_0": np.ones((5, 3), np.float32)}
    with pytest.raises(FileError, match="different lengths"):
        load_mesh(one(item).at(tmp_path))


def test_words_of_the_file_do_not_flood_the_message(tmp_path: Path):
    points = {"attributes": {"POSITION": CORNERS}, "mode": 0}
    builder = one(cube())
    for number in range(40):
        builder.mesh(points, name=f"{number} " + "x" * 5000)
    builder.scene(
        *([{"mesh": 0, "children": list(range(1, 41))}] + [{"mesh": n + 1} for n in range(40)])
    )
    with pytest.warns(UserWarning, match="and more") as said:
        load_mesh(builder.at(tmp_path))
    assert len(said) == 1 and len(str(said[0].message)) < 1200


def test_text_files_are_read_and_not_written(tmp_path: Path):
    with pytest.raises((FileError, InputError), match="a name that ends in"):
        save_mesh(load_mesh(one(cube()).at(tmp_path)), tmp_path / "a.gltf")
