"""Damaged, lying and odd pictures: a result or one clear error, in bounded time and memory.
SVR_HOSTILE sets how many.
"""

from __future__ import annotations

import io
import struct
import sys
import unicodedata
import warnings
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from svr_nb.conventions import FileError, SvrError
from svr_nb.data.mask_names import ENDINGS, MASK_FOLDERS, MASK_SUFFIXES, sort_pictures
from svr_nb.data.photo_folder import photos, prepare_photo
from svr_nb.shapes.images import image_turn, load_image

sys.path.insert(0, str(Path(__file__).parent))
from hostile import CASES, damaged, outcome, peak_memory  # noqa: E402

MEMORY = 900.0


def picture() -> Image.Image:
    """A small picture of an object in front of a plain wall."""
    y, x = np.mgrid[:40, :56]
    inside = ((y - 20) / 14) ** 2 + ((x - 28) / 20) ** 2 < 1
    colors = np.where(inside[..., None], np.stack([200 + 0 * x, 3 * x, 5 * y], -1), 230).astype(
        np.uint8
    )
    return Image.fromarray(colors)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@cache
def healthy() -> dict[str, bytes]:
    """One file of every kind that is read."""
    image, note = picture(), Image.Exif()
    note[0x0112] = 6
    clear = image.convert("RGBA")
    clear.putalpha(image.convert("L").point(lambda v: 255 * (v < 200)))
    deep = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    return {
        "png": saved(image, "PNG"),
        "rgba.png": saved(clear, "PNG"),
        "palette.png": saved(image.quantize(16), "PNG"),
        "deep.png": saved(deep, "PNG"),
        "jpg": saved(image, "JPEG", exif=note),
        "progressive.jpg": saved(image, "JPEG", progressive=True),
        "cmyk.jpg": saved(image.convert("CMYK"), "JPEG"),
        "webp": saved(image, "WEBP"),
        "lossless.webp": saved(clear, "WEBP", lossless=True),
        "gif": saved(image, "GIF", save_all=True, append_images=[image.rotate(90)]),
        "bmp": saved(image, "BMP"),
        "tif": saved(image, "TIFF", compression="tiff_lzw"),
        "deep.tif": saved(deep, "TIFF"),
        "ppm": saved(image, "PPM"),
    }


def check(result: object) -> None:
    """A picture is RGB in [0, 1]; the transparency belongs to it."""
    image, alpha = result
    assert (
        image.shape[0] == 3 and image.dtype == torch.float32 and bool(torch.isfinite(image).all())
    )
    assert float(image.min()) >= 0 and float(image.max()) <= 1
    assert alpha is None or alpha.shape == (1, *image.shape[1:])


@pytest.mark.parametrize("kind", healthy())
def test_healthy_pictures_are_read(kind: str):
    image, _ = load_image(healthy()[kind])
    assert image.shape == ((3, 56, 40) if kind == "jpg" else (3, 40, 56))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("number", range(len(healthy())), ids=list(healthy()))
def test_damaged_pictures(number: int, tmp_path: Path, capfd: pytest.CaptureFixture):
    kind, before = list(healthy())[number], peak_memory()
    for case in range(-(-CASES // len(healthy()))):
        data, path = damaged(healthy()[kind], number, case), tmp_path / f"photo.{kind}"
        result = (
            outcome(load_image, "image", data)
            if case % 2
            else outcome(load_image, "photo.", write(path, data))
        )
        if result is not None:
            check(result)
        if case % 6 == 0:
            outcome(prepare_photo, "photo.", write(path, data), None, 32)
        assert image_turn(data) in range(1, 9)
    assert peak_memory() - before < MEMORY
    assert "Traceback" not in capfd.readouterr().err


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *more: bytes) -> bytes:
    rows = zlib.compress(bytes(5000))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + b"".join(more)
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )


def claims(side: int) -> dict[str, bytes]:
    """Small files whose headers promise side x side pixels."""
    jpeg, gif, bmp = (
        healthy()["progressive.jpg"],
        bytearray(healthy()["gif"]),
        bytearray(healthy()["bmp"]),
    )
    frame = next(jpeg.index(mark) for mark in (b"\xff\xc2", b"\xff\xc0") if mark in jpeg)
    gif[6:10] = struct.pack("<HH", side, side)
    bmp[18:26] = struct.pack("<ii", side, side)
    return {
        "png": png(side, side),
        "jpg": jpeg[: frame + 5] + struct.pack(">HH", side, side) + jpeg[frame + 9 :],
        "gif": bytes(gif),
        "bmp": bytes(bmp),
        "ppm": b"P6 %d %d 255\n" % (side, side) + bytes(900),
    }


@pytest.mark.parametrize("kind", claims(20_000))
@pytest.mark.parametrize("side", [20_000, 60_000])
def test_size_is_refused_before_decoding(kind: str, side: int):
    before = peak_memory()
    with pytest.raises(FileError, match=f"at most 40000000 pixels, got {side} x {side}"):
        load_image(claims(side)[kind])
    assert peak_memory() - before < 60


def test_the_cap_is_the_callers():
    data = saved(Image.new("L", (300, 200)), "PNG")
    assert load_image(data, max_pixels=60_000)[0].shape == (3, 200, 300)
    with pytest.raises(FileError, match="at most 59999 pixels, got 300 x 200"):
        load_image(data, max_pixels=59_999)


def test_text_bombs_in_png_stay_small():
    bomb = chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(300_000_000), 9))
    before = peak_memory()
    outcome(lambda: load_image(png(64, 64, bomb)), "image")
    assert peak_memory() - before < MEMORY


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"GIF89a",
        b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        b"%!PS-Adobe-3.0 EPSF-3.0\nquit",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"PK\3\4" + bytes(100),
        b"\x80\x04cos\nsystem\n",
        b"bird.jpg",
    ],
)
def test_things_that_are_no_pictures(data: bytes):
    with pytest.raises(FileError, match="image"):
        load_image(data)


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"Exif\0\0",
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(20),
        b"\xff" * 64,
    ],
)
def test_broken_notes_leave_the_picture_upright(note: bytes):
    data = saved(picture(), "JPEG", exif=note) if note else saved(picture(), "JPEG")
    assert load_image(data)[0].shape == (3, 40, 56) and image_turn(data) == 1


def test_one_pixel_and_odd_places(tmp_path: Path):
    assert load_image(saved(Image.new("RGB", (1, 1)), "PNG"))[0].shape == (3, 1, 1)
    with pytest.raises(SvrError, match="4 x 4"):
        prepare_photo(saved(Image.new("RGB", (1, 1)), "PNG"))
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    for place in (
        tmp_path,
        tmp_path / "nothing.png",
        tmp_path / "loop.png",
        Path("/dev/zero"),
        tmp_path / ("a" * 300),
        "nul\0byte.png",
    ):
        with pytest.raises(FileError):
            load_image(place)


def test_real_photographs_damaged(shared_data: Path, tmp_path: Path):
    files = sorted(
        p
        for folder in ("photos/cutouts", "photos/cars", "voc10_silhouettes/bird/images")
        for p in (shared_data / folder).iterdir()
    )[:16]
    for number, path in enumerate(files):
        for case in range(max(2, CASES // 150)):
            result = outcome(
                load_image,
                path.stem,
                write(tmp_path / path.name, damaged(path.read_bytes(), 99, number, case)),
            )
            if result is not None:
                check(result)


def dialects(inside: np.ndarray, colors: np.ndarray, label: int) -> dict[str, Image.Image]:
    """One shape as masks of many kinds."""
    bright = np.where(inside, 255, 0).astype(np.uint8)
    values = np.where(inside, label, 0).astype(np.uint8)
    border = np.roll(inside, 3, 0) | np.roll(inside, -3, 1)
    values[border & ~inside] = 255
    palette = Image.fromarray(values)
    palette.putpalette([(37 * i) % 256 for i in range(768)])
    cut = Image.fromarray(np.dstack([colors, bright]))
    return {
        "bright": Image.fromarray(bright),
        "inverted": Image.fromarray(255 - bright),
        "one": Image.fromarray(bright // 255),
        "bit": Image.fromarray(bright).convert("1"),
        "colour": Image.fromarray(bright).convert("RGB"),
        "labels": Image.fromarray(values),
        "palette": palette,
        "few": Image.fromarray(bright).quantize(4),
        "deep": Image.fromarray(values.astype(np.uint16)),
        "cut": cut,
        "grey cut": cut.convert("LA"),
        "zeroed": Image.fromarray(colors * inside[..., None].astype(np.uint8)),
        "photograph": Image.fromarray(colors),
        "clear": Image.merge("LA", [Image.fromarray(bright), Image.fromarray(bright)]),
    }


def turned(image: Image.Image, rng: np.random.Generator) -> tuple[bytes, str]:
    """A picture file of a kind that can hold it, with or without a note, turned or not."""
    kinds = ["PNG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "JPEG", "PPM"]
    kind, note = str(rng.choice(kinds)), Image.Exif()
    note[0x0112] = int(rng.integers(0, 11))
    if rng.random() < 0.4:
        image = image.transpose(Image.Transpose(int(rng.integers(0, 7))))
    if rng.random() < 0.3:
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)))
    options = (
        {"exif": note} if kind in ("PNG", "TIFF", "WEBP", "JPEG") and rng.random() < 0.6 else {}
    )
    try:
        return saved(image, kind, **options), kind.lower()
    except (OSError, ValueError):  # a mode that this kind cannot hold
        return saved(image.convert("RGB"), kind, **options), kind.lower()


def test_masks_of_every_dialect_turned_and_damaged(tmp_path: Path):
    """Dialects, EXIF notes and damage together: a mask of the right size, or one clear error."""
    colors = np.asarray(picture())
    inside = colors[..., 0] != 230
    for case in range(CASES):
        rng = np.random.default_rng((7, case))
        kinds = dialects(inside, colors, int(rng.integers(1, 255)))
        mask, ending = turned(kinds[str(rng.choice(list(kinds)))], rng)
        image, _ = turned(picture(), rng)
        if case % 3 == 0:
            mask = damaged(mask, 7, case)
        path = write(tmp_path / f"photo.mask.{ending}", mask)
        source = [mask, path, io.BytesIO(mask), str(path)][case % 4]
        options = {"keep": ["largest", "all"][case % 2], "invert": [None, True, False][case % 3]}

        def read(image=image, source=source, options=options) -> object:
            return prepare_photo(image, source, 32, name="photo.jpg", **options)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            made = outcome(read, "mask" if isinstance(source, (bytes, io.BytesIO)) else "photo.")
        if made is not None:
            assert made.mask.shape == (1, 32, 32) and set(made.mask.unique().tolist()) <= {0.0, 1.0}


def odd_name(rng: np.random.Generator) -> str:
    """A name as people, cameras and systems give them."""
    stem = str(
        rng.choice(["a", "b", "IMG_1", "Kätzchen", "mask", "1", "a b", "._a", ".a", "Ünï.x"])
    )
    stem = unicodedata.normalize(str(rng.choice(["NFC", "NFD"])), stem)
    if rng.random() < 0.6:
        word = str(rng.choice(MASK_SUFFIXES))
        stem = stem + word if rng.random() < 0.8 else word.lstrip("_-. ") + "_" + stem
    stem = stem.upper() if rng.random() < 0.2 else stem
    endings = [*ENDINGS, ".heic", ".AVIF", ".svg", ".db", ".txt", "", ".jpg.png", ".PNG"]
    return stem + str(rng.choice(["", "0", " (1)", "_2"])) + str(rng.choice(endings))


def test_folders_of_odd_names_account_for_every_file(tmp_path: Path):
    """Every file is a photograph, a mask, or listed with a reason; nothing vanishes."""
    colors = np.asarray(picture())
    for case in range(max(8, CASES // 12)):
        rng, home = np.random.default_rng((8, case)), tmp_path / str(case)
        kinds = dialects(colors[..., 0] != 230, colors, 3)
        places = [home, home, home / str(rng.choice(MASK_FOLDERS))]
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
        for _ in range(int(rng.integers(1, 8))):
            image = picture() if rng.random() < 0.5 else kinds[str(rng.choice(list(kinds)))]
            path = places[rng.integers(0, 3)] / odd_name(rng)
            data, _ = turned(image, rng)
            write(
                path,
                damaged(data, 8, case) if rng.random() < 0.2 else data[: rng.choice([0, 10**6])],
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            found = sort_pictures(home)
            listed = {name.rpartition("/")[2] for name, why in found.skipped if why}
            used = {path.name for pair in found.pairs for path in pair if path is not None}
            there = {p.name for p in home.iterdir() if p.is_file()}
            kinds = (*ENDINGS, ".heic", ".avif", ".svg")
            masks = {p.name for p in home.glob("*/[!.]*") if p.suffix.lower() in kinds}
            assert there | masks <= listed | used
            outcome(lambda home=home: photos(home, 32, on_error="skip"), str(home))
