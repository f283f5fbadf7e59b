"""Photographs changed at random: sizes, colours, and nothing else."""

from __future__ import annotations

import pytest
import torch

from svr_nb.conventions import rand, seeded
from svr_nb.tars.losses import augmented, hue_turn, recolored, resized_objects

IMAGES = rand(6, 3, 24, 24, generator=seeded(1))


def test_turning_the_hue_is_a_rotation_that_keeps_gray():
    turns = hue_turn(torch.tensor([0.3, -2.0, torch.pi]))
    assert torch.allclose(turns @ turns.transpose(1, 2), torch.eye(3).expand(3, 3, 3), atol=1e-6)
    assert torch.allclose(turns @ torch.ones(3), torch.ones(3, 3), atol=1e-6)
    third = hue_turn(torch.tensor([2 * torch.pi / 3]))[0]
    red = torch.tensor([1.0, 0, 0])
    assert torch.allclose(third @ red, torch.tensor([0.0, 1, 0]), atol=1e-6)


def test_nothing_to_change_changes_nothing():
    assert torch.allclose(recolored(IMAGES, 0.0, 0.0, seeded(2)), IMAGES, atol=1e-6)
    assert torch.allclose(resized_objects(IMAGES, 0.0, seeded(2)), IMAGES, atol=1e-5)


def test_objects_become_larger_and_smaller():
    mask = torch.zeros(64, 1, 32, 32)
    mask[:, :, 8:24, 8:24] = 1
    areas = resized_objects(mask, 0.2, seeded(3)).sum((1, 2, 3)) / mask.sum((1, 2, 3))
    assert 0.6 < float(areas.min()) < 0.8 and 1.2 < float(areas.max()) < 1.5


@pytest.mark.parametrize("seed", range(3))
def test_a_batch_stays_a_batch(seed):
    mask = (rand(6, 1, 24, 24, generator=seeded(seed)) > 0.5).float()
    batch = {"image": IMAGES, "mask": mask, "camera_rotation": torch.eye(3).expand(6, 3, 3)}
    found, again = (augmented(batch, seeded(seed, 9)) for _ in range(2))
    assert torch.equal(found["image"], again["image"]) and torch.equal(found["mask"], again["mask"])
    assert set(found["mask"].unique().tolist()) <= {0.0, 1.0}
    assert 0 <= float(found["image"].min()) and float(found["image"].max()) <= 1
    assert found["camera_rotation"] is batch["camera_rotation"] and batch["image"] is IMAGES
    assert not torch.equal(found["image"], IMAGES)
