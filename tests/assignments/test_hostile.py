"""Hostile submissions: the right marks or none and a reason, no harm, everybody else graded."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest
from _grading import course, notebooks
from _grading.examiner import Building, examine

NAME = "tiny"
LIMITS = {"cell": 1, "wait": 40, "total": 90, "memory": 2000, "file": 4}
ANN = "def double(x):\n    return 2 * x  # this is ann's\n"
BOB = "def halve(x):\n    return x / 2\n"
GIVEN = "import torch\n\nSEED = 1\none = torch.ones(3)"
TESTS = {
    "double": "assert torch.equal(double(one), one + one), 'not twice as much'\n### BEGIN HIDDEN TESTS\n"
    "assert double(21) == 42\n### END HIDDEN TESTS",
    "halve": "assert torch.equal(halve(one + one), one), 'not half as much'\n### BEGIN HIDDEN TESTS\n"
    "assert halve(42) == 21\n### END HIDDEN TESTS",
}


def cell(name: str, source: str, points: float = 0, solution: bool = False) -> dict:
    mark = {"grade_id": name, "grade": points > 0, "solution": solution, "locked": not solution}
    mark |= {"points": points} if points else {}
    meta = {"nbgrader": {**mark, "schema_version": 3, "task": False}} if name else {}
    code = {"cell_type": "code", "execution_count": None, "outputs": []}
    return {**code, "id": name or "more", "metadata": meta, "source": source}


def book(double: str = ANN, halve: str = BOB, more: str = "") -> dict:
    """A submission to an assignment of two functions, or the assignment itself."""
    cells = [cell("given", GIVEN)]
    cells += [cell("", more)] if more else []
    for name, text in (("double", double), ("halve", halve)):
        cells.append(cell(f"{name}_it", text, solution=True))
        cells.append(cell(f"{name}_test", TESTS[name], points=2 if name == "double" else 1))
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def source() -> dict:
    marked = "    ### BEGIN SOLUTION\n    return {}\n    ### END SOLUTION\n"
    return book(
        "def double(x):\n" + marked.format("x + x"), "def halve(x):\n" + marked.format("0.5 * x")
    )


LINE = """
import gc, json, struct
student = [o for o in gc.get_objects() if type(o).__name__ == "Student"][0]
def forge(tree, sizes=()):
    head = json.dumps([tree, list(sizes)]).encode()
    student.line.sendall(struct.pack(">QQ", len(head), len(head)) + head)
"""
# Each: the source of double, of a cell of one's own, the marks of (double, halve), and a reason.
FORGED = [
    {"ok": {"tensor": ["torch.float32", [1 << 40], -1]}},
    {"ok": 42, "through": [7], "graph": "x", "changed": [[99, 1]]},
    {"error": {"kinds": [[]], "stopped": 1}},
    {"error": 5},
    {"cell": -1, "error": {"kinds": [["builtins", "MemoryError"]]}},
    {"cell": 10**6},
    {"callback": 0, "values": 1},
    {"ok": {"handle": "none"}},
    {"ok": {"data": ["svr_nb.conventions", "refuse", []]}},
    [],
    5,
]
EVIL: dict[str, tuple[str, str, tuple[int, int], str]] = {
    "loop_in_a_cell": (ANN, "while True: pass", (2, 1), "more than 1 s of processor time"),
    "loop_in_a_function": (
        "def double(x):\n    while True: pass",
        "",
        (0, 1),
        "more than 1 s of processor time",
    ),
    "exit": (ANN, "raise SystemExit", (2, 1), "SystemExit"),
    "exit_of_the_process": ("import os\ndef double(x): os._exit(0)", "", (0, 1), "exit code 0"),
    "exit_in_a_thread": (
        ANN,
        "import sys, threading\nt = threading.Thread(target=sys.exit)\nt.start(); t.join()",
        (2, 1),
        "",
    ),
    "fork_bomb": (
        ANN,
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        (2, 1),
        "more than 1 s of processor time",
    ),
    "memory": ("def double(x): return bytearray(10 << 30)", "", (0, 1), "MemoryError"),
    "much_memory_in_pieces": (
        "def double(x):\n    kept = []\n    while True: kept.append(bytes(64 << 20))",
        "",
        (0, 1),
        "MemoryError",
    ),
    "prints": (ANN, "while True: print('x' * 100_000)", (2, 1), "File too large"),
    "big_file": (
        ANN,
        "with open('big', 'wb') as f:\n    while True: f.write(bytes(1 << 20))",
        (2, 1),
        "File too large",
    ),
    "deletes": (
        ANN,
        "import shutil\nfor p in ({places}, '/', '.'):\n    shutil.rmtree(p, ignore_errors=True)",
        (2, 1),
        "",
    ),
    "network": (
        ANN,
        "import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)",
        (2, 1),
        "Error",
    ),
    "reads": (
        "from pathlib import Path\ndef double(x):\n"
        "    seen = [p for p in ({places}) if Path(p).exists()]\n"
        "    seen += [*Path('/proc').glob('*'), *Path('/tmp').glob('*')]\n"
        "    if not seen: raise LookupError('nothing to read')\n    return 2 * x",
        "",
        (0, 1),
        "nothing to read",
    ),
    "segfault": ("import ctypes\ndef double(x): ctypes.string_at(0)", "", (0, 1), "SIGSEGV"),
    "kills": (
        "def double(x):\n    import os\n    for p in ({pid}, os.getppid(), 1, -1):\n"
        "        try: os.kill(p, 9)\n        except OSError: pass\n    return 2 * x",
        "",
        (2, 1),
        "",
    ),
    "patches": (
        "import builtins, torch\ndef double(x): return x\n"
        "torch.equal = torch.allclose = lambda *a, **k: True\n"
        "torch.Tensor.__eq__ = lambda *a: True\nbuiltins.AssertionError = Warning\n"
        "double.__eq__ = lambda *a: True\n__debug__x = True",
        "",
        (0, 1),
        "not twice as much",
    ),
    "always_equal": (
        "class Same:\n    __eq__ = __bool__ = lambda *a: True\n"
        "    __torch_function__ = classmethod(lambda *a, **k: True)\ndef double(x): return Same()",
        "",
        (0, 1),
        "TypeError",
    ),
    "endless_messages": (
        "def double(x):\n"
        + LINE.replace("\n", "\n    ")
        + "\n    while True: forge({{'cell': 2}})",
        "",
        (0, 1),
        "",
    ),
    "half_a_character": (
        "def double(x): raise ValueError('\\ud800=1+1')",
        "raise ValueError('\\ud800')",
        (0, 1),
        "ValueError",
    ),
} | {
    f"forges_{number}": (
        "def double(x):\n"
        + LINE.replace("\n", "\n    ")
        + f"\n    forge({message!r})\n    return x",
        "",
        (0, 1),
        "",
    )
    for number, message in enumerate(FORGED)
}
OTHERS = {"broken", "edited", "deleted", "linked", "linked_folder", "huge", "pipe"}


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    """A class in which all but ann and zoe are hostile, graded once."""
    place = tmp_path_factory.mktemp("course")
    outside, handed_in = place / "gradebook.db", place / "submitted"
    outside.write_text("all marks")
    outside.chmod(0o666)
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notebooks, "SOURCES", place / "_source")
        notebooks.write(source(), place / "_source" / NAME / f"{NAME}.ipynb")
        hand = lambda who, what: notebooks.write(what, handed_in / f"{who}.ipynb")
        hand("ann", book())
        hand("zoe", book())
        places = ", ".join(repr(str(p)) for p in (place, handed_in, outside, notebooks.HERE))
        known = {"places": places, "port": server.getsockname()[1], "pid": os.getpid()}
        for who, (double, more, _, _) in EVIL.items():
            named = [t if "forge" in who else fill(t, known) for t in (double, more)]
            hand(who, book(named[0], more=named[1]))
        others(handed_in)
        before = {p: p.read_bytes() for p in place.rglob("*") if p.is_file()}
        reports = course.grade(
            NAME, handed_in, place / "grades", limits=LIMITS, say=lambda line: None
        )
    changed = [p for p, data in before.items() if not p.exists() or p.read_bytes() != data]
    try:
        visited = bool(server.accept())
    except TimeoutError:
        visited = False
    server.close()
    return {"reports": reports, "changed": changed, "visited": visited, "place": place}


def fill(text: str, known: dict) -> str:
    for name, value in known.items():
        text = text.replace("{" + name + "}", str(value))
    return text.replace("{{", "{").replace("}}", "}")


def others(folder: Path) -> None:
    """Files that are no honest notebook."""
    wrong = "def double(x): return x"
    edited, deleted = book(wrong), book(wrong)
    for one in edited["cells"]:
        if "_test" in one["id"]:
            one["source"] = "pass"
            one["metadata"]["nbgrader"] |= {"points": 100, "grade": True, "solution": True}
    deleted["cells"] = [c for c in deleted["cells"] if c["id"] in ("double_it", "halve_it")]
    notebooks.write(edited, folder / "edited.ipynb")
    notebooks.write(deleted, folder / "deleted.ipynb")
    (folder / "broken.ipynb").write_text('{"cells": [')
    (folder / "huge.ipynb").write_bytes(b"[" * (notebooks.LARGEST + 1))
    (folder / "linked.ipynb").symlink_to(folder / "ann.ipynb")
    real = folder.parent / "elsewhere"
    notebooks.write(book(), real / f"{NAME}.ipynb")
    (folder / "linked_folder").mkdir()
    (folder / "linked_folder" / NAME).symlink_to(real)
    (folder / "pipe").mkdir()
    os.mkfifo(folder / "pipe" / f"{NAME}.ipynb")


def why(report) -> str:
    return " ".join([*report.problems, *(o.reason for o in report.outcomes)])


@pytest.mark.parametrize("who", EVIL)
def test_a_hostile_submission_gets_its_marks_and_a_reason(victim, who):
    report, (_, _, marks, reason) = victim["reports"][who], EVIL[who]
    assert tuple(report.by_test.values()) == marks, why(report)
    assert reason in why(report)
    assert sum(marks) == 3 or why(report).strip(), "lost marks need a reason"


@pytest.mark.parametrize(
    ("who", "marks", "reason"),
    [
        ("broken", 0, "no notebook"),
        ("huge", 0, "larger than 10 MB"),
        ("linked", 0, "a link"),
        ("linked_folder", 0, "a link"),
        ("pipe", 0, "no such file"),
        ("edited", 1, "not twice as much"),
        ("deleted", 1, "not twice as much"),
    ],
)
def test_what_is_no_honest_notebook_gets_no_more_than_it_deserves(victim, who, marks, reason):
    report = victim["reports"][who]
    assert report.marks == marks and reason in why(report)


def test_nobody_else_was_harmed(victim):
    reports, place = victim["reports"], victim["place"]
    assert set(reports) == {"ann", "zoe", *EVIL, *OTHERS}
    assert reports["ann"].marks == reports["zoe"].marks == 3
    assert not victim["changed"] and not victim["visited"]
    pages = list((place / "grades" / NAME / "feedback").glob("*.html"))
    assert len(pages) == len(reports)
    assert not [p for p in pages if "double(21) == 42" in p.read_text(encoding="utf-8")]


@pytest.mark.parametrize(
    "body",
    [
        "import time\n    time.sleep(1000)",
        "import os, signal\n    os.kill(os.getpid(), signal.SIGSTOP)",
        LINE.replace("\n", "\n    ")
        + "\n    import time\n    student.line.sendall(struct.pack('>QQ', 1000, 9))\n"
        "    for _ in range(100):\n" + "        student.line.sendall(bytes(1)); time.sleep(0.1)",
    ],
    ids=["sleeps", "stops", "one byte at a time"],
)
def test_who_waits_is_not_waited_for(body):
    began = time.monotonic()
    with Building(source()) as building:
        limits = LIMITS | {"wait": 3}
        report = examine(building, source(), book(f"def double(x):\n    {body}"), limits)
    assert report.by_test["double_test"] == 0 and "took longer than 3 s" in why(report)
    assert time.monotonic() - began < 60
