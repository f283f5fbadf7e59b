"""The arms of the ablation differ in what they should, and a run leaves rows that can be read
again.
"""

from __future__ import annotations

import json

import pytest

import svr_nb.experiments.ssl3d as evidence
from svr_nb.conventions import InputError
from svr_nb.data.sample_items import samples
from svr_nb.experiments.ssl3d import (
    ARMS,
    COLLECTIONS,
    arm_config,
    photo_scores,
    recipe,
    run_all,
    ship,
    summary,
)


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_arms(collection):
    none, cycle, full = (arm_config(collection, arm) for arm in ARMS[:3])
    assert (
        none.beta == none.rho == 0
        and cycle.beta == full.beta > 0
        and cycle.hypotheses == none.hypotheses == 1 < full.hypotheses
    )
    assert none.azimuth == full.azimuth and none.steps == cycle.steps == full.steps
    assert full.neighbor_share == 0 < arm_config(collection, "neighbours").neighbor_share


def test_recipes():
    assert recipe("chair").fold and not recipe("car").fold
    with pytest.raises(InputError, match="arm"):
        arm_config("chairs", "both")
    with pytest.raises(InputError, match="collection"):
        arm_config("boats", "full")


def test_rows_are_kept_and_not_repeated(tmp_path, monkeypatch):
    few = lambda name, seed: samples("car", name, 8, size=32, seed=seed, points=128, progress=False)
    tiny = lambda collection, seed, size=32: {
        name: few(name, seed) for name in ("train", "val", "test")
    }
    monkeypatch.setattr(evidence, "splits", tiny)
    real = evidence.arm_config
    monkeypatch.setattr(evidence, "arm_config", lambda c, a, steps=None: real(c, a, 4))
    out = tmp_path / "rows.json"
    rows = run_all([1], ["two-tone cars"], ["none", "full", "neighbours"], out, tmp_path / "models")
    assert [r["arm"] for r in rows] == ["levels", "none", "full", "neighbours"] and json.loads(
        out.read_text()
    ) == rows
    assert (tmp_path / "models" / "two-tone-cars-1" / "model.safetensors").exists()
    monkeypatch.setattr(evidence, "run_arm", None)
    assert run_all([1], ["two-tone cars"], ["none", "full", "neighbours"], out) == rows
    table = summary(rows)
    assert len(table.rows) == 3 and "truth sampled again" in table.note


def test_shipping_writes_scores_on_the_card(tmp_path):
    from svr_nb.ssl3d.system import SSL3D

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
    (folder,) = ship(rows, tmp_path / "models", tmp_path / "out")
    card = (folder / "README.md").read_text()
    assert (
        folder.name == "ssl3d-horse"
        and "0.25" in card
        and "Limits" in card
        and "svr_nb.experiments.ssl3d" in card
    )
    assert SSL3D.from_pretrained(str(folder)).category == "horse"


def test_photographs_before_and_after():
    from svr_nb.ssl3d.system import SSL3D

    horses = samples("horse", "test", 3, size=32, seed=1, points=0, progress=False)
    found = photo_scores(SSL3D(recipe("horse"), seed=1), horses, last=2, steps=25, lr=2e-3, lam=0.0)
    assert len(found["before"]) == 2 and sum(found["after"]) > sum(found["before"])
