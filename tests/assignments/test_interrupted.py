"""Grading that was killed goes on where it was, and comes to the same marks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from _grading import course, notebooks

ROOT = Path(__file__).resolve().parents[2]
NAME = "spatial_attention"
STUDENTS = ("ann", "bob", "cat", "dan")


def command(folder: Path) -> subprocess.Popen:
    path = os.pathsep.join([str(ROOT / "nbs" / "assignments"), str(ROOT)])
    words = [sys.executable, "-m", "_grading", "grade", NAME, "--submissions", "submitted"]
    environment = os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        words,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def children(pid: int) -> set[int]:
    """All processes below a process."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(c) for c in below} | {g for c in below for g in children(int(c))}


def test_killed_in_the_middle_it_resumes_to_the_same_marks(tmp_path):
    book = notebooks.source(NAME)
    wrong = notebooks.wrong_solutions(NAME)
    for number, student in enumerate(STUDENTS):
        submission = notebooks.with_wrong(book, wrong[number])
        notebooks.write(submission, tmp_path / "submitted" / f"{student}.ipynb")
    place = tmp_path / "_grades" / NAME
    running = command(tmp_path)
    until = time.monotonic() + 240
    while not list(place.glob("results/*.json")) and time.monotonic() < until:
        assert running.poll() is None, running.communicate()
        time.sleep(0.02)
    below = children(running.pid)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    done = {p.stem: p.read_bytes() for p in place.glob("results/*.json")}
    assert 1 <= len(done) < len(STUDENTS) and not (place / "marks.csv").exists()
    while any(alive(pid) for pid in below) and time.monotonic() < until:
        time.sleep(0.05)
    assert below and not any(alive(pid) for pid in below), "a room outlived its grader"

    again = command(tmp_path)
    said, errors = again.communicate(timeout=240)
    assert again.returncode == 0, errors
    assert not [student for student in done if f"{student}:" in said], "graded twice"
    assert all((place / "results" / f"{s}.json").read_bytes() == data for s, data in done.items())
    resumed = (place / "marks.csv").read_text()
    course.grade(NAME, tmp_path / "submitted", tmp_path / "at_once", say=lambda line: None)
    assert resumed == (tmp_path / "at_once" / NAME / "marks.csv").read_text()
    assert len(resumed.splitlines()) == 1 + len(STUDENTS)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
