"""One surface for all: textures, keypoints and parts from one reconstruction to another, with
planted answers.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from svr_nb.cameras.projections import WeakPerspective, orbit
from svr_nb.conventions import InputError, pixel_centers, rand, seeded
from svr_nb.result.reconstruction import Reconstruction
from svr_nb.shapes.atlas import texels_of
from svr_nb.shapes.mesh_files import load_mesh
from svr_nb.shapes.uv import sphere_uv, symmetric_sphere
from svr_nb.umr import transfer as T
from svr_nb.umr.keypoint_transfer import exact_face_flow, transfer_by_camera
from svr_nb.umr.semantic_uv import PALETTE

BALL = symmetric_sphere(2).mesh
CAMERAS = [
    WeakPerspective(
        torch.tensor([1.6]), torch.tensor([[0.05, -0.1]]), torch.tensor([[1.0, 0.1, 0.2, 0]])
    ),
    orbit(20.0, 10.0),
]


def made(which: int, **changes) -> Reconstruction:
    """A random picture on an egg seen by one of the two cameras, with its exact flow."""
    image = rand(3, 24, 24, generator=seeded(7, which))
    verts = BALL.verts * torch.tensor([[0.3, 0.25, 0.4], [0.22, 0.3, 0.35]])[which]
    flow = exact_face_flow(verts[None], BALL.faces, CAMERAS[which], 4)[0]
    labels = (BALL.verts[BALL.faces].mean(1)[:, 2] > 0).long() + 1
    given = {"face_labels": labels, "part_names": ("front", "rear"), "category": "egg", **changes}
    return T.surface_reconstruction(
        image, verts, BALL, CAMERAS[which], flow, BALL.verts * 0.3, **given
    )


def test_a_reconstruction_shows_its_photograph():
    image = torch.cat([pixel_centers(48, 48).permute(2, 0, 1) / 2 + 0.5, torch.zeros(1, 48, 48)])
    verts, flow = (
        BALL.verts * 0.4,
        exact_face_flow(BALL.verts[None] * 0.4, BALL.faces, CAMERAS[0], 4)[0],
    )
    result = T.surface_reconstruction(image, verts, BALL, CAMERAS[0], flow, BALL.verts)
    true = torch.nn.functional.grid_sample(
        image[None], flow.flatten(0, 2)[None, None], padding_mode="border", align_corners=False
    )
    assert torch.allclose(T.surface_map(result).texels.flatten(0, 2).T, true[0, :, 0], atol=1e-5)
    assert result.predicted == "mesh" and result.system == "UMR" and result.mesh.face_labels is None
    inside = torch.arange(4)[:, None] + torch.arange(4) < 4
    assert torch.allclose(
        texels_of(result.mesh, 4)[:, inside], T.surface_map(result).texels[:, inside], atol=1e-4
    )


def test_texture_moves_and_nothing_else():
    one, two = made(0), made(1)
    mixed = T.transfer_texture(one, two)
    assert torch.equal(mixed.mesh.verts, two.mesh.verts) and torch.equal(
        mixed.mesh.texture, one.mesh.texture
    )
    assert (
        mixed.camera is two.camera
        and torch.equal(mixed.mesh.face_labels, two.mesh.face_labels)
        and mixed.category == "egg"
    )
    assert torch.equal(T.surface_map(mixed).texels, T.surface_map(one).texels)
    assert torch.equal(T.surface_map(mixed).face_flow, T.surface_map(two).face_flow)
    assert torch.equal(T.transfer_texture(mixed, two).mesh.texture, one.mesh.texture)
    assert (
        float((T.transfer_texture(two, two).render(size=48) - two.render(size=48)).abs().max()) == 0
    )


def test_keypoints_arrive_where_the_face_is():
    one, two = made(0), made(1)
    flows = [T.surface_map(r).face_flow for r in (one, two)]
    inside = torch.arange(4)[:, None] + torch.arange(4) < 4
    center = flows[0][:, inside].mean(1)
    seen = (
        one.camera.project(one.mesh.verts[None])[0, :, 2][BALL.faces].mean(1).argsort()[:5]
    )  # the nearest faces
    found = T.transfer_keypoints(one, two, center[seen])
    assert torch.equal(found.via[0], seen) and torch.allclose(
        found.place[0], flows[1][seen][:, inside].mean(1), atol=1e-5
    )


def test_hidden_surface_is_only_chosen_on_request():
    one, two = made(0), made(1)
    inside = torch.arange(4)[:, None] + torch.arange(4) < 4
    center = T.surface_map(one).face_flow[:, inside].mean(1)
    far = one.camera.project(one.mesh.verts[None])[0, :, 2][BALL.faces].mean(1).argsort()[-5:]
    assert torch.equal(T.transfer_keypoints(one, two, center[far], seen=False).via[0], far)
    assert not set(T.transfer_keypoints(one, two, center[far]).via[0].tolist()) & set(far.tolist())


def test_camera_way_is_that_of_keypoint_transfer():
    one, two, points = made(0), made(1), rand(6, 2, generator=seeded(3)) - 0.5
    for faces, seen in ((None, False), (BALL.faces, True)):
        mine = T.transfer_keypoints(one, two, points, "camera", seen)
        assert torch.equal(
            mine.place,
            transfer_by_camera(BALL.verts * 0.3, *CAMERAS, points[None], faces=faces).place,
        )


def test_canonical_places_project_back():
    """The chart place of a pixel, put on the shape and projected, is that pixel."""
    result = made(1)
    places, face = T.canonical_places(result, 64)
    hit = face >= 0
    assert 200 < int(hit.sum()) < 3000 and float(places[~hit].abs().max()) == 0
    corner = sphere_uv(BALL.verts[BALL.faces[face[hit]]].mean(1))
    away = (places[hit] - corner).abs()
    assert (
        float(torch.minimum(away[:, 0], 2 - away[:, 0]).median()) < 0.15
        and float(away[:, 1].max()) < 0.2
    )
    seen = result.camera.project(result.mesh.verts[BALL.faces[face[hit]]].mean(1)[None])[0, :, :2]
    assert float((seen - pixel_centers(64, 64)[hit]).norm(dim=-1).max()) < 0.12


def test_parts_have_their_colours_also_in_a_file(tmp_path: Path):
    view = T.part_view(made(0))
    again = load_mesh(view.save(tmp_path / "parts.glb"))
    for mesh in (view.mesh, again):
        colors = texels_of(mesh, 3)[:, 0, 0]
        assert float((colors - PALETTE[view.mesh.face_labels]).abs().max()) < 1.01 / 255
    only = texels_of(T.part_view(made(0), [2]).mesh, 2)[:, 0, 0]
    assert torch.allclose(only[view.mesh.face_labels == 1], torch.tensor(0.85)) and torch.allclose(
        only[view.mesh.face_labels == 2], PALETTE[2]
    )


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: T.transfer_texture(Reconstruction(mesh=BALL), made(0)), "source"),
        (
            lambda: T.transfer_texture(made(0), Reconstruction(mesh=BALL, camera=CAMERAS[0])),
            "target",
        ),
        (lambda: T.transfer_keypoints(made(0), made(1), torch.zeros(3)), "points"),
        (lambda: T.transfer_keypoints(made(0), made(1), torch.zeros(1, 2), "guess"), "way"),
        (lambda: T.part_view(made(0, face_labels=None)), "result"),
        (lambda: T.part_view(made(0, face_labels=torch.full((320,), 99))), "result"),
        (lambda: T.canonical_places(Reconstruction(mesh=BALL)), "result"),
        (
            lambda: T.surface_reconstruction(
                torch.zeros(3, 8, 8),
                BALL.verts,
                BALL,
                CAMERAS[0],
                torch.zeros(80, 2, 2, 2),
                BALL.verts,
            ),
            "face_flow",
        ),
        (
            lambda: T.surface_reconstruction(
                torch.zeros(3, 8, 8),
                BALL.verts[:9],
                BALL,
                CAMERAS[0],
                torch.zeros(320, 2, 2, 2),
                BALL.verts,
            ),
            "verts",
        ),
        (
            lambda: T.surface_reconstruction(
                torch.zeros(3, 8, 8),
                BALL.verts,
                BALL,
                orbit(torch.zeros(2)),
                torch.zeros(320, 2, 2, 2),
                BALL.verts,
            ),
            "camera",
        ),
    ],
)
def test_refusals_name_the_argument(call, name: str):
    with pytest.raises(InputError, match=f"^{name}"):
        call()


def test_other_spheres_are_refused():
    small = symmetric_sphere(1).mesh
    other = T.surface_reconstruction(
        torch.zeros(3, 8, 8),
        small.verts * 0.3,
        small,
        CAMERAS[0],
        torch.zeros(80, 2, 2, 2),
        small.verts,
    )
    for call in (
        lambda: T.transfer_texture(made(0), other),
        lambda: T.transfer_keypoints(other, made(0), torch.zeros(1, 2)),
    ):
        with pytest.raises(InputError, match="target"):
            call()
