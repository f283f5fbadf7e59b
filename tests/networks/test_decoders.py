"""Decoders: the first guess, shapes, seeds, refusals."""

from __future__ import annotations

import pytest
import torch

from svr_nb.conventions import InputError, rand, seeded
from svr_nb.networks.decoders import ColorHead, PointHead, ball_points


def test_ball_is_filled_evenly():
    points = ball_points(4000, 0.3, seeded(0))
    distance = points.norm(dim=1)
    assert distance.max() <= 0.3 + 1e-6
    assert (distance < 0.15).float().mean().item() == pytest.approx(
        1 / 8, abs=0.02
    )  # an eighth of the volume
    assert points.mean(0).abs().max() < 0.01


def test_first_clouds_are_nearly_the_ball_for_every_code():
    head = PointHead(16, 100, seeded(0), radius=0.3)
    clouds = head(rand(5, 16, generator=seeded(1)))
    assert clouds.shape == (5, 100, 3) and clouds.norm(dim=2).max() < 0.5
    assert (clouds - clouds[:1]).abs().max() < 0.1 and not torch.equal(clouds[0], clouds[1])


def test_heads_repeat_and_differ():
    a, b, c = (PointHead(4, 10, seeded(s)) for s in (1, 1, 2))
    assert torch.equal(a.linear.weight, b.linear.weight) and not torch.equal(
        a.linear.bias, c.linear.bias
    )


def test_colors_are_colors():
    colors = ColorHead(4, 10)(100 * rand(2, 4, generator=seeded(0)))
    assert colors.shape == (2, 10, 3) and colors.min() >= 0 and colors.max() <= 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: PointHead(4, 0, seeded(0)),
        lambda: ColorHead(4, 2.5),
        lambda: ball_points(-1, 0.3, seeded(0)),
    ],
)
def test_count_is_checked(call):
    with pytest.raises(InputError, match="count"):
        call()
