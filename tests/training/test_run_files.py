"""A run folder belongs to one process; a disk that takes nothing is one sentence."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import subprocess
import sys
import threading

import pytest
import torch

from svr_nb.conventions import CheckpointError, FileError
from svr_nb.training import run_files
from svr_nb.training.run_files import IN_USE, RunFolder, claimed, write_bytes

HOLD = """
import sys, time
from svr_nb.training.run_files import claimed
with claimed(sys.argv[1]):
    print("mine", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds a folder."""
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "mine\n"
        yield process
        process.kill()


def test_a_folder_in_use_names_process_and_host(tmp_path, holder):
    with pytest.raises(CheckpointError) as said, claimed(tmp_path):
        pass
    assert str(holder.pid) in str(said.value) and socket.gethostname() in str(said.value)


def test_the_claim_of_a_killed_process_is_taken_over(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert (tmp_path / IN_USE).exists()
    with claimed(tmp_path):
        assert json.loads((tmp_path / IN_USE).read_text())["process"] == os.getpid()
    assert not (tmp_path / IN_USE).exists()


def test_two_threads_of_one_process_are_two(tmp_path):
    refused = []

    def second():
        try:
            with claimed(tmp_path):
                pass
        except CheckpointError as error:
            refused.append(error)

    with claimed(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(refused) == 1


@pytest.mark.parametrize("record", ["", "{", '{"process": 999999999}', "[]", "null", "17"])
def test_a_damaged_claim_is_no_obstacle(tmp_path, record):
    (tmp_path / IN_USE).write_text(record)
    with claimed(tmp_path):
        pass


def test_without_locks_a_living_process_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(run_files, "_locked", lambda handle: None)
    own = {"process": os.getpid(), "host": socket.gethostname()}
    (tmp_path / IN_USE).write_text(json.dumps(own))
    with pytest.raises(CheckpointError, match=str(os.getpid())), claimed(tmp_path):
        pass
    (tmp_path / IN_USE).write_text(json.dumps(own | {"process": 999999999}))
    with claimed(tmp_path):
        pass


def test_a_full_disk_is_one_sentence_and_costs_nothing(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    run.save(1, {"model": {"w": torch.ones(3)}}, {})

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match=re.compile("no space left.*Free some", re.I)):
        run.save(2, {"model": {"w": torch.zeros(3)}}, {})
    monkeypatch.undo()
    latest = run.latest()
    assert latest is not None and latest.step == 1
    run.save(2, {"model": {"w": torch.zeros(3)}}, {})


def test_a_place_below_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "run", "/proc/nowhere"):
        with pytest.raises(FileError, match="a place to write to"):
            RunFolder(place)
    with pytest.raises(FileError):
        write_bytes(tmp_path / "file" / "x", b"")


def test_the_home_folder_is_meant(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert RunFolder("~/run").path == tmp_path / "run" and (tmp_path / "run").is_dir()
