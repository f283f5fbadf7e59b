"""Surface coordinates: chart, seam, texels, symmetry, labels."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from svr_nb.conventions import InputError, pixel_centers, seeded
from svr_nb.shapes.mesh import icosphere
from svr_nb.shapes.points import sample_surface
from svr_nb.shapes.uv import (
    corner_uv,
    face_labels_from_map,
    sample_texture,
    sphere_uv,
    symmetric_sphere,
    texel_index,
    texel_uv,
    texel_weights,
    uv_to_sphere,
    vertex_labels_from_faces,
    wrap_texture,
)


def test_chart_there_and_back_and_mirrored() -> None:
    points = F.normalize(torch.randn(2, 300, 3, generator=seeded(0)), dim=-1)
    uv = sphere_uv(points)
    assert uv.shape == (2, 300, 2) and uv.abs().max() <= 1
    assert torch.allclose(uv_to_sphere(uv), points, atol=1e-5) and torch.allclose(
        sphere_uv(3 * points), uv, atol=1e-5
    )
    assert torch.allclose(
        sphere_uv(points * torch.tensor([-1, 1, 1])), uv * torch.tensor([-1, 1]), atol=1e-6
    )
    assert sphere_uv(torch.tensor([[0.0, 0, -1], [1, 0, 0], [0, 1, 0], [0, -1, 0]])).tolist() == [
        [0, 0],
        [0.5, 0],
        [0, -1],
        [0, 1],
    ]


def test_chart_gradient_also_at_poles() -> None:
    points = torch.randn(6, 3, generator=seeded(1), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(sphere_uv, points)
    poles = torch.tensor([[0.0, 1, 0], [0, -1, 0], [0, 0, 0]], requires_grad=True)
    sphere_uv(poles).sum().backward()
    assert torch.isfinite(poles.grad).all()


def test_sampling_has_no_seam_and_keeps_pixel_centres() -> None:
    picture = torch.rand(2, 3, 6, 8, generator=seeded(2))
    assert torch.allclose(sample_texture(picture, pixel_centers(6, 8)), picture, atol=1e-6)
    left, right = (sample_texture(picture, torch.tensor([[u, 0.1]])) for u in (-1 + 1e-6, 1 - 1e-6))
    assert torch.allclose(left, right, atol=1e-4)
    assert torch.allclose(
        sample_texture(picture, torch.tensor([[1.3, 0.2]])),
        sample_texture(picture, torch.tensor([[-0.7, 0.2]])),
        atol=1e-5,
    )
    own = torch.rand(2, 5, 7, 2, generator=seeded(3)) * 2 - 1
    assert sample_texture(picture, own).shape == (2, 3, 5, 7)
    assert torch.allclose(sample_texture(picture, own)[1], sample_texture(picture[1:], own[1])[0])


def test_sampling_gradient() -> None:
    picture = torch.rand(1, 2, 4, 6, generator=seeded(4), dtype=torch.float64).requires_grad_()
    uv = (torch.rand(5, 2, generator=seeded(5), dtype=torch.float64) * 1.6 - 0.8).requires_grad_()
    assert torch.autograd.gradcheck(lambda p, c: sample_texture(p, c), (picture, uv))


@pytest.mark.parametrize("side", [1, 2, 3, 6, 11])
def test_texel_layout(side: int) -> None:
    weights = texel_weights(side)
    assert (
        weights.shape == (side**2, 3)
        and weights.min() > 0
        and torch.allclose(weights.sum(1), torch.ones(side**2))
    )
    assert torch.equal(texel_index(weights, side), torch.arange(side**2))
    assert torch.allclose(weights.mean(0), torch.full((3,), 1 / 3), atol=1e-6)
    swapped = weights[:, [1, 0, 2]].reshape(side, side, 3).transpose(0, 1).reshape(-1, 3)
    assert torch.allclose(swapped, weights)
    inside = torch.rand(3000, 3, generator=seeded(6)).clamp(min=1e-3)
    inside = inside / inside.sum(1, keepdim=True)
    index = texel_index(inside, side)
    assert index.min() >= 0 and index.max() < side**2
    assert ((inside - weights[index]).abs().amax(1) <= 0.67 / side).all()
    corner = texel_index(torch.eye(3), side)
    assert corner.min() >= 0 and corner.max() < side**2


def test_chart_picture_returns_the_coordinate() -> None:
    sphere, uv = icosphere(3), pixel_centers(64, 128)
    xyz = uv_to_sphere(uv).permute(2, 0, 1)
    read = sample_texture(xyz[None], texel_uv(sphere, 6))[0]
    places = torch.einsum("tk,fkc->ftc", texel_weights(6), sphere.verts[sphere.faces])
    assert (F.normalize(read, dim=0).permute(1, 2, 0) - F.normalize(places, dim=-1)).norm(
        dim=-1
    ).max() < 0.03


@pytest.mark.parametrize("level", [1, 2, 3])
def test_wrapped_texture_shows_the_chart_everywhere(level: int) -> None:
    sphere = icosphere(level)
    xyz = uv_to_sphere(pixel_centers(128, 256)).permute(2, 0, 1) / 2 + 0.5
    mesh = wrap_texture(sphere, xyz.clamp(0, 1))
    assert mesh.uvs.min() >= 0 and mesh.uvs.max() <= 1
    cloud = sample_surface(mesh, 2000, seeded(7))
    equator = cloud.points[:, 1].abs() < 0.5
    error = (F.normalize(cloud.colors * 2 - 1, dim=1) - F.normalize(cloud.points, dim=1)).norm(
        dim=1
    )[equator]
    assert error.max() < 0.4 / 2**level
    spread = corner_uv(sphere)[..., 0]
    assert (spread.amax(1) - spread.amin(1)).max() < 0.9 / 2 ** (level - 1)


@pytest.mark.parametrize("level,plane,side", [(2, 16, 73), (3, 32, 305), (4, 64, 1249)])
def test_symmetric_sphere(level: int, plane: int, side: int) -> None:
    half = symmetric_sphere(level)
    assert (half.plane_verts, half.side_verts, half.own_faces) == (
        plane,
        side,
        plane,
    ) and half.half_faces == plane + (20 * 4**level - plane) // 2
    full = half.full_verts(torch.randn(2, half.half_verts, 3, generator=seeded(8)))
    assert full.shape == (2, len(half.mesh.verts), 3) and (full[:, :plane, 0] == 0).all()
    assert torch.equal(
        full[:, plane : plane + side] * torch.tensor([-1, 1, 1]), full[:, plane + side :]
    )
    places = uv_to_sphere(texel_uv(half.mesh, 4))
    mirrored = half.full_texels(places[: half.half_faces][None])[
        0, half.half_faces :
    ] * torch.tensor([-1, 1, 1])
    assert torch.allclose(mirrored, places[half.half_faces :], atol=1e-5)


def test_labels_travel() -> None:
    sphere, uv = icosphere(3), pixel_centers(32, 64)
    maps = torch.stack([(uv[..., 1] >= 0).float(), (uv[..., 1] < 0).float()])
    faces = face_labels_from_map(maps, sphere)
    height = sphere.verts[sphere.faces][..., 1].mean(1)
    assert faces[height > 0.1].eq(1).all() and faces[height < -0.1].eq(0).all()
    verts = vertex_labels_from_faces(faces, sphere.faces, len(sphere.verts) + 1)
    assert verts[:-1][sphere.verts[:, 1] > 0.2].eq(1).all() and verts[-1] == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: sphere_uv(torch.zeros(3, 2)),
        lambda: sphere_uv(torch.full((1, 3), math.inf)),
        lambda: uv_to_sphere(torch.zeros(3)),
        lambda: sample_texture(torch.zeros(3, 4, 4), torch.zeros(1, 2)),
        lambda: sample_texture(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3)),
        lambda: texel_weights(0),
        lambda: texel_index(torch.zeros(4, 2), 3),
        lambda: symmetric_sphere(-1),
        lambda: symmetric_sphere(1).full_verts(torch.zeros(5, 3)),
        lambda: symmetric_sphere(1).full_texels(torch.zeros(5, 4, 3)),
        lambda: face_labels_from_map(torch.zeros(4, 4), icosphere(1)),
        lambda: wrap_texture(icosphere(1), torch.full((3, 4, 8), 2.0)),
        lambda: vertex_labels_from_faces(torch.tensor([-1]), torch.tensor([[0, 1, 2]]), 3),
    ],
)
def test_bad_input(make: object) -> None:
    with pytest.raises(InputError):
        make()  # type: ignore[operator]
