"""Chairs, tables and mugs: what a carpenter and a coffee drinker would check."""

from __future__ import annotations

import pytest
import torch

from svr_nb.conventions import seeded
from svr_nb.data.sample_furniture import build_chair, build_mug, build_table
from svr_nb.data.sample_parts import Draw
from svr_nb.data.sample_shapes import sample_shape


def parts_by_name(builder: object, seed: int, **fixed: object) -> dict[str, list]:
    """The parts a builder makes, by name."""
    found: dict[str, list] = {}
    for part in builder(Draw(seeded(seed), fixed=fixed))[0]:  # type: ignore[operator]
        found.setdefault(part.name, []).append(part)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_chairs_stand_and_can_be_sat_on(seed: int) -> None:
    parts = parts_by_name(build_chair, seed)
    seat, legs = (
        parts["seat"][0].verts,
        [
            part.verts
            for name in ("front leg", "rear leg", "pedestal")
            for part in parts.get(name, [])
        ],
    )
    assert 0.3 < seat[:, 1].max() < 0.6 and 0.35 < seat[:, 0].max() - seat[:, 0].min() < 0.7
    assert min(leg[:, 1].min() for leg in legs) == pytest.approx(0, abs=0.02)
    assert max(part.verts[:, 1].max() for part in parts["back"]) > seat[:, 1].max() + 0.25
    assert min(part.verts[:, 2].mean() for part in parts["back"]) > seat[:, 2].mean()


@pytest.mark.parametrize("arms", ["none", "open", "solid"])
@pytest.mark.parametrize("style", ["solid", "slats", "ladder"])
def test_chair_styles_are_what_they_say(arms: str, style: str) -> None:
    parts = parts_by_name(build_chair, 1, arms=arms, back_style=style)
    assert ("arm" in parts) == (arms != "none") and (len(parts["back"]) == 1) == (style == "solid")


@pytest.mark.parametrize("base", ["legs", "panels", "pedestal"])
def test_table_tops_rest_on_something(base: str) -> None:
    parts = parts_by_name(build_table, 2, base=base, round_top=False)
    top = parts.pop("top")[0].verts
    below = [part.verts for group in parts.values() for part in group]
    assert max(v[:, 1].max() for v in below) == pytest.approx(top[:, 1].min(), abs=1e-6)
    assert min(v[:, 1].min() for v in below) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_mugs_hold_coffee_and_handles_stay_out_of_it(seed: int) -> None:
    mug = sample_shape("mug", seeded(seed), handle=("round", "square")[seed % 2])
    spot = dict(zip(mug.keypoint_names, mug.keypoints))
    center = (spot["front rim"] + spot["rear rim"]) / 2
    line = spot["bottom"] + (center - spot["bottom"]) * torch.linspace(0.2, 0.95, 20)[:, None]
    line[:, 2] = center[2]
    assert (mug.sdf(line) > 0).all()
    cup, ear = mug.parts[0], mug.parts[1:]
    inside = torch.cat([torch.tensor(part.verts, dtype=torch.float32) for part in ear])
    radius = (spot["rear rim"] - center).norm()
    reach = (inside[:, [0, 2]] - center[[0, 2]]).norm(dim=-1)
    assert reach.min() > 0.55 * radius and cup.sdf(inside).min() < 0.0


def test_builders_return_keypoints_of_one_kind() -> None:
    for builder in (build_chair, build_table, build_mug):
        names = {tuple(builder(Draw(seeded(i)))[1]) for i in range(8)}
        assert len(names) == 1
