"""Live pictures driven from Python: controls, errors, clicks, speed, and what stays when no kernel
runs.
"""

from __future__ import annotations

import base64
import io
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("ipywidgets")

from svr_nb.conventions import InputError, SvrError  # noqa: E402
from svr_nb.view.pictures import to_pixels  # noqa: E402

# noqa: E402
from svr_nb.view.explore import Button, Click, Steps, Toggles, explore, image_click, side_by_side


def grey(value: float = 0.5, **_: object) -> torch.Tensor:
    return torch.full((1, 8, 8), float(value))


def shade(explorer) -> int:
    return int(to_pixels(explorer.picture)[4, 4, 0])


@pytest.mark.parametrize(
    "spec, first, other",
    [
        ((0, 10), 0, 7),
        ((0, 10, 2, 4), 4, 8),
        ((0.0, 1.0), 0.0, 0.5),
        ((0.0, 1.0, 0.1, 0.3), 0.3, 0.9),
        (["a", "b"], "a", "b"),
        ({"one": 1, "two": 2}, 1, 2),
        (True, True, False),
        (Steps(5, 2), 2, 4),
        (Toggles(["m", "p"]), ("m", "p"), ("p",)),
        (Toggles(["m", "p"], ["m"]), ("m",), ()),
        (Button(), 0, 3),
        (Click(0.1, 0.2), (0.1, 0.2), (-0.5, 0.5)),
    ],
)
def test_every_control(spec, first, other):
    seen = []
    explorer = explore(lambda x: seen.append(x) or grey(), x=spec)
    assert seen == [first] and explorer.set(x=other).values == {"x": other}
    assert seen == [first, other], "one move draws once"


def test_a_widget_may_be_its_own_control():
    import ipywidgets

    own = ipywidgets.IntSlider(3, 0, 9)
    assert explore(grey, value=own).values == {"value": 3}


@pytest.mark.parametrize(
    "bad",
    [
        "wide",
        (1,),
        (1, 0),
        (0, 1, 0),
        (0, 1, 1, 5),
        (0, 1, 1, 1, 1),
        (0, "a"),
        [],
        {},
        None,
        3,
        Steps(1),
        Toggles([]),
        Toggles(["a"], ["b"]),
        (True, False),
        (float("nan"), 1.0),
    ],
)
def test_bad_descriptions_name_the_control(bad):
    with pytest.raises(InputError):
        explore(grey, value=bad)


@pytest.mark.parametrize(
    "move", [{"value": 11}, {"value": "x"}, {"other": 1}, {"kind": "c"}, {"value": 3, "kind": "c"}]
)
def test_bad_moves_are_refused_and_change_nothing(move):
    explorer = explore(grey, value=(0, 10), kind=["a", "b"])
    before = (explorer.values, explorer.picture)
    with pytest.raises(InputError):
        explorer.set(**move)
    assert (explorer.values, explorer.picture) == before


def test_the_picture_follows_the_control_in_the_page():
    explorer = explore(grey, value=(0.0, 1.0))
    assert shade(explorer) == 0
    explorer.holders["value"].value = 1.0
    assert shade(explorer) == 255 and explorer.page.image.value == explorer.picture


def test_errors_are_shown_in_the_page_and_raised_in_python():
    explorer = explore(lambda x: grey(1 / x), x=(0, 2, 1, 1))
    explorer.holders["x"].value = 0
    assert (
        isinstance(explorer.error, ZeroDivisionError)
        and "division by zero" in explorer.page.line.value
    )
    explorer.holders["x"].value = 2
    assert explorer.error is None and explorer.page.line.value == ""
    with pytest.raises(ZeroDivisionError):
        explorer.set(x=0)
    with pytest.raises(ZeroDivisionError):
        explore(lambda x: grey(1 / x), x=(0, 2))
    with pytest.raises(InputError):
        explore(lambda x: "a page" if x else 3, x=(0, 2))


def test_error_text_is_not_markup():
    def draw(x):
        raise ValueError("<img src=x>") if x else 0

    explorer = explore(lambda x: draw(x) if x else grey(), x=(0, 1))
    explorer.holders["x"].value = 1
    assert "<img" not in explorer.page.line.value


@pytest.mark.parametrize(
    "result",
    [np.zeros((4, 4)), torch.zeros(3, 4, 4), {"a": torch.zeros(1, 4, 4), "b": torch.ones(3, 6, 6)}],
)
def test_every_kind_of_picture(result):
    assert Image.open(io.BytesIO(explore(lambda x: result, x=(0, 1)).picture)).format == "PNG"


def test_shapes_and_pages():
    from svr_nb.shapes.mesh import box
    from svr_nb.shapes.points import PointCloud

    assert len(explore(lambda x: box(size=(0.2, 0.2, 0.2)), x=(0, 1)).picture) > 100
    assert len(explore(lambda x: PointCloud(torch.zeros(1, 3)), x=(0, 1)).picture) > 100
    page = explore(lambda x: f"<b>{x}</b>", x=(0, 3))
    assert (
        page.set(x=2).picture == "<b>2</b>" == page.page.text.value
        and page._repr_mimebundle_()["text/html"] == "<b>2</b>"
    )


def test_figures_do_not_pile_up():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    explorer = explore(lambda x: plt.figure(figsize=(1, 1)) and None, x=(0, 9))
    also = explore(lambda x: plt.subplots(figsize=(1, 1))[1], x=(0, 9))
    for x in range(5):
        explorer.set(x=x), also.set(x=x)
    assert plt.get_fignums() == before


def test_buttons_act():
    pressed = []
    explorer = explore(lambda go: grey(go / 10), go=Button("go", lambda: pressed.append(1)))
    button = explorer.page.everything.children[0].children[0]
    button.click(), button.click()
    assert pressed == [1, 1] and explorer.values == {"go": 2} and button.description == "go"


def test_switches_in_the_page():
    seen = []
    explorer = explore(lambda on: seen.append(on) or grey(), on=Toggles(["a", "b", "c"]))
    explorer.page.everything.children[0].children[0].children[1].value = False
    assert explorer.values == {"on": ("a", "c")} and seen == [("a", "b", "c"), ("a", "c")]


def test_clicks_find_the_right_picture():
    pytest.importorskip("anywidget")
    explorer = explore(
        lambda at: {"left": grey(), "right": grey()}, least_side=8, at=Click(on="right")
    )
    (_, *_), (label, left, top, width, height) = explorer.drawn.boxes
    w, h = explorer.drawn.size
    explorer.click((left + width / 4) / w, (top + height / 2) / h)
    assert label == "right" and explorer.values["at"] == pytest.approx((-0.5, 0.0))
    for x, y in ((0.1, 0.7), (0.5, 0.0)):  # another picture, a label
        explorer.click(x, y)
        assert explorer.values["at"] == pytest.approx((-0.5, 0.0))
    explorer.page.image.place = [(left + width * 0.75) / w, (top + height / 2) / h]
    assert explorer.values["at"] == pytest.approx((0.5, 0.0))


def test_image_click_hands_over_the_place():
    pytest.importorskip("anywidget")
    seen = []
    explorer = image_click(
        grey(), lambda u, v, k: seen.append((u, v, k)) or grey(), start=(0.5, -0.5), k=(0, 3)
    )
    assert seen == [(0.5, -0.5, 0)] and [box[0] for box in explorer.drawn.boxes] == [
        "click here",
        "result",
    ]


def test_side_by_side():
    explorer = side_by_side(
        lambda a, b: grey(a * b), {"half": {"b": 0.5}, "whole": {"b": 1.0}}, a=(0.0, 1.0, 0.1, 1.0)
    )
    assert [box[0] for box in explorer.drawn.boxes] == ["half", "whole"]
    with pytest.raises(InputError):
        side_by_side(grey, {}, value=(0, 1))


def test_what_stays_without_a_kernel():
    explorer = explore(grey, value=(0.0, 1.0))
    bundle = explorer._repr_mimebundle_()
    assert (
        base64.b64decode(bundle["image/png"]) == explorer.picture
        and bundle["text/plain"] == "Explorer(value=0.0)"
    )
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_a_move_takes_less_than_a_tenth_of_a_second():
    explorer = explore(
        lambda x: torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(x)), x=(0, 100)
    )
    times = []
    for x in range(15):
        start = time.perf_counter()
        explorer.set(x=x)
        times.append(time.perf_counter() - start)
    assert sorted(times)[7] < 0.1


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(SvrError, match="ipywidgets.*pip install"):
        explore(grey, value=(0, 1))
