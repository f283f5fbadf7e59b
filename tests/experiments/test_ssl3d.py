"""The arms of the ablation differ in what they should, and a run leaves rows that can be read
again.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from svr_nb.conventions import InputError
from svr_nb.data.sample_items import samples
from svr_nb.experiments.runner import arm_named, run, ship
from svr_nb.experiments.ssl3d import (
    ARMS,
    COLLECTIONS,
    SeedRuns,
    experiment,
    photo_scores,
    recipe,
    summary,
    train_arm,
)
from svr_nb.ssl3d.system import SSL3D


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_arms(collection):
    full = recipe(COLLECTIONS[collection][0])
    none, cycle, whole, _, neighbours, *_ = (arm.of(full) for arm in ARMS)
    assert none.beta == none.rho == 0 and cycle.beta == whole.beta > 0
    assert cycle.hypotheses == none.hypotheses == 1 < whole.hypotheses
    assert none.azimuth == whole.azimuth and none.steps == cycle.steps == whole.steps
    assert whole.neighbor_share == 0 < neighbours.neighbor_share


def test_recipes():
    assert recipe("chair").fold and not recipe("car").fold
    with pytest.raises(InputError, match="arm"):
        run(experiment("chairs"), ["both"])
    with pytest.raises(InputError, match="collection"):
        experiment("boats")


def few(seed):
    usual = {"size": 32, "seed": seed, "points": 128, "progress": False}
    return SeedRuns({name: samples("car", name, 8, **usual) for name in ("train", "val", "test")})


def test_rows_are_kept_and_not_repeated(tmp_path):
    out = tmp_path / "rows.json"
    quick = replace(experiment("two-tone cars", steps=4), data=few)
    names = ["none", "full", "neighbours"]
    rows = run(quick, names, [1], out, models=tmp_path / "models", progress=False)
    assert [r["arm"] for r in rows] == ["levels", *names] and json.loads(out.read_text()) == rows
    assert (tmp_path / "models" / "two-tone-cars-1" / "model.safetensors").exists()
    assert run(replace(quick, train=None), names, [1], out, progress=False) == rows
    table = summary(rows)
    assert len(table.rows) == 3 and "truth sampled again" in table.note
    # An arm that goes on from "full" gives the same row if "full" was run by an earlier call.
    out.write_text(json.dumps(rows[:3]))
    again = run(quick, names, [1], out, progress=False)
    assert {**again[3], "seconds": 0} == {**rows[3], "seconds": 0}


def test_neighbour_arms_differ_in_one_weight(monkeypatch):
    import svr_nb.experiments.ssl3d as module

    seen, shared = [], few(1)
    monkeypatch.setattr(module, "fit", lambda *given, stages, **options: seen.append(stages[0]))
    shared.full = SSL3D(arm_named(ARMS, "full").of(recipe("car")), seed=1)
    for name in ("no neighbours", "neighbours"):
        train_arm(arm_named(ARMS, name), recipe("car"), 1, shared)
    without, with_them = ({(g, n) for g in s.weights for n in s.weights[g]} for s in seen)
    assert {name for _, name in with_them - without} == {"neighbors"} and without < with_them


def test_shipping_writes_scores_on_the_card(tmp_path):
    SSL3D(recipe("horse"), seed=1).save_pretrained(tmp_path / "models" / "horses-1")
    names = (
        "pose within 30",
        "pose within 30, flip allowed",
        "chamfer x100",
        "mask IoU",
        "emd x100",
    )
    rows = [
        {
            "collection": "horses",
            "arm": "levels",
            "seed": 1,
            "truth sampled again": 4.0,
            "best single cloud": 6.0,
            "another instance": 7.0,
        },
        {
            "collection": "horses",
            "arm": "full",
            "seed": 1,
            "seconds": 9,
            **dict.fromkeys(names, 0.25),
        },
    ]
    folder = ship(experiment("horses"), rows, tmp_path / "models", tmp_path / "out")
    card = (folder / "README.md").read_text()
    assert (
        folder.name == "ssl3d-horse"
        and "0.25" in card
        and "Limits" in card
        and "svr_nb.experiments.ssl3d" in card
    )
    assert SSL3D.from_pretrained(str(folder)).category == "horse"


def test_photographs_before_and_after():
    horses = samples("horse", "test", 3, size=32, seed=1, points=0, progress=False)
    found = photo_scores(SSL3D(recipe("horse"), seed=1), horses, last=2, steps=25, lr=2e-3, lam=0.0)
    assert len(found["before"]) == 2 and sum(found["after"]) > sum(found["before"])
