"""Pictures: one form for everything, places that agree with the cameras, animations, pages without
a network.
"""

from __future__ import annotations

import base64
import io
import json
import re
from html import unescape

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from svr_nb.cameras.projections import WeakPerspective, orbit
from svr_nb.conventions import InputError
from svr_nb.view.orbit_viewer import (
    coarser,
    html_viewer,
    pack_shape,
    view_of,
    viewer_page,
    viewer_radius,
)
from svr_nb.shapes.mesh import Mesh, box, icosphere, torus
from svr_nb.shapes.points import PointCloud
from svr_nb.shapes.voxels import voxelize
from svr_nb.view.pictures import (
    contact_sheet,
    heat_picture,
    image_row,
    picture_row,
    show_picture,
    to_pixels,
    to_png,
)
from svr_nb.view.drawings import ball_radius, draw_mesh, draw_points, draw_shape
from svr_nb.view.turntable import gif_bytes, save_gif, turntable
from svr_nb.view.figures import k3d_plot, plotly_figure

RING = torus()


@pytest.mark.parametrize(
    "picture, shape",
    [
        (torch.rand(3, 5, 7), (5, 7, 3)),
        (torch.rand(1, 5, 7), (5, 7, 3)),
        (torch.rand(5, 7), (5, 7, 3)),
        (torch.rand(4, 5, 7), (5, 7, 3)),
        (np.zeros((5, 7, 3), np.uint8), (5, 7, 3)),
        (np.zeros((5, 7)), (5, 7, 3)),
        (torch.ones(1, 5, 7, dtype=torch.bool), (5, 7, 3)),
        (torch.rand(3, 5, 7, dtype=torch.float64), (5, 7, 3)),
    ],
)
def test_every_form_of_picture(picture, shape):
    assert to_pixels(picture).shape == shape and to_pixels(picture).dtype == np.uint8
    assert np.array_equal(to_pixels(to_png(picture)), to_pixels(picture))


@given(st.integers(0, 255))
def test_bytes_survive(value):
    assert (to_pixels(torch.full((3, 2, 2), value / 255)) == value).all()
    assert (to_pixels(torch.full((3, 2, 2), value, dtype=torch.uint8)) == value).all()


def test_transparent_is_white_and_values_are_clipped():
    assert (to_pixels(torch.zeros(4, 2, 2)) == 255).all()
    assert to_pixels(torch.tensor([[-1.0, 2.0]]))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize(
    "bad",
    [
        torch.zeros(2, 4, 4),
        torch.full((3, 4, 4), float("nan")),
        torch.full((3, 4, 4), float("inf")),
        torch.zeros(3, 0, 4),
        torch.zeros(2, 3, 4, 4),
        "photo.jpg",
        None,
        3,
        {},
    ],
)
def test_what_is_not_a_picture_is_refused(bad):
    with pytest.raises(InputError):
        to_pixels(bad)


def test_figures_are_drawn_and_closed():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    open_before = plt.get_fignums()
    figure = plt.figure(figsize=(2, 1), dpi=50)
    assert to_pixels(figure).shape == (50, 100, 3) and plt.get_fignums() == open_before


def test_a_row_knows_its_places():
    pixels, boxes = picture_row({"a": torch.zeros(1, 8, 8), "b": torch.ones(1, 4, 8)}, height=16)
    for (label, left, top, width, height), value in zip(boxes, (0, 255)):
        assert (pixels[top : top + height, left : left + width] == value).all(), label
    assert image_row([torch.zeros(1, 8, 8)] * 3, height=8).shape[0] == 3
    assert image_row(torch.zeros(2, 3, 8, 8), ["same", "same"]).shape[0] == 3


def test_contact_sheet_order_and_refusal():
    sheet = contact_sheet(
        torch.arange(4).float().view(4, 1, 1, 1).expand(4, 1, 4, 4) / 3, columns=2, size=4, gap=0
    )
    assert (sheet[0, [0, 0, 4, 4], [0, 4, 0, 4]] * 3).round().tolist() == [0, 1, 2, 3]
    for bad in ([], [torch.zeros(1, 4, 4), torch.zeros(1, 5, 5)]):
        with pytest.raises(InputError):
            contact_sheet(bad, size=0)


def test_heat_picture_ends_and_refusals():
    ends = heat_picture(torch.tensor([[0.0, 1.0]]), colors="gray")
    assert ends[0].tolist() == [[0.0, 1.0]] and heat_picture(torch.zeros(1, 4, 4)).shape == (
        3,
        4,
        4,
    )
    for bad, colors in (
        (torch.zeros(2, 4, 4), "gray"),
        (torch.full((2, 2), float("nan")), "gray"),
        (torch.zeros(2, 2), "no such map"),
    ):
        with pytest.raises(InputError):
            heat_picture(bad, colors=colors)


@given(
    st.floats(-0.3, 0.3),
    st.floats(-0.3, 0.3),
    st.floats(-0.3, 0.3),
    st.floats(-180, 180),
    st.floats(-60, 60),
)
def test_points_are_drawn_where_the_camera_puts_them(x, y, z, azimuth, elevation):
    point = torch.tensor([[x, y, z]])
    ink = 1 - draw_points(point, torch.zeros(1, 3), azimuth, elevation, size=64, radius=1.5)[0]
    rows, columns = torch.nonzero(ink > 0.4, as_tuple=True)
    u, v = orbit(azimuth, elevation).project(point[None])[0, 0, :2]
    assert (
        abs(float(columns.float().mean()) - (u + 1) * 32 + 0.5) < 1.2
        and abs(float(rows.float().mean()) - (v + 1) * 32 + 0.5) < 1.2
    )


def test_near_points_hide_far_ones():
    points, colors = (
        torch.tensor([[0, 0, -0.3], [0, 0, 0.3]]),
        torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]),
    )
    for azimuth, channel in ((0, 0), (180, 2)):
        middle = draw_points(points, colors, azimuth, 0, size=32, radius=4)[:, 16, 16]
        assert middle.argmax() == channel
    assert torch.equal(draw_points(points, colors), draw_points(points.flip(0), colors.flip(0)))


@pytest.mark.parametrize(
    "bad",
    [
        torch.zeros(3, 2),
        torch.full((2, 3), float("nan")),
        "points",
        torch.full((2, 3), float("inf")),
    ],
)
def test_bad_points_are_refused(bad):
    for draw in (draw_points, html_viewer, viewer_page):
        with pytest.raises(InputError):
            draw(bad)


def test_bad_sizes_colours_and_angles_are_refused():
    points = torch.zeros(2, 3)
    for options in (
        {"size": 0},
        {"size": 10**6},
        {"colors": torch.zeros(3, 3)},
        {"azimuth": float("nan")},
        {"supersample": 0},
    ):
        with pytest.raises(InputError):
            draw_points(points, **options)
    assert draw_points(torch.zeros(0, 3), size=16).shape == (3, 16, 16)


def test_meshes_and_shapes():
    assert draw_mesh(RING, size=32).shape == (3, 32, 32) and draw_mesh(RING, size=32).min() < 0.9
    voxels = voxelize(icosphere(1).transform(scale=0.4), 8)
    for shape in (RING, PointCloud(RING.verts), voxels, RING.verts):
        assert draw_shape(shape, size=24).shape == (3, 24, 24)


def test_turntable_turns_and_gif_plays(tmp_path):
    frames = turntable(box((0.2, 0.3, 0.5)), 4, size=32)
    assert frames.shape == (4, 3, 32, 32) and torch.allclose(
        frames[0], draw_mesh(box((0.2, 0.3, 0.5)), 0, 20, size=32)
    )
    animation = Image.open(save_gif(frames, tmp_path / "new" / "turn.gif", 100))
    assert (animation.n_frames, animation.info["duration"], animation.info["loop"]) == (4, 100, 0)
    for bad in ([], [torch.zeros(1, 4, 4), torch.zeros(1, 5, 4)]):
        with pytest.raises(InputError):
            gif_bytes(bad)
    with pytest.raises(InputError):
        save_gif(frames, tmp_path / "turn.mp4")


def test_still_picture_shows_itself():
    assert Image.open(io.BytesIO(show_picture(RING)._repr_png_())).size == (128, 128)


def test_large_viewers():
    pytest.importorskip("plotly")
    pytest.importorskip("k3d")
    uvs = torch.zeros(len(RING.faces), 3, 2) + 0.75
    red = torch.zeros(3, 2, 2)
    red[0, 1, 1] = 1
    textured = Mesh(RING.verts, RING.faces, uvs=uvs, texture=red)
    assert set(plotly_figure(textured).data[0].vertexcolor) == {"rgb(255,0,0)"}
    assert set(k3d_plot(textured).objects[0].colors.tolist()) == {0xFF0000}
    assert len(plotly_figure(RING).data[0].i) == len(RING.faces) and len(
        plotly_figure(RING.verts).data[0].x
    ) == len(RING.verts)
    assert k3d_plot(RING).objects[0].indices.shape == (len(RING.faces), 3) and k3d_plot(
        RING.verts
    ).objects[0].positions.shape == (len(RING.verts), 3)


def packed_in(page: str) -> dict:
    return json.loads(re.search(r"const shape = (\{.*?\}), view", page)[1])


def test_a_page_holds_the_shape_and_nothing_from_outside():
    page = viewer_page(RING)
    shape = packed_in(page)
    places = (
        np.frombuffer(base64.b64decode(shape["p"]), "<i2").reshape(-1, 3) / 32767 * shape["extent"]
    )
    assert np.abs(places - RING.verts.numpy()).max() < 2e-5
    assert np.array_equal(
        np.frombuffer(base64.b64decode(shape["f"]), "<u2").reshape(-1, 3), RING.faces.numpy()
    )
    assert "http" not in page and "src=" not in page
    frame = html_viewer(RING)
    assert (
        frame.startswith("<iframe")
        and page in unescape(frame)
        and 'sandbox="allow-scripts"' in frame
    )


def test_textures_become_corner_colours():
    uvs = torch.tensor(
        [[[0.25, 0.25], [0.75, 0.25], [0.25, 0.75]]]
    )  # origin at the top left, as in Mesh.uvs
    texture = torch.stack(
        [
            torch.tensor([[1.0, 0], [0, 0]]),
            torch.tensor([[0, 1.0], [0, 0]]),
            torch.tensor([[0, 0], [1.0, 0]]),
        ]
    )
    mesh = Mesh(torch.eye(3) * 0.3, torch.tensor([[0, 1, 2]]), uvs=uvs, texture=texture)
    shape = packed_in(viewer_page(mesh))
    colors = np.frombuffer(base64.b64decode(shape["c"]), np.uint8).reshape(-1, 3)
    assert colors.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


def test_large_shapes_are_thinned():
    fine = icosphere(4)
    assert len(packed_in(viewer_page(fine, most=1000))["f"]) < len(
        packed_in(viewer_page(fine))["f"]
    )
    assert len(packed_in(viewer_page(torch.rand(5000, 3), most=1000))["p"]) == 8000
    verts, faces, kept = coarser(fine.verts, fine.faces, 10)
    assert len(verts) == len(kept) < len(fine.verts) and int(faces.max()) < len(verts)


def test_packing_refuses_what_does_not_fit():
    for colors, faces in ((torch.zeros(3, 3), None), (None, torch.tensor([[0, 1, 9]]))):
        with pytest.raises(InputError):
            pack_shape(torch.zeros(2, 3), faces, colors)


def test_shapes_show_themselves():
    """A page that turns for those with a browser, the same object as a picture for the others."""
    for shape in (RING, PointCloud(RING.verts), voxelize(icosphere(1).transform(scale=0.4), 8)):
        bundle = shape._repr_mimebundle_()
        assert "<iframe" in bundle["text/html"] and bundle["text/plain"] == repr(shape)
        assert bundle["image/png"] in bundle["text/html"], "the picture behind the frame"
        picture = to_pixels(base64.b64decode(bundle["image/png"]))
        ink = (picture < 240).any(-1)
        assert picture.shape[:2] == (300, 300) and 0.05 < ink.mean() < 0.9
        assert not ink[[0, -1]].any() and not ink[:, [0, -1]].any(), "nothing is cut off"


@given(st.floats(-179, 179), st.floats(-80, 80), st.floats(-179, 179))
def test_pages_open_where_a_camera_stood(azimuth, elevation, roll):
    view = view_of(orbit(azimuth, elevation, roll=roll))
    assert np.allclose(view[:3], (azimuth, elevation, roll), atol=0.05) and view.perspective
    again = orbit(view.azimuth, view.elevation, roll=view.roll).rotation
    assert torch.allclose(again, orbit(azimuth, elevation, roll=roll).rotation, atol=1e-3)


def test_flat_cameras_stay_flat():
    camera = WeakPerspective(torch.ones(1), torch.zeros(1, 2), torch.tensor([[1.0, 0, 0, 0]]))
    assert not view_of(camera).perspective
    assert '"perspective": false' in viewer_page(RING, view=view_of(camera))


@pytest.mark.parametrize("count", [300, 1000, 5000])
def test_balls_are_as_large_as_they_are_drawn(count):
    """The radius in the page, seen through the usual camera, is that of `draw_points`."""
    cloud = torch.nn.functional.normalize(torch.randn(count, 3), dim=1) / 12**0.5
    radius = viewer_radius(cloud)
    left, right = torch.tensor([[radius, 0, 0], [-radius, 0, 0]])
    seen = orbit(0, 0).project(torch.stack([left, right])[None])[0, :, 0]
    assert float((seen[0] - seen[1]).abs()) / 4 == pytest.approx(ball_radius(count, 1), rel=0.05)
    assert viewer_radius(100 * cloud) == pytest.approx(100 * radius)
