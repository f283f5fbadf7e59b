"""The rules of the house, enforced: order of the parts, size of functions and cells, names, weight
of the import.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import textwrap
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def hidden(path: Path) -> bool:
    """Whether a notebook is no page of the book (a name that starts with . or _)."""
    return any(piece.startswith((".", "_")) for piece in path.relative_to(ROOT).parts)


NOTEBOOKS = sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if not hidden(p))
BY_HAND = {ROOT / "svr_nb" / name for name in ("__init__.py", "__main__.py", "_modidx.py")}
MODULES = sorted(p for p in (ROOT / "svr_nb").rglob("*.py") if p not in BY_HAND)
ALLOWED_AT_TOP = {
    *("nbs", "svr_nb", "tests", "data_samples", "docs"),
    *("settings.ini", "setup.py", "README.md", "Makefile", "constraints.txt"),
    *(
        "CHANGELOG.md",
        "CITATION.cff",
        "CONTRIBUTING.md",
        "LICENSE",
        "MANIFEST.in",
        "mypy.ini",
        "pytest.ini",
        "ruff.toml",
    ),
}
# The parts of the book in reading order, with the first number of each. A module imports only from
# notebooks with a smaller number, so reading in order is also building in order.
PARTS = {
    "lessons": 10,
    "shapes": 100,
    "cameras": 150,
    "render": 200,
    "view": 250,
    "data": 300,
    "losses": 350,
    "scores": 370,
    "networks": 400,
    "training": 450,
    "result": 480,
    "ssl3d": 500,
    "umr": 600,
    "agt": 700,
    "tars": 800,
    "lem": 900,
    "app": 950,
    "experiments": 970,
    "assignments": 990,
}
SYSTEMS = {"ssl3d", "umr", "agt", "tars", "lem"}
EXPORTS_IN_A_ROW = 3
POSITIONAL = 6
# A class with a private base, and why that is better than one class: none.
PRIVATE_BASES: dict[str, str] = {}
EXPORT = re.compile(r"^#\|\s*(export|exporti|default_exp)\b", re.M)


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


def number(path: Path) -> int:
    """A notebook's place in the reading order."""
    digits = path.stem.split("_")[0]
    return int(digits) if digits.isdigit() else -1


def module_name(path: Path) -> str | None:
    """The module that a notebook makes, or None."""
    found = re.search(r"^#\|\s*default_exp\s+(\S+)", "\n".join(cells(path, "code")), re.M)
    return found[1] if found else None


def cells(path: Path, kind: str) -> list[str]:
    return [
        "".join(c["source"])
        for c in json.loads(path.read_text())["cells"]
        if c["cell_type"] == kind
    ]


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return listing.stdout.splitlines()


def test_top_level_holds_only_what_it_should():
    found = {name.split("/")[0] for name in tracked()}
    assert {n for n in found if not n.startswith(".")} <= ALLOWED_AT_TOP


def test_one_notebook_one_module():
    homes = [name for name in map(module_name, NOTEBOOKS) if name]
    assert len(homes) == len(set(homes)), "two notebooks export into one module"
    made = {
        str(p.relative_to(ROOT / "svr_nb").with_suffix("")).replace("/", ".")
        for p in MODULES
        if p.read_text().strip()
    }
    assert made == set(homes)


def test_every_notebook_has_its_place():
    """A number that no other has, in the block of its part; the name of its module."""
    book = [path for path in NOTEBOOKS if path.stem != "index"]
    numbers = [number(path) for path in book]
    assert len(numbers) == len(set(numbers)), "a number is used twice"
    starts = sorted(PARTS.values())
    for path in book:
        part, name = path.parent.name, path.stem.partition("_")[2]
        if part == "nbs":
            assert (number(path), name) in {(0, "conventions"), (1, "former_names")}
            continue
        start = PARTS[part]
        ends = [s for s in starts if s > start]
        assert start <= number(path) < (ends[0] if ends else 1000), f"{path.stem}: not in its block"
        home = f"{part}.__init__" if number(path) == start else f"{part}.{name}"
        assert module_name(path) in (home, None), f"{path.stem}: named unlike its module"
        assert number(path) != start or name == part, f"{part} is opened by {path.stem}"
    parts = {path.parent.name for path in book} - {"nbs"}
    assert parts <= {
        path.parent.name for path in book if number(path) == PARTS.get(path.parent.name)
    }


def test_no_loose_modules():
    """Beside the list of public names, and the door for launchers, only the conventions stand at the
    top of the library.
    """
    assert {p.name for p in (ROOT / "svr_nb").glob("*.py")} - {"_modidx.py"} == {
        "__init__.py",
        "__main__.py",
        "conventions.py",
        "former_names.py",
    }


def arrows() -> list[tuple[str, str]]:
    """Every import of one module of the library by another."""
    found = []
    for path in MODULES:
        name = str(path.relative_to(ROOT / "svr_nb").with_suffix("")).replace("/", ".")
        for node in ast.walk(without_type_imports(ast.parse(path.read_text()))):
            found += [(name, other) for other in imported_modules(node, path)]
    return found


def without_type_imports(tree: ast.Module) -> ast.Module:
    """A module without what it imports for its annotations only."""
    kept = [n for n in tree.body if not (isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n))]
    return ast.Module(body=kept, type_ignores=[])


def imported_modules(node: ast.AST, path: Path) -> list[str]:
    """Modules of the library that an import statement reaches."""
    if not isinstance(node, ast.ImportFrom):
        return []
    if node.level:
        folder = path.relative_to(ROOT).parent.parts
        full = [*folder[: len(folder) - node.level + 1], *(node.module or "").split(".")]
    else:
        full = (node.module or "").split(".")
    full = [piece for piece in full if piece]
    if full[:1] != ["svr_nb"]:
        return []
    place = ROOT.joinpath(*full)
    if place.with_suffix(".py").exists():
        return [".".join(full[1:])]
    inside = [
        ".".join([*full[1:], a.name]) for a in node.names if (place / f"{a.name}.py").exists()
    ]
    return inside or [".".join([*full[1:], "__init__"])]


def test_reading_in_order_is_building_in_order():
    """A module imports only from notebooks before its own; so there is no circle anywhere."""
    numbers = {module_name(path): number(path) for path in NOTEBOOKS if module_name(path)}
    wrong, count = [], 0
    for name, other in arrows():
        if name.endswith("__init__") or other == "__init__":
            continue
        count += 1
        if other.endswith("__init__") or numbers[other] >= numbers[name]:
            wrong.append(f"{name} ({numbers[name]}) imports {other} ({numbers.get(other)})")
        systems = {name.split(".")[0], other.split(".")[0]} & SYSTEMS
        assert len(systems) < 2 or systems == {"agt", "umr"}, f"{name} imports {other}"
    print(f"{count} imports between modules, {len(wrong)} against the order")
    assert not wrong, "\n".join(wrong)


def classes() -> list[tuple[str, ast.ClassDef]]:
    """Every class of the library, with its module."""
    trees = ((path, ast.parse(path.read_text())) for path in MODULES)
    return [(ids(p), n) for p, t in trees for n in ast.walk(t) if isinstance(n, ast.ClassDef)]


def test_no_chains_of_private_classes():
    """Inheritance only where "is a" is true: a private base needs a reason in PRIVATE_BASES."""
    private = [
        f"{path}: {node.name}({base.id})"
        for path, node in classes()
        for base in node.bases
        if isinstance(base, ast.Name) and base.id.startswith("_") and node.name not in PRIVATE_BASES
    ]
    print(f"{len(classes())} classes, {len(private)} private bases without a reason")
    assert not private, "\n".join(private)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=ids)
def test_something_runs_between_exports(path: Path):
    """No filing cabinets: after at most three exported cells, a cell that shows what they do."""
    row = 0
    for source in cells(path, "code"):
        if re.search(r"^#\|\s*default_exp", source, re.M):
            continue
        exported = EXPORT.search(source)
        only_imports = exported and not re.search(r"^(def|class|@|[A-Za-z_]+.*=)", source, re.M)
        row = 0 if not exported else row + (not only_imports)
        assert row <= EXPORTS_IN_A_ROW, f"{row} exported cells in a row, at {source[:60]!r}"


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_few_positional_parameters(path: Path):
    """Over six values that only their place tells apart want names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names = [a.arg for a in [*node.args.posonlyargs, *node.args.args]]
            count = len([n for n in names if n not in ("self", "cls", "ctx")])
            assert count <= POSITIONAL, f"{node.name} takes {count} values by place"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=ids)
def test_lines_fit_a_page(path: Path):
    wide = [
        line for source in cells(path, "code") for line in source.splitlines() if len(line) > 100
    ]
    assert not wide, f"{len(wide)} lines of code over 100 columns: {wide[0]}"


@pytest.mark.parametrize("path", [*MODULES, ROOT / "svr_nb" / "__init__.py"], ids=ids)
def test_modules_fit_a_page(path: Path):
    """All but what nbdev writes at its own width: the first sentence and the list of exports."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"^__all__ = \[.*?\]$", "", text, count=1, flags=re.M | re.S)
    lines = text.splitlines()
    written = lines[1:] if any("AUTOGENERATED" in line for line in lines[:4]) else lines
    wide = [line for line in written if len(line) > 100]
    assert not wide, f"{len(wide)} lines over 100 columns: {wide[0]}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=ids)
def test_notebook_reads_well(path: Path):
    book, in_a_row = json.loads(path.read_text()), 0
    for number, cell in enumerate(book["cells"]):
        source = "".join(cell["source"])
        in_a_row = (
            in_a_row + 1 if cell["cell_type"] == "code" and not source.startswith("#| hide") else 0
        )
        assert in_a_row <= 3, f"cell {number}: more than three code cells without prose"
        if cell["cell_type"] == "code":
            limit = 60 if re.search(r"^class ", source, re.M) else 40
            assert code_lines(source) <= limit, f"cell {number}: {code_lines(source)} lines"
    first = "".join(book["cells"][0]["source"])
    assert re.match(r"# .+\n\n> .+", first), "starts with a title and a one-line summary"
    assert path.stat().st_size < 500_000
    assert not [
        o for c in book["cells"] for o in c.get("outputs", []) if o["output_type"] == "error"
    ]


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_module_and_functions_are_small(path: Path):
    text = path.read_text()
    assert code_lines(text) <= 450, f"{code_lines(text)} lines: a module should fit in one reading"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            lines = code_lines("\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno]))
            assert lines <= 40, f"{node.name} is {lines} lines long"


def code_lines(text: str) -> int:
    """Lines of code: neither blank, nor a comment, nor part of a docstring."""
    clean = "\n".join("" if re.match(r"\s*[%!]", line) else line for line in text.splitlines())
    tree = ast.parse(textwrap.dedent(clean))
    prose: set[int] = set()
    for node in ast.walk(tree):
        lone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if lone and isinstance(node.value.value, str):
            prose |= set(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(clean.splitlines(), 1)
    return sum(1 for i, t in lines if i not in prose and t.strip() and t.strip()[0] != "#")


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_public_names_are_documented(path: Path):
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_no_vague_names_and_nothing_left_open():
    vague = {"utils", "util", "misc", "helpers", "common", "helper"}
    assert not [
        p for p in MODULES + NOTEBOOKS if set(re.split(r"[/_.]", str(p.relative_to(ROOT)))) & vague
    ]
    open_ends = re.compile(
        "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error"))
    )
    assert not [p for p in MODULES if open_ends.search(p.read_text())]


def test_settings_and_setup_agree_on_the_version():
    settings = ConfigParser(delimiters=["="], interpolation=None)
    settings.read(ROOT / "settings.ini")
    assert (
        f'__version__ = "{settings["DEFAULT"]["version"]}"'
        in (ROOT / "svr_nb" / "__init__.py").read_text()
    )


def test_import_is_light():
    """`import svr_nb` and using the core must not load Jupyter, plotting or PyTorch3D."""
    code = "import sys, svr_nb; svr_nb.shapes.Mesh, svr_nb.render.splat_mask, svr_nb.losses.silhouettes, svr_nb.SSL3D; print(*sys.modules)"
    loaded = set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )
    assert not loaded & {
        "IPython",
        "ipywidgets",
        "plotly",
        "k3d",
        "matplotlib",
        "pytorch3d",
        "jupyter_core",
        "nbdev",
        "numba",
        "trimesh",
    }


def test_import_is_quick():
    """`import svr_nb` costs at most half a second more than `import torch`."""
    code = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
    once = lambda name: float(
        subprocess.run(
            [sys.executable, "-c", code.format(name)], capture_output=True, text=True, check=True
        ).stdout
    )
    run = lambda name: min(once(name) for _ in range(3))
    assert run("svr_nb") <= run("torch") + 0.5


def test_every_public_name_is_there():
    import svr_nb as svr

    missing = [name for name in svr.__all__ if not hasattr(svr, name)]
    assert not missing
