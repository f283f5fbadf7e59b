"""nbgrader itself reads the same sources, and comes to the same student versions and marks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from _grading import notebooks

pytest.importorskip("nbgrader")
NAME = "spatial_attention"
CONFIG = """
c = get_config()
c.CourseDirectory.course_id = "svr"
c.CourseDirectory.root = "."
c.ExecutePreprocessor.timeout = 300
"""


def nbgrader(folder: Path, *arguments: str) -> str:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it calls alembic
    command = [sys.executable, "-m", "nbgrader", *arguments]
    environment = os.environ | {"PATH": programs}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_release_and_marks_are_those_of_nbgrader(tmp_path, monkeypatch):
    (tmp_path / "nbgrader_config.py").write_text(CONFIG)
    book = notebooks.source(NAME)
    notebooks.write(book, tmp_path / "source" / NAME / f"{NAME}.ipynb")
    nbgrader(tmp_path, "generate_assignment", NAME)
    theirs = json.loads((tmp_path / "release" / NAME / f"{NAME}.ipynb").read_text())["cells"]
    ours = notebooks.released(book)["cells"]
    assert ["".join(c["source"]) for c in theirs] == [c["source"] for c in ours]
    marks = [c["metadata"].get("nbgrader", {}) for c in theirs]
    assert marks == [c["metadata"]["nbgrader"] for c in ours]  # with their checksums

    wrong = notebooks.wrong_solutions(NAME)[0]
    handed_in = {"right": notebooks.answered(book), "wrong": notebooks.with_wrong(book, wrong)}
    for student, submission in handed_in.items():
        notebooks.write(submission, tmp_path / "submitted" / student / NAME / f"{NAME}.ipynb")
    nbgrader(tmp_path, "autograde", NAME)
    from nbgrader.api import Gradebook

    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    with Gradebook(f"sqlite:///{tmp_path}/gradebook.db") as gradebook:
        found = {
            s.student.id: {g.name: g.auto_score for n in s.notebooks for g in n.grades}
            for s in gradebook.assignment_submissions(NAME)
        }
    tests = {c.name: c.points for c in notebooks.cells(book) if c.role == "test"}
    for student, expected in (("right", tests), ("wrong", tests | wrong.marks)):
        assert {k: v for k, v in found[student].items() if k in tests} == expected
