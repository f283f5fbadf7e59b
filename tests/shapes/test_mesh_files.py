"""Meshes and clouds, out and back."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from svr_nb.conventions import FileError, InputError, SvrError, frame_matrix, seeded
from svr_nb.shapes.mesh_files import MESH_KINDS, load_mesh, save_mesh
from svr_nb.shapes.point_files import POINT_KINDS, load_points, save_points
from svr_nb.shapes.mesh import Mesh, box, icosphere
from svr_nb.shapes.points import PointCloud, sample_surface
from svr_nb.shapes.uv import wrap_texture


def colored() -> Mesh:
    ball = icosphere(1).normalized()
    return Mesh(
        ball.verts + torch.tensor([0.1, 0.2, 0.3]),
        ball.faces,
        vert_colors=torch.rand(len(ball.verts), 3, generator=seeded(1)),
        name="ball",
    )


def textured() -> Mesh:
    return wrap_texture(
        icosphere(1), (torch.rand(3, 8, 16, generator=seeded(2)) * 255).round() / 255
    )


@pytest.mark.filterwarnings("ignore:.*keeps the shape only")
@pytest.mark.parametrize("kind", MESH_KINDS)
def test_shapes_come_back(kind: str, tmp_path: Path):
    mesh = colored()
    again = load_mesh(save_mesh(mesh, tmp_path / f"Ball.{kind.upper()}"))
    assert (
        torch.allclose(again.verts[again.faces], mesh.verts[mesh.faces], atol=1e-6)
        and again.verts.dtype == torch.float32
    )
    assert (again.vert_colors is not None) == (
        kind in ("glb", "obj", "ply")
    ) and again.name == "Ball"
    if again.vert_colors is not None:
        assert torch.allclose(
            again.vert_colors[again.faces],
            mesh.vert_colors[mesh.faces],
            atol=1e-5 if kind == "glb" else 0.003,
        )
    assert len(again.verts) == len(mesh.verts) and again.is_closed()
    if kind != "stl":
        assert torch.equal(again.faces, mesh.faces)


@pytest.mark.parametrize("kind", ["glb", "obj"])
def test_textures_come_back(kind: str, tmp_path: Path):
    mesh = textured()
    again = load_mesh(save_mesh(mesh, tmp_path / f"my ball.{kind}"))
    assert torch.allclose(again.texture, mesh.texture, atol=1e-6) and torch.allclose(
        again.uvs, mesh.uvs, atol=1e-5
    )
    assert again.is_closed() and again.vert_colors is None
    assert sorted(p.suffix for p in tmp_path.iterdir()) == (
        [".glb"] if kind == "glb" else [".mtl", ".obj", ".png"]
    )


@given(
    some.integers(3, 12),
    some.integers(1, 9),
    some.integers(0, 999),
    some.sampled_from(["glb", "obj", "ply", "off"]),
)
def test_any_soup_of_triangles(v: int, f: int, seed: int, kind: str):
    from tempfile import TemporaryDirectory

    generator = seeded(seed, v, f)
    mesh = Mesh(
        torch.randn(v, 3, generator=generator) * 10.0 ** (seed % 5 - 2),
        torch.randint(0, v, (f, 3), generator=generator),
    )
    with TemporaryDirectory() as folder:
        again = load_mesh(save_mesh(mesh, Path(folder) / f"soup.{kind}"))
    assert again.faces.shape == mesh.faces.shape and torch.allclose(
        again.verts[again.faces], mesh.verts[mesh.faces], rtol=1e-5, atol=1e-7
    )


def test_frames(tmp_path: Path):
    mesh = box((0.2, 0.4, 0.6), (0.1, 0, 0))
    path = save_mesh(mesh.transform(frame_matrix("shapenet", "pascal3d")), tmp_path / "car.ply")
    assert torch.allclose(load_mesh(path, frame="pascal3d").verts, mesh.verts, atol=1e-6)
    with pytest.raises(InputError, match="source"):
        load_mesh(path, frame="blender")


def test_gradients_and_large_files(tmp_path: Path):
    ball = icosphere(2)
    grown = Mesh(ball.verts.clone().requires_grad_(), ball.faces)
    assert len(load_mesh(save_mesh(grown, tmp_path / "ball.glb")).faces) == 320
    with pytest.raises(FileError, match="ball.glb.*more than 100 faces"):
        load_mesh(tmp_path / "ball.glb", max_faces=100)


def test_several_materials_become_vertex_colours(tmp_path: Path):
    (tmp_path / "two.mtl").write_text("newmtl red\nKd 1 0 0\nnewmtl blue\nKd 0 0 1\n")
    (tmp_path / "two.obj").write_text(
        "mtllib two.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nusemtl red\nf 1 2 3\nusemtl blue\nf 1 2 4\n"
    )
    mesh = load_mesh(tmp_path / "two.obj")
    found = {
        tuple(round(x) for x in mesh.vert_colors[face].mean(0).tolist()) for face in mesh.faces
    }
    assert len(mesh.faces) == 2 and found == {(1, 0, 0), (0, 0, 1)}


def test_polygons_negative_indices_and_comments(tmp_path: Path):
    (tmp_path / "a.obj").write_text(
        "# a square and a pentagon\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv -1 .5 0\nf -5 -4 -3 -2\nf 1 2 3 4 5\n"
    )
    assert len(load_mesh(tmp_path / "a.obj").faces) == 5
    (tmp_path / "a.off").write_text(
        "# words\nOFF\n\n3 1 0 # counts\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    )
    assert load_mesh(tmp_path / "a.off").faces.tolist() == [[0, 1, 2]]


def test_missing_texture_is_no_reason_to_refuse(tmp_path: Path):
    path = save_mesh(textured(), tmp_path / "ball.obj")
    (tmp_path / "ball.png").unlink()
    with pytest.warns(UserWarning, match="ball.png"):
        read = load_mesh(path)
    assert read.texture is None and read.is_closed()


@pytest.mark.parametrize("name", ["a.blend", "a", "a.fbx", "a.obj.zip"])
def test_unknown_kinds(name: str, tmp_path: Path):
    for action in (
        lambda: load_mesh(tmp_path / name),
        lambda: save_mesh(colored(), tmp_path / name),
        lambda: load_points(tmp_path / name),
    ):
        with pytest.raises(FileError, match=r"a name that ends in \."):
            action()
    with pytest.raises(FileError, match="nothing of that name"):
        load_mesh(tmp_path / "a.obj")
    with pytest.raises(FileError, match="folder"):
        save_mesh(colored(), tmp_path / "no" / "a.obj")


@pytest.mark.parametrize("kind", POINT_KINDS)
@pytest.mark.parametrize("count", [1, 7, 500])
def test_clouds_come_back(kind: str, count: int, tmp_path: Path):
    drawn = sample_surface(colored(), count, seeded(4))
    for cloud in (drawn, PointCloud(drawn.points)):
        again = load_points(save_points(cloud, tmp_path / f"cloud.{kind}"))
        assert torch.allclose(again.points, cloud.points, atol=1e-5)
        if cloud.colors is not None:
            assert torch.allclose(again.colors, cloud.colors, atol=0.003)
        if kind == "ply" and cloud.normals is not None:
            assert torch.allclose(again.normals, cloud.normals, atol=1e-6)


def test_octahedra_face_outward(tmp_path: Path):
    solid = load_mesh(
        save_points(
            PointCloud(torch.zeros(1, 3), colors=torch.ones(1, 3)), tmp_path / "one.glb", radius=0.1
        )
    )
    assert (
        len(solid.faces) == 8
        and solid.is_closed()
        and solid.volume() == pytest.approx(4 / 3 * 0.001, rel=1e-4)
    )
    with pytest.raises(InputError, match="radius"):
        save_points(PointCloud(torch.zeros(1, 3)), tmp_path / "one.glb", radius=-1)


def test_vertices_of_a_mesh_file_are_points(tmp_path: Path):
    for kind in ("ply", "glb"):
        cloud = load_points(save_mesh(colored(), tmp_path / f"ball.{kind}"))
        assert (
            len(cloud) == 42
            and torch.allclose(cloud.points, colored().verts, atol=1e-6)
            and cloud.colors is not None
        )


@pytest.mark.parametrize(
    "text", ["", "a b c\n", "1 2\n", "1 2 3\n4 5\n", "nan 0 0\n", "1 2 inf\n", "# only words\n"]
)
def test_bad_text_clouds(text: str, tmp_path: Path):
    (tmp_path / "c.xyz").write_text(text)
    with pytest.raises(FileError, match="c.xyz"):
        load_points(tmp_path / "c.xyz")


def test_too_many_points(tmp_path: Path):
    for kind in POINT_KINDS:
        path = save_points(PointCloud(torch.zeros(50, 3)), tmp_path / f"c.{kind}")
        with pytest.raises(FileError, match=f"c.{kind}"):
            load_points(path, max_points=4)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_real_meshes(shared_data: Path, tmp_path: Path):
    counts = {
        "clean/cow.obj": (2903, 5804),
        "clean/homer.obj": (6002, 12000),
        "clean/spot.obj": (2930, 5856),
        "animals_off/horse.off": (None, None),
        "io_and_defects/whitespace.off": (24, 12),
        "io_and_defects/negative_indices.obj": (None, 12),
        "io_and_defects/polygonfaces.obj": (None, None),
        "io_and_defects/fuze.ply": (502, 1000),
        "io_and_defects/busted.STL": (None, 3878),
    }
    for name, (v, f) in counts.items():
        mesh = load_mesh(shared_data / "meshes" / name)
        assert (v is None or len(mesh.verts) == v) and (f is None or len(mesh.faces) == f), name
    for name in ("clean/cow.obj", "clean/homer.obj", "clean/spot.obj", "animals_off/bear.off"):
        assert load_mesh(shared_data / "meshes" / name).is_closed()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_real_mesh_is_read_or_refused(shared_data: Path, tmp_path: Path):
    files = [
        p
        for p in shared_data.glob("meshes/**/*")
        if p.suffix.lower().removeprefix(".") in MESH_KINDS
    ]
    refused = set()
    for path in files:
        try:
            mesh = load_mesh(path)
        except SvrError as error:
            assert path.name in str(error)
            refused.add(path.stem)
            continue
        if len(mesh.faces) < 5000:
            again = load_mesh(save_mesh(mesh, tmp_path / "a.glb"))
            assert torch.allclose(
                again.verts[again.faces], mesh.verts[mesh.faces], rtol=1e-5, atol=1e-6
            ), path.name
    assert refused == {
        "empty",
        "obj_empty",
        "obj_wireframe",
        "ply_empty_header",
        "stl_empty_bin",
        "face_in_group_name",
        "points_ascii",
        "points_bin",
    }


@pytest.mark.filterwarnings("ignore:.*Kd 0.64 beside a picture")
def test_a_textured_shapenet_chair(shared_data: Path):
    """Two pictures and a plain colour share one sheet."""
    mesh = load_mesh(shared_data / "shapenet_derived" / "chair_21bfb150" / "model.obj")
    assert len(mesh.faces) == 5356 and mesh.texture is not None
    colors = sample_surface(mesh, 2000, seeded(0)).colors
    assert float(colors.std(0).max()) > 0.02 and np.isfinite(mesh.verts.numpy()).all()


@pytest.mark.parametrize("kind", MESH_KINDS)
def test_open_files_are_as_good_as_paths(kind: str, tmp_path: Path):
    ball = icosphere(1)
    memory = io.BytesIO()
    assert save_mesh(ball, memory, kind=kind) is memory
    memory.seek(0)
    assert len(load_mesh(memory, kind=kind).faces) == 80
    with open(tmp_path / f"ball.{kind}", "wb") as file:
        save_mesh(ball, file)
    assert (tmp_path / f"ball.{kind}").read_bytes() == memory.getvalue()
    for mode in ("r", "rb"):
        with open(tmp_path / f"ball.{kind}", mode) as file:
            again = load_mesh(file)
        assert len(again.verts) == 42 and again.name == "ball"
    if kind in ("obj", "off"):
        text = io.StringIO()
        save_mesh(ball, text, kind=kind)
        assert len(load_mesh(io.StringIO(text.getvalue()), kind=kind).faces) == 80
    memory.name = f"thing.{kind.upper()}"
    memory.seek(0)
    assert load_mesh(memory).name == "thing"


def test_an_open_obj_finds_its_picture_only_by_its_path(tmp_path: Path):
    path = save_mesh(textured(), tmp_path / "ball.obj")
    with open(path, "rb") as file:
        assert load_mesh(file).texture is not None
    with pytest.warns(UserWarning, match="an open file has no folder"):
        assert load_mesh(io.BytesIO(path.read_bytes()), kind="obj").texture is None
    memory = io.BytesIO()
    with pytest.warns(UserWarning, match="colours of vertices"):
        save_mesh(textured(), memory, kind="obj")
    memory.seek(0)
    assert load_mesh(memory, kind="obj").vert_colors is not None


@pytest.mark.parametrize("kind", POINT_KINDS)
def test_open_clouds(kind: str):
    cloud, memory = sample_surface(colored(), 20, seeded(1)), io.BytesIO()
    save_points(cloud, memory, kind=kind)
    memory.seek(0)
    assert torch.allclose(load_points(memory, kind=kind).points, cloud.points, atol=1e-5)


@pytest.mark.parametrize("kind", MESH_KINDS)
@pytest.mark.parametrize("verts", [0, 3])
def test_nothing_to_save_is_refused(kind: str, verts: int, tmp_path: Path):
    empty = Mesh(torch.zeros(verts, 3), torch.zeros(0, 3, dtype=torch.long))
    with pytest.raises(InputError, match="mesh: expected at least one face"):
        save_mesh(empty, tmp_path / f"e.{kind}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", POINT_KINDS)
def test_an_empty_cloud_is_refused(kind: str, tmp_path: Path):
    with pytest.raises(InputError, match="cloud: expected at least one point"):
        save_points(PointCloud(torch.zeros(0, 3)), tmp_path / f"e.{kind}")


@pytest.mark.parametrize("make", [colored, textured])
@pytest.mark.parametrize("kind", ["off", "stl"])
def test_colours_that_are_lost_are_said(kind: str, make, tmp_path: Path):
    with pytest.warns(UserWarning, match=f"a.{kind}: a .{kind} keeps the shape only"):
        save_mesh(make(), tmp_path / f"a.{kind}")


def test_warnings_point_at_the_caller(tmp_path: Path):
    with pytest.warns(UserWarning) as said:
        path = save_mesh(textured(), tmp_path / "a.ply")
        (tmp_path / "b.xyz").write_text("0 0 0 7\n")
        load_points(tmp_path / "b.xyz")
    assert path.exists() and {w.filename for w in said} == {__file__}
