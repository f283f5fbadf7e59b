"""Notebooks in JupyterLab: every cell runs without a red box, three controls that are moved by keys
and by the mouse change a picture, a brush paints, nothing asks another machine.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import Lab, reason_to_skip  # noqa: E402

NOTEBOOKS = Path(__file__).resolve().parents[2] / "nbs"
CHOSEN = ["index", "ssl3d.cycle_consistency", "view.explore"]
pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "can run")


def notebook(name: str) -> Path:
    """The notebook of a name such as "ssl3d.cycle_consistency", whatever its number."""
    if name == "index":
        return NOTEBOOKS / "index.ipynb"
    part, _, module = name.partition(".")
    (path,) = (NOTEBOOKS / part).glob(f"[0-9]*_{module}.ipynb")
    return path


def no_errors(cells: list[dict]) -> bool:
    """Whether every cell ran, and none complained."""
    return all(cell["count"] and not cell["errors"] for cell in cells)


def three_controls(lab: Lab) -> list[tuple[str, int]]:
    """The first switch and the first menu, as far as there are any, and sliders for the rest."""
    others = [(kind, 0) for kind in ("switch", "menu") if lab.count(kind)]
    return [("slider", index) for index in range(3 - len(others))] + others


@pytest.mark.parametrize("name", CHOSEN)
def test_notebook_is_alive_in_the_lab(name):
    with Lab(notebook(name)) as lab:
        assert no_errors(lab.run_all())
        for kind, index in three_controls(lab):
            assert lab.move(kind, index), f"a picture followed {kind} {index}"
        assert lab.red_boxes() == []
        assert not lab.outside


NO_GOOD = """
import warnings
import torch
from svr_nb.view import explore
warnings.warn("a red box")
explore(lambda still: torch.zeros(3, 64, 64), still=(0, 9))
"""


def test_a_stroke_of_the_brush_reaches_the_kernel():
    with Lab(notebook("view.mask_painter")) as lab:
        cells = lab.run_all()
        assert no_errors(cells)
        assert lab.show_cell("paint_mask(item")
        canvas = lab.page.get_by_label("paint over the object").first
        canvas.scroll_into_view_if_needed()
        lab.page.get_by_role("button", name="clear", exact=True).first.click()
        lab.page.wait_for_timeout(500)
        box = canvas.bounding_box()
        scale = box["width"] / 256  # the photograph has 256 pixels a side
        lab.page.mouse.move(box["x"] + 20 * scale, box["y"] + 20 * scale)
        lab.page.mouse.down()
        lab.page.mouse.move(box["x"] + 60 * scale, box["y"] + 20 * scale, steps=5)
        lab.page.mouse.up()
        lab.wait_idle(1.0)
        asked = "assert 0 < int(painter.mask.sum()) < 3000 and painter.mask[0, 21, 40] == 1"
        assert lab.ask(asked) == [], "a short stroke near the corner, and nothing else"
        assert not lab.outside
        assert lab.red_boxes() == []
        sliders = lab.count("slider")
        lab.run_more(NO_GOOD)
        assert not lab.move("slider", sliders), "a picture that stays is seen to stay"
        (said,) = lab.red_boxes()
        assert "a red box" in said
