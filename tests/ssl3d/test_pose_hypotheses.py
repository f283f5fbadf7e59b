"""Turned and mirrored poses, the choice among them, and the pull."""

from __future__ import annotations

import math

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.ssl3d.pose_hypotheses import (
    choose_pose,
    hypothesis_costs,
    pull_loss,
    spread_out,
    turned_poses,
)
from svr_nb.ssl3d.cycle_consistency import draw_cloud

pose = lambda b=5: torch.rand(b, 2, generator=seeded(1)) * 2 - 1


def test_turned_poses():
    four = turned_poses(pose(), 4)
    assert (
        four.shape == (4, 5, 2)
        and torch.equal(four[0], pose())
        and torch.allclose(four[2, :, 0] - four[0, :, 0], torch.full((5,), math.pi))
    )
    fold = turned_poses(pose(), 2, fold=True)
    assert (
        fold.shape == (4, 5, 2)
        and torch.allclose(fold[2, :, 0], math.pi - pose()[:, 0])
        and torch.equal(fold[2, :, 1], -pose()[:, 1])
    )


def test_choice_needs_the_margin():
    costs = torch.tensor([[1.0, 1.0, 1.0], [0.99, 0.5, 1.0]])
    choice = choose_pose(turned_poses(pose(3), 2), costs, 0.05)
    assert choice.moved.tolist() == [False, True, False] and choice.which.tolist() == [0, 1, 0]
    assert torch.equal(choice.pose[0], pose(3)[0]) and choose_pose(
        turned_poses(pose(3), 2), costs, 0.0
    ).moved.tolist() == [True, True, False]


def test_the_true_pose_costs_least():
    points = torch.randn(4, 200, 3, generator=seeded(2)) * torch.tensor([0.05, 0.08, 0.2])
    colors = (points[..., 2:] > 0).float().expand(-1, -1, 3).clone()
    truth = pose(4)
    drawn = draw_cloud(points, colors, truth, 32)
    poses = turned_poses(truth + torch.tensor([math.pi, 0]), 2)
    choice = choose_pose(
        poses, hypothesis_costs(points, colors, poses, drawn.image, (drawn.mask > 0.5).float())
    )
    assert torch.cos(choice.pose[:, 0] - truth[:, 0]).min() > 0.99


def test_gradients_pass_to_the_predicted_pose():
    p = pose(3).requires_grad_()
    choice = choose_pose(turned_poses(p, 2, True), torch.rand(4, 3, generator=seeded(5)))
    assert torch.equal(torch.autograd.grad(choice.pose.sum(), p)[0], torch.ones(3, 2))


def test_pull_goes_through_the_middle():
    direction = torch.tensor([[0.0, 1.0]], requires_grad=True)
    choice = choose_pose(turned_poses(torch.zeros(1, 2), 2), torch.tensor([[1.0], [0.1]]))
    grad = torch.autograd.grad(pull_loss(direction, choice), direction)[0]
    assert (
        grad[0, 1] > 1
        and pull_loss(direction, choose_pose(turned_poses(torch.zeros(1, 2), 2), torch.ones(2, 1)))
        == 0
    )


@pytest.mark.parametrize(
    "bad",
    [
        lambda: turned_poses(pose(), 0),
        lambda: choose_pose(turned_poses(pose(), 2), torch.ones(2, 5), 1.0),
        lambda: hypothesis_costs(
            *torch.zeros(2, 1, 4, 3),
            torch.zeros(2, 2),
            torch.zeros(1, 3, 8, 8),
            torch.zeros(1, 1, 8, 8),
        ),
    ],
)
def test_refuses(bad):
    with pytest.raises(InputError):
        bad()


def test_a_price_spreads_the_winners_over_the_circle():
    poses = torch.zeros(4, 16, 2)
    poses[..., 0] = torch.arange(4)[:, None] * math.pi / 2
    costs = 0.3 + 0.2 * torch.rand(4, 16, generator=seeded(0))
    costs[0] -= 0.05  # one direction is the favourite of nearly all
    assert torch.equal(spread_out(poses, costs, 0.0), costs)
    before = costs.argmin(0).bincount(minlength=4)
    after = spread_out(poses, costs, 0.5).argmin(0).bincount(minlength=4)
    assert before.max() >= 8 and after.max() <= 6 and after.sum() == 16
    with pytest.raises(InputError, match="price"):
        spread_out(poses, costs, -1.0)
