"""Solutions and hidden tests stay in the repository: not in the book, the wheel, the sdist, the site."""

from __future__ import annotations

import json
from configparser import ConfigParser
from pathlib import Path

import pytest
from _grading import notebooks
from setuptools import find_packages
from setuptools.command.egg_info import FileList

from svr_nb.app.book_archive import gather

ROOT = Path(__file__).resolve().parents[2]
NAMES = notebooks.assignments()
PRIVATE = ("_source", "_grading", "_wrong")
SECRETS = {name: notebooks.secrets(notebooks.source(name)) for name in NAMES}


def private(path: str | Path) -> bool:
    return any(part in PRIVATE for part in Path(path).parts)


def lines(text: str) -> set[str]:
    """Lines of the cells of a notebook."""
    sources = [c["source"] for c in json.loads(text)["cells"]]
    whole = "\n".join(s if isinstance(s, str) else "".join(s) for s in sources)
    return {line.strip() for line in whole.splitlines()}


def test_the_book_in_the_wheel_holds_no_solution():
    book = gather(ROOT)
    assert "nbs/assignments/990_assignments.ipynb" in book
    assert not [place for place in book if private(place)]
    for place, data in book.items():
        if place.startswith("nbs/assignments/"):
            assert not [n for n in NAMES if SECRETS[n] & lines(data.decode())], place


def test_the_packages_of_the_wheel_hold_no_assignment():
    packages = find_packages(str(ROOT), include=["svr_nb", "svr_nb.*"])
    assert packages and not [p for p in packages if "assign" in p or "grading" in p]
    inside = [p for p in (ROOT / "svr_nb").rglob("*") if private(p.relative_to(ROOT))]
    assert not inside and not list((ROOT / "svr_nb").rglob("*.ipynb"))


def test_the_sdist_holds_no_solution(monkeypatch):
    """By the file list that setuptools itself makes of MANIFEST.in."""
    monkeypatch.chdir(ROOT)
    found = FileList()
    for line in (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            found.process_template_line(line)
    files = [Path(f).as_posix() for f in found.files]
    assert "nbs/assignments/990_assignments.ipynb" in files and "settings.ini" in files
    assert not [f for f in files if private(f)]


def test_export_and_site_skip_the_sources():
    """nbdev leaves out every folder whose name begins with a low line, and what it is told."""
    from nbdev.doclinks import nbglob

    settings = ConfigParser(delimiters=["="], interpolation=None)
    settings.read(ROOT / "settings.ini", encoding="utf-8")
    found = [Path(p) for p in nbglob(ROOT / settings["DEFAULT"]["nbs_path"])]
    assert ROOT / "nbs/assignments/990_assignments.ipynb" in found
    assert not [p for p in found if private(p.relative_to(ROOT))]


def test_the_instructors_page_names_every_assignment():
    page = (ROOT / "nbs/assignments/990_assignments.ipynb").read_text(encoding="utf-8")
    assert not [name for name in NAMES if f"`{name}`" not in page]


@pytest.mark.parametrize("name", NAMES)
def test_no_page_of_the_book_tells_a_hidden_test(name):
    """A long line of a hidden test that stands in a page would be an answer to look up."""
    source = notebooks.source(name)
    hidden = "\n".join(
        m for c in notebooks.cells(source) for m in notebooks.HIDDEN.findall(c.source)
    )
    told = {s for s in SECRETS[name] if len(s) > 60 and s in hidden}
    long = {s for s in told if not s.startswith(("import ", "from "))}
    for path in sorted((ROOT / "nbs").glob("*/*.ipynb")):
        if not private(path.relative_to(ROOT)):
            assert not long & lines(path.read_text(encoding="utf-8")), path
