"""Collections: rows, splits, sizes, cameras, files, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from svr_nb.cameras.projections import Orthographic, Pinhole, orbit
from svr_nb.conventions import FileError, InputError, SvrError, seeded
from svr_nb.data.collection import Collection


def small(count: int = 6, size: int = 8, **more: torch.Tensor) -> Collection:
    """A collection of noise with a disk-like mask."""
    image = torch.rand(count, 3, size, size, generator=seeded(count, size))
    fields = {
        "image": image,
        "mask": (image[:, :1] > 0.3).float(),
        "azimuth": torch.arange(count).float(),
    } | more
    return Collection(
        fields,
        "noise",
        "test",
        names=[f"item {i}" for i in range(count)],
        labels={"parts": ("a", "b")},
    )


def with_cameras(count: int = 4) -> tuple[Collection, Pinhole]:
    """A collection of cameras on an orbit, and the cameras."""
    camera = orbit(torch.linspace(0, 90, count), torch.zeros(count))
    return small(
        count,
        camera_rotation=camera.rotation,
        camera_translation=camera.translation,
        camera_focal=camera.focal,
        camera_center=camera.center,
    ), camera


def test_length_items_and_words() -> None:
    data = small(5)
    assert len(data) == 5 and "mask" in data and "points" not in data
    assert set(data[2]) == {"image", "mask", "azimuth"} and data[2]["image"].shape == (3, 8, 8)
    assert torch.equal(data[-1]["image"], data[4]["image"])
    assert len(list(data)) == 5
    assert "5 noise" in repr(data) and "image (3, 8, 8)" in repr(data)
    with pytest.raises(IndexError):
        data[5]


def test_batch_and_subset_agree_with_rows() -> None:
    data = small(6)
    batch, subset = data.batch([4, 0, -1]), data.subset(torch.tensor([4, 0, 5]))
    assert all(torch.equal(batch[name], subset.fields[name]) for name in batch)
    assert (
        subset.names == ["item 4", "item 0", "item 5"]
        and subset.labels == data.labels
        and subset.category == "noise"
    )
    mask = data.fields["azimuth"] > 3
    assert data.subset(mask).names == ["item 4", "item 5"]


def test_data_loader_reads_it() -> None:
    batches = list(DataLoader(small(6), batch_size=4))
    assert [len(b["image"]) for b in batches] == [4, 2]


@settings(max_examples=20)
@given(count=st.integers(2, 12), fraction=st.floats(0, 1), seed=st.integers(0, 99))
def test_split_is_a_partition(count: int, fraction: float, seed: int) -> None:
    data = small(count, 4)
    first, second = data.split(fraction, seed)
    assert len(first) >= 1 and len(second) >= 1
    assert sorted(first.names + second.names) == sorted(data.names)
    again, _ = data.split(fraction, seed)
    assert again.names == first.names


def test_resized_keeps_means_and_binary_masks() -> None:
    data = small(3, 16)
    for size in (4, 8, 32):
        other = data.resized(size)
        assert other.fields["image"].shape[-2:] == (size, size) == other.fields["mask"].shape[-2:]
        assert set(other.fields["mask"].unique().tolist()) <= {0.0, 1.0}
        assert torch.equal(other.fields["azimuth"], data.fields["azimuth"])
    assert torch.allclose(
        data.resized(4).fields["image"].mean((2, 3)), data.fields["image"].mean((2, 3)), atol=1e-6
    )
    assert torch.equal(data.resized(16).fields["image"], data.fields["image"])


def test_cameras_come_back() -> None:
    data, camera = with_cameras()
    assert isinstance(data.camera(1), Pinhole) and len(data.camera(1)) == 1
    points = torch.rand(4, 7, 3, generator=seeded(1)) - 0.5
    assert torch.allclose(data.camera([0, 1, 2, 3]).project(points), camera.project(points))
    flat = small(
        4,
        camera_rotation=camera.rotation,
        camera_translation=camera.translation,
        camera_scale=camera.focal,
    )
    assert isinstance(flat.camera(0), Orthographic)
    with pytest.raises(InputError, match="camera"):
        small().camera(0)


def test_save_and_load_are_inverse(tmp_path: Path) -> None:
    data, _ = with_cameras()
    data = Collection(
        data.fields | {"voxels": torch.zeros(4, 2, 2, 2, dtype=torch.uint8)},
        data.category,
        data.source,
        (),
        data.names,
        data.labels,
    )
    again = Collection.load(data.save(tmp_path / "deep" / "x.safetensors"))
    assert set(again.fields) == set(data.fields)
    assert all(
        torch.equal(again.fields[name], value) and again.fields[name].dtype == value.dtype
        for name, value in data.fields.items()
    )
    assert (again.category, again.source, again.names, again.labels) == (
        data.category,
        data.source,
        data.names,
        data.labels,
    )
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.safetensors"]


@pytest.mark.parametrize(
    "content", [b"", b"not a tensor file", b"\x08\0\0\0\0\0\0\0{}      ", None]
)
def test_bad_files_are_one_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError, match="bad.safetensors"):
        Collection.load(path)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = small().save(tmp_path / "x.safetensors")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(FileError):
        Collection.load(path)


@pytest.mark.parametrize(
    "fields, match",
    [
        ({}, "fields"),
        ({"image": torch.rand(2, 3, 4, 4), "azimuth": torch.zeros(3)}, "rows"),
        ({"azimuth": torch.zeros(0)}, "rows"),
        ({"image": torch.full((1, 3, 4, 4), float("nan"))}, "image"),
        ({"image": torch.full((1, 3, 4, 4), 2.0)}, "image"),
        ({"image": torch.rand(1, 4, 4)}, "image"),
        ({"mask": torch.ones(1, 3, 4, 4)}, "mask"),
        ({"points": torch.full((1, 4, 3), float("inf"))}, "points"),
        ({"azimuth": [1.0, 2.0]}, "azimuth"),
        ({"azimuth": torch.tensor(3.0)}, "azimuth"),
    ],
)
def test_bad_fields_are_refused(fields: dict, match: str) -> None:
    with pytest.raises(InputError, match=match):
        Collection(fields)


@pytest.mark.parametrize("indices", [[], [6], [-7], [0.5], [[0, 1]], "ab", [True, False]])
def test_bad_rows_are_refused(indices: object) -> None:
    with pytest.raises(InputError, match="indices"):
        small(6).subset(indices)


def test_other_refusals() -> None:
    data = small(3)
    for wrong in (
        lambda: data.resized(0),
        lambda: data.resized(2.5),
        lambda: data.split(1.5),
        lambda: data.split(float("nan")),
        lambda: small(1).split(),
        lambda: data.show(0),
        lambda: Collection({"azimuth": torch.zeros(2)}).show(),
        lambda: Collection(data.fields, names=["one"]),
    ):
        with pytest.raises(SvrError):
            wrong()


def test_contact_sheet_has_one_picture_per_item() -> None:
    figure = small(5).show(4, columns=3)
    assert sum(bool(axes.images) for axes in figure.axes) == 4
