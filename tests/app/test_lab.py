"""The book in a folder: written once, kept up to date, never over anything of the reader's."""

from __future__ import annotations

import ast
import io
import json
import sys
import zipfile
from pathlib import Path

import pytest

from svr_nb.app import lab
from svr_nb.app.book_archive import gather, pack, without_outputs
from svr_nb.conventions import FileError

ROOT = Path(__file__).resolve().parents[2]
OLD = {"nbs/index.ipynb": b"{1}", "nbs/shapes/100_shapes.ipynb": b"{2}", "data_samples/a": b"3"}
NEW = OLD | {"nbs/index.ipynb": b"{new}", "nbs/lessons/011_x.ipynb": b"{4}"}


@pytest.fixture
def shelf(monkeypatch):
    """A library whose book can be exchanged."""

    def put(files: dict[str, bytes]) -> None:
        monkeypatch.setattr(lab, "find_book", lambda: files)

    put(OLD)
    return put


def test_a_new_folder_gets_the_whole_book(shelf, tmp_path):
    done = lab.book(tmp_path / "deep" / "book")
    assert sorted(done.new) == sorted(OLD) and not done.kept
    for place, data in OLD.items():
        assert (tmp_path / "deep" / "book" / place).read_bytes() == data


def test_a_second_visit_writes_nothing(shelf, tmp_path):
    lab.book(tmp_path)
    (tmp_path / "nbs" / "index.ipynb").write_text("mine")
    shelf(NEW)
    assert not lab.book(tmp_path).new
    assert (tmp_path / "nbs" / "index.ipynb").read_text() == "mine"
    assert not (tmp_path / "nbs" / "lessons").exists()


def test_an_update_replaces_what_nobody_changed(shelf, tmp_path):
    lab.book(tmp_path)
    shelf(NEW)
    done = lab.book(tmp_path, update=True)
    assert sorted(done.new) == ["nbs/index.ipynb", "nbs/lessons/011_x.ipynb"]
    assert (tmp_path / "nbs" / "index.ipynb").read_bytes() == b"{new}"


def test_an_update_keeps_what_the_reader_changed(shelf, tmp_path):
    lab.book(tmp_path)
    index = tmp_path / "nbs" / "index.ipynb"
    index.write_text("mine")
    (tmp_path / "nbs" / "own.ipynb").write_text("also mine")
    beside = index.with_name("index.new.ipynb")
    done = lab.book(tmp_path, update=True)
    assert done.yours == ["nbs/index.ipynb"] and not beside.exists()  # nothing is newer
    shelf(NEW)
    done = lab.book(tmp_path, update=True)
    assert done.kept == ["nbs/index.ipynb"] and "you changed nbs/index.ipynb" in str(done)
    again = lab.book(tmp_path, update=True)
    assert again.yours == done.kept and not again.kept and "nothing newer" in str(again)
    assert index.read_text() == "mine" and beside.read_bytes() == b"{new}"
    assert (tmp_path / "nbs" / "own.ipynb").read_text() == "also mine"


def test_a_book_that_is_opened_again_is_not_called_unchanged(shelf, tmp_path):
    lab.book(tmp_path)
    (tmp_path / "nbs" / "index.ipynb").write_text("mine")
    assert "unchanged" not in str(lab.book(tmp_path)) and lab.book(tmp_path).left


@pytest.mark.parametrize("update", [False, True])
def test_a_folder_with_other_files_is_left_alone(shelf, tmp_path, update):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileError, match="Name a new folder"):
        lab.book(tmp_path, update=update)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_no_folder(shelf, tmp_path):
    (tmp_path / "a").write_text("a")
    with pytest.raises(FileError, match="folder"):
        lab.book(tmp_path / "a")
    with pytest.raises(FileError, match="write"):
        lab.book(tmp_path / "a" / "b")


def test_a_tilde_is_the_home_folder(shelf, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert lab.book("~/book").folder == tmp_path / "book"


@pytest.mark.parametrize("place", ["../a", "/a", "a/../../b", "C:/a", "..\\a", "a\\b", "~:x"])
def test_an_archive_that_leads_outside_is_refused_whole(place):
    with pytest.raises(FileError, match="inside its folder"):
        lab.unpack(pack({"nbs/good.ipynb": b"", place: b""}))


def test_a_bomb_and_a_broken_archive_are_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(lab.LARGEST + 1))
    with pytest.raises(FileError, match="more than that"):
        lab.unpack(buffer.getvalue())
    with pytest.raises(FileError, match="readable archive"):
        lab.unpack(pack(OLD)[:40])


def test_what_is_packed_comes_out_again():
    assert lab.unpack(pack(OLD)) == OLD
    assert pack(OLD) == pack(dict(reversed(OLD.items())))


@pytest.mark.skipif(not (ROOT / "nbs").is_dir(), reason="not a checkout")
def test_the_book_is_complete_small_and_without_solutions():
    files = gather(ROOT)
    pages = [p.relative_to(ROOT) for p in (ROOT / "nbs").rglob("*.ipynb")]
    wanted = {p.as_posix() for p in pages if not any(part[0] in "._" for part in p.parts)}
    assert {place for place in files if place.endswith(".ipynb")} == wanted
    assert len(pack(files)) <= 5_500_000  # a quarter of a megabyte of it is a moving picture
    books = [json.loads(data) for place, data in files.items() if place.endswith(".ipynb")]
    code = [c for book in books for c in book["cells"] if c["cell_type"] == "code"]
    assert not any("### BEGIN SOLUTION" in "".join(cell["source"]) for cell in code)
    assert not any("_source" in place or "_grading" in place for place in files)
    index = json.loads(files["nbs/index.ipynb"])
    assert not any(cell.get("outputs") for cell in index["cells"])


def test_code_and_prose_survive_without_outputs():
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["ä"]},
        {"cell_type": "code", "id": "b", "metadata": {}, "source": ["1"], "outputs": [1]},
    ]
    made = json.loads(without_outputs(json.dumps({"cells": cells, "nbformat": 4}).encode()))
    assert made["cells"][0]["source"] == ["ä"] and made["cells"][1]["outputs"] == []


def test_packing_needs_nothing_but_python():
    """It runs while the package is built, where not even PyTorch is there."""
    tree = ast.parse((ROOT / "svr_nb" / "app" / "book_archive.py").read_text(encoding="utf-8"))
    roots = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level
            roots.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Import):
            roots |= {name.name.split(".")[0] for name in node.names}
    assert roots <= set(sys.stdlib_module_names)


def test_the_lab_is_this_pythons_own(shelf, tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(lab.subprocess, "call", lambda command: called.append(command) or 0)
    assert lab.open_lab(tmp_path / "my book", browser=False) == 0
    (command,) = called
    assert command[:3] == [sys.executable, "-m", "jupyterlab"] and command[-1] == "--no-browser"
    assert f"--ServerApp.root_dir={(tmp_path / 'my book').resolve()}" in command


def test_without_jupyterlab_it_says_how_to_get_it(shelf, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileError, match=r"svr_nb\[lab\]"):
        lab.open_lab(tmp_path / "book")


def test_the_command_opens_the_book(shelf, tmp_path, monkeypatch, capsys):
    from svr_nb.app.command_line import main

    monkeypatch.setattr(lab.subprocess, "call", lambda command: 0)
    assert main(["lab", str(tmp_path / "book"), "--no-browser"]) == 0
    assert f"{len(OLD)} files written" in capsys.readouterr().out
    (tmp_path / "thesis.txt").write_text("years of work")
    assert main(["lab", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("svr_nb: ") == 1
