"""The critic of textures: its losses by hand, its penalty, and who gets which gradient."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from svr_nb.agt.texture_critic import (
    GAN_FORMS,
    TextureCritic,
    critic_loss,
    slope_between,
    texture_loss,
)
from svr_nb.conventions import InputError, seeded
from svr_nb.networks.encoders import fresh_weights

with fresh_weights(0):
    CRITIC = TextureCritic(16, (4, 8))
REAL, FAKE = (torch.rand(3, 3, 16, 16, generator=seeded(i)) for i in (1, 2))


def test_pictures_are_judged_one_by_one():
    together = CRITIC(REAL)
    alone = torch.cat([CRITIC(picture[None]) for picture in REAL])
    assert together.shape == (3,) and torch.allclose(together, alone, atol=1e-6)
    assert not [m for m in CRITIC.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    assert sum(isinstance(m, torch.nn.Conv2d) for m in TextureCritic().modules()) == 5


def test_losses_by_hand():
    seen, made = CRITIC(REAL), CRITIC(FAKE)
    plain = {gan: critic_loss(CRITIC, REAL, FAKE, seeded(0), gan, penalty=0.0) for gan in GAN_FORMS}
    by_hand = -torch.log(torch.sigmoid(seen)).mean() - torch.log(1 - torch.sigmoid(made)).mean()
    assert torch.allclose(plain["bce_gp"], by_hand, atol=1e-5) and torch.allclose(
        plain["wgan_gp"], made.mean() - seen.mean()
    )
    assert torch.allclose(
        texture_loss(CRITIC, FAKE), -torch.log(torch.sigmoid(made)).mean(), atol=1e-5
    )
    assert torch.allclose(
        texture_loss(CRITIC, FAKE, saturating=True),
        torch.log(1 - torch.sigmoid(made)).mean(),
        atol=1e-5,
    )
    assert torch.allclose(texture_loss(CRITIC, FAKE, "wgan_gp"), -made.mean())


def test_penalty_of_a_critic_of_known_slope():
    steep = lambda x: 3 * x.flatten(1).sum(1) / x[0].numel() ** 0.5
    base, priced = (critic_loss(steep, REAL, FAKE, seeded(0), "wgan_gp", p) for p in (0.0, 10.0))
    assert float((priced - base).detach()) == pytest.approx(10 * (3 - 1) ** 2, rel=1e-4)


@pytest.mark.parametrize("gan", GAN_FORMS)
def test_each_side_gets_its_own_gradient(gan):
    fake = FAKE.clone().requires_grad_()
    loss = critic_loss(CRITIC, REAL, fake, seeded(0), gan)
    assert torch.autograd.grad(loss, fake, allow_unused=True)[0] is None
    assert all(
        g is not None and torch.isfinite(g).all()
        for g in torch.autograd.grad(
            critic_loss(CRITIC, REAL, FAKE, seeded(0), gan), list(CRITIC.body.parameters())
        )
    )
    assert torch.autograd.grad(texture_loss(CRITIC, fake, gan), fake)[0].abs().sum() > 0


def test_saturation():
    logit = torch.tensor([-20.0], requires_grad=True)
    push = [
        float(torch.autograd.grad(texture_loss(lambda x: x, logit, saturating=s), logit)[0])
        for s in (False, True)
    ]
    assert push[0] == pytest.approx(-1, abs=1e-4) and abs(push[1]) < 1e-6


def test_slopes_between():
    logits, norms = slope_between(CRITIC, FAKE, REAL, 5)
    assert logits.shape == norms.shape == (5, 3)
    assert (
        torch.allclose(logits[0], CRITIC(FAKE).detach())
        and torch.allclose(logits[-1], CRITIC(REAL).detach(), atol=1e-6)
        and bool((norms > 0).all())
    )


def test_the_critic_learns_with_its_penalty():
    with fresh_weights(1):
        critic = TextureCritic(16, (8, 8))
    adam = torch.optim.Adam(critic.parameters(), 3e-3)
    dark = FAKE * 0.5
    for step in range(60):
        loss = critic_loss(critic, REAL, dark, seeded(step))
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert float(critic(REAL).detach().min()) > float(critic(dark).detach().max())
    assert float(F.relu(slope_between(critic, dark, REAL)[1] - 2).max()) == 0


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: TextureCritic(20, (4, 4, 4)), "size"),
        (lambda: TextureCritic(16, ()), "size"),
        (lambda: CRITIC(torch.zeros(1, 3, 8, 8)), "image"),
        (lambda: critic_loss(CRITIC, REAL[:2], FAKE, seeded(0)), "fake"),
        (lambda: critic_loss(CRITIC, REAL, FAKE, seeded(0), "hinge"), "gan"),
        (lambda: critic_loss(CRITIC, REAL, FAKE, seeded(0), penalty=-1), "penalty"),
        (lambda: texture_loss(CRITIC, FAKE, "lsgan"), "gan"),
        (lambda: slope_between(CRITIC, FAKE, REAL, 1), "steps"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(InputError, match=name):
        call()
