"""What makes a step faster must not change what it learns."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from svr_nb.data.collection import Collection
from svr_nb.networks.encoders import fresh_weights
from svr_nb.training.gradients import Optimizers
from svr_nb.training.history import History
from svr_nb.training.loop import fit, keep_memory
from svr_nb.training.stages import Stage


class OneNet(nn.Module):
    def __init__(self):
        super().__init__()
        with fresh_weights(0):
            self.net = nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 3))

    def parameter_groups(self):
        return {"all": list(self.parameters())}


class Constant(OneNet):
    def stages(self):
        return [STAGE]

    def losses(self, batch, stage):
        return {"loss": self.net(batch["x"][:, None].expand(-1, 6)).square().mean()}


STAGE = Stage("only", 20, {"all": {"loss": 1.0}}, lr=1e-2, weight_decay=1e-3)


def gradients(model, step):
    chance = torch.Generator().manual_seed(step)
    return {"all": [torch.randn(p.shape, generator=chance) for p in model.parameters()]}


def test_all_at_once_is_adam_but_for_rounding():
    ours, plain = OneNet(), OneNet()
    optimizers = Optimizers(ours, STAGE)
    settings = {"betas": STAGE.betas, "weight_decay": 1e-3, "foreach": False}
    adam = torch.optim.Adam(plain.parameters(), lr=1e-2, **settings)
    for step in range(20):
        optimizers.step(gradients(ours, step), step)
        for p, g in zip(plain.parameters(), gradients(plain, step)["all"]):
            p.grad = g
        adam.step()
    for p, q in zip(ours.parameters(), plain.parameters()):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


def test_a_gradient_may_lie_in_memory_as_it_likes():
    """Convolutions give gradients whose channels come last in memory; their numbers must stay with
    their weights."""

    class Convolution(OneNet):
        def __init__(self):
            super().__init__()
            with fresh_weights(0):
                self.net = nn.Conv2d(3, 8, 3)

    ours, plain = Convolution(), Convolution()
    optimizers = Optimizers(ours, STAGE)
    adam = torch.optim.Adam(plain.parameters(), lr=1e-2, weight_decay=1e-3, foreach=False)
    for step in range(3):
        weight, bias = gradients(ours, step)["all"]
        turned = weight.contiguous(memory_format=torch.channels_last)
        assert turned.stride() != ours.net.weight.stride()
        optimizers.step({"all": [turned, bias]}, step)
        for p, g in zip(plain.parameters(), (weight, bias)):
            p.grad = g
        adam.step()
    for p, q in zip(ours.parameters(), plain.parameters()):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


def test_half_precision_still_learns():
    model = OneNet().to(torch.bfloat16)
    before = [p.clone() for p in model.parameters()]
    Optimizers(model, STAGE).step({"all": [torch.ones_like(p) for p in model.parameters()]}, 0)
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters()))


def test_kept_memory_changes_no_number():
    x = torch.randn(200, 200, generator=torch.Generator().manual_seed(0))
    before = x @ x
    assert keep_memory() in (True, False)
    assert torch.equal(x @ x, before)


def test_history_counts_samples(tmp_path):
    data = Collection({"x": torch.arange(10.0)})
    stages = [replace(STAGE, steps=3, batch=4), replace(STAGE, name="more", steps=2, batch=64)]
    first = fit(Constant(), data, tmp_path, stages=stages[:1], progress=False, device="cpu")
    assert first.samples == 12 and "samples/s" in first.summary()
    assert first.samples_per_second == first.samples / first.seconds
    more = fit(Constant(), data, tmp_path, stages=stages, progress=False, device="cpu")
    assert more.samples == 20  # two steps of all ten; what was done before counts there
    assert "samples/s" not in History().summary()
