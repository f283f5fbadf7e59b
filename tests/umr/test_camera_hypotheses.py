"""Several cameras per picture: where they start, who learns, and whether they have collapsed."""

from __future__ import annotations

import math

import pytest
import torch

from svr_nb.cameras.projections import orbit_rad, view_angles
from svr_nb.conventions import InputError, seeded
from svr_nb.cameras.rotations import quaternion_to_matrix
from svr_nb.umr.camera_hypotheses import (
    HEADS,
    NUMBERS,
    angles_to_quaternion,
    camera_spread,
    choice_loss,
    decode_cameras,
    draw_hypotheses,
    entropy,
    flip_depth,
    hypothesis_weights,
)


def numbers(count: int = 4, batch: int = 3, seed: int = 0):
    return torch.randn(batch, count, NUMBERS, generator=seeded(seed))


def test_quaternions_are_those_of_the_orbit():
    a, e, r = (torch.randn(64, generator=seeded(i)) for i in range(3))
    torch.testing.assert_close(
        quaternion_to_matrix(angles_to_quaternion(a, e, r)),
        orbit_rad(a, e, roll=r).rotation,
        atol=1e-5,
        rtol=0,
    )


def test_quaternions_have_gradients():
    angles = [
        torch.randn(5, dtype=torch.float64, generator=seeded(i)).requires_grad_() for i in range(3)
    ]
    assert torch.autograd.gradcheck(angles_to_quaternion, angles)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("count", [1, 4, 8])
def test_zeros_are_spread_around(head, count):
    camera = decode_cameras(torch.zeros(1, count, NUMBERS), head).cameras()
    azimuth, elevation = view_angles(camera)
    steps = torch.remainder(azimuth - torch.arange(count) * 360 / count + 180, 360) - 180
    torch.testing.assert_close(steps, torch.zeros(count), atol=1e-2, rtol=0)
    torch.testing.assert_close(elevation, torch.full((count,), 15.0), atol=1e-2, rtol=0)


def test_without_offsets_all_start_alike():
    rotation = (
        decode_cameras(torch.zeros(1, 8, NUMBERS), "quaternion", offsets=False).cameras().rotation
    )
    torch.testing.assert_close(rotation, rotation[:1].expand(8, -1, -1))


@pytest.mark.parametrize("head", HEADS)
def test_decoded_cameras_are_sound(head):
    found = decode_cameras(numbers() * 5, head)
    assert bool((found.scale > 0).all()) and bool((found.translation.abs() <= 0.5).all())
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(3))
    assert len(found.cameras()) == 12 and len(found.pick()) == 3


@pytest.mark.parametrize("head", HEADS)
def test_decoding_has_gradients(head):
    raw = (0.3 * numbers(2, 1)).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: (
            decode_cameras(x, head)
            .cameras()
            .project(torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
        ),
        raw,
    )


def test_twins_are_depth_flips():
    one, two = decode_cameras(numbers(), "angles"), decode_cameras(numbers(), "angles", twins=True)
    flip = torch.diag(torch.tensor([1.0, 1, -1])), torch.diag(torch.tensor([-1.0, 1, 1]))
    torch.testing.assert_close(
        quaternion_to_matrix(flip_depth(one.quaternion)),
        flip[0] @ quaternion_to_matrix(one.quaternion) @ flip[1],
    )
    torch.testing.assert_close(two.quaternion[:, :4], one.quaternion)
    torch.testing.assert_close(two.quaternion[:, 4:], flip_depth(one.quaternion))
    assert two.logits.shape == (3, 8) and torch.equal(two.logits[:, 4:], numbers()[..., 8])


def test_pick_and_only_agree():
    found, index = decode_cameras(numbers()), torch.tensor([2, 0, 3])
    torch.testing.assert_close(found.pick(index).quaternion, found.only(index).cameras().quaternion)
    torch.testing.assert_close(
        found.cameras().quaternion.unflatten(0, (3, 4))[torch.arange(3), index],
        found.pick(index).quaternion,
    )


def test_the_winner_is_the_cheapest_and_expected_is_the_trusted():
    cost, logits = torch.tensor([[0.5, 0.1, 0.9]]), torch.tensor([[4.0, 0.0, 0.0]])
    winner, expected = (
        hypothesis_weights(cost, logits, "winner"),
        hypothesis_weights(cost, logits, "expected"),
    )
    assert winner.argmax() == 1 and expected.argmax() == 0
    for weights in (winner, expected):
        torch.testing.assert_close(weights.sum(1), torch.ones(1))
    assert float(winner.min()) >= 0.05 / 3 - 1e-6


def test_only_expected_weights_carry_gradients():
    cost, logits = (
        torch.rand(2, 3, generator=seeded(0)).requires_grad_(),
        torch.zeros(2, 3, requires_grad=True),
    )
    assert not hypothesis_weights(cost, logits, "winner").requires_grad
    assert hypothesis_weights(cost, logits, "expected").requires_grad


def test_drawing_follows_the_odds_and_the_generator():
    odds = torch.tensor([[0.7, 0.2, 0.1]]).expand(5000, -1)
    share = torch.bincount(draw_hypotheses(odds, seeded(1)), minlength=3) / 5000
    torch.testing.assert_close(share, odds[0], atol=0.03, rtol=0)
    assert torch.equal(draw_hypotheses(odds, seeded(1)), draw_hypotheses(odds, seeded(1)))


def test_the_choice_loss_is_least_at_the_weights():
    weights = torch.tensor([[0.7, 0.2, 0.1]])
    at, off = choice_loss(weights.log(), weights), choice_loss(torch.zeros(1, 3), weights)
    assert at < off and math.isclose(float(entropy(torch.zeros(1, 3))), math.log(3), rel_tol=1e-5)


def test_collapse_shows():
    still = torch.zeros(50, dtype=torch.long)
    one, two = torch.full((50,), 90.0), torch.tensor([90.0, -90.0]).repeat(25)
    assert camera_spread(one, still, 4)["spread"] < 0.01
    assert (
        camera_spread(two, still, 4)["spread"] > 0.99
        and camera_spread(two, still, 4)["spread of doubles"] < 0.01
    )
    assert camera_spread(one, still, 4)["most used"] == 1


@pytest.mark.parametrize(
    "bad",
    [
        lambda: decode_cameras(torch.zeros(1, 2, 8)),
        lambda: decode_cameras(numbers(), "euler"),
        lambda: hypothesis_weights(torch.zeros(1, 2), torch.zeros(1, 3)),
        lambda: hypothesis_weights(torch.zeros(1, 2), torch.zeros(1, 2), "loser"),
        lambda: hypothesis_weights(torch.zeros(1, 2), torch.zeros(1, 2), "winner", 0.0),
    ],
)
def test_bad_arguments_are_named(bad):
    with pytest.raises(InputError):
        bad()
