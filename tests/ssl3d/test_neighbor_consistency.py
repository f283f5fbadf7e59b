"""Neighbours by code, and the loss of their silhouettes."""

from __future__ import annotations

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.ssl3d.cycle_consistency import draw_cloud, mask_loss
from svr_nb.ssl3d.neighbor_consistency import neighbor_loss, neighbor_table


def test_table_equals_sorting():
    features = torch.rand(20, 5, generator=seeded(1))
    distance = torch.cdist(features, features)
    expected = distance.argsort(1)[:, 1:4]
    assert torch.equal(neighbor_table(features, 3), expected)


@pytest.mark.parametrize(
    "bad",
    [
        (torch.rand(3, 2), 3),
        (torch.rand(3, 2), 0),
        (torch.full((3, 2), float("nan")), 1),
        (torch.rand(3), 1),
    ],
)
def test_table_refuses(bad):
    with pytest.raises(InputError):
        neighbor_table(*bad)


def test_loss_is_the_mask_loss_without_colours():
    points, pose = (
        torch.rand(2, 60, 3, generator=seeded(1)) * 0.4 - 0.2,
        torch.rand(2, 2, generator=seeded(2)),
    )
    mask = (torch.rand(2, 1, 20, 20, generator=seeded(3)) > 0.6).float()
    assert torch.allclose(
        neighbor_loss(points, pose, mask, 20),
        mask_loss(draw_cloud(points, points.abs(), pose, 20), mask),
    )


def test_pose_is_taken_as_given():
    points, pose = (torch.rand(1, 30, 3) * 0.3).requires_grad_(), torch.rand(1, 2).requires_grad_()
    loss = neighbor_loss(points, pose, torch.ones(1, 1, 16, 16), 16)
    grads = torch.autograd.grad(loss, (points, pose), allow_unused=True)
    assert grads[0].abs().sum() > 0 and grads[1] is None
