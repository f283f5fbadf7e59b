"""The equation index is whole and true: every number, every function, every section."""

from __future__ import annotations

import importlib
import json
from functools import reduce

import pytest

from tests.docs.pages import ROOT, converter

import equations  # isort: skip

INDEX = equations.index()
NAMES = [f"{e.paper} {e.number}" for e in INDEX]
# Equations that their notebook does not name; the index says so in a note.
UNNAMED: set[tuple[str, int]] = set()  # none left


def test_every_number_is_there():
    """As many as the papers print: 13, 7, 47, 1 and 10."""
    assert len(INDEX) == 13 + 7 + 47 + 1 + 10
    for paper, last in {"ssl3d": 13, "umr": 7, "agt": 47, "tars": 1, "lem": 10}.items():
        assert [e.number for e in INDEX if e.paper == paper] == list(range(1, last + 1))


@pytest.mark.parametrize("equation", INDEX, ids=NAMES)
def test_every_equation_has_functions_that_exist(equation: equations.Equation):
    assert equation.functions, "no function computes it"
    for name in equation.functions:
        pieces = name.split(".")
        for end in range(len(pieces) - 1, 0, -1):
            try:
                module = importlib.import_module(".".join(pieces[:end]))
            except ModuleNotFoundError:
                continue
            reduce(getattr, pieces[end:], module)
            break
        else:
            pytest.fail(f"{name} cannot be imported")


@pytest.mark.parametrize("equation", INDEX, ids=NAMES)
def test_every_equation_has_a_section_that_names_it(equation: equations.Equation):
    path = ROOT / "nbs" / equation.notebook
    texts = dict(equations.sections(path))
    assert equation.section in texts, f"{equation.notebook} has no section {equation.section!r}"
    named = equations.numbers_in(f"{equation.section}\n{texts[equation.section]}")
    if (equation.paper, equation.number) in UNNAMED:
        assert equation.note and equation.number not in named, "named now: mend the list above"
    else:
        assert equation.number in named, f"{equation.section!r} does not name the equation"


def test_numbers_are_read_as_prose_writes_them():
    assert equations.numbers_in("Eq. 15, and 18 to 20") == {15, 18, 19, 20}
    assert equations.numbers_in("equations 2 and 5; Eq. (1), Eq. 42-44") == {1, 2, 5, 42, 43, 44}
    assert equations.numbers_in("a sum of 3 terms") == set()


def test_every_formula_can_be_drawn():
    import re

    mathml = converter().mathml
    formulas = json.loads((ROOT / "docs" / "formulas.json").read_text())
    for equation in INDEX:
        drawn = mathml(formulas[equation.paper][str(equation.number)], "block")
        assert "\\" not in re.sub(r"<[^>]+>", "", drawn), equation
