"""The moving picture of the README: its frames, its file, and what it refuses."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from svr_nb.cameras.projections import orbit
from svr_nb.conventions import InputError
from svr_nb.experiments.horse_in_motion import GALLOP, clay, horse_in_motion, moving_frames
from svr_nb.experiments.horse_in_motion import webp_bytes
from svr_nb.result.reconstruction import Reconstruction
from svr_nb.shapes.mesh import ellipsoid

LONG = Reconstruction(mesh=ellipsoid((0.1, 0.15, 0.4)), camera=orbit(90, 0))
STORED = Path(__file__).resolve().parents[2] / "data_samples" / "horse_in_motion.webp"


def width(picture: torch.Tensor) -> int:
    """Columns that show something darker than the frame around it."""
    return int((picture.amin((0, 1)) < 0.8).sum())


def test_the_camera_goes_around_once():
    frames = moving_frames({"umr": [LONG] * 4}, rounds=1, size=64, frames=(1, 2, 3, 4))
    shapes = [frame[:, :, -64:] for frame in frames]  # from the side, the front, ...
    assert len(frames) == 4 and width(shapes[0]) > 1.5 * width(shapes[1])
    assert abs(width(shapes[0]) - width(shapes[2])) <= 2
    again = Image.open(io.BytesIO(webp_bytes(frames)))
    assert again.n_frames == 4 and again.size == (frames[0].shape[2], frames[0].shape[1])


def test_points_and_surfaces_are_grey():
    for item in (LONG, Reconstruction(points=LONG.points.points, camera=LONG.camera)):
        picture = clay(item, 90, 0, 48)
        assert float((picture.amax(0) - picture.amin(0)).max()) < 0.02


def test_wrong_numbers_and_names_are_refused():
    for wrong, word in (
        (lambda: moving_frames({"umr": [LONG]}), "horses"),
        (lambda: moving_frames({}), "horses"),
        (lambda: horse_in_motion("gallop.gif"), "webp"),
    ):
        with pytest.raises(InputError, match=word):
            wrong()


def test_the_stored_picture_is_small_and_complete():
    picture = Image.open(STORED)
    assert STORED.stat().st_size < 1_500_000 and picture.n_frames == 3 * len(GALLOP)
