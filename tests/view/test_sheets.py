"""Sheets: every form becomes the same table, pictures keep their pixels, names stand where they
should.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from svr_nb.conventions import InputError
from svr_nb.view.pictures import to_pixels
from svr_nb.view.sheets import ColorBar, broken, fitted, letters, sheet, to_table

RED = torch.tensor([1.0, 0, 0])[:, None, None].expand(3, 10, 10)
BLUE = torch.tensor([0, 0, 1.0])[:, None, None].expand(3, 10, 10)


def test_all_forms_of_a_sheet_agree():
    rows = [[RED, BLUE], [BLUE, RED]]
    named = {"a": {"x": RED, "y": BLUE}, "b": {"x": BLUE, "y": RED}}
    batch = torch.stack([torch.stack(row) for row in rows])
    one = np.asarray(sheet(named))
    assert np.array_equal(one, np.asarray(sheet(rows, ["a", "b"], ["x", "y"])))
    assert np.array_equal(one, np.asarray(sheet(batch, ["a", "b"], ["x", "y"])))
    assert not np.array_equal(one, np.asarray(sheet(rows)))


def test_pictures_stand_in_their_places():
    pixels = np.asarray(sheet([[RED, BLUE], [None, RED]], size=100))
    half = [side // 2 for side in pixels.shape[:2]]
    corners = [pixels[y, x].tolist() for y in (half[0] - 20, -20) for x in (20, -20)]
    assert corners == [[255, 0, 0], [0, 0, 255], [255, 255, 255], [255, 0, 0]]


@pytest.mark.parametrize("side", [7, 64, 150, 151, 299, 300, 640])
def test_nothing_is_smaller_than_asked(side):
    image = fitted(torch.rand(side, side // 2 + 1), 300)
    assert 300 <= max(image.size) <= max(450, side)
    if side <= 100:
        assert len(np.unique(np.asarray(image)[..., 0])) <= side * (side // 2 + 1)


def test_captions_where_rows_do_not_share_names():
    table = to_table({"a": {"x": RED}, "b": {"y": BLUE}}, (), (), 0)
    assert not table.columns and table.captions == [["x"], ["y"]]
    assert to_table([RED] * 5, (), "abcde", 2).captions[-1] == ["e"]


def test_lines_fit_their_width():
    text = "a long name of a column that does not fit at all"
    lines = broken(text, 120, 16)
    assert " ".join(lines) == text and len(lines) > 2
    assert all(letters(16).getlength(line) <= 120 for line in lines)


@pytest.mark.parametrize("name", ["true, 69 degrees on", "with: 90 degrees on", "one", "a b" * 20])
def test_no_name_of_a_row_is_cut_off(name):
    pixels = np.asarray(sheet([[RED], [BLUE]], [name, "x"]))
    assert (pixels[:, :2] == 255).all(), "some white to the left of every name"
    assert (pixels[:, :60] < 128).any(), "and the name itself is there"


def test_a_sheet_is_a_picture_and_stays_small():
    made = sheet(torch.rand(6, 3, 400, 400), wrap=3, columns="abcdef")
    assert np.array_equal(to_pixels(made), np.asarray(made))
    assert made.png[1:4] == b"PNG" and len(made.png) < made.image.width * made.image.height
    assert made.tensor.shape == (3, *np.asarray(made).shape[:2])


def test_legend_and_bar_add_their_colours():
    plain = sheet([RED])
    full = sheet([RED], legend={"part": "lime"}, bar=(0, 1, "quantity", "magma"), title="Title")
    assert np.asarray(full).shape[0] > np.asarray(plain).shape[0] + 80
    assert (np.asarray(full).reshape(-1, 3) == [0, 255, 0]).all(1).any()
    assert np.array_equal(
        np.asarray(sheet([RED], bar=ColorBar(0, 1))), np.asarray(sheet([RED], bar=(0, 1)))
    )


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: sheet([]),
        lambda: sheet({}),
        lambda: sheet([torch.zeros(2, 8, 8)]),
        lambda: sheet([RED, RED], columns=["one"]),
        lambda: sheet([RED], legend={"part": (3, 0, 0)}),
        lambda: sheet([RED], bar=(0, 1, "", "none")),
        lambda: sheet([RED], size=2),
    ],
)
def test_what_makes_no_sheet_is_refused(wrong):
    with pytest.raises(InputError):
        wrong()
