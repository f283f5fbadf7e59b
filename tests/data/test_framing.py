"""Windows around objects: what goes in comes out again, for places and for cameras."""

from __future__ import annotations

import pytest
import torch

from svr_nb.cameras.projections import Orthographic, WeakPerspective
from svr_nb.conventions import InputError, seeded
from svr_nb.data.framing import (
    Windows,
    as_pictures,
    cut_window,
    enter_camera,
    leave_camera,
    object_windows,
)
from svr_nb.cameras.rotations import random_rotation


def windows(count: int = 5, seed: int = 0) -> Windows:
    numbers = torch.rand(count, 3, generator=seeded(seed))
    return Windows(numbers[:, :2] - 0.5, 0.2 + numbers[:, 2])


@pytest.mark.parametrize("shape", [(5, 2), (5, 7, 2), (5, 3, 4, 2)])
def test_enter_and_leave_are_inverse(shape):
    uv = torch.randn(*shape, generator=seeded(1))
    torch.testing.assert_close(windows().leave(windows().enter(uv)), uv)


def test_corners_of_the_window_are_corners_of_the_crop():
    w = Windows(torch.tensor([[0.2, -0.1]]), torch.tensor([0.3]))
    torch.testing.assert_close(
        w.enter(torch.tensor([[[0.5, 0.2], [-0.1, -0.4]]])),
        torch.tensor([[[1.0, 1.0], [-1.0, -1.0]]]),
    )


@pytest.mark.parametrize("box", [(2, 5, 1, 8), (0, 10, 3, 4), (0, 1, 0, 1)])
def test_the_box_of_a_silhouette(box):
    top, bottom, left, right = box
    mask = torch.zeros(1, 1, 10, 10)
    mask[..., top:bottom, left:right] = 1
    w = object_windows(mask, fill=1.0)
    torch.testing.assert_close(
        w.center, torch.tensor([[(left + right) / 10 - 1, (top + bottom) / 10 - 1]])
    )
    torch.testing.assert_close(w.half, torch.tensor([max(bottom - top, right - left) / 10.0]))


def test_an_empty_silhouette_gets_the_whole_picture():
    w = object_windows(torch.zeros(2, 1, 8, 8))
    assert torch.equal(w.half, torch.ones(2)) and torch.equal(w.center, torch.zeros(2, 2))


def test_the_whole_picture_is_cut_unchanged():
    picture = torch.rand(2, 3, 16, 16, generator=seeded(0))
    same = Windows(torch.zeros(2, 2), torch.ones(2))
    torch.testing.assert_close(cut_window(picture, same, 16), picture, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        cut_window(picture, same, 16, flip=torch.tensor([True, False]))[0],
        picture[0].flip(-1),
        atol=1e-5,
        rtol=0,
    )


def test_outside_is_black():
    assert (
        float(
            cut_window(
                torch.ones(1, 1, 8, 8), Windows(torch.tensor([[5.0, 0.0]]), torch.ones(1)), 8
            ).sum()
        )
        == 0
    )


def test_shrinking_averages():
    fine = (torch.arange(128) % 2).float().expand(1, 1, 128, 128)
    small = cut_window(fine, Windows(torch.zeros(1, 2), torch.ones(1)), 8)
    torch.testing.assert_close(
        small[..., 1:-1, 1:-1], torch.full((1, 1, 6, 6), 0.5), atol=0.02, rtol=0
    )


@pytest.mark.parametrize("kind", ["orthographic", "weak"])
def test_cameras_of_crops_see_crops(kind):
    rotation, w, points = (
        random_rotation(seeded(2), 5),
        windows(),
        torch.randn(5, 9, 3, generator=seeded(3)),
    )
    camera = Orthographic(rotation, torch.randn(5, 3, generator=seeded(4)), torch.full((5,), 1.5))
    if kind == "weak":
        camera = WeakPerspective(
            torch.full((5,), 1.5),
            torch.randn(5, 2, generator=seeded(4)),
            torch.randn(5, 4, generator=seeded(5)),
        )
    inside = enter_camera(camera, w)
    torch.testing.assert_close(
        inside.project(points)[..., :2],
        w.enter(camera.project(points)[..., :2]),
        atol=1e-4,
        rtol=1e-4,
    )
    torch.testing.assert_close(
        leave_camera(inside, w).project(points)[..., :2],
        camera.project(points)[..., :2],
        atol=1e-4,
        rtol=1e-4,
    )


def test_crops_have_gradients():
    picture = torch.rand(1, 1, 6, 6, dtype=torch.float64, generator=seeded(0)).requires_grad_()
    w = Windows(
        torch.tensor([[0.1, -0.2]], dtype=torch.float64), torch.tensor([0.7], dtype=torch.float64)
    )
    assert torch.autograd.gradcheck(lambda x: cut_window(x, w, 5), picture)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Windows(torch.zeros(1, 2), torch.zeros(1)),
        lambda: Windows(torch.zeros(2, 2), torch.ones(1)),
        lambda: object_windows(torch.zeros(1, 1, 8, 8), 0.0),
        lambda: object_windows(torch.zeros(1, 8, 8)),
        lambda: cut_window(torch.zeros(3, 1, 8, 8), windows(), 8),
        lambda: as_pictures(None, None, 8),
        lambda: as_pictures(torch.zeros(2, 3, 8, 8), torch.zeros(1, 1, 8, 8), 8),
    ],
)
def test_bad_arguments_are_named(bad):
    with pytest.raises(InputError):
        bad()


def test_batches_are_only_resized():
    pictures, masks, single = as_pictures(
        torch.rand(2, 3, 16, 16, generator=seeded(0)), torch.ones(2, 1, 16, 16), 8
    )
    assert pictures.shape == (2, 3, 8, 8) and masks.shape == (2, 1, 8, 8) and not single
