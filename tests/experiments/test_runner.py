"""The runner: rows that survive, rows that are not run twice, tables, differences, what ships."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from svr_nb.conventions import CheckpointError, FileError, InputError
from svr_nb.experiments.runner import (
    Arm,
    Command,
    Experiment,
    Levels,
    Shipping,
    arm_named,
    each_value,
    held,
    level_text,
    main,
    mean_and_each,
    mean_and_error,
    paired,
    read_rows,
    run,
    short,
    standard_error,
    stored_rows,
    table,
    write_rows,
)


@dataclass(frozen=True)
class Config:
    """A configuration with two numbers."""

    a: int = 1
    b: int = 2


class Model:
    """Weights that are one number, kept in a text file."""

    category = notes = ""

    def __init__(self, value):
        self.value = value

    def save_pretrained(self, save_directory):
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        (Path(save_directory) / "weights.json").write_text(json.dumps(self.value))
        (Path(save_directory) / "README.md").write_text(self.notes)

    def half(self):
        return Model(self.value) if not self.notes else self


def load(path):
    return Model(json.loads((Path(path) / "weights.json").read_text()))


ARMS = (Arm("full"), Arm("-b", {"b": 0}), Arm("twice", lambda c: replace(c, a=2 * c.a)))


def toy(log=None, **changes):
    """An experiment whose score is a + b + seed, and which notes what it trains."""
    log = [] if log is None else log

    def train(arm, seed, shared):
        log.append((arm.name, seed))
        config = arm.of(Config())
        return Model(config.a + config.b + seed)

    usual = {
        "name": "toy",
        "arms": ARMS,
        "seeds": (1, 2),
        "data": lambda seed: seed,
        "train": train,
        "measure": lambda model, shared: {"IoU": float(model.value)},
        "report": lambda rows: [table(rows, {"IoU": mean_and_error("IoU", 1)})],
        "levels": Levels({"nothing": lambda shared: {"IoU": 0.0}}),
        "kept": lambda arm, seed: f"{arm}-{seed}" if arm == "full" else None,
        "ships": Shipping("toy-thing", "full", load, lambda row, rows: f"IoU {row['IoU']:.1f}"),
    }
    return Experiment(**usual | changes)


def test_an_arm_changes_what_it_names_and_nothing_else():
    full = Config(3, 4)
    assert [arm.of(full) for arm in ARMS] == [full, Config(3, 0), Config(6, 4)]
    assert arm_named(ARMS, "-b") is ARMS[1]
    with pytest.raises(InputError, match="arm"):
        arm_named(ARMS, "b")


def test_rows_are_written_one_by_one(tmp_path):
    out, seen = tmp_path / "new" / "rows.json", []
    watched = replace(
        toy(), measure=lambda model, shared: seen.append(read_rows(out)) or {"IoU": 1.0}
    )
    rows = run(watched, seeds=[1], out=out, progress=False)
    assert [len(rows_then) for rows_then in seen] == [1, 2, 3] and read_rows(out) == rows
    assert [row["arm"] for row in rows] == ["nothing", "full", "-b", "twice"]
    assert [path.name for path in out.parent.iterdir()] == ["rows.json"]  # no temporary file


def test_what_stands_in_the_file_is_not_run_again(tmp_path):
    log, out = [], tmp_path / "rows.json"
    first = run(toy(log), ["full"], [1], out, progress=False)
    rows = run(toy(log), ["full", "-b"], [1, 2], out, progress=False)
    assert log == [("full", 1), ("-b", 1), ("full", 2), ("-b", 2)] and rows[:2] == first
    dead = toy(log, train=None, data=None)
    assert run(dead, ["full", "-b"], [1, 2], out, progress=False) == rows
    again = run(toy(log), ["full"], [1], out, resume=False, progress=False)
    assert again == first and read_rows(out) == first and log[-1] == ("full", 1)


def test_other_settings_are_other_rows(tmp_path):
    out = tmp_path / "rows.json"
    for steps in (5, 9, 5):
        rows = run(toy(settings={"steps": steps}), ["full"], [1], out, progress=False)
    assert [(row["arm"], row["steps"]) for row in rows if row["arm"] == "full"] == [
        ("full", 5),
        ("full", 9),
    ]


def test_a_run_that_breaks_between_arms_goes_on(tmp_path):
    log, out = [], tmp_path / "rows.json"

    def breaks(arm, seed, shared):
        if (arm.name, seed) == ("-b", 2):
            raise KeyboardInterrupt
        return toy(log).train(arm, seed, shared)

    with pytest.raises(KeyboardInterrupt):
        run(toy(train=breaks), out=out, progress=False)
    assert len(read_rows(out)) == 4 + 2
    rows = run(toy(log), out=out, progress=False)
    assert [(row["arm"], row["seed"]) for row in rows] == [
        (arm, seed) for seed in (1, 2) for arm in ("nothing", "full", "-b", "twice")
    ]
    assert len(log) == len(set(log)) == 6


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from tests.experiments.test_runner import toy
from svr_nb.experiments.runner import run
real = toy()
def train(arm, seed, shared):
    if (arm.name, seed) == ("-b", 1) and {dies}:
        os.kill(os.getpid(), signal.SIGKILL)
    print("trains", arm.name, seed, flush=True)
    return real.train(arm, seed, shared)
run(toy(train=train), seeds=[1], out={out!r}, progress=False)
"""


def test_a_killed_process_goes_on(tmp_path):
    out = tmp_path / "rows.json"
    root = str(Path(__file__).parents[2])

    def call(dies):
        code = KILLED.format(tests=root, dies=dies, out=str(out))
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    killed = call(True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [row["arm"] for row in read_rows(out)] == ["nothing", "full"]
    after = call(False)
    assert after.returncode == 0, after.stderr
    assert after.stdout.splitlines() == ["trains -b 1", "trains twice 1"]
    assert [row["arm"] for row in read_rows(out)] == ["nothing", "full", "-b", "twice"]


def test_levels_may_be_noted_once_under_their_own_seed(tmp_path):
    asked = []
    levels = Levels({"once": lambda shared: asked.append(shared) or {"IoU": 0.1}}, 7, ("world",))
    rows = run(toy(levels=levels, settings={"world": 3, "steps": 5}), progress=False)
    assert asked == [1] and rows[0] == {"arm": "once", "seed": 7, "world": 3, "IoU": 0.1}
    assert {row["steps"] for row in rows[1:]} == {5}


def test_names_that_are_none_are_refused_before_anything_runs(tmp_path):
    log, out = [], tmp_path / "rows.json"
    with pytest.raises(InputError, match="arm"):
        run(toy(log), ["full", "half"], out=out)
    assert log == [] and not out.exists()


def test_an_experiment_without_a_measure_keeps_and_writes_no_row(tmp_path):
    out, models = tmp_path / "rows.json", tmp_path / "models"
    assert run(toy(measure=None), out=out, models=models, progress=False) == []
    assert not out.exists() and sorted(p.name for p in models.iterdir()) == ["full-1", "full-2"]


@pytest.mark.parametrize("text", ['[{"arm": ', '{"arm": "full"}', "[1, 2]"])
def test_files_that_hold_no_rows_are_named(tmp_path, text):
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(FileError, match="rows"):
        read_rows(tmp_path / "rows.json")
    with pytest.raises(FileError):
        run(toy(), out=tmp_path / "rows.json")
    assert (tmp_path / "rows.json").read_text() == text


def test_held_compares_all_values():
    rows = [{"arm": "full", "seed": 1, "steps": [2, 3]}]
    assert held(rows, {"arm": "full", "steps": [2, 3]}) and not held(rows, {"steps": [3, 2]})
    assert not held(rows, {"arm": "full", "level": 0.0}) and not held([], {})


def test_mean_standard_error_and_short_numbers():
    assert standard_error([1.0, 3.0, 5.0]) == pytest.approx(2 / 3**0.5)
    assert standard_error([4.0]) == 0
    assert [short(0.254), short(-0.5), short(12.0, 1), short(0.999)] == [
        ".25",
        "-0.50",
        "12.0",
        "1.00",
    ]


def test_a_table_as_golden_text():
    values = {("full", 1): 0.5, ("full", 2): 0.7, ("-b", 1): 0.25}
    rows = [{"arm": a, "seed": s, "IoU": v} for (a, s), v in values.items()]
    rows[2]["only here"] = 3.0
    columns = {
        "seeds": len,
        "IoU": mean_and_error("IoU"),
        "all": mean_and_each("IoU"),
        "each": each_value("IoU", 1),
        "only": mean_and_each("only here"),
    }
    text = str(table(rows, columns, title="Toy", note=f"Levels: {level_text(rows[:1], 1)}."))
    assert text.splitlines() == [
        "Toy",
        "arm   seeds            IoU            all     each  only",
        "--------------------------------------------------------",
        "full      2  0.600 ± 0.100  .60 (.50 .70)  0.5 0.7     –",
        "-b        1          0.250            .25      0.2  3.00",
        "Levels: IoU 0.5.",
    ]


def test_paired_differences():
    rows = [
        {"arm": arm, "seed": seed, "IoU": value}
        for arm, values in (
            ("rec", (0.1, 0.3, 0.2)),
            ("adv", (0.2, 0.41, 0.3)),
            ("all", (0.2,) * 3),
        )
        for seed, value in enumerate(values)
    ]
    found = paired([*rows, {"arm": "rec", "seed": 9, "IoU": 5.0}], "rec", "adv")
    assert found["seeds"] == 3 and found["mean"] == pytest.approx(0.31 / 3) and found["clear"]
    assert found["each"] == [0.1, 0.11, 0.1] and found["comparison"] == "adv - rec"
    assert not paired(rows, "rec", "all")["clear"]
    nobody = paired(rows, "rec", "none")
    assert nobody["seeds"] == 0 and not nobody["clear"]


def test_the_best_model_ships_with_its_card(tmp_path):
    best = replace(toy().ships, best=lambda rows: max(rows, key=lambda row: row["IoU"]))
    call = ["--models", str(tmp_path / "m"), "--out", str(tmp_path / "r"), "--ship", str(tmp_path)]
    main(toy(ships=best), [*call, "--arms", "full"])
    assert (tmp_path / "toy-thing" / "README.md").read_text() == "IoU 5.0"
    assert load(tmp_path / "toy-thing").value == 5
    with pytest.raises(CheckpointError, match="weights"):
        main(toy(), ["--out", str(tmp_path / "r"), "--models", str(tmp_path), "--ship", "x"])


def test_the_command_takes_arms_and_its_own_options(tmp_path, capsys):
    command = Command(
        arms=("full",),
        out=str(tmp_path / "rows.json"),
        options={"--more": {"type": int, "default": 0}},
        adapt=lambda base, given: [replace(base, settings={"more": given.more})],
        instead=lambda given: table([], {}, title="nothing to do") if given.more == 9 else None,
    )
    rows = main(toy(command=command), ["--seeds", "3", "--more", "4"])
    assert {row["more"] for row in rows} == {4} and "± " not in capsys.readouterr().out
    assert main(toy(command=command), ["--more", "9"]) == []
    plain = replace(command, adapt=None, out=str(tmp_path / "plain.json"))
    rows = main(toy(command=plain), ["--arms", "no-b", "--seeds", "3"])
    assert [row["arm"] for row in rows] == ["nothing", "-b"]
    with pytest.raises(SystemExit):
        main(toy(command=command), ["--arms", "half"])


def test_stored_rows_are_found_inside_the_repository_only(tmp_path, monkeypatch):
    assert len(stored_rows("ssl3d")) > 20
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileError, match="ssl3d"):
        stored_rows("ssl3d")
    write_rows(tmp_path / "data_samples" / "evidence" / "own.json", [{"arm": "a"}])
    assert stored_rows("own") == [{"arm": "a"}]


MODULES = ("ssl3d", "umr", "agt", "lem", "tars", "direct_sdf", "plane_shapes", "warp_recovery")


def test_every_command_says_its_options_without_a_warning():
    call = [sys.executable, "-W", "error::RuntimeWarning", "-m"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = {
        name: subprocess.Popen([*call, f"svr_nb.experiments.{name}", "--help"], **pipes)
        for name in MODULES
    }
    for name, process in started.items():
        said, complaint = process.communicate()
        assert process.returncode == 0 and complaint == "", f"{name}: {complaint}"
        assert f"python -m svr_nb.experiments.{name}" in said and "--seeds" in said
