"""All or nothing on the disk."""

from __future__ import annotations

import logging
import os
import stat
import warnings
from pathlib import Path

import pytest
from PIL import Image

from svr_nb.conventions import FileError
from svr_nb.shapes.disk import check_ending, quietly, read_file, write_file


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
    with pytest.raises(FileError, match="expected .* got"):
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
