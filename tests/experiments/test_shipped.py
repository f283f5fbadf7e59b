"""What one wants of the networks that ship."""

from __future__ import annotations

import math

import pytest

from svr_nb.conventions import InputError
from svr_nb.experiments.shipped import Aim, aims_of, scores_of
from svr_nb.training.system import shipped


def test_an_aim_has_two_sides():
    levels = {"best single cloud": 6.0}
    above, below = Aim("pose", 0.9), Aim("distance", "best single cloud", least=False)
    assert above.met(0.9, levels) and above.met(27 / 30, levels) and not above.met(0.89, levels)
    assert below.met(5.9, levels) and not below.met(6.0, levels)
    assert "best single cloud" in below.said(levels) and below.said(levels).startswith("< 6")
    assert not above.met(math.nan, levels) and not below.met(math.nan, levels)


def test_every_network_that_ships_has_aims():
    assert all(aims_of(name) for name in shipped())


def test_rows_come_with_spread_and_verdict():
    (pose, cloud) = scores_of("ssl3d-car", count=3)
    assert pose["score"] == "pose within 30" and 0 <= pose["value"] <= 1
    assert cloud["met"] in ("yes", "no") and cloud["s.e."] >= 0


@pytest.mark.parametrize("wrong", ["umr-boat", 3])
def test_other_names_are_refused(wrong):
    with pytest.raises(InputError, match="umr-bird"):
        scores_of(wrong)
