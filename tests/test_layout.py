"""The rules of the house, enforced: order of the parts, size of functions and cells, names, weight of the import."""
from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
hidden = lambda path: any(part.startswith((".", "_")) for part in path.relative_to(ROOT).parts)
NOTEBOOKS = sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if not hidden(p))
MODULES = sorted(p for p in (ROOT / "svr_nb").rglob("*.py") if p.name != "_modidx.py" and p != ROOT / "svr_nb" / "__init__.py")
ALLOWED_AT_TOP = {"nbs", "svr_nb", "tests", "data_samples", "settings.ini", "setup.py", "README.md", "Makefile", "constraints.txt",
                  "CONTRIBUTING.md", "LICENSE", "MANIFEST.in", "mypy.ini", "pytest.ini", "ruff.toml"}
# Lower layers first; a module may import from its own layer and from those before it.
LAYERS = [["conventions", "disk"], ["shapes"], ["rotations", "cameras"], ["render"], ["losses", "metrics", "overlap"],
          ["orbit_viewer", "viewer", "widgets"], ["data"], ["networks"], ["run_folders", "stages", "gradients", "history", "checkpoints", "training"],
          ["reconstruction", "evaluation", "report"], ["lem", "umr", "agt", "tars", "ssl3d"], ["one_photo", "diagnosis", "command_line"]]
LEVEL = {part: level for level, layer in enumerate(LAYERS) for part in layer}
SYSTEMS = {"lem", "umr", "agt", "tars", "ssl3d"}
ids = lambda path: str(path.relative_to(ROOT))


def cells(path: Path, kind: str) -> list[str]:
    return ["".join(c["source"]) for c in json.loads(path.read_text())["cells"] if c["cell_type"] == kind]


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return listing.stdout.splitlines()


def test_top_level_holds_only_what_it_should():
    found = {name.split("/")[0] for name in tracked()}
    assert {n for n in found if not n.startswith(".")} <= ALLOWED_AT_TOP


def test_one_notebook_one_module():
    homes = [m[1] for p in NOTEBOOKS for s in cells(p, "code") for m in [re.search(r"^#\|\s*default_exp\s+(\S+)", s, re.M)] if m]
    assert len(homes) == len(set(homes)), "two notebooks export into one module"
    made = {str(p.relative_to(ROOT / "svr_nb").with_suffix("")).replace("/", ".") for p in MODULES if p.read_text().strip()}
    assert made == set(homes)
    assert len({p.name for p in NOTEBOOKS}) == len(NOTEBOOKS), "base names of notebooks must be unique"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=ids)
def test_notebook_reads_well(path: Path):
    book, in_a_row = json.loads(path.read_text()), 0
    for number, cell in enumerate(book["cells"]):
        source = "".join(cell["source"])
        in_a_row = in_a_row + 1 if cell["cell_type"] == "code" and not source.startswith("#| hide") else 0
        assert in_a_row <= 3, f"cell {number}: more than three code cells without prose"
        assert cell["cell_type"] != "code" or len(source.splitlines()) <= 40, f"cell {number}: over 40 lines"
    first = "".join(book["cells"][0]["source"])
    assert re.match(r"# .+\n\n> .+", first), "starts with a title and a one-line summary"
    assert path.stat().st_size < 500_000
    assert not [o for c in book["cells"] for o in c.get("outputs", []) if o["output_type"] == "error"]


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_module_is_small_and_points_down(path: Path):
    text = path.read_text()
    assert len(text.splitlines()) <= 450, "a module should fit in one reading"
    part = path.relative_to(ROOT / "svr_nb").parts[0].removesuffix(".py")
    assert part in LEVEL, f"{part} has no place in the order of the house"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 40, f"{node.name} is {node.end_lineno - node.lineno + 1} lines long"
        for other in imported_parts(node, path):
            assert LEVEL[other] <= LEVEL[part], f"{part} imports {other}, which lies above it"
            assert part not in SYSTEMS or other not in SYSTEMS - {part} or (part, other) == ("agt", "umr"), "systems do not import each other"


def imported_parts(node: ast.AST, path: Path) -> list[str]:
    """Parts of the library that an import statement reaches."""
    if isinstance(node, ast.ImportFrom) and node.level:
        base = path.relative_to(ROOT).parent.parts[: len(path.relative_to(ROOT).parent.parts) - node.level + 1]
        full = [*base, *(node.module or "").split(".")]
    elif isinstance(node, ast.ImportFrom):
        full = (node.module or "").split(".")
    else:
        return []
    return [full[1]] if full[0] == "svr_nb" and len(full) > 1 and full[1] in LEVEL else []


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_public_names_are_documented(path: Path):
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_no_vague_names_and_nothing_left_open():
    vague = {"utils", "util", "misc", "helpers", "common", "helper"}
    assert not [p for p in MODULES + NOTEBOOKS if set(re.split(r"[/_.]", str(p.relative_to(ROOT)))) & vague]
    open_ends = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error")))
    assert not [p for p in MODULES if open_ends.search(p.read_text())]


def test_settings_and_setup_agree_on_the_version():
    settings = ConfigParser(delimiters=["="], interpolation=None)
    settings.read(ROOT / "settings.ini")
    assert f'__version__ = "{settings["DEFAULT"]["version"]}"' in (ROOT / "svr_nb" / "__init__.py").read_text()


def test_import_is_light():
    """`import svr_nb` and using the core must not load Jupyter, plotting or PyTorch3D."""
    code = "import sys, svr_nb; svr_nb.shapes.Mesh, svr_nb.render.splat_mask, svr_nb.losses, svr_nb.SSL3D; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & {"IPython", "ipywidgets", "plotly", "k3d", "matplotlib", "pytorch3d", "jupyter_core", "nbdev", "numba", "trimesh"}


def test_import_is_quick():
    """`import svr_nb` costs at most half a second more than `import torch`."""
    code = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
    once = lambda name: float(subprocess.run([sys.executable, "-c", code.format(name)], capture_output=True, text=True, check=True).stdout)
    run = lambda name: min(once(name) for _ in range(3))
    assert run("svr_nb") <= run("torch") + 0.5


def test_every_public_name_is_there():
    import svr_nb as svr

    missing = [name for name in svr.__all__ if not hasattr(svr, name)]
    assert not missing
