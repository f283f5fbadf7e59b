"""Parts without labels: cues, losses by hand, warps, training, refinement, files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.nn import functional as F

from svr_nb.conventions import CheckpointError, FileError, InputError, pixel_centers, rand, seeded
from svr_nb.data.collection import Collection
from svr_nb.shapes.images import to_pil
from svr_nb.umr import part_losses as losses
from svr_nb.umr.part_cues import (
    Cues,
    choose_cues,
    cluster_centers,
    nearest_center,
    object_color,
    object_position,
    object_shape,
    one_sidedness,
    part_agreement,
    pixel_cues,
    reference_agreement,
    standardized,
)
from svr_nb.umr.part_maps import (
    crop_part_map,
    landmark_error,
    measure_parts,
    parts_of_photos,
    paste_part_map,
    photos_with_parts,
    read_part_map,
    with_parts,
    write_part_map,
    write_photo_parts,
)
from svr_nb.umr.part_segmentation import (
    LOSSES,
    PartSegmenter,
    SegmenterConfig,
    best_share,
    fit_segmenter,
    part_losses,
    refine_segmenter,
    segment_parts,
    start_basis,
)


def striped(count: int = 24, size: int = 16) -> Collection:
    """Red-and-blue blocks at random places, red above: two parts that colour and height give away."""
    image, mask, true = (
        torch.zeros(count, 3, size, size),
        torch.zeros(count, 1, size, size),
        torch.zeros(count, 2, size, size),
    )
    for i, (y, x) in enumerate(
        torch.randint(0, size - 10, (count, 2), generator=seeded(3)).tolist()
    ):
        mask[i, 0, y : y + 10, x : x + 8] = 1
        true[i, 0, y : y + 5, x : x + 8] = true[i, 1, y + 5 : y + 10, x : x + 8] = 1
        image[i, 0, y : y + 5, x : x + 8] = image[i, 2, y + 5 : y + 10, x : x + 8] = 0.8
    return Collection({"image": image, "mask": mask, "part_map": true}, "block")


BLOCKS = striped()
IMAGE, MASK, TRUE = BLOCKS["image"], BLOCKS["mask"], BLOCKS["part_map"]
PLAIN = Cues(0.0, 1.0, 0.3, 1.0, 0.0)
CONFIG = SegmenterConfig.tiny(2, size=16, widths=(8, 8, 12, 12), steps=40, cues=PLAIN)


@pytest.fixture(scope="module")
def trained() -> PartSegmenter:
    return fit_segmenter(BLOCKS, 2, config=CONFIG, seed=1)


# cues
# ----------------------------------------------------------------------------------------------------------------
def test_position_is_the_place_in_standard_deviations():
    own = object_position(MASK)[0].permute(1, 2, 0)[MASK[0, 0] > 0.5]
    assert torch.allclose(own.mean(0), torch.zeros(2), atol=1e-5) and torch.allclose(
        own.square().mean(0), torch.ones(2), atol=1e-4
    )
    assert torch.equal(object_position(torch.zeros(1, 1, 8, 8)), torch.zeros(1, 2, 8, 8))


def test_shape_is_the_same_in_a_mirror_and_knows_above_from_below():
    assert torch.allclose(object_shape(MASK.flip(3)), object_shape(MASK).flip(3), atol=1e-5)
    upside = object_shape(MASK.flip(2))
    assert torch.allclose(upside[:, :4], object_shape(MASK)[:, :4].flip(2), atol=1e-5)
    assert torch.allclose(upside[:, 4:], -object_shape(MASK)[:, 4:].flip(2), atol=1e-5)


def test_color_ignores_the_light_and_the_background():
    inside = (MASK > 0.5).expand_as(IMAGE)
    brighter, elsewhere = (
        object_color(IMAGE * 0.9 + 0.1 * MASK, MASK),
        object_color(IMAGE + (1 - MASK) * 0.7, MASK),
    )
    assert float((brighter - object_color(IMAGE, MASK))[inside].abs().max()) < 0.25
    assert torch.allclose(elsewhere[inside], object_color(IMAGE, MASK)[inside], atol=1e-4)


def test_standardized_over_object_pixels():
    own = standardized(object_shape(MASK), MASK).permute(0, 2, 3, 1)[MASK[:, 0] > 0.5]
    assert torch.allclose(own.mean(0), torch.zeros(6), atol=1e-4) and torch.allclose(
        own.std(0), torch.ones(6), atol=1e-3
    )
    two = standardized(object_shape(MASK), MASK, 2).permute(0, 2, 3, 1)[MASK[:, 0] > 0.5]
    cross = (two[:, 0] * two[:, 1]).mean()
    assert (
        two.shape[1] == 2
        and abs(float(cross)) < 1e-3
        and float(two[:, 0].std()) == pytest.approx(1, abs=1e-2)
        and two[:, 1].std() <= two[:, 0].std()
    )


def test_cues_count_and_clusters_find_the_blocks():
    cues = pixel_cues(IMAGE, MASK, PLAIN)
    assert cues.shape[1] == 1 + 6 + 3
    maps = nearest_center(cues, cluster_centers(cues, MASK, 2), MASK)
    assert (
        torch.equal(maps.sum(1, keepdim=True), MASK) and part_agreement(maps, TRUE, MASK)[0] > 0.95
    )
    assert torch.equal(
        cluster_centers(cues, MASK, 2, seed=4), cluster_centers(cues, MASK, 2, seed=4)
    )


def test_feature_map_cues_run_at_any_size():
    assert pixel_cues(IMAGE[:3], MASK[:3], Cues(maps=1.0)).shape == (3, 1 + 6 + 3 + 8, 16, 16)


def test_one_sidedness():
    ell = torch.zeros(6, 1, 16, 16)
    ell[:, :, 4:12, 4:6] = ell[:, :, 10:12, 4:12] = 1
    assert one_sidedness(torch.cat([ell, ell.flip(3)])) < 0.02 < 0.3 < one_sidedness(ell) <= 1
    assert (
        choose_cues(ell) == Cues.one_side()
        and choose_cues(torch.cat([ell, ell.flip(3)])) == Cues.all_sides()
    )


# the score
# -----------------------------------------------------------------------------------------------------------
@settings(max_examples=8, derandomize=True, deadline=None)
@given(st.permutations(range(4)))
def test_agreement_does_not_depend_on_names(order: list[int]):
    true = (
        F.one_hot(torch.randint(4, (3, 8, 8), generator=seeded(1)), 4).permute(0, 3, 1, 2).float()
    )
    share, iou, partner = part_agreement(true[:, order], true, torch.ones(3, 1, 8, 8))
    assert share == iou == 1 and [order[p] for p in partner.tolist()] == [0, 1, 2, 3]


def test_agreement_by_hand():
    true = torch.zeros(1, 2, 1, 10)
    true[:, 0, :, :6], true[:, 1, :, 6:] = 1, 1
    maps = torch.zeros(1, 3, 1, 10)
    maps[:, 0, :, :5], maps[:, 1, :, 5:8], maps[:, 2, :, 8:] = 1, 1, 1
    share, iou, partner = part_agreement(maps, true, torch.ones(1, 1, 1, 10))
    assert share == pytest.approx(0.7) and partner.tolist() in ([0, 1], [0, 2])
    assert iou in (pytest.approx((5 / 6 + 2 / 5) / 2), pytest.approx((5 / 6 + 2 / 4) / 2))


def test_reference_levels():
    levels = reference_agreement(TRUE, MASK, 2)
    assert 0.4 < levels["random"] < 0.6 and 0.5 <= levels["position"] <= 1


# losses
# --------------------------------------------------------------------------------------------------------------
def test_concentration_is_the_variance_and_skips_empty_parts():
    maps = torch.zeros(2, 3, 4, 4)
    maps[0, 0, 1, :] = 1  # u = -.75, -.25, .25, .75: variance 5/16
    assert float(losses.concentration_loss(maps)) == pytest.approx(5 / 16 / 2)
    assert float(losses.concentration_loss(maps * 0)) == 0
    shifted = torch.zeros(2, 3, 4, 4)
    shifted[0, 2, 3, :] = 1
    assert float(losses.concentration_loss(shifted)) == pytest.approx(5 / 16 / 2)


def test_semantic_loss_is_zero_for_the_truth_and_grows():
    basis = torch.eye(2)
    features = torch.einsum("bphw,pc->bchw", TRUE, basis)
    assert (
        float(losses.semantic_loss(TRUE, features, basis, MASK)) == 0
        and float(losses.semantic_loss(TRUE, features, basis, MASK, whole=True)) == 0
    )
    assert float(losses.semantic_loss(TRUE.flip(1), features, basis, MASK)) == pytest.approx(2)
    spill = torch.ones_like(TRUE) / 2
    assert (
        float(losses.semantic_loss(spill, features, basis, MASK, whole=True))
        > float(losses.semantic_loss(spill, features, basis, MASK)) * 0.5
    )
    with pytest.raises(InputError, match="basis"):
        losses.semantic_loss(TRUE, features, torch.eye(3), MASK)


def test_orthonormal_loss():
    assert float(losses.orthonormal_loss(3 * torch.eye(3))) == pytest.approx(0, abs=1e-6)
    assert float(losses.orthonormal_loss(torch.ones(2, 5))) == pytest.approx(2, abs=1e-5)
    assert float(
        losses.orthonormal_loss(torch.tensor([[1.0, -5.0], [-5.0, 1.0]]))
    ) == pytest.approx(0, abs=1e-6)  # negative entries count as 0


def test_positive_halves_lose_nothing():
    x = torch.randn(2, 3, 4, 4, generator=seeded(0))
    halves = losses.positive_halves(x)
    assert float(halves.min()) == 0 and torch.equal(halves[:, :3] - halves[:, 3:], x)


def test_background_loss_falls_towards_the_mask():
    right, wrong = (torch.cat([1 - m, m], 1).clamp(0.01, 0.99) for m in (MASK, 1 - MASK))
    assert (
        float(losses.background_loss(right, MASK))
        < 0.02
        < 3
        < float(losses.background_loss(wrong, MASK))
    )


def test_equivariance_is_zero_when_parts_move_along():
    grid = losses.random_warps(24, 16, seeded(1))
    full = torch.cat([1 - MASK, TRUE], 1)
    moved = losses.warped(full, grid, border=True)
    same, shift = losses.equivariance_loss(moved, moved, (losses.warped(MASK, grid) > 0.5).float())
    assert float(same) == pytest.approx(0, abs=1e-6) and float(shift) == 0
    other, gap = losses.equivariance_loss(
        moved, moved[:, [0, 2, 1]], (losses.warped(MASK, grid) > 0.5).float()
    )
    assert float(other) > 1 and float(gap) > 0.01


@pytest.mark.parametrize("name", ["concentration", "semantic", "orthonormal", "equivariance"])
def test_gradcheck(name: str):
    maps = rand(2, 3, 4, 4, generator=seeded(1), low=0.1, high=0.9).double()
    other = rand(2, 3, 4, 4, generator=seeded(2), low=0.1, high=0.9).double()
    mask, basis = torch.ones(2, 1, 4, 4).double(), rand(3, 5, generator=seeded(3), low=0.1).double()
    features = rand(2, 5, 4, 4, generator=seeded(4)).double()
    call = {
        "concentration": (losses.concentration_loss, (maps,)),
        "orthonormal": (losses.orthonormal_loss, (basis,)),
        "semantic": (lambda m, w: losses.semantic_loss(m, features, w, mask), (maps, basis)),
        "equivariance": (lambda a, b: losses.equivariance_loss(a, b, mask), (maps, other)),
    }[name]
    assert torch.autograd.gradcheck(
        call[0], tuple(x.requires_grad_() for x in call[1]), eps=1e-6, atol=1e-4
    )


# warps
# ---------------------------------------------------------------------------------------------------------------
def test_warps_repeat_and_no_warp_is_the_identity():
    still = losses.random_warps(3, 8, seeded(0), turn=0, zoom=1, shift=0, bend=0, mirror=False)
    assert torch.allclose(still, pixel_centers(8, 8).expand(3, -1, -1, -1), atol=1e-6)
    assert torch.equal(losses.random_warps(3, 8, seeded(5)), losses.random_warps(3, 8, seeded(5)))
    mirrored = losses.random_warps(40, 8, seeded(0), turn=0, zoom=1, shift=0, bend=0)
    assert {round(float(x), 3) for x in mirrored[:, 0, 0, 0]} == {-0.875, 0.875}


def test_bending_goes_through_its_control_points():
    moves = torch.randn(16, 2, generator=seeded(2))
    assert torch.allclose(losses._bending(4, 4, 4) @ moves, moves, atol=1e-4)
    assert torch.allclose(
        losses._bending(4, 9, 9).sum(1), torch.ones(81), atol=1e-4
    )  # all moved alike: everything moves so


# training
# ------------------------------------------------------------------------------------------------------------
def test_training_finds_the_parts_of_new_pictures(trained: PartSegmenter):
    new = striped(12)
    maps = segment_parts(trained, new["image"].flip(0), new["mask"].flip(0))
    assert maps.shape == (12, 2, 16, 16) and torch.allclose(
        maps.sum(1, keepdim=True), new["mask"].flip(0), atol=1e-4
    )
    assert part_agreement(maps, new["part_map"].flip(0), new["mask"].flip(0))[0] > 0.85
    assert set(trained.curves) == set(LOSSES) and len(trained.curves["semantic"]) == 40
    assert sum(trained.curves["semantic"][-5:]) < 0.8 * sum(trained.curves["semantic"][:5])


def test_training_repeats_and_depends_on_the_seed(trained: PartSegmenter):
    short = replace(CONFIG, steps=3)
    first, again, other = (fit_segmenter(BLOCKS, 2, config=short, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.last.weight, again.last.weight) and not torch.equal(
        first.last.weight, other.last.weight
    )


def test_batch_of_one_equals_slice(trained: PartSegmenter):
    assert torch.allclose(
        segment_parts(trained, IMAGE[3:4], MASK[3:4]),
        segment_parts(trained, IMAGE, MASK)[3:4],
        atol=1e-5,
    )


def test_sharpness_keeps_the_winner(trained: PartSegmenter):
    soft, hard = (segment_parts(trained, IMAGE, MASK, s) for s in (1.0, 10.0))
    assert torch.equal(soft.argmax(1), hard.argmax(1)) and float(hard.amax(1).sum()) > float(
        soft.amax(1).sum()
    )


def test_every_loss_reaches_the_network(trained: PartSegmenter):
    net = fit_segmenter(BLOCKS, 2, config=replace(CONFIG, steps=1))
    basis = torch.rand(2, 20, generator=seeded(0)).requires_grad_()
    terms = part_losses(
        net, IMAGE[:4], MASK[:4], torch.rand(4, 20, 8, 8, generator=seeded(1)), basis, seeded(2)
    )
    for name in LOSSES:
        weights = [basis] if name == "orthonormal" else [net.last.weight]
        assert (
            float(torch.autograd.grad(terms[name], weights, retain_graph=True)[0].abs().sum()) > 0
        ), name


def test_a_segmenter_that_sees_no_silhouette():
    net = fit_segmenter(
        BLOCKS, 2, config=replace(CONFIG, sees_mask=False, background=2.0, steps=50, rate=1e-2)
    )
    maps = segment_parts(net, IMAGE)
    assert float(((maps.sum(1, keepdim=True) > 0.5) == (MASK > 0.5)).float().mean()) > 0.85


def test_paper_settings_run_with_other_features():
    paper = SegmenterConfig.paper(4)
    assert (
        paper.concentration,
        paper.equivariance,
        paper.landmark,
        paper.semantic,
        paper.orthonormal,
    ) == (10, 1000, 100, 1e4, 0.1)
    assert (
        paper.steps == 100_000
        and paper.rate == 1e-5
        and paper.basis_rate == 1e-2
        and paper.batch == 6
        and paper.optimizer == "sgd"
    )
    here = replace(
        paper,
        size=16,
        widths=(8, 8, 8, 8),
        steps=2,
        cues=Cues(0, 0, 0, 0, 1.0, "tiny", (1, 2), 0, True),
    )
    net = fit_segmenter(BLOCKS, 2, steps=2, config=here)
    assert (
        net.basis is not None
        and net.basis.shape == (2, 24 + 48)
        and segment_parts(net, IMAGE[:2]).shape == (2, 2, 16, 16)
    )


def test_start_basis_explains_better_than_noise():
    cues = pixel_cues(IMAGE, MASK, PLAIN)
    clusters, noise = (
        start_basis(cues, MASK, replace(CONFIG, start=start), 0) for start in ("clusters", "random")
    )
    loss = lambda basis: min(
        float(losses.semantic_loss(m, losses.positive_halves(cues), basis, MASK))
        for m in (TRUE, TRUE.flip(1))
    )
    assert clusters.shape == noise.shape == (2, 20) and loss(clusters) < loss(noise)


def test_saving(trained: PartSegmenter, tmp_path: Path):
    trained.save_pretrained(tmp_path / "parts")
    again = PartSegmenter.from_pretrained(tmp_path / "parts")
    assert again.config == trained.config and again.category == "block"
    assert torch.equal(segment_parts(again, IMAGE, MASK), segment_parts(trained, IMAGE, MASK))
    (tmp_path / "parts" / "model.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError):
        PartSegmenter.from_pretrained(tmp_path / "parts")


def test_refinement_follows_its_targets(trained: PartSegmenter):
    before = trained.last.weight.clone()
    swapped = segment_parts(trained, IMAGE, MASK).flip(1)
    refined = refine_segmenter(trained, IMAGE, MASK, swapped, steps=80, rate=1e-2)
    new = segment_parts(refined, IMAGE, MASK)
    assert float(((new.argmax(1) == swapped.argmax(1)) * MASK[:, 0]).sum() / MASK.sum()) > 0.85
    assert torch.equal(trained.last.weight, before)  # the given one stays as it is
    with pytest.raises(InputError, match="targets"):
        refine_segmenter(trained, IMAGE, MASK, TRUE[:3])


def test_best_share():
    assert best_share(torch.tensor([3.0, 1.0, 2.0, 0.5])).tolist() == [3, 1] and best_share(
        torch.tensor([3.0, 1.0]), 0.1
    ).tolist() == [1]


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: SegmenterConfig.tiny(1), "parts"),
        (lambda: SegmenterConfig.tiny(size=20), "size"),
        (lambda: SegmenterConfig.tiny(start="zeros"), "start"),
        (lambda: PartSegmenter("tiny"), "config"),
        (lambda: fit_segmenter(BLOCKS, 2, config=replace(CONFIG, size=32)), "image"),
        (lambda: segment_parts(PartSegmenter(CONFIG), IMAGE), "mask"),
        (lambda: segment_parts(PartSegmenter(CONFIG), IMAGE * 3, MASK), "image"),
        (lambda: Cues(0, 0, 0, 0, 0), "cues"),
        (lambda: Cues(backend="vgg"), "backend"),
        (lambda: pixel_cues(IMAGE, MASK[:2], PLAIN), "mask"),
        (lambda: cluster_centers(IMAGE, MASK * 0, 2), "mask"),
        (lambda: part_agreement(TRUE, TRUE[:2], MASK), "true"),
        (lambda: best_share(torch.ones(3), 0.0), "share"),
        (lambda: part_agreement(TRUE, TRUE * 0, MASK), "mask"),
        (lambda: losses.random_warps(1, 8, seeded(0), zoom=0.5), "zoom"),
        (lambda: losses.equivariance_loss(TRUE, TRUE[:, :1], MASK), "maps_of_moved"),
        (lambda: with_parts(BLOCKS, TRUE[:2]), "maps"),
        (lambda: crop_part_map(TRUE[0], (4, 4, 4, 8), 8), "box"),
        (
            lambda: landmark_error(TRUE[:3], torch.zeros(3, 1, 2), torch.ones(3, 1), MASK[:3]),
            "maps",
        ),
    ],
)
def test_refusals_name_the_argument(call, name):
    with pytest.raises(InputError, match=f"^{name}"):
        call()


# files
# ---------------------------------------------------------------------------------------------------------------
def test_part_maps_to_disk_and_back(tmp_path: Path):
    path = write_part_map(tmp_path / "a.npy", TRUE[0])
    array = np.load(path)
    assert array.shape == (16, 16, 3) and array.dtype == np.float32 and np.allclose(array.sum(2), 1)
    assert torch.equal(read_part_map(path), TRUE[0]) and torch.equal(
        read_part_map(path, 2), TRUE[0]
    )


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4)),
        np.zeros((4, 4, 1)),
        np.full((4, 4, 3), np.nan),
        -np.ones((4, 4, 3)),
        np.zeros((0, 4, 3)),
        np.array(["a"]),
        np.zeros((4, 4, 3), complex),
    ],
)
def test_unusable_part_maps(tmp_path: Path, array: np.ndarray):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(FileError, match="x.npy"):
        read_part_map(tmp_path / "x.npy")
    with pytest.raises(FileError):
        read_part_map(tmp_path / "x.npy", parts=7)


def test_hostile_part_maps(tmp_path: Path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    np.save(tmp_path / "bomb.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY\x01\x00")
    (tmp_path / "huge.npy").write_bytes(
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999, 99999, 99)}".ljust(
            128
        )
        + b"\n"
    )
    for name in ("bomb.npy", "cut.npy", "huge.npy", "none.npy", "a.txt"):
        with pytest.raises(FileError):
            read_part_map(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("box", [(2, 3, 10, 11), (-4, -2, 12, 14), (6, 6, 22, 22)])
def test_cropping_and_pasting(box: tuple[int, int, int, int]):
    inside = paste_part_map(torch.ones(1, 8, 8), box, 16, 16) > 0.5
    expected = torch.zeros(1, 16, 16, dtype=torch.bool)
    expected[:, max(box[1], 0) : box[3], max(box[0], 0) : box[2]] = True
    assert torch.equal(inside, expected)
    side = box[2] - box[0]
    crop = crop_part_map(TRUE[0], box, side)
    again = paste_part_map(crop, box, 16, 16)
    assert (
        torch.allclose(again[:, expected[0]], TRUE[0][:, expected[0]], atol=1e-5)
        and float(again[:, ~expected[0]].abs().sum()) == 0
    )


def folder_of_blocks(folder: Path, count: int = 10) -> Path:
    """Photographs and masks as files, 40 x 48 pixels each."""
    (folder / "rgb").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i in range(count):
        picture, mask = torch.full((3, 40, 48), 0.2), torch.zeros(3, 40, 48)
        y, x = 4 + i, 20 - i
        picture[:, y : y + 20, x : x + 16] = mask[:, y : y + 20, x : x + 16] = 1.0
        picture[:, y : y + 10, x : x + 16] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
        to_pil(picture).save(folder / "rgb" / f"p{i}.png")
        to_pil(mask).save(folder / "masks" / f"p{i}.png")
    return folder


def test_a_folder_in_one_call_and_through_files(tmp_path: Path):
    folder = folder_of_blocks(tmp_path / "blocks")
    found, net = parts_of_photos(
        folder, parts=2, size=16, steps=8, progress=False, category="block"
    )
    assert (
        found["part_map"].shape == (10, 2, 16, 16)
        and found.names[0] == "p0"
        and found.category == net.category == "block"
    )
    same, _ = parts_of_photos(folder, segmenter=net)
    assert torch.equal(same["part_map"], found["part_map"])
    files = write_photo_parts(folder, found["part_map"], tmp_path / "maps")
    assert len(files) == 10 and np.load(files[0]).shape == (40, 48, 3)
    again = photos_with_parts(folder, tmp_path / "maps", size=16)
    assert (
        torch.equal(again["image"], found["image"])
        and float((again["part_map"] - found["part_map"]).abs().mean()) < 0.05
    )


def test_maps_of_another_size_and_the_release_s_names(tmp_path: Path):
    folder = folder_of_blocks(tmp_path / "blocks", 2)
    for i in range(2):
        full = torch.zeros(2, 20, 24)
        full[0, (4 + i) // 2 : (14 + i) // 2], full[1, (14 + i) // 2 :] = 1, 1
        write_part_map(tmp_path / f"p{i}_{40 + i}.npy", full)
    found = photos_with_parts(folder, tmp_path, size=16, names=("upper", "lower"))
    assert found.labels["parts"] == ("upper", "lower")
    upper, lower = (
        float(
            (pixel_centers(16, 16)[..., 1] * found["part_map"][0, p]).sum()
            / found["part_map"][0, p].sum()
        )
        for p in (0, 1)
    )
    assert upper < -0.2 and lower > 0.2
    (tmp_path / "p1_41.npy").unlink()
    with pytest.raises(FileError, match="p1.npy"):
        photos_with_parts(folder, tmp_path, size=16)


# landmarks
# -----------------------------------------------------------------------------------------------------------
def test_landmarks_that_sit_on_a_part_are_predicted():
    moving = torch.zeros(40, 2, 16, 16)
    place = torch.randint(2, 13, (40, 2), generator=seeded(1))
    for i, (y, x) in enumerate(place.tolist()):
        moving[i, 0, y : y + 2, x : x + 2] = 1
    moving[:, 1] = 1 - moving[:, 0]
    points = torch.stack([(place[:, 1] + 1) / 8 - 1, (place[:, 0] + 1) / 8 - 1], -1)[
        :, None
    ].float()
    error = landmark_error(moving, points, torch.ones(40, 1), torch.ones(40, 1, 16, 16))
    assert error["parts"] < 0.05 < 0.2 < error["silhouette"]


def test_measured_on_samples():
    score = measure_parts("bird", 4, seed=31, train=50, test=20, size=32, steps=50)
    assert set(score) == {
        "agreement",
        "iou",
        "random",
        "position",
        "landmarks",
        "landmarks_silhouette",
    }
    assert score["agreement"] > max(score["random"], score["position"]) + 0.05


@pytest.mark.slow
def test_parts_of_real_horses(shared_data: Path):
    """Without labels there is no score; but the parts must sit at the same place of nearly every
    horse.
    """
    found, net = parts_of_photos(
        shared_data / "weizmann_horse",
        parts=5,
        size=64,
        steps=200,
        progress=False,
        category="horse",
    )
    assert net.config.cues == Cues.one_side()
    share = found["part_map"].sum((2, 3)) / found["mask"].sum((2, 3))
    assert float((share > 0.03).float().mean()) > 0.95
    place = object_position(found["mask"])
    centers = (
        torch.einsum("bphw,bchw->bpc", found["part_map"], place)
        / found["part_map"].sum((2, 3))[..., None]
    )
    assert float(centers.std(0).max()) < 0.5
