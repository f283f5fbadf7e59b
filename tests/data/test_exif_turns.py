"""In which frame a mask was drawn: all orientations, both frames, with and without notes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image, ImageDraw

from svr_nb.conventions import InputError
from svr_nb.data.cut_out import Doubt
from svr_nb.data.exif_turns import edge_agreement, fit_mask, turn_of, turned
from svr_nb.data.photo_folder import prepare_photo
from svr_nb.scores.metrics import mask_iou

STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # how a camera stores each orientation


def stored(image: Image.Image, orientation: int) -> Image.Image:
    way = STORED[orientation]
    return image if way is None else image.transpose(way)


def drawn(size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    """An upright picture of something without symmetry, and its mask."""
    picture, mask = Image.new("RGB", size, "white"), Image.new("L", size)
    outline = ((10, 10), (55, 10), (55, 20), (25, 20), (25, 50), (10, 50))
    ImageDraw.Draw(picture).polygon(outline, fill=(200, 0, 0))
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    return picture, mask


def noted(image: Image.Image, orientation: int, path: Path) -> Path:
    note = Image.Exif()
    note[0x0112] = orientation
    image.save(path, exif=note, quality=95)
    return path


@pytest.mark.parametrize("size", [(90, 60), (70, 70), (60, 90)])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_masks_of_either_frame(orientation: int, size: tuple[int, int], tmp_path: Path):
    picture, mask = drawn(size)
    right = prepare_photo(picture, mask, 64).mask
    path = noted(stored(picture, orientation), orientation, tmp_path / "p.jpg")
    lying = stored(mask, orientation)
    for given_mask in (mask, lying, noted(lying, orientation, tmp_path / "m.png")):
        for image in (path, Image.open(path), path.read_bytes()):
            made = prepare_photo(image, given_mask, 64)
            assert float(mask_iou(made.mask[None], right[None], threshold=0.5)) > 0.93
            assert not made.doubts
            as_stored = given_mask is lying and orientation != 1
            assert ("mask turned like the photograph" in made.notes) == as_stored


def test_a_note_that_was_merely_copied(tmp_path: Path):
    """The mask was drawn upright; the program copied the photograph's note to it."""
    picture, mask = drawn((90, 60))
    right = prepare_photo(picture, mask, 64).mask
    path = noted(stored(picture, 3), 3, tmp_path / "p.jpg")
    made = prepare_photo(path, noted(mask, 3, tmp_path / "m.png"), 64)
    assert float(mask_iou(made.mask[None], right[None], threshold=0.5)) > 0.93
    assert any("EXIF" in note for note in made.notes)


def test_a_photograph_without_its_note(tmp_path: Path):
    """The photograph lost its note, the mask kept it: the edges tell that both lie as stored."""
    picture, mask = drawn((90, 60))
    right = prepare_photo(picture, mask, 64).mask
    for orientation in (3, 6):
        made = prepare_photo(picture, noted(mask, orientation, tmp_path / "m.png"), 64)
        assert float(mask_iou(made.mask[None], right[None], threshold=0.5)) > 0.93
        assert any("EXIF" in note for note in made.notes)


def test_what_the_edges_cannot_tell_is_said():
    mask = torch.zeros(1, 60, 90, dtype=torch.bool)
    mask[:, 5:30, 8:40] = True
    with pytest.warns(UserWarning, match="EXIF orientation 3: the edges hardly tell"):
        flat = Image.new("RGB", (90, 60), "grey")
        flat.getexif()[0x0112] = 3
        prepare_photo(flat, mask)
    symmetric = mask | mask.flip(1, 2) | mask.flip(1) | mask.flip(2)
    assert fit_mask(symmetric, torch.full((3, 60, 90), 0.5), 3)[1] == []


def test_masks_of_another_shape():
    image = torch.zeros(3, 60, 80)
    for shape, advice in (((60, 90), "Cut"), ((80, 60), "Turn"), ((600, 80), "Cut")):
        wanted = rf"shape of its picture \(80 x 60\), got {shape[1]} x {shape[0]}. {advice}"
        with pytest.raises(InputError, match=wanted):
            fit_mask(torch.ones(1, *shape) > 0, image)


@given(some.integers(10, 200), some.integers(10, 200), some.floats(0.2, 3))
def test_masks_of_another_size(h: int, w: int, factor: float):
    small = torch.zeros(1, max(2, round(h * factor)), max(2, round(w * factor)), dtype=torch.bool)
    small[:, : small.shape[1] // 2 + 1] = True
    mask, notes = fit_mask(small, torch.zeros(3, h, w))
    assert mask.shape == (1, h, w) and bool(notes) == (small.shape != mask.shape)
    assert 0.3 < float(mask.float().mean()) <= 1


@pytest.mark.parametrize("turn", range(1, 9))
def test_turns_are_those_of_the_camera(turn: int):
    flat = drawn((90, 60))[1]
    truth = torch.from_numpy(np.array(flat) > 0)[None]
    kept = torch.from_numpy(np.array(stored(flat, turn)) > 0)[None]
    assert torch.equal(turned(kept, turn), truth)


def test_notes_of_anything(tmp_path: Path):
    picture = drawn((20, 20))[0]
    path = noted(picture, 6, tmp_path / "a.jpg")
    assert turn_of(path) == turn_of(path.read_bytes()) == turn_of(Image.open(path)) == 6
    assert turn_of(np.zeros((3, 3))) == turn_of(torch.zeros(3)) == turn_of(tmp_path / "b") == 1


def test_real_photographs_tell(shared_data: Path):
    """Real masks, given in the stored frame of a photograph turned by 180 degrees, or mirrored."""
    folder = shared_data / "weizmann_horse"
    silent, turned_right, count = 0, 0, 0
    for path in sorted((folder / "rgb").iterdir())[::12]:
        mask = Image.open(folder / "figure_ground" / f"{path.stem}.png").convert("L")
        upright = torch.from_numpy(np.array(Image.open(path).convert("RGB")) / np.float32(255))
        truth = torch.from_numpy(np.array(mask) > 127)[None]
        for turn in (2, 3, 4):
            for given_mask in (truth, turned(truth, turn)):
                found, notes = fit_mask(given_mask, upright.permute(2, 0, 1), turn)
                good = torch.equal(found, truth)
                count, turned_right = count + 1, turned_right + good
                silent += not good and not any(isinstance(note, Doubt) for note in notes)
    print(f"{turned_right} of {count} right, {silent} wrong in silence")
    assert silent == 0 and turned_right >= 0.97 * count


def test_an_inverted_mask_has_the_same_edges():
    picture, mask = drawn((90, 60))
    image = torch.from_numpy(np.array(picture) / np.float32(255)).permute(2, 0, 1)
    inside = torch.from_numpy(np.array(mask) > 0)[None]
    assert edge_agreement(image, inside) == pytest.approx(edge_agreement(image, ~inside), abs=0.3)
