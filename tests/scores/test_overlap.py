"""3D IoU up to a similarity: planted turns, sizes and places, the loop as oracle, and what must not
be forgiven.
"""

from __future__ import annotations

import math

import pytest
import torch

from svr_nb.scores import overlap as O
from svr_nb.conventions import InputError, rand, seeded
from svr_nb.cameras.rotations import geodesic_angle, random_rotation, rotation_y_rad
from svr_nb.shapes.mesh import Mesh, box, ellipsoid, icosphere
from svr_nb.shapes.voxels import VoxelGrid, voxelize

CAR = Mesh.join([box((0.32, 0.14, 0.8)), box((0.28, 0.14, 0.36), (0, 0.13, 0.12))])


def test_solid_volumes():
    for shape, volume in (
        (icosphere(3).transform(scale=0.3), 4 / 3 * math.pi * 0.027),
        (box((0.3, 0.2, 0.1)), 0.006),
        (box((2.0, 3.0, 4.0), (5, 5, 5)), 24.0),
        (voxelize(box(0.5), 32), 0.125),
    ):
        assert O.as_solid(shape, 48).volume == pytest.approx(volume, rel=0.04)


def test_placed_moves_turns_and_scales():
    solid = O.as_solid(box((0.2, 0.2, 0.6), (3.0, 0, 0)), 64)
    moved = O.placed(
        solid,
        rotation_y_rad(torch.tensor([math.pi / 2])),
        torch.tensor([0.5]),
        torch.tensor([[0.0, 0.25, 0.0]]),
        1.0,
        64,
    )[0]
    at = moved.nonzero().float()
    low, high = (at.amin(0) - 31.5) / 64, (at.amax(0) - 31.5) / 64
    assert torch.allclose(low, torch.tensor([-0.15, 0.2, -0.05]), atol=0.02) and torch.allclose(
        high, torch.tensor([0.15, 0.3, 0.05]), atol=0.02
    )


@pytest.mark.parametrize("seed", range(3))
def test_best_shift_equals_the_loop(seed: int):
    one, two = ((rand(5, 5, 5, generator=seeded(seed, s)) < 0.3).float() for s in (1, 2))
    best = 0.0
    for k in torch.cartesian_prod(*[torch.arange(-4, 5)] * 3).tolist():
        padded = torch.zeros(15, 15, 15)
        padded[5 + k[0] : 10 + k[0], 5 + k[1] : 10 + k[1], 5 + k[2] : 10 + k[2]] = one
        both = float((padded[5:10, 5:10, 5:10] * two).sum())
        best = max(best, both / (float(one.sum() + two.sum()) - both))
    iou, shift = O.best_shift(one[None], two)
    assert float(iou) == pytest.approx(best, abs=1e-6)
    fixed, none = O.best_shift(one[None], two, reach=0)
    assert (
        float(fixed)
        == pytest.approx(float((one * two).sum() / (one + two).clamp(max=1).sum()), abs=1e-6)
        and float(none.abs().max()) == 0
    )


def test_starts_cover_the_rotations():
    turns = O.search_turns("all")
    assert turns.shape == (72 * 24, 3, 3) and torch.allclose(
        torch.linalg.det(turns), torch.ones(len(turns)), atol=1e-5
    )
    assert (
        float(
            geodesic_angle(random_rotation(seeded(2), 200)[:, None], turns[None])
            .min(1)
            .values.max()
        )
        < 25
    )
    assert len(O.search_turns("vertical")) == 36 and torch.equal(
        O.search_turns("none")[0], torch.eye(3)
    )


@pytest.mark.parametrize("angle", [47.0, 183.0])
def test_planted_similarity_is_found(angle: float):
    turn = rotation_y_rad(torch.tensor(angle).deg2rad())
    lost = CAR.transform(turn, torch.tensor([0.3, -2.0, 0.5]), 0.6)
    found = O.shape_iou_similarity(lost, CAR, size=32)
    assert (
        found.iou > 0.9
        and float(geodesic_angle(found.rotation, turn.T)) < 2
        and found.scale * 0.6 == pytest.approx(1, abs=0.03)
    )
    assert float((found.apply(lost).verts - CAR.verts).norm(dim=1).max()) < 0.04


def test_any_axis():
    turn = random_rotation(seeded(3))[0]
    lost = CAR.transform(turn, torch.tensor([0.3, 0.1, 0.2]), 1.5)
    found = O.shape_iou_similarity(lost, CAR, turns="all", size=24)
    assert found.iou > 0.85 and float(geodesic_angle(found.rotation, turn.T)) < 5
    assert (
        O.shape_iou_similarity(lost, CAR, size=24).iou < 0.75
    )  # about the vertical axis alone it is not


def test_what_is_switched_off_is_not_forgiven():
    kept = O.shape_iou_similarity(CAR, CAR, turns="none", scale=False, translation=False, size=32)
    assert kept.iou > 0.98 and kept.scale == 1 and float(kept.translation.abs().max()) < 1e-6
    kept = O.best_shift(torch.ones(1, 4, 4, 4), torch.ones(4, 4, 4), 0)
    assert float(kept[0]) == 1 and float(kept[1].abs().max()) == 0
    small = O.shape_iou_similarity(
        CAR.transform(scale=0.8), CAR, turns="none", scale=False, size=32
    )
    assert small.scale == 1 and small.iou == pytest.approx(0.512, abs=0.03)
    moved = O.shape_iou_similarity(
        CAR.transform(translation=torch.tensor([0.0, 0, 0.4])),
        CAR,
        turns="none",
        scale=False,
        translation=False,
        size=32,
    )
    assert 0.2 < moved.iou < 0.5
    assert (
        O.shape_iou_similarity(
            CAR.transform(rotation_y_rad(torch.tensor(1.5))), CAR, turns="none", size=32
        ).iou
        < 0.8
    )


def test_mirror_images_are_not_tried():
    corner = Mesh.join(
        [
            box((0.6, 0.1, 0.1)),
            box((0.1, 0.1, 0.4), (0.25, 0, 0.25)),
            box((0.1, 0.3, 0.1), (-0.25, 0.2, 0)),
        ]
    )
    assert O.shape_iou_similarity(corner.flipped(), corner, size=32).iou < 0.9


def test_voxels_and_meshes_agree():
    egg = ellipsoid((0.2, 0.15, 0.4))
    values = [
        O.shape_iou_similarity(a, b, turns="none", size=32).iou
        for a, b in (
            (egg, CAR),
            (voxelize(egg, 48), voxelize(CAR, 48)),
            (egg, voxelize(CAR, 48).occupancy),
        )
    ]
    assert max(values) - min(values) < 0.05 and 0.5 < values[0] < 0.95
    same = VoxelGrid(voxelize(CAR, 32).occupancy)
    assert O.shape_iou_similarity(same, same, size=32).iou > 0.98


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (
            lambda: O.shape_iou_similarity(Mesh(torch.eye(3), torch.tensor([[0, 1, 2]])), CAR),
            "predicted",
        ),
        (lambda: O.shape_iou_similarity(CAR, torch.zeros(8, 8, 8)), "true"),
        (lambda: O.shape_iou_similarity(torch.full((4, 4, 4), 2.0), CAR), "predicted"),
        (lambda: O.shape_iou_similarity(CAR, CAR, turns="some"), "turns"),
        (lambda: O.shape_iou_similarity(CAR, CAR, size=4), "size"),
    ],
)
def test_refusals_name_the_argument(call, name: str):
    with pytest.raises(InputError, match=f"^{name}"):
        call()
