"""Pseudo-labels, pair score, contrastive loss and the monitor: Eq. 6 to 8, errata L1 to L3
(acceptance tests AT5 and AT6).
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, strategies as st

from svr_nb.conventions import InputError, seeded
from svr_nb.lem.contrastive_mapping import (
    MappingReport,
    PairScore,
    code_spread,
    contrastive_loss,
    mapping_report,
    nearest_class_counts,
    positive_purity,
    pseudo_labels,
    rankings,
    relative_distance,
)
from svr_nb.networks.encoders import fresh_weights

rand = lambda *shape, seed=1: torch.randn(*shape, generator=seeded(seed))
FORMS = ("mlp", "cosine", "literal", "codes")


def score(form, code=6, seed=0):
    with fresh_weights(seed):
        return PairScore(code, form, inner=5, hidden=7)


# Eq. 6
# ---------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 500), st.floats(0.01, 30))
def test_literal_rule_finds_nothing(seed, size):
    """AT5, erratum L1."""
    distance = size * torch.cdist(rand(6, 3, seed=seed), rand(9, 3, seed=seed + 1))
    assert (
        not pseudo_labels(distance, form="literal").any()
        and (relative_distance(distance, form="literal") > 0.5).all()
    )
    assert pseudo_labels(distance).any(1).all()


def test_literal_rule_marks_identical_codes_only():
    distance = torch.tensor([[0.0, 0.1], [2.0, 0.0]])
    assert torch.equal(pseudo_labels(distance, form="literal"), torch.eye(2).bool())


@given(st.integers(0, 500), st.floats(0.02, 0.98), st.integers(1, 12), st.integers(1, 12))
def test_standardised_is_the_quantile_and_the_nearest(seed, q, n, r):
    distance = torch.rand(n, r, generator=seeded(seed)) * 5
    found = pseudo_labels(distance, q)
    assert found.any(1).all() and found[torch.arange(n), distance.argmin(1)].all()
    limit = torch.quantile(distance, q)
    extra = found & (distance > limit)
    assert extra.sum(1).max() <= 1 and found[distance <= limit].all()
    scores = relative_distance(distance, q)
    assert (scores[distance < limit - 1e-3] < 0.5).all() and (
        scores[distance > limit + 1e-3] > 0.5
    ).all()


def test_standardised_ignores_scale_and_literal_does_not_help():
    distance = torch.rand(7, 8, generator=seeded(3)) + 0.1
    assert torch.equal(pseudo_labels(distance), pseudo_labels(100 * distance))
    assert torch.allclose(relative_distance(distance), relative_distance(100 * distance), atol=1e-5)


def test_more_of_the_quantile_is_more_positives():
    distance = torch.rand(10, 10, generator=seeded(4))
    shares = [float(pseudo_labels(distance, q).float().mean()) for q in (0.0, 0.1, 0.25, 0.5, 1.0)]
    assert (
        shares == sorted(shares)
        and shares[-1] == 1
        and shares[0] < 0.101
        and shares[3] == pytest.approx(0.5, abs=0.05)
    )


@given(st.integers(0, 500), st.floats(0.05, 0.95))
def test_mutual_agrees_both_ways(seed, q):
    distance = torch.rand(8, 11, generator=seeded(seed))
    found = pseudo_labels(distance, q, "mutual")
    expected = torch.zeros_like(found)
    for n in range(8):
        for r in range(11):
            expected[n, r] = distance[n, r] <= distance[n].quantile(q) and distance[
                n, r
            ] <= distance[:, r].quantile(q)
    assert torch.equal(found, expected) and torch.equal(
        pseudo_labels(distance.T, q, "mutual"), found.T
    )


def test_mutual_leaves_a_stranger_alone():
    distance = torch.tensor([[0.1, 0.9, 0.9], [0.9, 0.1, 0.9], [5.0, 5.1, 5.2]])
    assert (
        pseudo_labels(distance, 0.3, "mutual")[2].sum() == 0
        and pseudo_labels(distance, 0.3)[2].sum() == 1
    )


def test_labels_have_no_gradient_and_survive_equal_distances():
    assert not pseudo_labels(rand(3, 4).abs().requires_grad_()).requires_grad
    for form in ("standardised", "mutual"):
        assert pseudo_labels(torch.ones(3, 4), form=form).all()
    assert (
        pseudo_labels(torch.ones(1, 1)).all()
        and torch.isfinite(relative_distance(torch.ones(2, 2))).all()
    )


# Eq. 7
# ---------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 200))
def test_literal_score_ranks_alike(seed):
    """AT5, erratum L2: whatever the weights and codes."""
    layer = score("literal", seed=seed).double()
    with torch.no_grad():
        order = rankings(layer(rand(5, 6, seed=seed).double(), rand(9, 6, seed=seed + 1).double()))
    assert (order == order[0]).all()


@pytest.mark.parametrize("form", ["mlp", "cosine", "codes"])
def test_our_scores_can_tell_images_apart(form):
    with torch.no_grad():
        order = rankings(score(form)(rand(6, 6), rand(12, 6, seed=2)))
    assert (order != order[0]).any()


def test_literal_score_cannot_learn_a_matching_but_mlp_can():
    e_n, e_v, positives = rand(6, 6), rand(6, 6, seed=2), torch.eye(6).bool()
    right = {}
    for form in ("literal", "mlp"):
        layer = score(form)
        optimizer = torch.optim.Adam(layer.parameters(), 0.02)
        for _ in range(200):
            optimizer.zero_grad()
            contrastive_loss(layer(e_n, e_v), positives).backward()
            optimizer.step()
        right[form] = int((rankings(layer(e_n, e_v))[positives] == 0).sum())
    assert right == {"literal": 1, "mlp": 6}  # one common order has one first place


@pytest.mark.parametrize("form", FORMS)
def test_score_shape_range_and_gradcheck(form):
    layer = score(form, 4).double()
    e_n, e_v = rand(3, 4).double().requires_grad_(), rand(5, 4, seed=2).double().requires_grad_()
    scores = layer(e_n, e_v)
    assert scores.shape == (3, 5) and (scores > 0).all() and (scores < 1).all()
    assert torch.autograd.gradcheck(layer, (e_n, e_v))
    assert (sum(p.numel() for p in layer.parameters()) == 0) == (form == "codes")


@pytest.mark.parametrize("form", ["mlp", "literal"])
def test_halved_layer_is_the_layer_on_the_concatenation(form):
    layer, e_n, e_v = score(form), rand(3, 6), rand(5, 6, seed=2)
    pairs = torch.stack(
        [torch.stack([torch.cat([layer.image(n), layer.shape(v)]) for v in e_v]) for n in e_n]
    )
    mixed = layer.mix(pairs)
    expected = layer.last(mixed.relu() if form == "mlp" else mixed)[..., 0].sigmoid()
    assert torch.allclose(layer(e_n, e_v), expected, atol=1e-6)


def test_codes_score_is_the_cosine():
    e = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    assert torch.allclose(PairScore(2, "codes")(e[:1], e), torch.tensor([[1.0, 0.5, 0.0]]))


# Eq. 8
# ---------------------------------------------------------------------------------------------------------------


def loss_by_hand(scores, positives, tau):
    rows = []
    for n in range(len(scores)):
        exps = [math.exp(float(s) / tau) for s in scores[n]]
        mine = [-math.log(exps[i] / sum(exps)) for i in range(len(exps)) if positives[n, i]]
        rows += [sum(mine) / len(mine)] if mine else []
    return sum(rows) / len(rows) if rows else 0.0


@given(st.integers(0, 500), st.sampled_from([0.05, 0.1, 1.0]))
def test_loss_is_the_equation(seed, tau):
    scores, positives = (
        torch.rand(5, 7, generator=seeded(seed)),
        torch.rand(5, 7, generator=seeded(seed, 1)) < 0.3,
    )
    assert float(contrastive_loss(scores, positives, tau)) == pytest.approx(
        loss_by_hand(scores, positives, tau), rel=1e-4
    )
    each = contrastive_loss(scores, positives, tau, per_sample=True)
    assert each.shape == (5,) and (each[~positives.any(1)] == 0).all()


def test_loss_without_positives_is_zero_and_differentiable():
    scores = torch.rand(3, 4, generator=seeded(1)).requires_grad_()
    loss = contrastive_loss(scores, torch.zeros(3, 4).bool())
    loss.backward()
    assert loss == 0 and (scores.grad == 0).all()


def test_loss_values_at_the_ends():
    positives = torch.eye(4).bool()
    assert contrastive_loss(torch.full((4, 4), 0.3), positives) == pytest.approx(math.log(4))
    assert (
        contrastive_loss(torch.eye(4), positives, 0.1) < 2e-4
        and contrastive_loss(torch.eye(4), ~positives, 0.1) > 9
    )
    # erratum L3, temperature: scores are bounded, so with tau = 1 a perfect answer still costs much
    assert contrastive_loss(torch.eye(4), positives, 1.0) == pytest.approx(
        -math.log(math.e / (math.e + 3))
    )


def test_loss_gradcheck():
    positives = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0]]).bool()
    assert torch.autograd.gradcheck(
        lambda s: contrastive_loss(s, positives),
        (torch.rand(3, 3, generator=seeded(1)).double().requires_grad_(),),
    )


@pytest.mark.parametrize("form", FORMS)
def test_order_of_shapes_does_not_matter(form):
    """AT6."""
    layer, e_n, e_v, order = (
        score(form),
        rand(5, 6),
        rand(8, 6, seed=2),
        torch.randperm(8, generator=seeded(3)),
    )
    distance = torch.cdist(e_n, rand(8, 6, seed=4))
    losses = [
        contrastive_loss(layer(e_n, v), pseudo_labels(d))
        for v, d in ((e_v, distance), (e_v[order], distance[:, order]))
    ]
    assert torch.allclose(*losses, atol=1e-6)


@pytest.mark.parametrize("form", ["codes", "cosine", "mlp"])
def test_gradient_moves_codes_to_their_positives(form):
    """AT6: a small step down the gradient raises the score of the positives against the others."""
    layer, e_n, e_v = score(form), rand(5, 6).requires_grad_(), rand(8, 6, seed=2)
    positives = pseudo_labels(torch.cdist(e_n, rand(8, 6, seed=4)))
    step = torch.autograd.grad(contrastive_loss(layer(e_n, e_v), positives), e_n)[0]
    before, after = (
        (s * positives).sum(1) / positives.sum(1) - s.mean(1)
        for s in (layer(e_n, e_v), layer(e_n - 0.05 * step, e_v))
    )
    moved = positives.sum(1) < 8
    assert (after > before)[moved].all() and moved.any()
    if form == "codes":
        towards = e_v[positives[0]].mean(0) - e_n[0].detach()
        assert float((-step[0] * towards.detach()).sum()) > 0


# The monitor
# ---------------------------------------------------------------------------------------------------------


def test_purity():
    positives = torch.tensor([[1, 1, 0], [0, 0, 1]]).bool()
    assert positive_purity(
        positives, torch.tensor([0, 1]), torch.tensor([0, 1, 1])
    ) == pytest.approx(2 / 3)
    assert (
        positive_purity(torch.zeros(2, 3).bool(), torch.tensor([0, 1]), torch.tensor([0, 1, 1]))
        == 0
    )


def test_spread_and_counts():
    assert (
        code_spread(torch.tensor([[3.0, 0], [-3, 0]])) == 3 and code_spread(torch.ones(4, 2)) == 0
    )
    e_v = torch.tensor([[0.0], [10.0], [20.0]])
    assert nearest_class_counts(
        torch.tensor([[1.0], [2.0], [19.0]]), e_v, torch.tensor([0, 1, 1]), 3
    ).tolist() == [2, 1, 0]


def test_report_and_alarms():
    classes = torch.arange(4).repeat_interleave(5)
    e_v = torch.nn.functional.one_hot(classes, 4).float() + 0.05 * rand(20, 4)
    healthy = mapping_report(
        e_v + 0.05 * rand(20, 4, seed=2),
        e_v,
        classes,
        pseudo_labels(torch.cdist(e_v, e_v), 0.2),
        classes,
    )
    assert (
        not healthy.alarms()
        and healthy.purity > 0.9
        and healthy.counts == (5, 5, 5, 5)
        and healthy.chance == pytest.approx(0.25)
    )
    collapsed = mapping_report(
        e_v[:1] + 0.01 * rand(20, 4, seed=2), e_v, classes, (classes == 0).expand(20, -1), classes
    )
    assert (
        collapsed.spread < 0.1
        and collapsed.counts == (20, 0, 0, 0)
        and collapsed.largest == 1
        and len(collapsed.alarms()) == 4
    )
    assert (
        mapping_report(e_v, e_v, classes).purity is None
        and not mapping_report(e_v, e_v, classes).alarms()
    )
    assert MappingReport(1.0, (8, 2)).alarms(largest=0.9) == []


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: pseudo_labels(torch.zeros(3)),
        lambda: pseudo_labels(-torch.ones(2, 2)),
        lambda: pseudo_labels(torch.full((2, 2), float("nan"))),
        lambda: pseudo_labels(torch.ones(2, 2), 1.5),
        lambda: pseudo_labels(torch.ones(2, 2), form="other"),
        lambda: pseudo_labels(torch.ones(0, 2)),
        lambda: relative_distance(torch.ones(2, 2), form="mutual"),
        lambda: PairScore(0),
        lambda: PairScore(4, "linear"),
        lambda: PairScore(4, hidden=0),
        lambda: PairScore(4)(torch.zeros(2, 5), torch.zeros(2, 4)),
        lambda: PairScore(4, "codes")(torch.zeros(2, 4), torch.zeros(0, 4)),
        lambda: contrastive_loss(torch.zeros(2, 3), torch.zeros(3, 2).bool()),
        lambda: contrastive_loss(torch.zeros(2, 3), torch.zeros(2, 3)),
        lambda: contrastive_loss(torch.zeros(2, 3), torch.zeros(2, 3).bool(), 0.0),
        lambda: rankings(torch.zeros(3)),
        lambda: positive_purity(
            torch.zeros(2, 3).bool(), torch.zeros(3).long(), torch.zeros(3).long()
        ),
        lambda: nearest_class_counts(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2).long()),
    ],
)
def test_refuses(wrong):
    with pytest.raises(InputError):
        wrong()
