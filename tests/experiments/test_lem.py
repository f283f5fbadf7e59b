"""The arms differ in what they should, rows are kept, and differences are taken seed by seed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from svr_nb.conventions import InputError
from svr_nb.experiments import lem
from svr_nb.experiments.lem import (
    ARMS,
    EXPERIMENT,
    NAMES,
    PAIRS,
    alignment,
    alignment_table,
    manifold_row,
    measure,
    pair_table,
    shared_by_all,
    splits,
    summary,
    train_arm,
)
from svr_nb.experiments.runner import Levels, arm_named, run, ship
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
    c = {arm.name: arm.of(LEMConfig.tiny()) for arm in ARMS}
    assert c["rec"].adversaries == () and c["rec"].csm == 0 and not c["rec"].attention
    assert len(c["rec+adv"].adversaries) == 2 and c["all"].attention and c["all"].csm > 0
    assert c["labels"].oracle > 0 and not c["labels"].adversaries
    assert all(c[name].oracle == 0 for name in NAMES if name != "labels")
    short = {name: x.steps for name, x in c.items() if x.steps != c["rec"].steps}
    assert short == {"tenth": 90, "tenth, ssa": 90, "third": 270, "third, ssa": 270}
    assert {name for name, x in c.items() if x.pool == 1} == {
        "mean",
        "mean, ssa",
        "mean, ssa, fine",
    }
    assert c["rec+adv+ssa"] == replace(c["rec+adv"], attention=True)
    with pytest.raises(InputError, match="arm"):
        run(EXPERIMENT, ["everything"])


@pytest.fixture(scope="module")
def few():
    same = {"size": 16, "voxels": 16}
    data = {
        "synthetic": drawings(count=6, views=2, seed=1, **same),
        "natural": photographs(count=6, seed=1, **same),
        "val": photographs("val", 6, 1, **same),
        "test": photographs("test", 6, 1, **same),
        "drawn": drawings("test", 6, 1, **same),
        "loose": loose_shapes(8, 1, 16),
    }
    return shared_by_all(data, SMALL)


def test_rows_are_kept_and_not_repeated(few, tmp_path):
    finer = lambda shared: manifold_row(shared, 32, 8, 6)
    levels = Levels({**EXPERIMENT.levels.measures, "manifold": finer}, EXPERIMENT.levels.seed)
    quick = replace(EXPERIMENT, data=lambda seed: few, levels=levels)
    out, names, models = tmp_path / "rows.json", ["rec", "rec+adv", "all"], tmp_path / "models"
    rows = run(quick, names, [1], out, models=models, progress=False)
    assert [r["arm"] for r in rows] == ["levels", "manifold", *names]
    assert json.loads(out.read_text()) == rows
    assert run(replace(quick, train=None), names, [1], out, progress=False) == rows
    more = run(quick, ["rec"], [1, 2], out, progress=False)
    assert [r["arm"] for r in more] == ["levels", "manifold", *names, "rec"]  # levels only once
    table = summary(rows)
    assert len(table.rows) == 3 and "mean shape" in table.note and "32³" in table.note
    assert [r["pair"] for r in pair_table(rows).rows] == ["rec+adv - rec", "all - rec+adv"]
    folder = ship(quick, rows, models, tmp_path / "out")
    card = (folder / "README.md").read_text()
    assert folder.name == "lem-object" and "Limits" in card and "svr_nb.experiments.lem" in card
    shipped = LEM.from_pretrained(str(folder))
    assert shipped.category == "object" and measure(shipped, few)["IoU"] == pytest.approx(
        rows[3]["IoU"], abs=0.02
    )


def test_arms_share_the_manifold(few):
    a, b = (EXPERIMENT.train(arm, 1, few).state_dict() for arm in ARMS[:2])
    for name, value in few.manifold.items():
        assert bool((a[name] == value).all()) and bool((b[name] == value).all()), name


def test_a_frozen_trunk_is_that_of_the_finished_system_and_stays(few):
    frozen = train_arm(arm_named(ARMS, "frozen trunk"), 1, few)
    finished = train_arm(arm_named(ARMS, "rec+adv"), 1, few)
    mine, theirs = (one.encoder.trunk.state_dict() for one in (frozen, finished))
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
    assert not torch.equal(frozen.encoder.head.weight, finished.encoder.head.weight)


def test_crowds_of_codes_are_measured_and_placed(few):
    row = alignment(train_arm(arm_named(ARMS, "rec"), 1, few), few)
    assert [name for name in row if name.startswith("mixing")] == [
        "mixing of photographs and drawings",
        "mixing of drawings and shapes",
        "mixing of photographs and shapes",
    ]
    assert len(row["photographs"].split("; ")) == len(few.data["test"])
    x, y, kind = row["shapes"].split("; ")[0].split()
    assert float(x) == float(x) and float(y) == float(y) and kind in "0123"
    told = str(alignment_table([{"arm": "rec", "seed": 1} | row]))
    assert "photographs, drawings" in told


def test_small_objects_are_small(monkeypatch, tmp_path):
    counts = dict.fromkeys(("synthetic", "natural", "val", "test", "drawn", "loose"), 4)
    monkeypatch.setattr(lem, "COUNTS", counts)
    usual, small = splits(tmp_path), splits(tmp_path, small=True)
    for name in ("synthetic", "natural", "test"):
        share = [part[name]["mask"].mean((1, 2, 3)) for part in (usual, small)]
        assert float(share[1].max()) < 0.2 and float(share[1].mean()) < 0.7 * float(share[0].mean())
    assert torch.equal(usual["loose"]["voxels"], small["loose"]["voxels"])


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
    assert row["least IoU gain"] == "+.099" and {a for pair in PAIRS for a in pair} <= set(NAMES)


def test_the_manifold_is_measured_on_other_shapes(few, monkeypatch):
    import svr_nb.experiments.lem as module

    monkeypatch.setattr(module, "COUNTS", {**module.COUNTS, "drawn": 4})
    longer = replace(few, config=replace(SMALL, shape_steps=20))
    row = manifold_row(longer, 16, 16, 40)
    assert row["cells"] == 16 and 0.2 < row["IoU"] <= 1
