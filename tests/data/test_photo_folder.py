"""Photographs made ready, one by one and by the folder."""

from __future__ import annotations

import sys
import types
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from svr_nb.conventions import FileError, InputError, SvrError, seeded
from svr_nb.data.photo_folder import find_photos, photo, photos, prepare_photo, square_crop
from svr_nb.shapes.images import save_image, to_pil


def scene(
    top: int = 30,
    left: int = 60,
    height: int = 30,
    width: int = 50,
    sides: tuple[int, int] = (120, 160),
) -> tuple[torch.Tensor, torch.Tensor]:
    image, mask = torch.full((3, *sides), 0.8), torch.zeros(1, *sides)
    mask[:, top : top + height, left : left + width] = 1
    image[:, top : top + height, left : left + width] = torch.tensor([0.1, 0.3, 0.6])[:, None, None]
    return image, mask


def box_of(mask: torch.Tensor) -> tuple[int, int, int, int]:
    rows, columns = mask[0].any(1).nonzero().flatten(), mask[0].any(0).nonzero().flatten()
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


@given(
    some.integers(8, 50),
    some.integers(8, 60),
    some.integers(0, 60),
    some.integers(0, 90),
    some.sampled_from([32, 64, 100]),
    some.floats(0.3, 1),
)
def test_the_box_fills_its_share(
    height: int, width: int, top: int, left: int, size: int, fill: float
):
    image, mask = scene(top, left, height, width)
    picture, soft, (x0, y0, x1, y1) = square_crop(image, mask > 0.5, size, fill)
    assert picture.shape == (3, size, size) and soft.shape == (1, size, size) and x1 - x0 == y1 - y0
    r0, c0, r1, c1 = box_of(soft >= 0.5)
    pixel = size / (x1 - x0)
    assert abs(max(r1 - r0, c1 - c0) - fill * size) <= 2 * pixel + 2
    assert abs(r0 + r1 - size) <= 2 * pixel + 3 and abs(c0 + c1 - size) <= 2 * pixel + 3


def test_backgrounds():
    image, mask = scene()
    inside = photo(image, mask)[1][0] > 0.5
    for background, corner in (
        ("black", [0, 0, 0]),
        ("white", [1, 1, 1]),
        ("keep", [0.8] * 3),
        ((0.2, 0.4, 0.6), [0.2, 0.4, 0.6]),
    ):
        picture, _ = photo(image, mask, background=background)
        assert picture[:, 0, 0].tolist() == pytest.approx(corner, abs=1e-6)
        assert torch.allclose(
            picture[:, inside].median(1).values, torch.tensor([0.1, 0.3, 0.6]), atol=1e-6
        )


def test_no_colour_leaks_into_the_outline():
    """Colour is multiplied by the mask before it is made smaller: the outline is darker, never
    mixed with the wall.
    """
    image, mask = scene(20, 21, 67, 83, (130, 150))
    picture, soft, _ = square_crop(image, mask > 0.5, 32)
    color = picture / soft.clamp(min=1e-6)
    assert torch.allclose(color[:, soft[0] > 0.05], torch.tensor([[0.1], [0.3], [0.6]]), atol=1e-3)


def test_four_sources_agree():
    image, mask = scene()
    clear = to_pil(torch.cat([image, mask]))
    by_mask, by_alpha, by_wall = (
        prepare_photo(image, mask),
        prepare_photo(clear),
        prepare_photo(image),
    )
    assert (
        torch.equal(by_mask.mask, by_alpha.mask)
        and (by_mask.mask - by_wall.mask).abs().mean() < 0.03
    )
    assert (
        by_alpha.notes == ("mask from the transparency",)
        and by_wall.notes == ("plain background removed",)
        and by_mask.notes == ()
    )
    assert torch.equal(prepare_photo(image, 1 - mask, invert=True).mask, by_mask.mask)
    assert set(by_mask.mask.unique().tolist()) == {0.0, 1.0}


def test_samples_and_photographs_look_alike():
    from svr_nb.data.sample_items import samples

    item = samples("car", count=1, size=64, seed=3)[0]
    made, mask = photo(item["image"], item["mask"])
    assert ((mask > 0.5) & (item["mask"] > 0.5)).sum() / (
        (mask > 0.5) | (item["mask"] > 0.5)
    ).sum() > 0.5
    assert made.shape == item["image"].shape and mask.shape == item["mask"].shape


def test_large_photographs_are_reduced():
    image, mask = scene(300, 500, 400, 900, (1500, 2400))
    made = prepare_photo(image, mask)
    assert made.notes[0] == "reduced by 2.3" and made.box[0] == pytest.approx(
        950 - 900 / 0.8 / 2, abs=6
    )
    r0, c0, r1, c1 = box_of(made.mask > 0.5)
    assert c1 - c0 == pytest.approx(51, abs=1) and r1 - r0 == pytest.approx(51 * 4 / 9, abs=1)


def test_objects_at_the_edge_and_inverted_masks():
    image, mask = scene(0, 0, 60, 70)
    assert prepare_photo(image, mask).notes == ("the object touches the frame",)
    with pytest.warns(UserWarning, match="image: the mask covers 100% .* turned round"):
        turned = prepare_photo(scene()[0], 1 - scene()[1])
    assert (
        torch.equal(turned.mask, prepare_photo(*scene()).mask)
        and "invert=False" in turned.doubts[0]
    )
    with pytest.warns(UserWarning, match=r"inverted\? \(invert=True turns it round\)"):
        kept = prepare_photo(scene()[0], 1 - scene()[1], invert=False)
    assert kept.mask.mean() > turned.mask.mean()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"size": 4}, "size"),
        ({"size": 10.5}, "size"),
        ({"fill": 0.1}, "fill"),
        ({"fill": float("nan")}, "fill"),
        ({"keep": "best"}, "keep"),
        ({"cut": "magic"}, "cut"),
        ({"background": "pink"}, "background"),
        ({"background": (1, 2, 3)}, "background"),
        ({"mask": torch.zeros(1, 120, 160)}, "mask"),
        ({"mask": torch.ones(1, 20, 160)}, "mask"),
        ({"mask": "nothing.png"}, "nothing.png"),
    ],
)
def test_wrong_options_are_named(options: dict, name: str):
    image, mask = scene()
    with pytest.raises(SvrError, match=f"^{name}: expected"):
        prepare_photo(image, **({"mask": mask} | options))


def test_a_thin_line_is_refused_or_kept():
    image, mask = scene(50, 0, 1, 160)
    with pytest.raises(InputError, match="larger size"):
        prepare_photo(image, mask, size=16)
    assert prepare_photo(image, mask, size=256).mask.sum() > 0


def test_rembg_is_used_if_it_is_there(monkeypatch: pytest.MonkeyPatch):
    noisy = torch.rand(3, 120, 160, generator=seeded(1))
    with pytest.raises(InputError, match="install"):
        prepare_photo(noisy, cut="rembg")
    fake = types.ModuleType("rembg")
    fake.remove = lambda picture, only_mask: (
        to_pil(scene()[1].expand(3, -1, -1)) if only_mask else picture
    )
    monkeypatch.setitem(sys.modules, "rembg", fake)
    made = prepare_photo(noisy)
    assert made.notes == ("cut out by rembg",) and torch.equal(
        made.mask, prepare_photo(noisy, scene()[1]).mask
    )
    with pytest.raises(InputError, match="plain"):
        prepare_photo(noisy, cut="plain")
    fake.remove = lambda *_, **__: 1 / 0
    with pytest.raises(InputError, match="ZeroDivisionError"):
        prepare_photo(noisy)


def folder_of(tmp_path: Path) -> Path:
    """Photographs with masks in all the usual places."""
    home = tmp_path / "things"
    (home / "masks").mkdir(parents=True)
    image, mask = scene()
    for name in ("img_1", "img_2", "img_10"):
        save_image(image, home / f"{name}.jpg")
    save_image(mask.expand(3, -1, -1), home / "img_1_mask.png")
    save_image(mask.expand(3, -1, -1), home / "img_2.png")
    save_image(mask.expand(3, -1, -1), home / "masks" / "img_10.png")
    save_image(image, home / "cut.png", alpha=mask)
    (home / "notes.txt").write_text("not a picture")
    return home


def test_masks_are_found_by_name(tmp_path: Path):
    home = folder_of(tmp_path)
    found = {p.name: m.name if m else None for p, m in find_photos(home)}
    assert found == {
        "cut.png": None,
        "img_1.jpg": "img_1_mask.png",
        "img_2.jpg": "img_2.png",
        "img_10.jpg": "img_10.png",
    }
    assert list(found) == ["cut.png", "img_1.jpg", "img_2.jpg", "img_10.jpg"]
    (home / "masks").rename(home / "outlines")
    assert dict(find_photos(home))[home / "img_10.jpg"] is None
    assert (
        dict(find_photos(home, mask_folders=("Outlines",)))[home / "img_10.jpg"]
        == home / "outlines" / "img_10.png"
    )


def test_sibling_folders(tmp_path: Path):
    image, mask = scene()
    for name in ("rgb", "figure_ground"):
        (tmp_path / name).mkdir()
    save_image(image, tmp_path / "rgb" / "horse.jpg")
    save_image(mask.expand(3, -1, -1), tmp_path / "figure_ground" / "horse.png")
    for folder in (tmp_path, tmp_path / "rgb"):
        assert find_photos(folder) == [
            (tmp_path / "rgb" / "horse.jpg", tmp_path / "figure_ground" / "horse.png")
        ]


def test_a_folder_becomes_a_collection(tmp_path: Path):
    found = photos(folder_of(tmp_path), size=32, category="thing")
    assert found.fields["image"].shape == (4, 3, 32, 32) and found.fields["mask"].shape == (
        4,
        1,
        32,
        32,
    )
    assert (
        found.names == ["cut", "img_1", "img_2", "img_10"]
        and found.category == "thing"
        and len(found.notes) == 4
        and found.skipped == [("notes.txt", "not a picture, by its name")]
    )
    assert (found.fields["mask"] - found.fields["mask"][:1]).abs().mean() < 0.03
    assert len(photos(folder_of(tmp_path / "b"), limit=2)) == 2 and len(found.subset([0, 2])) == 2


def test_skip_or_raise(tmp_path: Path):
    home = folder_of(tmp_path)
    (home / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not much")
    save_image(torch.rand(3, 60, 60, generator=seeded(2)), home / "street.png")
    with pytest.raises(FileError, match="broken.jpg"):
        photos(home)
    found = photos(home, on_error="skip")
    assert len(found) == 4
    assert [name for name, _ in found.skipped] == ["broken.jpg", "street.png", "notes.txt"]
    assert all(name in reason for name, reason in found.skipped[:2])
    with pytest.raises(InputError, match="on_error"):
        photos(home, on_error="ignore")


def test_doubtful_masks_warn(tmp_path: Path):
    home = folder_of(tmp_path)
    save_image(1 - scene()[1].expand(3, -1, -1), home / "img_1_mask.png")
    with pytest.warns(UserWarning, match="img_1.jpg.*invert=False"):
        photos(home)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        photos(folder_of(tmp_path / "b"))


@pytest.mark.parametrize(
    "make",
    [
        lambda p: p / "nowhere",
        lambda p: p,
        lambda p: (p / "a.txt", (p / "a.txt").write_text("x"))[0],
    ],
)
def test_folders_without_photographs(make, tmp_path: Path):
    with pytest.raises(FileError):
        photos(make(tmp_path))


def test_nothing_usable(tmp_path: Path):
    save_image(torch.rand(3, 60, 60, generator=seeded(2)), tmp_path / "street.png")
    with pytest.raises(FileError, match="1 that cannot; the first: .*street.png"):
        photos(tmp_path, on_error="skip")


def test_turned_photographs(tmp_path: Path):
    image, mask = scene()
    note = Image.Exif()
    note[0x0112] = 6
    to_pil(image.rot90(1, (1, 2))).save(tmp_path / "a.png", exif=note)
    to_pil(mask.expand(3, -1, -1).rot90(1, (1, 2))).save(tmp_path / "a_mask.png")
    found = photos(tmp_path)
    assert torch.equal(found.fields["mask"][0], photo(image, mask)[1]) and found.notes[0] == (
        "mask turned like the photograph",
    )


@pytest.mark.parametrize(
    ("name", "count"),
    [("weizmann_horse/original", 10), ("voc10_silhouettes/car", 42), ("photos/cutouts", 6)],
)
def test_real_folders(shared_data: Path, name: str, count: int):
    found = photos(shared_data / name, limit=12)
    assert len(found) == min(12, count)
    for mask in found.fields["mask"] > 0.5:
        r0, c0, r1, c1 = box_of(mask)
        assert 48 <= max(r1 - r0, c1 - c0) <= 53


def test_streets_need_a_mask(shared_data: Path):
    with pytest.raises(FileError, match="mask"):
        photos(shared_data / "photos" / "cars", on_error="skip")
