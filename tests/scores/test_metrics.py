"""Metrics: documented numbers of each paper's convention, agreement with independent computations,
refusals.
"""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch

from svr_nb.scores import metrics as M
from svr_nb.cameras.rotations import random_rotation, rotation_y_rad
from svr_nb.conventions import InputError, rand, seeded

A = torch.tensor([[0.0, 0, 0], [1, 0, 0]])
B = torch.tensor([[0.0, 0.3, 0], [1, 0.1, 0]])


@pytest.mark.parametrize(
    ("convention", "number"),
    [("lem", 0.4), ("tars", 2.0), ("ssl3d", 40.0), ("ssl3d_squared", 100.0)],
)
def test_documented_number_of_each_paper(convention, number):
    assert M.chamfer(A, B, **M.CHAMFER[convention]).item() == pytest.approx(number, rel=1e-5)


def test_chamfer_against_scipy(generator):
    from scipy.spatial import cKDTree

    a, b = rand(3, 40, 3, generator=generator), rand(3, 30, 3, generator=generator)
    expected = [
        cKDTree(q).query(p)[0].mean() + cKDTree(p).query(q)[0].mean()
        for p, q in zip(a.numpy(), b.numpy())
    ]
    assert np.allclose(M.chamfer(a, b), expected, rtol=1e-5)
    assert not M.chamfer(a, b.requires_grad_()).requires_grad


def test_chamfer_masked_ignores_padding(generator):
    a = rand(1, 6, 3, generator=generator)
    padded = torch.cat([a, torch.full((1, 4, 3), 99.0)], 1)
    keep = torch.arange(10)[None] < 6
    assert M.chamfer_masked(padded, a, keep, torch.ones(1, 6, dtype=torch.bool)).item() == 0


def test_emd_is_the_best_of_all_matchings(generator):
    a, b = rand(5, 3, generator=generator), rand(5, 3, generator=generator)
    cost = torch.cdist(a, b)
    best = (
        min(sum(cost[i, j] for i, j in enumerate(p)) for p in itertools.permutations(range(5))) / 5
    )
    assert M.emd(a, b).item() == pytest.approx(best.item(), rel=1e-5)
    assert M.emd(a, a.flip(0)).item() == 0 and M.emd(a, b, scale=100) == 100 * M.emd(a, b)


def test_fscore_counts_near_points():
    assert (
        M.fscore(A, B, 0.2).item() == 0.5
        and M.fscore(A, B, 0.31).item() == 1
        and M.fscore(A, B, 0.05).item() == 0
    )
    precision, recall = M.precision_recall(A, A[:1], 0.1)
    assert (precision.item(), recall.item()) == (0.5, 1)


def test_unit_box():
    boxed = M.unit_box(torch.tensor([[[0.0, 0, 0], [4, 2, 1]]]))
    assert boxed.tolist() == [[[-0.5, -0.25, -0.125], [0.5, 0.25, 0.125]]]


# --- voxels and masks ---


def test_threshold_search_finds_the_planted_threshold(generator):
    true = (rand(4, 6, 6, 6, generator=generator) > 0.5).float()
    predicted = torch.where(
        true > 0,
        0.33 + 0.1 * rand(*true.shape, generator=generator),
        0.3 * rand(*true.shape, generator=generator),
    )
    threshold, score = M.best_threshold(predicted, true)
    assert 0.29 <= threshold <= 0.33 and score == 1
    assert (
        M.voxel_iou(predicted, true, "best").mean() == 1
        and M.voxel_iou(predicted, true).mean() == 0
    )


def test_voxel_iou_numbers():
    a, b = torch.zeros(4, 4, 4), torch.zeros(4, 4, 4)
    a[:2], b[1:3] = 1, 1
    assert (
        M.voxel_iou(a, b).item() == pytest.approx(1 / 3)
        and M.voxel_iou(a, a).item() == 1
        and M.voxel_iou(a * 0, a * 0).isnan()
    )


def test_mask_iou_soft_and_hard():
    a, b = torch.full((1, 1, 2, 2), 0.6), torch.ones(1, 1, 2, 2)
    assert (
        M.mask_iou(a, b).item() == pytest.approx(0.6)
        and M.mask_iou(a, b, threshold=0.5).item() == 1
    )


def test_pck_averages_over_keypoints_last():
    true = torch.zeros(3, 2, 2)
    predicted = torch.zeros(3, 2, 2)
    predicted[0, 0, 0] = 5.0
    visible = torch.tensor([[True, True], [True, False], [False, False]])
    assert M.pck(predicted, true, visible, 10.0) == pytest.approx((0.5 + 1) / 2)
    assert M.pck(predicted, true, visible, torch.tensor([100.0, 10, 10])) == 1


def test_precision_and_recall_by_hand():
    precision, recall = M.precision_recall_curve(
        torch.tensor([0.1, 0.9, 0.5, 0.5]), torch.tensor([True, True, False, True]), total=5
    )
    assert precision.tolist() == pytest.approx(
        [1, 2 / 3, 3 / 4]
    ) and recall.tolist() == pytest.approx([0.2, 0.4, 0.6])


def test_apk_planted():
    """Four transfers, two right: surest first is worth all of them, last is worth 1/2 * (1/3 +
    2/4).
    """
    true, predicted = torch.zeros(2, 2, 2), torch.zeros(2, 2, 2)
    predicted[:, 0] = 5.0
    seen, sure = torch.ones(2, 2, dtype=torch.bool), torch.tensor([[0.2, 0.9], [0.1, 0.8]])
    assert M.apk(predicted, true, seen, 10.0, sure) == pytest.approx(0.5)
    assert M.apk(predicted, true, seen, 10.0, 1 - sure) == pytest.approx((1 / 3 + 2 / 4) / 4)
    assert M.apk(predicted, true, seen, 10.0, torch.zeros(2, 2)) == pytest.approx(0.5 * 0.5)
    assert M.apk(true, true, seen, 10.0, sure) == pytest.approx(1)


def test_apk_counts_transfers_of_what_cannot_be_seen():
    true, seen = torch.zeros(1, 2, 2), torch.tensor([[True, False]])
    sure, tried = torch.tensor([[0.3, 0.9]]), torch.tensor([[True, True]])
    assert M.apk(true, true, seen, 1.0, sure) == 1 and M.apk(
        true, true, seen, 1.0, sure, tried=tried
    ) == pytest.approx(0.5)
    assert M.apk(true, true, seen, 1.0, 1 - sure, tried=tried) == 1


def test_kid_is_unbiased_and_grows_with_the_gap(generator):
    draws = [torch.randn(2, 10, 6, generator=generator) for _ in range(300)]
    values = torch.tensor([M.kid(x, y) for x, y in draws])
    assert abs(float(values.mean())) < 3 * float(values.std()) / 300**0.5
    x, y = draws[0]
    assert M.kid(x, y + 1) < M.kid(x, y + 2) and M.kid(x, y) == pytest.approx(M.kid(y, x))


def test_kid_by_the_plain_double_sum(generator):
    x, y = (
        torch.randn(4, 3, generator=generator).double(),
        torch.randn(5, 3, generator=generator).double(),
    )
    k = lambda p, q: float((p @ q / 3 + 1) ** 3)
    same = lambda s: (
        sum(k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j)
        / (len(s) * (len(s) - 1))
    )
    assert M.kid(x, y) == pytest.approx(
        same(x) + same(y) - 2 * sum(k(p, q) for p in x for q in y) / 20
    )


# --- pictures ---


def test_ssim_against_skimage_and_itself(generator):
    from skimage.metrics import structural_similarity

    a, b = rand(2, 3, 24, 24, generator=generator), rand(2, 3, 24, 24, generator=generator)
    assert torch.allclose(M.ssim(a, a), torch.ones(2))
    expected = structural_similarity(
        a[0, 0].numpy(),
        b[0, 0].numpy(),
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert M.ssim(a[:1, :1], b[:1, :1]).item() == pytest.approx(expected, abs=1e-6)


def test_ssim_region_sees_what_background_hides(generator):
    a, b = torch.zeros(1, 3, 40, 40), torch.zeros(1, 3, 40, 40)
    a[..., 15:25, 15:25], b[..., 15:25, 15:25] = (
        rand(3, 10, 10, generator=generator),
        rand(3, 10, 10, generator=generator),
    )
    region = torch.zeros(1, 1, 40, 40)
    region[..., 15:25, 15:25] = 1
    assert M.ssim(a, b, region).item() < M.ssim(a, b).item()


def test_frechet_forms_agree_and_identical_sets_cost_nothing(generator):
    x, y = torch.randn(60, 8, generator=generator), 2 * torch.randn(50, 8, generator=generator) + 1
    assert M.frechet(x, y).item() == pytest.approx(M.frechet(x, y, "matrix").item(), rel=1e-4)
    assert abs(M.frechet(x, x).item()) < 1e-3
    shifted = M.frechet(x, x + 1)
    assert shifted.item() == pytest.approx(8, rel=1e-4) and M.frechet(
        x, x + 1, "mean_only"
    ).item() == pytest.approx(8, rel=1e-4)


@pytest.mark.parametrize("count", [2, 3])
def test_frechet_of_few_samples_has_a_finite_gradient(count, generator):
    x = torch.randn(count, 16, generator=generator).requires_grad_()
    M.frechet(x, torch.randn(20, 16, generator=generator)).backward()
    assert torch.isfinite(x.grad).all()


def test_frechet_gradcheck(generator):
    x = torch.randn(4, 3, generator=generator).double().requires_grad_()
    y = torch.randn(6, 3, generator=generator).double()
    assert torch.autograd.gradcheck(lambda x: M.frechet(x, y), (x,), atol=1e-4)


# --- poses ---


def test_pose_error_known_angles():
    turn = rotation_y_rad(torch.deg2rad(torch.tensor([0.0, 30.0, 180.0])))
    eye = torch.eye(3).expand(3, 3, 3)
    assert torch.allclose(M.pose_error(turn, eye), torch.tensor([0.0, 30, 180]), atol=0.1)
    assert torch.allclose(M.pose_error(turn, eye, flip=True), torch.tensor([0.0, 30, 0]), atol=0.1)
    assert M.pose_accuracy(torch.tensor([10.0, 29, 31, 180])) == 0.5


def test_circular_variance():
    assert M.circular_variance(torch.tensor([10.0, 10, 10])) == pytest.approx(0, abs=1e-9)
    assert M.circular_variance(torch.tensor([0.0, 90, 180, 270])) == pytest.approx(1)
    assert M.circular_variance(torch.tensor([179.0, -179.0])) < 0.001


def lopsided(count: int, generator: torch.Generator) -> torch.Tensor:
    """Clouds without any symmetry."""
    points = rand(count, 300, 3, generator=generator) - 0.5
    return points * torch.tensor([1.0, 0.5, 0.7]) + 0.3 * torch.relu(
        points[..., :1]
    ) * torch.tensor([0.0, 1.0, 0.5])


@pytest.mark.parametrize("seed", range(4))
def test_align_rotation_finds_any_rotation(seed):
    generator = seeded(seed)
    true, turn = lopsided(12, generator), random_rotation(generator)[0]
    started = time.perf_counter()
    found = M.align_rotation(true @ turn, true)
    assert time.perf_counter() - started < 4
    assert M.pose_error(found[None], turn[None]).item() < 0.5
    assert torch.linalg.det(found).item() == pytest.approx(1, abs=1e-5)


def test_align_rotation_never_reflects(generator):
    true = lopsided(6, generator)
    mirrored = true * torch.tensor([-1.0, 1, 1])
    found = M.align_rotation(mirrored, true)
    assert torch.linalg.det(found).item() == pytest.approx(1, abs=1e-5)
    assert M.chamfer(mirrored @ found.T, true).mean() > 0.02


# --- refusals ---


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: M.chamfer(torch.full((4, 3), float("nan")), A), "a"),
        (lambda: M.chamfer(torch.zeros(0, 3), A), "a"),
        (lambda: M.chamfer(A, torch.zeros(4, 2)), "b"),
        (lambda: M.chamfer("cloud", A), "a"),
        (lambda: M.chamfer(A, B, reduce="max"), "reduce"),
        (lambda: M.emd(A, torch.zeros(5, 3)), "b"),
        (lambda: M.fscore(A, B, -1), "threshold"),
        (lambda: M.voxel_iou(torch.zeros(4, 4, 4), torch.zeros(5, 5, 5)), "true"),
        (lambda: M.voxel_iou(torch.full((4, 4, 4), 2.0), torch.zeros(4, 4, 4)), "predicted"),
        (
            lambda: M.mask_iou(torch.full((1, 1, 4, 4), float("inf")), torch.zeros(1, 1, 4, 4)),
            "predicted",
        ),
        (
            lambda: M.pck(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2), torch.zeros(1, 2), 1.0),
            "visible",
        ),
        (
            lambda: M.apk(
                torch.zeros(1, 2, 2),
                torch.zeros(1, 2, 2),
                torch.zeros(1, 2),
                1.0,
                torch.zeros(1, 2),
            ),
            "visible",
        ),
        (
            lambda: M.apk(
                torch.zeros(1, 2, 2), torch.zeros(1, 2, 2), torch.ones(1, 2), 1.0, torch.zeros(1, 3)
            ),
            "confidence",
        ),
        (lambda: M.precision_recall_curve(torch.zeros(0), torch.zeros(0)), "confidence"),
        (lambda: M.precision_recall_curve(torch.zeros(2), torch.zeros(3)), "correct"),
        (lambda: M.kid(torch.zeros(1, 2), torch.zeros(4, 2)), "x, y"),
        (lambda: M.ssim(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)), "true"),
        (lambda: M.frechet(torch.zeros(4, 2), torch.zeros(4, 3)), "y"),
        (lambda: M.frechet(torch.zeros(4, 2), torch.zeros(4, 2), "root"), "method"),
        (lambda: M.pose_error(torch.zeros(3, 3), torch.zeros(3, 3)), "predicted"),
    ],
)
def test_refusals_name_the_argument(call, name):
    with pytest.raises(InputError, match=f"^{name}"):
        call()


# --- a score of nothing is no score ---

NAN, INF = float("nan"), float("inf")
EVERY = torch.ones(2, 50, dtype=torch.bool)
CLOUD = torch.rand(2, 50, 3, generator=seeded(1))
OTHER = torch.rand(2, 30, 3, generator=seeded(2))
IMAGE = torch.rand(2, 3, 32, 32, generator=seeded(3))
POINTS = torch.rand(2, 5, 2, generator=seeded(4))
SEEN = torch.arange(5).expand(2, 5) > 0


@pytest.mark.parametrize(
    "score",
    [
        lambda: M.ssim(IMAGE, 1 - IMAGE, torch.zeros(2, 1, 32, 32)),
        lambda: M.chamfer_masked(CLOUD, CLOUD + 5, ~EVERY, EVERY),
        lambda: M.chamfer_masked(CLOUD, CLOUD + 5, EVERY, ~EVERY),
        lambda: M.chamfer_masked(CLOUD * NAN, CLOUD + 5, ~EVERY, ~EVERY),
        lambda: M.mask_iou(torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 8)),
        lambda: M.mask_iou(torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 8), 0.5),
        lambda: M.mask_iou(torch.ones(2, 1, 8, 8), torch.ones(2, 1, 8, 8), 1.0),
        lambda: M.voxel_iou(torch.zeros(2, 4, 4, 4), torch.zeros(2, 4, 4, 4)),
        lambda: M.voxel_iou(torch.zeros(2, 4, 4, 4), torch.zeros(2, 4, 4, 4), "best"),
        lambda: M.voxel_iou(torch.full((2, 4, 4, 4), 0.4), torch.full((2, 4, 4, 4), 0.5), 0.5),
        lambda: torch.tensor(
            [M.best_threshold(torch.zeros(2, 4, 4, 4), torch.zeros(2, 4, 4, 4))[1]]
        ),
    ],
)
def test_a_score_of_nothing_is_nan(score):
    assert score().isnan().all()


def test_one_empty_item_leaves_the_others_alone():
    masks = torch.zeros(3, 1, 16, 16)
    masks[1, :, 4:12, 4:12] = 1
    for values in (
        M.mask_iou(masks, masks),
        M.mask_iou(masks, masks, 0.5),
        M.ssim(masks, masks, masks),
    ):
        assert values.isnan().tolist() == [True, False, True] and values[1] == 1
    keep = EVERY.clone()
    keep[0] = False
    value = M.chamfer_masked(CLOUD, OTHER, keep, EVERY[:, :30])
    assert value[0].isnan() and value[1] == M.chamfer(CLOUD[1], OTHER[1])
    grids = (torch.rand(2, 4, 4, 4, generator=seeded(5)) > 0.5).float()
    some = torch.cat([grids, torch.zeros(1, 4, 4, 4)])
    assert M.best_threshold(some, some) == M.best_threshold(grids, grids) == (0.01, 1.0)


@pytest.mark.parametrize("filler", [NAN, INF, -INF, 1e30])
def test_what_is_masked_out_may_be_anything(filler):
    padded = torch.cat([CLOUD, torch.full((2, 20, 3), filler)], 1)
    keep = torch.cat([EVERY, ~EVERY[:, :20]], 1)
    assert torch.equal(
        M.chamfer_masked(padded, OTHER, keep, EVERY[:, :30]), M.chamfer(CLOUD, OTHER)
    )
    hidden = torch.where(SEEN[..., None], POINTS, filler)
    sure = torch.rand(2, 5, generator=seeded(6))
    unsure = torch.where(SEEN, sure, filler)
    for a, b in ((hidden, POINTS), (POINTS, hidden), (hidden, hidden)):
        assert M.pck(a, b, SEEN, 1.0) == 1 and M.apk(a, b, SEEN, 1.0, unsure) == 1
    tried = torch.ones(2, 5, dtype=torch.bool)
    assert M.apk(hidden, POINTS, SEEN, 1.0, sure, tried=tried) <= 1
    near = torch.zeros(2, 1, 32, 32)
    near[..., :16] = 1
    far = IMAGE.clone()
    far[..., 24:] = filler
    if filler != 1e30:
        assert torch.equal(M.ssim(far, 1 - IMAGE, near), M.ssim(IMAGE, 1 - IMAGE, near))
        everything_seen = torch.where(near > 0, IMAGE, torch.tensor(filler))
        assert (M.ssim(everything_seen, everything_seen, near) == 1).all()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: M.mask_iou(torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 8, 8), 128), "threshold"),
        (lambda: M.mask_iou(torch.ones(1, 1, 8, 8), torch.ones(1, 1, 8, 8), 2), "threshold"),
        (lambda: M.mask_iou(torch.ones(1, 1, 8, 8), torch.ones(1, 1, 8, 8), -0.1), "threshold"),
        (lambda: M.mask_iou(torch.ones(1, 1, 8, 8), torch.ones(1, 1, 8, 8), NAN), "threshold"),
        (lambda: M.mask_iou(torch.ones(1, 1, 8, 8), torch.ones(1, 1, 8, 4)), "true"),
        (lambda: M.mask_iou(torch.ones(1, 1, 8, 8) * 255, torch.ones(1, 1, 8, 8)), "predicted"),
        (lambda: M.voxel_iou(torch.ones(2, 2, 2), torch.ones(2, 2, 2), 1.5), "threshold"),
        (lambda: M.fscore(CLOUD, OTHER, 0.0), "threshold"),
        (lambda: M.fscore(CLOUD, OTHER, -1.0), "threshold"),
        (lambda: M.fscore(CLOUD, OTHER, INF), "threshold"),
        (lambda: M.precision_recall(CLOUD, OTHER, NAN), "threshold"),
        (lambda: M.chamfer_masked(CLOUD, OTHER, EVERY[:, :40], EVERY[:, :30]), "a_keep"),
        (lambda: M.chamfer_masked(CLOUD, OTHER, EVERY, EVERY), "b_keep"),
        (lambda: M.chamfer_masked(CLOUD, OTHER, EVERY * 0.3, EVERY[:, :30]), "a_keep"),
        (lambda: M.chamfer_masked(CLOUD * NAN, OTHER, EVERY, EVERY[:, :30]), "a"),
        (lambda: M.chamfer_masked(CLOUD, OTHER[:1], EVERY, EVERY[:1, :30]), "b"),
        (lambda: M.ssim(IMAGE, IMAGE, torch.ones(2, 1, 16, 16)), "region"),
        (lambda: M.ssim(IMAGE, IMAGE, torch.ones(1, 1, 32, 32)), "region"),
        (lambda: M.ssim(IMAGE, IMAGE, torch.full((2, 1, 32, 32), 255.0)), "region"),
        (lambda: M.ssim(IMAGE * NAN, IMAGE, torch.ones(2, 1, 32, 32)), "region"),
        (lambda: M.ssim(IMAGE * NAN, IMAGE), "predicted"),
        (lambda: M.pck(POINTS, POINTS, SEEN, 1.0, alpha=0.0), "alpha"),
        (lambda: M.pck(POINTS, POINTS, SEEN, 0.0), "size"),
        (lambda: M.pck(POINTS, POINTS, SEEN, INF), "size"),
        (lambda: M.pck(POINTS, POINTS, SEEN, torch.ones(3)), "size"),
        (lambda: M.pck(POINTS * NAN, POINTS, SEEN, 1.0), "predicted"),
        (lambda: M.pck(POINTS, POINTS, SEEN * NAN, 1.0), "visible"),
        (lambda: M.apk(POINTS, POINTS, SEEN, 1.0, SEEN * NAN), "confidence"),
        (lambda: M.apk(POINTS, POINTS, SEEN, 1.0, SEEN * 1.0, tried=SEEN[:1]), "tried"),
        (lambda: M.precision_recall_curve(torch.rand(4), torch.ones(4), 2), "total"),
        (lambda: M.frechet(torch.zeros(1, 4), torch.zeros(9, 4)), "x, y"),
        (lambda: M.frechet(torch.zeros(9, 4), torch.zeros(1, 4), "matrix"), "x, y"),
        (lambda: M.pose_error(torch.zeros(1, 3, 3), torch.eye(3)[None]), "predicted"),
        (lambda: M.pose_error(torch.eye(3)[None], -torch.eye(3)[None]), "true"),
        (lambda: M.pose_error(torch.eye(3)[None], torch.eye(3).expand(2, 3, 3)), "true"),
        (lambda: M.pose_accuracy(torch.ones(3), 0.0), "within"),
        (lambda: M.unit_box(torch.zeros(1, 0, 3)), "points"),
    ],
)
def test_questions_without_meaning_are_refused(call, name):
    with pytest.raises(InputError, match=f"^{name}:"):
        call()


def test_single_points_and_constant_images_have_their_values():
    one, two = torch.zeros(1, 1, 3), torch.ones(1, 1, 3)
    assert M.chamfer(one, two).item() == pytest.approx(2 * 3**0.5) and M.chamfer(one, one) == 0
    assert M.unit_box(two).tolist() == [[[0, 0, 0]]]
    grey, white = torch.full((1, 3, 16, 16), 0.2), torch.ones(1, 3, 16, 16)
    assert M.ssim(grey, grey) == 1 and 0 < M.ssim(grey, white) < 0.5
    sizes = torch.tensor([2.0, NAN])  # of the second nothing is seen
    seen = SEEN & torch.tensor([[True], [False]])
    assert M.pck(POINTS, POINTS, seen, sizes) == 1
