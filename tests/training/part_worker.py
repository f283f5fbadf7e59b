"""One of several processes that train together, for the tests: `python -m tests.training.part_worker
OUT DIES_AT NAME...` trains the named systems of the suite, four items a step; with DIES_AT, "rank,step",
one of them is gone in the middle.
"""

from __future__ import annotations

import atexit
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch

from svr_nb.training.loop import fit
from svr_nb.training.processes import launched
from svr_nb.training.run_files import write_tensors
from tests.suite.systems import SYSTEMS

ENTRIES = {entry.name: entry for entry in SYSTEMS}


def stages_of(system) -> list:
    """Its stages, with steps that can be cut into two and four parts."""
    return [replace(stage, batch=4) for stage in system.stages()]


def trained(name: str, out: Path | None = None, accumulate: int = 1, on_step=None):
    """A system after all its stages."""
    system = ENTRIES[name].make(0)
    data, stages = ENTRIES[name].data(), stages_of(system)
    how = {"device": "cpu", "progress": False, "save_every": 2, "on_step": on_step}
    history = fit(system, data, out=out, stages=stages, accumulate=accumulate, **how)
    return system, history


def nothing_is_left() -> None:
    """A thread of the group that outlives it aborts the process, now and then."""
    threads = [name.read_text().strip() for name in Path("/proc/self/task").glob("*/comm")]
    if any("gloo" in name for name in threads):
        print("left behind:", threads, file=sys.stderr, flush=True)
        os._exit(7)


def main() -> None:
    """Trains, and lets the first process write what came out."""
    atexit.register(nothing_is_left)  # the last to be called
    torch.set_num_threads(1)
    out, dies, names = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    rank, step = map(int, dies.split(",")) if dies != "-" else (-1, -1)

    def on_step(done: int, losses: dict) -> None:
        if launched().rank == rank and done == step:
            os._exit(9)

    for name in names:
        system, _ = trained(name, out / name, int(os.environ.get("TURNS", "1")), on_step)
        if launched().first:
            write_tensors(out / f"{name}.safetensors", system.state_dict())


if __name__ == "__main__":
    main()
