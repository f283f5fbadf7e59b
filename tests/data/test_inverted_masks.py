"""Which side of an outline is the object: inverted masks are turned or doubted, right ones left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from svr_nb.data.cut_out import Doubt
from svr_nb.data.framing import as_pictures
from svr_nb.data.inverted_masks import frame_signs, looks_inverted, right_way_round
from svr_nb.data.mask_dialects import read_mask
from svr_nb.data.photo_folder import photo


def drawn(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    picture = Image.new("L", (96, 72))
    for box in boxes:
        ImageDraw.Draw(picture).ellipse(box, fill=255)
    return np.asarray(picture) > 0


RIGHT = {
    "animal": drawn((20, 22, 70, 50), (62, 12, 84, 32)),
    "fills the picture": drawn((0, 0, 95, 71)),
    "touches three sides": drawn((-20, 20, 116, 130)),
    "touches all sides": drawn((-14, -9, 109, 80)),
    "small": drawn((40, 30, 48, 38)),
    "small in a corner": drawn((0, 0, 12, 12)),
    "ring": drawn((20, 8, 78, 66)) & ~drawn((36, 24, 62, 50)),
    "ring that fills the picture": drawn((0, 0, 95, 71)) & ~drawn((20, 18, 75, 54)),
    "bust": drawn((8, 30, 88, 140), (32, 6, 64, 46)),
    "two pieces": drawn((5, 20, 40, 60), (55, 20, 90, 60)),
}


def tensor(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(mask)[None]


@pytest.mark.parametrize("shape", RIGHT)
def test_right_masks_are_left_alone(shape: str):
    found, notes = right_way_round(tensor(RIGHT[shape]))
    assert not notes and torch.equal(found, tensor(RIGHT[shape]))


@pytest.mark.parametrize("shape", RIGHT)
def test_inverted_masks_are_turned_or_doubted(shape: str):
    found, notes = right_way_round(tensor(~RIGHT[shape]))
    assert isinstance(notes[0], Doubt) and "inverted" in notes[0]
    if shape in ("animal", "small", "bust"):
        assert torch.equal(found, tensor(RIGHT[shape])) == (shape != "bust")


def test_the_caller_has_the_last_word():
    mask = tensor(RIGHT["animal"])
    found, notes = right_way_round(~mask, invert=False)
    assert torch.equal(found, ~mask) and "invert=True" in notes[0] and isinstance(notes[0], Doubt)
    found, notes = right_way_round(~mask, invert=True)
    assert torch.equal(found, mask) and not any(isinstance(note, Doubt) for note in notes)
    found, _ = right_way_round(mask, invert=True)
    assert torch.equal(found, ~mask)


def test_walls_with_windows_and_specks_are_not_turned():
    for hole in (drawn((40, 30, 42, 32)), drawn((5, 5, 30, 30), (40, 5, 65, 30), (20, 40, 45, 65))):
        found, notes = right_way_round(tensor(~hole))
        assert torch.equal(found, tensor(~hole)) and isinstance(notes[0], Doubt)


def test_signs_of_the_frame():
    assert frame_signs(np.ones((9, 12), dtype=bool)) == (1.0, 4, 1.0)
    assert frame_signs(np.zeros((1, 1), dtype=bool)) == (0.0, 0, 0.0)


def test_warnings_reach_the_caller():
    image, mask = np.full((72, 96, 3), 0.6), RIGHT["animal"]
    with pytest.warns(UserWarning, match="inverted") as heard:
        picture, silhouette = photo(image, ~mask)
    assert heard[0].filename == __file__
    assert torch.equal(silhouette, photo(image, mask)[1])
    square = torch.from_numpy(mask[:, :72].copy())[None].float()
    with pytest.warns(UserWarning, match="1 of 1 cover") as heard:
        as_pictures(torch.rand(3, 72, 72), 1 - square, 32)
    assert heard[0].filename == __file__


def test_no_real_mask_is_suspected(shared_data: Path):
    folders = [shared_data / "weizmann_horse/figure_ground"]
    folders += sorted((shared_data / "voc10_silhouettes").glob("*/masks"))
    count = 0
    for path in [path for folder in folders for path in sorted(folder.iterdir())[::4]]:
        mask = read_mask(path)[0]
        assert not looks_inverted(mask[0].numpy())
        count += looks_inverted(~mask[0].numpy())
    assert count >= 100
