"""Nearest neighbours both ways, from one pass."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, strategies as st

from svr_nb.conventions import InputError, seeded
from svr_nb.losses.mutual_nearest import _both_dense, mutual_nearest
from svr_nb.shapes.points import nearest

rand = lambda *shape, seed=1: torch.rand(*shape, generator=seeded(seed))


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (2, 7, 3, 3), (3, 40, 25, 6), (2, 16, 64, 2)])
@pytest.mark.parametrize("backend", ["auto", "dense"])
def test_mutual_nearest_equals_two_searches(shape, backend):
    b, n, m, c = shape
    x, y = rand(b, n, c), rand(b, m, c, seed=2)
    forth, back = mutual_nearest(x, y, backend)
    assert torch.equal(forth, nearest(x, y)[1]) and torch.equal(back, nearest(y, x)[1])


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 1000))
def test_backends_agree(n, m, seed):
    x, y = rand(2, n, 3, seed=seed), rand(2, m, 3, seed=seed + 1)
    assert all(torch.equal(a, b) for a, b in zip(mutual_nearest(x, y), _both_dense(x, y)))


@pytest.mark.parametrize(
    "pair",
    [((2, 5, 3), (3, 5, 3)), ((2, 5, 3), (2, 5, 2)), ((5, 3), (5, 3)), ((2, 0, 3), (2, 4, 3))],
)
def test_mutual_nearest_refuses(pair):
    with pytest.raises(InputError):
        mutual_nearest(torch.rand(*pair[0]), torch.rand(*pair[1]))
