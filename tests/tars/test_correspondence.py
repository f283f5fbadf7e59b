"""Colours and labels travel to the nearest canonical place."""

from __future__ import annotations

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.tars.correspondence import canonical_colors, corresponding, transfer, transfer_accuracy

cloud = lambda n, seed, c=3: torch.rand(n, c, generator=seeded(seed)) - 0.5


@pytest.mark.parametrize("columns", [3, 7])
def test_agrees_with_the_naive_search(columns):
    a, b = cloud(60, 0, columns), cloud(40, 1, columns)
    slow = torch.stack([((a - p) ** 2).sum(1).argmin() for p in b])
    assert torch.equal(corresponding(a, b), slow) and torch.equal(transfer(a, a, b), a[slow])


def test_a_shape_corresponds_to_itself():
    a = cloud(50, 2)
    order = torch.randperm(50, generator=seeded(3))
    assert (
        torch.equal(corresponding(a[order], a), order.argsort())
        and transfer_accuracy(torch.arange(50), a, a, torch.arange(50)) == 1
    )


def test_a_permuted_label_is_half_wrong():
    a = cloud(10, 4)
    assert (
        transfer_accuracy(torch.tensor([0, 1] * 5), a, a, torch.zeros(10, dtype=torch.long)) == 0.5
    )


def test_colours_span_the_cube():
    low, high = canonical_colors(torch.tensor([[-0.5, -0.5, -0.5], [0.5, 9.0, 0.5]]))
    assert (
        torch.allclose(low, torch.full((3,), 0.08))
        and torch.allclose(high, torch.full((3,), 0.92))
        and len(canonical_colors(torch.zeros(0, 3))) == 0
    )


def test_refusals():
    for wrong in (
        lambda: corresponding(cloud(3, 0), cloud(3, 0, 4)),
        lambda: transfer(torch.zeros(2), cloud(3, 0), cloud(3, 1)),
        lambda: canonical_colors(torch.zeros(3)),
    ):
        with pytest.raises(InputError):
            wrong()
