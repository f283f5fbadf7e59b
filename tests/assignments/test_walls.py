"""The same walls for a user who is not root; and what happens where a system allows none."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from _grading import notebooks
from _grading.examiner import Building, examine

ROOT = Path(__file__).resolve().parents[2]
NAME = "spatial_attention"
AS_ROOT = ["unshare", "--user", "--map-root-user"]
NOBODY = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
NO_WALLS = [*AS_ROOT, "sh", "-c", 'echo 0 > /proc/sys/user/max_mnt_namespaces && exec "$@"', "sh"]
PROBE = """
import os
from pathlib import Path
SEEN = [p for p in ({secret!r}, {source!r}, "/proc/1", "/etc/passwd") if Path(p).exists()]
for place in (Path("/left_here"), Path({package!r}) / "left_here", Path({source!r})):
    try:
        place.mkdir(parents=True)
        SEEN.append(f"wrote {{place}}")
    except OSError:
        pass
try:
    import socket
    socket.create_connection(("127.0.0.1", 9), 1)
    SEEN.append("network")
except ConnectionRefusedError:
    SEEN.append("this machine's network")
except OSError:
    pass
try:
    import ctypes
    library = ctypes.CDLL(None)
    if not library.mount(b"none", b"/", None, 4096 | 32, None):
        SEEN.append("mounts")
except OSError:
    pass
assert not SEEN, SEEN
"""


def works(start: list[str]) -> bool:
    """Whether this system lets us start a program that way."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*start, "true"], capture_output=True).returncode == 0


def grade(folder: Path, start: list[str], *options: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(ROOT / "nbs" / "assignments"), str(ROOT)])
    words = [sys.executable, "-m", "_grading", "grade", NAME, "--submissions", "submitted"]
    environment = os.environ | {"PYTHONPATH": path, "TMPDIR": str(folder)}
    return subprocess.run(
        [*start, *words, *options], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.fixture()
def handed_in(tmp_path) -> Path:
    """Two students: one looks around first, and the other comes after."""
    book = notebooks.source(NAME)
    secret = tmp_path / "gradebook.db"
    secret.write_text("all marks")
    package = ROOT / "svr_nb"
    known = {"secret": str(secret), "source": str(notebooks.SOURCES), "package": str(package)}
    nosy = notebooks.answered(book)
    more = {"cell_type": "code", "id": "looks", "metadata": {"nbgrader": {}}, "outputs": []}
    nosy["cells"].append(more | {"execution_count": None, "source": PROBE.format(**known)})
    notebooks.write(nosy, tmp_path / "submitted" / "ann.ipynb")
    notebooks.write(notebooks.answered(book), tmp_path / "submitted" / "bob.ipynb")
    return tmp_path


def marks(folder: Path) -> list[list[str]]:
    with (folder / "_grades" / NAME / "marks.csv").open(newline="", encoding="utf-8") as file:
        return [[row[c] for c in ("student", "total", "remarks")] for row in csv.DictReader(file)]


def test_a_user_without_rights_has_the_same_walls(handed_in):
    start = [] if os.geteuid() else NOBODY
    if not works([*(start or AS_ROOT)]):
        pytest.skip("this system lets no user make namespaces (see max_user_namespaces)")
    done = grade(handed_in, start)
    assert done.returncode == 0, done.stderr
    assert "No walls" not in done.stdout
    assert marks(handed_in) == [["ann", "20", ""], ["bob", "20", ""]]


def test_python_and_the_course_may_lie_below_tmp(handed_in, monkeypatch):
    """The scratch folder of a submission hides nothing that it needs."""
    (handed_in / "site-packages").mkdir()
    (handed_in / "site-packages" / "late.py").write_text("value = 1")
    monkeypatch.setenv("GRADING_PATH", str(handed_in / "site-packages"))
    more = "import late, os, tempfile\nfrom pathlib import Path\n"
    more += "for place in (Path.cwd(), Path(tempfile.gettempdir())):\n"
    more += "    (place / 'mine').write_text('x')\n"
    ann = notebooks.read(handed_in / "submitted" / "ann.ipynb")
    ann["cells"][-1]["source"] = more
    with Building(notebooks.source(NAME)) as building:
        found = examine(building, notebooks.source(NAME), ann)
    assert found.problems == [] and found.marks == 20


def test_without_walls_nothing_is_graded_unless_all_are_trusted(handed_in):
    if not works(NO_WALLS):
        pytest.skip("this system lets nobody forbid namespaces in a namespace of his own")
    ann = handed_in / "submitted" / "ann.ipynb"
    only_reads = ann.read_text(encoding="utf-8").replace(
        "place.mkdir(parents=True)", "raise OSError"
    )
    ann.write_text(only_reads, encoding="utf-8")
    refused = grade(handed_in, NO_WALLS)
    assert refused.returncode == 1 and "WEAK=1" in refused.stderr, refused.stderr
    assert "Traceback" not in refused.stderr and not (handed_in / "_grades").exists()
    done = grade(handed_in, NO_WALLS, "--weak")
    assert done.returncode == 0, done.stderr
    assert "No walls here" in done.stdout
    found = marks(handed_in)
    assert [row[:2] for row in found] == [["ann", "20"], ["bob", "20"]]
    assert "gradebook.db" in found[0][2], "without walls it can read files: that is what weak means"
    assert not list(handed_in.glob("svr_room_*")), "the scratch folder is left behind"
