"""Part maps drawn from reconstructions teach the segmenter, and a third round follows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import svr_nb as svr
from svr_nb.conventions import InputError
from svr_nb.umr.part_segmentation import fit_segmenter
from svr_nb.umr.refinement import drawn_parts, refine_parts, third_round


@pytest.fixture(scope="module")
def birds():
    return svr.data.samples(
        "bird", count=10, size=48, seed=3, part_map=True, projection="orthographic", points=0
    )


@pytest.fixture(scope="module")
def system(birds):
    config = replace(
        svr.UMR.Config.tiny(),
        image_size=32,
        level=1,
        chart=16,
        flow_widths=(16, 8),
        flow_start=16,
        feature=32,
        code=16,
        widths=(8, 16, 32, 32),
        first_steps=3,
        second_steps=3,
        batch=4,
    )
    trained = svr.UMR(config, seed=0)
    svr.fit(trained, birds, progress=False)
    return trained


def test_drawn_maps_lie_in_the_photographs(system, birds):
    maps, errors = drawn_parts(system, birds)
    assert (
        maps.shape == birds["part_map"].shape
        and errors.shape == (10,)
        and bool((errors >= 0).all())
    )
    assert float((maps * (1 - birds["mask"])).abs().max()) == 0 and float(maps.sum()) > 0


def test_the_segmenter_learns_and_the_old_one_stays(system, birds):
    segmenter = fit_segmenter(birds, 4, steps=3, seed=0, progress=False)
    before = {k: v.clone() for k, v in segmenter.state_dict().items()}
    refined, better = refine_parts(system, segmenter, birds, steps=3)
    assert all(torch.equal(v, segmenter.state_dict()[k]) for k, v in before.items())
    assert any(not torch.equal(v, better.state_dict()[k]) for k, v in before.items())
    assert refined["part_map"].shape == birds["part_map"].shape and not torch.equal(
        refined["part_map"], birds["part_map"]
    )


def test_a_third_round_goes_on_from_the_second(system, birds):
    again = svr.UMR(system.config, seed=1)
    again.load_state_dict(system.state_dict())
    third_round(again, birds, progress=False)
    assert int(again.active) == int(system.active)
    assert any(not torch.equal(v, system.state_dict()[k]) for k, v in again.state_dict().items())


def test_untrained_systems_are_refused(birds):
    with pytest.raises(InputError):
        drawn_parts(svr.UMR(replace(svr.UMR.Config.tiny(), level=1)), birds)
