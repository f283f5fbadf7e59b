"""Every notebook is run in a kernel as a reader would run it: no error, no warning in a red box; and
each control of each live panel is moved, and the picture must follow.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
LIVE = re.compile(r"\b(explore|side_by_side|image_click)\(")
RECORD = """
import importlib as _importlib
_widgets = _importlib.import_module("svr_nb.view.explore")  # the part holds a function of that name
_made, _first = [], _widgets.Explorer.__init__
def _recording(self, *given, **named):
    _first(self, *given, **named); _made.append(self)
_widgets.Explorer.__init__ = _recording
"""
DRIVE = """
import json as _json
def _others(holder):
    if hasattr(holder, "_options_values"): return [o for o in holder._options_values if o is not None and o != holder.value][:2]
    if isinstance(holder.value, bool): return [not holder.value]
    if hasattr(holder, "min"): return [v for v in (holder.max, holder.min) if v != holder.value]
    if isinstance(holder.value, tuple) and len(holder.value) == 2 and all(isinstance(v, float) for v in holder.value): return [(0.3, -0.2), (-0.4, 0.1)]
    if isinstance(holder.value, tuple) and holder.value and all(isinstance(v, str) for v in holder.value): return [holder.value[1:], holder.value[:1]]   # switches
    if isinstance(holder.value, dict): return [{name: not on for name, on in holder.value.items()}]
    return [holder.value + 1] if isinstance(holder.value, int) else []
_report = []
for _panel in list(_made):
    _line = dict(controls=len(_panel.holders), changed=0, errors=[], milliseconds=[])
    for _name, _holder in _panel.holders.items():
        for _value in _others(_holder):
            _before, _holder.value = _panel.picture, _value
            _line["milliseconds"].append(_panel.milliseconds)
            if _panel.error is not None: _line["errors"].append(f"{_name}={_value!r}: {type(_panel.error).__name__}: {_panel.error}")
            _line["changed"] += _panel.picture != _before
    _report.append(_line)
print("REPORT" + _json.dumps(_report))
"""


# The notebook of the panels defines them itself, so nothing can be recorded there; tests/view and
# the browser drive it.
UNRECORDED = {"256_explore"}
NOTEBOOKS = sorted(
    path
    for path in (ROOT / "nbs").rglob("*.ipynb")
    if not any(piece.startswith((".", "_")) for piece in path.relative_to(ROOT).parts)
)
LEFT_TO_OTHERS = re.compile(r"^#\|\s*(slow|cuda|eval: false)", re.M)
# What a reader would see in a red box; the kernel's own remark about its transport is none of ours.
WARNING = re.compile(r"^.*\w*Warning\b.*$", re.M)


def run(path: Path) -> nbformat.NotebookNode:
    """A notebook after a run in a kernel that also moves every control of every panel."""
    from nbclient import NotebookClient

    book = nbformat.read(path, as_version=4)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    cells = [cell for cell in cells if not LEFT_TO_OTHERS.search(cell.source)]
    if path.stem not in UNRECORDED:
        first, last = nbformat.v4.new_code_cell(RECORD), nbformat.v4.new_code_cell(DRIVE)
        cells = [first, *cells, last]
    book.cells = cells
    where = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        book, timeout=300, kernel_name="python3", store_widget_state=False, resources=where
    )
    client.execute()
    return book


def printed(book: nbformat.NotebookNode, name: str) -> str:
    """What all cells wrote to a stream."""
    outputs = [output for cell in book.cells for output in cell.outputs]
    return "".join(o["text"] for o in outputs if o.output_type == "stream" and o["name"] == name)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs_without_a_warning_and_panels_follow(path: Path):
    book = run(path)
    said = printed(book, "stderr")
    warned = WARNING.search(said)
    assert not warned, f"a warning in the notebook: {said[warned.start() :][:500]}"
    if path.stem in UNRECORDED:
        return
    panels = json.loads(printed(book, "stdout").rsplit("REPORT", 1)[1].splitlines()[0])
    assert panels or not LIVE.search(path.read_text(encoding="utf-8")), (
        "promises a panel, made none"
    )
    for number, panel in enumerate(panels):
        assert not panel["errors"], f"panel {number}: {panel['errors']}"
        assert panel["changed"], f"panel {number}: nothing changed, whatever was moved"
