"""Chamfer, EMD, precision and recall at the paper's scale, and the levels."""

from __future__ import annotations

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.data.sample_items import samples
from svr_nb.scores.metrics import CHAMFER, chamfer
from svr_nb.tars.scores import (
    in_unit_box,
    level_rows,
    mean_row,
    mean_shape,
    most_similar,
    surface_scores,
)

cube = lambda n=300, seed=0: (
    torch.rand(n, 3, generator=seeded(seed)) * torch.tensor([2.0, 1.0, 0.5])
)


def test_identical_clouds():
    found = surface_scores(cube(), cube())
    assert (
        found["overall x10"] == found["EMD x10"] == 0
        and found["precision %"] == found["recall %"] == found["F %"] == 100
    )


def test_two_points_by_hand():
    true = torch.tensor([[0.0, 0, 0], [2.0, 0, 0]])  # longest side 2
    found = surface_scores(torch.tensor([[0.0, 0.1, 0]]), true, near=0.1)
    assert (
        abs(found["acc x10"] - 0.5) < 1e-5
        and abs(found["cov x10"] - 10 * (0.05 + (1 + 0.05**2) ** 0.5) / 2) < 1e-4
    )
    assert found["precision %"] == 100 and found["recall %"] == 50


def test_erratum_t3_unsquared_times_ten():
    a, b = in_unit_box(cube(seed=1), cube())
    torch.testing.assert_close(
        torch.tensor(surface_scores(cube(seed=1), cube())["overall x10"]),
        chamfer(a, b, **CHAMFER["tars"]),
        atol=1e-5,
        rtol=1e-5,
    )


def test_size_is_part_of_the_answer_and_alignment_is_not():
    assert surface_scores(1.3 * cube(), cube())["overall x10"] > 0.5
    moved = cube() + torch.tensor([0.05, 0.02, 0.0])
    assert (
        surface_scores(moved, cube(), align=True)["overall x10"]
        < 0.2 * surface_scores(moved, cube())["overall x10"]
    )


def test_empty_answers_at_the_origin_are_bad_but_finite():
    found = surface_scores(torch.zeros(50, 3), cube())
    assert found["overall x10"] > 2 and found["recall %"] < 20


def test_levels():
    data = {
        split: samples("chair", split, 12, size=16, voxels=16, points=256, seed=4, progress=False)
        for split in ("train", "test")
    }
    rows = level_rows(data["train"], data["test"])
    assert {len(r) for r in rows.values()} == {12} and mean_row(rows["truth sampled again"])[
        "overall x10"
    ] < mean_row(rows["mean shape"])["overall x10"]
    assert torch.equal(most_similar(data["train"], data["train"]), torch.arange(12))
    occupancy, points = mean_shape(data["train"].fields["voxels"], 100)
    assert occupancy.shape == (16, 16, 16) and points.shape == (100, 3) and points.abs().max() < 0.6


def test_refusals():
    with pytest.raises(InputError):
        surface_scores(torch.zeros(0, 3), cube())
