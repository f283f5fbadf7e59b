"""Photographs that ship: each with a mask that fits, an author, a licence, and a place in the wheel."""

from __future__ import annotations

import ast
from dataclasses import FrozenInstanceError
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import label

import svr_nb
from svr_nb.conventions import InputError
from svr_nb.data import SamplePhoto, sample_photo, sample_photo_names

FOLDER = Path(svr_nb.__file__).parent / "sample_photos"
ROOT = FOLDER.parents[1]
ALL = [(name, k) for name, count in sample_photo_names().items() for k in range(1, count + 1)]


def test_what_there_is():
    assert sample_photo_names() == {"horse": 11, "aeroplane": 1}


@pytest.mark.parametrize(("name", "frame"), ALL)
def test_photograph_and_mask_fit(name: str, frame: int):
    photo = sample_photo(name, frame)
    assert isinstance(photo, SamplePhoto) and photo.category == name
    assert photo.image.shape[0] == 3 and photo.mask.shape == (1, *photo.image.shape[1:])
    assert max(photo.image.shape) <= 400
    assert 0 <= float(photo.image.min()) < 0.2 and 0.5 < float(photo.image.max()) <= 1


@pytest.mark.parametrize(("name", "frame"), ALL)
def test_mask_is_one_plausible_piece(name: str, frame: int):
    stored = np.asarray(Image.open(FOLDER / f"{name}_{frame:02d}_mask.png"))
    assert stored.ndim == 2 and set(np.unique(stored)) == {0, 255}
    assert label(stored, np.ones((3, 3)))[1] == 1
    low, high = (0.10, 0.17) if name == "horse" else (0.18, 0.26)
    assert low < (stored > 0).mean() < high


@pytest.mark.parametrize("frame", range(1, 12))
def test_horse_is_dark_and_has_no_rider(frame: int):
    """The mask holds dark pixels, and the rider's cap, the highest dark thing, is not among them."""
    photo = sample_photo("horse", frame)
    grey, mask = photo.image.mean(0), photo.mask[0]
    assert float(grey[mask].mean()) < 0.25 < 0.5 < float(grey[~mask].median())
    top = int(mask.any(1).nonzero()[0])
    rider = (grey < 0.29) & ~mask
    middle = slice(80, 130)
    assert int(rider[16:top, middle].sum()) > 30, "a head above the horse's"
    assert int(rider[top : top + 20, middle].sum()) > 100, "a body outside the mask"


def test_frames_differ():
    pictures = {sample_photo("horse", k).image.numpy().tobytes() for k in range(1, 12)}
    assert len(pictures) == 11


@pytest.mark.parametrize("name", ["zebra", "Horse", "", None, 3, ["horse"]])
def test_unknown_name(name: object):
    with pytest.raises(InputError, match="horse, aeroplane"):
        sample_photo(name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "frame", "known"),
    [("horse", 0, "11"), ("horse", 12, "11"), ("horse", 1.5, "11"), ("aeroplane", 2, r"\[1, 1\]")],
)
def test_unknown_frame(name: str, frame: int, known: str):
    with pytest.raises(InputError, match=f"frame of {name}.*{known}"):
        sample_photo(name, frame)


def test_frozen():
    with pytest.raises(FrozenInstanceError):
        sample_photo("horse").licence = "none"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "author", "year", "licence"),
    [("horse", "Muybridge", "1878", "public domain"), ("aeroplane", "Azari", "1914", "CC0 1.0")],
)
def test_licence_is_said(name: str, author: str, year: str, licence: str):
    photo = sample_photo(name)
    assert author in photo.credit and year in photo.credit and photo.licence == licence
    lines = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    row = next(line for line in lines if line.startswith(f"| `{name}_01"))
    assert author in row and year in row and licence in row


def test_folder_holds_these_files_and_no_more():
    endings = {"horse": "png", "aeroplane": "jpg"}
    wanted = {f"{n}_{k:02d}.{endings[n]}" for n, k in ALL} | {
        f"{n}_{k:02d}_mask.png" for n, k in ALL
    }
    assert {path.name for path in FOLDER.iterdir()} == wanted | {"README.md"}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 600_000


def test_files_are_in_the_package():
    if not (ROOT / "setup.py").is_file():
        pytest.skip("not a checkout")
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    found = [
        k.value for k in ast.walk(tree) if isinstance(k, ast.keyword) and k.arg == "package_data"
    ]
    patterns = ast.literal_eval(found[0])["svr_nb"]
    for path in FOLDER.iterdir():
        assert any(fnmatch(f"sample_photos/{path.name}", pattern) for pattern in patterns), (
            path.name
        )
