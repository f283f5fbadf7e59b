"""Several processes, one run: the same bits as one process with as many parts, whatever the system;
and after one of them was killed.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from svr_nb.conventions import CheckpointError, InputError, seeded
from svr_nb.training.loop import fit
from svr_nb.training.processes import (
    Launch,
    Pairs,
    Share,
    Team,
    joined,
    launched,
    mixed,
    pack,
    parts_of,
    put_back,
    running_means,
    together,
    unpack,
)
from svr_nb.training.run_files import RunFolder, read_tensors
from svr_nb.training.stages import Stage

from .part_worker import ENTRIES, trained
from .test_loop import Line, Toy

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
NAMES = sorted(ENTRIES)


def launch(count: int, *words: str, module: str = "tests.training.part_worker", **more: str):
    """Starts a command in several processes, as a launcher does; their statuses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    running = []
    for rank in range(count):
        own = shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        command = [sys.executable, "-W", "ignore", "-m", module, *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen(command, env=own, cwd=ROOT, **pipes))
    said = [process.communicate(timeout=300) for process in running]
    return [process.returncode for process in running], said


def same(found: dict, wanted: dict) -> bool:
    return set(found) == set(wanted) and all(torch.equal(x, wanted[n]) for n, x in found.items())


# --- alone ---


def test_launchers_are_understood():
    assert launched({}) == Launch() and Launch().first
    said = {"WORLD_SIZE": "4", "RANK": "2", "LOCAL_RANK": "0", "ACCELERATE_MIXED_PRECISION": "bf16"}
    assert launched(said) == Launch(2, 4, 0, "bf16") and not launched(said).first
    with pytest.raises(InputError, match="bf16"):
        launched({"ACCELERATE_MIXED_PRECISION": "fp16"})


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13])
def test_a_tournament_adds_everything(count):
    rows = torch.randn(count, 50, generator=seeded(count)).double()
    pairs = Pairs()
    for row in rows:
        pairs.add(row)
    assert torch.allclose(pairs.total(), rows.sum(0)) and Pairs().total() is None


@pytest.mark.parametrize("processes", [2, 4, 8])
def test_a_tournament_does_not_ask_who_adds(processes):
    rows = torch.randn(8, 200, generator=seeded(5)) * 10 ** torch.arange(-4.0, 4)[:, None]

    def total(some):
        pairs = Pairs()
        for row in some:
            pairs.add(row)
        return pairs.total()

    shares = [total(some) for some in rows.chunk(processes)]
    assert torch.equal(total(shares), total(rows)) and not torch.equal(total(rows), rows.sum(0))


@pytest.mark.parametrize("count, turns, batch, parts", [(2, 1, 4, 2), (4, 2, 6, 2), (3, 1, 1, 1)])
def test_every_part_has_one_owner(count, turns, batch, parts):
    teams = [Team(Launch(rank, count), CPU) for rank in range(count)]
    shares = [parts_of(team, turns, [batch, 12 * batch]) for team in teams]
    assert {share.parts for share in shares} == {parts}
    assert sorted(part for share in shares for part in share.mine) == list(range(parts))


def test_packing_keeps_what_took_no_part():
    params = {"a": [torch.zeros(2, 3), torch.zeros(4)], "b": [torch.zeros(1)]}
    grads = {"a": [torch.randn(2, 3, generator=seeded(1)), None]}
    means = [torch.tensor(7), torch.rand(2)]
    row = pack({"x": torch.tensor(1.5), "y": torch.tensor(-2.0)}, grads, params, means)
    losses, found, values = unpack(row, ["x", "y"], params, means)
    assert torch.equal(found["a"][0], grads["a"][0]) and found["a"][1] is None and "b" not in found
    assert float(losses["y"]) == -2 and torch.equal(values[1], means[1]) and int(values[0]) == 7


def test_running_means_of_parts_are_averaged():
    layer = nn.BatchNorm1d(3)
    x = torch.randn(8, 3, generator=seeded(2)) + 4

    def one(part):
        loss = layer(x[4 * part :][:4]).square().mean()
        return {"fit": loss}, {"all": torch.autograd.grad(loss, [layer.weight])}

    team, params = Team(Launch(), CPU), {"all": [layer.weight]}
    together(team, Share(2, range(2)), layer, params, one)
    assert torch.allclose(layer.running_mean, 0.1 * x.mean(0), atol=1e-6)
    assert int(layer.num_batches_tracked) == 1
    put_back(running_means(layer), [torch.zeros(3), torch.ones(3), torch.tensor(0)])
    assert not layer.running_mean.any()


def test_heavy_networks_hand_out_float32():
    class Heavy(nn.Module):
        heavy = ("trunk",)

        def __init__(self):
            super().__init__()
            self.trunk, self.rest = nn.Linear(32, 32), nn.Linear(32, 32)

    net, x = Heavy(), torch.randn(4, 32, generator=seeded(1))
    plain = net.trunk(x), net.rest(x)
    with mixed(net, "bf16", CPU):
        rough = net.trunk(x)
        assert rough.dtype == torch.float32 and torch.equal(net.rest(x), plain[1])
        rough.sum().backward()
    assert 0 < float((rough - plain[0]).abs().max()) < 0.05
    assert net.trunk.weight.grad.dtype == torch.float32 and torch.equal(net.trunk(x), plain[0])
    with pytest.raises(InputError, match="precision"):
        fit(Toy(2), Line(), device="cpu", progress=False, precision="fp8")


@pytest.mark.parametrize("name", ["umr", "lem", "tars"])
def test_half_precision_trains(name):
    system = ENTRIES[name].make(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(system, ENTRIES[name].data(), device="cpu", progress=False, precision="bf16")
    assert all(bool(torch.isfinite(p).all()) for p in system.parameters())


def test_means_in_parts_are_the_mean_of_the_whole():
    """A loss that is a mean over items, and draws nothing, does not care about parts."""
    whole, parts = Toy(10), Toy(10)
    stages = [Stage("only", 10, {"line": {"fit": 1.0}}, lr=0.05, batch=4)]
    how = {"device": "cpu", "progress": False, "stages": stages}
    fit(whole, Line(), **how)
    fit(parts, Line(), accumulate=4, **how)
    for a, b in zip(whole.parameters(), parts.parameters()):
        assert torch.allclose(a, b, atol=1e-6)


def test_parts_belong_to_the_run(tmp_path):
    fit(Toy(4), Line(), tmp_path, device="cpu", progress=False, accumulate=2)
    with pytest.raises(CheckpointError, match="parts"):
        fit(Toy(4), Line(), tmp_path, device="cpu", progress=False)


def test_one_process_needs_no_launcher():
    with joined("cpu", Launch()) as team:
        assert team.largest(2) == 2 and team.from_first(lambda: 5) == 5
        assert not torch.distributed.is_initialized()


# --- two processes ---


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """What two processes made of all five systems."""
    out = tmp_path_factory.mktemp("two")
    statuses, said = launch(2, str(out), "-", *NAMES)
    assert statuses == [0, 0], said
    return out


@pytest.fixture(scope="module")
def one() -> dict:
    """The same in one process, two parts one after the other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: trained(name, accumulate=2)[0].state_dict() for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_are_one_run(two, one, name):
    assert same(read_tensors(two / f"{name}.safetensors"), one[name])


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_did_something(one, name):
    before = ENTRIES[name].make(0).state_dict()
    assert not same(before, one[name])


def test_one_process_goes_on_where_two_stopped(two, one, tmp_path):
    """The folder of two processes, cut off in the middle, continued by one with two parts."""
    steps = RunFolder(two / "ssl3d").steps()
    last = RunFolder(two / "ssl3d").folder(steps[-1])
    last.rename(tmp_path / "gone")
    system, history = trained("ssl3d", two / "ssl3d", accumulate=2)
    assert same(system.state_dict(), one["ssl3d"]) and len(history.columns["image"]) == steps[-1]


def test_killed_and_gone_on(one, tmp_path):
    """One of two processes is killed at a random step; the other ends, and the same command goes on
    to the same result.
    """
    chance = random.Random(int(os.environ.get("SVR_SEED", "7")))
    rank, step = chance.randrange(2), chance.randrange(2, 6)
    statuses, _ = launch(2, str(tmp_path), f"{rank},{step}", "umr")
    assert statuses[rank] == 9 and statuses[1 - rank] not in (0, None)
    assert not (tmp_path / "umr.safetensors").exists()
    statuses, said = launch(2, str(tmp_path), "-", "umr")
    assert statuses == [0, 0], said
    assert same(read_tensors(tmp_path / "umr.safetensors"), one["umr"])


def test_a_refusal_reaches_every_process(tmp_path):
    """What the first process finds wrong with the folder ends all of them."""
    (tmp_path / "ssl3d").write_text("a file where a folder should be")
    statuses, said = launch(2, str(tmp_path), "-", "ssl3d")
    assert statuses == [1, 1] and all("expected a folder" in error for _, error in said)


def test_under_accelerate(tmp_path):
    """The command as its users type it, if Accelerate is installed."""
    pytest.importorskip("accelerate")
    words = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    words += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    words += ["-m", "svr_nb", "train", "ssl3d", "--count", "4", "--dry-run", "1"]
    shared = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words, "--device", "cpu"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=shared,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("1 cycle") == 1 and "2 neighbors" in done.stdout
