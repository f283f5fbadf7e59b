"""Finding the object: plain walls, and pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from svr_nb.conventions import InputError, seeded
from svr_nb.data.cut_out import (
    Doubt,
    border_model,
    one_object,
    plain_background,
    say_aloud,
    without_fringe,
)
from svr_nb.shapes.images import load_image


def disc(h: int = 60, w: int = 80, radius: float = 18) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return ((y - h / 2) ** 2 + (x - w / 2) ** 2 < radius**2)[None]


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a & b).sum() / (a | b).sum())


@given(some.floats(0.1, 0.9), some.floats(0, 0.4), some.floats(0, 6.28), some.integers(0, 99))
def test_uneven_walls(level: float, slope: float, angle: float, seed: int):
    v, u = torch.meshgrid(torch.linspace(-1, 1, 60), torch.linspace(-1, 1, 80), indexing="ij")
    wall = (
        level
        + slope * 0.5 * (u * np.cos(angle) + v * np.sin(angle))
        + 0.005 * torch.randn(3, 60, 80, generator=seeded(seed))
    )
    color = 1.0 if level < 0.5 else 0.0
    truth = disc()
    image = torch.where(truth, torch.full((3, 60, 80), color), wall.float()).clamp(0, 1)
    assert overlap(plain_background(image), truth) > 0.93


def test_the_model_is_exact_on_a_plane():
    v, u = torch.meshgrid(torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 50), indexing="ij")
    wall = torch.stack([0.5 + 0.1 * u, 0.4 - 0.2 * v, 0.3 + 0.1 * u + 0.05 * v])
    model, agreement = border_model(torch.where(disc(40, 50, 10), torch.zeros(3, 1, 1), wall))
    assert agreement == 1 and torch.allclose(model, wall, atol=1e-4)


def test_objects_that_touch_the_frame():
    image = torch.full((3, 60, 80), 0.8)
    image[:, 20:60, 30:45] = 0.1
    assert overlap(plain_background(image), image[:1] < 0.5) > 0.95


def test_holes_and_enclosed_colours():
    image = torch.where(disc() & ~disc(radius=8), torch.tensor(0.2), torch.tensor(0.9)).expand(
        3, -1, -1
    )
    assert (
        not plain_background(image)[0, 30, 40] and plain_background(image, holes=False)[0, 30, 40]
    )


@pytest.mark.parametrize(
    "image",
    [
        torch.rand(3, 40, 40, generator=seeded(0)),
        torch.full((3, 40, 40), 0.5),
        torch.eye(40).expand(3, -1, -1),
    ],
)
def test_pictures_without_a_plain_wall_or_object(image: torch.Tensor):
    if float(image.std()) in (0.0,) or float(image.mean()) > 0.4:
        with pytest.raises(InputError, match="^bird.jpg: expected .*mask"):
            plain_background(image, name="bird.jpg")


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(1, 9, 9),
        torch.full((3, 9, 9), float("nan")),
        torch.full((3, 9, 9), 2.0),
        "picture",
        torch.zeros(3, 0, 4),
    ],
)
def test_wrong_pictures(wrong):
    with pytest.raises(InputError, match="image"):
        plain_background(wrong)
    with pytest.raises(InputError, match="tolerance"):
        plain_background(torch.rand(3, 9, 9, generator=seeded(1)), tolerance=float("nan"))


def test_no_rim_of_the_background():
    from torch.nn.functional import avg_pool2d

    coverage = avg_pool2d(disc(240, 320, 72).float()[None], 4)[0]
    image = coverage * torch.tensor([0.8, 0.1, 0.1])[:, None, None] + (1 - coverage)
    mask = coverage > 0.5
    assert (
        float((image * mask)[1].max()) > 0.3
        and float((without_fringe(image, mask) * mask)[1].max()) < 0.11
    )
    lines = torch.zeros(1, 60, 80, dtype=torch.bool)
    lines[:, 30] = True
    assert torch.equal(without_fringe(image, lines), image)


def test_pieces():
    mask = torch.zeros(1, 30, 40, dtype=torch.bool)
    mask[:, 2:12, 2:12] = mask[:, 15:29, 15:30] = True
    mask[:, 12, 12] = True  # joined by a corner
    big, notes = one_object(mask)
    assert int(big.sum()) == 14 * 15 and "largest of 2" in notes[0]
    assert (
        torch.equal(one_object(mask, keep="all")[0], mask) and one_object(mask, keep="all")[1] == []
    )
    with pytest.raises(InputError, match="empty"):
        one_object(torch.zeros(1, 5, 5, dtype=torch.bool))
    with pytest.raises(InputError, match="keep"):
        one_object(mask, keep="smallest")


def test_real_renderings(shared_data: Path):
    for path in (shared_data / "shapenet_derived").glob("renderings/*/*.jpg"):
        mask = plain_background(load_image(path)[0])
        assert 0.05 < float(mask.float().mean()) < 0.7
    clear = shared_data / "photos" / "cutouts" / "hamburger.png"
    rgb, alpha = load_image(clear)
    on_white = rgb * alpha + (1 - alpha)
    assert overlap(plain_background(on_white, holes=False), alpha > 0.5) > 0.9


def test_doubts_are_heard_at_the_line_that_asked():
    with pytest.warns(UserWarning) as heard:
        say_aloud([Doubt(f"doubt {number}") for number in range(7)], most=3)
    said = [str(warning.message) for warning in heard]
    assert said == ["doubt 0", "doubt 1", "doubt 2", "4 more of this kind"]
    assert {warning.filename for warning in heard} == {__file__}
