"""python -m _grading release|validate|grade: see each command's --help."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """The three commands and their options."""
    top = argparse.ArgumentParser(
        prog="_grading", description="Assignments: release, validate, grade."
    )
    commands = top.add_subparsers(dest="command", required=True)
    made = commands.add_parser("release", help="write the students' notebooks, and a zip of them")
    made.add_argument("assignments", nargs="*", help="names; all if none is given")
    made.add_argument("--out", type=Path, default=Path("_release"))
    made.add_argument("--seed", type=int, help="this year's seed")
    own = commands.add_parser("validate", help="run the visible tests of your own notebook")
    own.add_argument("notebook", type=Path)
    marks = commands.add_parser("grade", help="give marks to a folder of submissions")
    marks.add_argument("assignment")
    marks.add_argument("--submissions", type=Path, default=Path("submitted"))
    marks.add_argument("--out", type=Path, default=Path("_grades"))
    marks.add_argument("--seed", type=int, help="this year's seed, as released")
    marks.add_argument(
        "--weak", action="store_true", help="go on without walls; only if you trust all"
    )
    return top


def main(arguments: list[str]) -> int:
    """Runs one command; a refusal is one sentence and exit code 1."""
    given = parser().parse_args(arguments)
    try:
        from . import course, notebooks
        from .examiner import GradingError
    except ImportError as error:
        print(f"error: {error}. Nothing was done: run `make setup` first.", file=sys.stderr)
        return 1
    try:
        if given.command == "release":
            names = given.assignments or notebooks.assignments()
            for path in course.release(names, given.out, given.seed):
                print(path)
        elif given.command == "validate":
            print(course.validate(given.notebook))
        else:
            if not given.submissions.is_dir():
                raise GradingError(f"there is no folder {given.submissions} with submissions")
            options = {"seed": given.seed, "weak": given.weak}
            course.grade(given.assignment, given.submissions, given.out, **options)
            print(given.out / given.assignment / "marks.csv")
    except (GradingError, notebooks.Unreadable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
