"""Recorded panels: positions, frames, and the page that plays them."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from svr_nb.conventions import InputError
from svr_nb.view import Button, Click, Steps, Toggles, explore
from svr_nb.view.explore_offline import axis_of, differences, grid, record, stops, thinned

pytest.importorskip("ipywidgets")


def square(level: float = 0.5, side: int = 48) -> np.ndarray:
    """A plain picture with one bright square."""
    picture = np.full((side, side), level)
    picture[4:8, 4:8] = 1
    return picture


def axes_of(panel):
    return [axis_of(name, h, panel.specs[name]) for name, h in panel.holders.items()]


def test_every_kind_of_control_becomes_an_axis():
    panel = explore(
        lambda **_: square(),
        number=(0.0, 1.0, 0.25, 0.5),
        time=Steps(4),
        word=["a", "b"],
        on=True,
        some=Toggles(["x", "y"]),
        place=Click(0.2, 0.1),
        press=Button("again"),
    )
    kinds = [axis.kind for axis in axes_of(panel)]
    assert kinds == ["slider", "steps", "menu", "switch", "toggles", "click", "button"]
    for axis in axes_of(panel):
        assert axis.values[axis.at] == panel.values[list(panel.holders)[kinds.index(axis.kind)]]


def test_thinning_keeps_ends_and_start():
    panel = explore(lambda x: square(x / 1000), x=(0, 1000, 1, 333))
    (axis,) = axes_of(panel)
    for most in (41, 17, 5):
        few = thinned(axis, most)
        assert len(few.values) == most
        assert {0, 333, 1000} <= set(few.values) and few.values[few.at] == 333
    assert stops(0, 1, 0.5, 0.2) == [0, 0.2, 0.5, 1]


@pytest.mark.parametrize("most", [96, 60, 20, 8, 3])
def test_a_grid_has_room(most: int):
    panel = explore(lambda x, y, w: square(), x=(0, 50), y=(0.0, 1.0), w=["a", "b", "c"])
    axes, keys = grid(axes_of(panel), most)
    assert len(keys) == len(set(keys)) and keys[0] == tuple(axis.at for axis in axes)
    assert len(keys) <= max(most, 1 + sum(min(len(a.values), 5) - 1 for a in axes))


def test_outside_of_the_differences_pictures_are_equal(generator):
    import torch

    before = torch.randint(0, 255, (70, 90, 3), generator=generator).numpy().astype(np.uint8)
    after = before.copy()
    after[20:31, 40:60] += 1
    after[66:, :3] += 1
    rebuilt = before.copy()
    for x0, y0, x1, y1 in differences(before, after):
        rebuilt[y0:y1, x0:x1] = after[y0:y1, x0:x1]
    assert (rebuilt == after).all()


def test_a_recording_holds_what_the_panel_draws():
    from PIL import Image

    panel = explore(lambda x: square(x / 10), x=(0, 10, 1, 5))
    data = record(panel).data
    assert len(data["keys"]) == 11 and panel.values == {"x": 5}
    import base64

    for key, number in data["keys"].items():
        frame = data["frames"][number]
        x, y, text = max(frame["patches"], key=lambda patch: len(patch[2]))
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("L"))
        assert abs(float(np.median(pixels)) - 25.5 * int(key)) < 4


def test_equal_frames_are_stored_once_and_a_failure_is_a_frame():
    def draw(x, idle):
        if x == 3:
            raise ValueError("no <such> thing")
        return square(x / 4)

    data = record(explore(draw, x=(0, 3), idle=False)).data
    assert len(data["keys"]) == 8 and len(data["frames"]) == 4
    assert [f for f in data["frames"] if isinstance(f, str)] == [
        "<p>ValueError: no &lt;such&gt; thing</p>"
    ]


def test_bytes_are_bounded_and_the_page_is_whole():
    noisy = explore(lambda seed: np.random.default_rng(seed).random((96, 96)), seed=(0, 30))
    tape = record(noisy, most_bytes=60_000, alt='a "noisy" panel')
    assert len(tape.text) <= 60_000
    assert "of 31 positions" in tape.data["note"]
    page = tape.page()
    assert "playPanel(" in page and "http" not in page.split("</style>")[0]
    assert json.loads(tape.text)["keys"] == tape.data["keys"] and "iframe" in tape._repr_html_()


def test_a_button_is_pressed_once_per_frame():
    presses = []
    panel = explore(
        lambda go: square(0.1 * len(presses)), go=Button("go", lambda: presses.append(1))
    )
    data = record(panel).data
    assert len(presses) == len(data["keys"]) - 1


def test_only_a_panel_can_be_recorded():
    with pytest.raises(InputError, match="panel"):
        record(square)
