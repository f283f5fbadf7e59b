"""An experiment of seconds, with steps as slow as SVR_STEP_SECONDS says, for jobs that are cut."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch

from svr_nb.experiments.runner import Arm, Experiment
from svr_nb.lem.config import LEMConfig, drawings
from svr_nb.lem.system import LEM
from svr_nb.training.loop import fit


def train(arm, seed, data):
    """Two fits, the second from the weights of the first; it leaves a mark for every step."""
    pause, marks = float(os.environ.get("SVR_STEP_SECONDS", "0")), os.environ.get("SVR_MARKS")

    def on_step(step, losses):
        time.sleep(pause)
        if marks:
            with Path(marks).open("a") as file:
                print(arm.name, step, file=file)

    system = LEM(arm.of(LEMConfig.tiny()), seed=seed)
    for stage in system.stages()[:2]:
        short = type(stage)(**{**vars(stage), "steps": 4, "batch": 4})
        options = {"seed": seed, "progress": False, "save_every": 1}
        fit(system, data, stages=[short], on_step=on_step, **options)
    return system


def measure(system, data):
    total = sum(float(p.detach().double().sum()) for p in system.parameters())
    assert torch.isfinite(torch.tensor(total))
    return {"sum": total}


EXPERIMENT = Experiment(
    name="short_training",
    arms=[Arm("one", {"adversaries": ()}), Arm("two", {"adversaries": (), "code": 32})],
    seeds=(1,),
    data=lambda seed: {"synthetic": drawings("train", 8, seed)},
    train=train,
    measure=measure,
    kept=lambda arm, seed: f"{arm}-{seed}",
    report=lambda rows: [],
)
