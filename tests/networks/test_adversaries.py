"""Adversaries: the sign and scale of the reversed gradient, the ramp, both critics, and the
penalty's second derivative.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from svr_nb.conventions import InputError, seeded
from svr_nb.networks.adversaries import (
    Discriminator,
    DomainHead,
    GradientReversal,
    adversarial_loss,
    beta_ramp,
    domain_accuracy,
    domain_loss,
    gradient_penalty,
    reverse_gradient,
)
from svr_nb.networks.encoders import fresh_weights


def normal(*shape, seed=0, shift=0.0):
    return torch.randn(*shape, generator=seeded(seed)) + shift


@pytest.mark.parametrize("strength", [0.0, 0.01, 1.0, 3.0])
def test_reversal_keeps_values_and_turns_gradients(strength):
    x = normal(4, 3).requires_grad_()
    layer = GradientReversal(strength)
    assert torch.equal(layer(x), x)
    (plain,) = torch.autograd.grad(x.pow(3).sum(), x)
    (turned,) = torch.autograd.grad(layer(x).pow(3).sum(), x)
    torch.testing.assert_close(turned, -strength * plain)


def test_reversal_can_be_differentiated_twice():
    x = normal(3).double().requires_grad_()
    (first,) = torch.autograd.grad((reverse_gradient(x, 0.5) ** 3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    torch.testing.assert_close(second, 0.25 * 6 * x)  # the layer is passed twice on the way back


def test_ramp():
    values = [beta_ramp(p / 10, top=2.0) for p in range(11)]
    assert (
        values[0] == 0 and values == sorted(values) and values[-1] == pytest.approx(2.0, abs=1e-3)
    )
    assert beta_ramp(0.3) == pytest.approx(2 / (1 + 2.718281828**-3) - 1)


def test_domain_loss_is_cross_entropy_and_only_the_codes_see_the_minus():
    with fresh_weights(0):
        head = DomainHead(3, (8,))
    one, two = normal(5, 3, seed=1).requires_grad_(), normal(4, 3, seed=2).requires_grad_()
    target = torch.tensor([0] * 5 + [1] * 4)
    plain = F.cross_entropy(head(torch.cat([one, two])), target)
    loss = domain_loss(head, [one, two], 0.1)
    assert torch.equal(plain, loss)
    weights = list(head.parameters())
    a, b = (
        torch.autograd.grad(value, [one, *weights], retain_graph=True) for value in (plain, loss)
    )
    torch.testing.assert_close(b[0], -0.1 * a[0])
    for x, y in zip(a[1:], b[1:]):
        torch.testing.assert_close(x, y)


def test_classifier_still_learns_at_a_small_beta_and_is_not_fooled_by_fixed_codes():
    with fresh_weights(0):
        head = DomainHead(4, (16,))
    piles = [normal(60, 4, seed=1), normal(60, 4, seed=2, shift=1.5)]
    before = domain_accuracy(head, piles)
    adam = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(60):
        adam.zero_grad()
        domain_loss(head, piles, 0.01).backward()
        adam.step()
    assert domain_accuracy(head, piles) > max(0.9, before)


def test_accuracy_counts_every_pile_the_same():
    head = lambda x: torch.stack([torch.ones(len(x)), torch.zeros(len(x))], -1)  # says 0 always
    assert domain_accuracy(head, [torch.zeros(30, 2), torch.zeros(2, 2)]) == 0.5


def test_three_piles():
    with fresh_weights(0):
        head = DomainHead(2, (), domains=3)
    assert domain_loss(head, [normal(2, 2), normal(3, 2), normal(4, 2)]).ndim == 0


@pytest.mark.parametrize("size,channels", [(16, 1), (64, 3)])
def test_discriminator_shapes(size, channels):
    with fresh_weights(0):
        critic = Discriminator(size, channels)
    assert critic(torch.rand(2, channels, size, size, generator=seeded(0))).shape == (2,)
    assert [block[0].out_channels for block in critic.blocks] == [
        32,
        64,
        32,
        32,
    ] and critic.last.in_features == (size // 16) ** 2


def test_adversarial_loss_value_and_signs():
    critic = lambda x: x.flatten(1).sum(1)
    fake, real = (
        torch.full((2, 1), 0.3, requires_grad=True),
        torch.full((3, 1), -0.2, requires_grad=True),
    )
    loss = adversarial_loss(critic, fake, real, 0.2)
    assert float(loss.detach()) == pytest.approx(
        0.5 * (float(F.softplus(torch.tensor(0.3))) + float(F.softplus(torch.tensor(0.2))))
    )
    grads = torch.autograd.grad(loss, [fake, real], allow_unused=True)
    assert grads[1] is None and (grads[0] < 0).all()  # descending makes the fake look more real
    assert float(grads[0][0]) == pytest.approx(
        -0.2 * 0.25 * float(torch.sigmoid(torch.tensor(0.3)))
    )


def test_penalty_of_a_linear_critic_and_its_gradient():
    weight = torch.tensor([3.0, 4.0], requires_grad=True)
    penalty = gradient_penalty(lambda x: x @ weight, normal(7, 2), normal(7, 2, seed=1), seeded(0))
    assert float(penalty) == pytest.approx(16.0, abs=1e-4)
    penalty.backward()
    torch.testing.assert_close(weight.grad, 2 * 4 * weight.detach() / 5)


def test_penalty_is_seeded_and_leaves_its_inputs_alone():
    with fresh_weights(0):
        critic = Discriminator(16, 1, (4, 4))
    real, fake = (torch.rand(3, 1, 16, 16, generator=seeded(i)).requires_grad_() for i in (1, 2))
    first, again, other = (gradient_penalty(critic, real, fake, seeded(s)) for s in (0, 0, 1))
    assert first == again != other
    first.backward()
    assert (
        real.grad is None
        and fake.grad is None
        and any(p.grad is not None for p in critic.parameters())
    )


@pytest.mark.parametrize(
    "call,word",
    [
        (lambda: reverse_gradient(torch.ones(2), -1.0), "strength"),
        (lambda: GradientReversal(float("nan")), "strength"),
        (lambda: beta_ramp(1.5), "progress"),
        (lambda: beta_ramp(0.5, -1.0), "top"),
        (lambda: DomainHead(4, domains=1), "domains"),
        (lambda: domain_loss(DomainHead(2, (4,)), [torch.ones(3, 2)]), "piles"),
        (lambda: Discriminator(40), "size"),
        (lambda: Discriminator(16, 1)(torch.zeros(1, 3, 16, 16)), "image"),
        (
            lambda: gradient_penalty(
                lambda x: x.sum(-1), torch.ones(2, 2), torch.ones(3, 2), seeded(0)
            ),
            "fake",
        ),
    ],
)
def test_refusals(call, word):
    with pytest.raises(InputError, match=word):
        call()
