"""One photograph in, one shape out."""

from __future__ import annotations

import pytest
import torch

import svr_nb as svr
from svr_nb.app.one_photo import fitting_options
from svr_nb.conventions import SvrError, seeded


@pytest.fixture(scope="module")
def item():
    return svr.data.samples("horse", split="test", count=1, size=96, seed=7)[0]


@pytest.mark.parametrize("category", ["car", "chair", "aeroplane", "horse"])
def test_every_shipped_category_works(category):
    one = svr.data.samples(category, split="test", count=1, size=80, seed=2)[0]
    result = svr.reconstruct(one["image"], one["mask"], category=category, steps=0)
    cloud = result.points
    assert (
        torch.isfinite(cloud.points).all()
        and cloud.colors.min() >= 0
        and cloud.colors.max() <= 1
        and cloud.points.abs().max() < 1
    )


def test_fitting_improves_the_silhouette(item):
    overlap = lambda r: float(
        svr.metrics.mask_iou(r.silhouette(r.mask.shape[-1])[None], r.mask[None], threshold=0.5)
    )
    before, after = (
        svr.reconstruct(item["image"], item["mask"], category="horse", steps=n) for n in (0, 40)
    )
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
    """Fitting covers photographs of real horses better than the first prediction; the full figure
    is measured by the evidence command.
    """
    folder = shared_data / "weizmann_horse"
    names = sorted(path.stem for path in (folder / "rgb").glob("*.jpg"))[-4:]
    covered = {0: 0.0, 60: 0.0}
    for name in names:
        for steps in covered:
            result = svr.reconstruct(
                folder / "rgb" / f"{name}.jpg",
                folder / "figure_ground" / f"{name}.png",
                category="horse",
                steps=steps,
            )
            size = result.mask.shape[-1]
            covered[steps] += float(
                svr.metrics.mask_iou(
                    result.silhouette(size)[None], result.mask[None], threshold=0.5
                )
            ) / len(names)
    assert covered[60] > 0.6 and covered[60] > covered[0] + 0.1


def test_fitting_is_the_default_and_is_said(item):
    fitted = svr.reconstruct(item["image"], item["mask"], category="Horses")
    first = svr.reconstruct(item["image"], item["mask"], category="horse", steps=0)
    assert fitted.notes[0].startswith("fitted to the photograph in 60 steps: silhouette IoU")
    assert fitted.notes[0] in repr(fitted) and fitted.fit.iou[1] > fitted.fit.iou[0]
    assert first.notes[0] == "as predicted" and first.limits in first.notes
    assert fitted.notes.count(fitted.limits) == 1 and fitted.fit.before.photograph is not None
    assert torch.equal(fitted.fit.before.points.points, first.points.points)
    assert not torch.equal(fitted.points.points, first.points.points)


def test_a_mesh_is_fitted_as_well(item):
    given = (item["image"], item["mask"])
    result = svr.reconstruct(*given, system="umr", category="horse", steps=0)
    fitted = svr.reconstruct(*given, system="umr", category="horse", steps=5)
    assert result.system == "UMR" and result.fit is None and fitted.fit.steps == 5
    assert fitted.fit.iou[1] > fitted.fit.iou[0]


def test_a_system_that_cannot_be_fitted_is_not():
    class Stiff:
        def reconstruct(self, image, mask=None): ...

    assert fitting_options(Stiff(), {}) == {} == fitting_options(Stiff(), {"steps": 0})
    with pytest.raises(SvrError, match="not fitted"):
        fitting_options(Stiff(), {"steps": 5})


def test_options_that_nobody_has_are_refused(item):
    with pytest.raises(SvrError, match="colour"):
        svr.reconstruct(item["image"], item["mask"], category="horse", colour="red")


def test_the_photograph_is_kept_at_its_own_resolution(item):
    wide = torch.zeros(3, 150, 230)
    wide[:, 20:116, 30:126] = item["image"]
    mask = torch.zeros(1, 150, 230)
    mask[:, 20:116, 30:126] = item["mask"]
    result = svr.reconstruct(wide, mask, category="horse", steps=0)
    assert torch.equal(result.photograph, wide) and result.image.shape[-1] < 150


def test_a_silhouette_that_disagrees_is_a_warning():
    line = torch.zeros(1, 128, 128)
    line[:, 60:62, 10:118] = 1
    with pytest.warns(UserWarning, match=r"overlaps the mask by 0\.\d\d only"):
        result = svr.reconstruct(torch.rand(3, 128, 128), line, category="car", steps=0)
    assert "look at the mask" in result.notes[-1]


@pytest.mark.parametrize("word", ["airplane", "Aeroplane", "plane", "AIRPLANES", "02691156"])
def test_categories_are_understood_as_people_write_them(word):
    assert svr.load("SSL-3D", word).category == "aeroplane"
    assert svr.data.samples(word, count=1, size=8).category == "aeroplane"


@pytest.mark.parametrize("wrong", ["https://example.org/a.png", "http://a/b", "file:///a.png"])
def test_addresses_are_refused_as_what_they_are(wrong):
    with pytest.raises(SvrError, match="Download it first"):
        svr.reconstruct(wrong)


def test_an_inverted_mask_may_be_given(item):
    right = svr.reconstruct(item["image"], item["mask"], category="horse", steps=0)
    turned = svr.reconstruct(
        item["image"], 1 - item["mask"], category="horse", steps=0, invert=True
    )
    assert torch.equal(right.points.points, turned.points.points)
