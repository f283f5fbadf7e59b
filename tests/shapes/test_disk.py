"""All or nothing on the disk."""

from __future__ import annotations

import io
import logging
import os
import stat
import warnings
from pathlib import Path

import pytest
from PIL import Image

from svr_nb.conventions import FileError, SvrError
from svr_nb.shapes.disk import check_ending, quietly, read_file, text_of, write_file, write_to


def test_write_then_read(tmp_path: Path):
    path = write_file(tmp_path / "a.bin", b"first")
    assert (
        read_file(path) == b"first"
        and write_file(path, b"second") == path
        and read_file(str(path)) == b"second"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"] and stat.S_IMODE(
        path.stat().st_mode
    ) & 0o444


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_interruption_leaves_the_old_file(error, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_file(tmp_path / "a.bin", b"old")

    def stop(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises((KeyboardInterrupt, FileError)):
        write_file(path, b"new")
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_places_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "nowhere" / "a.bin", tmp_path / "folder"):
        with pytest.raises(FileError, match=path.name):
            write_file(path, b"data")
    assert {p.name for p in tmp_path.iterdir()} == {"folder"}


@pytest.mark.parametrize("path", ["nothing.bin", "", "a\0b", "x" * 4000, 7, None])
def test_unreadable_paths(path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SvrError, match="expected .* got"):
        read_file(path)


def test_size_limits(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "empty").touch()
    assert read_file(tmp_path / "a", 5) == b"12345"
    for name, limit in (("a", 4), ("empty", 4)):
        with pytest.raises(FileError, match=f"{name}: expected 1 to 4 bytes"):
            read_file(tmp_path / name, limit)


def test_endings():
    assert check_ending("A/B.GLB", ("glb", "obj")) == "glb"
    for name in ("chair", "chair.tar", ".glb"):
        with pytest.raises(FileError, match=".glb, .obj"):
            check_ending(name, ("glb", "obj"))


def test_quietly_restores_everything(capfd: pytest.CaptureFixture):
    cap, level = Image.MAX_IMAGE_PIXELS, logging.getLogger("trimesh").level
    with pytest.raises(ZeroDivisionError), quietly(1000):
        warnings.warn("hidden", stacklevel=1)
        logging.getLogger("trimesh").error("hidden")
        assert Image.MAX_IMAGE_PIXELS == 500
        raise ZeroDivisionError
    assert (
        cap == Image.MAX_IMAGE_PIXELS
        and logging.getLogger("trimesh").level == level
        and capfd.readouterr().err == ""
    )


def test_new_files_replace_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_file(tmp_path / "a.bin", b"old", new=True)
    for _ in range(2):
        with pytest.raises(FileExistsError):
            write_file(path, b"new", new=True)
        assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1

        def without_links(*_: object) -> None:
            raise PermissionError(1, "no links here")

        monkeypatch.setattr(os, "link", without_links)
    assert write_file(tmp_path / "b.bin", b"b", new=True).read_bytes() == b"b"


def test_home_and_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert write_file("~/a.bin", b"data") == tmp_path / "a.bin" and read_file("~/a.bin") == b"data"
    for action in (lambda url: read_file(url), lambda url: write_file(url, b"data")):
        with pytest.raises(FileError, match="Download it first"):
            action("https://example.org/a.obj")


def test_open_files(tmp_path: Path):
    memory = io.BytesIO()
    assert write_to(memory, b"data") is memory
    with pytest.raises(FileError, match="seek"):
        read_file(memory)
    memory.seek(1)
    assert read_file(memory) == b"ata"
    words = io.StringIO()
    write_to(words, "é".encode())
    assert words.getvalue() == "é"
    with pytest.raises(FileError, match="Open it with 'wb'"):
        write_to(words, b"\0\xff")
    with open(tmp_path / "a.txt", "w") as file:
        write_to(file, b"\xff\0")
        with pytest.raises(FileError, match="a.txt.*Open it with 'rb'"):
            read_file(file)
    with open(tmp_path / "a.txt") as file:
        assert read_file(file) == b"\xff\0" and check_ending(file, ("txt",)) == "txt"
    for wrong in (read_file, lambda file: write_to(file, b"data")):
        with pytest.raises(FileError, match="closed"):
            wrong(file)
    big = io.BytesIO(bytes(100))
    with pytest.raises(FileError, match="1 to 50 bytes"):
        read_file(big, 50)


def test_kinds_of_open_files():
    kinds = ("glb", "obj")
    for kind in ("obj", ".OBJ", "Obj"):
        assert (
            check_ending(io.BytesIO(), kinds, kind) == "obj" == check_ending("a.ply", kinds, kind)
        )
    with pytest.raises(FileError, match="Say kind='glb'"):
        check_ending(io.BytesIO(), kinds)
    with pytest.raises(FileError, match="kind: expected one of .glb, .obj"):
        check_ending("a.obj", kinds, "ply")


def test_texts_of_all_kinds():
    for code in ("utf-8", "utf-8-sig", "utf-16", "latin1"):
        assert text_of("é\r\nb\rc\n".encode(code)) == "é\nb\nc\n"
