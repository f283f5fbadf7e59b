"""One photograph in, one shape out."""
from __future__ import annotations

import pytest
import torch

import svr_nb as svr
from svr_nb.conventions import SvrError, seeded


@pytest.fixture(scope="module")
def item():
    return svr.data.samples("horse", split="test", count=1, size=96, seed=7)[0]


@pytest.mark.parametrize("category", ["car", "chair", "aeroplane", "horse"])
def test_every_shipped_category_works(category):
    one = svr.data.samples(category, split="test", count=1, size=80, seed=2)[0]
    result = svr.reconstruct(one["image"], one["mask"], category=category, steps=0)
    cloud = result.points
    assert torch.isfinite(cloud.points).all() and cloud.colors.min() >= 0 and cloud.colors.max() <= 1 and cloud.points.abs().max() < 1


def test_fitting_improves_the_silhouette(item):
    overlap = lambda r: float(svr.metrics.mask_iou(r.silhouette(r.mask.shape[-1])[None], r.mask[None]))
    before, after = (svr.reconstruct(item["image"], item["mask"], category="horse", steps=n) for n in (0, 40))
    assert overlap(after) > overlap(before)


def test_plain_background_needs_no_mask(item):
    picture = item["image"] * item["mask"] + 0.9 * (1 - item["mask"])
    result = svr.reconstruct(picture, category="horse", steps=0)
    assert torch.isfinite(result.points.points).all()


def test_busy_background_says_what_is_needed():
    with pytest.raises(SvrError, match="mask"):
        svr.reconstruct(torch.rand(3, 64, 64, generator=seeded(1)), category="horse")


def test_unknown_category_lists_what_there_is(item):
    with pytest.raises(SvrError, match="ssl3d-horse"):
        svr.reconstruct(item["image"], item["mask"], category="teapot")


def test_real_horses_are_covered(shared_data):
    """A few unseen photographs; the full figure is measured by the evidence command."""
    names = [f"horse{n:03d}" for n in (226, 227, 228)]
    folder = shared_data / "weizmann_horse"
    values = []
    for name in names:
        if not (folder / "rgb" / f"{name}.jpg").exists():
            continue
        result = svr.reconstruct(folder / "rgb" / f"{name}.jpg", folder / "figure_ground" / f"{name}.png", category="horse", steps=60)
        values.append(float(svr.metrics.mask_iou(result.silhouette(result.mask.shape[-1])[None], result.mask[None])))
    assert values and sum(values) / len(values) > 0.6
