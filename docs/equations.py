"""The equation index: every numbered equation of the five papers, and where this book computes it.

Found, not typed: a docstring that says "Source: AGT, Eq. 42 to 47" names its equations; the section
is the one of the notebook where the equation is mentioned first, in a heading if there is one. What
cannot be found like this stands in equations_by_hand.json, with a reason where no function is due.

python docs/equations.py    prints the index
"""

from __future__ import annotations

import ast
import functools
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NUMBERED = {"ssl3d": 13, "umr": 7, "agt": 47, "tars": 1, "lem": 10}  # equations of each paper
EQUATIONS = r"(?:Eqs?\.|[Ee]quations?)\s*((?:\(?\d+\)?(?:\s*(?:,|and|to|-|–|;)\s*(?:and\s+)?)?)+)"
HEADING = re.compile(r"^(#{1,4}) (.+)$", re.M)
FENCE = re.compile(r"```.*?```", re.S)


@dataclass
class Equation:
    """One numbered equation: its functions (most specific first), its section, its errata."""

    paper: str
    number: int
    functions: list[str] = field(default_factory=list)
    notebook: str = ""
    section: str = ""
    errata: list[str] = field(default_factory=list)
    note: str = ""


def numbers_in(text: str) -> set[int]:
    """Numbers of equations in "Eq. 1, 3 and 5 to 7"."""
    found: set[int] = set()
    for match in re.finditer(EQUATIONS, text):
        said = re.sub(r"[()]", "", match[1])
        for low, high in re.findall(r"(\d+)\s*(?:to|-|–)\s*(\d+)", said):
            found |= set(range(int(low), int(high) + 1))
        found |= {int(n) for n in re.findall(r"\d+", said)}
    return found


def sources(docstring: str, part: str) -> Iterator[tuple[str, int]]:
    """Paper and number of each equation that a docstring names."""
    text = " ".join(docstring.split())
    first, *pieces = re.split(r"(?=\b(?:SSL3D|UMR|AGT|TARS|LEM),)", text)
    found = [(part, n) for n in numbers_in(re.split(r"(?<!Eq)\. |$", first)[0])]
    for piece in pieces:
        found += [(piece.split(",")[0].lower(), n) for n in numbers_in(piece)]
    yield from ((paper, n) for paper, n in found if n <= NUMBERED.get(paper, 0))


def documented() -> Iterator[tuple[str, str, str]]:
    """Full name, part and docstring of every public function, class and method."""
    for path in sorted((ROOT / "svr_nb").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if module.endswith("_modidx"):
            continue
        part = path.parent.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_":
                yield f"{module}.{node.name}", part, ast.get_docstring(node) or ""
                for inner in getattr(node, "body", []):
                    if isinstance(inner, ast.FunctionDef) and inner.name[0] != "_":
                        name = f"{module}.{node.name}.{inner.name}"
                        if isinstance(node, ast.ClassDef):
                            yield name, part, ast.get_docstring(inner) or ""


def notebooks() -> dict[str, Path]:
    """Notebook of every module, by the module's full name."""
    found = {}
    for path in sorted((ROOT / "nbs").rglob("*.ipynb")):
        if any(piece.startswith(("_", ".")) for piece in path.relative_to(ROOT).parts):
            continue
        name = path.stem.partition("_")[2] or path.stem
        part = path.parent.name
        found["svr_nb." + (name if part in ("nbs", name) else f"{part}.{name}")] = path
    return found


@functools.cache
def sections(path: Path, with_code: bool = True) -> list[tuple[str, str]]:
    """Heading and text (prose, and code if wanted) of every section of a notebook."""
    found: list[tuple[str, str]] = [("", "")]
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            found[-1] = (found[-1][0], f"{found[-1][1]}\n{text if with_code else ''}\n\n")
            continue
        text = FENCE.sub("", text)
        at = 0
        for match in HEADING.finditer(text):
            found[-1] = (found[-1][0], f"{found[-1][1]}{text[at : match.start()]}\n\n")
            found.append((match[2].strip(), ""))
            at = match.end()
        found[-1] = (found[-1][0], f"{found[-1][1]}{text[at:]}\n\n")
    return found


def notebook_of(equation: Equation, homes: dict[str, Path]) -> Path:
    """The notebook of the paper that has the equation in a heading; else that of its function."""
    for path in sorted(homes.values()):
        if path.parent.name == equation.paper:
            headings = [h for h, _ in sections(path) if "Errat" not in h]
            if any(equation.number in numbers_in(h) for h in headings):
                return path
    module = re.sub(r"\.[A-Z]\w*$", "", equation.functions[0].rsplit(".", 1)[0])
    return homes[module]


def section_of(path: Path, number: int, function: str) -> str:
    """The section that treats an equation: its heading names it, or its text, or the function."""
    parts = sections(path)
    for heading, _ in parts:
        if number in numbers_in(heading) and "Errat" not in heading:
            return heading
    for heading, text in parts:
        if heading and number in numbers_in(text):
            return heading
    name = function.rsplit(".", 1)[-1]
    for heading, text in parts:
        if re.search(rf"^(def|class) {name}\b", text, re.M):
            return heading
    return parts[1][0]


def index() -> list[Equation]:
    """Every numbered equation of the five papers, in the papers' order."""
    table = {
        (paper, n): Equation(paper, n)
        for paper, last in NUMBERED.items()
        for n in range(1, last + 1)
    }
    spread: dict[str, int] = {}
    for name, part, docstring in documented():
        named = set(sources(docstring, part))
        spread[name] = len(named)
        for key in named:
            table[key].functions.append(name)
    for equation in table.values():
        home = f"svr_nb.{equation.paper}."
        equation.functions.sort(key=lambda f: (spread[f], not f.startswith(home), f))
    by_hand(table)
    errata = json.loads((ROOT / "docs" / "errata.json").read_text(encoding="utf-8"))
    homes = notebooks()
    for (paper, number), equation in table.items():
        equation.errata = [
            key for key, e in errata.items() if e["paper"] == paper and number in e["equations"]
        ]
        if not equation.notebook:
            equation.notebook = notebook_of(equation, homes).relative_to(ROOT / "nbs").as_posix()
        if equation.notebook and not equation.section:
            path = ROOT / "nbs" / equation.notebook
            equation.section = section_of(path, number, equation.functions[0])
    return list(table.values())


def by_hand(table: dict[tuple[str, int], Equation]) -> None:
    """Puts what is written in equations_by_hand.json before what was found."""
    place = ROOT / "docs" / "equations_by_hand.json"
    homes = notebooks()
    for paper, rows in json.loads(place.read_text(encoding="utf-8")).items():
        for number, row in rows.items():
            equation = table[paper, int(number)]
            first = row.get("functions", [])
            equation.functions = first + [f for f in equation.functions if f not in first]
            equation.note = row.get("note", "")
            equation.section = row.get("section", "")
            if "notebook" in row:
                path = homes[f"svr_nb.{row['notebook']}"]
                equation.notebook = path.relative_to(ROOT / "nbs").as_posix()


if __name__ == "__main__":
    for e in index():
        where = f"{e.notebook} | {e.section}"
        print(
            e.paper, e.number, "|", ", ".join(e.functions[:3]), "|", where, "|", *e.errata, e.note
        )
    sys.exit(0)
