"""Chairs from silhouettes: shapes drawn again, arms that start alike, rows, the card and the
command.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from svr_nb.training.system import load
from svr_nb.conventions import InputError, seeded
from svr_nb.data.sample_items import samples
from svr_nb.tars.config import TARSConfig
from svr_nb.experiments.tars import (
    ELEVATION,
    EXPERIMENT,
    FORMS,
    LEVELS,
    ShapeRuns,
    Trainer,
    card_of,
    k_arms,
    learning_pictures,
    silhouette_table,
    training_shape,
    unseen_shapes,
    widened,
)
from svr_nb.experiments.runner import main, stored_rows
from svr_nb.scores.metrics import voxel_iou
from svr_nb.shapes.fields import cell_centers
from svr_nb.tars.scores import mean_shape, surface_scores
from svr_nb.tars.system import TARS

SMALL = replace(
    TARSConfig.small(),
    widths=(4, 4, 8, 8),
    code=8,
    width=8,
    layers=2,
    shape_hidden=(8,),
    deform_hidden=(8,),
    rays=8,
    points=8,
    cells=12,
    march_steps=(2, 2),
    batch=3,
    sphere_steps=3,
    image_steps=2,
    identity_steps=2,
    deform_steps=2,
)


def arms_of(learn, seed, features, config, folder=None, device=None):
    """Arm, system and what its training took, for stage 1 and every k."""
    chairs, train = ShapeRuns(learn, learn, None, seed), Trainer(config, folder, device)
    return [(arm.name, train(arm, seed, chairs), chairs.about) for arm in k_arms(features)]


@pytest.fixture(scope="module")
def pictures():
    return learning_pictures(6, 3)


def test_shapes_are_drawn_again():
    stored = samples("chair", count=2, size=16, seed=9, points=0, voxels=12)
    assert all(
        torch.equal(training_shape(i, 9).voxels(12), stored.fields["voxels"][i]) for i in range(2)
    )


def test_pictures_are_kept(pictures, tmp_path):
    first, again = (learning_pictures(2, 3, tmp_path) for _ in range(2))
    assert len(list(tmp_path.iterdir())) == 1 and torch.equal(
        first.fields["image"], again.fields["image"]
    )
    assert (
        torch.equal(first.fields["mask"], pictures.fields["mask"][:2])
        and "points" not in first.fields
    )
    with pytest.raises(InputError, match="split"):
        unseen_shapes(1, 3, "train")


def test_levels_know_their_own_pictures(pictures):
    own = samples("chair", count=6, size=64, seed=3, points=256, voxels=16, elevation=(0.0, 40.0))
    chairs = ShapeRuns(pictures, own, None, 3)
    rows = {name: level(chairs) for name, level in LEVELS.items()}
    assert rows["most similar picture"]["IoU"] == 1 and 0 < rows["mean shape"]["IoU"] < 1
    assert rows["truth sampled again"]["overall x10"] < rows["mean shape"]["overall x10"]


@pytest.mark.parametrize("features", [1, 4])
def test_a_widened_system_answers_alike(features):
    plain = TARS(replace(SMALL, features=0), seed=2)
    wide, x = widened(plain, features), torch.rand(2, 20, 3, generator=seeded(0)) - 0.5
    code = torch.randn(2, 8, generator=seeded(1))
    a, b = (net.field(code, "deform")(x).sdf for net in (plain, wide))
    assert torch.allclose(a, b, atol=1e-6) and wide.config.features == features
    slope = torch.autograd.grad(b.square().sum(), wide.shape.net.layers[0].last.bias)[0]
    rows = slope.view(wide.shape.net.layers[0].inside + 1, -1)[
        plain.shape.net.layers[0].inside : -1
    ]
    assert bool((rows.abs().sum(1) > 0).any()), "the new inputs of f can learn"


def test_arms_share_stage_one(pictures):
    arms = {arm: system for arm, system, _ in arms_of(pictures, 1, (0, 4), SMALL)}
    again = {arm: system for arm, system, _ in arms_of(pictures, 1, (4,), SMALL)}
    assert list(arms) == ["stage 1", "k = 0", "k = 4"] and arms["k = 4"].config.features == 4
    assert torch.equal(arms["stage 1"].encoder[1].weight, again["stage 1"].encoder[1].weight)
    assert all(
        torch.equal(v, again["k = 4"].state_dict()[n])
        for n, v in arms["k = 4"].state_dict().items()
    )
    assert not torch.equal(arms["stage 1"].encoder[1].weight, arms["k = 0"].encoder[1].weight)


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(TARSConfig, "small", classmethod(lambda cls: SMALL))
    call = [
        "--seeds",
        "4",
        "--device",
        "cpu",
        "--pictures",
        "5",
        "--unseen",
        "2",
        "--steps",
        "2",
        "2",
        "--out",
        str(tmp_path / "rows.json"),
        "--models",
        str(tmp_path / "models"),
        "--ship",
        str(tmp_path),
    ]
    main(EXPERIMENT, [*call, "--train-only"])
    assert (
        not (tmp_path / "rows.json").exists()
        and (tmp_path / "models" / "both" / "k=4-4" / "training.json").exists()
    )
    main(EXPERIMENT, call)
    rows = json.loads((tmp_path / "rows.json").read_text())
    main(EXPERIMENT, call)
    assert (
        json.loads((tmp_path / "rows.json").read_text()) == rows
        and len(rows) == 6
        and "k = 4" in capsys.readouterr().out
    )
    shipped = TARS.from_pretrained(str(tmp_path / "tars-chair"))
    assert (
        shipped.config.features == 4
        and shipped.category == "chair"
        and "mean shape" in (tmp_path / "tars-chair" / "README.md").read_text()
    )
    assert {row["pictures"] for row in rows} == {5} and len(silhouette_table(rows).rows) == 6
    assert (
        "80 unseen" not in card_of(rows[-1], rows)
        and Path(tmp_path / "models" / "both" / "k=0-4").is_dir()
    )
    main(EXPERIMENT, [*call[:-2], "--form", "paper", "--features", "2"])
    more = json.loads((tmp_path / "rows.json").read_text())
    assert more[:6] == rows and [(r["form"], r["arm"]) for r in more[6:]] == [
        ("paper", "stage 1"),
        ("paper", "k = 2"),
    ]
    assert (tmp_path / "models" / "paper" / "k=2-4").is_dir()


def test_systems_of_several_numbers_of_pictures_are_kept_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(TARSConfig, "small", classmethod(lambda cls: SMALL))
    call = "--seeds 4 --device cpu --features --unseen 2 --steps 2 2 --train-only --pictures 4 5"
    main(EXPERIMENT, [*call.split(), "--models", str(tmp_path)])
    weights = [
        TARS.from_pretrained(str(tmp_path / count / "both" / "stage1-4")).state_dict()
        for count in ("4", "5")
    ]
    assert any(not torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_two_looks_know_their_shapes(tmp_path):
    """The first half is clean, the second natural, and every shape can be drawn again."""
    pictures = learning_pictures(4, 9, tmp_path, "car", natural=True)
    again = learning_pictures(4, 9, tmp_path, "car", natural=True)
    assert torch.equal(pictures.fields["image"], again.fields["image"]) and len(pictures) == 4
    runs = ShapeRuns(pictures, pictures, None, 9, category="car", natural=True)
    usual = {"seed": 9, "size": 16, "points": 0, "voxels": 12, "elevation": ELEVATION}
    for first, look in ((0, {}), (2, {"domain": "natural", "roll": 0.0})):
        stored = samples("car", "train", 2, **usual, **look).fields["voxels"]
        for i in range(2):
            assert torch.equal(runs.learnt(first + i).voxels(12), stored[i])


def test_the_shipped_network_sees_different_chairs():
    system, data = load("tars", "chair"), unseen_shapes(6, 2, points=256)
    system.config = replace(system.config, cells=32)
    scores = system.evaluate(data)
    block, cloud = mean_shape(
        torch.stack([training_shape(i, 1).voxels(32) for i in range(40)]), 256
    )
    mean = torch.tensor(
        [surface_scores(cloud, true)["overall x10"] for true in data.fields["points"]]
    )
    assert (
        float(scores["overall x10"].mean()) < 0.8 * float(mean.mean())
        and float(scores["empty"].max()) == 0
    )
    turned = system.codes(data.fields["image"].roll(1, 0), data.fields["mask"].roll(1, 0))
    own = system.codes(data.fields["image"], data.fields["mask"])
    right, wrong = (
        sum(
            float(
                voxel_iou(
                    (
                        system.instance(c[None])(cell_centers(32, "cpu").reshape(1, -1, 3)).sdf
                        < system.config.level
                    )
                    .view(32, 32, 32)
                    .float(),
                    v,
                )
            )
            for c, v in zip(codes, data.fields["voxels"])
        )
        for codes in (own, turned)
    )
    assert right > 1.3 * wrong


def test_stored_rows_are_of_the_preset():
    rows = stored_rows("tars_silhouettes")
    small, ours = TARSConfig.small(), [row for row in rows if row.get("form") == "both"]
    assert {tuple(row["steps"]) for row in ours} == {(small.image_steps, small.deform_steps)} and {
        row["level"] for row in ours
    } == {small.level}
    assert {row["unseen"] for row in rows} == {80} and len({row["seed"] for row in ours}) == 3
    assert load("tars", "chair").config == replace(small, features=4)


@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_learns_in_every_stage(pictures, form):
    arms = {
        arm: system
        for arm, system, _ in arms_of(
            pictures, 1, (2,), replace(SMALL, **FORMS[form]), device="cpu"
        )
    }
    first, last = (arms[name].state_dict() for name in ("stage 1", "k = 2"))
    moved = {
        name.split(".")[0]
        for name, value in first.items()
        if value.shape == last[name].shape and not torch.equal(value, last[name])
    }
    assert {"encoder", "shape", "deform"} <= moved and ("marcher" in moved) == (form != "chord")


def test_kept_systems_are_read_at_the_level_asked_for(pictures, tmp_path):
    arms = lambda level: [
        (s, a)
        for _, s, a in arms_of(pictures, 1, (2,), replace(SMALL, level=level), tmp_path, "cpu")
    ]
    (first, took), (second, again) = arms(0.0)[1], arms(-0.25)[1]
    assert (
        second.config.level == -0.25
        and first.config.level == 0
        and took == again
        and took["device"] == "CPU"
    )
    assert all(torch.equal(v, second.state_dict()[n]) for n, v in first.state_dict().items())
