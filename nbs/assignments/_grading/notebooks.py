"""Assignments as notebooks: what each cell is, the students' version, another year's seed, wrong
solutions.

The cells carry nbgrader's own marks (schema 3), so nbgrader reads the same files.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
SOURCES = HERE / "_source"
SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?### END SOLUTION[ \t]*$", re.S | re.M)
HIDDEN = re.compile(r"^[ \t]*### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS[ \t]*\n?", re.S | re.M)
SEED = re.compile(r"^SEED = (\d+)$", re.M)
TO_DO = "# YOUR CODE HERE\n{0}raise NotImplementedError()"
ANSWER = "YOUR ANSWER HERE"
LARGEST = 10 << 20


class Unreadable(Exception):
    """A file that is no notebook of this course; the text says why."""


@dataclass(frozen=True)
class Cell:
    """One cell, and what nbgrader says of it."""

    kind: str
    source: str
    mark: dict = field(default_factory=dict)
    tags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its grade_id; empty for a cell that nbgrader leaves alone."""
        return str(self.mark.get("grade_id", ""))

    @property
    def role(self) -> str:
        """setup (given, locked), solution, test, question (by hand), or other."""
        if not self.mark:
            return "other"
        if self.mark.get("solution") and self.mark.get("grade"):
            return "question"
        if self.mark.get("solution"):
            return "solution"
        return "test" if self.mark.get("grade") else "setup"

    @property
    def points(self) -> float:
        """What it is worth."""
        return float(self.mark.get("points", 0)) if self.mark.get("grade") else 0.0


def read(path: Path) -> dict:
    """A notebook file as it is. Raises Unreadable with a reason."""
    if path.is_symlink():
        raise Unreadable("the file is a link; hand in the notebook itself")
    if not path.is_file():
        raise Unreadable("there is no such file")
    if path.stat().st_size > LARGEST:
        raise Unreadable(f"the file is larger than {LARGEST >> 20} MB; clear its outputs")
    try:
        book = json.loads(path.read_text(encoding="utf-8"))
        for cell in book["cells"]:
            lines = cell["source"]
            cell["source"] = lines if isinstance(lines, str) else "".join(lines)
            cell["metadata"] = dict(cell.get("metadata") or {})
            cell["metadata"]["nbgrader"] = dict(cell["metadata"].get("nbgrader") or {})
            if not isinstance(cell["cell_type"], str):
                raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable("the file is no notebook of format 4") from error
    return book


def cells(book: dict) -> list[Cell]:
    """The cells of a notebook that was read."""
    found = []
    for c in book["cells"]:
        tags = c["metadata"].get("tags", ())
        tags = tuple(str(t) for t in tags) if isinstance(tags, (list, tuple)) else ()
        found.append(Cell(c["cell_type"], c["source"], c["metadata"]["nbgrader"], tags))
    return found


def write(book: dict, path: Path) -> None:
    """Writes a notebook in one fixed form, in one step."""
    book = copy.deepcopy(book)
    for cell in book["cells"]:
        if not cell["metadata"].get("nbgrader"):
            cell["metadata"].pop("nbgrader", None)
        cell["source"] = cell["source"].splitlines(True)
    write_text(path, json.dumps(book, sort_keys=True, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file in one step, so that no half of it is ever there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spare = path.with_name(path.name + ".tmp~")
    spare.write_text(text, encoding="utf-8", errors="replace")  # half a character is no text
    spare.replace(path)


def assignments() -> list[str]:
    """The names of all assignments."""
    return sorted(p.stem for p in SOURCES.glob("*/*.ipynb") if p.stem == p.parent.name)


def source(name: str, seed: int | None = None) -> dict:
    """The instructor's notebook of an assignment, with the seed of a year.

    Raises Unreadable if there is no such assignment, or if it holds no line `SEED = ...`.
    """
    path = SOURCES / name / f"{name}.ipynb"
    if not path.exists():
        raise Unreadable(f"no assignment is called {name!r}; there are {', '.join(assignments())}")
    book = read(path)
    settings = path.with_name("settings.json")
    if settings.exists():
        book["metadata"]["svr_nb"] = json.loads(settings.read_text(encoding="utf-8"))
    return book if seed is None else reseeded(book, seed)


def reseeded(book: dict, seed: int) -> dict:
    """The same notebook for another year."""
    book, found = copy.deepcopy(book), 0
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            cell["source"], count = SEED.subn(f"SEED = {int(seed)}", cell["source"])
            found += count
    if found != 1:
        raise Unreadable(f"the source holds {found} lines `SEED = ...`; it needs one")
    return book


def released(book: dict) -> dict:
    """The students' version: no solution, no hidden test, no model answer, no output."""
    book = copy.deepcopy(book)
    for cell, parsed in zip(book["cells"], cells(book)):
        text = cell["source"]
        if parsed.role == "question":
            text = ANSWER
        elif parsed.role == "solution":
            text, count = SOLUTION.subn(lambda m: m[1] + TO_DO.format(m[1]), text)
            if not count:
                raise Unreadable(f"solution cell {parsed.name!r} has no ### BEGIN SOLUTION")
        elif parsed.role == "test":
            text = HIDDEN.sub("", text).rstrip("\n")
        if re.search(r"(BEGIN|END) (SOLUTION|HIDDEN)", text):
            raise Unreadable(f"cell {parsed.name!r} has a mark that is not paired")
        cell["source"] = text
        if parsed.role in ("setup", "test"):
            cell["metadata"] |= {"editable": False, "deletable": False}
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
        if parsed.mark:
            more = {"cell_type": cell["cell_type"], "checksum": checksum(cell)}
            cell["metadata"]["nbgrader"] |= more
    book["metadata"].pop("svr_nb", None)
    return book


def checksum(cell: dict) -> str:
    """nbgrader's own fingerprint of a cell."""
    mark, text = cell["metadata"]["nbgrader"], hashlib.md5()
    grade, solution = bool(mark.get("grade")), bool(mark.get("solution"))
    locked = not solution and (grade or bool(mark.get("locked")))
    said = [cell["source"], cell["cell_type"], grade, solution, locked, mark["grade_id"]]
    for value in said + ([float(mark["points"])] if grade else []):
        text.update(str(value).encode())
    return text.hexdigest()


def secrets(book: dict) -> set[str]:
    """Every line that only the instructor may see: solutions, hidden tests, model answers. A line
    that the public part holds too (a hint in the prose) is no secret.
    """
    public, private = [], set()
    for cell in cells(book):
        inside = cell.role == "question"
        for line in cell.source.splitlines():
            begins, ends = "### BEGIN " in line, "### END " in line
            inside = inside or begins
            if inside:
                private.add(line.strip())
            else:
                public.append(line.strip())
            inside = inside and not ends
    shown = "\n".join(public)
    return {line for line in private if len(line) > 12 and line not in shown}


def solution_names(book: dict) -> list[str]:
    """The functions, classes and values that a student is asked to write."""
    found: list[str] = []
    for cell in cells(book):
        if cell.role == "solution" and cell.kind == "code":
            found += defined(cell.source)
    return list(dict.fromkeys(found))


def defined(text: str) -> Iterator[str]:
    """Names that a cell makes."""
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (t.id for t in node.targets if isinstance(t, ast.Name))


def imported(book: dict) -> list[str]:
    """Every module that the given cells and the tests import."""
    found = {"torch", "numpy"}
    for cell in cells(book):
        if cell.kind != "code" or cell.role not in ("setup", "test"):
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Import):
                found |= {a.name for a in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    return sorted(found)


def setting(book: dict, name: str, default: Any) -> Any:
    """A setting of an assignment, from the file settings.json beside its source."""
    return book["metadata"].get("svr_nb", {}).get(name, default)


@dataclass(frozen=True)
class Wrong:
    """A wrong solution that was planted: its title, the cells that it replaces, and the marks that
    it deserves by grade_id (what is not named deserves full marks).
    """

    title: str
    cells: dict[str, str]
    marks: dict[str, float]


def wrong_solutions(name: str) -> list[Wrong]:
    """The planted wrong solutions of an assignment, from `_wrong/*.py` beside its source."""
    return [parse_wrong(path) for path in sorted((SOURCES / name / "_wrong").glob("*.py"))]


def parse_wrong(path: Path) -> Wrong:
    """Reads a planted solution: `# title`, `# marks: test=points`, then `# cell: id` and code."""
    text = path.read_text(encoding="utf-8")
    head, *parts = re.split(r"^# cell: *(\S+) *\n", text, flags=re.M)
    given = " ".join(re.findall(r"^# marks: *(.*)$", head, re.M)).split()
    marks = {k: float(v) for k, _, v in (item.partition("=") for item in given)}
    bodies = {key: body.strip("\n") for key, body in zip(parts[::2], parts[1::2])}
    title = re.sub(r"^# marks:.*$", "", head, flags=re.M).replace("#", " ")
    return Wrong(" ".join(title.split()), bodies, marks)


def with_wrong(book: dict, wrong: Wrong) -> dict:
    """A submission that is right but for what a planted solution replaces."""
    book, left = answered(book), dict(wrong.cells)
    for cell in book["cells"]:
        name = cell["metadata"]["nbgrader"].get("grade_id", "")
        if name in left:
            cell["source"] = left.pop(name)
    if left:
        raise Unreadable(f"no cell is called {', '.join(left)}")
    return book


def answered(book: dict) -> dict:
    """The reference as a student would hand it in: own solutions, released tests."""
    out = released(book)
    for cell, own in zip(out["cells"], book["cells"]):
        if own["metadata"]["nbgrader"].get("solution"):
            cell["source"] = own["source"]
    return out
