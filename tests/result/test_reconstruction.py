"""One result for every system: forms on demand, pictures that fit the photograph, files that keep
colours.
"""

from __future__ import annotations

import base64
import json
import re
from html import unescape

import numpy as np
import pytest
import torch

from svr_nb.cameras.projections import WeakPerspective, orbit
from svr_nb.conventions import InputError, seeded
from svr_nb.result.reconstruction import Reconstruction, mesh_to_points, told_fit
from svr_nb.render.hard_mesh import render_mesh
from svr_nb.shapes.mesh_files import load_mesh
from svr_nb.shapes.point_files import load_points
from svr_nb.shapes.mesh import Mesh, ellipsoid, icosphere, torus
from svr_nb.shapes.voxels import voxelize
from svr_nb.view.pictures import to_pixels

EGG = ellipsoid((0.2, 0.25, 0.35))
COLORED = Mesh(EGG.verts, EGG.faces, vert_colors=(EGG.verts + 0.5).clamp(0, 1))
CAMERA = orbit(40, 10)
ONE = {"mesh": COLORED, "points": mesh_to_points(COLORED, 800), "voxels": voxelize(EGG, 24)}


def iou(a, b) -> float:
    return float(((a > 0.5) & (b > 0.5)).sum() / ((a > 0.5) | (b > 0.5)).sum())


@pytest.mark.parametrize("form", ONE)
def test_every_form_gives_the_others(form):
    item = Reconstruction(**{form: ONE[form]}, camera=CAMERA)
    assert item.predicted == form and getattr(item, form) is ONE[form]
    assert item.mesh.is_closed() and len(item.points) > 100 and item.mesh is item.mesh
    truth = voxelize(EGG, item.voxels.occupancy.shape[0]).occupancy
    assert iou(item.voxels.occupancy, truth) > 0.6


@pytest.mark.parametrize("form", ONE)
def test_pictures_lie_on_the_photograph(form):
    item = Reconstruction(**{form: ONE[form]}, camera=CAMERA)
    mask = render_mesh(EGG, CAMERA, 64)["mask"]
    assert iou(item.silhouette(64), mask) > 0.85
    assert item.render().shape == (3, 128, 128) and torch.allclose(
        item.render(40, 10, 32), item.render(size=32), atol=0.2
    )
    assert not torch.equal(item.render(130, 10, 32), item.render(size=32))
    assert torch.allclose(
        item.render(azimuth=40, size=32), item.render(elevation=10, size=32), atol=0.2
    )


def test_other_cameras_and_none():
    weak = WeakPerspective(torch.tensor([1.5]), torch.zeros(1, 2), torch.tensor([[1.0, 0, 0, 0]]))
    assert Reconstruction(mesh=EGG, camera=weak).render(size=16).shape == (3, 16, 16)
    assert torch.equal(
        Reconstruction(mesh=EGG).render(size=16), Reconstruction(mesh=EGG).render(30, 20, 16)
    )


@pytest.mark.parametrize("ending", ["glb", "obj", "ply", "off", "stl"])
def test_mesh_files(tmp_path, ending):
    path = Reconstruction(mesh=COLORED).save(tmp_path / "new" / f"egg.{ending}")
    again = load_mesh(path)
    assert abs(again.volume() / EGG.volume() - 1) < 1e-3
    assert ending in ("off", "stl") or (again.vert_colors is not None or again.texture is not None)


def test_points_stay_points(tmp_path):
    item = Reconstruction(points=ONE["points"])
    again = load_points(item.save(tmp_path / "egg.ply"))
    assert torch.allclose(again.points, ONE["points"].points, atol=1e-5) and torch.allclose(
        again.colors, ONE["points"].colors, atol=0.01
    )
    assert load_mesh(item.save(tmp_path / "egg.obj")).is_closed()
    assert load_mesh(item.save(tmp_path / "forced.ply", form="mesh")).is_closed()
    assert len(load_points(Reconstruction(mesh=EGG).save(tmp_path / "egg.xyz")).points) == 2048


@pytest.mark.parametrize(
    "make",
    [
        lambda: Reconstruction(),
        lambda: Reconstruction(points=torch.zeros(3, 2)),
        lambda: Reconstruction(points=torch.full((3, 3), float("nan"))),
        lambda: Reconstruction(mesh=EGG, image=torch.zeros(1, 4, 4)),
        lambda: Reconstruction(mesh=EGG, mask=torch.zeros(3, 4, 4)),
        lambda: Reconstruction(mesh=EGG).save("x.docx"),
        lambda: Reconstruction(mesh=EGG).save("x.ply", form="cubes"),
        lambda: Reconstruction(mesh=EGG).render(float("nan")),
        lambda: Reconstruction(mesh=EGG).render(elevation=100),
        lambda: Reconstruction(mesh=EGG).render(size=0),
        lambda: Reconstruction(mesh=EGG).silhouette(0),
        lambda: Reconstruction(points=torch.zeros(0, 3)).mesh,
    ],
)
def test_refusals(make):
    with pytest.raises(InputError):
        make()


def test_turntable_text_and_page(tmp_path):
    item = Reconstruction(
        mesh=torus(), camera=CAMERA, metrics={"iou": 0.5}, system="umr", category="<ring>"
    )
    assert item.turntable(count=3, size=16).shape == (3, 3, 16, 16)
    assert item.turntable(tmp_path / "t.gif", count=3, size=16).read_bytes()[:3] == b"GIF"
    assert repr(item) == "Reconstruction(umr <ring>: mesh of 1024 faces, iou 0.5)"
    page = item._repr_mimebundle_()["text/html"]
    assert "<iframe" in page and "<ring>" not in page


@pytest.mark.parametrize("form", ONE)
def test_a_notebook_keeps_a_picture_and_opens_at_the_photograph(form):
    """The stored picture is the photograph's view; the page starts from the same angles."""
    item = Reconstruction(**{form: ONE[form]}, camera=orbit(-70, 25, roll=10))
    bundle = item._repr_mimebundle_()
    assert set(bundle) == {"text/html", "image/png", "text/plain"}
    assert bundle["text/plain"] == repr(item)
    stored = to_pixels(base64.b64decode(bundle["image/png"])).astype(float)
    assert np.abs(stored - to_pixels(item.render(size=300))).mean() < 2  # 128 colours are kept
    view = json.loads(re.search(r"view = (\{.*?\});", unescape(bundle["text/html"]))[1])
    angles = [view[name] for name in ("azimuth", "elevation", "roll")]
    assert angles == pytest.approx([-70, 25, 10], abs=0.01)


def test_show_is_a_plot():
    pytest.importorskip("k3d")
    assert len(Reconstruction(mesh=EGG).show().objects) == 1


def test_a_texture_finds_another_name_where_the_photograph_has_it(tmp_path):
    ball = icosphere(1, 0.4)
    uvs = torch.rand(len(ball.faces), 3, 2, generator=seeded(1))
    mesh = Mesh(ball.verts, ball.faces, uvs=uvs, texture=torch.zeros(3, 8, 8))
    first = Reconstruction(mesh=mesh).save(tmp_path / "horse.obj")
    photograph = next(tmp_path.glob("*.png"))  # our own texture, taken for a photograph now
    before = photograph.read_bytes()
    other = Mesh(ball.verts, ball.faces, uvs=uvs, texture=torch.ones(3, 8, 8))
    Reconstruction(mesh=other).save(first, keep=[photograph])
    assert photograph.read_bytes() == before and len(list(tmp_path.glob("*.png"))) == 2


def test_a_fitted_result_keeps_the_unfitted_one():
    """The picture of both is wider by one drawing; what cannot be known depends on the camera."""
    mask = Reconstruction(mesh=EGG, camera=CAMERA).silhouette(48)
    image = torch.rand(3, 48, 48, generator=seeded(0))
    make = lambda mesh: Reconstruction(mesh=mesh, camera=CAMERA, image=image, mask=mask)
    first, last = make(ellipsoid((0.12, 0.12, 0.12))), make(EGG)
    alone = last.before_and_after(96)
    told_fit(last, first, 5, (1.0, 0.25))
    assert last.fit.before is first and first.fit is None and len(last.notes) == 1
    both = last.before_and_after(96)
    assert both.shape[1] == alone.shape[1] and both.shape[2] > alone.shape[2] + 90
    page = last._repr_mimebundle_()["text/html"]
    assert "as predicted" in page and last.limits in unescape(page)
    with pytest.raises(InputError, match="size"):
        last.before_and_after(0)


def test_what_cannot_be_known_is_said_of_each_camera():
    flat = WeakPerspective(torch.ones(1), torch.zeros(1, 2), torch.tensor([[1.0, 0, 0, 0]]))
    near, far = (Reconstruction(mesh=EGG, camera=camera) for camera in (CAMERA, flat))
    assert "far side" in near.limits and "no length" in near.limits
    assert "mirror image" not in near.limits and "mirror image" in far.limits


def test_the_plot_opens_where_the_photograph_was_taken():
    pytest.importorskip("k3d")
    place = Reconstruction(mesh=EGG, camera=orbit(0, 0)).show().camera
    assert np.allclose(place, [0, 1.9, 0, 0, 0, 0, 0, 0, 1], atol=1e-5)
