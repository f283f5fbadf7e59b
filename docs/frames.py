"""Records the live panels of notebooks, so that the site can play them without a kernel.

python docs/frames.py               records every notebook whose recording is missing or old
python docs/frames.py NOTEBOOK ...  these notebooks only, in this order
python docs/frames.py --first       the six components, the tour and the lessons only
python docs/frames.py --list        says what is recorded, missing and old
python docs/frames.py --commit      packs the recordings of the six components into docs/recordings
python docs/frames.py --jobs 4      four notebooks at a time
python docs/frames.py --seconds 180 time for drawing one panel; a slow panel gets fewer frames

Each notebook is run once, in a kernel of its own; its panels are then drawn for a grid over their
controls (`svr_nb.view.explore_offline`). The result is one file per notebook under _frames/, which
is not committed, except for the six components (docs/recordings): a fresh clone has sliders that
move. A recording names the code it was made from: the notebook's cells, and every module of the
library that they reach. So it can be stopped at any time and goes on later; notebooks without a
recording come before those with an old one.
"""

from __future__ import annotations

import argparse
import ast
import functools
import gzip
import hashlib
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".ci"))
FRAMES = ROOT / "_frames"
COMMITTED = ROOT / "docs" / "recordings"
# A page weighs 3 MB at most, with all that it loads; this is left beside its text and pictures.
PAGE_BYTES, PANEL_BYTES, PANEL_FRAMES, PANEL_SECONDS = 1_900_000, 700_000, 96, 60
LIVE = ("explore(", "side_by_side(", "image_click(")
FIRST = """
_panels_for_the_site = []
def _collect_panels(made):
    import importlib
    made.append((get_ipython().execution_count, None))  # how this cell counts itself
    module = importlib.import_module("svr_nb.view.explore")
    first = module.Explorer.__init__
    def collecting(self, *given, **named):
        first(self, *given, **named)
        made.append((get_ipython().execution_count, self))
    module.Explorer.__init__ = collecting
_collect_panels(_panels_for_the_site)
"""
LAST = """
def _record_panels(made, place, page_bytes, panel_bytes, frames, seconds):
    import json, time
    from pathlib import Path
    from svr_nb.view.explore_offline import record
    shown = {}
    start_count = made[0][0]
    for count, panel in made[1:]:
        shown[count - start_count] = panel  # of several in one cell the last is shown
    each = min(panel_bytes, page_bytes // max(1, len(shown)))
    found = {}
    for count, panel in shown.items():
        start = time.monotonic()
        try:
            tape = record(panel, most=frames, most_bytes=each, seconds=seconds)
        except Exception as error:
            print(f"cell {count}: {type(error).__name__}: {error}")
            continue
        found[count] = tape.data
        said = f"{len(tape.data['keys'])} positions, {len(tape.text) // 1000} kB"
        print(f"cell {count}: {said}, {time.monotonic() - start:.0f} s")
    Path(place).write_text(json.dumps(found, separators=(",", ":")))
"""


@functools.cache
def imports(path: Path) -> frozenset[Path]:
    """Modules of the library that a file imports, at once or through others."""
    reached: set[Path] = set()
    waiting = [path]
    while waiting:
        text = waiting.pop().read_text(encoding="utf-8")
        for found in direct_imports(text) - reached:
            reached.add(found)
            waiting.append(found)
    return frozenset(reached)


def tree_of(text: str) -> ast.Module:
    """Code as a tree, without the magic lines of a notebook."""
    lines = text.splitlines()
    return ast.parse("\n".join("" if line.lstrip()[:1] in ("%", "!") else line for line in lines))


def direct_imports(text: str) -> set[Path]:
    """Files of the library whose names stand behind an import in a text."""
    found = set()
    for node in ast.walk(tree_of(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    places = {ROOT.joinpath(*f"svr_nb.{name.removeprefix('svr_nb.')}".split(".")) for name in found}
    files = {place.with_suffix(".py") for place in places}
    return {file for file in files if file.exists()}


def without_comments(text: str) -> str:
    """Code without blank lines and lines of comments; the same under every version of Python."""
    lines = (line.rstrip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.lstrip().startswith("#"))


@functools.cache
def bare(path: Path) -> str:
    """The code of a module without comments and docstrings, which change no picture."""
    tree = tree_of(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        holds = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        if holds and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def code_of(notebook: Path) -> list[str]:
    """The code cells of a notebook."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]


def marks(notebook: Path) -> dict[str, str]:
    """What a recording is made from: the notebook's code, and the library that it reaches."""
    cells = "\n\n".join(code_of(notebook))
    reached: set[Path] = set()
    for module in direct_imports(cells):
        reached |= {module} | imports(module)
    library = hashlib.sha256()
    for module in sorted(reached):
        library.update(bare(module).encode())
    own = hashlib.sha256(without_comments(cells).encode()).hexdigest()
    return {"cells": own, "library": library.hexdigest()}


def place_of(notebook: Path) -> Path:
    """Where the recording of a notebook is kept."""
    return FRAMES / notebook.parent.name / f"{notebook.stem}.json"


def committed_place(notebook: Path) -> Path:
    """Where the recording of a component is committed, packed."""
    return COMMITTED / f"{notebook.parent.name}-{notebook.stem}.json.gz"


def kept(notebook: Path) -> dict | None:
    """The recording of a notebook, if its code is still the one that was recorded."""
    for place in (place_of(notebook), committed_place(notebook)):
        tape = opened(place)
        if tape and tape["marks"]["cells"] == marks(notebook)["cells"]:
            return tape
    return None


def opened(place: Path) -> dict | None:
    """A recording as it was written; None if there is none."""
    if not place.exists():
        return None
    data = place.read_bytes()
    return json.loads(gzip.decompress(data) if place.suffix == ".gz" else data)


def commit(notebook: Path) -> int:
    """Packs the recording of a notebook for the repository; returns its bytes, 0 without one."""
    place, packed = place_of(notebook), committed_place(notebook)
    if not place.exists():
        return 0
    packed.parent.mkdir(parents=True, exist_ok=True)
    packed.write_bytes(gzip.compress(place.read_bytes(), 9, mtime=0))
    return packed.stat().st_size


def state(notebook: Path) -> str:
    """Whether a recording is there: "recorded", "behind" (the library went on), "missing"."""
    tape = kept(notebook)
    if tape is None:
        return "missing"
    return "recorded" if tape["marks"] == marks(notebook) else "behind"


def has_panels(notebook: Path) -> bool:
    """Whether a notebook makes panels that the site can play."""
    own = notebook.parent.name == "view" and "explore" in notebook.stem  # they define the panels
    return not own and any(call in code for code in code_of(notebook) for call in LIVE)


def record(notebook: Path, seconds: float = PANEL_SECONDS) -> str:
    """Runs one notebook and keeps the recording of its panels; returns what was drawn.

    notebook: its file.
    seconds: for drawing one panel.
    """
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(notebook, as_version=4)
    code = [c for c in book.cells if c.cell_type == "code"]
    place = place_of(notebook)
    place.parent.mkdir(parents=True, exist_ok=True)
    spare = place.with_suffix(".tmp~")
    limits = f"{PAGE_BYTES}, {PANEL_BYTES}, {PANEL_FRAMES}, {seconds}"
    last = f"{LAST}\n_record_panels(_panels_for_the_site, {str(spare)!r}, {limits})"
    made = marks(notebook)
    book.cells = [nbformat.v4.new_code_cell(FIRST), *code, nbformat.v4.new_code_cell(last)]
    for cell in code:
        if any(f"#| {word}" in cell.source for word in ("slow", "cuda", "eval: false")):
            cell.source = "pass"
    where = {"metadata": {"path": str(notebook.parent)}}
    client = NotebookClient(
        book, timeout=1800, kernel_name="python3", store_widget_state=False, resources=where
    )
    client.execute()
    start = book.cells[0].execution_count
    ids = {str(c.execution_count - start): c.id for c in code if c.execution_count}
    panels = {ids[count]: tape for count, tape in json.loads(spare.read_text()).items()}
    spare.write_text(json.dumps({"marks": made, "panels": panels}, separators=(",", ":")))
    spare.replace(place)
    return "".join(o.get("text", "") for o in book.cells[-1].outputs if o.get("name") == "stdout")


def components() -> list[Path]:
    """The notebooks of the six components."""
    from book import pages
    from site_map import COMPONENTS

    return [page.path for page in pages() if page.key in COMPONENTS]


def in_order(only_first: bool = False) -> list[Path]:
    """Notebooks with panels: the six components, the tour, the lessons, then the rest of the book,
    if that is wanted; those that have no recording come first.
    """
    from book import pages

    order = [page for page in pages() if has_panels(page.path)]
    six = [p for p in order if p.path in components()]
    first = [*six, *(p for p in order if p.part in ("", "lessons"))]
    rest = [] if only_first else [p for p in order if p not in first]
    return sorted([p.path for p in [*first, *rest]], key=lambda path: state(path) != "missing")


def recorded(notebook: Path, seconds: float = PANEL_SECONDS) -> bool:
    """Records one notebook and says so; whether it went well."""
    start = time.monotonic()
    try:
        said, good = record(notebook, seconds), True
    except Exception as error:  # one notebook that fails does not keep the others waiting
        said, good = f"failed: {type(error).__name__}: {str(error)[-600:]}\n", False
    taken = time.monotonic() - start
    print(f"{notebook.relative_to(ROOT)}\n{said}{taken:.0f} s", flush=True)
    return good


def main() -> int:
    """Records what is missing or behind; returns how many notebooks failed."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("notebooks", nargs="*", type=Path)
    reader.add_argument("--list", action="store_true")
    reader.add_argument("--first", action="store_true", help="components, tour and lessons only")
    reader.add_argument("--commit", action="store_true", help="pack those of the components")
    reader.add_argument("--jobs", type=int, default=1, help="notebooks at a time")
    reader.add_argument("--seconds", type=float, default=PANEL_SECONDS, help="for one panel")
    asked = reader.parse_args()
    sys.path.insert(0, str(ROOT / "docs"))
    order = [path.resolve() for path in asked.notebooks] or in_order(asked.first)
    if asked.commit:
        six = [path.resolve() for path in asked.notebooks] or components()
        print(f"{sum(map(commit, six)) / 1e6:.1f} MB in {COMMITTED.relative_to(ROOT)}")
        return 0
    states = {path: state(path) for path in order}
    waiting = [path for path in order if states[path] != "recorded"]
    if asked.list:
        print("\n".join(f"{now:9} {path.relative_to(ROOT)}" for path, now in states.items()))
    print(f"{len(order)} notebooks with panels, {len(waiting)} to draw", flush=True)
    if asked.list or not waiting:
        return 0
    # One process per notebook: what a kernel holds goes with it.
    with ProcessPoolExecutor(
        asked.jobs, mp_context=get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        done = list(pool.map(recorded, waiting, [asked.seconds] * len(waiting)))
    return done.count(False)


if __name__ == "__main__":
    sys.exit(min(1, main()))
