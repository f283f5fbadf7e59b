"""Whole data sets: what is promised about seeds, splits, cameras, keypoints, domains and refusals."""

from __future__ import annotations

import time

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.data.sample_items import Recipe, draw_camera, noisy_parts, samples
from svr_nb.data.sample_shapes import CATEGORIES


def fields(
    category: object = "car", count: int = 3, split: str = "train", **options: object
) -> dict[str, torch.Tensor]:
    """The fields of a few small items."""
    return samples(
        category, split, count, progress=False, **({"points": 64, "size": 32} | options)
    ).fields  # type: ignore[arg-type]


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("domain", ["synthetic", "natural"])
def test_every_category_in_both_domains(category: str, domain: str) -> None:
    data = samples(
        category,
        count=2,
        size=32,
        points=50,
        voxels=16,
        part_map=True,
        domain=domain,
        meshes=True,
        progress=False,
    )
    f = data.fields
    assert (
        f["image"].shape == (2, 3, 32, 32)
        and f["mask"].shape == (2, 1, 32, 32)
        and f["points"].shape == (2, 50, 3)
        and f["voxels"].shape == (2, 16, 16, 16)
    )
    assert f["part_map"].shape[1] == len(data.labels["parts"]) and f["keypoints"].shape[1] == len(
        data.labels["keypoints"]
    )
    assert 0.01 < f["mask"].mean() < 0.6 and all(mesh.is_closed() for mesh in data.meshes)
    assert f["image"].std() > 0.02 and len(data.names) == 2


def test_items_depend_on_seed_split_and_index_only() -> None:
    few, more = fields(count=2), fields(count=4)
    assert all(torch.equal(few[name], more[name][:2]) for name in few)
    for other in (
        fields(count=2, seed=1),
        fields(count=2, split="val"),
        fields(count=2, split="test"),
    ):
        assert not torch.equal(few["points"], other["points"])
    train, val, test = (
        fields(count=6, split=split)["points"].flatten(1) for split in ("train", "val", "test")
    )
    assert (
        min(
            torch.cdist(train, val).min(),
            torch.cdist(train, test).min(),
            torch.cdist(val, test).min(),
        )
        > 0.05
    )


def test_global_chance_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = fields(domain="natural")
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(6)
    assert torch.equal(first["image"], fields(domain="natural")["image"])


@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
def test_points_fall_into_the_mask(projection: str) -> None:
    data = samples(
        "car",
        count=4,
        points=300,
        projection=projection,
        roll=5,
        shift=0.05,
        zoom=(0.7, 0.9),
        progress=False,
    )
    uv = data.camera([0, 1, 2, 3]).project(data.fields["points"])[..., :2]
    seen = torch.nn.functional.grid_sample(
        data.fields["mask"], uv[:, None], mode="nearest", align_corners=False
    )
    assert seen.mean() > 0.93
    assert torch.allclose(
        data.camera([0, 1, 2, 3]).project(data.fields["keypoints"])[..., :2],
        data.fields["keypoints_uv"],
        atol=1e-6,
    )


def test_azimuth_follows_the_convention() -> None:
    """From azimuth 90 (the left side) a horse's muzzle points to the left of the image; from -90 to
    the right.
    """
    for azimuth, sign in ((90, -1), (-90, 1)):
        data = samples(
            "horse", count=1, points=0, azimuth=(azimuth, azimuth), elevation=(0, 0), progress=False
        )
        at = dict(zip(data.labels["keypoints"], data.fields["keypoints_uv"][0, :, 0].tolist()))
        assert sign * at["muzzle"] > 0.2 > -0.2 > sign * at["tail tip"]
        assert data.fields["azimuth"].item() == azimuth


def test_far_side_is_hidden_and_near_side_visible() -> None:
    data = samples(
        "bird", count=6, points=0, azimuth=(90, 90), elevation=(0, 10), head_yaw=0.0, progress=False
    )
    names, visible = list(data.labels["keypoints"]), data.fields["keypoints_visible"]
    left, right = visible[:, names.index("left eye")], visible[:, names.index("right eye")]
    assert left.mean() > 0.8 and right.mean() == 0


def test_part_maps_sum_to_the_mask() -> None:
    f = fields("bird", 4, part_map=True)
    assert torch.equal(f["part_map"].sum(1, keepdim=True) >= 0.5, f["mask"] > 0)
    noisy = fields("bird", 4, part_map=True, part_noise=0.5)["part_map"]
    assert (noisy - f["part_map"]).abs().mean() > 0.003 and torch.allclose(
        noisy.sum(1).mean(), f["part_map"].sum(1).mean(), rtol=0.05
    )


def test_noise_swaps_the_share_that_is_asked_for() -> None:
    maps = torch.zeros(4, 64, 64)
    maps[0] = 1
    wrong = noisy_parts(maps, seeded(1), swapped=0.4, blur=0).argmax(0) != 0
    assert wrong.float().mean().item() == pytest.approx(0.3, abs=0.08)
    assert torch.equal(noisy_parts(maps, seeded(1), swapped=0, blur=0), maps)


def test_views_share_a_shape_and_categories_follow_their_shares() -> None:
    data = samples(
        ("chair", "mug"),
        count=30,
        views=2,
        shares=(5, 1),
        voxels=8,
        points=0,
        size=16,
        progress=False,
    )
    assert len(data) == 60 and torch.equal(data.fields["voxels"][0::2], data.fields["voxels"][1::2])
    assert not torch.equal(data.fields["image"][0], data.fields["image"][1])
    assert (
        data.fields["category"].float().mean() < 0.4
        and data.labels["category"] == ("chair", "mug")
        and "keypoints" not in data
    )


def test_domains_differ_in_look_camera_and_shape() -> None:
    plain, natural = (fields("chair", 16, domain=domain) for domain in ("synthetic", "natural"))
    border = [f["image"][..., 0, :].std() for f in (plain, natural)]
    assert border[0] < 1e-6 < 0.05 < border[1]
    hidden = (natural["occluder"] * natural["mask"]).sum((1, 2, 3)) / natural["mask"].sum((1, 2, 3))
    assert hidden.max() <= 0.2 and not torch.allclose(natural["camera_center"], torch.zeros(16, 2))
    assert Recipe(domain="natural").span() != Recipe().span()


def test_light_is_fixed_to_the_object() -> None:
    """The same chair from both sides is lit alike: its mirror image is the other view."""
    left, right = (fields("car", 1, azimuth=(a, a), elevation=(10, 10))["image"] for a in (60, -60))
    assert (left.flip(-1) - right).abs().mean() < 0.02


def test_background_and_bare_colours() -> None:
    f = fields("car", 1, background=1.0, light=0.0)
    assert torch.equal(f["image"][0, :, 0, 0], torch.ones(3))
    assert len(fields("car", 2, points=0).keys() & {"points", "normals", "voxels", "part_map"}) == 0


def test_cameras_stay_in_their_ranges() -> None:
    recipe = Recipe(elevation=(5, 10), azimuth=(30, 40))
    for i in range(20):
        camera, azimuth, elevation = draw_camera(recipe, seeded(i))
        assert (
            30 <= azimuth <= 40
            and 5 <= elevation <= 10
            and camera.position().norm().item() == pytest.approx(2, abs=1e-4)
        )


def test_fast_enough_for_four_hundred() -> None:
    start = time.process_time()
    fields("horse", 10, size=64, points=1024)
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    "wrong, match",
    [
        (dict(category="boat"), "category"),
        (dict(category=()), "category"),
        (dict(category=3), "category"),
        (dict(split="training"), "split"),
        (dict(count=0), "count"),
        (dict(count=2.5), "count"),
        (dict(seed=-1), "seed"),
        (dict(seed=float("nan")), "seed"),
        (dict(size=2), "size"),
        (dict(domain="real"), "domain"),
        (dict(paint="gold"), "paint"),
        (dict(azimuth="north"), "azimuth"),
        (dict(azimuth=(1,)), "azimuth"),
        (dict(elevation=(40, -20)), "elevation"),
        (dict(elevation=(0, float("inf"))), "elevation"),
        (dict(elevation=5), "elevation"),
        (dict(zoom=(0, 1)), "zoom"),
        (dict(points=-1), "points"),
        (dict(voxels=1000), "voxels"),
        (dict(gap=2), "gap"),
        (dict(views=0), "views"),
        (dict(wings=3), "wings"),
        (dict(projection="fisheye"), "projection"),
        (dict(category=("car", "mug"), shares=(1, 2, 3)), "shares"),
        (dict(category=("car", "mug"), shares=(0, 0)), "shares"),
        (dict(part_noise=-1), "part_noise"),
        (dict(distance=0), "distance"),
    ],
)
def test_refusals(wrong: dict, match: str) -> None:
    with pytest.raises(InputError, match=match):
        samples(progress=False, **({"category": "car", "count": 1} | wrong))
