"""The principal plane, t-SNE, and the numbers beside the pictures."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, strategies as st

from svr_nb.conventions import InputError, seeded
from svr_nb.lem.code_maps import (
    _descend,
    class_purity,
    code_places,
    domain_mixing,
    draw_code_map,
    fit_plane,
    neighbor_shares,
    tsne,
)

rand = lambda *shape, seed=1: torch.randn(*shape, generator=seeded(seed))
CLASSES = torch.arange(4).repeat_interleave(15)
BLOBS = 6 * rand(4, 8, seed=3)[CLASSES] + rand(60, 8, seed=4)


@given(st.integers(0, 300), st.integers(2, 20), st.integers(2, 9))
def test_plane_is_the_principal_one(seed, n, d):
    codes = rand(n, d, seed=seed) * torch.linspace(0.5, 2, d)
    plane = fit_plane(codes)
    values = torch.linalg.eigvalsh(torch.cov(codes.T.double(), correction=0)).flip(0)
    assert torch.allclose(plane.axes.T @ plane.axes, torch.eye(2), atol=1e-4)
    assert torch.allclose(
        plane(codes).var(0, correction=0).double(), values[:2], rtol=1e-3, atol=1e-5
    )
    assert plane.kept == pytest.approx(float(values[:2].sum() / values.sum()), abs=1e-4)
    assert (plane.axes.gather(0, plane.axes.abs().argmax(0, keepdim=True)) > 0).all()


def test_plane_moves_directions_without_the_mean():
    plane = fit_plane(BLOBS)
    assert torch.allclose(
        plane.direction(BLOBS[1] - BLOBS[0]), plane(BLOBS[1]) - plane(BLOBS[0]), atol=1e-4
    )


@pytest.mark.parametrize("perplexity", [2.0, 10.0, 30.0])
def test_shares_have_the_perplexity(perplexity):
    shares = neighbor_shares(BLOBS, perplexity)
    assert (
        shares.sum().item() == pytest.approx(1, abs=1e-5)
        and torch.equal(shares, shares.T)
        and (shares.diagonal() == 0).all()
    )
    angle = torch.arange(40.0) * torch.pi / 20  # on a ring both directions of every pair are alike
    ring = torch.stack([angle.cos(), angle.sin()], 1)
    rows = 40 * neighbor_shares(ring, perplexity)
    assert torch.special.entr(rows).sum(1).exp().tolist() == pytest.approx(
        [perplexity] * 40, rel=1e-2
    )


def test_springs_are_the_gradient_of_the_divergence():
    places, shares = (
        rand(12, 2).double().requires_grad_(),
        neighbor_shares(rand(12, 4, seed=2).double(), 4),
    )
    near = (
        1 / (1 + (places[:, None] - places[None]).square().sum(-1)) * (1 - torch.eye(12).double())
    )
    divergence = (shares * ((shares + 1e-15) / (near / near.sum() + 1e-15)).log()).sum()
    assert torch.allclose(
        _descend(places.detach(), shares)[0], torch.autograd.grad(divergence, places)[0], atol=1e-9
    )


def test_tsne_keeps_neighbours_and_repeats():
    places = tsne(BLOBS, 10)
    assert (
        places.shape == (60, 2)
        and torch.isfinite(places).all()
        and places.mean(0).abs().max() < 1e-3
    )
    assert class_purity(places, CLASSES) > 0.97 and torch.equal(places, tsne(BLOBS, 10))


def test_tsne_of_equal_codes_is_finite():
    assert torch.isfinite(tsne(torch.ones(12, 3), 4, 50)).all()


def test_mixing_and_purity():
    first, second = rand(80, 5, seed=6), rand(80, 5, seed=7)
    assert (
        domain_mixing(first, second) == pytest.approx(1, abs=0.15)
        and domain_mixing(first, second + 50) == 0
    )
    assert domain_mixing(first, second[:20]) == pytest.approx(1, abs=0.25)
    assert class_purity(BLOBS, CLASSES) > 0.97 and class_purity(BLOBS, torch.arange(60)) == 0


def test_places_and_figure():
    groups, classes = (
        {"images": BLOBS[:30], "shapes": BLOBS[30:]},
        {"images": CLASSES[:30], "shapes": CLASSES[30:]},
    )
    for method in ("pca", "tsne"):
        places = code_places(groups, method, steps=20)
        assert {name: tuple(p.shape) for name, p in places.items()} == {
            "images": (30, 2),
            "shapes": (30, 2),
        }
    figure = draw_code_map(groups, classes, ("chair", "table"), "pca")
    assert len(figure.axes) == 2 and [
        t.get_text() for t in figure.axes[1].get_legend().get_texts()
    ] == ["chair", "table", "class 2", "class 3"]
    assert len(draw_code_map(groups, method="pca").axes) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: fit_plane(torch.rand(1, 4)),
        lambda: fit_plane(torch.rand(4, 1)),
        lambda: neighbor_shares(torch.rand(10, 3), 12),
        lambda: neighbor_shares(torch.rand(3, 3), 1),
        lambda: tsne(BLOBS, 10, 0),
        lambda: domain_mixing(torch.rand(4, 3), torch.rand(4, 2)),
        lambda: class_purity(BLOBS, CLASSES[:5]),
        lambda: code_places({}),
        lambda: code_places({"a": torch.rand(4, 3), "b": torch.rand(4, 2)}),
        lambda: code_places({"a": torch.rand(8, 3)}, "umap"),
    ],
)
def test_refuses(wrong):
    with pytest.raises(InputError):
        wrong()
