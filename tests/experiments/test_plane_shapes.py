"""Shapes with holes, their count, and the plane version of the system."""

from dataclasses import replace

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.experiments.plane_shapes import (
    ARMS,
    EXPERIMENT,
    LearnAndTest,
    PlaneConfig,
    PlaneTARS,
    buttons,
    pieces_and_holes,
    plane_grid,
    plane_scores,
    plane_table,
    sample_sdf,
    train_plane,
)

from svr_nb.experiments.runner import run, stored_rows


@pytest.fixture(scope="module")
def few():
    return buttons(6, seed=4, size=64)


def test_holes_are_counted_as_drawn(few):
    assert [pieces_and_holes(m > 0.5) for m in few.mask] == [(1, h) for h in few.holes.tolist()]
    ring = plane_grid(32).norm(dim=-1)
    assert pieces_and_holes((ring < 0.9) & (ring > 0.5)) == (1, 1) and pieces_and_holes(
        ring > 2
    ) == (0, 0)
    speck = (ring < 0.9) & (ring > 0.5)
    speck[16, 16] = True
    assert pieces_and_holes(speck) == (2, 1) and pieces_and_holes(speck, least=2) == (1, 1)


def test_items_do_not_depend_on_the_count(few):
    assert torch.equal(buttons(2, seed=4, size=64).mask, few.mask[:2])
    assert not torch.equal(buttons(2, seed=5, size=64).mask, few.mask[:2])


def test_a_place_is_a_hole_more_often_than_not():
    assert pieces_and_holes(buttons(120, seed=4, size=48).mask.mean(0) > 0.5) == (1, 3)


def test_distances_are_negative_inside_and_of_slope_one(few):
    assert bool(((few.sdf < 0) == (few.mask > 0.5)).all())
    slope = (few.sdf[:, 1:] - few.sdf[:, :-1]).abs() * 32
    assert float(slope.max()) <= 1.5


def test_sampled_distances_belong_to_their_points(few):
    x, true = sample_sdf(few, torch.tensor([0, 3]), 400, seeded(0))
    cell = ((x + 1) * 32).long().clamp(0, 63)
    there = few.sdf[torch.tensor([0, 3])[:, None], cell[..., 1], cell[..., 0]]
    assert x.shape == (2, 400, 2) and float((there - true).abs().max()) < 0.05


def test_training_is_repeatable_and_lowers_the_error(few):
    a, b = (train_plane(few, PlaneConfig(steps=12), seed=3) for _ in range(2))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters()))
    x, true = sample_sdf(few, torch.arange(6), 500, seeded(1))
    error = lambda net: float((net(few.pictures, x)[0] - true).abs().mean().detach())
    trained = train_plane(few, PlaneConfig(steps=120), seed=3)
    assert error(trained) < 0.6 * error(PlaneTARS(PlaneConfig(), seed=3))


def test_arms_differ_in_what_they_may_do(few):
    quick = replace(
        EXPERIMENT,
        data=lambda seed: LearnAndTest(few, few),
        train=lambda arm, seed, shared: train_plane(few, arm.of(PlaneConfig(steps=3)), seed),
    )
    rows = run(quick, seeds=[0], progress=False)
    assert [row["arm"] for row in rows] == [arm.name for arm in ARMS]
    still = next(row for row in rows if row["arm"] == "k = 2, no g")
    assert still["folds"] == 0 and still["labels"] == still["labels without g"]
    assert len({row["IoU"] for row in rows}) == len(ARMS)
    assert all(arm.name in str(plane_table(rows)) for arm in ARMS)


def test_the_stored_rows_carry_the_claim():
    rows = stored_rows("plane_shapes")
    right = {arm: [r["holes right"] for r in rows if r["arm"] == arm] for arm in ("k = 0", "k = 2")}
    assert max(right["k = 0"]) == 0 and min(right["k = 2"]) > 0.95 and len(right["k = 2"]) == 8


def test_a_deaf_start_shows_other_features(few):
    nets = [train_plane(few, PlaneConfig(steps=0, deaf=deaf), seed=1) for deaf in (False, True)]
    first = [net.canonical.state_dict() for net in nets]
    assert any(not torch.equal(value, first[1][name]) for name, value in first[0].items())
    own = [net.encoder.state_dict() for net in nets]
    assert all(torch.equal(value, own[1][name]) for name, value in own[0].items())


def test_features_differ_between_pictures_from_the_start(few):
    def spread(net):
        return (
            net.deform(net.deform.write(net.encoder(few.pictures)), torch.zeros(6, 1, 2))
            .feature.std(0)
            .mean()
        )

    assert spread(PlaneTARS(PlaneConfig())) > 5 * spread(PlaneTARS(PlaneConfig(spread=1.0)))
    assert set(plane_scores(PlaneTARS(PlaneConfig(features=0)), few)) == {
        "IoU",
        "holes right",
        "folds",
        "labels",
        "labels without g",
    }


def test_wrong_arguments_are_named(few):
    with pytest.raises(InputError, match="single"):
        buttons(2, 0, single=-1)
    with pytest.raises(InputError, match="arm"):
        run(EXPERIMENT, ["k = 9"])
