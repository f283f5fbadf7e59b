"""The arms differ in what they should, rows are kept, and differences are taken seed by seed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import svr_nb.experiments.lem as evidence
from svr_nb.conventions import InputError
from svr_nb.experiments.lem import (
    ARMS,
    PAIRS,
    arm_config,
    manifold_row,
    pair_table,
    paired,
    run_all,
    ship,
    summary,
)
from svr_nb.lem.config import LEMConfig, drawings, loose_shapes, photographs
from svr_nb.lem.system import LEM

SMALL = replace(
    LEMConfig.tiny(),
    image_size=16,
    voxels=16,
    code=8,
    widths=(8, 8, 8, 8),
    adversary_hidden=(8,),
    shape_steps=2,
    steps=3,
    batch=3,
    shape_batch=3,
    inner=4,
    scales=(1, 2),
)


def test_arms():
    c = {arm: arm_config(arm) for arm in ARMS}
    assert (
        c["rec"].adversaries == ()
        and c["rec"].csm == 0
        and not c["rec"].attention
        and len(c["rec+adv"].adversaries) == 2
    )
    assert (
        c["all"].attention
        and c["all"].csm > 0
        and c["labels"].oracle > 0
        and not c["labels"].adversaries
    )
    assert (
        all(c[a].oracle == 0 for a in ARMS if a != "labels")
        and len({x.steps for x in c.values()}) == 1
    )
    assert c["rec+adv+ssa"] == replace(c["rec+adv"], attention=True)
    with pytest.raises(InputError, match="arm"):
        arm_config("everything")


def test_rows_are_kept_and_not_repeated(tmp_path, monkeypatch):
    same = {"size": 16, "voxels": 16}
    small = {
        "synthetic": drawings(count=6, views=2, seed=1, **same),
        "natural": photographs(count=6, seed=1, **same),
        "val": photographs("val", 6, 1, **same),
        "test": photographs("test", 6, 1, **same),
        "drawn": drawings("test", 6, 1, **same),
        "loose": loose_shapes(8, 1, 16),
    }
    monkeypatch.setattr(evidence, "splits", lambda folder=None: small)
    monkeypatch.setattr(LEMConfig, "tiny", classmethod(lambda cls: SMALL))
    monkeypatch.setattr(evidence, "COUNTS", {**evidence.COUNTS, "loose": 8, "drawn": 3})
    evidence.manifold.cache_clear()
    out = tmp_path / "rows.json"
    rows = run_all([1], ["rec", "rec+adv", "all"], out, tmp_path / "models")
    assert [r["arm"] for r in rows] == [
        "levels",
        "manifold",
        "rec",
        "rec+adv",
        "all",
    ] and json.loads(out.read_text()) == rows
    monkeypatch.setattr(evidence, "run_arm", None)
    assert run_all([1], ["rec", "rec+adv", "all"], out) == rows
    evidence.manifold.cache_clear()
    table = summary(rows)
    assert len(table.rows) == 3 and "mean shape" in table.note and "32³" in table.note
    assert [r["pair"] for r in pair_table(rows).rows] == ["rec+adv - rec", "all - rec+adv"]
    folder = ship(rows, tmp_path / "models", tmp_path / "out")
    card = (folder / "README.md").read_text()
    assert folder.name == "lem-object" and "Limits" in card and "svr_nb.experiments.lem" in card
    assert next(LEM.from_pretrained(str(folder)).parameters()).dtype.is_floating_point


def test_paired_differences():
    rows = [
        {"arm": a, "seed": s, "IoU": v}
        for a, values in (("rec", (0.1, 0.3, 0.2)), ("rec+adv", (0.2, 0.41, 0.3)))
        for s, v in enumerate(values)
    ]
    found = paired([*rows, {"arm": "rec", "seed": 9, "IoU": 5.0}], "rec", "rec+adv")
    assert found["seeds"] == 3 and found["mean"] == pytest.approx(0.31 / 3) and found["clear"]
    flat = [
        {"arm": a, "seed": s, "IoU": v}
        for a, values in (("rec", (0.1, 0.3, 0.2)), ("all", (0.2, 0.2, 0.2)))
        for s, v in enumerate(values)
    ]
    assert not paired(flat, "rec", "all")["clear"]


def test_the_table_of_pairs_marks_what_is_clear():
    rows = [
        {"arm": a, "seed": s, "IoU": v + s / 10, "drawn IoU": w}
        for a, v, w in (("rec", 0.1, 0.5), ("rec+adv", 0.2, 0.4))
        for s in range(3)
    ]
    rows[0]["IoU"] += 0.001
    (row,) = pair_table(rows, ("IoU", "drawn IoU")).rows
    assert (
        row["seeds"] == 3
        and row["IoU"].startswith("+.1")
        and row["IoU"].endswith("*")
        and row["drawn IoU"].startswith("-.1")
    )
    assert row["least IoU gain"] == "+.099" and {a for pair in PAIRS for a in pair} <= set(ARMS)


def test_the_manifold_is_measured_on_other_shapes(monkeypatch):
    monkeypatch.setattr(LEMConfig, "tiny", classmethod(lambda cls: replace(SMALL, shape_steps=20)))
    monkeypatch.setattr(evidence, "COUNTS", {**evidence.COUNTS, "drawn": 4})
    row = manifold_row(16, 16, 40)
    assert row["cells"] == 16 and 0.2 < row["IoU"] <= 1
