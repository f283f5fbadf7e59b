"""Every assignment: the reference gets all marks, the skeleton none, planted mistakes exactly theirs."""

from __future__ import annotations

import html
import json
import re

import pytest
from _grading import course, notebooks
from _grading.examiner import Building, examine

NAMES = notebooks.assignments()
PLANTED = [(name, wrong) for name in NAMES for wrong in notebooks.wrong_solutions(name)]
ANOTHER_YEAR = 31415
_open: dict[str, Building] = {}


@pytest.fixture(scope="module", autouse=True)
def _closed_in_the_end():
    yield
    while _open:
        _open.popitem()[1].close()


def report(name: str, submission: dict, seed: int | None = None):
    if name not in _open:
        while _open:  # one at a time: each holds the library
            _open.popitem()[1].close()
        _open[name] = Building(notebooks.source(name))
    return examine(_open[name], notebooks.source(name, seed), submission)


def most(name: str) -> dict[str, float]:
    """All marks that tests can give."""
    cells = notebooks.cells(notebooks.source(name))
    return {c.name: c.points for c in cells if c.role == "test"}


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_gets_all_marks(name):
    found = report(name, notebooks.answered(notebooks.source(name)))
    assert found.problems == []
    assert found.by_test == most(name), [o for o in found.outcomes if o.reason]


@pytest.mark.parametrize("name", NAMES)
def test_the_skeleton_gets_none(name):
    found = report(name, notebooks.released(notebooks.source(name)))
    assert found.marks == 0


@pytest.mark.parametrize(
    ("name", "wrong"), PLANTED, ids=lambda v: v if isinstance(v, str) else v.title[:40]
)
def test_a_planted_mistake_gets_exactly_its_marks(name, wrong):
    assert set(wrong.marks) <= set(most(name)), "a test that does not exist"
    book = notebooks.source(name)
    submission = notebooks.with_wrong(book, wrong)
    found = report(name, submission)
    assert found.by_test == most(name) | wrong.marks, [o for o in found.outcomes if o.reason]
    page = html.unescape(course.feedback(book, "ann", found, {}))
    own = "\n".join(c["source"] for c in submission["cells"])
    told = [s for s in notebooks.secrets(book) if s in page and s not in own]
    assert not told, "feedback may quote the student's own lines only"


@pytest.mark.parametrize("name", NAMES)
def test_another_year_has_other_numbers_and_the_same_marks(name):
    new = notebooks.source(name, ANOTHER_YEAR)
    assert f"SEED = {ANOTHER_YEAR}" in json.dumps(new)
    assert report(name, notebooks.answered(new), ANOTHER_YEAR).by_test == most(name)
    wrong = notebooks.wrong_solutions(name)[0]
    assert (
        report(name, notebooks.with_wrong(new, wrong), ANOTHER_YEAR).by_test
        == most(name) | wrong.marks
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_is_released_holds_no_secret(name):
    book = notebooks.source(name)
    text = "\n".join(c["source"] for c in notebooks.released(book)["cells"])
    secrets = notebooks.secrets(book)
    assert len(secrets) > 20
    assert not [line for line in secrets if line in text]
    assert "SOLUTION" not in text and "HIDDEN" not in text
    assert "outputs" not in text and "Rubric" not in text


@pytest.mark.parametrize("name", NAMES)
def test_an_assignment_has_all_that_it_needs(name):
    book = notebooks.source(name)
    cells = notebooks.cells(book)
    roles = [c.role for c in cells]
    assert len(notebooks.wrong_solutions(name)) >= 5
    assert roles.count("question") >= 1 and roles.count("test") >= 5
    assert any("picture" in c.tags for c in cells), "a picture that appears when it is right"
    assert sum(most(name).values()) == 20, "20 marks from tests"
    assert all("### BEGIN HIDDEN TESTS" in c.source for c in cells if c.role == "test")
    for cell in cells:
        inside = re.findall(r"### BEGIN SOLUTION\n(.*?)\n\s*### END", cell.source, re.S)
        for text in inside if cell.role == "solution" else []:
            lines = [line for line in text.splitlines() if line.strip()]
            assert 3 <= len(lines) <= 20, f"{cell.name}: {len(lines)} lines to write"
    names = [c.name for c in cells if c.name]
    assert len(names) == len(set(names))
