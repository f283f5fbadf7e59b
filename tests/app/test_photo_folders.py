"""A folder overnight: shares, records, broken files, and a process that is killed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import svr_nb as svr
from svr_nb.app.command_line import main
from svr_nb.app.photo_folders import (
    Shard,
    Task,
    attempt,
    read_record,
    reconstruct_folder,
    records_of,
    tasks_of,
)
from svr_nb.conventions import CheckpointError, FileError, InputError
from svr_nb.training.run_files import claimed

QUICK = {"category": "horse", "steps": 0, "device": "cpu", "progress": False}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def herd(tmp_path_factory) -> Path:
    """Eight horses, and three files that are no photographs."""
    folder = tmp_path_factory.mktemp("herd")
    data = svr.data.samples("horse", split="test", count=8, size=64, seed=9, points=0)
    for number in range(8):
        picture = torch.cat([data["image"][number], data["mask"][number]])
        svr.shapes.save_image(picture, folder / f"horse_{number}.png")
    whole = (folder / "horse_0.png").read_bytes()
    (folder / "broken.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    svr.shapes.save_image(torch.full((3, 32, 32), 0.5), folder / "gray.png")
    return folder


def states(out: Path) -> dict[str, str]:
    return {record["name"]: record["state"] for record in records_of(out)}


def test_shares():
    assert Shard.of("2/8") == Shard(2, 8)
    for wrong in ("9/8", "0/8", "half", "1", "-1/2"):
        with pytest.raises(InputError, match="--shard"):
            Shard.of(wrong)
    names = [f"{n}.jpg" for n in range(500)]
    owners = [[k for k in range(1, 6) if Shard(k, 5).holds(name)] for name in names]
    assert all(len(own) == 1 for own in owners)
    assert min(sum(own == [k] for own in owners) for k in range(1, 6)) > 70


def test_broken_files_never_stop_the_rest(herd, tmp_path):
    tally = reconstruct_folder(herd, tmp_path, **QUICK)
    found = states(tmp_path)
    assert tally.made == 8 and tally.failed == 0 and tally.made + tally.refused == len(found)
    assert all(found[f"horse_{n}.png"] == "made" for n in range(8))
    assert {"broken.png", "gray.png"} <= {n for n, state in found.items() if state == "refused"}
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert {row["name"]: row["state"] for row in rows} == found
    assert all((tmp_path / row["shape"]).is_file() for row in rows if row["state"] == "made")
    assert all(row["reason"] for row in rows if row["state"] == "refused")
    assert (tmp_path / "sheet-001.png").is_file()


def test_nothing_is_done_twice(herd, tmp_path):
    first = reconstruct_folder(herd, tmp_path, **QUICK)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "shapes").rglob("*.glb")}
    second = reconstruct_folder(herd, tmp_path, **QUICK)
    assert second.made == second.refused == 0 and second.before == first.made + first.refused
    assert written == {p: p.stat().st_mtime_ns for p in (tmp_path / "shapes").rglob("*.glb")}
    third = reconstruct_folder(herd, tmp_path, retry=True, **QUICK)
    assert third.refused == first.refused and third.before == first.made


def test_shares_together_are_the_whole(herd, tmp_path):
    whole = reconstruct_folder(herd, tmp_path / "whole", **QUICK)
    parts = [
        reconstruct_folder(herd, tmp_path / "parts", shard=Shard(k, 3), **QUICK) for k in (1, 2, 3)
    ]
    assert sum(part.made for part in parts) == whole.made
    assert states(tmp_path / "parts") == states(tmp_path / "whole")
    for path in (tmp_path / "whole" / "shapes").rglob("*.glb"):
        assert (tmp_path / "parts" / "shapes" / path.name).read_bytes() == path.read_bytes()


def test_an_unexpected_error_is_a_record(tmp_path):
    def fails(task):
        raise MemoryError("no room")

    record = attempt(Task("a.png", Path("a.png"), None), tmp_path, "glb", fails)
    assert record["state"] == "failed" and record["reason"] == "MemoryError: no room"


def test_half_a_record_is_none(tmp_path):
    place = tmp_path / "a.json"
    assert read_record(place) is None
    place.write_text(json.dumps({"state": "made"})[:-3])
    assert read_record(place) is None


def test_a_share_belongs_to_one_process(herd, tmp_path):
    place = tmp_path / ".shard-1-of-1"
    place.mkdir()
    with claimed(place), pytest.raises(CheckpointError, match="in use"):
        reconstruct_folder(herd, tmp_path, **QUICK)


def test_a_folder_without_photographs(tmp_path):
    with pytest.raises(FileError):
        tasks_of(tmp_path)


def test_killed_and_gone_on(herd, tmp_path):
    """Killed without warning: every record has its shape, and the rest is done by the same command."""
    words = ["reconstruct", str(herd), "--category", "horse", "--steps", "0", "--device", "cpu"]
    command = [sys.executable, "-m", "svr_nb", *words, "--out", str(tmp_path)]
    shared = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(command, env=shared, stderr=subprocess.DEVNULL)
    while len(list(records_of(tmp_path))) < 3 and running.poll() is None:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    before = states(tmp_path)
    assert running.returncode == -signal.SIGKILL and 3 <= len(before) < 11
    made = [tmp_path / r["shape"] for r in records_of(tmp_path) if r["state"] == "made"]
    written = {path: path.stat().st_mtime_ns for path in made}
    tally = reconstruct_folder(herd, tmp_path, **QUICK)
    found = states(tmp_path)
    assert tally.before == len(before) and tally.made + tally.refused == len(found) - len(before)
    assert sum(state == "made" for state in found.values()) == 8
    assert written == {path: path.stat().st_mtime_ns for path in made}, "nothing was made again"
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert sorted(row["name"] for row in rows) == sorted(found), "nothing is lost or there twice"
    reconstruct_folder(herd, tmp_path / "unbroken", **QUICK)
    for path in (tmp_path / "unbroken" / "shapes").iterdir():
        assert path.read_bytes() == (tmp_path / "shapes" / path.name).read_bytes(), path.name


def test_from_the_command_line(herd, tmp_path, capsys):
    words = ["reconstruct", str(herd), "--category", "horse", "--steps", "0", "--device", "cpu"]
    assert main([*words, "--out", str(tmp_path / "a"), "--shard", "1/2", "--form", "ply"]) == 0
    assert "made" in capsys.readouterr().out
    assert all(path.suffix == ".ply" for path in (tmp_path / "a" / "shapes").iterdir())
    assert main([*words, "--mask", "x.png"]) == 2
    assert "--mask" in capsys.readouterr().err
