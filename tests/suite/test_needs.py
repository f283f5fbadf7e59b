"""What each of the five systems says when something is missing that it learns from."""

from __future__ import annotations

import warnings

import pytest
import torch

import svr_nb as svr
from svr_nb.conventions import SvrError

from .systems import SYSTEMS, Entry, few_drawings

Collection = svr.data.Collection
each = pytest.mark.parametrize("entry", SYSTEMS, ids=lambda e: e.name)
BY_NAME = {entry.name: entry for entry in SYSTEMS}


def without(data: Collection, *names: str) -> Collection:
    kept = {key: value for key, value in data.fields.items() if key not in names}
    return Collection(kept)


def first_step(entry: Entry, data: object) -> list[str]:
    """Trains for one step; what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stop = lambda step, losses: True
        svr.fit(entry.make(0), data, progress=False, on_step=stop)
    own = [str(w.message) for w in caught if "stay zero" in str(w.message)]
    return own


@each
def test_a_whole_collection_is_met_with_silence(entry):
    assert first_step(entry, entry.data()) == []


@each
def test_images_alone_are_refused(entry):
    data = without(entry.data(), *(set(entry.data().fields) - {"image"}))
    if entry.name == "lem":
        wanted = "voxels"
    else:
        wanted = "silhouettes"
    with pytest.raises(SvrError, match=f"{wanted}.*cannot do without"):
        first_step(entry, data)
    with pytest.raises(SvrError, match=f"{wanted}.*cannot do without"):
        svr.evaluate(entry.make(0), data)


@pytest.mark.parametrize("name", ["umr", "agt"])
def test_without_part_maps_the_part_losses_are_named(name):
    (said,) = first_step(BY_NAME[name], without(BY_NAME[name].data(), "part_map"))
    assert "part maps" in said and "sp, sv" in said and "photos_with_parts" in said


def test_without_photographs_lem_says_which_losses_are_zero():
    (said,) = first_step(BY_NAME["lem"], without(few_drawings(), "natural_image"))
    assert "adversary domain, csm" in said and "two_domains" in said


def test_one_image_has_no_neighbours():
    (said,) = first_step(BY_NAME["ssl3d"], BY_NAME["ssl3d"].data().subset([0]))
    assert "neighbors" in said


def test_tars_needs_cameras():
    cameras = [name for name in BY_NAME["tars"].data().fields if name.startswith("camera_")]
    with pytest.raises(SvrError, match="cameras.*SSL3D and UMR learn"):
        first_step(BY_NAME["tars"], without(BY_NAME["tars"].data(), *cameras))


@pytest.mark.parametrize("name", ["ssl3d", "tars", "lem"])
def test_pictures_of_another_size_are_refused_before_the_first_step(name):
    with pytest.raises(SvrError, match=r"resized\(32\)"):
        first_step(BY_NAME[name], BY_NAME[name].data().resized(20))


@each
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_any_precision_trains_measures_and_reconstructs(entry, dtype):
    data = entry.data()
    fields = {n: v.to(dtype) if v.is_floating_point() else v for n, v in data.fields.items()}
    other = Collection(fields)
    assert first_step(entry, other) == []
    system = entry.make(0)
    assert svr.evaluate(system, other, limit=2).rows
    result = system.reconstruct(other["image"][0], other["mask"][0])
    assert torch.isfinite(result.points.points).all()


@each
@pytest.mark.parametrize("wrong", ["photos/", [1, 2], None, torch.zeros(2, 3, 32, 32), {}])
def test_what_is_no_collection_is_refused(entry, wrong):
    for call in (
        lambda: svr.fit(entry.make(0), wrong, progress=False),
        lambda: svr.evaluate(entry.make(0), wrong),
        lambda: entry.make(0).evaluate(wrong),
    ):
        with pytest.raises(SvrError):
            call()


@each
@pytest.mark.parametrize("wrong", [object(), 3.5, {"image": 1}, [], (x for x in ())])
def test_what_is_no_picture_is_refused(entry, wrong):
    with pytest.raises(SvrError):
        entry.make(0).reconstruct(wrong, torch.ones(1, 32, 32))
