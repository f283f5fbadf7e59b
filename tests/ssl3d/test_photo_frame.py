"""Sizes of silhouettes, and pictures of any kind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from PIL import Image

from svr_nb.conventions import SvrError
from svr_nb.data.framing import as_pictures
from svr_nb.ssl3d.photo_frame import extents, reframe


def box(top, left, height, width, size=32):
    mask = torch.zeros(1, 1, size, size)
    mask[..., top : top + height, left : left + width] = 1
    return mask


@given(st.integers(0, 10), st.integers(0, 10), st.integers(1, 20), st.integers(1, 20))
def test_extents_of_boxes(top, left, height, width):
    assert extents(box(top, left, height, width)).item() == pytest.approx(max(height, width) / 32)


def test_empty_is_zero():
    assert extents(torch.zeros(2, 1, 8, 8)).tolist() == [0, 0]


def test_reframe_leaves_small_ones_alone():
    image, mask = torch.rand(1, 3, 32, 32), box(8, 8, 12, 12)
    assert all(torch.equal(a, b) for a, b in zip(reframe(image, mask, 0.5), (image, mask)))


def test_reframe_shrinks_and_centres():
    mask = box(0, 2, 30, 20)
    image, small = reframe(torch.rand(1, 3, 32, 32) * mask, mask, 0.5)
    rows = small[0, 0].amax(1).nonzero()
    assert (
        extents(small).item() == pytest.approx(0.5, abs=0.07)
        and abs(float(rows.float().mean()) - 15.5) < 1.1
        and image.max() <= 1
    )


def test_only_the_large_one_of_a_batch_moves():
    mask = torch.cat([box(0, 0, 32, 32), box(10, 10, 6, 6)])
    image, after = reframe(mask.expand(-1, 3, -1, -1), mask, 0.5)
    assert (
        torch.equal(after[1], mask[1])
        and torch.equal(image[1], mask[1].expand(3, -1, -1))
        and extents(after)[0] < 0.6
    )


@pytest.mark.parametrize("form", ["tensor", "array", "pil", "rgba", "batch"])
def test_every_form(form):
    image, mask = torch.rand(3, 40, 40), box(10, 6, 20, 28, 40)[0]
    array = (image.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    alpha = (mask[0].numpy() * 255).astype(np.uint8)[..., None]
    given = {
        "tensor": (image, mask),
        "array": (array, mask),
        "pil": (Image.fromarray(array), mask),
        "batch": (image[None], mask[None]),
        "rgba": (Image.fromarray(np.concatenate([array, alpha], -1)), None),
    }[form]
    picture, silhouette, single = as_pictures(*given, 24)
    assert (
        picture.shape == (1, 3, 24, 24)
        and silhouette.shape == (1, 1, 24, 24)
        and single == (form != "batch")
        and silhouette.sum() > 50
    )


@pytest.mark.parametrize(
    "bad",
    [
        (None, None),
        (torch.zeros(3, 0, 0), torch.ones(1, 8, 8)),
        (torch.full((3, 8, 8), float("nan")), torch.ones(1, 8, 8)),
        (torch.zeros(2, 3, 8, 8), torch.ones(1, 1, 8, 8)),
        ("nowhere.png", None),
        (torch.zeros(5, 8, 8), torch.ones(1, 8, 8)),
    ],
)
def test_refuses(bad):
    with pytest.raises(SvrError):
        as_pictures(*bad, 16)
