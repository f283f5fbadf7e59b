"""Eq. 1 to 8 and the errata S1 to S4."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, strategies as st

from svr_nb.conventions import InputError, seeded
from svr_nb.losses.silhouettes import affinity_pixels, affinity_points, mask_bce
from svr_nb.losses.clouds import chamfer_loss
from svr_nb.render.soft_points import splat_mask
from svr_nb.ssl3d.cycle_consistency import (
    draw_cloud,
    geometric_cycle,
    mask_loss,
    pose_cycle,
    pose_weights,
    recon_weights,
    run_cycle,
)
from svr_nb.ssl3d.networks import PoseNet, ReconNet
from svr_nb.ssl3d.frame import random_poses

rand = lambda *shape, seed=1: torch.rand(*shape, generator=seeded(seed))


def test_geometric_cycle_is_chamfer():
    x, y = rand(3, 30, 3), rand(3, 30, 3, seed=2)
    assert torch.allclose(geometric_cycle(x, y), chamfer_loss(x, y), rtol=1e-5)
    assert torch.allclose(geometric_cycle(x, torch.cat([y, y])), 2 * chamfer_loss(x, y), rtol=1e-5)


def test_cycle_of_identical_clouds_is_zero_and_counts_no_self():
    x = rand(2, 20, 3)
    assert geometric_cycle(x, x.repeat(3, 1, 1)) == 0
    assert geometric_cycle(x, torch.cat([x + 0.1, x + 0.1]), per_sample=True).shape == (4,)


def test_cycle_gradients():
    x, y = rand(1, 6, 3).double().requires_grad_(), rand(2, 6, 3, seed=2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: geometric_cycle(a, b), (x, y))
    x2 = x.detach().float().requires_grad_()
    geometric_cycle(x2, y.detach().float().requires_grad_(), detach=True).backward()
    assert x2.grad is None


def test_colour_sees_the_half_turn():
    x = rand(1, 100, 3) - 0.5
    turned, shades = x * torch.tensor([1.0, -1, -1]), (x > 0).float()
    both = torch.cat([x, turned], 1)
    other = torch.cat([shades, shades], 1)
    again = torch.cat([1 - shades, 1 - shades], 1)
    assert (
        geometric_cycle(both, both) == 0 and geometric_cycle(both, both, other, again, 0.1) > 0.01
    )


def test_cycle_refuses():
    x = rand(2, 5, 3)
    with pytest.raises(InputError, match="again"):
        geometric_cycle(x, rand(3, 5, 3))
    with pytest.raises(InputError, match="colors"):
        geometric_cycle(x, x, color_weight=0.5)


def test_pose_cycle_takes_the_short_way():
    a, b = (torch.deg2rad(torch.tensor([[x, 0.0]])) for x in (179.0, -179.0))
    assert 2 * math.degrees(pose_cycle(a, b)) == pytest.approx(2, abs=1e-3)
    assert 2 * math.degrees(pose_cycle(a, b, "literal")) == pytest.approx(358, abs=1e-3)


@given(st.floats(-3.1, 3.1), st.floats(-3.1, 3.1))
def test_pose_cycle_is_symmetric_and_bounded(a, b):
    p, q = torch.tensor([[a, 0.1]]), torch.tensor([[b, 0.1]])
    assert (
        pose_cycle(p, q).item() == pytest.approx(pose_cycle(q, p).item(), abs=1e-5)
        and pose_cycle(p, q) <= math.pi / 2 + 1e-5
    )


def test_affinity_reaches_where_entropy_does_not():
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 12:20, 20:28] = 1
    far = torch.tensor([[[-0.8, 0.0]]])
    grads = []
    for loss in (
        lambda p: mask_bce(splat_mask(p, 32)[..., 20:], mask[..., 20:]),
        lambda p: affinity_points(p, mask),
    ):
        p = far.clone().requires_grad_()
        grads.append(torch.autograd.grad(loss(p), p)[0].norm())
    assert grads[0] < 1e-8 < 1e-3 < grads[1]


def test_literal_affinity_rewards_dimming():
    target = torch.zeros(1, 1, 12, 12)
    target[..., 4:8, 7:11] = 1
    blob = torch.zeros(1, 1, 12, 12)
    blob[..., 5:7, 1:3] = 1
    assert affinity_pixels(0.3 * blob, target, threshold=1e-3) < affinity_pixels(
        blob, target, threshold=1e-3
    )


def test_mask_loss_adds_up():
    points, mask = rand(2, 40, 3) * 0.4 - 0.2, (rand(2, 1, 24, 24) > 0.7).float()
    drawn = draw_cloud(points, rand(2, 40, 3), torch.zeros(2, 2), 24)
    total = mask_bce(drawn.mask, mask) + 0.3 * affinity_points(drawn.uvz[..., :2], mask)
    assert torch.allclose(mask_loss(drawn, mask, 0.3), total) and torch.allclose(
        mask_loss(drawn, mask, 0.0), mask_bce(drawn.mask, mask)
    )
    assert mask_loss(drawn, mask, per_sample=True).shape == (2,)


def test_weights_are_the_equations():
    assert recon_weights() == {"image": 100, "mask": 100, "geometric": 1e4} and pose_weights() == {
        "image": 1,
        "mask": 1,
        "pose": 1,
    }
    assert recon_weights(eta=5, kappa=7)["neighbors"] == 5 and "pull" in pose_weights(pull=0.1)
    with pytest.raises(InputError):
        recon_weights(alpha=-1)


def test_each_loss_reaches_its_own_network_only():
    recon, pose_net = ReconNet(16, 20, seeded(0), (8,), 3, (8,), code=16), PoseNet(16, (8,), 3, 16)
    points, colors, _ = recon(rand(2, 3, 16, 16))
    cycle = run_cycle(recon, pose_net, points, colors, random_poses(4, seeded(1)), 16)
    for loss, mine, other in (
        (geometric_cycle(points, cycle.points), recon, pose_net),
        (pose_cycle(cycle.predicted, cycle.poses), pose_net, recon),
    ):
        own = torch.autograd.grad(
            loss, list(mine.parameters()), retain_graph=True, allow_unused=True
        )
        foreign = torch.autograd.grad(
            loss, list(other.parameters()), retain_graph=True, allow_unused=True
        )
        assert any(g is not None and g.abs().sum() > 0 for g in own) and all(
            g is None or g.abs().sum() == 0 for g in foreign
        )
