"""Arms go on from one finished network, labellers give what their names say, rows are resumed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from svr_nb.experiments.lem import shared_by_all
from svr_nb.experiments.lem_labels import (
    ARMS,
    CURVES,
    EXPERIMENT,
    GROUPS,
    LABELLERS,
    LEVELS_OF,
    VIEWS,
    Runs,
    beliefs,
    curve_points,
    draw_curve,
    draw_gains,
    gain_table,
    label_quality,
    map_arm,
    network,
)
from svr_nb.experiments.runner import Arm, run
from svr_nb.lem.config import LEMConfig, drawings, loose_shapes, photographs
from svr_nb.lem.label_votes import NO_LABEL
from svr_nb.lem.system import LEM

from .test_lem import SMALL


@pytest.fixture(scope="module")
def few():
    same = {"size": 16, "voxels": 16}
    data = {
        "synthetic": drawings(count=6, views=2, seed=1, **same),
        "natural": photographs(count=12, seed=1, **same),
        "val": photographs("val", 6, 1, **same),
        "test": photographs("test", 6, 1, **same),
        "drawn": drawings("test", 6, 1, **same),
        "loose": loose_shapes(8, 1, 16),
    }
    return Runs(shared_by_all(data, SMALL), 1, others=(2, 3), start="finished")


def test_arms():
    full = LEMConfig.tiny()
    first, *others = (arm.of(full) for arm in ARMS)
    assert first.csm == 0 and first.map_steps > 0
    for config in others:
        changed = replace(config, csm=0.0, labels=first.labels, quantile=first.quantile)
        assert replace(changed, attention=False) == first
    assert [arm.name for arm in ARMS if arm.of(full).attention] == ["all, certain half"]
    assert set(LEVELS_OF) < set(LABELLERS) < {arm.name for arm in ARMS}


@pytest.mark.parametrize("name", LABELLERS)
def test_labels_are_groups_or_none(few, name):
    votes, groups = LABELLERS[name](few)
    data = few.shared.data
    assert len(votes) == len(data["natural"]) and len(groups) == len(data["synthetic"])
    assert int(votes.min()) >= NO_LABEL and int(votes.max()) < GROUPS
    if name == "true labels":
        assert torch.equal(votes[:, 0], data["natural"].fields["category"])
    if name == "encoders":
        assert votes.shape[1] == len(few.others)


def test_only_levels_read_the_truth(few):
    data = few.shared.data
    turned = {**data, "natural": data["natural"]}
    fields = {**data["natural"].fields}
    fields["category"] = (fields["category"] + 1) % 4
    turned["natural"] = type(data["natural"])(fields)
    other = replace(few, shared=replace(few.shared, data=turned))  # the same memory of networks
    for name, say in LABELLERS.items():
        assert torch.equal(say(few).votes, say(other).votes) == (name not in LEVELS_OF), name


def test_beliefs_are_worked_out_once(few):
    found = beliefs(few, 2)
    assert found.shape == (VIEWS, 12, GROUPS) and found is beliefs(few, 2)
    assert not torch.equal(found, beliefs(few, 3))


@pytest.mark.parametrize("name", ["no mapping", "true labels", "all, certain half"])
def test_the_third_stage_goes_on_from_the_same_network(few, name):
    arm = next(arm for arm in ARMS if arm.name == name)
    still = map_arm(Arm(name, {**arm.change, "map_steps": 1, "lr": 0.0}), 1, few)
    start, images = network(few, 1), few.shared.data["test"].fields["image"]
    assert torch.allclose(still.predict(images)[1], start.predict(images)[1], atol=1e-5)
    gone = map_arm(Arm(name, {**arm.change, "map_steps": 2}), 1, few)
    assert not torch.allclose(gone.predict(images)[1], start.predict(images)[1], atol=1e-5)


def test_rows_are_kept_and_told(few, tmp_path):
    quick = [Arm(a.name, {**a.change, "map_steps": 1}) for a in ARMS]
    experiment = replace(
        EXPERIMENT, arms=quick, data=lambda seed: replace(few, seed=seed, others=(2, 3))
    )
    names, out = ["no mapping", "true labels"], tmp_path / "rows.json"
    rows = run(experiment, names, [1, 4], out, progress=False)
    assert [r["arm"] for r in rows] == ["label quality", "judges together", "start", *names] * 2
    assert run(replace(experiment, train=None), names, [1, 4], out, progress=False) == rows
    table = gain_table(rows)
    assert [line["labels"] for line in table.rows] == names
    assert float(table.rows[1]["right"]) > 0.5 and "IoU: gain" in table.rows[1]
    assert label_quality(few)["labelled, true labels"] == 1.0 and "Level" in table.note
    assert len(draw_gains(rows).axes) == 1


def test_finished_networks_have_learned_even_when_judges_are_asked_first(few):
    """Asked without gradients, a network that is trained on the way must learn all the same."""
    fresh, finished = (replace(few, start=start, memory={}) for start in ("fresh", "finished"))
    beliefs(finished, 2)
    weights = [network(runs, 2).encoder.head.weight for runs in (fresh, finished)]
    assert not torch.equal(*weights)
    assert torch.equal(weights[0], LEM(SMALL, seed=2).encoder.head.weight)


def test_the_curve_has_gain_and_purity_of_every_arm_with_rows():
    quality = {"arm": "label quality", "start": "fresh"}
    shares = {"55 % right, fixed": 0.5, "true labels": 1.0}
    rows = [{**quality, "seed": s, **{f"right, {n}": v for n, v in shares.items()}} for s in (1, 2)]
    for arm, gain in (("no mapping", 0.0), ("55 % right, fixed", 0.1), ("true labels", 0.3)):
        rows += [{"arm": arm, "seed": s, "IoU": 0.4 * s + gain, "start": "fresh"} for s in (1, 2)]
    points = curve_points(rows, CURVES["fixed"])
    assert [point["arm"] for point in points] == list(shares)
    assert [point["right"] for point in points] == list(shares.values())
    assert [point["mean"] for point in points] == pytest.approx([0.1, 0.3])
    assert curve_points(rows, CURVES["new each time"])[0]["arm"] == "true labels"
    (axis,) = draw_curve(rows).axes
    assert list(axis.lines[0].get_xdata()) == pytest.approx([0.5, 1.0], abs=0.01)
