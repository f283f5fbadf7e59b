"""Losses: known numbers, invariances, gradients against finite differences, refusals."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from svr_nb import losses as L
from svr_nb.conventions import InputError, rand, seeded
from svr_nb.losses import smoothness
from svr_nb.shapes.mesh import icosphere

double = lambda *shape, seed=0: rand(*shape, generator=seeded(seed)).double().requires_grad_()


def square_mask(size: int = 64, low: int = 20, high: int = 40) -> torch.Tensor:
    mask = torch.zeros(1, 1, size, size)
    mask[..., low:high, low:high] = 1
    return mask


def test_edges_and_neighbours_are_those_of_sorted_rows():
    faces = icosphere(2).faces[torch.randperm(320, generator=seeded(0))]
    sides = smoothness._sides(faces)
    assert torch.equal(smoothness._edges(faces), torch.unique(sides, dim=0))
    _, edge = torch.unique(sides, dim=0, return_inverse=True)
    first, second = smoothness._neighbors(faces).unbind(1)
    shared = [set(faces[a].tolist()) & set(faces[b].tolist()) for a, b in zip(first, second)]
    assert all(len(both) == 2 for both in shared) and len(shared) == int(edge.max()) + 1


# --- images and masks ---


def test_image_loss_sums_channels_and_averages_pixels():
    assert L.image_loss(torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)).item() == 3
    values = L.image_loss(
        torch.stack([torch.ones(3, 4, 4), torch.zeros(3, 4, 4)]),
        torch.zeros(2, 3, 4, 4),
        per_sample=True,
    )
    assert values.tolist() == [3, 0]


def test_mask_bce_known_numbers():
    half, mask = torch.full((1, 1, 4, 4), 0.5), torch.zeros(1, 1, 4, 4)
    assert L.mask_bce(half, mask).item() == pytest.approx(math.log(2))
    assert L.mask_bce(mask, mask).item() < 2e-6
    assert L.mask_bce(mask, mask, form="logits").item() == pytest.approx(
        math.log(2)
    )  # erratum S2: the floor


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_mask_bce_stays_finite_at_the_ends(value):
    predicted = torch.full((1, 1, 2, 2), value, requires_grad=True)
    loss = L.mask_bce(predicted, 1 - predicted.detach())
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(predicted.grad).all()


def test_soft_iou_of_equal_empty_and_disjoint():
    a = square_mask()
    assert (
        L.soft_iou(a, a).item() == 1
        and L.soft_iou(a * 0, a * 0).item() == 1
        and L.soft_iou(a, 1 - a).item() == 0
    )
    assert L.mask_iou_loss(a, 1 - a).item() == 1


# --- affinity ---


def test_affinity_reaches_a_far_point_and_bce_does_not():
    mask = square_mask()
    uv = torch.tensor(
        [[[-0.9, -0.1], [-0.1, -0.1]]], requires_grad=True
    )  # about 17 pixels left of the mask
    (grad,) = torch.autograd.grad(L.affinity_points(uv, mask), uv)
    assert grad[0, 0, 0] < -1
    rows, columns = torch.arange(64.0), ((uv + 1) * 32 - 0.5)
    splat = torch.tanh(
        (
            torch.exp(-((columns[0, :1, 1, None] - rows) ** 2) / 0.8)[:, :, None]
            * torch.exp(-((columns[0, :1, 0, None] - rows) ** 2) / 0.8)[:, None]
        ).sum(0)
    )
    (far,) = torch.autograd.grad(L.mask_bce(splat[None, None] * mask, mask), uv)
    assert far[0, 0].abs().max() < 1e-6


def test_affinity_outside_the_frame_points_inwards():
    uv = torch.tensor([[[3.0, 2.0]]], requires_grad=True)
    (grad,) = torch.autograd.grad(L.affinity_points(uv, square_mask()), uv)
    assert (grad > 0).all()


def test_affinity_is_small_when_points_are_the_pixels():
    mask = square_mask(16, 4, 9)
    rows, columns = mask[0, 0].nonzero().T
    uv = torch.stack([(2 * columns + 1) / 16 - 1, (2 * rows + 1) / 16 - 1], 1)[None]
    assert L.affinity_points(uv, mask).item() < 1e-5
    assert L.affinity_points(uv, mask * 0).item() == 0


def test_affinity_draw_needs_a_generator_and_repeats(generator):
    uv, mask = torch.zeros(1, 3, 2), square_mask()
    with pytest.raises(InputError, match="generator"):
        L.affinity_points(uv, mask, count=10)
    assert L.affinity_points(uv, mask, count=10, generator=seeded(1)) == L.affinity_points(
        uv, mask, count=10, generator=seeded(1)
    )


@pytest.mark.parametrize("squared", [True, False])
def test_affinity_pixels_equals_the_dense_formula(squared, generator):
    p, m = (
        rand(1, 1, 6, 5, generator=generator),
        (rand(1, 1, 6, 5, generator=generator) > 0.6).float(),
    )
    grid = torch.stack(
        torch.meshgrid(torch.arange(6.0), torch.arange(5.0), indexing="ij"), -1
    ).reshape(-1, 2)
    pairs = (grid[:, None] - grid).square().sum(-1)
    pairs = pairs if squared else pairs.sqrt()
    p1, m1 = p.flatten(), m.flatten()
    near, index = pairs.masked_fill(p1[None] <= 0.5, 1e9).min(1)
    expected = (p1 * pairs.masked_fill(m1[None] == 0, 1e9).min(1).values).mean() + (
        m1 * near * p1[index]
    ).mean()
    assert L.affinity_pixels(p, m, squared=squared, chunk=4).item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_affinity_pixels_rewards_dimming():
    predicted = torch.zeros(1, 1, 8, 8)
    predicted[..., 1, 1] = 0.9
    mask = square_mask(8, 5, 8)
    dimmer = predicted * 0.8
    assert L.affinity_pixels(dimmer, mask) < L.affinity_pixels(predicted, mask)  # erratum S1


# --- points ---


def test_chamfer_known_number():
    a, b = torch.zeros(1, 1, 3), torch.tensor([[[3.0, 4.0, 0.0]]])
    assert L.chamfer_loss(a, b).item() == 50 and L.chamfer_loss(a, b, squared=False).item() == 10
    assert L.chamfer_loss(a, b, squared=False, reduce="mean_avg").item() == 5


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_chamfer_is_symmetric_and_ignores_order(n, m, seed):
    a, b = rand(2, n, 3, generator=seeded(seed)), rand(2, m, 3, generator=seeded(seed, 1))
    forth = L.chamfer_loss(a, b)
    assert torch.allclose(forth, L.chamfer_loss(b, a)) and torch.allclose(
        forth, L.chamfer_loss(a.flip(1), b)
    )
    assert L.chamfer_loss(a, a) == 0


def test_masked_chamfer_is_the_chamfer_of_the_subset(generator):
    a, b = rand(2, 9, 3, generator=generator), rand(2, 7, 3, generator=generator)
    keep = torch.zeros(2, 9, dtype=torch.bool)
    keep[:, :4] = True
    assert torch.allclose(L.chamfer_loss(a, b, a_keep=keep), L.chamfer_loss(a[:, :4], b))
    assert L.chamfer_loss(a, b, a_keep=torch.zeros_like(keep)).item() == 0


def test_symmetry_of_a_symmetric_cloud_is_zero(generator):
    half = rand(2, 10, 3, generator=generator) + 0.1
    whole = torch.cat([half, half * torch.tensor([-1.0, 1, 1])], 1)
    assert L.symmetry_loss(whole).item() < 1e-12 and L.symmetry_loss(half).item() == 0
    lopsided = torch.cat([half, (half + 0.3) * torch.tensor([-1.0, 1, 1])], 1)
    assert (
        L.symmetry_loss(lopsided) > L.symmetry_loss(lopsided, form="literal") * 1.2
    )  # erratum S5: free matches at the origin


def test_wrapped_angles():
    a, b = torch.deg2rad(torch.tensor([179.0])), torch.deg2rad(torch.tensor([-179.0]))
    assert math.degrees(L.angle_loss(a, b)) == pytest.approx(2, abs=1e-3)
    assert math.degrees(L.angle_loss(a, b, form="literal")) == pytest.approx(358, abs=1e-3)


# --- meshes ---


def test_mesh_losses_on_a_flat_grid_and_a_sphere():
    flat = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    assert (
        L.flatten_loss(flat, faces).item() == 0
        and L.normal_consistency_loss(flat, faces).item() == 0
    )
    folded = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]]])
    assert L.flatten_loss(folded, faces).item() == pytest.approx(4)
    assert L.edge_length_loss(flat, faces).item() == pytest.approx(6 / 5)
    coarse, fine = (
        L.flatten_loss(m.verts[None], m.faces, reduce="mean").item()
        for m in (icosphere(1), icosphere(3))
    )
    assert fine < coarse


def test_laplacian_is_the_distance_to_the_mean_neighbor():
    verts = torch.tensor([[[0.0, 0, 1], [1, 0, 0], [-1, 1, 0], [-1, -1, 0]]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1]])
    away = verts[0] - torch.stack(
        [verts[0][[j for j in range(4) if j != i]].mean(0) for i in range(4)]
    )
    assert L.laplacian_loss(verts, faces).item() == pytest.approx(
        away.square().sum().item(), rel=1e-6
    )
    assert L.laplacian_loss(verts, faces, squared=False, reduce="mean").item() == pytest.approx(
        away.norm(dim=1).mean().item(), rel=1e-6
    )


def test_mesh_losses_do_not_turn_with_the_mesh():
    from svr_nb.cameras.rotations import random_rotation

    mesh, turn = icosphere(1), random_rotation(seeded(1))[0]
    verts = (mesh.verts * torch.tensor([1.0, 0.5, 0.8]))[None]
    for loss in (L.laplacian_loss, L.flatten_loss, L.edge_length_loss, L.normal_consistency_loss):
        assert loss(verts @ turn.T, mesh.faces).item() == pytest.approx(
            loss(verts, mesh.faces).item(), rel=1e-3, abs=1e-6
        )


# --- gradients ---

TRIANGLES = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
MASK = square_mask(8, 2, 6).double()
CASES = {
    "image": (lambda x: L.image_loss(x, torch.zeros_like(x)), (2, 3, 4, 4)),
    "bce": (lambda x: L.mask_bce(x * 0.9 + 0.05, torch.ones_like(x)), (1, 1, 4, 4)),
    "logits": (lambda x: L.mask_bce(x, torch.ones_like(x), form="logits"), (1, 1, 4, 4)),
    "iou": (lambda x: L.mask_iou_loss(x, MASK.expand_as(x)), (2, 1, 8, 8)),
    "affinity points": (lambda x: L.affinity_points(x * 3 - 1.5, MASK), (1, 5, 2)),
    "affinity pixels": (lambda x: L.affinity_pixels(x, MASK), (1, 1, 8, 8)),
    "chamfer": (lambda x: L.chamfer_loss(x[:, :4], x[:, 4:]), (2, 9, 3)),
    "plain chamfer": (lambda x: L.chamfer_loss(x[:, :4], x[:, 4:], squared=False), (2, 9, 3)),
    "symmetry": (lambda x: L.symmetry_loss(x - 0.5), (2, 9, 3)),
    "literal symmetry": (lambda x: L.symmetry_loss(x - 0.5, form="literal"), (1, 9, 3)),
    "angle": (lambda x: L.angle_loss(x, x.detach() * 0 - 3), (5,)),
    "laplacian": (lambda x: L.laplacian_loss(x, TRIANGLES, squared=False), (2, 4, 3)),
    "flatten": (lambda x: L.flatten_loss(x, TRIANGLES), (2, 4, 3)),
    "edge": (lambda x: L.edge_length_loss(x, TRIANGLES, target=0.3), (2, 4, 3)),
    "normals": (lambda x: L.normal_consistency_loss(x, TRIANGLES), (2, 4, 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_gradcheck(name):
    loss, shape = CASES[name]
    assert gradcheck(loss, (double(*shape, seed=len(name)),), atol=1e-4)


@pytest.mark.parametrize(
    "name", ["plain chamfer", "laplacian", "flatten", "edge", "normals", "affinity points"]
)
def test_gradient_is_finite_for_coincident_points_and_degenerate_triangles(name):
    loss, shape = CASES[name]
    x = torch.full(shape, 0.25, dtype=torch.float64, requires_grad=True)
    loss(x).backward()
    assert torch.isfinite(x.grad).all()


# --- refusals ---


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: L.image_loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5)), "target"),
        (lambda: L.mask_bce(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4)), "predicted"),
        (lambda: L.mask_bce(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), form="log"), "form"),
        (lambda: L.chamfer_loss(torch.zeros(1, 4, 2), torch.zeros(1, 4, 3)), "a"),
        (lambda: L.chamfer_loss(torch.zeros(1, 4, 3), torch.zeros(2, 4, 3)), "b"),
        (lambda: L.chamfer_loss(torch.zeros(1, 0, 3), torch.zeros(1, 4, 3)), "a"),
        (
            lambda: L.chamfer_loss(torch.zeros(1, 4, 3), torch.zeros(1, 4, 3), reduce="sum"),
            "reduce",
        ),
        (lambda: L.laplacian_loss(torch.zeros(1, 4, 3), torch.tensor([[0, 1, 9]])), "faces"),
        (lambda: L.laplacian_loss(torch.zeros(1, 4, 3), torch.tensor([[0.0, 1, 2]])), "faces"),
        (lambda: L.affinity_points(torch.zeros(2, 4, 2), torch.zeros(1, 1, 4, 4)), "mask"),
        (lambda: L.angle_loss(torch.zeros(2), torch.zeros(3)), "target"),
    ],
)
def test_refusals_name_the_argument(call, name):
    with pytest.raises(InputError, match=f"^{name}"):
        call()


# --- a loss of nothing costs nothing, and what is left out pulls nowhere ---


@pytest.mark.parametrize("filler", [math.nan, math.inf, 1e30])
def test_points_that_are_left_out_pull_nowhere(filler):
    cloud, other = (rand(2, n, 3, generator=seeded(n)) for n in (20, 30))
    padded = torch.cat([cloud, torch.full((2, 5, 3), filler)], 1).requires_grad_()
    keep = torch.arange(25).expand(2, 25) < 20
    value = L.chamfer_loss(padded, other, a_keep=keep, per_sample=True)
    assert torch.equal(value, L.chamfer_loss(cloud, other, per_sample=True))
    value.sum().backward()
    assert padded.grad.isfinite().all() and (padded.grad[:, 20:] == 0).all()


@pytest.mark.parametrize("filler", [math.nan, 0.5])
def test_a_loss_of_nothing_is_zero_with_a_gradient_of_zero(filler):
    points = torch.full((1, 8, 3), filler, requires_grad=True)
    nothing = torch.zeros(1, 8, dtype=torch.bool)
    loss = L.chamfer_loss(points, torch.zeros(1, 4, 3), a_keep=nothing)
    loss.backward()
    assert loss == 0 and (points.grad == 0).all()
    empty = torch.zeros(1, 1, 8, 8, requires_grad=True)
    loss = L.mask_iou_loss(empty, torch.zeros(1, 1, 8, 8))
    loss.backward()
    assert loss == 0 and (empty.grad == 0).all()
    lone, verts = torch.tensor([[0, 1, 2]]), torch.eye(3)[None].requires_grad_()
    for fold in (
        L.normal_consistency_loss(verts, lone),
        L.flatten_loss(verts, lone, reduce="mean"),
    ):
        assert fold == 0


def test_nan_that_counts_is_never_a_perfect_loss():
    nan, mask = torch.full((1, 1, 8, 8), math.nan), torch.zeros(1, 1, 8, 8)
    assert L.soft_iou(nan, mask).isnan() and L.soft_iou(mask, nan).isnan()
    assert L.affinity_pixels(mask, nan).isnan() and L.affinity_pixels(nan, mask).isnan()
    points = rand(2, 9, 3, generator=seeded(1), low=-1)
    points[0, 2] = math.nan
    assert L.symmetry_loss(points, per_sample=True).isnan().tolist() == [True, False]


def test_a_vertex_without_faces_counts_in_no_mean():
    ball = icosphere(1)
    verts = torch.cat([ball.verts, torch.full((3, 3), math.nan)])[None].requires_grad_()
    for loss in (L.laplacian_loss, L.flatten_loss, L.edge_length_loss, L.normal_consistency_loss):
        assert torch.equal(loss(verts, ball.faces), loss(ball.verts[None], ball.faces))
    L.laplacian_loss(verts, ball.faces, reduce="mean").backward()
    assert verts.grad.isfinite().all() and (verts.grad[:, -3:] == 0).all()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (
            lambda: L.chamfer_loss(
                torch.zeros(1, 4, 3), torch.zeros(1, 4, 3), a_keep=torch.ones(1, 3)
            ),
            "a_keep",
        ),
        (
            lambda: L.chamfer_loss(
                torch.zeros(1, 4, 3), torch.zeros(1, 4, 3), b_keep=torch.ones(4)
            ),
            "b_keep",
        ),
        (
            lambda: L.chamfer_loss(
                torch.zeros(1, 4, 3), torch.zeros(1, 4, 3), b_keep=torch.full((1, 4), 0.5)
            ),
            "b_keep",
        ),
        (
            lambda: L.affinity_pixels(
                torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4), threshold=128
            ),
            "threshold",
        ),
    ],
)
def test_masks_and_thresholds_without_meaning_are_refused(call, name):
    with pytest.raises(InputError, match=f"^{name}:"):
        call()


@pytest.mark.parametrize("count", [None, 20])
def test_affinity_of_a_batch_is_that_of_its_images(count):
    """With equally many drawn pixels they are searched together, with different numbers or an empty
    mask one by one; values and gradients are those of images alone.
    """
    uv = rand(4, 30, 2, generator=seeded(90), low=-1.2, high=1.2).requires_grad_()
    mask = (rand(4, 1, 12, 12, generator=seeded(91)) > 0.6).float()
    for empty in (False, True):
        mask[2] *= not empty
        chance = seeded(92)
        both = L.affinity_points(uv, mask, count=count, generator=chance, per_sample=True)
        chance = seeded(92)
        alone = [
            L.affinity_points(*pair, count=count, generator=chance)
            for pair in zip(uv.split(1), mask.split(1))
        ]
        assert torch.equal(both, torch.stack(alone)) and (both[2] == 0) == empty
        slopes = (torch.autograd.grad(x.sum(), uv)[0] for x in (both, torch.stack(alone)))
        assert torch.equal(*slopes)


def test_room_is_none_in_one_place_and_enough_far_apart(generator):
    crowd = torch.zeros(2, 9, 3)
    assert L.spread_loss(crowd).item() == 1
    grid = torch.cartesian_prod(*[torch.arange(3.0)] * 3)[None]
    assert L.spread_loss(grid, room=1.0).item() == 0
    assert L.spread_loss(grid, room=2.0, nearest=3).item() == pytest.approx(0.5)
    assert L.spread_loss(torch.cat([0.1 * grid, grid]), 0.5, per_sample=True).shape == (2,)


def test_room_compares_each_point_with_its_nearest(generator):
    cloud = torch.rand(1, 20, 3, generator=generator)
    apart = (cloud[0, :, None] - cloud[0]).norm(dim=-1).fill_diagonal_(torch.inf)
    near = apart.sort(1).values[:, :4]
    assert L.spread_loss(cloud, 0.4).item() == pytest.approx(
        (1 - near / 0.4).clamp_min(0).mean().item()
    )


def test_following_the_slope_makes_room(generator):
    cloud = (0.01 * torch.rand(1, 30, 3, generator=generator)).requires_grad_()
    (slope,) = torch.autograd.grad(L.spread_loss(cloud, 0.1), cloud)
    assert slope.isfinite().all()
    assert L.spread_loss(cloud - 0.05 * slope, 0.1) < L.spread_loss(cloud, 0.1)


@pytest.mark.parametrize("wrong", [{"nearest": 9}, {"nearest": 0}, {"room": 0.0}])
def test_room_that_there_cannot_be_is_refused(wrong):
    with pytest.raises(InputError):
        L.spread_loss(torch.zeros(1, 9, 3), **wrong)
