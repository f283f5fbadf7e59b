"""What a .glb places where: nodes, scenes, strips and fans, arrays of every kind."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from svr_nb.conventions import FileError
from svr_nb.shapes.glb import decode_glb
from svr_nb.shapes.mesh_files import load_mesh

from .glb_files import CORNERS, FLAT, SIDES, Builder, cube, one, square

QUARTER = [0, 0, np.sqrt(0.5), np.sqrt(0.5)]


@pytest.fixture(autouse=True)
def nothing_said(request: pytest.FixtureRequest):
    """A test that does not expect a warning must not get one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def read(builder: Builder, tmp_path: Path, **more):
    return load_mesh(builder.at(tmp_path, **more))


def by_trimesh(builder: Builder, **more):
    """The same file as another reader sees it, in its own frame."""
    import trimesh

    scene = trimesh.load_scene(io.BytesIO(builder.glb(**more)), file_type="glb", process=False)
    return scene.to_mesh()


NESTED = {
    "scale -1 1 1": [{"mesh": 0, "scale": [-1, 1, 1]}],
    "scale -1 -1 1": [{"mesh": 0, "scale": [-1, -1, 1]}],
    "scale -1 -1 -1": [{"mesh": 0, "scale": [-1, -1, -1]}],
    "a mirroring matrix": [{"mesh": 0, "matrix": [1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 3, 4, 5, 1]}],
    "mirrored above": [{"scale": [1, -1, 1], "children": [1]}, {"mesh": 0, "rotation": QUARTER}],
    "mirrored twice": [{"scale": [1, -1, 1], "children": [1]}, {"mesh": 0, "scale": [1, 1, -1]}],
    "two, one mirrored": [
        {"children": [1, 2]},
        {"mesh": 0},
        {"mesh": 0, "scale": [-1, 1, 1], "translation": [-1, 0, 0]},
    ],
    "instances": [
        {"children": [1, 2, 3]},
        *({"mesh": 0, "translation": [2 * i, 0, 0], "rotation": QUARTER} for i in range(3)),
    ],
    "deep": [
        {"children": [1], "translation": [1, 2, 3], "rotation": QUARTER},
        {"children": [2], "scale": [2, 1, 0.5]},
        {"mesh": 0, "rotation": [0.5, 0.5, 0.5, 0.5], "translation": [0, 0, 1]},
    ],
}


@pytest.mark.parametrize("name", NESTED)
def test_nodes_keep_the_outside_outside(name: str, tmp_path: Path):
    builder = one(cube()).scene(*NESTED[name])
    mesh, other = read(builder, tmp_path), by_trimesh(builder)
    count = len(mesh.verts) // 8
    assert mesh.volume() == pytest.approx(count, abs=1e-4) and mesh.is_closed()
    low, high = mesh.bounds().numpy() * [-1, 1, -1]
    found = np.sort(np.stack([low, high]), axis=0)
    assert np.allclose(found, other.bounds, atol=1e-6)


def test_rotations_need_not_have_length_one(tmp_path: Path):
    turn = Rotation.from_euler("xyz", [20, 50, -70], degrees=True)
    nodes = [{"mesh": 0, "rotation": (turn.as_quat() * 3).tolist()}]
    mesh = read(one(cube()).scene(*nodes), tmp_path)
    assert np.allclose(mesh.verts.numpy(), turn.apply(CORNERS) * [-1, 1, -1], atol=1e-6)


def test_many_instances_by_their_extension(tmp_path: Path):
    builder = one(cube())
    places = np.array([[0, 0, 0], [3, 0, 0], [0, 5, 0]], np.float32)
    sizes = np.array([[1, 1, 1], [-1, 1, 1], [2, 2, 2]], np.float32)
    attributes = {"TRANSLATION": builder.array(places), "SCALE": builder.array(sizes)}
    many = {"EXT_mesh_gpu_instancing": {"attributes": attributes}}
    mesh = read(builder.scene({"mesh": 0, "extensions": many}), tmp_path)
    assert len(mesh.faces) == 36 and mesh.volume() == pytest.approx(1 + 1 + 8, abs=1e-4)


@pytest.mark.parametrize("without", [("scene", "scenes"), ("scene",)])
def test_files_that_name_no_scene(without: tuple, tmp_path: Path):
    nodes = ({"children": [2]}, {"mesh": 0, "translation": [5, 0, 0]}, {"mesh": 0})
    builder = one(cube()).scene(*nodes)
    builder.tree["scenes"] = [{"nodes": [0, 1]}]
    mesh = read(builder, tmp_path, **dict.fromkeys(without))
    assert len(mesh.faces) == 24 and mesh.volume() == pytest.approx(2)


def test_meshes_without_any_node(tmp_path: Path):
    mesh = read(one(cube()), tmp_path, nodes=None, scenes=None, scene=None)
    assert len(mesh.faces) == 12


def test_the_default_scene_is_read_and_the_rest_is_named(tmp_path: Path):
    builder = one(cube()).scene({"mesh": 0}, {"mesh": 0, "name": "spare", "translation": [9, 0, 0]})
    scenes = [{"nodes": [0]}, {"nodes": [1]}]
    for scene, low in ((0, -1.0), (1, -10.0), (None, -1.0)):
        named = "'spare'" if scene != 1 else "number 0"
        with pytest.warns(UserWarning, match=f"case.glb: .*not in the scene.*{named}"):
            mesh = read(builder, tmp_path, scenes=scenes, scene=scene)
        assert float(mesh.verts[:, 0].min()) == low and len(mesh.faces) == 12


def test_an_empty_scene_is_refused_by_name(tmp_path: Path):
    with pytest.raises(
        FileError, match="case.glb: expected at least one triangle.*not in the scene"
    ):
        read(one(cube()), tmp_path, scenes=[{}])


RIBBON = np.array([[x, y, 0] for x in range(4) for y in (0, 1)], np.float32)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, None])
@pytest.mark.parametrize("mode", [4, 5, 6])
def test_strips_and_fans(mode: int, dtype: type | None, tmp_path: Path):
    points = {5: RIBBON, 6: FLAT, 4: FLAT[[0, 1, 2, 0, 2, 3]]}[mode]
    item: dict = {"attributes": {"POSITION": points}, "mode": mode}
    if dtype is not None:
        item["indices"] = np.arange(len(points), dtype=dtype)
    builder = one(item)
    mesh, other = read(builder, tmp_path), by_trimesh(builder)
    normals = mesh.normals().numpy() * [-1, 1, -1]
    assert len(mesh.faces) == (6 if mode == 5 else 2)
    # the first face, hence every face, is seen from the front
    first = np.cross(points[1] - points[0], points[2] - points[0])
    assert np.allclose(normals, first / np.linalg.norm(first), atol=1e-6)
    if mode != 6:
        assert float(mesh.areas().sum()) == pytest.approx(other.area)


def test_strips_are_sewn_together_with_faces_of_no_area(tmp_path: Path):
    item = {"attributes": {"POSITION": RIBBON}, "mode": 5}
    sewn = item | {"indices": np.array([0, 1, 2, 3, 3, 4, 4, 5, 6, 7], np.uint16)}
    mesh = read(one(cube(), sewn), tmp_path)
    assert len(mesh.faces) == 12 + 4 and float(mesh.areas().min()) > 0


@pytest.mark.parametrize("mode, word", [(0, "points"), (1, "lines"), (2, "lines"), (3, "lines")])
def test_points_and_lines_are_left_out_by_name(mode: int, word: str, tmp_path: Path):
    flat = {"attributes": {"POSITION": FLAT}, "mode": mode}
    builder = one(cube(), flat, name="frame")
    with pytest.warns(UserWarning, match=f"case.glb: .*the {word} of 'frame'"):
        assert len(read(builder, tmp_path).faces) == 12
    with pytest.raises(FileError, match=f"case.glb: expected at least one triangle.*{word} of"):
        read(one(flat), tmp_path)


def test_sparse_arrays(tmp_path: Path):
    builder = one(cube())
    entry = builder.tree["accessors"][0]
    for plain in (True, False):
        rows, fresh = np.array([7, 1], np.uint8), np.array([[2, 2, 2], [0, 0, 3]], np.float32)
        values = CORNERS.copy() if plain else np.zeros_like(CORNERS)
        values[rows] = fresh
        entry["sparse"] = {
            "count": 2,
            "indices": {"bufferView": builder.view(rows.tobytes()), "componentType": 5121},
            "values": {"bufferView": builder.view(fresh.tobytes())},
        }
        mesh = read(builder, tmp_path)
        assert np.allclose(mesh.verts.numpy(), values * [-1, 1, -1])
        entry.pop("bufferView", None)


def test_interleaved_and_quantised_positions(tmp_path: Path):
    builder = Builder()
    rows = np.zeros(8, dtype=[("p", "<i2", 3), ("spare", "<i2", 5)])
    rows["p"] = CORNERS * 32767
    view = builder.view(rows.tobytes(), byteStride=16)
    builder.tree["accessors"].append(
        {"bufferView": view, "componentType": 5122, "count": 8, "type": "VEC3", "normalized": True}
    )
    builder.mesh({"attributes": {"POSITION": 0}, "indices": SIDES})
    builder.scene({"mesh": 0, "scale": [2, 2, 2]})
    mesh = read(builder, tmp_path, extensionsRequired=["KHR_mesh_quantization"])
    assert mesh.volume() == pytest.approx(8, rel=1e-3) and mesh.is_closed()


def test_the_lowest_integer_is_minus_one(tmp_path: Path):
    low = np.array([[-128, -127, 127]] * 3, np.int8)
    item = {"attributes": {"POSITION": (low, {"normalized": True})}}
    assert read(one(item), tmp_path).verts[0].tolist() == [1, -1, -1]


def test_default_weights_of_other_shapes_are_mixed_in(tmp_path: Path):
    target = {"POSITION": CORNERS * np.array([1, 0, 0], np.float32)}
    builder = one(cube(targets=[target]), weights=[1.0])
    with pytest.warns(UserWarning, match="morph targets"):
        assert read(builder, tmp_path).volume() == pytest.approx(2)
    with pytest.warns(UserWarning, match="morph targets"):
        assert read(
            builder.scene({"mesh": 0, "weights": [0.0]}), tmp_path
        ).volume() == pytest.approx(1)


def test_a_skin_stands_where_its_joints_stand(tmp_path: Path):
    joints, weights = np.zeros((8, 4), np.uint8), np.zeros((8, 4), np.float32)
    joints[4:, 0], weights[:, 0] = 1, 1  # the half with x = 1 follows the second joint
    item = cube()
    item["attributes"] = item["attributes"] | {"JOINTS_0": joints, "WEIGHTS_0": weights}
    builder = one(item)
    back = np.tile(np.eye(4, dtype=np.float32).reshape(1, 16), (2, 1))
    builder.tree["skins"] = [{"joints": [2, 3], "inverseBindMatrices": builder.array(back)}]
    mesh_node = {"mesh": 0, "skin": 0, "translation": [50, 0, 0]}  # which must be ignored
    builder.scene({"children": [1, 2]}, mesh_node, {"children": [3]}, {"translation": [1, 0, 0]})
    with pytest.warns(UserWarning, match="skins"):
        mesh = read(builder, tmp_path)
    assert mesh.volume() == pytest.approx(2) and float(mesh.verts[:, 0].min()) == -2


def test_what_moves_or_shines_is_named_once(tmp_path: Path):
    lamp = {"KHR_lights_punctual": {"light": 0}}
    builder = one(cube()).scene(
        {"mesh": 0, "children": [1, 2]}, {"camera": 0}, {"extensions": lamp}
    )
    with pytest.warns(UserWarning) as said:
        assert len(read(builder, tmp_path, animations=[{}], cameras=[{}]).faces) == 12
    assert len(said) == 1 and Path(said[0].filename).name == "test_glb_scene.py"
    assert all(word in str(said[0].message) for word in ("animations", "cameras", "lights"))


def test_hidden_and_shrunken_nodes_are_named(tmp_path: Path):
    unseen = {"mesh": 0, "name": "ghost", "extensions": {"KHR_node_visibility": {"visible": False}}}
    builder = one(cube()).scene(
        {"mesh": 0, "children": [1, 2]}, unseen, {"mesh": 0, "scale": [0, 0, 0]}
    )
    with pytest.warns(UserWarning, match="'ghost'.*scaled to nothing"):
        assert len(read(builder, tmp_path).faces) == 12


def test_text_files_and_open_files(tmp_path: Path):
    builder = one(cube())
    (tmp_path / "inside.gltf").write_bytes(builder.gltf())
    (tmp_path / "my numbers.bin").write_bytes(bytes(builder.data))
    (tmp_path / "beside.gltf").write_bytes(builder.gltf("my%20numbers.bin"))
    for name in ("inside", "beside"):
        assert load_mesh(tmp_path / f"{name}.gltf").volume() == pytest.approx(1)
    for data in (builder.gltf(), builder.glb()):
        assert len(decode_glb(io.BytesIO(data))[0][0].faces) == 12
    with (tmp_path / "inside.gltf").open("rb") as file:
        assert len(decode_glb(file)[0]) == 1


def test_extra_chunks_and_a_byte_order_mark(tmp_path: Path):
    data = one(cube()).glb()
    assert len(decode_glb(data + b"\4\0\0\0XTRA1234")[0]) == 1
    start = 20 + int.from_bytes(data[12:16], "little")
    assert len(decode_glb(data[:start] + b"\4\0\0\0XTRA1234" + data[start:])[0]) == 1
    assert len(decode_glb(b"\xef\xbb\xbf" + one(cube()).gltf())[0]) == 1


def test_a_square_is_seen_from_the_front(tmp_path: Path):
    assert np.allclose(read(one(square(uv=None)), tmp_path).normals().numpy(), [0, 0, -1])


def test_extensions_that_are_only_used_are_named(tmp_path: Path):
    known = ["KHR_mesh_quantization", "KHR_materials_unlit", "KHR_texture_transform"]
    assert len(read(one(cube()), tmp_path, extensionsUsed=known).faces) == 12
    with pytest.warns(UserWarning, match="the extension ACME_teapots"):
        read(one(cube()), tmp_path, extensionsUsed=[*known, "ACME_teapots"])


def test_primitives_that_share_an_array_keep_what_they_use(tmp_path: Path):
    builder = Builder()
    place = builder.array(CORNERS)
    halves = [SIDES[:6], SIDES[6:12]]
    builder.mesh(*({"attributes": {"POSITION": place}, "indices": half} for half in halves))
    mesh = read(builder, tmp_path)
    assert len(mesh.verts) == 8 and float(mesh.areas().sum()) == pytest.approx(2)
    alone = read(one({"attributes": {"POSITION": CORNERS}, "indices": SIDES[:6]}), tmp_path)
    assert len(alone.verts) == 8  # a file's own vertices stay, used or not


def test_bytes_of_any_kind():
    data = one(cube()).glb()
    for kind in (bytes, bytearray, memoryview, io.BytesIO):
        assert len(decode_glb(kind(data))[0]) == 1
