"""Training: batches as a function of the step, groups with their own totals, exact resume, clean
stops, honest errors.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from svr_nb.conventions import CheckpointError, InputError
from svr_nb.training.gradients import (
    NotFinite,
    Optimizers,
    gradient_norms,
    group_gradients,
    optimizer_tensors,
    raw_gradients,
    restore_optimizers,
    group_total,
)
from svr_nb.training.history import History, draw_history, running_mean
from svr_nb.training.run_files import OutOfTime, RunFolder, keep_fits
from svr_nb.training.stages import Stage, constant, cosine, describe_stage, hyperbolic, ramp
from svr_nb.training.loop import Moment, batch_indices, fit, make_batch


class Line:
    """Pairs of numbers on a line."""

    def __init__(self, count: int = 20) -> None:
        self.x = torch.linspace(-1, 1, count)[:, None]

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index):
        return {"x": self.x[index], "y": 3 * self.x[index] + 1}


class Toy(nn.Module):
    """A line to fit and a second parameter that wants something else."""

    def __init__(self, steps: int = 30, **options) -> None:
        super().__init__()
        self.line, self.other = nn.Linear(1, 1), nn.Parameter(torch.ones(1))
        nn.init.zeros_(self.line.weight)
        nn.init.zeros_(self.line.bias)
        self.poison_at, self.seen, self.calls, self.memory = -1, [], [], {}
        self._stages = [
            Stage(
                "only",
                steps,
                {"line": {"fit": 1.0, "pull": 0.1}, "other": {"pull": -1.0}},
                lr=0.05,
                batch=4,
                **options,
            )
        ]

    def parameter_groups(self):
        return {"line": list(self.line.parameters()), "other": [self.other]}

    def stages(self):
        return self._stages

    def before_epoch(self, data, stage, epoch, generator):
        self.calls.append(epoch)
        self.memory["draw"] = torch.rand(2, generator=generator)

    def losses(self, batch, stage):
        self.seen.append(batch["index"].tolist())
        out = self.line(batch["x"]) * (math.nan if batch["step"] == self.poison_at else 1)
        return {
            "fit": (out - batch["y"]).square().mean(),
            "pull": (out.mean() - self.other).square().sum(),
        }


run = partial(fit, progress=False, device="cpu")
same = lambda a, b: all(torch.equal(x, b.state_dict()[k]) for k, x in a.state_dict().items())


def first_batch(stage: Stage) -> dict:
    """What the first step of a run sees."""
    return make_batch(Line(), stage, Moment(0, 0, 0, 0), torch.device("cpu"))


# --- stages ---


def test_schedules():
    assert (
        constant(5, 10) == 1
        and cosine(0, 10) == 1
        and cosine(10, 10) == pytest.approx(0)
        and cosine(5, 10) == pytest.approx(0.5)
    )
    assert hyperbolic(2000, 9999) == pytest.approx(0.5)
    assert ramp(0.25, 0, 1, until=0.5) == 0.5 and ramp(0.9, -0.05, 0.05, until=1 / 3) == 0.05


def test_stage_turns_and_rates():
    stage = Stage(
        "s",
        10,
        {"g": {"a": 1.0}, "d": {"b": 1.0}},
        lr={"g": 1.0, "d": 2.0},
        every={"g": 5},
        schedule=cosine,
    )
    assert [step for step in range(10) if "g" in stage.active(step)] == [4, 9] and all(
        "d" in stage.active(step) for step in range(10)
    )
    assert stage.rate("d", 5) == pytest.approx(1.0)


def test_stage_is_described_in_plain_values():
    stage = Stage("s", 10, {"g": {"a": partial(ramp, last=0.5), "b": ramp}}, schedule=hyperbolic)
    plain = describe_stage(stage)
    assert (
        json.loads(json.dumps(plain)) == plain
        and plain["schedule"] == "hyperbolic"
        and "0.5" in plain["weights"]["g"]["a"]
    )
    assert describe_stage(replace(stage, lr=1.0)) != plain


@pytest.mark.parametrize(
    "options", [{"steps": -1}, {"batch": 0}, {"weights": {}}, {"every": {"g": 0}}]
)
def test_bad_stage_is_refused(options):
    with pytest.raises(InputError):
        Stage(**{"name": "s", "steps": 1, "weights": {"g": {"a": 1.0}}, **options})


# --- batches ---


def test_an_epoch_shows_every_sample_once():
    epoch = [batch_indices(20, 4, step, 7).tolist() for step in range(5)]
    assert sorted(sum(epoch, [])) == list(range(20))
    assert epoch != [batch_indices(20, 4, step, 7).tolist() for step in range(5, 10)]
    assert batch_indices(3, 16, 0, 7).shape == (3,)


def test_batch_depends_on_the_numbers_alone():
    stage, data = Toy()._stages[0], {"a": Line(20), "b": Line(7)}
    moment = Moment(seed=1, stage=0, step=9, total=9)
    one, two = (make_batch(data, stage, moment, torch.device("cpu")) for _ in range(2))
    assert torch.equal(one["a"]["x"], two["a"]["x"]) and torch.equal(
        one["b"]["index"], two["b"]["index"]
    )
    assert torch.rand(1, generator=one["generator"]) == torch.rand(1, generator=two["generator"])
    assert one["progress"] == 0.3 and one["groups"] == ("line", "other")


# --- gradients ---


def test_each_group_follows_its_own_total():
    toy = Toy()
    stage = toy._stages[0]
    batch = first_batch(stage)
    grads, norms = group_gradients(toy.losses(batch, stage), stage, Optimizers(toy, stage), 0, 0)
    losses = toy.losses(batch, stage)
    expected = torch.autograd.grad(-losses["pull"], toy.other, retain_graph=True)[0]
    assert torch.equal(grads["other"][0], expected) and norms["|grad| other"] == pytest.approx(
        expected.abs().item()
    )
    total = losses["fit"] + 0.1 * losses["pull"]
    assert torch.allclose(grads["line"][0], torch.autograd.grad(total, toy.line.weight)[0])


def test_probe_measures_each_loss():
    toy = Toy()
    batch = first_batch(toy._stages[0])
    norms = gradient_norms(toy, toy.losses(batch, toy._stages[0]), toy._stages[0])
    assert (
        set(norms["line"]) == {"fit", "pull"} and norms["line"]["fit"] > norms["line"]["pull"] > 0
    )
    history = run(Toy(10), Line(), probe_every=5)
    assert {(step, group, loss) for step, group, loss, _ in history.probes} == {
        (s, *pair)
        for s in (0, 5)
        for pair in (("line", "fit"), ("line", "pull"), ("other", "pull"))
    }


def test_probing_changes_no_bit():
    a, b = Toy(), Toy()
    run(a, Line())
    run(b, Line(), probe_every=1)
    assert same(a, b)


def test_clip_bounds_the_gradient():
    toy = Toy(clip=1e-3)
    stage = toy._stages[0]
    losses = toy.losses(first_batch(stage), stage)
    grads, norms = group_gradients(losses, stage, Optimizers(toy, stage), 0, 0)
    assert (
        torch.stack([g.norm() for g in grads["line"]]).norm().item()
        == pytest.approx(1e-3, rel=1e-4)
        and norms["|grad| line"] > 1
    )


def test_weight_decay_by_kind():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.linear = nn.Conv2d(1, 1, 3), nn.Linear(2, 2)

        def parameter_groups(self):
            return {"net": list(self.parameters())}

    adam = Optimizers(
        Net(), Stage("s", 1, {"net": {"a": 1.0}}, weight_decay={"conv": 1e-5, "linear": 1e-3})
    ).each["net"]
    assert {g["weight_decay"]: [p.ndim for p in g["params"]] for g in adam.param_groups} == {
        1e-5: [4],
        1e-3: [2],
        0.0: [1, 1],
    }


class Two(nn.Module):
    """Two numbers with three losses."""

    def __init__(self):
        super().__init__()
        self.x = nn.Parameter(torch.tensor([2.0]))
        self.y = nn.Parameter(torch.tensor([3.0]))

    def parameter_groups(self):
        return {"x": [self.x], "y": [self.y]}

    def losses(self):
        both = (self.x * self.y).sum()
        return {"both": both, "square": both**2, "x": self.x.sum()}


@pytest.mark.parametrize("other", [{"both": 2.0, "square": 1.0}, {"both": 1.0}])
def test_groups_that_are_told_the_same_get_the_gradients_they_would_get_alone(other):
    told, system = {"both": 2.0, "square": 1.0}, Two()
    stage = Stage("s", 1, {"x": told, "y": other})
    found = raw_gradients(system.losses(), stage, Optimizers(system, stage), 0)
    for name in ("x", "y"):
        alone = replace(stage, weights={name: stage.weights[name]})
        own = raw_gradients(system.losses(), alone, Optimizers(system, alone), 0)
        assert torch.equal(found[name][0], own[name][0])


def test_plain_groups_follow_their_gradient_and_adam_does_not():
    system = Two()
    stage = Stage("s", 1, {"x": {"x": 1.0}, "y": {"both": 1.0}}, lr=0.1, plain=("x",))
    optimizers = Optimizers(system, stage)
    optimizers.step({"x": [torch.tensor([0.5])], "y": [torch.tensor([0.5])]}, 0)
    assert float(system.x.detach()) == pytest.approx(2 - 0.1 * 0.5)
    assert float(system.y.detach()) == pytest.approx(3 - 0.1, abs=1e-5)
    kept = optimizer_tensors(optimizers)
    assert kept and all(name.startswith("y/") for name in kept)
    restore_optimizers(Optimizers(system, stage), kept)
    with pytest.raises(InputError, match="plain"):
        replace(stage, plain=("z",))
    assert "plain" not in describe_stage(replace(stage, plain=()))
    assert describe_stage(stage)["plain"] == ["x"]


def test_group_total_names_what_is_missing():
    with pytest.raises(InputError, match="mask"):
        group_total({"image": torch.ones(())}, {"mask": 1.0})
    assert group_total({"a": torch.tensor(2.0)}, {"a": lambda progress: progress}, 0.5).item() == 1


def test_unknown_group_is_refused():
    with pytest.raises(InputError, match="nobody"):
        run(Toy(), Line(), stages=[Stage("s", 2, {"nobody": {"fit": 1.0}})])


# --- the loop ---


def test_fit_learns_and_leaves_the_system_ready():
    toy = Toy()
    history = run(
        toy, Line(), stages=[Stage("only", 200, {"line": {"fit": 1.0}}, lr=0.05, batch=4)]
    )
    assert (
        history.stopped == "finished"
        and history.step == 200
        and history.last("fit") < 0.05 < history.first("fit")
    )
    assert not toy.training and all(p.grad is None for p in toy.parameters())


def test_same_seed_same_bits_other_seed_other_bits():
    a, b, c = Toy(), Toy(), Toy()
    for toy, seed in ((a, 1), (b, 1), (c, 2)):
        torch.manual_seed(seed * 100 + id(toy) % 7)
        run(toy, Line(), seed=seed)
    assert same(a, b) and not same(a, c)


def test_fit_restores_global_settings():
    toy = Toy(5)
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    run(toy, Line())
    assert torch.equal(torch.rand(1), expected) and not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("stop", [1, 5, 6, 29])
def test_resume_is_exact_wherever_it_stopped(tmp_path, stop):
    whole, part, rest = Toy(), Toy(), Toy()
    full = run(whole, Line())
    first = run(part, Line(), out=tmp_path, on_step=lambda step, losses: step == stop)
    assert (first.stopped, first.step) == ("on_step", stop)
    history = run(rest, Line(), out=tmp_path)
    assert (
        same(whole, rest)
        and history.columns == full.columns
        and list(history.columns) == list(full.columns)
    )
    assert rest.seen == whole.seen[stop:] and rest.calls == whole.calls[math.ceil(stop / 5) :]
    assert torch.equal(rest.memory["draw"], whole.memory["draw"])


def test_finished_run_is_not_trained_again(tmp_path):
    a, b = Toy(), Toy()
    run(a, Line(), out=tmp_path)
    run(b, Line(), out=tmp_path)
    assert same(a, b) and b.seen == []


def test_resume_false_begins_again(tmp_path):
    run(Toy(), Line(), out=tmp_path, seed=1)
    toy = Toy()
    run(toy, Line(), out=tmp_path, seed=2, resume=False)
    assert len(toy.seen) == 30


@pytest.mark.parametrize(
    ("change", "word"), [({"seed": 5}, "seed"), ({"data": Line(21)}, "samples"), ({}, "lr")]
)
def test_another_run_in_the_folder_is_refused(tmp_path, change, word):
    run(Toy(), Line(), out=tmp_path, on_step=lambda step, losses: step == 3)
    toy = Toy()
    if word == "lr":
        toy._stages = [replace(toy._stages[0], lr=0.1)]
    with pytest.raises(CheckpointError, match=word):
        run(toy, change.get("data", Line()), out=tmp_path, seed=change.get("seed", 0))


def test_a_finished_run_can_be_made_longer(tmp_path):
    run(Toy(10), Line(), out=tmp_path, on_step=lambda step, losses: step == 8)
    assert run(Toy(15), Line(), out=tmp_path).step == 15


def test_time_budget_stops_and_saves(tmp_path):
    history = run(Toy(10_000), Line(), out=tmp_path, time_budget=0.0)
    assert (
        history.stopped == "time budget" and RunFolder(tmp_path).latest().step == history.step == 1
    )


def two_trainings(stop_at=None):
    """An experiment that names no folder: a second run goes on from the weights of a first one."""
    first, second, seen = Toy(20), Toy(25), []
    run(first, Line(), on_step=lambda step, _: seen.append(step))
    second.load_state_dict(first.state_dict())
    run(second, Line(), seed=3, on_step=lambda step, _: seen.append(step) or step == stop_at)
    return second, seen


def test_an_experiment_that_names_no_folder_is_gone_on_with(tmp_path):
    """A kill after step 10 of the second run costs none of the first one, and no bit."""
    expected, seen = two_trainings()
    assert seen == [*range(1, 21), *range(1, 26)]
    with keep_fits(tmp_path):
        two_trainings(stop_at=10)
        found, seen = two_trainings()
    assert seen == list(range(11, 26)) and len(list(tmp_path.iterdir())) == 2
    assert all(torch.equal(a, b) for a, b in zip(expected.parameters(), found.parameters()))


def test_time_is_up_for_a_whole_experiment(tmp_path):
    with pytest.raises(OutOfTime), keep_fits(tmp_path, seconds=0.0):
        two_trainings()
    (kept,) = tmp_path.iterdir()
    assert RunFolder(kept).latest().step == 1
    with keep_fits(tmp_path):
        assert two_trainings()[1] == [*range(2, 21), *range(1, 26)]
    assert two_trainings()[1][0] == 1  # outside, nothing is kept


def test_only_damaged_checkpoints_are_reported(tmp_path):
    run(Toy(), Line(), out=tmp_path)
    for entry in tmp_path.glob("step-*/state.json"):
        entry.write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        run(Toy(), Line(), out=tmp_path)


def test_two_stages_are_counted_and_start_fresh(tmp_path):
    toy = Toy(6)
    toy._stages = [
        toy._stages[0],
        replace(toy._stages[0], name="then", steps=4, weights={"other": {"pull": 1.0}}),
    ]
    history = run(toy, Line(), out=tmp_path)
    assert history.stages == [("only", 0, 6), ("then", 6, 4)] and history.step == 10
    assert (
        math.isnan(history.columns["|grad| line"][-1]) and RunFolder(tmp_path).latest().step == 10
    )


# --- trouble ---


def test_nan_loss_is_named_and_the_last_checkpoint_stays(tmp_path):
    toy, good = Toy(), Toy()
    toy.poison_at = 12
    with pytest.raises(NotFinite, match="loss fit.*step 12") as caught:
        run(toy, Line(), out=tmp_path, save_every=5)
    run(good, Line(), on_step=lambda step, losses: step == 12)
    assert caught.value.step == 12 and same(toy, good)
    assert RunFolder(tmp_path).latest().step == 10


def test_nan_gradient_names_the_parameter():
    class Sharp(Toy):
        def losses(self, batch, stage):
            return {
                "fit": (self.line.weight * 0).sqrt().sum() + self.line.bias.sum(),
                "pull": self.other.sum(),
            }

    with pytest.raises(NotFinite, match="line.weight"):
        run(Sharp(), Line())


def test_loss_that_is_no_scalar_is_refused():
    class Wide(Toy):
        def losses(self, batch, stage):
            return {"fit": self.line(batch["x"]), "pull": self.other.sum()}

    with pytest.raises(InputError, match="fit"):
        run(Wide(), Line())


def test_empty_collection_is_refused():
    with pytest.raises(InputError, match="data"):
        run(Toy(), Line(0))


INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's parent ignores it
from tests.training.test_loop import Line, Toy, run

def press(step, losses):
    if step == 7:
        os.kill(os.getpid(), signal.SIGINT)

try:
    run(Toy(), Line(), out=sys.argv[1], on_step=press)
except KeyboardInterrupt:
    print("interrupted", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


@pytest.mark.parametrize("parent", ["terminal", "background"])
def test_ctrl_c_finishes_the_step_and_saves(tmp_path, parent):
    """In a process of its own, also where the parent ignores Ctrl-C."""
    ignore = (
        (lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if parent != "terminal" else None
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        preexec_fn=ignore,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["interrupted", "True"], done.stdout + done.stderr
    assert RunFolder(tmp_path).latest().step == 7
    resumed, whole = Toy(), Toy()
    run(whole, Line())
    history = run(resumed, Line(), out=tmp_path)
    assert same(resumed, whole) and history.step == 30 and len(resumed.seen) == 23


def test_interrupt_inside_a_step_does_not_save_half_of_it(tmp_path):
    class Rude(Toy):
        def losses(self, batch, stage):
            if batch["step"] == 7:
                raise KeyboardInterrupt
            return super().losses(batch, stage)

    with pytest.raises(KeyboardInterrupt):
        run(Rude(), Line(), out=tmp_path, save_every=5)
    assert RunFolder(tmp_path).latest().step == 5


def test_fit_works_in_another_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(run(Toy(5), Line()).step))
    thread.start()
    thread.join()
    assert found == [5]


# --- history ---


def test_history_survives_tensors_and_shows_itself():
    history = History()
    for values in ({"a": 1.0}, {"a": 2.0, "b": 3.0}, {"b": 4.0}):
        history.add(values)
    again = History()
    again.restore(history.to_tensors(), list(history.columns), [[1, "g", "a", 0.5]])
    assert again.probes == [(1, "g", "a", 0.5)]
    assert str(again.columns) == str(history.columns) and again.step == 3
    assert history.first("b") == 3 and history.last("a", over=1) == 2
    assert "a" in repr(history) and "<table>" in history._repr_html_()
    assert len(draw_history(history).axes[0].lines) == 4


def test_running_mean_skips_nan():
    assert running_mean([1.0, math.nan, 3.0, 5.0], 2).tolist() == [1, 1, 3, 4]


# --- what people hand in ---


@pytest.mark.parametrize("wrong", ["photos/", [1, 2], None, torch.zeros(2, 3), {}, Path("x")])
def test_what_is_no_collection_is_refused(wrong):
    with pytest.raises(InputError, match="data"):
        run(Toy(), wrong)


@pytest.mark.parametrize("wrong", ["umr", Toy, None, nn.Linear(1, 1)])
def test_what_is_no_system_is_refused(wrong):
    with pytest.raises(InputError, match="system"):
        run(wrong, Line())


@pytest.mark.parametrize(
    "options",
    [
        {"seed": "one"},
        {"save_every": 0},
        {"probe_every": -1},
        {"time_budget": -1},
        {"on_step": 3},
        {"stages": ["only"]},
        {"stages": 5},
    ],
)
def test_wrong_wishes_are_named(options, tmp_path):
    with pytest.raises(InputError, match=next(iter(options))):
        run(Toy(), Line(), out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()  # nothing is left of a refused call


def test_a_folder_of_another_system_is_refused(tmp_path):
    class Other(Toy):
        """The same weights under another name."""

    run(Toy(steps=2), Line(), out=tmp_path)
    with pytest.raises(CheckpointError, match="system Other"):
        run(Other(steps=2), Line(), out=tmp_path)


def test_a_folder_of_other_data_is_refused(tmp_path):
    from svr_nb.data.collection import Collection

    class Squares(Toy):
        """Learns from a collection."""

        def losses(self, batch, stage):
            return super().losses({**batch, "y": batch["x"]}, stage)

    data = lambda shift: Collection({"x": torch.linspace(0, 1, 20)[:, None] + shift})
    run(Squares(steps=2), data(0.0), out=tmp_path)
    with pytest.raises(CheckpointError, match="other values of x"):
        run(Squares(steps=2), data(0.5), out=tmp_path)
    run(Squares(steps=2), data(1e-7), out=tmp_path)  # the last bits may differ


def test_two_runs_do_not_share_a_folder(tmp_path):
    first = lambda step, losses: run(Toy(steps=2), Line(), out=tmp_path)
    with pytest.raises(CheckpointError, match="in use by process"):
        run(Toy(steps=2), Line(), out=tmp_path, on_step=first)
    assert run(Toy(steps=2), Line(), out=tmp_path).stopped == "finished"


def test_training_without_gradients_is_refused():
    """Inside no_grad nothing would be learned, and nothing said."""
    with torch.no_grad(), pytest.raises(InputError, match="gradients"):
        fit(Toy(2), Line(), device="cpu", progress=False)
