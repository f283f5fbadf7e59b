"""Bilinear look-ups with their slope against PyTorch's sampler, and what the variance map does to
them.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from svr_nb.agt.adaptive_sampling import (
    VAR_FORWARDS,
    VAR_MODES,
    VarHead,
    VarianceMap,
    adaptive_texture,
    bilinear_sample,
    bounded_map,
    inner_step,
    modulate,
    to_pixels,
    variance_loss,
)
from svr_nb.conventions import InputError, seeded
from svr_nb.umr.texture_cycle import texture_from_flow


def picture(channels=3, height=5, width=7, batch=2, dtype=torch.float64, seed=0):
    return torch.rand(batch, channels, height, width, generator=seeded(seed), dtype=dtype)


def places(count=40, height=5, width=7, batch=2, dtype=torch.float64, seed=1, beyond=2.0):
    size = torch.tensor([width - 1.0, height - 1.0], dtype=dtype)
    return (
        torch.rand(batch, count, 2, generator=seeded(seed), dtype=dtype) * (size + 2 * beyond)
        - beyond
    )


def by_torch(image, at):
    flow = (2 * at + 1) / torch.tensor([image.shape[3], image.shape[2]], dtype=at.dtype) - 1
    return F.grid_sample(image, flow[:, None], padding_mode="border", align_corners=False)[:, :, 0]


@pytest.mark.parametrize("batch, channels, size", [(1, 1, (2, 2)), (2, 3, (5, 7)), (3, 2, (8, 3))])
def test_values_and_slopes_are_those_of_grid_sample(batch, channels, size):
    image, at = picture(channels, *size, batch), places(40, *size, batch)
    found, moving = bilinear_sample(image, at), at.clone().requires_grad_()
    assert torch.allclose(found.color, by_torch(image, at), atol=1e-12)
    for channel in range(channels):
        (slope,) = torch.autograd.grad(by_torch(image, moving)[:, channel].sum(), moving)
        assert torch.allclose(found.slope[:, channel], slope, atol=1e-12)


def test_slope_is_the_gradient_of_its_own_colour():
    image, at = picture(1), places(beyond=0.0).requires_grad_()
    found = bilinear_sample(image, at)
    (slope,) = torch.autograd.grad(found.color.sum(), at)
    assert torch.allclose(slope, found.slope[:, 0]) and bool((found.weights >= 0).all())


def test_on_pixel_centres_the_pixels_come_back():
    image = picture()
    at = (
        torch.stack(torch.meshgrid(torch.arange(7.0), torch.arange(5.0), indexing="xy"), -1)
        .reshape(1, -1, 2)
        .expand(2, -1, -1)
        .double()
    )
    assert torch.equal(bilinear_sample(image, at).color, image.flatten(2))


def test_gradcheck_in_image_and_slope():
    image, at = picture(1, 3, 3, 1).requires_grad_(), places(6, 3, 3, 1, beyond=0.0)
    assert torch.autograd.gradcheck(lambda x: bilinear_sample(x, at).color, image)
    assert torch.autograd.gradcheck(lambda x: bilinear_sample(x, at).slope, image)


def test_pixels_and_image_plane():
    flow = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]])
    assert torch.allclose(
        to_pixels(flow, 4, 6), torch.tensor([[-0.5, -0.5], [5.5, 3.5], [2.5, 1.5]])
    )


def test_a_flat_cell_has_no_slope_anywhere_until_it_is_modulated():
    flat, at = torch.full((1, 1, 4, 4), 0.3), 1 + torch.rand(1, 100, 2, generator=seeded(2))
    maps = bounded_map(torch.randn(1, 1, 4, 4, generator=seeded(3)))
    assert (
        bilinear_sample(flat, at).slope.abs().max()
        < 1e-6
        < bilinear_sample(maps.apply(flat), at).slope.norm(dim=-1).min()
    )


def test_black_needs_the_added_map():
    black, at, raw = (
        torch.zeros(1, 3, 4, 4),
        1 + torch.rand(1, 30, 2, generator=seeded(2)),
        torch.randn(1, 2, 4, 4, generator=seeded(4)),
    )
    assert bilinear_sample(bounded_map(raw[:, :1]).apply(black), at).slope.abs().max() == 0
    assert bilinear_sample(bounded_map(raw, mode="affine").apply(black), at).slope.abs().max() > 0


@pytest.mark.parametrize("mode", VAR_MODES)
@pytest.mark.parametrize("channels", [1, 3])
def test_fresh_head_changes_nothing_and_learns(mode, channels):
    head = VarHead(8, 24, (8, 4), 8, channels=channels, mode=mode)
    maps, image = (
        head(torch.randn(2, 8, generator=seeded(0))),
        picture(3, 24, 24, dtype=torch.float32),
    )
    assert torch.equal(maps.apply(image), image) and float(variance_loss(maps).detach()) == 0
    maps.apply(image).square().sum().backward()
    assert head.last.weight.grad.abs().sum() > 0


def test_the_map_stays_within_its_bounds():
    maps = bounded_map(100 * torch.randn(1, 2, 6, 6, generator=seeded(0)), 0.3, "affine")
    assert (
        float((maps.multiply - 1).abs().max()) <= 0.3 + 1e-6
        and float(maps.add.abs().max()) <= 0.3 + 1e-6
    )
    assert variance_loss(maps) == pytest.approx(
        float((maps.multiply - 1).square().mean() + maps.add.square().mean())
    )


def test_straight_through_keeps_colours_and_takes_the_gradient():
    image = picture(3, 8, 8, dtype=torch.float32)
    flow = (torch.rand(2, 5, 3, 3, 2, generator=seeded(1)) * 1.6 - 0.8).requires_grad_()
    maps = bounded_map(torch.randn(2, 1, 8, 8, generator=seeded(2)))
    found = {f: adaptive_texture(image, flow, maps, f) for f in VAR_FORWARDS}
    slopes = {f: torch.autograd.grad(t.sum(), flow)[0] for f, t in found.items()}
    plain = texture_from_flow(image, flow)
    assert torch.allclose(found["straight_through"], plain, atol=1e-6) and not torch.allclose(
        found["modulated"], plain, atol=0.01
    )
    assert torch.allclose(*slopes.values()) and torch.equal(
        adaptive_texture(image, flow, None), plain
    )


@pytest.mark.parametrize("forward", VAR_FORWARDS)
def test_inner_step_is_gradient_descent_on_the_colour_error(forward):
    image, at, maps = (
        picture(),
        places(beyond=0.0).requires_grad_(),
        bounded_map(torch.randn(2, 1, 5, 7, generator=seeded(5)).double()),
    )
    target, changed = picture(seed=9).flatten(2)[..., :1].expand(-1, -1, 40), maps.apply(picture())
    shown = by_torch(changed, at)
    if forward == "straight_through":
        shown = by_torch(image, at).detach() + shown - shown.detach()
    (slope,) = torch.autograd.grad((shown - target).square().sum(), at)
    assert torch.allclose(inner_step(image, at, target, 0.3, changed, forward), at - 0.3 * slope)


def test_a_step_can_be_learned_through():
    image, at = torch.full((1, 1, 4, 4), 0.5), torch.full((1, 1, 2), 1.5)
    raw = torch.zeros(1, 1, 4, 4, requires_grad=True)
    after = inner_step(image, at, torch.ones(1, 1, 1), 1.0, bounded_map(raw).apply(image))
    assert torch.equal(after, at)
    (slope,) = torch.autograd.grad(after[..., 0].sum(), raw)
    assert float(slope[0, 0, 1, 1]) < 0 < float(slope[0, 0, 1, 2])


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: bilinear_sample(torch.zeros(1, 3, 4), torch.zeros(1, 2, 2)), "image"),
        (lambda: bilinear_sample(torch.zeros(1, 3, 4, 4), torch.full((1, 2, 2), torch.nan)), "at"),
        (lambda: bilinear_sample(torch.zeros(2, 3, 4, 4), torch.zeros(1, 2, 2)), "at"),
        (lambda: bilinear_sample(torch.zeros(1, 3, 1, 4), torch.zeros(1, 2, 2)), "image"),
        (lambda: modulate(torch.zeros(1, 3, 4, 4), torch.ones(1, 1, 5, 4)), "multiply"),
        (lambda: bounded_map(torch.zeros(1, 1, 4, 4), -0.1), "rho"),
        (lambda: bounded_map(torch.zeros(1, 1, 4, 4), mode="add"), "mode"),
        (lambda: bounded_map(torch.zeros(1, 3, 4, 4), mode="affine"), "raw"),
        (lambda: VarHead(8, 16, channels=2), "channels"),
        (
            lambda: inner_step(
                torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 2), torch.zeros(1, 3, 2), -1.0
            ),
            "rate",
        ),
        (
            lambda: adaptive_texture(
                torch.zeros(1, 3, 4, 4),
                torch.zeros(1, 2, 2, 2, 2),
                VarianceMap(torch.ones(1, 1, 4, 4)),
                "soft",
            ),
            "forward",
        ),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(InputError, match=name):
        call()
