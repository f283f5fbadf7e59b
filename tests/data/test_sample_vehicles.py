"""Cars and aeroplanes: symmetric, on four wheels, longer than wide."""

from __future__ import annotations

import numpy as np
import pytest

from svr_nb.conventions import seeded
from svr_nb.data.sample_parts import Draw
from svr_nb.data.sample_vehicles import build_aeroplane, build_car


@pytest.mark.parametrize("seed", range(8))
def test_cars_have_four_wheels_and_a_roof_within_the_body(seed: int) -> None:
    parts, points = build_car(Draw(seeded(seed)))
    verts = {
        name: np.concatenate([part.verts for part in parts if part.name == name])
        for name in {part.name for part in parts}
    }
    assert (
        sum(part.name == "wheel" for part in parts) == 4 and abs(verts["wheel"][:, 1].min()) < 0.02
    )
    assert (
        verts["body"][:, 2].min() < verts["cabin"][:, 2].min()
        and verts["cabin"][:, 2].max() < verts["body"][:, 2].max()
    )
    size = np.ptp(np.concatenate(list(verts.values())), axis=0)
    assert size[2] > 1.6 * size[0] and 1.1 < size[1] < 1.8
    assert verts["headlight"][:, 2].max() < verts["rear light"][:, 2].min()
    assert (
        points["left front wheel"][2] < points["left rear wheel"][2]
        and points["left front wheel"][0] < 0
    )


@pytest.mark.parametrize("engines", ["two", "four", "rear", "propeller"])
def test_aeroplanes_are_symmetric_and_have_the_engines_asked_for(engines: str) -> None:
    parts, points = build_aeroplane(Draw(seeded(3), fixed={"engines": engines}))
    count = {
        name: sum(part.name == name for part in parts)
        for name in ("engine", "propeller", "wing", "fin", "tailplane")
    }
    assert count["engine"] == {"two": 2, "four": 4, "rear": 2, "propeller": 0}[engines] and (
        count["propeller"] > 0
    ) == (engines == "propeller")
    assert count["wing"] == 2 and count["fin"] == 1 and count["tailplane"] == 2
    assert np.allclose(np.array(points["left wing tip"]) * [-1, 1, 1], points["right wing tip"])


def test_sweep_moves_the_tips_back() -> None:
    tips = [
        build_aeroplane(Draw(seeded(1), fixed={"sweep": sweep}))[1]["left wing tip"][2]
        for sweep in (0.0, 0.1, 0.2)
    ]
    assert tips[0] < tips[1] < tips[2]
