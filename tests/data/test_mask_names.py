"""Which file is a photograph, which is its mask, and what becomes of the rest."""

from __future__ import annotations

import io
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from svr_nb.conventions import FileError, InputError, SvrError
from svr_nb.data.mask_names import looks_like_mask, other_kind, photograph_names, sort_pictures
from svr_nb.data.photo_folder import find_photos, photo, photos, prepare_photo

nfc, nfd = ((lambda text, form=form: unicodedata.normalize(form, text)) for form in ("NFC", "NFD"))


def pair(k: int = 0) -> tuple[Image.Image, Image.Image]:
    """A white picture of two things, and the mask of the smaller one: without its mask the larger
    one would be found.
    """
    picture, mask = Image.new("RGB", (100, 90), "white"), Image.new("L", (100, 90))
    spot = (66, 58, 92, 78 + k)
    ImageDraw.Draw(picture).rectangle((8, 8, 58, 50), fill=(40, 120, 60))
    ImageDraw.Draw(picture).rectangle(spot, fill=(200, 60, 40))
    ImageDraw.Draw(mask).rectangle(spot, fill=255)
    return picture, mask


def street(seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 255, (90, 100, 3), dtype=np.uint8)
    return Image.fromarray(values)


def keep(image: Image.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {"jpg": "JPEG", "JPG": "JPEG", "tif": "TIFF"}.get(path.suffix[1:])
    image.save(path, kind or path.suffix[1:].upper())
    return path


NAMES = {
    **{
        ending: (lambda k, e=ending: (f"a{k}.jpg", f"a{k}{e}.png"))
        for ending in (
            *("_mask", "-mask", ".mask", " mask", "_Mask", "_MASK", "_masks", "_seg", "_SEG"),
            *("_segmentation", "_matte", "_alpha", "_gt", "-gt", "_GT", "_fg", "_silhouette"),
            *("_label", "_labels", "_labelIds", "_groundtruth", "_mask0", ".mask0", "_mask_1"),
            *("_mask (1)", "_gt2", "_trimap", "_annotation", "_binary", ".jpg_mask", ".jpg.mask"),
        )
    },
    "mask_a": lambda k: (f"a{k}.jpg", f"mask_a{k}.png"),
    "Mask-a": lambda k: (f"a{k}.jpg", f"Mask-a{k}.png"),
    "seg_a": lambda k: (f"a{k}.jpg", f"seg_a{k}.png"),
    "same stem": lambda k: (f"a{k}.jpg", f"a{k}.png"),
    "same stem, same ending": lambda k: (f"a{k}.png", f"a{k}.bmp"),
    "two endings": lambda k: (f"a{k}.jpg", f"a{k}.jpg.png"),
    "NFC and NFD": lambda k: (nfc(f"Kätzchen{k}.jpg"), nfd(f"Kätzchen{k}_mask.png")),
    "NFD and NFC": lambda k: (nfd(f"Ångström{k}.jpg"), nfc(f"Ångström{k}.png")),
    "capitals": lambda k: (f"DSC_000{k}.JPG", f"dsc_000{k}_mask.png"),
    "image_1 and mask_1": lambda k: (f"image_{k}.jpg", f"mask_{k}.png"),
    "img1 and gt1": lambda k: (f"img{k}.jpg", f"gt{k}.png"),
    "a_rgb and a_mask": lambda k: (f"a{k}_rgb.jpg", f"a{k}_mask.png"),
    "an unknown word": lambda k: (f"a{k}.jpg", f"a{k}_outline.png"),
    "images, masks": lambda k: (f"images/a{k}.jpg", f"masks/a{k}.jpg.png"),
    "rgb, Mask": lambda k: (f"rgb/a{k}.jpg", f"Mask/a{k}.png"),
    "JPEGImages, SegmentationClass": lambda k: (
        f"JPEGImages/a{k}.jpg",
        f"SegmentationClass/a{k}.png",
    ),
    "Images, Annotations": lambda k: (f"Images/a{k}.jpg", f"Annotations/a{k}.png"),
    "photos, gt": lambda k: (f"photos/a{k}.jpg", f"gt/a{k}_gt.png"),
    "img, labels": lambda k: (f"img/img_{k}.jpg", f"labels/label_{k}.png"),
    "image, alpha": lambda k: (f"image/{k}.jpg", f"alpha/{k}.png"),
    "images, matte": lambda k: (f"images/{k}.jpg", f"matte/mask_{k}.png"),
    "here, masks": lambda k: (f"a{k}.jpg", f"MASKS/A{k}.PNG"),
    "here, silhouettes": lambda k: (f"a{k}.jpg", f"silhouettes/a{k}.bmp"),
    "images, images_masks": lambda k: (f"images/a{k}.jpg", f"images_masks/a{k}_mask.gif"),
    "images, Mask Images": lambda k: (f"images/a{k}.jpg", f"Mask Images/a{k}.png"),
}


@pytest.mark.parametrize("way", NAMES)
def test_every_photograph_has_its_mask(way: str, tmp_path: Path):
    wanted = []
    for k in range(3):
        for image, name in zip(pair(k), NAMES[way](k)):
            keep(image, tmp_path / name)
        wanted.append(photo(*pair(k), 32)[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error" if way != "an unknown word" else "ignore")
        found = photos(tmp_path, 32)
    assert len(found) == 3 and not found.skipped or way == "here, masks"
    for got, want in zip(found["mask"], wanted):
        assert float((got - want).abs().mean()) < 0.02


def test_an_unknown_word_is_said_aloud(tmp_path: Path):
    for image, name in zip(pair(), ("a.jpg", "a_outline.png")):
        keep(image, tmp_path / name)
    with pytest.warns(UserWarning, match="a_outline.png: black and white.*mask of a.jpg") as heard:
        photos(tmp_path, 32)
    assert heard[0].filename == __file__


def test_photographs_named_like_masks_do_not_vanish(tmp_path: Path):
    """Anna at the carnival, a folder of carnival masks, and a photograph called mask.jpg."""
    for name in ("anna.jpg", "anna_mask.jpg", "mask.jpg", "mask_1.jpg", "mask_2.jpg", "label.png"):
        keep(street(len(name)), tmp_path / name)
    found = sort_pictures(tmp_path)
    assert [(p.name, m) for p, m in found.pairs] == [
        (name, None)
        for name in ("anna.jpg", "anna_mask.jpg", "label.png", "mask.jpg", "mask_1.jpg")
        + ("mask_2.jpg",)
    ]
    assert "anna_mask.jpg is named like a mask" in found.doubts[0]
    for name in ("red.jpg", "blue.jpg"):
        keep(street(len(name)), tmp_path / "masks" / name)
    assert [p.name for p, _ in find_photos(tmp_path / "masks")] == ["blue.jpg", "red.jpg"]


def test_image_and_mask_alone(tmp_path: Path):
    for image, name in zip(pair(), ("image.jpg", "mask.png")):
        keep(image, tmp_path / name)
    assert find_photos(tmp_path) == [(tmp_path / "image.jpg", tmp_path / "mask.png")]


def test_bursts_are_no_masks(tmp_path: Path):
    for k in range(4):
        keep(street(k), tmp_path / f"run_{k}.jpg")
    keep(street(9), tmp_path / "run.jpg")
    assert len(find_photos(tmp_path)) == 5


def test_the_same_picture_twice(tmp_path: Path):
    for name in ("a.jpg", "a.png", "a.bmp"):
        keep(street(), tmp_path / name)
    keep(street(5), tmp_path / "b.jpg")
    keep(street(6), tmp_path / "b.png")
    doubt = pytest.warns(UserWarning, match="same picture twice; not used: a")
    with doubt, pytest.raises(InputError, match="plain background"):
        photos(tmp_path)
    found = sort_pictures(tmp_path)
    assert len(found.pairs) == 3 and {name for name, _ in found.skipped} < {
        "a.jpg",
        "a.png",
        "a.bmp",
    }


def test_a_cut_out_beside_its_photograph(tmp_path: Path):
    picture, mask = pair()
    keep(picture, tmp_path / "a.jpg")
    picture.putalpha(mask)
    keep(picture, tmp_path / "a.png")
    assert find_photos(tmp_path) == [(tmp_path / "a.jpg", tmp_path / "a.png")]


def test_two_masks_for_one_photograph(tmp_path: Path):
    picture, mask = pair()
    keep(picture, tmp_path / "a.jpg")
    for name in ("a_mask.png", "a_gt.png", "masks/a.png"):
        keep(mask, tmp_path / name)
    with pytest.warns(UserWarning, match="more than one mask"):
        found = photos(tmp_path, 32)
    used = next(iter(find_photos(tmp_path)))[1]
    assert len(found.skipped) == 2 and all(used.name in why for _, why in found.skipped)


def test_masks_without_photographs_and_the_reverse(tmp_path: Path):
    picture, mask = pair()
    for k in range(3):
        keep(picture, tmp_path / "images" / f"a{k}.jpg")
    for k in (0, 1, 7):
        keep(mask, tmp_path / "masks" / f"a{k}.png")
    with pytest.warns(UserWarning, match="masks/a7.png; photographs without a mask: a2.jpg"):
        found = photos(tmp_path, 32)
    assert [name for name, _ in found.skipped] == ["masks/a7.png"] and len(found) == 3


def test_masks_alone_are_no_photographs(tmp_path: Path):
    for k in range(3):
        keep(pair()[1], tmp_path / f"a{k}_mask.png")
    with pytest.raises(FileError, match="mask without a photograph"):
        photos(tmp_path)


def test_a_black_and_white_photograph_is_doubted(tmp_path: Path):
    keep(pair()[1], tmp_path / "shape.png")
    with pytest.warns(UserWarning, match="black and white: is it a mask"):
        photos(tmp_path)


OTHERS = {
    "b.heic": "HEIC",
    "c.HEIF": "HEIC",
    "d.avif": "AVIF",
    "e.NEF": "raw",
    "f.svg": "drawing",
    "g.pdf": "drawing",
    "h.psd": "painting",
    "i.mov": "film",
    ".DS_Store": "operating system",
    "Thumbs.db": "operating system",
    "._a.jpg": "AppleDouble",
    ".hidden.jpg": "hidden",
    "notes.txt": "not a picture",
    "noending": "not a picture",
}


@pytest.mark.parametrize("on_error", ["skip", "raise"])
def test_everything_else_is_listed(on_error: str, tmp_path: Path):
    keep(pair()[0], tmp_path / "a.jpg")
    for name in OTHERS:
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 200)
    (tmp_path / "dir.jpg").mkdir()
    keep(street(), tmp_path / "more" / "z.jpg")
    keep(street(), tmp_path / ".thumbnails" / "z.jpg")
    with pytest.warns(UserWarning, match=r"left out: .*HEIC.* and 4 more; save them as JPEG"):
        found = photos(tmp_path, 32, on_error=on_error)
    reasons = dict(found.skipped)
    assert len(found) == 1 and all(why in reasons[name] for name, why in OTHERS.items())
    assert {"dir.jpg", "more", ".thumbnails"} <= set(reasons)


def test_heic_is_named_whatever_the_file_is_called(tmp_path: Path):
    for name, head in (("a.heic", b"heic"), ("b.jpg", b"mif1"), ("c.png", b"avif")):
        path = tmp_path / name
        path.write_bytes(b"\0\0\0\x18ftyp" + head + b"\0" * 200)
        kind = "AVIF" if head == b"avif" else "HEIC"
        with pytest.raises(FileError, match=f"{name}: expected a picture .*, got {kind}. Save it"):
            prepare_photo(path)
    assert other_kind("x.jpg") is None and other_kind("x.dng") == "a raw photograph"


def test_empty_files_and_links(tmp_path: Path):
    keep(pair()[0], tmp_path / "a.jpg")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    elsewhere = keep(street(3), tmp_path / "x" / "real.png")
    (tmp_path / "link.png").symlink_to(elsewhere)
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    found = photos(tmp_path, 32, on_error="skip")
    reasons = dict(found.skipped)
    assert len(found) == 1 and {"empty.jpg", "broken.jpg", "link.png", "loop.png"} <= set(reasons)
    with pytest.raises(FileError, match=r"broken.jpg|empty.jpg"):
        photos(tmp_path, 32)


def test_lists_and_generators(tmp_path: Path):
    for k in range(3):
        for image, name in zip(pair(k), (f"images/a{k}.jpg", f"masks/a{k}.png")):
            keep(image, tmp_path / name)
    keep(street(), tmp_path / "images" / "street.jpg")
    wanted = photos(tmp_path, 32, on_error="skip")
    files = sorted((tmp_path / "images").glob("a*.jpg"))
    for source in (files, [str(p) for p in files], iter(files), (p for p in files)):
        found = photos(source, 32)
        assert torch.equal(found["mask"], wanted["mask"]) and found.names == ["a0", "a1", "a2"]
    data = [(path.read_bytes(), tmp_path / "masks" / f"{path.stem}.png") for path in files]
    opened = [(io.BytesIO(image), mask) for image, mask in data]
    for source in (data, opened):
        assert torch.equal(photos(source, 32)["mask"], wanted["mask"])
    assert len(photos([Image.open(files[0])], 32)) == 1
    with files[0].open("rb") as file:
        assert photos([file], 32).names == ["a0"]


def test_a_list_may_hold_the_masks_too(tmp_path: Path):
    files = [keep(image, tmp_path / name) for image, name in zip(pair(), ("a.jpg", "a_mask.png"))]
    found = photos(files, 32)
    assert found.names == ["a"] and torch.equal(found["mask"][0], photo(*pair(), 32)[1])


@pytest.mark.parametrize(
    "wrong", [5, None, [], [None], ["nowhere.jpg"], [5], "https://example.org/a", {}, [("a",)]]
)
def test_wrong_lists(wrong):
    with pytest.raises(SvrError, match="expected .*, got"):
        photos(wrong)


def test_a_single_file_is_not_a_folder(tmp_path: Path):
    with pytest.raises(FileError, match="Use photo"):
        photos(keep(pair()[0], tmp_path / "a.jpg"))
    with pytest.raises(InputError, match="Use photo"):
        photos(3)


def test_home_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    keep(pair()[0], tmp_path / "birds" / "a.jpg")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(photos("~/birds", 32)) == 1 and len(find_photos("~/birds")) == 1
    assert len(photos(["~/birds/a.jpg"], 32)) == 1
    assert photo("~/birds/a.jpg", size=32)[0].shape == (3, 32, 32)


def test_words_that_name_a_mask():
    for name in ("bird_MASK.png", "bird.mask0.png", "mask-bird.png", "Bird.jpg_seg.png"):
        assert "bird" in photograph_names(name)
    for name in ("mask.jpg", "masked_ball.jpg", "bird.png", "damask.jpg", "regret.png"):
        assert photograph_names(name) == []


def test_looks(tmp_path: Path):
    picture, mask = pair()
    assert looks_like_mask(keep(mask, tmp_path / "m.png"))
    assert looks_like_mask(keep(mask, tmp_path / "m.jpg"))
    assert not looks_like_mask(keep(street(), tmp_path / "s.png"))
    gradient = Image.fromarray(np.linspace(0, 255, 9000).astype(np.uint8).reshape(90, 100))
    assert not looks_like_mask(keep(gradient, tmp_path / "g.jpg"))


def test_real_folders_are_paired(shared_data: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, count in (("weizmann_horse", 228), ("voc10_silhouettes/bird", 51)):
            found = sort_pictures(shared_data / name)
            assert len(found.pairs) == count and all(mask for _, mask in found.pairs)
            assert not found.skipped and not found.doubts
