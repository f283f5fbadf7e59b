"""What a system needs is said before its first step: refusals, one warning, any precision."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from svr_nb.conventions import InputError
from svr_nb.data.collection import Collection
from svr_nb.training.needs import IMAGES, Need, check_needs, measurable, prepared, weighed
from svr_nb.training.stages import Stage

PARTS = Need("part maps", ("part_map",), "Make them first", losses=("sp", "sv"))
STAGE = Stage("round", 5, {"all": {"mask": 1.0, "sp": 0.5, "sv": lambda progress: 0.1}})


class Wishful:
    """A system that says what it needs."""

    needs = (replace(IMAGES, side=""), PARTS)


def pictures(dtype: torch.dtype = torch.float32) -> Collection:
    return Collection({"image": torch.rand(4, 3, 8, 8).to(dtype), "index": torch.arange(4)})


def test_what_is_missing_is_one_warning_with_the_losses_and_the_way():
    with pytest.warns(UserWarning) as said:
        check_needs(Wishful(), pictures(), [STAGE], stacklevel=2)
    (only,) = said
    text = str(only.message)
    assert all(word in text for word in ("part maps", "sp, sv", "Make them first"))
    assert only.filename == __file__


def test_losses_without_weight_need_nothing():
    quiet = Stage("round", 5, {"all": {"mask": 1.0, "sp": 0.0}})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_needs(Wishful(), pictures(), [quiet])
    assert weighed([quiet, STAGE]) == {"mask", "sp", "sv"}


def test_what_nothing_replaces_is_refused():
    with pytest.raises(InputError, match="images"):
        check_needs(Wishful(), Collection({"points": torch.rand(4, 9, 3)}), [STAGE])


def test_masks_are_as_large_as_their_images():
    fields = {"image": torch.rand(2, 3, 8, 8), "mask": torch.ones(2, 1, 4, 4)}
    with pytest.raises(InputError, match="8 x 8"):
        check_needs(Wishful(), Collection(fields), [STAGE])
    with pytest.raises(InputError, match="8 x 8"):
        measurable(Wishful(), Collection(fields))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_any_precision_becomes_single(dtype):
    ready = prepared(pictures(dtype))
    assert ready["image"].dtype == torch.float32 and ready["index"].dtype == torch.int64
    assert prepared(ready) is ready


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("photos/", "svr.data.photos"),
        ([1, 2], "Collection"),
        ((), "Collection"),
        (None, "svr.data.samples"),
        (np.zeros((2, 3, 8, 8)), "Collection"),
        (torch.zeros(2, 3, 8, 8), "Collection"),
        ((x for x in ()), "Collection"),
        ({}, "Collection"),
        ({"synthetic": [1]}, "synthetic"),
        (torch.utils.data.DataLoader([1, 2]), "collection itself"),
        (Collection, "Collection"),
    ],
)
def test_what_is_nearly_a_collection_is_answered_with_what_to_do(wrong, hint):
    with pytest.raises(InputError, match="collection") as said:
        prepared(wrong)
    assert hint in str(said.value)
