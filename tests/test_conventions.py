"""Conventions: frames, errors, checked arguments, seeds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from svr_nb.conventions import (
    FRAMES,
    InputError,
    SvrError,
    check_choice,
    check_number,
    check_tensor,
    describe,
    frame_matrix,
    pick_device,
    pixel_centers,
    rand,
    refuse,
    seeded,
)


@pytest.mark.parametrize("height,width", [(1, 1), (2, 4), (5, 3)])
def test_pixel_centers_agree_with_grid_sample(height, width):
    """Sampling an image at its own pixel centres gives the image back."""
    image = rand(1, 1, height, width, generator=seeded(1))
    again = torch.nn.functional.grid_sample(
        image, pixel_centers(height, width)[None], align_corners=False
    )
    torch.testing.assert_close(again, image)


def test_frames_are_rotations_and_invert():
    for source in FRAMES:
        for target in FRAMES:
            matrix = frame_matrix(source, target)
            torch.testing.assert_close(matrix @ frame_matrix(target, source), torch.eye(3))
            assert torch.linalg.det(matrix) > 0


def test_unknown_frame_is_refused():
    with pytest.raises(InputError, match="source.*blender"):
        frame_matrix("blender")


@given(st.integers(0, 2**31), st.integers(0, 2**31))
def test_seeds_repeat_and_differ(a, b):
    draw = lambda *numbers: torch.rand(4, generator=seeded(*numbers))
    assert torch.equal(draw(a, b), draw(a, b))
    assert a == b or not torch.equal(draw(a, b), draw(b, a))


def test_seeding_leaves_the_global_state_alone():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    rand(5, generator=seeded(1, 2))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    "bad",
    [
        torch.zeros(3, 2),
        torch.zeros(3),
        torch.full((3, 3), torch.nan),
        torch.full((3, 3), torch.inf),
        torch.zeros(0, 3),
        "abc",
        None,
        [[1, 2], [3]],
        np.array(["a"]),
        torch.zeros(2, 3, dtype=torch.complex64),
        {"a": 1},
    ],
)
def test_bad_tensors_name_the_argument(bad):
    with pytest.raises(InputError, match="^points: expected"):
        check_tensor(bad, "points", "n 3")


@pytest.mark.parametrize(
    "shape,pattern,fits",
    [
        ((2, 3), "n 3", True),
        ((2, 2), "n n", True),
        ((2, 3), "n n", False),
        ((7, 2, 3), "... n 3", True),
        ((2, 3), "... n 3", True),
        ((3,), "... n 3", False),
        ((4, 4, 4), "d d d", True),
        ((4, 4, 3), "d d d", False),
    ],
)
def test_shape_patterns(shape, pattern, fits):
    if fits:
        assert check_tensor(torch.zeros(shape), "x", pattern).shape == shape
    else:
        with pytest.raises(InputError):
            check_tensor(torch.zeros(shape), "x", pattern)


def test_integers_and_ranges():
    assert check_tensor(np.arange(3), "faces", "f", integer=True).dtype == torch.int64
    with pytest.raises(InputError):
        check_tensor(torch.zeros(3), "faces", "f", integer=True)
    with pytest.raises(InputError, match=r"\[0, 2\]"):
        check_tensor(torch.tensor([0.0, 2.0]), "mask", "n", low=0, high=1)
    assert check_tensor(torch.zeros(0, 3), "points", "n 3", empty=True).shape == (0, 3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "3", None, True, 11, -1])
def test_bad_numbers(bad):
    with pytest.raises(InputError, match="^size"):
        check_number(bad, "size", 0, 10)
    with pytest.raises(InputError):
        check_number(2.5, "size", 0, 10, integer=True)


def test_choices_are_listed():
    assert check_choice("a", "mode", ["a", "b"]) == "a"
    with pytest.raises(InputError, match="one of a, b"):
        check_choice("c", "mode", ["a", "b"])


def test_messages_say_all_four_things():
    error = refuse("mask", "a mask", describe(torch.zeros(2, dtype=torch.uint8)), "Paint one")
    assert str(error) == "mask: expected a mask, got a uint8 tensor of shape (2,). Paint one."
    assert isinstance(error, SvrError) and len(describe("x" * 500)) < 80


def test_devices(monkeypatch):
    monkeypatch.setenv("SVR_DEVICE", "cpu")
    assert pick_device().type == "cpu"
    with pytest.raises(InputError):
        pick_device("warp:3")
