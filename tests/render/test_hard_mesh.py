"""The hard rasteriser and the lit pictures: against a loop, against geometry, and on meshes that
are hardly meshes.
"""

import math

import pytest
import torch

from svr_nb.cameras.projections import Orthographic, WeakPerspective, orbit
from svr_nb.conventions import InputError, pixel_centers, rand, seeded
from svr_nb.render.hard_mesh import hard_rasterize, render_mesh
from svr_nb.shapes.mesh import Mesh, icosphere

TRIPLES = torch.arange(24).view(8, 3)


def scattered(batch=1, seed=1):
    return rand(batch, 24, 3, generator=seeded(seed), low=-1, high=1) + torch.tensor([0, 0, 3.0])


def loop(uvz, faces, size, perspective):
    """Nearest face and depth, one pixel and one face at a time."""
    face, depth = torch.full((size, size), -1), torch.full((size, size), math.inf)
    for row in range(size):
        for column in range(size):
            place = torch.cat([pixel_centers(size, size)[row, column], torch.ones(1)])
            for number, corners in enumerate(uvz[faces]):
                bary = torch.linalg.solve(
                    torch.stack([corners[:, 0], corners[:, 1], torch.ones(3)]), place
                )
                z = (
                    1 / (bary / corners[:, 2]).sum()
                    if perspective
                    else (bary * corners[:, 2]).sum()
                )
                if bool((bary >= 0).all()) and z < depth[row, column]:
                    face[row, column], depth[row, column] = number, z
    return face, depth


@pytest.mark.parametrize("perspective", [True, False])
def test_agrees_with_the_loop(perspective):
    uvz = scattered()
    face, weights, depth = hard_rasterize(uvz, TRIPLES, 10, perspective)
    wanted = loop(uvz[0], TRIPLES, 10, perspective)
    assert torch.equal(face[0], wanted[0]) and torch.allclose(depth[0], wanted[1], atol=1e-4)
    hit = face[0] >= 0
    assert torch.allclose(
        (weights[0][hit] * uvz[0][TRIPLES[face[0][hit]], 2]).sum(-1), depth[0][hit], atol=1e-5
    )
    assert torch.allclose(weights[0].sum(-1), hit.float(), atol=1e-5)


def test_negative_depths_sort_without_perspective():
    uvz = scattered() - torch.tensor([0, 0, 3.0])
    assert torch.equal(
        hard_rasterize(uvz, TRIPLES, 10, False)[0][0], loop(uvz[0], TRIPLES, 10, False)[0]
    )


def test_batch_is_one_by_one_and_face_order_is_irrelevant():
    uvz, order = scattered(3), torch.randperm(8, generator=seeded(2))
    whole = hard_rasterize(uvz, TRIPLES, 16)
    for i in range(3):
        assert all(
            torch.equal(a[i : i + 1], b)
            for a, b in zip(whole, hard_rasterize(uvz[i : i + 1], TRIPLES, 16))
        )
    other = hard_rasterize(uvz, TRIPLES[order], 16)
    assert torch.equal(torch.where(other[0] < 0, -1, order[other[0]]), whole[0]) and torch.equal(
        other[2], whole[2]
    )


def test_what_cannot_be_seen_is_not_drawn():
    uvz = scattered()
    for corners, faces in (
        (uvz, TRIPLES[:0]),
        (uvz, torch.tensor([[0, 1, 1], [2, 2, 2]])),
        (uvz * torch.tensor([1.0, 1, -1]), TRIPLES),
        (uvz + 9, TRIPLES),
    ):
        face, weights, depth = hard_rasterize(corners, faces, 8)
        assert bool((face == -1).all()) and bool((weights == 0).all()) and bool(depth.isinf().all())


def test_many_large_faces_are_drawn_in_pieces():
    big = torch.tensor([[[-3.0, -3, 2], [3, -3, 2], [0, 5, 2]]]).repeat(1, 60, 1) + torch.arange(
        60
    ).repeat_interleave(3)[:, None] * torch.tensor([0, 0, 0.1])
    face, _, depth = hard_rasterize(big, torch.arange(180).view(60, 3).flip(0), 256)
    assert bool((face == 59).all()) and torch.allclose(depth, torch.tensor(2.0))


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: hard_rasterize(scattered()[0], TRIPLES, 8), "uvz"),
        (lambda: hard_rasterize(scattered() * math.nan, TRIPLES, 8), "uvz"),
        (lambda: hard_rasterize(scattered(), TRIPLES + 20, 8), "faces"),
        (lambda: hard_rasterize(scattered(), TRIPLES - 1, 8), "faces"),
        (lambda: hard_rasterize(scattered(), TRIPLES.float(), 8), "faces"),
        (lambda: hard_rasterize(scattered(), TRIPLES, 0), "size"),
        (lambda: render_mesh(icosphere(0), orbit(torch.zeros(2))), "camera"),
        (lambda: render_mesh(icosphere(0), orbit(0), ambient=2), "ambient"),
        (lambda: render_mesh(icosphere(0), orbit(0), supersample=0), "supersample"),
    ],
)
def test_refusals_name_the_argument(call, name):
    with pytest.raises(InputError, match=f"^{name}:"):
        call()


def ball(radius=0.4, **options):
    mesh = icosphere(3)
    return Mesh(mesh.verts / mesh.verts.norm(dim=1, keepdim=True) * radius, mesh.faces, **options)


@pytest.mark.parametrize(
    "camera, radius",
    [
        (orbit(20, 30, 4.0), 3.75 * 0.4 / math.sqrt(16 - 0.16)),
        (Orthographic(orbit(0).rotation, torch.zeros(1, 3), torch.full((1,), 2.0)), 0.8),
        (
            WeakPerspective(
                torch.full((1,), 2.0), torch.zeros(1, 2), torch.tensor([[1.0, 0.2, 0.3, 0]])
            ),
            0.8,
        ),
    ],
)
def test_a_sphere_covers_its_disc(camera, radius):
    drawn = render_mesh(ball(), camera, 96)
    assert drawn["mask"].mean().item() * 4 == pytest.approx(math.pi * radius**2, rel=0.015)
    assert (
        drawn["image"].shape == (3, 96, 96)
        and drawn["mask"].shape == (1, 96, 96)
        and drawn["depth"].shape == drawn["face"].shape == (96, 96)
    )
    assert torch.equal(drawn["face"] >= 0, drawn["mask"][0] > 0) and torch.equal(
        drawn["depth"].isinf(), drawn["face"] < 0
    )


def test_depth_of_the_nearest_place():
    assert render_mesh(ball(), orbit(0, 0), 65)["depth"].min().item() == pytest.approx(
        1.6, abs=0.01
    )


def test_mirrored_camera_of_a_symmetric_mesh_gives_the_flipped_picture():
    mesh = icosphere(2)
    mesh = Mesh(
        mesh.verts * torch.tensor([0.3, 0.2, 0.4]) + torch.tensor([0, 0.05, 0.1]), mesh.faces
    )
    for axis, fix in (
        (0, torch.tensor([1.0, 1, 1])),
        (1, torch.tensor([1.0, 0, 1])),
        (2, torch.tensor([1.0, 1, 0])),
    ):
        shape = Mesh(mesh.verts - mesh.verts.mean(0) * (1 - fix), mesh.faces)
        camera = orbit(35, 20, roll=15)
        first, second = (render_mesh(shape, c, 48)["mask"] for c in (camera, camera.mirrored(axis)))
        assert (first.flip(-1) - second).abs().mean() < 2e-3, axis


def test_colours_come_from_texture_vertices_labels_or_grey():
    shot = dict(light=None, supersample=1, background=(0, 0, 1))
    red = torch.tensor([1.0, 0, 0])
    grey = render_mesh(ball(), orbit(0), 32, **shot)["image"]
    assert torch.allclose(grey[:, 16, 16], torch.full((3,), 0.75)) and torch.allclose(
        grey[:, 0, 0], torch.tensor([0.0, 0, 1])
    )
    verts = render_mesh(ball(vert_colors=red.expand(642, 3)), orbit(0), 32, **shot)["image"]
    assert torch.allclose(verts[:, 16, 16], red, atol=1e-5)
    labels = render_mesh(ball(face_labels=torch.arange(1280) % 2), orbit(0), 32, **shot)["image"]
    assert len(labels[:, 12:20, 12:20].flatten(1).unique(dim=1).T) == 2


def test_texture_rows_run_downwards():
    quad = torch.tensor(
        [[-0.4, 0.4, 0], [0.4, 0.4, 0], [0.4, -0.4, 0], [-0.4, -0.4, 0]]
    )  # from the front, +x is on the left
    faces, place = (
        torch.tensor([[0, 1, 2], [0, 2, 3]]),
        torch.tensor([[1.0, 0], [0, 0], [0, 1], [1, 1]]),
    )
    texture = rand(3, 8, 8, generator=seeded(3))
    mesh = Mesh(quad, faces, uvs=place[faces], texture=texture)
    camera = Orthographic(orbit(0).rotation, torch.zeros(1, 3), torch.full((1,), 2.5))
    assert torch.allclose(
        render_mesh(mesh, camera, 8, light=None, supersample=1)["image"], texture, atol=1e-4
    )


def test_light_and_its_absence():
    camera = orbit(0)
    plain, lit, dark = (
        render_mesh(ball(), camera, 32, light=light, ambient=0.2)["image"].mean()
        for light in (None, (0, 0, -1), (0, 0, 1))
    )
    assert plain > lit > dark > 0
    assert torch.allclose(
        render_mesh(ball(), camera, 33, light=(0, 0, -1), supersample=1)["image"][:, 16, 16],
        torch.tensor(0.75),
        atol=0.02,
    )


def test_empty_mesh_is_background():
    empty = Mesh(torch.rand(3, 3, generator=seeded(4)), torch.zeros(0, 3, dtype=torch.int64))
    drawn = render_mesh(empty, orbit(0), 16, background=0.5)
    assert bool((drawn["image"] == 0.5).all()) and drawn["mask"].sum() == 0
