"""The three commands of a course: release, validate, grade."""

from __future__ import annotations

import csv
import hashlib
import html
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import notebooks
from .examiner import NO_ANSWER, Building, GradingError, Outcome, Report, examine
from .notebooks import Unreadable

BY_HAND = ["student", "question", "points", "marks", "comment"]
STYLE = """body{font:16px/1.5 sans-serif;max-width:56em;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ccc;padding:.3em .6em;
text-align:left;vertical-align:top}.no{background:#fff0f0}.yes{background:#f0fff0}
.wait{background:#fffbe0}pre{white-space:pre-wrap;background:#f6f6f6;padding:.6em}"""


@dataclass(frozen=True)
class Submission:
    """A student's name and file."""

    student: str
    path: Path


def release(names: list[str], folder: Path, seed: int | None = None) -> list[Path]:
    """Writes the students' versions, and one zip of them all.

    names: assignments.
    folder: where to; each assignment gets a folder of its own, as nbgrader has it.
    seed: the year's seed; None keeps the one in the sources.
    Returns the files, the zip last.
    """
    written = []
    for name in names:
        book = notebooks.source(name, seed)
        path = folder / name / f"{name}.ipynb"
        made = notebooks.released(book)
        shown = json.dumps(made, ensure_ascii=False)
        leaked = [
            s for s in notebooks.secrets(book) if json.dumps(s, ensure_ascii=False)[1:-1] in shown
        ]
        if leaked:
            raise Unreadable(
                f"{name}: a line of a solution or hidden test is also shown: {leaked[0]}"
            )
        notebooks.write(made, path)
        written.append(path)
    archive = folder / "assignments.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in written:
            packed.write(path, path.relative_to(folder))
    return [*written, archive]


def validate(path: Path, weak: bool = True) -> str:
    """Runs the visible tests of a student's own notebook, and says what they came to.

    path: the notebook.
    weak: whether to do without walls where the system has none; it is the student's own code.
    """
    book = notebooks.read(path)
    if not any(cell.role == "solution" for cell in notebooks.cells(book)):
        raise Unreadable(f"{path.name} is no assignment of this course")
    with Building(book, weak) as building:
        report = examine(building, book, book)
    lines = [f"{o.name:24} {'right' if o.marks else o.reason}" for o in report.outcomes]
    failed = [o for o in report.outcomes if o.marks == 0 and o.reason != NO_ANSWER]
    ending = (
        "All visible tests are right; hidden ones decide."
        if not failed
        else f"{len(failed)} to do."
    )
    return "\n".join([*report.problems, *lines, ending])


def submissions(folder: Path, name: str) -> list[Submission]:
    """What was handed in: `<student>/<name>/<name>.ipynb` as in nbgrader, `<student>/<name>.ipynb`,
    or `<student>.ipynb`.
    """
    found = {}
    for place in sorted(folder.iterdir()):
        if place.name.startswith((".", "_")):
            continue
        if place.suffix == ".ipynb":
            found[place.stem] = place
        elif place.is_dir() and not place.is_symlink():
            nested = place / name / f"{name}.ipynb"
            flat = place / f"{name}.ipynb"
            if nested.exists() or nested.is_symlink() or not (flat.exists() or flat.is_symlink()):
                found.setdefault(place.name, nested)
            else:
                found.setdefault(place.name, flat)
    return [Submission(student, path) for student, path in sorted(found.items())]


def grade(
    name: str,
    folder: Path,
    out: Path,
    seed: int | None = None,
    *,
    weak: bool = False,
    limits: dict | None = None,
    say: Callable[[str], object] = print,
) -> dict[str, Report]:
    """Grades every submission to one assignment; what is graded already is not run again.

    name: of the assignment.
    folder: the submissions.
    out: where a folder `<name>` with marks.csv, by_hand.csv, answers.html and feedback/ goes.
    seed: the year's seed.
    weak: whether to go on without walls.
    limits: what differs from the usual limits.
    say: gets a line about each submission.
    Raises GradingError before anything is graded if the reference does not get full marks here.
    """
    book = notebooks.source(name, seed)
    place = out / name
    reports: dict[str, Report] = {}
    with Building(book, weak) as building:
        if building.problem:
            say(f"No walls here ({building.problem}): submissions can read files and go online.")
        check_reference(building, book, limits)
        for one in submissions(folder, name):
            result = place / "results" / f"{one.student}.json"
            key = fingerprint(book, one.path)
            report = stored(result, key)
            if report is None:
                report = examine_file(building, book, folder, one.path, limits)
                notebooks.write_text(result, json.dumps({"key": key, **report.as_dict()}, indent=1))
                say(f"{one.student}: {report.marks:g} in {report.seconds:.1f} s")
            reports[one.student] = report
    publish(book, reports, place)
    return reports


def check_reference(building: Building, book: dict, limits: dict | None = None) -> None:
    """Grades the reference solution first: if it is not right here, nothing would be."""
    report = examine(building, book, notebooks.answered(book), limits)
    failed = [o for o in report.outcomes if o.marks is not None and o.marks < o.points]
    if failed or report.problems:
        first = failed[0].reason if failed else report.problems[0]
        raise GradingError(
            f"the reference solution does not get full marks here ({first}), so right answers "
            "would lose marks too. Nothing was graded. Mend the environment or the assignment."
        )


def examine_file(
    building: Building, book: dict, folder: Path, path: Path, limits: dict | None
) -> Report:
    """A submission's report; a file that cannot be read gets no marks and a reason."""
    try:
        if path.resolve() != folder.resolve() / path.relative_to(folder):
            raise Unreadable("the file or its folder is a link; hand in the notebook itself")
        submission = notebooks.read(path)
        return examine(building, book, submission, limits)
    except Unreadable as error:
        report = Report(problems=[str(error)])
        for cell in notebooks.cells(book):
            if cell.role in ("test", "question"):
                report.outcomes.append(Outcome(cell.name, cell.points, 0.0, str(error)))
        return report


def fingerprint(book: dict, path: Path) -> str:
    """Changes when the submission, the assignment or the grading changes."""
    text = hashlib.sha256(json.dumps(book, sort_keys=True).encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        text.update(file.read_bytes())
    if path.is_file() and not path.is_symlink() and path.stat().st_size <= notebooks.LARGEST:
        text.update(path.read_bytes())
    return text.hexdigest()


def stored(path: Path, key: str) -> Report | None:
    """A result of an earlier run, if nothing has changed since."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Report.from_dict(values) if values.pop("key") == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def publish(book: dict, reports: dict[str, Report], place: Path) -> None:
    """Writes the marks, a page for each student, and a page of answers to mark by hand."""
    marked = hand_marks(book, reports, place / "by_hand.csv")
    rows = [marks_row(student, report, marked) for student, report in reports.items()]
    columns = list(rows[0]) if rows else ["student"]
    write_table(place / "marks.csv", columns, rows)
    for student, report in reports.items():
        text = feedback(book, student, report, marked)
        notebooks.write_text(place / "feedback" / f"{student}.html", text)
    notebooks.write_text(place / "answers.html", answer_page(book, reports))


def marks_row(student: str, report: Report, marked: dict) -> dict:
    """A student's line of the table of marks."""
    row: dict[str, object] = {"student": student}
    total, waiting = 0.0, []
    for o in report.outcomes:
        given = o.marks if o.marks is not None else marked.get((student, o.name), (None, ""))[0]
        row[o.name] = "" if given is None else f"{given:g}"
        total += given or 0.0
        waiting += [o.name] if given is None else []
    row["total"], row["of"] = f"{total:g}", f"{sum(o.points for o in report.outcomes):g}"
    row["to mark by hand"] = " ".join(waiting)
    row["remarks"] = "; ".join(report.problems)[:500]
    return row


def hand_marks(book: dict, reports: dict[str, Report], path: Path) -> dict:
    """Marks given by hand, from a table that grows: (student, question) -> marks and comment.

    Raises GradingError for marks that are no number between 0 and the question's points.
    """
    rows, marked = [], {}
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{k: plain(v) for k, v in row.items() if k} for row in csv.DictReader(file)]
    known = {(row["student"], row["question"]) for row in rows}
    for student, report in reports.items():
        for o in report.outcomes:
            if o.marks is None and (student, o.name) not in known:
                rows.append(dict(zip(BY_HAND, (student, o.name, f"{o.points:g}", "", ""))))
    points = {c.name: c.points for c in notebooks.cells(book)}
    for row in rows:
        if row["marks"].strip():
            try:
                value = float(row["marks"].replace(",", "."))
            except ValueError:
                value = -1.0
            if not 0 <= value <= points.get(row["question"], 0):
                raise GradingError(f"{path}: {row['student']} has {row['marks']!r} marks")
            marked[row["student"], row["question"]] = (value, row["comment"])
    write_table(path, BY_HAND, rows)
    return marked


def write_table(path: Path, columns: list[str], rows: list[dict]) -> None:
    """Writes a CSV; no cell is taken for a formula by a spreadsheet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spare = path.with_name(path.name + ".tmp~")
    with spare.open("w", newline="", encoding="utf-8", errors="replace") as file:
        table = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        table.writeheader()
        table.writerows({k: safe(str(v)) for k, v in row.items()} for row in rows)
    spare.replace(path)


def safe(text: str) -> str:
    """A text that a spreadsheet does not run."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t") else text


def plain(text: str | None) -> str:
    """The inverse of `safe`."""
    text = text or ""
    return text[1:] if text[:1] == "'" and text[1:2] in ("=", "+", "-", "@", "\t") else text


def feedback(book: dict, student: str, report: Report, marked: dict) -> str:
    """A student's page: what each test gave and why, without a line of a hidden test."""
    rows, total = [], 0.0
    for o in report.outcomes:
        given, note = o.marks, o.reason
        if given is None:
            given, note = marked.get((student, o.name), (None, o.reason))
        total += given or 0.0
        look = "wait" if given is None else "yes" if given == o.points else "no"
        shown = "–" if given is None else f"{given:g}"
        cells = (o.name, f"{shown} of {o.points:g}", note)
        rows.append(f'<tr class="{look}">' + "".join(map(table_cell, cells)) + "</tr>")
    most = sum(o.points for o in report.outcomes)
    parts = [
        f"<h1>{html.escape(title(book))}</h1>",
        f"<p>{html.escape(student)}: {total:g} of {most:g}</p>",
    ]
    parts += ["<table><tr><th>test<th>marks<th>why</tr>", *rows, "</table>"]
    if report.problems:
        parts += [
            "<h2>While your cells ran</h2>",
            *(f"<p>{html.escape(p)}</p>" for p in report.problems),
        ]
    return page(title(book), parts)


def table_cell(text: str) -> str:
    """One cell of a page's table."""
    return f"<td>{html.escape(text)}</td>"


def answer_page(book: dict, reports: dict[str, Report]) -> str:
    """All answers in words, under the model answer; for the instructor only."""
    parts = [f"<h1>{html.escape(title(book))}: answers to mark in by_hand.csv</h1>"]
    for cell in notebooks.cells(book):
        if cell.role == "question":
            parts += [f"<h2>{html.escape(cell.name)}, {cell.points:g} marks</h2>"]
            parts += [f"<pre>{html.escape(cell.source)}</pre>"]
            for student, report in reports.items():
                text = report.answers.get(cell.name, "")
                parts += [f"<h3>{html.escape(student)}</h3><pre>{html.escape(text)}</pre>"]
    return page("answers", parts)


def title(book: dict) -> str:
    """The heading of an assignment."""
    return str(book["cells"][0]["source"]).splitlines()[0].lstrip("# ")


def page(name: str, parts: list[str]) -> str:
    """A page without scripts."""
    head = f'<meta charset="utf-8"><title>{html.escape(name)}</title><style>{STYLE}</style>'
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    rule = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    return (
        f"<!doctype html><html><head>{rule}{head}</head><body>"
        + "\n".join(parts)
        + "</body></html>\n"
    )
