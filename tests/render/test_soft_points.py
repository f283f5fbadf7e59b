"""Point splats against their oracles in value and gradient, distance fields against geometry."""

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from svr_nb.conventions import InputError, pixel_centers, rand, seeded
from svr_nb.render.soft_points import (
    barrier,
    edt_outside,
    nearest_field,
    sample_field,
    signed_field,
    splat_features,
    splat_features_naive,
    splat_mask,
    splat_mask_naive,
)


def cloud(batch=2, count=50, seed=1, dtype=torch.float64):
    uv = rand(batch, count, 2, generator=seeded(seed), low=-1.3, high=1.3)
    return torch.cat(
        [uv, rand(batch, count, 1, generator=seeded(seed, 1), low=1.5, high=2.5)], -1
    ).to(dtype)


def colors(batch=2, count=50, channels=3):
    return rand(batch, count, channels, generator=seeded(9)).double()


@settings(derandomize=True, max_examples=15, deadline=None)
@given(st.integers(1, 20), st.floats(0.05, 6), st.integers(0, 5))
def test_mask_agrees_with_its_oracle(size, variance, seed):
    uv, seen = cloud(seed=seed)[..., :2].requires_grad_(), []
    for draw in (splat_mask, splat_mask_naive):
        mask = draw(uv, size, variance)
        seen.append((mask, torch.autograd.grad((mask * torch.linspace(-1, 2, size)).sum(), uv)[0]))
    assert all(torch.allclose(one, two, atol=1e-9) for one, two in zip(*seen)) and seen[0][
        0
    ].shape == (2, 1, size, size)


@settings(derandomize=True, max_examples=15, deadline=None)
@given(st.integers(1, 20), st.floats(0.5, 3), st.floats(0, 200), st.integers(0, 5))
def test_features_agree_with_their_oracle(size, window, beta, seed):
    uvz, paint, seen = cloud(seed=seed).requires_grad_(), colors().requires_grad_(), []
    for draw in (splat_features, splat_features_naive):
        image = draw(uvz, paint, size, window, beta)
        seen.append(
            (image, *torch.autograd.grad((image * torch.linspace(-1, 2, size)).sum(), (uvz, paint)))
        )
    assert all(torch.allclose(one, two, atol=1e-8) for one, two in zip(*seen)) and seen[0][
        0
    ].shape == (2, 3, size, size)


def test_gradcheck():
    uvz = cloud(count=8).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: splat_mask(x[..., :2], 7), (uvz,))
    place = uvz[..., :2].detach()
    depth, paint = uvz[..., 2:].detach().requires_grad_(), colors(count=8).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z, c: splat_features(torch.cat([place, z], -1), c, 7, 1.0, 20.0), (depth, paint)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_range_and_batch(dtype):
    uvz, paint = cloud(6, dtype=dtype), colors(6).to(dtype)
    mask, image = splat_mask(uvz[..., :2], 12), splat_features(uvz, paint, 12)
    assert (
        mask.dtype == image.dtype == dtype
        and 0 <= mask.min()
        and mask.max() <= 1
        and image.max() <= 1
    )
    for i in range(6):
        assert torch.allclose(splat_mask(uvz[i : i + 1, :, :2], 12), mask[i : i + 1], atol=1e-6)
        assert torch.allclose(
            splat_features(uvz[i : i + 1], paint[i : i + 1], 12), image[i : i + 1], atol=1e-6
        )


def test_one_point_on_a_pixel_centre():
    u, v = pixel_centers(8, 8)[2, 5]
    mask = splat_mask(torch.stack([u, v])[None, None], 8)[0, 0]
    assert (
        mask.argmax() == 2 * 8 + 5
        and mask[2, 5].item() == pytest.approx(math.tanh(1))
        and mask[2, 6].item() == pytest.approx(math.tanh(math.exp(-1 / 0.8)))
    )


def test_a_point_paints_the_four_pixels_around_it():
    image = splat_features(torch.tensor([[[0.0, 0, 2]]]), torch.ones(1, 1, 1), 8)[0, 0]
    assert image.sum() == 4 and bool((image[3:5, 3:5] == 1).all())


def test_nearer_points_win_and_ties_are_shared():
    same = torch.tensor([[[0.0, 0, 2], [0, 0, 2.5]]])
    paint = torch.tensor([[[1.0, 0], [0, 1]]])
    near = splat_features(same, paint, 8)[0, :, 3, 3]
    assert near[0] > 0.9999
    assert torch.allclose(
        splat_features(same * torch.tensor([1, 1, 0.0]) + torch.tensor([0, 0, 2.0]), paint, 8)[
            0, :, 3, 3
        ],
        torch.tensor([0.5, 0.5]),
    )


def test_extreme_depths_stay_finite():
    uvz = torch.tensor([[[0.0, 0, 1e-7], [0, 0, 2], [0, 0, -1], [9e6, 0, 2]]]).requires_grad_()
    paint = torch.ones(1, 4, 1).requires_grad_()
    image = splat_features(uvz, paint, 8)
    slopes = torch.autograd.grad(image.sum(), (uvz, paint))
    assert (
        bool(torch.isfinite(image).all())
        and all(bool(torch.isfinite(s).all()) for s in slopes)
        and slopes[1][0, 2:].abs().max() == 0
    )
    far = torch.tensor([[[9e6, -9e6]]]).requires_grad_()
    assert bool(torch.isfinite(torch.autograd.grad(splat_mask(far, 8).sum(), far)[0]).all())


def disc(size=32, batch=1):
    return (pixel_centers(size, size).square().sum(-1) < 0.2).float().expand(batch, 1, size, size)


def test_edt_agrees_with_all_pairs():
    mask = disc(12)
    place = pixel_centers(12, 12).view(-1, 2) * 6
    wanted = (
        torch.cdist(place, place[mask.flatten() > 0.5], compute_mode="donot_use_mm_for_euclid_dist")
        .min(1)
        .values.view(1, 1, 12, 12)
    )
    assert torch.allclose(edt_outside(mask), wanted, atol=1e-5)


def test_signed_field_and_barrier():
    field, wall = signed_field(disc()), barrier(disc())
    assert torch.equal(field < 0, disc() > 0.5) and field.abs().min() == 0.5
    assert torch.equal(wall < 0.5, disc() > 0.5) and wall.max() > 0.99 and wall.min() < 0.01
    assert torch.equal(edt_outside(1 - disc()) > 0, disc() > 0.5)


def test_nearest_field_continues_outside():
    padded = nearest_field(disc(), 5)
    assert padded.shape == (1, 1, 42, 42) and torch.allclose(
        padded[..., 5:-5, 5:-5], edt_outside(disc())
    )


@pytest.mark.parametrize("padding", [0, 16])
def test_sampled_distances_are_distances_and_grow_outwards(padding):
    field = nearest_field(disc(), padding)
    line = torch.stack([torch.linspace(0.5, 9, 200), torch.zeros(200)], -1)[None].requires_grad_()
    values = sample_field(field, line, padding)
    (slope,) = torch.autograd.grad(values.sum(), line)
    assert bool((values.diff() > 0).all()) and bool((slope[..., 0] > 0).all())
    assert abs(values[0, -1].item() - (9 - math.sqrt(0.2)) * 16) < 3


def test_sample_field_reads_pixel_centres_exactly():
    field = edt_outside(disc())
    assert torch.allclose(
        sample_field(field, pixel_centers(32, 32).view(1, -1, 2), 0).view(32, 32),
        field[0, 0],
        atol=1e-4,
    )
    double, place = field.double(), (cloud(1, 20)[..., :2] * 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sample_field(double, x, 0), (place,))


def test_field_pulls_where_the_mask_is_silent():
    stray = torch.tensor([[[2.0, 1.5]]]).requires_grad_()
    assert (
        torch.autograd.grad((splat_mask(stray, 32) - disc()).square().sum(), stray)[0].abs().max()
        == 0
    )
    assert (
        torch.autograd.grad(sample_field(nearest_field(disc()), stray).sum(), stray)[0].norm() > 1
    )


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: splat_mask(torch.zeros(5, 2), 8), "uv"),
        (lambda: splat_mask(torch.zeros(1, 5, 3), 8), "uv"),
        (lambda: splat_mask(torch.zeros(1, 0, 2), 8), "uv"),
        (lambda: splat_mask(torch.full((1, 5, 2), math.nan), 8), "uv"),
        (lambda: splat_mask(torch.zeros(1, 5, 2), 0), "size"),
        (lambda: splat_mask(torch.zeros(1, 5, 2), 8, 0), "variance_px"),
        (lambda: splat_mask(torch.zeros(1, 5, 2, dtype=torch.complex64), 8), "uv"),
        (lambda: splat_features(torch.zeros(1, 5, 2), torch.zeros(1, 5, 3), 8), "uvz"),
        (lambda: splat_features(torch.ones(1, 5, 3), torch.zeros(1, 4, 3), 8), "features"),
        (
            lambda: splat_features(torch.ones(1, 5, 3), torch.full((1, 5, 3), math.inf), 8),
            "features",
        ),
        (lambda: splat_features(torch.ones(1, 5, 3), torch.zeros(1, 5, 3), 8, 0.2), "window_px"),
        (lambda: splat_features(torch.ones(1, 5, 3), torch.zeros(1, 5, 3), 8, beta=-1), "beta"),
        (lambda: edt_outside(torch.zeros(1, 1, 8, 8)), "mask"),
        (lambda: edt_outside(torch.ones(8, 8)), "mask"),
        (lambda: signed_field(torch.ones(1, 1, 8, 8)), "mask"),
        (lambda: barrier(torch.zeros(1, 1, 8, 8)), "mask"),
        (lambda: nearest_field(disc(), -1), "padding"),
        (lambda: sample_field(disc(), torch.zeros(2, 3, 2), 0), "uv"),
        (lambda: sample_field(disc(), torch.zeros(1, 3, 2), 16), "padding"),
    ],
)
def test_refusals_name_the_argument(call, name):
    with pytest.raises(InputError, match=f"^{name}:"):
        call()
