"""AGT's arms differ in what they say, start from one UMR, and leave rows and a card."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache

import pytest

from svr_nb.agt.config import AGTConfig
from svr_nb.agt.system import AGT, continued
from svr_nb.conventions import InputError
from svr_nb.data.sample_items import samples
from svr_nb.experiments.agt import (
    ARMS,
    TABLED,
    EXPERIMENT,
    SCORES,
    SeedRuns,
    card_of,
    measure_start,
    prepare,
    ships,
    summary,
    umr_goes_on,
)
from svr_nb.experiments.runner import arm_named, main, run
from svr_nb.experiments.umr import BIRDS
from svr_nb.training.system import load


@lru_cache(maxsize=1)
def shared():
    """The shipped bird, a handful of birds, two steps."""
    umr = load("umr", "bird")
    few = {
        name: samples("bird", name, 8, seed=6, progress=False, **BIRDS)
        for name in ("train", "test")
    }
    return SeedRuns(1, few, umr, continued(umr, texture_steps=2, batch=4))


def test_every_arm_differs_in_what_it_says():
    full = shared().full
    made = {arm.name: arm.of(full) for arm in ARMS}
    assert made["umr"] == made["umr, same weights"] == made["full"] == full
    assert made["-D_var"].variance == "off" and made["-shape"] == replace(full, shape_too=False)
    for arm, name in (("-FID", "fid"), ("-align", "align"), ("-adv", "adv")):
        assert made[arm] == replace(full, texture=replace(full.texture, **{name: 0.0}))


def test_umr_goes_on_as_long_and_with_the_weights_that_are_asked_for():
    system = AGT.from_umr(shared().umr, shared().full, 1)
    texture, second = system.stages()[-1], system.stages()[1]
    own, same = umr_goes_on(system, True), umr_goes_on(system, False)
    assert own.steps == same.steps == texture.steps and own.weights == second.weights
    new, old = same.weights["networks"], own.weights["networks"]
    assert set(new) == set(old) and new["mask"] == texture.weights["networks"]["mask"]
    assert {name for name in old if new[name] != old[name]} <= set(texture.weights["networks"])


def test_the_command_runs_every_arm_and_ships(tmp_path, capsys):
    quick = replace(
        EXPERIMENT,
        data=lambda seed: shared(),
        command=replace(EXPERIMENT.command, adapt=None),
    )
    spoken = [f"no{arm.name}" if arm.name.startswith("-") else arm.name for arm in ARMS]
    call = ["--seeds", "1", "--out", str(tmp_path / "rows.json"), "--arms", *spoken]
    rows = main(quick, [*call, "--models", str(tmp_path / "m"), "--ship", str(tmp_path / "s")])
    assert [row["arm"] for row in rows] == ["start", *(arm.name for arm in ARMS)]
    assert "SSIM" in capsys.readouterr().out and len({row["SSIM"] for row in rows}) > 4
    assert all(row["mask IoU"] != rows[0]["mask IoU"] for row in rows[1:])
    shipped = AGT.from_pretrained(tmp_path / "s" / "agt-bird")
    assert f"{rows[3]['SSIM']:.3f} ({rows[1]['SSIM']:.3f})" in shipped.notes
    assert rows[0]["SSIM"] == measure_start(shared())["SSIM"]


def test_the_new_arms_differ_from_full_in_what_their_names_say():
    full = AGTConfig.tiny()
    of = {arm.name: arm.of(full) for arm in ARMS}
    assert of["map sees flow"] == replace(full, var_sees="flow")
    plain = replace(full, flow_rate=of["plain descent"].flow_rate)
    assert of["plain descent"] == plain and plain.flow_rate > 0
    assert of["plain descent, -D_var"] == replace(plain, variance="off")
    assert of["plain descent, map sees flow"] == replace(plain, var_sees="flow")
    assert of["queue"] == replace(full, fakes=256)
    assert of["queue, texture alone"] == replace(of["queue"], fid_texture=True)
    assert of["queue, texture alone, paint"].fid_features == "paint"
    assert TABLED == tuple(arm.name for arm in ARMS)[: len(TABLED)]
    assert not any("plain" in name or "queue" in name for name in TABLED)


def test_the_command_goes_on_where_it_stopped(tmp_path):
    done = [
        {"arm": arm, "seed": 1, **dict.fromkeys(SCORES, 0.5)} for arm in ("start", "umr", "full")
    ]
    out, asked = tmp_path / "rows.json", []
    out.write_text(json.dumps(done))
    quick = replace(
        EXPERIMENT,
        data=lambda seed: None,
        train=lambda arm, seed, given: asked.append(arm.name),
        measure=lambda system, given: {},
    )
    rows = run(quick, ["umr", "-adv"], [1], out, progress=False)
    assert asked == ["-adv"] and [r["arm"] for r in rows] == ["start", "umr", "full", "-adv"]
    assert arm_named(ARMS, "-adv").name == "-adv"


def test_summary_compares_with_umr():
    rows = [
        {"arm": arm, "seed": seed, **{name: value + seed for name in SCORES}}
        for seed in (1, 2)
        for arm, value in (("umr", 0.5), ("full", 0.6))
    ]
    table = summary(rows)
    assert table["arm"] == ["umr", "full"] and table["SSIM"][1] == pytest.approx(2.1)
    assert table["SSIM, over umr"][1] == table["mask IoU, over umr"][1] == "+0.100 +0.100"


def test_cars_need_a_start_and_their_card_says_so():
    with pytest.raises(InputError, match="umr-car"):
        prepare(1, category="car")
    with pytest.raises(InputError, match="category"):
        prepare(1, category="boat")
    row = {"arm": "full", "seed": 4, "seconds": 9, "category": "car", "unseen": 100, "SSIM": 0.5}
    said = card_of(row, [row, {**row, "arm": "umr", "SSIM": 0.25}])
    assert "--umr svr_nb/checkpoints/umr-car --category car" in said and "procedural cars" in said
    assert "SSIM 0.500 (0.250)" in said and "100 unseen" in said
    assert ships("car").name == "agt-car"
