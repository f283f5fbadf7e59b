"""Texture flow on faces, its cycle with the camera, and the barrier around silhouettes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

from svr_nb.cameras.projections import WeakPerspective
from svr_nb.conventions import InputError, pixel_centers, seeded
from svr_nb.render.soft_mesh import face_centroids, soft_rasterize
from svr_nb.shapes.uv import symmetric_sphere, uv_to_sphere
from svr_nb.umr.semantic_uv import exact_flow
from svr_nb.umr.texture_cycle import (
    barrier_loss,
    cycle_gap,
    flow_centers,
    flow_on_faces,
    inside_lattice,
    lattice_weights,
    silhouette_barrier,
    texture_from_flow,
)

SPHERE = symmetric_sphere(2)
MESH = SPHERE.mesh
CAMERA = WeakPerspective(torch.tensor([0.7]), torch.zeros(1, 2), torch.tensor([[1.0, 0, 0, 0]]))
UVZ = CAMERA.project(MESH.verts[None])


def exact(height: int = 64, width: int = 128) -> torch.Tensor:
    return exact_flow(MESH.verts, MESH, CAMERA, height, width)


# the lattice
# ---------------------------------------------------------------------------------------------------------
@settings(max_examples=12, derandomize=True, deadline=None)
@given(st.integers(2, 12))
def test_lattice_holds_the_corners_and_its_inner_mean_is_the_centre(side: int):
    weights, inside = lattice_weights(side), inside_lattice(side)
    assert weights.shape == (side, side, 3) and int(inside.sum()) == side * (side + 1) // 2
    assert torch.equal(weights[[side - 1, 0, 0], [0, side - 1, 0]], torch.eye(3))
    assert torch.allclose(weights[inside].mean(0), torch.full((3,), 1 / 3), atol=1e-6)
    assert bool((weights[inside] >= -1e-6).all()) and bool((weights[~inside][:, 2] < 0).all())


@pytest.mark.parametrize("side", [1, 65, 2.5, "6", True])
def test_lattice_refuses_odd_sides(side: object):
    for make in (lattice_weights, inside_lattice):
        with pytest.raises(InputError, match="side"):
            make(side)  # type: ignore[arg-type]


def test_lattice_is_the_layout_of_the_rasteriser():
    """A linear function of the place, put on the lattice, is drawn as that linear function."""
    triangle = torch.tensor([[[-0.9, -0.8, 2.0], [0.9, -0.7, 2.0], [0.1, 0.9, 2.0]]])
    texture = (lattice_weights(5) @ triangle[0, :, :2])[None, None]
    drawn = soft_rasterize(
        triangle, torch.tensor([[0, 1, 2]]), 32, face_features=texture, perspective=False
    )
    inner = (drawn.alpha[0, 0] > 0.999) & (drawn.face[0] == 0)
    error = (drawn.rgb[0].permute(1, 2, 0) - pixel_centers(32, 32))[inner]
    assert int(inner.sum()) > 200 and float(error.abs().max()) < 0.01


# flow on faces
# -------------------------------------------------------------------------------------------------------
def test_flow_on_faces_reads_the_chart():
    chart = pixel_centers(64, 128)
    flow = uv_to_sphere(chart.reshape(-1, 2))[:, :2].T.reshape(1, 2, 64, 128)
    found = flow_on_faces(flow, MESH, 4)
    points = torch.einsum("ijk,fkc->fijc", lattice_weights(4), MESH.verts[MESH.faces])
    wanted = torch.nn.functional.normalize(points, dim=-1)[..., :2]
    assert found.shape == (1, 320, 4, 4, 2) and float((found[0] - wanted).abs().max()) < 0.02


def test_mirrored_faces_copy_their_partners():
    flow = torch.rand(2, 2, 16, 32, generator=seeded(1)) * 2 - 1
    found, corner = flow_on_faces(flow, SPHERE, 3), MESH.verts[MESH.faces]
    side = SPHERE.own_faces, SPHERE.half_faces
    left, right = found[:, side[0] : side[1]], found[:, side[1] :]
    assert torch.equal(left, right.transpose(2, 3))
    flip = torch.tensor([-1.0, 1, 1])
    assert torch.allclose(
        corner[side[0] : side[1]] * flip, corner[side[1] :][:, [1, 0, 2]], atol=1e-6
    )
    assert torch.allclose(found[:, : side[1]], flow_on_faces(flow, MESH, 3)[:, : side[1]])


def test_symmetric_flow_needs_no_copy():
    flow = torch.rand(1, 2, 16, 32, generator=seeded(2))
    flow = (flow + flow.flip(-1)) / 2
    assert torch.allclose(flow_on_faces(flow, SPHERE, 3), flow_on_faces(flow, MESH, 3), atol=1e-4)


def test_flow_refuses_bad_input():
    for flow in (
        torch.zeros(2, 16, 32),
        torch.zeros(1, 3, 16, 32),
        torch.full((1, 2, 4, 4), float("nan")),
        torch.zeros(0, 2, 4, 4),
    ):
        with pytest.raises(InputError, match="flow"):
            flow_on_faces(flow, MESH)


# textures
# ------------------------------------------------------------------------------------------------------------
def test_texture_of_a_coordinate_picture_is_the_flow():
    picture = pixel_centers(32, 32).permute(2, 0, 1)[None]
    flow = (torch.rand(1, 5, 2, 2, 2, generator=seeded(3)) - 0.5) * 1.8
    assert torch.allclose(texture_from_flow(picture, flow), flow, atol=1e-5)


def test_textured_sphere_looks_like_the_photograph():
    image = torch.stack(
        [pixel_centers(64, 64)[..., 0], pixel_centers(64, 64)[..., 1], torch.zeros(64, 64)]
    )[None]
    texture = texture_from_flow(image, flow_on_faces(exact(), MESH))
    drawn = soft_rasterize(UVZ, MESH.faces, 64, face_features=texture, perspective=False)
    inner = drawn.alpha[0, 0] > 0.999
    assert float((drawn.rgb[0] - image[0])[:, inner].abs().mean()) < 0.02


def test_texture_refuses_another_number_of_images():
    with pytest.raises(InputError, match="face_flow"):
        texture_from_flow(torch.zeros(2, 3, 4, 4), torch.zeros(1, 5, 2, 2, 2))


def test_texture_gradcheck():
    image = torch.rand(1, 2, 5, 5, generator=seeded(4), dtype=torch.float64).requires_grad_()
    flow = (
        torch.rand(1, 2, 2, 2, 2, generator=seeded(5), dtype=torch.float64) - 0.5
    ).requires_grad_()
    assert torch.autograd.gradcheck(texture_from_flow, (image, flow), eps=1e-7, atol=1e-4)


# the cycle
# -----------------------------------------------------------------------------------------------------------
def test_inner_mean_is_the_centre_and_the_plain_mean_sits_on_an_edge():
    corners = torch.rand(1, 7, 3, 2, generator=seeded(6))
    flow = torch.einsum("ijk,bfkc->bfijc", lattice_weights(6), corners)
    assert torch.allclose(flow_centers(flow), corners.mean(2), atol=1e-6)
    assert torch.allclose(flow_centers(flow, "all"), corners[:, :, :2].mean(2), atol=1e-6)
    with pytest.raises(InputError, match="which"):
        flow_centers(flow, "some")


def test_exact_flow_closes_the_cycle_and_a_shift_opens_it():
    render, flow = (
        soft_rasterize(UVZ, MESH.faces, 64, perspective=False),
        flow_on_faces(exact(), MESH),
    )
    right, shifted = cycle_gap(flow, render), cycle_gap(flow + torch.tensor([0.3, -0.4]), render)
    assert float(right.loss) < 2e-3 and float(shifted.loss) == pytest.approx(0.25, abs=0.03)
    assert right.count == float(right.visible.sum()) and 80 < right.count <= 170
    assert float(cycle_gap(flow, render, "all").loss) > 2 * float(right.loss)


def test_cycle_by_hand():
    render = soft_rasterize(UVZ, MESH.faces, 32, perspective=False)
    gap = cycle_gap(torch.zeros(1, 320, 3, 3, 2), render)
    seen = face_centroids(render)[0][gap.visible]
    assert float(gap.loss) == pytest.approx(float(seen.square().sum(-1).mean()), rel=1e-5)
    assert float(gap.looked.abs().max()) == 0.0


def test_cycle_does_not_depend_on_the_order_of_faces():
    order, flow = (
        torch.randperm(320, generator=seeded(7)),
        flow_on_faces(torch.rand(1, 2, 16, 32, generator=seeded(8)), MESH, 3),
    )
    losses = [
        cycle_gap(flow[:, p], soft_rasterize(UVZ, MESH.faces[p], 32, perspective=False)).loss
        for p in (torch.arange(320), order)
    ]
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-4)


def test_cycle_moves_the_flow_and_not_the_shape():
    uvz, flow = (
        UVZ.clone().requires_grad_(),
        flow_on_faces(exact(), MESH, 3).clone().requires_grad_(),
    )
    gap = cycle_gap(flow, soft_rasterize(uvz, MESH.faces, 32, perspective=False))
    grads = torch.autograd.grad(gap.loss, (uvz, flow), allow_unused=True)
    assert grads[0] is None and float(grads[1].abs().max()) > 0
    assert float(grads[1][~gap.visible].abs().max()) == 0


def test_nothing_seen_costs_nothing():
    render = soft_rasterize(UVZ + torch.tensor([9.0, 0, 0]), MESH.faces, 16, perspective=False)
    gap = cycle_gap(torch.ones(1, 320, 2, 2, 2), render)
    assert float(gap.loss) == 0.0 and gap.count == 0


def test_cycle_refuses_another_mesh():
    with pytest.raises(InputError, match="face_flow"):
        cycle_gap(
            torch.zeros(1, 80, 3, 3, 2), soft_rasterize(UVZ, MESH.faces, 16, perspective=False)
        )


def test_a_flow_can_be_learned_from_the_cycle():
    render, free = (
        soft_rasterize(UVZ, MESH.faces, 32, perspective=False),
        torch.zeros(1, 2, 16, 32, requires_grad=True),
    )
    adam = torch.optim.Adam([free], 0.05)
    for _ in range(60):
        loss = cycle_gap(flow_on_faces(free, MESH, 3), render).loss
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert float(loss.detach()) < 0.005


# the barrier
# ---------------------------------------------------------------------------------------------------------
def disk(size: int = 32) -> torch.Tensor:
    return (pixel_centers(size, size).square().sum(-1) < 0.25).float()[None, None]


def test_barrier_rises_outwards():
    wall = silhouette_barrier(disk())[0, 0, 16]
    assert float(wall[16]) < 0.01 and float(wall[0]) > 0.99
    assert bool((wall[16:].diff() >= 0).all()) and bool((wall[:16].diff() <= 0).all())
    crossing = int((wall[16:] > 0.5).nonzero()[0])
    assert crossing == int((disk()[0, 0, 16, 16:] < 0.5).nonzero()[0])


def test_barrier_is_the_same_at_any_resolution():
    small, large = (silhouette_barrier(disk(size)) for size in (32, 64))
    assert float((torch.nn.functional.avg_pool2d(large, 2) - small).abs().max()) < 0.35


def test_barrier_loss_pulls_inwards():
    at = torch.tensor([[[0.55, 0.0]]], requires_grad=True)
    grad = torch.autograd.grad(barrier_loss(at, silhouette_barrier(disk())), at)[0]
    assert float(grad[0, 0, 0]) > 0
    wall = silhouette_barrier(disk())
    assert (
        float(barrier_loss(torch.zeros(1, 3, 2), wall))
        < 0.01
        < 0.99
        < float(barrier_loss(torch.ones(1, 4, 2, 2, 2), wall))
    )


def test_barrier_refuses_bad_input():
    for bad in (
        torch.full((1, 1, 4, 4), 2.0),
        torch.zeros(1, 3, 4, 4)[0],
        torch.full((1, 1, 4, 4), float("nan")),
    ):
        with pytest.raises(InputError, match="mask"):
            silhouette_barrier(bad)
    with pytest.raises(InputError, match="flow"):
        barrier_loss(torch.zeros(2, 5, 2), silhouette_barrier(disk()))
    with pytest.raises(InputError, match="flow"):
        barrier_loss(torch.zeros(2), silhouette_barrier(disk()))
