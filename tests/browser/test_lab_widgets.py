"""Notebooks in JupyterLab: every cell runs, a slider moved by keys changes a picture, nothing asks
another machine.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import SLIDER, Lab, reason_to_skip  # noqa: E402

NOTEBOOKS = Path(__file__).resolve().parents[2] / "nbs"
CHOSEN = ["index.ipynb", "ssl3d/141_cycle_consistency.ipynb", "76_widgets.ipynb"]
pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "can run")


@pytest.mark.parametrize("name", CHOSEN)
def test_notebook_is_alive_in_the_lab(name):
    path = NOTEBOOKS / name
    if not path.exists():
        pytest.skip(f"{name} is not here")
    with Lab(path) as lab:
        cells = lab.run_all()
        assert not [error for cell in cells for error in cell["errors"]]
        assert all(cell["count"] for cell in cells), "every cell ran"
        assert lab.show_cell("explore(") or name == "index.ipynb"
        if lab.page.locator(SLIDER).count():
            shown = lab.pictures()
            low, high = lab.press(0, "ArrowRight")
            if low == high:
                low, high = lab.press(0, "ArrowLeft")  # it stood at its upper end
            assert low != high, "the slider moved"
            assert lab.pictures() != shown, "and the picture followed"
        else:
            assert name == "index.ipynb", "a component notebook has sliders"
        assert not lab.outside
