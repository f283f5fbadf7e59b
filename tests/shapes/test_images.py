"""One picture from anything."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from svr_nb.conventions import FileError, InputError, seeded
from svr_nb.shapes.images import image_turn, load_image, save_image, to_pil

TURNED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def numbers(h: int = 20, w: int = 30) -> np.ndarray:
    y, x = np.mgrid[:h, :w]
    return np.stack([8 * x, 10 * y, 4 * (x + y)], -1).clip(0, 255).astype(np.uint8)


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


EXACT = torch.from_numpy(numbers().transpose(2, 0, 1) / np.float32(255))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("WEBP", {"lossless": True}), ("BMP", {}), ("TIFF", {}), ("PPM", {})],
)
def test_lossless_kinds_are_exact(kind: str, options: dict):
    image, alpha = load_image(saved(Image.fromarray(numbers()), kind, **options))
    assert alpha is None and image.dtype == torch.float32 and torch.equal(image, EXACT)


def test_lossy_kinds_are_close():
    for data in (
        saved(Image.fromarray(numbers()), "JPEG", quality=95),
        saved(Image.fromarray(numbers()).convert("CMYK"), "JPEG", quality=95),
    ):
        assert (load_image(data)[0] - EXACT).abs().mean() < 0.02


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F"]
)
def test_every_mode_of_pillow(mode: str):
    image = (
        Image.fromarray(numbers()).convert("L" if mode in ("LA", "I", "F") else "RGB").convert(mode)
    )
    rgb, alpha = load_image(image)
    assert (
        rgb.shape == (3, 20, 30)
        and rgb.min() >= 0
        and rgb.max() <= 1
        and (alpha is not None) == (mode in ("LA", "RGBA"))
    )


def test_sixteen_bits_keep_their_steps():
    deep = (np.arange(600).reshape(20, 30) * 100).astype(np.uint16)
    for data in (saved(Image.fromarray(deep)), saved(Image.fromarray(deep), "TIFF"), deep):
        assert torch.allclose(
            load_image(data)[0][1], torch.from_numpy(deep.astype(np.float32) / 65535), atol=1e-7
        )
    assert len(load_image(saved(Image.fromarray(deep)))[0].unique()) == 600


def test_transparency_of_every_kind():
    clear = Image.fromarray(np.concatenate([numbers(), np.full((20, 30, 1), 51, np.uint8)], 2))
    rgb, alpha = load_image(saved(clear))
    assert torch.equal(rgb, EXACT) and torch.allclose(alpha, torch.full((1, 20, 30), 0.2))
    palette = Image.fromarray((np.arange(600).reshape(20, 30) % 4).astype(np.uint8), "P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    assert load_image(saved(palette, transparency=1))[1][0].flatten()[:4].tolist() == [1, 0, 1, 1]
    grey = Image.fromarray(numbers()[..., 0])
    assert load_image(saved(grey, transparency=0))[1] is not None


def test_first_frame_of_an_animation():
    frames = [Image.fromarray(np.full((8, 8, 3), shade, np.uint8)) for shade in (0, 255)]
    for kind in ("GIF", "WEBP", "PNG"):
        assert (
            load_image(saved(frames[0], kind, save_all=True, append_images=frames[1:]))[0].max()
            < 0.02
        )


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_notes_are_obeyed(turn: int, kind: str, tmp_path: Path):
    note = Image.Exif()
    note[0x0112] = turn
    image = Image.fromarray(numbers())
    stored = image if turn == 1 else image.transpose(TURNED[turn])
    data = saved(stored, kind, exif=note, **({"lossless": True} if kind == "WEBP" else {}))
    (tmp_path / "photo").write_bytes(data)
    assert torch.equal(load_image(data)[0], EXACT) and image_turn(data) == turn == image_turn(
        tmp_path / "photo"
    )
    assert torch.equal(load_image(Image.open(io.BytesIO(data)))[0], EXACT)


def test_arrays_and_tensors():
    array = numbers()
    for same in (
        array,
        array / 255,
        (array / 255).astype(np.float16).astype(np.float64),
        torch.from_numpy(array).permute(2, 0, 1),
        EXACT,
        EXACT.double(),
        array.astype(np.int64),
        np.asfortranarray(array),
        array[:, ::-1][:, ::-1],
    ):
        assert torch.allclose(load_image(same)[0], EXACT, atol=5e-4)
    assert (
        load_image(array[..., 0])[0].shape
        == load_image(EXACT[0])[0].shape
        == load_image(EXACT[:1])[0].shape
        == (3, 20, 30)
    )
    assert load_image(array[..., 0] > 9)[0].unique().tolist() == [0, 1]
    assert load_image(EXACT.requires_grad_())[0].requires_grad is False


def test_the_result_is_a_copy():
    array = numbers() / np.float32(255)
    load_image(array)[0].zero_()
    assert array.max() > 0.8


@pytest.mark.parametrize(
    "wrong",
    [
        np.full((4, 4, 3), np.nan),
        np.full((4, 4), np.inf),
        torch.full((3, 4, 4), 2.0),
        np.full((4, 4, 3), -1),
        np.zeros((4, 4, 2)),
        torch.zeros(5),
        torch.zeros(2, 3, 4, 4),
        np.zeros((0, 4, 3)),
        np.array([["a"]]),
        torch.zeros(3, 4, 4, dtype=torch.complex64),
        None,
        3,
        [1, 2],
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_wrong_numbers_name_the_argument(wrong):
    with pytest.raises(InputError, match="^photo: expected .* got"):
        load_image(wrong, name="photo")


def test_lazily_opened_broken_file():
    data = saved(
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)),
        "JPEG",
    )
    with pytest.raises(InputError, match="cannot be decoded"):
        load_image(Image.open(io.BytesIO(data[:1500])))


@given(
    some.integers(1, 9), some.integers(1, 9), some.sampled_from(["png", "webp"]), some.booleans()
)
def test_round_trip(h: int, w: int, kind: str, clear: bool):
    from tempfile import TemporaryDirectory

    values = (torch.rand(4, h, w, generator=seeded(h, w)) * 255).round() / 255
    with TemporaryDirectory() as folder:
        path = save_image(
            values[:3], Path(folder) / f"a.{kind}", alpha=values[3:] if clear else None
        )
        image, alpha = load_image(path)
    assert (alpha is not None) == clear or float(values[3:].min()) == 1
    seen = values[3:] > 0 if clear and kind == "webp" else torch.ones(1, h, w, dtype=torch.bool)
    assert torch.allclose(image * seen, values[:3] * seen, atol=1e-6) and (
        alpha is None or torch.allclose(alpha, values[3:], atol=1e-6)
    )


def test_save_refuses(tmp_path: Path):
    with pytest.raises(FileError, match="png"):
        save_image(EXACT, tmp_path / "a.tga")
    with pytest.raises(InputError, match="image"):
        save_image(EXACT * 3, tmp_path / "a.png")
    assert not list(tmp_path.iterdir()) and to_pil(EXACT).size == (30, 20)


def test_a_refusal_is_quick():
    data = saved(Image.fromarray(np.zeros((3000, 3000), np.uint8)))
    began = time.perf_counter()
    with pytest.raises(FileError, match="3000 x 3000"):
        load_image(data, max_pixels=1_000_000)
    assert time.perf_counter() - began < 1


def test_real_pictures(shared_data: Path):
    for path in [*(shared_data / "photos").glob("*/*.*")]:
        image, alpha = load_image(path)
        with Image.open(path) as other:
            assert image.shape[1:] == (other.height, other.width) and (alpha is not None) == (
                other.mode == "RGBA"
            )
