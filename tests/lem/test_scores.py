"""The protocol: planted thresholds, boxes, centring, surfaces, levels, and calibration."""

from __future__ import annotations

import pytest
import torch

from svr_nb.conventions import InputError, rand, seeded
from svr_nb.lem.scores import (
    calibrated,
    centered,
    item_scores,
    level_scores,
    protocol_grid,
    surface_distance,
    surface_points,
)
from svr_nb.scores.metrics import best_threshold


def block(low, high, size=16):
    grid = torch.zeros(size, size, size)
    grid[tuple(slice(a, b) for a, b in zip(low, high))] = 1
    return grid


GRIDS = torch.stack([block((2, 3, 4), (10, 9, 12)), block((4, 4, 4), (8, 14, 10))])


def test_planted_threshold_is_found():
    noise = 0.2 * rand(2, 16, 16, 16, generator=seeded(0))
    planted = torch.where(GRIDS > 0, 0.235 + 0.001 * noise, noise)
    best, iou = best_threshold(planted, GRIDS)
    assert best == pytest.approx(0.2) or 0.2 <= best <= 0.235
    assert iou == pytest.approx(1.0)


def test_box_ignores_place_and_padding():
    one, two = block((0, 0, 0), (4, 6, 8)), block((5, 9, 1), (9, 15, 9), 24)
    assert torch.equal(protocol_grid(one), protocol_grid(two))
    full = protocol_grid(one)
    assert (
        full.shape == (32, 32, 32)
        and (full >= 0.5).any(0).any(0).all()
        and not (full >= 0.5).any(1).any(1).all()
    )  # the longest side fills the cube


def test_large_grids_are_pooled_by_their_maximum():
    thin = torch.zeros(128, 128, 128)
    thin[10, 20:120, 30:90] = 1
    assert protocol_grid(thin).max() > 0.5  # a mean over 4 cells would leave a quarter of that


def test_empty_grids():
    assert (
        protocol_grid(torch.zeros(8, 8, 8)).sum() == 0
        and surface_points(torch.zeros(8, 8, 8), 10).abs().sum() == 0
    )


@pytest.mark.parametrize("step", [(0, 0, 0), (2, -1, 3), (-2, 1, 2)])
def test_centring_undoes_a_shift(step):
    moved = GRIDS.roll(step, (1, 2, 3))
    assert torch.equal(centered(moved), centered(GRIDS))
    assert centered(GRIDS).sum() == GRIDS.sum()


def test_chamfer_of_known_boxes():
    """A cube against itself scaled: the frame removes the scale."""
    small, large = block((4, 4, 4), (8, 8, 8)), block((2, 2, 2), (14, 14, 14))
    same = surface_distance(small[None], small[None])
    assert float(surface_distance(small[None], large[None])) < 2.5 * float(same)
    flat = block((2, 2, 7), (14, 14, 9))
    assert float(surface_distance(large[None], flat[None])) > 0.3


def test_scores_of_the_truth_and_of_nothing():
    found = item_scores(GRIDS, GRIDS)
    assert (
        (found["IoU at .5"] == 1).all()
        and (found["IoU at best threshold"] == 1).all()
        and (found["Chamfer"] < 0.1).all()
    )
    assert (item_scores(torch.zeros_like(GRIDS), GRIDS, chamfer=False)["IoU at .5"] == 0).all()
    off = item_scores(GRIDS.roll(3, 1), GRIDS, chamfer=False)
    assert (off["IoU at best threshold, centred"] == 1).all() and (off["IoU at .5"] < 1).all()
    assert (
        item_scores(GRIDS.roll(3, 1), GRIDS, chamfer=False, boxed=True)["IoU at best threshold"]
        == 1
    ).all()


def test_levels():
    classes = torch.tensor([0, 1])
    own = level_scores(GRIDS, classes)
    assert (own["IoU, mean shape of the true class"] == 1).all() and own[
        "IoU, mean shape"
    ].mean() < 1
    other = level_scores(GRIDS, classes, GRIDS.flip(0), torch.tensor([1, 0]))
    assert (other["IoU, mean shape of the true class"] == 1).all()
    assert set(level_scores(GRIDS)) == {"IoU, mean shape"}


@pytest.mark.parametrize("cut", [0.1, 0.3, 0.7])
def test_calibration_keeps_the_order_and_moves_the_cut(cut):
    cells = rand(6, 6, 6, generator=seeded(0))
    bent = calibrated(cells, cut)
    assert torch.equal(bent > 0.5, cells > cut) and torch.equal(
        bent.flatten().argsort(), cells.flatten().argsort()
    )
    assert bent.min() >= 0 and bent.max() <= 1


def test_calibration_always_shows_something():
    assert (calibrated(0.2 * rand(8, 8, 8, generator=seeded(0)), 0.5) > 0.5).any()


@pytest.mark.parametrize(
    "call",
    [
        lambda: calibrated(torch.zeros(2, 2, 2), 1.0),
        lambda: protocol_grid(torch.zeros(2, 2, 3)),
        lambda: centered(torch.zeros(2, 2, 2)),
    ],
)
def test_refusals(call):
    with pytest.raises(InputError):
        call()
