"""LEM's two classifiers: who is in which pile, what moves, and the refusals."""

from __future__ import annotations

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.lem.domain_adversaries import DomainAdversaries
from svr_nb.networks.adversaries import domain_loss
from svr_nb.networks.encoders import fresh_weights


def codes(seed, count=5):
    return torch.randn(count, 4, generator=seeded(seed)).requires_grad_()


def critics(**options):
    with fresh_weights(0):
        return DomainAdversaries(4, (8,), **options)


def test_both_losses_and_their_piles():
    e_r, e_n, e_v, both = codes(0), codes(1, 3), codes(2), critics()
    with torch.no_grad():
        found = both(e_r, e_n, e_v, 0.1)
        alone = [domain_loss(both.domain, [e_r, e_n]), domain_loss(both.shape, [e_r, e_v])]
    assert set(found) == {"domain", "shape"}
    assert float(found["domain"]) == pytest.approx(float(alone[0]))
    assert float(found["shape"]) == pytest.approx(float(alone[1]))


def test_nothing_reaches_the_shapes_and_signs_are_turned():
    e_r, e_n, e_v, both = codes(0), codes(1), codes(2), critics()
    total = sum(both(e_r, e_n, e_v, 0.1).values())
    turned = torch.autograd.grad(total, [e_r, e_n, e_v], allow_unused=True)
    plain = torch.autograd.grad(
        torch.nn.functional.cross_entropy(
            both.domain(torch.cat([e_r, e_n])), torch.tensor([0] * 5 + [1] * 5)
        ),
        e_n,
    )[0]
    assert turned[2] is None
    torch.testing.assert_close(turned[1], -0.1 * plain)


def test_switches():
    e_r, e_n, e_v = codes(0), codes(1), codes(2)
    assert (
        set(critics(on=("domain",))(e_r, e_n, e_v, 0.1)) == {"domain"}
        and critics(on=())(e_r, e_n, e_v, 0.1) == {}
    )
    assert set(critics()(e_r, None, e_v, 0.1)) == {"shape"}
    assert (
        len(critics(natural_too=True).piles(e_r, e_n, e_v)["shape"][0]) == 10
        and len(critics().piles(e_r, e_n, e_v)["shape"][0]) == 5
    )


def test_accuracies_rise_when_only_the_classifiers_learn():
    e_r, e_n, e_v = codes(0, 40).detach(), codes(1, 40).detach() + 2, codes(2, 40).detach() - 2
    both = critics()
    adam = torch.optim.Adam(both.parameters(), lr=2e-2)
    for _ in range(60):
        adam.zero_grad()
        sum(both(e_r, e_n, e_v, 0.0).values()).backward()
        adam.step()
    assert min(both.accuracies(e_r, e_n, e_v).values()) > 0.85


@pytest.mark.parametrize(
    "call,word",
    [
        (lambda: critics(on=("style",)), "on"),
        (lambda: critics()(codes(0), codes(1), codes(2), -0.1), "beta"),
    ],
)
def test_refusals(call, word):
    with pytest.raises(InputError, match=word):
        call()
