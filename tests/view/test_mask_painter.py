"""A photograph with a brush: what is painted is the mask."""

from __future__ import annotations

import pytest
import torch

from svr_nb.conventions import FileError, InputError, rand, seeded
from svr_nb.view.mask_painter import layer_mask, mask_layer, paint_mask
from svr_nb.view.pictures import to_png

IMAGE = rand(3, 20, 30, generator=seeded(1))
MASK = torch.zeros(1, 20, 30)
MASK[:, 4:12, 5:25] = 1


def test_a_mask_survives_the_way_there_and_back() -> None:
    assert torch.equal(layer_mask(mask_layer(MASK), 20, 30), MASK)


def test_a_layer_of_another_size_is_scaled() -> None:
    large = layer_mask(mask_layer(MASK), 40, 60)
    assert large.shape == (1, 40, 60) and set(large.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(large[:, 8:24, 10:50], torch.ones(1, 16, 40))
    assert large.mean() == MASK.mean()


def test_what_was_given_can_be_read_back() -> None:
    painter = paint_mask(IMAGE, MASK)
    assert torch.allclose(painter.photograph, IMAGE, atol=1e-2)
    assert torch.equal(painter.mask, MASK)


def test_a_dropped_photograph_begins_without_a_mask() -> None:
    painter = paint_mask(IMAGE, MASK)
    painter.brush.photo = to_png(torch.zeros(3, 8, 9))
    assert painter.photograph.shape == (3, 8, 9)
    with pytest.raises(InputError, match="nothing painted"):
        print(painter.mask)


def test_nothing_there_is_said() -> None:
    with pytest.raises(InputError, match="Drop one"):
        print(paint_mask().photograph)
    with pytest.raises(InputError, match="nothing painted"):
        print(paint_mask(IMAGE).mask)


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(FileError):
        paint_mask("nothing_of_that_name.jpg")
    with pytest.raises(InputError, match="mask"):
        paint_mask(IMAGE, MASK[:, :10])
    with pytest.raises(InputError, match="mask"):
        paint_mask(IMAGE, MASK * 7)


def test_readers_without_a_kernel_see_a_picture() -> None:
    shown = paint_mask(IMAGE, MASK)._repr_mimebundle_()
    assert shown["image/png"][:4] == b"\x89PNG" and shown["text/plain"]
    assert any("widget-view" in kind for kind in shown)


def test_what_the_page_sends_is_heard() -> None:
    painter = paint_mask(IMAGE)
    painter.heard(painter.brush, {"kind": "drawn"}, [memoryview(mask_layer(MASK))])
    assert torch.equal(painter.mask, MASK)
    painter.heard(painter.brush, {"kind": "photo"}, [memoryview(to_png(torch.zeros(3, 8, 9)))])
    assert painter.photograph.shape == (3, 8, 9)
    painter.heard(painter.brush, {"kind": "layout"}, [memoryview(b"x")])
    painter.heard(painter.brush, {}, [])
    assert painter.photograph.shape == (3, 8, 9)
