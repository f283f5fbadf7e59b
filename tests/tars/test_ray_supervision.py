"""Rays of both cameras, the marcher, and a bound that is never violated."""

from __future__ import annotations

import pytest
import torch

from svr_nb.cameras.projections import Orthographic, orbit
from svr_nb.conventions import InputError, pixel_centers, seeded
from svr_nb.shapes.fields import sdf_box, sdf_sphere, sdf_torus
from svr_nb.tars.ray_supervision import (
    Answer,
    March,
    RayMarcher,
    Rays,
    analytic_silhouette,
    ball_chord,
    bisect,
    boundary_distance,
    dense_march,
    least_march,
    pixel_rays,
    ray_losses,
    silhouette_bound,
    silhouette_loss,
    weighted_mean,
)

SIZE = 32
ball = lambda x: sdf_sphere(x, 0.4)
field = lambda x: Answer(ball(x)[..., None], x, x)


def view(kind, azimuth=30.0, elevation=20.0):
    hole = orbit(azimuth, elevation, 2.0, 3.75)
    return (
        hole
        if kind == "perspective"
        else Orthographic(hole.rotation, hole.translation, hole.focal / 2)
    )


@pytest.mark.parametrize("kind", ["perspective", "orthographic"])
def test_rays_project_back(kind):
    camera, uv = view(kind), 2 * torch.rand(1, 9, 2, generator=seeded(0)) - 1
    rays, depth = pixel_rays(camera, uv), torch.rand(1, 9, 4, generator=seeded(1)) + 1.5
    seen = camera.project(rays.at(depth).flatten(1, 2)).view(1, 9, 4, 3)
    torch.testing.assert_close(
        seen[..., :2], uv[:, :, None].expand(-1, -1, 4, -1), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(seen[..., 2], depth, atol=1e-5, rtol=0)
    assert (rays.direction.norm(dim=-1) >= 1 - 1e-6).all() and (
        (rays.direction.norm(dim=-1) - 1).abs().max() < 1e-6
    ) == (kind == "orthographic")


def test_distance_to_an_outline():
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, 0, :, 4:] = 1
    found = boundary_distance(mask)
    torch.testing.assert_close(
        found[0, 0, 3], torch.tensor([3.5, 2.5, 1.5, 0.5, 0.5, 1.5, 2.5, 3.5])
    )
    assert (found[1] > 8).all()


@pytest.mark.parametrize("kind", ["perspective", "orthographic"])
@pytest.mark.parametrize(
    "body",
    [
        ball,
        lambda x: sdf_sphere(x, 0.2, (0.2, 0.25, 0.1)),
        lambda x: sdf_torus(x, 0.3, 0.08),
        lambda x: sdf_box(x, (0.6, 0.12, 0.4), rounding=0.04),
    ],
    ids=["ball", "small ball", "ring", "board"],
)
def test_bound_is_never_violated(body, kind):
    for azimuth, elevation in ((0, 0), (37, 12), (110, 35), (200, -20)):
        camera = view(kind, azimuth, elevation)
        mask = analytic_silhouette(body, camera, SIZE, (1.3, 2.7))
        empty = (mask < 0.5).flatten()
        assert 0 < int(empty.sum()) < SIZE * SIZE
        uv = pixel_centers(SIZE, SIZE).reshape(1, -1, 2)[:, empty]
        depth = torch.linspace(1.3, 2.7, 15).expand(1, uv.shape[1], 15)
        bound = silhouette_bound(
            camera, uv, boundary_distance(mask).reshape(1, -1)[:, empty] + 0.5, depth, SIZE
        )
        assert (bound <= body(pixel_rays(camera, uv).at(depth)) + 1e-5).all() and (
            bound > 0.1
        ).any()


@pytest.mark.parametrize("kind", ["perspective", "orthographic"])
def test_half_a_pixel_is_not_enough(kind):
    camera = view(kind)
    mask = analytic_silhouette(ball, camera, SIZE, (1.3, 2.7))
    empty = (mask < 0.5).flatten()
    uv = pixel_centers(SIZE, SIZE).reshape(1, -1, 2)[:, empty]
    depth = torch.linspace(1.3, 2.7, 15).expand(1, uv.shape[1], 15)
    bound = silhouette_bound(
        camera, uv, boundary_distance(mask).reshape(1, -1)[:, empty] + 0.5, depth, SIZE, margin=0.5
    )
    assert (bound > ball(pixel_rays(camera, uv).at(depth)) + 1e-4).any()


def test_perspective_bound_is_the_papers_projection():
    camera, uv, pixels = view("perspective"), torch.tensor([[[0.5, -0.3]]]), torch.tensor([[9.0]])
    d = (9 - 2**0.5) * 2 / SIZE / 3.75
    p = torch.cat([uv[0, 0] / 3.75, torch.ones(1)])
    r0 = torch.cat([p[:2] * (1 + d / p[:2].norm()), torch.ones(1)])
    expected = 1.8 * (p - (p @ r0) / (r0 @ r0) * r0).norm()
    torch.testing.assert_close(
        silhouette_bound(camera, uv, pixels, torch.full((1, 1, 1), 1.8), SIZE)[0, 0, 0], expected
    )


def test_marcher_never_goes_back_and_starts_evenly():
    marcher, rays = (
        RayMarcher(3, 6, first=0.1),
        pixel_rays(view("perspective"), torch.zeros(1, 2, 2)),
    )
    walk = marcher(field, rays, 1.4, 5)
    assert walk.depth.shape == walk.sdf.shape == (1, 2, 6) and (walk.depth.diff(dim=-1) >= 0).all()
    assert 1.6 < float(walk.depth[0, 0, -1].detach()) < 2.3 and bool(
        (marcher.cell.bias_ih[6:12] == 1).all()
    )
    assert all(
        g.abs().sum() > 0
        for g in torch.autograd.grad(walk.sdf.sum(), [marcher.step.weight, marcher.cell.weight_hh])
    )


def test_bisection_finds_the_surface():
    rays = pixel_rays(view("perspective", 0, 0), torch.tensor([[[0.0, 0.0], [0.95, 0.95]]]))
    depth = bisect(
        lambda x: field(x).sdf, rays, torch.full((1, 2), 1.3), torch.full((1, 2), 2.0), 14
    )
    assert abs(float(depth[0, 0]) - 1.6) < 1e-3 and abs(float(depth[0, 1]) - 2.0) < 1e-3


def test_chords_and_the_smallest_sample():
    origin, direction = (
        torch.tensor([[[0.0, 0, -2], [0.3, 0, -2], [2.0, 0, -2]]]),
        torch.tensor([[[0.0, 0, 1]] * 3]),
    )
    rays = Rays(origin, direction, torch.zeros(1, 3, 2))
    near, far = ball_chord(rays, 0.5)
    assert torch.allclose(near[0], torch.tensor([1.5, 1.6, 2.0])) and torch.allclose(
        far[0], torch.tensor([2.5, 2.4, 2.0])
    )
    ball = lambda x: x.norm(dim=-1, keepdim=True) - 0.4
    walk = least_march(ball, rays, 0.5, 40, seeded(0))
    assert (
        float((walk.sdf[0, :2, -1] - torch.tensor([-0.4, -0.1])).abs().max()) < 0.03
        and abs(float(walk.sdf[0, 2, -1]) - 1.6) < 1e-5
    )
    assert bool((walk.sdf[..., 0] >= walk.sdf[..., 1]).all()) and torch.allclose(
        ball(rays.at(walk.depth))[..., 0], walk.sdf, atol=1e-6
    )


def test_dense_march_finds_the_smallest():
    rays = pixel_rays(view("perspective", 0, 0), torch.tensor([[[0.0, 0.0], [0.9, 0.9]]]))
    walk = dense_march(lambda x: field(x).sdf, rays, (1.3, 2.7), 32, seeded(0))
    assert (
        walk.depth.shape == (1, 2, 2)
        and walk.sdf[0, 0, 1] < 0 < walk.sdf[0, 1, 1]
        and walk.depth[0, 0, 1] < 1.75
    )


def test_losses_by_hand():
    march = March(torch.zeros(1, 2, 2), torch.tensor([[[-0.2, 0.3], [0.1, -0.4]]]))
    found = ray_losses(march, torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.5]]), slack=0.0)
    torch.testing.assert_close(found["int"], torch.tensor(0.3 + 0.4))
    torch.testing.assert_close(found["free"], torch.tensor(0.1))
    sdf, bound = torch.tensor([[[0.1, 0.5], [0.0, 0.0]]]), torch.tensor([[[0.3, 0.3], [0.5, 0.5]]])
    torch.testing.assert_close(
        silhouette_loss(sdf, bound, torch.tensor([[0.0, 1.0]]), torch.ones(1, 2)), torch.tensor(0.1)
    )


def test_near_the_outline_counts_more():
    march = March(torch.zeros(1, 2, 2), torch.tensor([[[1.0, 0.3], [1.0, 0.0]]]))
    one = ray_losses(march, torch.ones(1, 2), torch.tensor([[0.5, 4.0]]), 0.0)["int"]
    other = ray_losses(march, torch.ones(1, 2), torch.tensor([[4.0, 0.5]]), 0.0)["int"]
    assert one > 5 * other


def test_empty_means_keep_the_graph():
    x = torch.ones(3, requires_grad=True)
    mean = weighted_mean(x, torch.zeros(3))
    assert mean == 0 and torch.autograd.grad(mean, x)[0].abs().sum() == 0


def test_refusals():
    camera = view("perspective")
    for wrong in (
        lambda: pixel_rays(camera, torch.zeros(3, 2)),
        lambda: pixel_rays(None, torch.zeros(1, 3, 2)),
        lambda: boundary_distance(torch.zeros(2, 8, 8)),
        lambda: RayMarcher(3)(field, pixel_rays(camera, torch.zeros(1, 1, 2)), 1.0, 0),
    ):
        with pytest.raises(InputError):
            wrong()


def test_the_switches_of_the_inside_loss():
    march = March(torch.zeros(1, 2, 2), torch.tensor([[[-0.2, 0.3], [0.1, 0.5]]]))
    mask, pixels = torch.ones(1, 2), torch.tensor([[0.5, 4.0]])
    plain = ray_losses(march, mask, pixels, 0.0)["int"]
    torch.testing.assert_close(plain, torch.tensor((0.3 * 2 + 0.5 / 4) / (2 + 1 / 4)))
    even = ray_losses(march, mask, pixels, 0.0, even=True)["int"]
    torch.testing.assert_close(even, torch.tensor((0.3 + 0.5) / 2))
    least = ray_losses(march, mask, pixels, 0.0, even=True, least=True)["int"]
    torch.testing.assert_close(least, torch.tensor(0.1 / 2))  # the first walk has been inside
    wide = ray_losses(march, mask, pixels, 0.1, even=True)["int"]
    torch.testing.assert_close(wide, torch.tensor((0.4 + 0.6) / 2))
