"""A small class from release to marks: resumed, by hand, refused where right answers would lose."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from _grading import course, notebooks
from _grading.examiner import GradingError

ROOT = Path(__file__).resolve().parents[2]
NAME = "spatial_attention"
BOOK = notebooks.source(NAME)


def table(path: Path) -> list[dict]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def graded(tmp_path_factory) -> Path:
    """Four students: all right, one mistake (and an answer in words), the skeleton, no notebook."""
    folder = tmp_path_factory.mktemp("class")
    wrong = notebooks.with_wrong(BOOK, notebooks.wrong_solutions(NAME)[1])
    handed_in = {"ann": notebooks.answered(BOOK), "bob": wrong, "cat": notebooks.released(BOOK)}
    for cell in wrong["cells"]:
        if cell["metadata"]["nbgrader"].get("grade_id") == "in_words":
            cell["source"] = "=1+1 <script>alert(1)</script> My *answer*."
    for student, book in handed_in.items():
        notebooks.write(book, folder / "submitted" / student / NAME / f"{NAME}.ipynb")
    (folder / "submitted" / "dan").mkdir()
    (folder / "submitted" / "eve.ipynb").write_text('{"cells": 7}')
    course.grade(NAME, folder / "submitted", folder / "grades", say=lambda line: None)
    return folder


def test_marks_are_a_table_with_reasons(graded):
    rows = {row["student"]: row for row in table(graded / "grades" / NAME / "marks.csv")}
    assert [rows[s]["total"] for s in ("ann", "bob", "cat", "dan", "eve")] == [
        "20",
        "16",
        "0",
        "0",
        "0",
    ]
    assert {row["of"] for row in rows.values()} == {"24"}
    assert rows["bob"]["attend_gradients"] == "0" and rows["bob"]["to mark by hand"] == "in_words"
    assert "no such file" in rows["dan"]["remarks"] and "no notebook" in rows["eve"]["remarks"]


def test_feedback_gives_reasons_and_no_secret(graded):
    pages = list((graded / "grades" / NAME / "feedback").glob("*.html"))
    assert len(pages) == 5
    text = "\n".join(p.read_text() for p in pages)
    assert not [line for line in notebooks.secrets(BOOK) if line in text]
    assert "does not require grad" in text and "<script>" not in text
    answers = (graded / "grades" / NAME / "answers.html").read_text()
    assert "Rubric" in answers and "&lt;script&gt;" in answers


def test_grading_again_runs_nothing_again_and_adds_marks_by_hand(graded):
    place = graded / "grades" / NAME
    rows = table(place / "by_hand.csv")
    assert [(r["student"], r["marks"]) for r in rows] == [("ann", ""), ("bob", "")]
    rows[1] |= {"marks": "2.5", "comment": "the second half is missing"}
    course.write_table(place / "by_hand.csv", course.BY_HAND, rows)
    said: list[str] = []
    course.grade(NAME, graded / "submitted", graded / "grades", say=said.append)
    assert said == []
    assert {r["student"]: r["total"] for r in table(place / "marks.csv")}["bob"] == "18.5"
    assert "the second half" in (place / "feedback" / "bob.html").read_text()
    rows[1]["marks"] = "9"
    course.write_table(place / "by_hand.csv", course.BY_HAND, rows)
    with pytest.raises(GradingError, match="bob has '9' marks"):
        course.hand_marks(BOOK, {}, place / "by_hand.csv")


def test_the_release_is_a_folder_and_a_zip(tmp_path):
    *files, archive = course.release(notebooks.assignments(), tmp_path, seed=77)
    assert len(files) == len(notebooks.assignments())
    with zipfile.ZipFile(archive) as packed:
        assert len(packed.namelist()) == len(files)
        for name in packed.namelist():
            text = packed.read(name).decode()
            lines = {line.strip() for c in json.loads(text)["cells"] for line in c["source"]}
            assert "SEED = 77" in lines
            assert not lines & notebooks.secrets(notebooks.source(Path(name).stem))


def test_nothing_is_graded_where_torch_is_missing(tmp_path):
    """Nor is a mark taken: nbgrader alone would give 0 for right answers."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "torch.py").write_text("raise ImportError('no torch here')")
    (tmp_path / "submitted").mkdir()
    notebooks.write(notebooks.answered(BOOK), tmp_path / "submitted" / "ann.ipynb")
    path = os.pathsep.join([str(ROOT / "nbs" / "assignments"), str(ROOT)])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "_grading",
            "grade",
            NAME,
            "--submissions",
            str(tmp_path / "submitted"),
        ]
        + ["--out", str(tmp_path / "grades")],
        env=os.environ | {"PYTHONPATH": path, "GRADING_PATH": str(broken)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and not (tmp_path / "grades").exists()
    assert "cannot import torch: no torch here" in done.stderr and "Traceback" not in done.stderr


def test_a_student_sees_what_is_left_to_do(tmp_path):
    notebooks.write(notebooks.released(BOOK), tmp_path / "mine.ipynb")
    said = course.validate(tmp_path / "mine.ipynb")
    assert "12 to do" in said and "attend_weights" in said and "not written yet" in said
