"""Noise, clutter, occluders, blur, JPEG, and the dial that scales them."""

from __future__ import annotations

import pytest
import torch

from svr_nb.conventions import InputError, pixel_centers, seeded
from svr_nb.data.natural_look import (
    blurred,
    clutter,
    jpeg,
    occluder,
    photograph,
    smooth_noise,
    solid_noise,
)

DISK = (torch.linalg.vector_norm(pixel_centers(48, 48), dim=-1) < 0.6).float()[None]


def test_noise_is_repeatable_smooth_and_in_range() -> None:
    noise = smooth_noise(40, seeded(1), channels=2)
    assert (
        noise.shape == (2, 40, 40)
        and noise.min() == 0
        and noise.max() == 1
        and torch.equal(noise, smooth_noise(40, seeded(1), channels=2))
    )
    points = torch.rand(500, 3, generator=seeded(2)) - 0.5
    values = solid_noise(points, seeded(3))
    assert (
        values.shape == (500,)
        and 0 <= values.min() <= values.max() <= 1
        and abs(values.mean() - 0.5) < 0.15
    )
    assert (values - solid_noise(points + 1e-4, seeded(3))).abs().max() < 0.02
    assert solid_noise(torch.zeros(0, 3), seeded(1)).shape == (0,)


def test_clutter_is_a_picture() -> None:
    picture = clutter(32, seeded(4))
    assert (
        picture.shape == (3, 32, 32)
        and picture.min() >= 0
        and picture.max() <= 1
        and picture.std() > 0.03
    )


def test_occluders_hide_something_but_not_too_much() -> None:
    hidden = torch.stack([(occluder(DISK, seeded(i)) * DISK).sum() / DISK.sum() for i in range(60)])
    assert hidden.max() <= 0.15 and (hidden > 0).float().mean() > 0.7
    assert occluder(torch.zeros(1, 16, 16), seeded(0)).sum() == 0
    assert (occluder(DISK, seeded(1), most=0.0)).sum() == 0


def test_blur_keeps_the_mean_and_lowers_the_contrast() -> None:
    assert torch.equal(blurred(DISK, 0), DISK)
    soft = blurred(DISK, 2.0)
    assert (
        soft.shape == DISK.shape
        and abs(soft.mean() - DISK.mean()) < 1e-3
        and soft.std() < DISK.std()
    )
    flat = torch.full((3, 9, 9), 0.3)
    assert torch.allclose(blurred(flat, 1.5), flat, atol=1e-6)


def test_jpeg_loses_more_at_lower_quality() -> None:
    picture = clutter(48, seeded(5))
    errors = [(jpeg(picture, quality) - picture).abs().mean().item() for quality in (95, 50, 5)]
    assert errors[0] < errors[1] < errors[2] < 0.2


def test_the_dial() -> None:
    drawn = DISK.expand(3, -1, -1) * 0.4
    plain, none = photograph(drawn, DISK, seeded(6), gap=0)
    assert torch.allclose(plain, drawn + 0.92 * (1 - DISK)) and none.sum() == 0
    errors = [
        (photograph(drawn, DISK, seeded(6), gap=gap)[0] - plain).abs().mean().item()
        for gap in (0.25, 0.5, 1.0)
    ]
    assert errors[0] < errors[1] < errors[2]
    for i in range(30):
        _, hiding = photograph(drawn, DISK, seeded(i), gap=1)
        assert (hiding * DISK).sum() <= 0.15 * DISK.sum()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: photograph(DISK.expand(3, -1, -1), DISK, seeded(0), gap=2),
        lambda: photograph(DISK.expand(3, -1, -1), DISK, seeded(0), gap=float("nan")),
        lambda: jpeg(torch.full((3, 8, 8), float("nan"))),
        lambda: jpeg(torch.zeros(1, 8, 8)),
        lambda: jpeg(torch.zeros(3, 8, 8), 0),
        lambda: blurred(DISK, -1),
        lambda: blurred(DISK, float("inf")),
        lambda: occluder(torch.zeros(3, 8, 8), seeded(0)),
        lambda: occluder(2 * DISK, seeded(0)),
        lambda: solid_noise(torch.zeros(4, 2), seeded(0)),
        lambda: clutter(16, seeded(0), -1),
    ],
)
def test_refusals(wrong: object) -> None:
    with pytest.raises(InputError):
        wrong()  # type: ignore[operator]
