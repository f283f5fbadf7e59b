"""What the numbers of a mask mean: every dialect of one shape gives that shape, or a doubt."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter

from svr_nb.conventions import FileError, InputError, SvrError, seeded
from svr_nb.data.cut_out import Doubt
from svr_nb.data.mask_dialects import contents, is_label_map, mask_numbers, read_mask
from svr_nb.data.photo_folder import prepare_photo

SIZE = (96, 72)


def ellipse(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    drawn = Image.new("L", SIZE)
    for box in boxes:
        ImageDraw.Draw(drawn).ellipse(box, fill=255)
    return np.asarray(drawn) > 0


SHAPES = {
    "animal": ellipse((12, 20, 64, 58), (58, 10, 84, 36)),
    "small": ellipse((40, 30, 48, 38)),
    "fills the picture": ellipse((0, 0, 95, 71)),
    "ring": ellipse((16, 6, 78, 66)) & ~ellipse((34, 22, 60, 50)),
    "cut off on three sides": ellipse((-20, 20, 116, 130)),
}
FUR = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
DARK = (FUR // 4 + 5).astype(np.uint8)


def saved(values: np.ndarray | Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def voc_palette() -> list[int]:
    """The colours of the PASCAL VOC label maps."""

    def bit(label: int, shift: int) -> int:
        return sum(((label >> (3 * k + shift)) & 1) << (7 - k) for k in range(3))

    return [value for label in range(256) for value in (bit(label, c) for c in range(3))]


def labels(inside: np.ndarray, label: int, border: int = 3, palette: bool = False) -> Image.Image:
    """A label map, with a void border of 255."""
    values = np.where(inside, label, 0).astype(np.uint8)
    if border:
        values[binary_dilation(inside, iterations=border) & ~inside] = 255
    picture = Image.fromarray(values)
    if palette:
        picture.putpalette(voc_palette())
    return picture


def overlap(source: object, inside: np.ndarray) -> tuple[float, list[str]]:
    mask, notes = read_mask(source)
    found = mask[0].numpy()
    return float((found & inside).sum() / (found | inside).sum()), notes


PLAIN = {
    "booleans": lambda m: m,
    "0 and 1": lambda m: m.astype(np.uint8),
    "0 and 1, int64": lambda m: m.astype(np.int64),
    "0 and 255, float": lambda m: 255.0 * m,
    "fractions": lambda m: m.astype(np.float32),
    "half precision": lambda m: torch.from_numpy(m).half(),
    "(1, h, w) array": lambda m: m[None],
    "(h, w, 1) array": lambda m: m[..., None],
    "(1, 1, h, w) tensor": lambda m: torch.from_numpy(m)[None, None],
    "(3, h, w) tensor": lambda m: torch.from_numpy(m).float().expand(3, -1, -1),
    "one bit": lambda m: saved(Image.fromarray(m).convert("1")),
    "PNG": lambda m: saved(np.where(m, 255, 0).astype(np.uint8)),
    "PNG in colour": lambda m: saved(np.where(m[..., None], 255, 0).repeat(3, 2).astype(np.uint8)),
    "16 bits": lambda m: saved(np.where(m, 65535, 0).astype(np.uint16)),
    "16 bits, 255": lambda m: saved(np.where(m, 255, 0).astype(np.uint16)),
    "32 bits": lambda m: Image.fromarray(np.where(m, 7, 0).astype(np.int32)),
    "float picture": lambda m: Image.fromarray(m.astype(np.float32)),
    "grey 127 and 255": lambda m: np.where(m, 255, 127).astype(np.uint8),
    "two colours, palette": lambda m: saved(Image.fromarray(255 * m.astype(np.uint8)).quantize(2)),
    "GIF": lambda m: saved(np.where(m, 255, 0).astype(np.uint8), "GIF"),
    "PGM": lambda m: saved(np.where(m, 255, 0).astype(np.uint8), "PPM"),
    "red on black": lambda m: saved(np.where(m[..., None], (200, 0, 0), 0).astype(np.uint8)),
    "blue on white": lambda m: saved(np.where(m[..., None], (0, 0, 200), 255).astype(np.uint8)),
    "red, palette": lambda m: saved(
        Image.fromarray(np.where(m[..., None], (200, 0, 0), 0).astype(np.uint8)).quantize(4)
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dialect", PLAIN)
def test_plain_masks(dialect: str, shape: str):
    """Without a doubt: these are right masks."""
    iou, notes = overlap(PLAIN[dialect](SHAPES[shape]), SHAPES[shape])
    assert iou == 1 and not any(isinstance(note, Doubt) for note in notes), notes


@pytest.mark.parametrize("shape", ["animal", "ring", "cut off on three sides"])
@pytest.mark.parametrize("quality", [10, 30, 60, 90, 100])
def test_masks_saved_as_jpeg(quality: int, shape: str):
    """Grey noise around the edges is neither a label nor a reason to doubt."""
    for picture in (SHAPES[shape], np.repeat(SHAPES[shape][..., None], 3, 2)):
        values = saved(picture.astype(np.uint8) * 255, "JPEG", quality=quality)
        iou, notes = overlap(values, SHAPES[shape])
        assert iou > 0.96 and not any(isinstance(note, Doubt) for note in notes)


CUTS = {
    "colours kept": lambda p, a: np.dstack([p, a]),
    "background zeroed": lambda p, a: np.dstack([p * (a[..., None] > 0), a]),
    "background white": lambda p, a: np.dstack([np.where(a[..., None] > 0, p, 255), a]),
    "grey": lambda p, a: np.dstack([p[..., 0], a]),
    "alpha of 0 and 1": lambda p, a: np.dstack([p, a // 255]),
    "white, clear": lambda p, a: np.dstack([np.full_like(p, 255), a]),
    "black, clear": lambda p, a: np.dstack([np.zeros_like(p), a]),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cut", CUTS)
def test_cut_outs_given_as_masks(cut: str, shape: str):
    """Transparency that says something wins, whatever the colours are."""
    alpha = np.where(SHAPES[shape], 255, 0).astype(np.uint8)
    for picture in (FUR, DARK):
        layers = CUTS[cut](picture, alpha).astype(np.uint8)
        image = Image.fromarray(layers, "LA" if layers.shape[2] == 2 else "RGBA")
        for source in (saved(image), image, saved(image, "WEBP", lossless=True)):
            iou, notes = overlap(source, SHAPES[shape])
            assert iou == 1 and not any(isinstance(note, Doubt) for note in notes)


def test_transparency_that_says_nothing_is_not_asked():
    inside = SHAPES["animal"]
    for alpha in (0, 128, 255):
        layers = np.dstack([np.where(inside, 255, 0)] * 3 + [np.full(inside.shape, alpha)])
        assert overlap(saved(layers.astype(np.uint8)), inside)[0] == 1


def test_transparency_against_a_drawn_mask_is_doubted():
    inside, other = SHAPES["animal"], SHAPES["ring"]
    layers = np.dstack([np.where(other, 255, 0)] * 3 + [np.where(inside, 255, 0)])
    iou, notes = overlap(saved(layers.astype(np.uint8)), inside)
    assert iou == 1 and isinstance(notes[0], Doubt) and "transparency" in notes[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("label", [1, 2, 5, 13, 20, 40, 100, 128, 150, 254])
def test_label_maps(label: int, shape: str):
    """Index neither 0 nor 255 is object; 255 beside it is nobody's; no border is right as well."""
    inside = SHAPES[shape]
    for border in (0, 1, 3):
        if label > 40 and border and shape in ("ring", "small"):
            continue  # as thin as the border: nobody can tell
        grey, coloured = labels(inside, label, border), labels(inside, label, border, palette=True)
        deep = Image.fromarray(np.asarray(grey).astype(np.uint16))
        for source in (saved(grey), saved(coloured), saved(deep), np.asarray(grey) / 255):
            iou, notes = overlap(source, inside)
            assert iou == 1 and not any(isinstance(note, Doubt) for note in notes), (border, notes)


def test_other_voids():
    inside, grey = SHAPES["animal"], np.asarray(labels(SHAPES["animal"], 3))
    signed = np.where(grey == 255, -1, grey).astype(np.int64)
    deep = np.where(grey == 255, 65535, grey).astype(np.uint16)
    seen = labels(inside, 13, palette=True).convert("RGB")
    for source in (signed, torch.from_numpy(signed), deep, saved(deep), saved(seen)):
        assert overlap(source, inside)[0] == 1


def test_a_palette_need_not_begin_with_black():
    inside = SHAPES["animal"]
    picture = Image.fromarray(np.where(inside, 0, 1).astype(np.uint8))
    picture.putpalette([0, 128, 0, 0, 0, 0])
    assert overlap(saved(picture), inside)[0] == 1


def test_several_labels_are_said():
    inside = SHAPES["animal"]
    values = np.where(inside, 13, 0).astype(np.uint8)
    values[inside & (np.arange(96) > 62)] = 15
    for source in (values, saved(values)):
        mask, notes = read_mask(source)
        assert (mask[0].numpy() == (values == 13)).all()
        assert (
            isinstance(notes[0], Doubt) and "13, 15" in notes[0] and "13, the largest" in notes[0]
        )
        assert (read_mask(source, keep="all")[0][0].numpy() == inside).all()


def test_trimaps():
    inside = SHAPES["animal"]
    band = binary_dilation(inside, iterations=2) & ~binary_erosion(inside, iterations=2)
    matte = np.where(band, 128, np.where(inside, 255, 0)).astype(np.uint8)
    pets = np.where(band, 3, np.where(inside, 1, 2)).astype(np.uint8)
    for source in (matte, pets):
        iou, notes = overlap(source, inside)
        assert iou > 0.93 and "trimap" in notes[0] and isinstance(notes[0], Doubt)


def test_cut_outs_without_transparency():
    """Painted over instead of cut out: the plain ground tells; on black, that is a guess."""
    inside = SHAPES["animal"]
    for ground in ((0, 0, 0), (255, 255, 255), (0, 255, 0)):
        iou, notes = overlap(np.where(inside[..., None], DARK, ground).astype(np.uint8), inside)
        assert iou > 0.95 and (ground != (0, 0, 0) or isinstance(notes[0], Doubt))


def test_soft_edges_are_no_labels():
    inside = SHAPES["animal"]
    for blur in (0.5, 1, 2):
        soft = gaussian_filter(inside.astype(float), blur)
        for source in (soft, (255 * soft).astype(np.uint8), 0.1 + 0.8 * soft):
            iou, notes = overlap(source, soft > 0.5)
            assert iou > 0.97 and not notes
    big = np.kron(
        (255 * gaussian_filter(inside.astype(float), 1)).astype(np.uint8), np.ones((3, 3))
    )
    assert not is_label_map(big, 255)


def test_what_is_no_mask_is_doubted():
    whole = read_mask(np.full((20, 30), 255, np.uint8))[1]
    photograph = read_mask(saved(FUR))[1]
    vague = read_mask(np.linspace(0, 1, 2400).reshape(40, 60))[1]
    for notes, word in (
        (whole, "whole picture"),
        (photograph, "photograph"),
        (vague, "clear edge"),
    ):
        assert isinstance(notes[0], Doubt) and word in notes[0]


@pytest.mark.parametrize("source", [torch.zeros(1, 60, 80), np.full((60, 80), -1)])
def test_black_masks(source):
    with pytest.raises(InputError, match="mask: expected a mask with bright pixels"):
        read_mask(source)


@pytest.mark.parametrize(
    "source",
    [
        torch.zeros(5, 20, 20),
        np.zeros((0, 4)),
        np.full((8, 8), np.nan),
        np.array(["a"]),
        torch.zeros(8, 8, dtype=torch.complex64),
        None,
        5,
        np.linspace(0, 0.1, 64).reshape(8, 8),
    ],
)
def test_things_that_are_no_masks(source):
    with pytest.raises(InputError, match="^mask: expected .*, got"):
        read_mask(source)


def test_files_are_read_wherever_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    inside = SHAPES["animal"]
    data, path = saved(np.where(inside, 255, 0).astype(np.uint8)), tmp_path / "m.png"
    path.write_bytes(data)
    buffer = io.BytesIO()
    buffer.write(data)  # and not wound back
    monkeypatch.setenv("HOME", str(tmp_path))
    with path.open("rb") as file:
        for source in (buffer, buffer, file, data, bytearray(data), path, str(path), "~/m.png"):
            assert overlap(source, inside)[0] == 1
    with path.open("r", encoding="latin-1") as text, pytest.raises(FileError, match="m.png.*rb"):
        read_mask(text)
    with pytest.raises(FileError, match="m.png.*Open it again"):
        read_mask(file)
    with pytest.raises(FileError, match="this machine"):
        read_mask("https://example.org/m.png")
    assert contents(io.BytesIO(b"x"), "photo 3") == (b"x", "photo 3")


def test_a_photograph_that_is_open_or_in_memory():
    picture = Image.fromarray(FUR)
    wanted = prepare_photo(picture, SHAPES["animal"], 32)
    made = prepare_photo(io.BytesIO(saved(picture)), io.BytesIO(saved(SHAPES["animal"])), 32)
    assert torch.equal(made.image, wanted.image) and torch.equal(made.mask, wanted.mask)


def test_noise_is_read_or_refused():
    chance = np.random.default_rng(int(torch.randint(9, (1,), generator=seeded(1))))
    for number in range(60):
        kind = [np.uint8, np.uint16, np.int64, np.float32, bool][number % 5]
        shape = [(9, 9), (9, 9, 3), (9, 9, 4), (1, 9, 9), (2, 2)][number % 7 % 5]
        values = (chance.random(shape) * [1, 3, 255][number % 3]).astype(kind)
        try:
            mask, _ = read_mask(values)
            assert mask.dtype == torch.bool and mask.ndim == 3
        except SvrError:
            pass


def test_numbers_are_not_rescaled():
    numbers = mask_numbers(saved(labels(SHAPES["animal"], 13, palette=True)))
    assert set(np.unique(numbers.values)) == {0, 13, 255} and numbers.palette is not None
    assert mask_numbers(saved(np.full((4, 4), 1000, np.uint16))).values.max() == 1000


def test_real_masks_are_never_doubted(shared_data: Path):
    """Right masks of horses, aeroplanes, birds, cars and chairs."""
    folders = [shared_data / "weizmann_horse/figure_ground"]
    folders += sorted((shared_data / "voc10_silhouettes").glob("*/masks"))
    for folder in folders:
        for path in sorted(folder.iterdir())[::6]:
            mask, notes = read_mask(path)
            grey = np.asarray(Image.open(path).convert("L")) > 127
            assert not notes and (mask[0].numpy() != grey).mean() < 0.01
