"""Birds and horses: poses move what they should, and side views look like real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from svr_nb.conventions import seeded
from svr_nb.data.sample_animals import build_bird, build_horse
from svr_nb.data.sample_items import samples
from svr_nb.data.sample_parts import Draw
from svr_nb.data.sample_shapes import sample_shape


def keypoints(builder: object, seed: int = 2, **fixed: object) -> dict[str, np.ndarray]:
    """The keypoints a builder returns."""
    return {
        name: np.array(place) for name, place in builder(Draw(seeded(seed), fixed=fixed))[1].items()
    }  # type: ignore[operator]


def test_wings_open() -> None:
    spans = [
        np.linalg.norm(k["left wing tip"] - k["right wing tip"])
        for k in (keypoints(build_bird, wing_open=w) for w in (0.0, 0.5, 1.0))
    ]
    assert spans[0] < spans[1] < spans[2]


def test_the_head_turns_and_the_rest_stays() -> None:
    straight, turned = (keypoints(build_bird, head_yaw=yaw) for yaw in (0.0, 25.0))
    moved = {name for name in straight if not np.allclose(straight[name], turned[name])}
    assert {"beak", "left eye", "right eye"} <= moved and not moved & {
        "tail tip",
        "left wing tip",
        "belly",
    }
    assert turned["beak"][0] < straight["beak"][0] - 0.02


def test_the_tail_lifts() -> None:
    low, high = (keypoints(build_bird, tail_lift=lift)["tail tip"] for lift in (-12.0, 22.0))
    assert high[1] > low[1]


def test_a_trot_is_its_own_mirror_image_half_a_step_later() -> None:
    now, later = (
        keypoints(build_horse, phase=phase, stride=20.0, head_yaw=0.0) for phase in (0.15, 0.65)
    )
    for end in ("front", "rear"):
        assert np.allclose(
            now[f"left {end} hoof"] * [-1, 1, 1], later[f"right {end} hoof"], atol=1e-9
        )


@pytest.mark.parametrize("seed", range(6))
def test_horses_stand_on_their_legs_and_look_forward(seed: int) -> None:
    k = keypoints(build_horse, seed, stride=0.0)
    hooves = np.stack([place for name, place in k.items() if "hoof" in name])
    assert np.ptp(hooves[:, 1]) < 0.05 and hooves[:, 1].max() < 0.1 and k["withers"][1] > 0.8
    assert k["muzzle"][2] < hooves[:, 2].min() and k["tail tip"][2] > hooves[:, 2].max() - 0.1
    assert k["left ear"][1] > k["muzzle"][1]


def test_heads_and_wings_have_their_labels() -> None:
    bird = sample_shape("bird", seeded(1))
    tips = [part for part in bird.parts if part.name == "beak"]
    assert tips[0].group == "head" and set(bird.mesh.face_labels.unique().tolist()) == {0, 1, 2, 3}


def normal_mask(mask: np.ndarray, size: int = 48) -> torch.Tensor:
    """A mask cut to its box and scaled to a square, so that only its outline counts."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    cut = torch.tensor(
        mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], dtype=torch.float32
    )[None, None]
    return torch.nn.functional.interpolate(cut, size=(size, size), mode="area")[0, 0] > 0.5


def test_side_views_resemble_photographs_of_horses(shared_data: Path) -> None:
    """The silhouettes of real horses overlap more with those of our horses than with those of our
    other categories.
    """
    from PIL import Image

    files = sorted((shared_data / "weizmann_horse" / "figure_ground").glob("*.png"))[:40]
    if not files:
        pytest.skip("no horse silhouettes here")
    real = torch.stack(
        [normal_mask(np.asarray(Image.open(file).convert("L")) > 127) for file in files]
    )
    best = {}
    for category in ("horse", "chair", "bird", "car"):
        found = samples(
            category, count=12, points=0, azimuth=(80, 100), elevation=(0, 5), progress=False
        )
        ours = torch.stack([normal_mask(mask[0].numpy() > 0) for mask in found.fields["mask"]])
        inter = (real[:, None] & ours).flatten(2).sum(-1)
        best[category] = (inter / (real[:, None] | ours).flatten(2).sum(-1)).amax(1).mean().item()
    assert (
        best["horse"] > 0.55 and best["horse"] > max(best["chair"], best["bird"], best["car"]) + 0.1
    )
