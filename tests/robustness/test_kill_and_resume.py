"""Kills a training run again and again, also in the middle of writing a checkpoint, and compares
the final bits.

Run as a program, this file trains: `python test_kill_and_resume.py FOLDER SEED KILLS`. It imports
    torch once and forks a child for
every life of the run; the parent kills the child after a random time, or the child kills itself
inside a write.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from svr_nb.training import run_files as run_folders
from svr_nb.training.config import ConfigBase
from svr_nb.training.system import SystemBase
from svr_nb.training.run_files import RunFolder
from svr_nb.networks.encoders import Mlp, fresh_weights
from svr_nb.training.stages import Stage, cosine, ramp
from svr_nb.training.loop import fit

SAMPLES, LIVES = 23, 14
PLACES = (
    "half a file",
    "before a rename",
    "before the folder's rename",
    "after the folder's rename",
)


class Numbers:
    """A small collection of inputs and targets."""

    def __init__(self) -> None:
        self.x = torch.rand(SAMPLES, 6, generator=torch.Generator().manual_seed(5))

    def __len__(self) -> int:
        return SAMPLES

    def batch(self, index: Tensor) -> dict[str, Tensor]:
        return {"x": self.x[index], "y": self.x[index].square().sum(1, keepdim=True)}


class Pair(SystemBase):
    """Two small networks with opposed interests, and everything that makes a resume hard: dropout,
    noise, running statistics, memory.
    """

    @dataclass(frozen=True)
    class Config(ConfigBase):
        width: int = 16

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        with fresh_weights(3):
            self.guess = nn.Sequential(
                Mlp([6, config.width, config.width], norm=True),
                nn.Dropout(0.2),
                nn.Linear(config.width, 1),
            )
            self.judge = Mlp([1, 8, 1], last="none")

    def parameter_groups(self):
        return {"guess": list(self.guess.parameters()), "judge": list(self.judge.parameters())}

    def stages(self):
        both = {"guess": {"fit": 1.0, "fool": 0.1}, "judge": {"judge": 1.0}}
        return [
            Stage(
                "first",
                40,
                both,
                lr=1e-2,
                batch=5,
                every={"guess": 2},
                weight_decay={"linear": 1e-3},
            ),
            Stage(
                "second",
                40,
                {"guess": {"fit": ramp}, "judge": {"judge": 0.5}},
                lr={"guess": 1e-2, "judge": 1e-3},
                batch=4,
                schedule=cosine,
            ),
        ]

    def before_stage(self, data, stage, generator):
        with torch.no_grad():
            self.judge[0].weight.normal_(0, 0.1, generator=generator)

    def before_epoch(self, data, stage, epoch, generator):
        self.memory["noise"] = (
            torch.rand(1 + epoch % 3, generator=generator) * self.judge[0].weight.detach().mean()
        )

    def losses(self, batch, stage):
        noise = (
            0.1 * torch.rand(batch["x"].shape, generator=batch["generator"])
            + self.memory["noise"].sum()
        )
        out = self.guess(batch["x"] + noise)
        return {
            "fit": (out - batch["y"]).square().mean(),
            "fool": self.judge(out).mean(),
            "judge": (self.judge(out.detach()) - self.judge(batch["y"])).mean()
            + self.judge(out.detach()).square().mean(),
        }


def die_in_write(place: str, count: int) -> None:
    """Makes the count-th write of this process end in SIGKILL at a given place."""
    left = [count]
    write, replace = run_folders.write_bytes, Path.replace

    def dying_write(path, data):
        left[0] -= 1
        if left[0] == 0 and place == "half a file":
            with open(Path(path).with_name(f".{Path(path).name}.{os.getpid()}~"), "wb") as handle:
                handle.write(data[: len(data) // 2])
                handle.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        write(path, data)

    def dying_replace(self, target):
        folder = self.is_dir()
        hit = left[0] <= 0 and place != "half a file" and folder == ("folder" in place)
        if hit and place.startswith("before"):
            os.kill(os.getpid(), signal.SIGKILL)
        result = replace(self, target)
        if hit:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    run_folders.write_bytes, Path.replace = dying_write, dying_replace


def one_life(out: Path, place: str | None, count: int, pace: float) -> None:
    """Trains in this process until the end or the kill."""
    if place:
        die_in_write(place, count)
    system = Pair(Pair.Config())
    fit(
        system,
        Numbers(),
        out=out / "run",
        save_every=3,
        progress=False,
        device="cpu",
        on_step=(lambda step, losses: time.sleep(pace)) if pace else None,
    )
    system.save_pretrained(out / "model")


def warm_up() -> None:
    """Loads what the first step would load, without any gradient, so that the forked lives start
    quickly.
    """
    import tqdm.auto  # noqa: F401

    weight = nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)
    torch.optim.Adam([weight], foreach=False).step()


def main(out: Path, seed: int, kills: int) -> None:
    """Forks one life after another; prints how each ended."""
    torch.set_num_threads(1)
    chance = random.Random(seed)
    warm_up()
    for life in range(kills + 1):
        place = chance.choice((None, *PLACES)) if life < kills else None
        count = chance.randint(1, 45)
        child = os.fork()
        if child == 0:
            try:
                one_life(out, place, count, 0.004 if life < kills else 0)
            except BaseException as error:
                print(type(error).__name__, error, flush=True)
                os._exit(1)
            os._exit(0)
        if life < kills:
            time.sleep(chance.uniform(0.1, 0.6))
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        latest = RunFolder(out / "run").latest()
        print(
            life,
            place,
            "killed" if os.WIFSIGNALED(status) else os.WEXITSTATUS(status),
            latest.step if latest else None,
            flush=True,
        )


@pytest.fixture(scope="module")
def uninterrupted():
    system = Pair(Pair.Config())
    history = fit(system, Numbers(), progress=False, device="cpu")
    return system, history


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_run_ends_with_the_same_bits(tmp_path, uninterrupted, seed):
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path), str(seed), str(LIVES)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == LIVES + 1, done.stdout + done.stderr
    assert sum(" killed " in line for line in lines) >= 3, (
        "too few lives ended in a kill:\n" + done.stdout
    )
    assert " 0 80" in lines[-1]
    system = Pair.from_pretrained(tmp_path / "model")
    for name, value in uninterrupted[0].state_dict().items():
        assert torch.equal(value, system.state_dict()[name]), name


def test_nothing_unfinished_is_left(tmp_path):
    system = Pair(Pair.Config())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".step-000000007~").mkdir()
    fit(system, Numbers(), out=tmp_path / "run", progress=False, device="cpu", save_every=20)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "step-000000060",
        "step-000000080",
    ]


def test_damaged_newest_checkpoint_costs_only_its_steps(tmp_path, uninterrupted):
    fit(
        Pair(Pair.Config()),
        Numbers(),
        out=tmp_path,
        progress=False,
        device="cpu",
        save_every=10,
        on_step=lambda step, losses: step == 50,
    )
    newest = tmp_path / "step-000000050" / "optimizer.safetensors"
    newest.write_bytes(newest.read_bytes()[:-5])
    assert RunFolder(tmp_path).latest().step == 40
    system = Pair(Pair.Config())
    history = fit(system, Numbers(), out=tmp_path, progress=False, device="cpu")
    for name, value in uninterrupted[0].state_dict().items():
        assert torch.equal(value, system.state_dict()[name]), name
    assert str(history.columns) == str(uninterrupted[1].columns)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
