"""The global rotation, the scores, the levels, and labels by point number."""

from __future__ import annotations

import pytest
import torch

from svr_nb.cameras.projections import orbit
from svr_nb.cameras.rotations import random_rotation
from svr_nb.conventions import InputError, seeded
from svr_nb.data.collection import Collection
from svr_nb.ssl3d.frame import from_house
from svr_nb.ssl3d.scores import (
    color_error,
    fit_cameras,
    fit_frame,
    item_scores,
    label_points,
    level_scores,
    part_color,
    transfer_score,
    winning_points,
)


@pytest.fixture(scope="module")
def truth():
    generator = seeded(4)
    points = torch.randn(12, 300, 3, generator=generator) * torch.tensor([0.08, 0.05, 0.2])
    points[..., 1] += 0.15 * (points[..., 2] > 0.1)
    camera = orbit(360 * torch.rand(12, generator=generator), 10.0)
    return points, camera.rotation


def test_fit_cameras_finds_a_rotation(truth):
    secret = random_rotation(seeded(2))[0]
    assert torch.allclose(fit_cameras(truth[1] @ secret, truth[1]), secret, atol=1e-4)


def test_fit_cameras_outvotes_strays(truth):
    secret = random_rotation(seeded(2))[0]
    seen = truth[1] @ secret
    seen[:4] = random_rotation(seeded(3), 4)
    assert torch.allclose(fit_cameras(seen, truth[1]), secret, atol=1e-3)


def test_fit_frame_with_and_without_cameras(truth):
    secret = random_rotation(seeded(5))[0]
    for cameras in ((truth[1] @ secret, truth[1]), (None, None)):
        found = fit_frame(truth[0] @ secret, truth[0], *cameras)
        assert torch.allclose(found, secret, atol=0.05) and torch.linalg.det(found) > 0


def test_scores_of_the_truth(truth):
    data = Collection(
        {
            "mask": torch.ones(12, 1, 8, 8),
            "points": truth[0],
            "point_colors": torch.rand(12, 300, 3, generator=seeded(1)),
        }
    )
    scores = item_scores(
        truth[0], data.fields["point_colors"], truth[1], truth[1], data.fields["mask"], data
    )
    assert all(v.shape == (12,) for v in scores.values())
    assert scores["chamfer x100"].max() == 0 and scores["emd x100"].max() < 1e-4
    assert scores["colour error"].max() == 0 and scores["pose within 30"].mean() == 1
    turned = item_scores(
        truth[0],
        data.fields["point_colors"],
        truth[1] * torch.tensor([-1.0, 1, -1]),
        truth[1],
        data.fields["mask"],
        data,
    )
    assert (
        turned["pose within 30"].mean() == 0 and turned["pose within 30, flip allowed"].mean() == 1
    )


def test_scores_without_truth():
    data = Collection({"mask": torch.ones(2, 1, 8, 8)})
    found = item_scores(
        torch.zeros(2, 5, 3),
        torch.zeros(2, 5, 3),
        torch.eye(3).expand(2, 3, 3),
        None,
        data.fields["mask"],
        data,
    )
    assert list(found) == ["mask IoU"]
    assert level_scores(data) == {}


def test_levels_are_ordered(truth):
    levels = level_scores(Collection({"points": truth[0]}), 100)
    assert levels["truth sampled again"].mean() < levels["another instance"].mean()
    assert levels["best single cloud"].mean() <= levels["another instance"].mean() + 1e-4


def test_color_error_sees_colours_only(truth):
    shades = torch.rand(12, 300, 3, generator=seeded(1))
    assert (
        color_error(truth[0], shades, truth[0], shades).max()
        == 0
        < color_error(truth[0], 1 - shades, truth[0], shades).min()
    )


def test_labels_travel(truth):
    labels = (truth[0][..., 2] > 0).long()
    assert torch.equal(label_points(truth[0][0], truth[0][0], labels[0]), labels[0])
    same = truth[0][:1].repeat(3, 1, 1)
    moved = transfer_score(same, same, labels[:1].repeat(3, 1))
    assert moved[0].isnan() and moved[1:].tolist() == [1, 1]
    with pytest.raises(InputError):
        label_points(truth[0][0], truth[0][0], torch.rand(300))


def test_winning_point_is_the_nearest():
    points = from_house(torch.tensor([[[0.0, 0.0, 0.1], [0.0, 0.0, -0.1], [0.3, 0.3, 0.0]]]))
    number = winning_points(points, torch.zeros(1, 2), 33)[0]
    assert number[16, 16] == 1 and number[0, 0] == -1 and (number == 2).any()


def test_part_colors():
    assert (
        part_color(torch.tensor([-1, 0, 5])).shape == (3, 3)
        and part_color(torch.tensor([-1])).sum() == 0
    )
