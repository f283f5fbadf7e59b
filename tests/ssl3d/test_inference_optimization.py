"""A short training on one image: it helps, it is held back, and it leaves no trace."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.losses.clouds import chamfer_loss
from svr_nb.ssl3d.inference_optimization import leash, optimize_inference
from svr_nb.ssl3d.config import SSL3DConfig
from svr_nb.ssl3d.system import SSL3D


@pytest.fixture(scope="module")
def work():
    system = SSL3D(replace(SSL3DConfig.tiny(), image_size=16, points=60), seed=1)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 5:12, 3:13] = 1
    return system, torch.rand(1, 3, 16, 16, generator=seeded(1)), mask


def test_leash_is_chamfer_without_gradient_to_the_first():
    a, b = torch.rand(1, 20, 3).requires_grad_(), torch.rand(1, 20, 3).requires_grad_()
    value = leash(a, b)
    assert torch.allclose(value, chamfer_loss(a, b))
    assert torch.autograd.grad(value, (a, b), allow_unused=True)[0] is None


def test_it_lowers_the_loss_and_restores_the_weights(work):
    system, image, mask = work
    before = {k: v.clone() for k, v in system.state_dict().items()}
    run = optimize_inference(system, image, mask, steps=15, lr=1e-3, lam=0, keep_every=5)
    assert (
        run.history[-1]["mask"] < run.history[0]["mask"]
        and len(run.history) == 16
        and len(run.steps) == 4
    )
    assert all(torch.equal(v, system.state_dict()[k]) for k, v in before.items()) and all(
        p.grad is None for p in system.parameters()
    )


def test_weights_return_after_an_error(work, monkeypatch):
    system, image, mask = work
    before = {k: v.clone() for k, v in system.state_dict().items()}
    import svr_nb.ssl3d.inference_optimization as module

    calls = []

    def break_later(*args, **options):
        calls.append(1)
        if len(calls) > 3:
            raise RuntimeError("broken")
        return chamfer_loss(*args, **options)

    monkeypatch.setattr(module, "chamfer_loss", break_later)
    with pytest.raises(RuntimeError):
        optimize_inference(system, image, mask, steps=10, lr=1e-2)
    assert all(torch.equal(v, system.state_dict()[k]) for k, v in before.items())


def test_the_leash_holds(work):
    system, image, mask = work
    first = system.recon(image * mask)[0].detach()
    gaps = [
        float(
            leash(first, optimize_inference(system, image, mask, steps=15, lr=2e-3, lam=lam).points)
        )
        for lam in (0.0, 1e5)
    ]
    assert gaps[1] < gaps[0]


def test_pose_moves_only_when_asked(work):
    system, image, mask = work
    start = torch.tensor([[0.3, 0.1]])
    assert torch.equal(optimize_inference(system, image, mask, start, steps=3).pose, start)
    assert not torch.equal(
        optimize_inference(system, image, mask, start, steps=3, refine_pose=True).pose, start
    )


@pytest.mark.parametrize("steps,batch", [(0, 1), (3, 2), (2.5, 1)])
def test_refuses(work, steps, batch):
    system, image, mask = work
    with pytest.raises(InputError):
        optimize_inference(
            system, image.repeat(batch, 1, 1, 1), mask.repeat(batch, 1, 1, 1), steps=steps
        )


def test_works_inside_no_grad(work):
    with torch.no_grad():
        assert len(optimize_inference(*work, steps=2).history) == 3
