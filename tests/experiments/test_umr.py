"""UMR's arms differ in what they say, share their first round, and leave rows and cards."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from svr_nb.conventions import InputError
from svr_nb.data.sample_items import samples
from svr_nb.experiments import umr
from svr_nb.experiments.runner import Arm, arm_named, run, ship
from svr_nb.experiments.umr import (
    ARMS,
    BIRDS,
    EXPERIMENT,
    NAMES,
    OWN_FIRST,
    SeedRuns,
    card_notes,
    cars,
    photographs,
    summary,
    terms_of,
    train_arm,
    train_photographs,
    without,
)
from svr_nb.training.system import load
from svr_nb.umr.config import UMRConfig
from svr_nb.umr.part_segmentation import fit_segmenter
from svr_nb.umr.system import UMR

SMALL = replace(UMRConfig.tiny(), first_steps=2, second_steps=2, batch=4)


@pytest.fixture(scope="module")
def birds():
    counts = {"train": 8, "val": 4, "test": 4}
    split = lambda name: samples(
        "bird", name, counts[name], seed=5, meshes=name != "train", progress=False, **BIRDS
    )
    return {name: split(name) for name in counts}


def test_arms():
    full = UMRConfig.tiny()
    of = {arm.name: arm.of(full) for arm in ARMS}
    assert of["full"] == full and NAMES == (
        "full",
        "no parts",
        "no cycle",
        "expected",
        "no L_sv",
        "no L_sp",
        "hard parts",
        "adversary",
        "round 3",
        "round 3, refined",
        "642 vertices",
        "642 vertices, freer",
    )
    assert of["no parts"].second == without(full.second, "sp", "sv")
    assert of["no parts"].first == full.first and of["no parts"].template_from == "all"
    assert of["no cycle"].second.cyc == 0 == of["no cycle"].first.cyc
    assert of["expected"].choice == "expected" and of["expected"].first_cameras == 1
    assert of["expected"].second.ent == 0.05 and of["expected"].second.pick == 0
    with pytest.raises(InputError, match="arm"):
        run(EXPERIMENT, ["everything"])


def test_arms_that_share_a_first_round_have_the_same_one():
    full = UMRConfig.tiny()
    told = lambda c: (c.first, c.first_cameras, c.choice, c.adversary, c.level)
    for arm in ARMS:
        assert (told(arm.of(full)) == told(full)) == (arm.name not in OWN_FIRST), arm.name


def test_an_adversary_starts_anew_after_other_arms(birds):
    shared = SeedRuns(birds)
    train_arm(arm_named(ARMS, "no L_sv"), 1, shared, SMALL)
    first = shared.first
    assert len(train_arm(arm_named(ARMS, "adversary"), 1, shared, SMALL).critics)
    assert shared.first is first and shared.report["confidence"] == shared.report["confidence"]
    train_arm(arm_named(ARMS, "hard parts"), 1, shared, SMALL)  # goes on from the shared one


def test_arms_share_their_first_round_and_rows_are_kept(birds, tmp_path):
    quick = replace(
        EXPERIMENT,
        data=lambda seed: SeedRuns(birds),
        train=lambda arm, seed, shared: train_arm(arm, seed, shared, SMALL),
    )
    out, models = tmp_path / "rows.json", tmp_path / "models"
    rows = run(quick, ["full", "no parts"], [1], out, models=models, progress=False)
    assert [row["arm"] for row in rows] == ["levels", "full", "no parts"]
    assert rows[1]["confidence"] == rows[1]["confidence"]  # a first round of its own
    assert rows[2]["confidence"] != rows[2]["confidence"]  # none: it goes on from there
    kept = json.loads(out.read_text())
    assert str(run(replace(quick, train=None), ["full"], [1], out, progress=False)) == str(kept)
    folder = ship(quick, rows, models, tmp_path)
    assert folder.name == "umr-bird" and UMR.from_pretrained(folder).category == "bird"
    assert f"{rows[1]['mask IoU']:.3f}" in (folder / "README.md").read_text()


def test_third_rounds_go_on_from_the_same_full_system_and_differ_in_their_maps(birds, monkeypatch):
    quick = lambda data, parts, seed: fit_segmenter(data, parts, steps=4, seed=seed)
    monkeypatch.setattr(umr, "fit_segmenter", quick)
    shared = SeedRuns(birds)
    plain = train_arm(arm_named(ARMS, "round 3"), 1, shared, SMALL)
    full = shared.full
    kept = {name: value.clone() for name, value in full.state_dict().items()}
    better = train_arm(arm_named(ARMS, "round 3, refined"), 1, shared, SMALL)
    assert shared.full is full
    assert all(torch.equal(value, kept[name]) for name, value in full.state_dict().items())
    for one, other in ((plain, full), (better, full), (plain, better)):
        assert not torch.equal(one.shape.mean.weight, other.shape.mean.weight)
    maps = umr.refined(full, birds["train"], 1)["part_map"]
    assert maps.shape == birds["train"]["part_map"].shape
    assert not torch.equal(maps, birds["train"]["part_map"])


def test_a_first_round_belongs_to_its_configuration(birds):
    shared = SeedRuns(birds)
    train_arm(arm_named(ARMS, "expected"), 1, shared, SMALL)
    assert shared.first is None  # one camera: nobody else may go on from it


def test_other_data_are_other_arms():
    assert [arm.name for arm in cars(20).arms] == ["cars", "cars, six parts"]
    assert cars().kept("cars", 4) == "car-4" and cars().kept("cars, six parts", 4) is None
    horses = photographs("weizmann", 5, "horse")
    assert horses.kept("photographs", 0) == "horse-0" and not horses.levels.measures
    assert "--photos weizmann --seeds 0" in horses.ships.card({"seed": 0}, [])


def test_six_parts_are_the_five_with_the_ends_apart():
    some = samples("car", "test", 3, seed=2, meshes=True, progress=False, **umr.CARS)
    apart = umr.ends_apart(some)
    before, after = some["part_map"], apart["part_map"]
    assert after.shape[1] == 6 and apart.labels["parts"] == umr.SIX
    assert torch.allclose(before.sum(1), after.sum(1))
    assert torch.equal(before[:, 1:4], after[:, 1:4])  # cabin, window and wheel
    assert bool((after[:, 0] <= before[:, 0]).all())
    for mesh in some.meshes:
        labels, along = umr.six_labels(mesh), mesh.verts[mesh.faces][:, :, 2].mean(1)
        assert float(along[labels == 4].max()) < 0 < float(along[labels == 5].min())
        assert bool((labels[mesh.face_labels == 4] >= 4).all())


def test_cars_of_six_parts_train(monkeypatch):
    cars_of = lambda n: samples("car", "train", n, seed=2, meshes=True, progress=False, **umr.CARS)
    shared = SeedRuns({"train": cars_of(8), "val": cars_of(4), "test": cars_of(4)})
    made, five = cars(8), replace(SMALL, parts=5)
    system = umr.train_cars(made.arms[1], 1, shared, five)
    assert system.config.parts == 6 and system.config.part_names == umr.SIX
    assert umr.train_cars(made.arms[0], 1, shared, five).config.parts == 5
    assert made.measure(system, shared)["camera within 30"] >= 0


@pytest.mark.parametrize("folder, known", [("weizmann_horse", True), ("my_horses", False)])
def test_a_network_carries_the_terms_of_its_photographs(tmp_path, birds, folder, known):
    arm, shared = Arm("photographs"), SeedRuns({"train": birds["train"]})
    system = train_photographs(arm, 1, shared, SMALL, "horse", terms=terms_of(tmp_path / folder))
    system.save_pretrained(tmp_path / "model")
    again = UMR.from_pretrained(tmp_path / "model")
    assert again.terms == system.terms == (load("umr", "horse").terms if known else "")
    assert (tmp_path / "model" / "NOTICE.txt").exists() == known
    planned = photographs(tmp_path / folder, 5, "horse").train
    assert planned.keywords["terms"] == system.terms


def test_the_summary_has_a_line_per_arm_and_the_levels():
    rows = [
        {"arm": arm, "seed": seed, "mask IoU": 0.5, "PCK by camera": 0.25}
        for arm in NAMES[:2]
        for seed in (1, 2)
    ]
    table = summary([*rows, {"arm": "levels", "seed": 1, "oracle camera": 0.6}], ("IoU",))
    assert table.rows == [{"arm": arm, "IoU": ".500 (.500 .500)"} for arm in NAMES[:2]]
    assert "oracle camera 0.600" in table.note
    assert "mask IoU 0.500" in card_notes(rows[0], "Made.") and "Limits" in card_notes(rows[0], "")
