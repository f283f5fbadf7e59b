"""Jobs on a borrowed machine: budgets are kept, failures stay alone, what was cut goes on."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from svr_nb.conventions import FileError, InputError
from svr_nb.experiments import borrowed_gpu as gpu
from svr_nb.experiments.borrowed_gpu import Job, Training, listed, main, run_jobs, train_one
from svr_nb.experiments.borrowed_gpu import training_named
from svr_nb.experiments.runner import parser_of, read_rows
from svr_nb.training.run_files import OutOfTime, read_tensors
from svr_nb.training.system import shipped

from ..suite.elsewhere import other_device

SHORT = Training("tests.experiments.short_training")


def program(text):
    """A starter that runs a line of Python for every job, by its name."""

    def start(job, seconds):
        words = [sys.executable, "-c", text[job.name]]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    return start


def test_every_network_that_ships_can_be_trained():
    assert set(shipped()) <= set(gpu.TRAININGS)


def test_the_words_of_every_training_are_understood():
    """By the parser of its experiment: a word that changed there would waste the loan."""
    for training in gpu.TRAININGS.values():
        module = importlib.import_module(f"svr_nb.experiments.{training.module}")
        if hasattr(module, "EXPERIMENT"):
            parser_of(module.EXPERIMENT).parse_args(training.words)


def test_names_are_understood_and_others_refused():
    assert training_named("umr-bird=2.5")[1].minutes == 2.5
    name, arm = training_named("agt/-shape/31")
    assert name == "agt--shape-31" and arm.words == ("--arms", "no-shape", "--seeds", "31")
    for wrong in ("umr-brid", "lem/rec", "lem/rec/x", "umr-bird=soon", "umr-bird=-1"):
        with pytest.raises(InputError):
            training_named(wrong)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"a": {}}', '{"a": {"module": "lem", "minutes": "x"}}']
)
def test_a_list_that_is_none(tmp_path, text):
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(FileError, match="list of trainings"):
        listed(tmp_path / "list.json")


def test_a_job_that_fails_stays_alone_and_budgets_are_kept(tmp_path):
    lines = {"bad": "1/0", "long": "import time; time.sleep(60)", "good": "", "late": ""}
    lines["deaf"] = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    )
    jobs = [Job("bad", 9), Job("long", 0.5), Job("deaf", 0.5), Job("good", 9)]
    begun = time.monotonic()
    rows = run_jobs(jobs, tmp_path, 20, program(lines), at_once=2, grace=0.2, tell=lambda _: None)
    assert time.monotonic() - begun < 15
    states = {row["job"]: row["state"] for row in rows}
    wanted = {"bad": "failed", "long": "unfinished", "deaf": "unfinished", "good": "finished"}
    assert (
        states == wanted == {row["job"]: row["state"] for row in read_rows(tmp_path / "jobs.json")}
    )
    (row,) = run_jobs([Job("late", 9)], tmp_path, 0, program(lines))
    assert row["state"] == "not begun"
    never = program({})  # would fail: nothing finished is done again
    assert run_jobs([Job("good", 9)], tmp_path, 9, never)[0]["state"] == "finished"


def test_a_training_that_is_cut_goes_on_and_loses_no_bit(tmp_path, monkeypatch):
    train_one(SHORT, tmp_path / "whole", 600.0)
    marks = tmp_path / "marks"
    monkeypatch.setenv("SVR_MARKS", str(marks))
    cuts = 0
    while not (tmp_path / "cut" / "rows.json").exists() or cuts < 3:
        try:
            train_one(SHORT, tmp_path / "cut", 0.0 if cuts < 5 else 600.0)
            break
        except OutOfTime:
            cuts += 1
    whole, cut = (read_rows(tmp_path / name / "rows.json") for name in ("whole", "cut"))
    assert cuts == 5 and [r["sum"] for r in whole] == [r["sum"] for r in cut]
    assert marks.read_text().split() == [
        w for a in ("one", "two") for _ in "12" for s in "1234" for w in (a, s)
    ]
    for name in ("one-1", "two-1"):
        one, two = (
            read_tensors(tmp_path / f / "models" / name / "model.safetensors")
            for f in ("whole", "cut")
        )
        assert all(torch.equal(one[k], two[k]) for k in one)
        assert {v.dtype for v in one.values()} <= {torch.float16, torch.int64}
    assert not (tmp_path / "cut" / "runs").exists()


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
def test_a_rehearsal_on_the_stand_in_for_a_second_device(tmp_path, monkeypatch):
    """Trained there, cut, gone on with, measured here: nothing is left on the other device."""
    train_one(SHORT, tmp_path / "here", 600.0)
    with other_device() as device:
        monkeypatch.setenv("SVR_DEVICE", device)
        with pytest.raises(OutOfTime):
            train_one(SHORT, tmp_path / "there", 0.0)
        train_one(SHORT, tmp_path / "there", 600.0)
    here, there = (read_rows(tmp_path / name / "rows.json") for name in ("here", "there"))
    assert [r["sum"] for r in there] == pytest.approx([r["sum"] for r in here], rel=1e-6)


def test_photographs_that_were_not_named(tmp_path):
    with pytest.raises(InputError, match="photos"):
        train_one(gpu.TRAININGS["umr-horse"], tmp_path, 1.0)


def test_the_command_is_killed_and_goes_on(tmp_path):
    """The first process dies by SIGKILL in the middle of a training: nobody goes on in its folder,
    and the same words finish what is left.
    """
    small = {"module": SHORT.module, "minutes": 5}
    (tmp_path / "list.json").write_text(json.dumps({"short": small, "none": {"module": "nowhere"}}))
    out, marks = tmp_path / "out", tmp_path / "marks"
    words = ["--parts", "trainings", "--list", str(tmp_path / "list.json"), "--out", str(out)]
    call = [sys.executable, "-m", "svr_nb.experiments.borrowed_gpu", *words, "--at-once", "2"]
    slow = {**os.environ, "SVR_STEP_SECONDS": "0.5", "SVR_MARKS": str(marks)}
    process = subprocess.Popen([*call, "--device", "cpu"], env=slow, cwd=gpu.ROOT)
    ends = time.monotonic() + 120
    while not (marks.exists() and len(marks.read_text().splitlines()) >= 3):
        assert process.poll() is None and time.monotonic() < ends
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1.5)
    before = len(marks.read_text().splitlines())
    time.sleep(1.0)
    assert len(marks.read_text().splitlines()) == before < 16
    quick = {**slow, "SVR_STEP_SECONDS": "0"}
    assert subprocess.run([*call, "--device", "cpu"], env=quick, cwd=gpu.ROOT).returncode == 1
    states = {row["job"]: row["state"] for row in read_rows(out / "jobs.json")}
    assert states == {"short": "finished", "none": "failed"}
    assert "nowhere" in next(r["said"] for r in read_rows(out / "jobs.json") if r["job"] == "none")
    assert len(marks.read_text().splitlines()) <= 16 + 2  # at most the step that was under way
    assert len(read_rows(out / "short" / "rows.json")) == 2


def test_missing_packages_are_one_sentence():
    code = "import sys; sys.modules.update(skimage=None, jaxtyping=None); import svr_nb.experiments.borrowed_gpu"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
    assert said.strip().splitlines()[-1].endswith("run pip install scikit-image jaxtyping")


def test_nothing_of_jupyter_is_needed():
    code = "import sys; import svr_nb.experiments.borrowed_gpu; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unwanted = {
        "IPython",
        "nbdev",
        "execnb",
        "fastcore",
        "jupyter_core",
        "ipywidgets",
        "matplotlib",
    }
    assert not unwanted & set(done.stdout.split())


def test_budgets_that_are_none():
    with pytest.raises(InputError, match="minutes"):
        main(["--minutes", "-1", "--parts", "costs"])
