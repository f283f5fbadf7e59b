"""Collections on disk, on miniatures in their layouts: what is read, what is refused, what is kept."""

from __future__ import annotations

import random
import shutil
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

from svr_nb.conventions import FileError, InputError, SvrError
from svr_nb.data.data_check import check_data
from svr_nb.data.paper_collections import COLLECTIONS, load_collection, split_of, write_miniature

KINDS = tuple(COLLECTIONS)
PAPERS = tuple(kind for kind in KINDS if kind != "photos")


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    """Kind -> the folder of a miniature, written once."""
    made: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in made:
            made[kind] = write_miniature(kind, tmp_path_factory.mktemp(kind) / kind)
        return made[kind]

    return of


def first_split(kind: str) -> str:
    """A split that every miniature fills."""
    return "test" if kind == "pix3d" else "train"


def read(kind: str, root: Path, **options):
    """One split at 32 pixels."""
    return load_collection(kind, root, first_split(kind), 32, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_items_are_what_the_guide_says(kind, miniature):
    data = read(kind, miniature(kind))
    image, mask = data.fields["image"], data.fields["mask"]
    assert image.shape[1:] == (3, 32, 32) and mask.shape[1:] == (1, 32, 32)
    assert 0 <= image.min() and image.max() <= 1 and set(mask.unique().tolist()) <= {0.0, 1.0}
    share = mask.flatten(1).mean(1)
    assert (share > 0.03).all() and (share < 0.97).all(), "an object in every picture, and ground"
    for field in COLLECTIONS[kind].fields:
        if field in ("points", "part_map"):  # only when asked for, or where there are such files
            continue
        assert any(name.startswith(field) for name in data.fields), field
    turn = data.fields.get("camera_rotation")
    if turn is not None:
        eye = torch.eye(3).expand(len(turn), 3, 3)
        assert torch.allclose(turn @ turn.transpose(1, 2), eye, atol=1e-4)


@pytest.mark.parametrize("kind", PAPERS)
def test_splits_share_no_picture(kind, miniature):
    names: dict[str, set[str]] = {}
    for split in COLLECTIONS[kind].splits:
        try:
            names[split] = set(load_collection(kind, miniature(kind), split, 16).names)
        except SvrError:
            continue  # too small for this split
    assert names.get("train") or names.get("test")
    if kind == "pix3d":  # its "test" is all that the papers test on; train and val are ours
        return
    pairs = [("train", "val"), ("train", "test")]
    for a, b in pairs:
        assert not names.get(a, set()) & names.get(b, set()), (a, b)


@pytest.mark.parametrize("kind", PAPERS)
def test_the_cache_and_workers_change_no_bit(kind, miniature, tmp_path):
    plain = read(kind, miniature(kind)).fields
    for options in ({"cache": tmp_path}, {"cache": tmp_path}, {"workers": 2}):
        again = read(kind, miniature(kind), **options).fields
        assert set(again) == set(plain)
        assert all(torch.equal(again[name], plain[name]) for name in plain), options


@pytest.mark.parametrize("kind", PAPERS)
def test_packed_pictures_come_back_in_batches(kind, miniature):
    plain, packed = read(kind, miniature(kind)), read(kind, miniature(kind), packed=True)
    assert len(packed) == len(plain)
    some = packed.batch(torch.tensor([1, 0]))
    assert torch.allclose(some["image"], plain.fields["image"][[1, 0]], atol=1 / 255)
    assert torch.equal(some["mask"], plain.fields["mask"][[1, 0]])


@pytest.mark.parametrize("kind", PAPERS)
def test_limit_takes_the_first(kind, miniature):
    whole, few = read(kind, miniature(kind)), read(kind, miniature(kind), limit=2)
    assert len(few) == 2
    assert torch.equal(few.fields["image"], whole.fields["image"][:2])


def drawn(kind: str, root: Path, name: str) -> torch.Tensor:
    """How much of the projected shape lies on the silhouette, per picture."""
    data = read(kind, root)
    from svr_nb.tars.fields import batch_camera

    camera = batch_camera(data.fields)
    uv = camera.project(data.fields[name])[..., :2]
    values = torch.nn.functional.grid_sample(
        data.fields["mask"], uv[:, None], mode="nearest", align_corners=False
    )
    return values[:, 0, 0].mean(1)


@pytest.mark.parametrize(("kind", "name"), [("drc", "points"), ("cub", "keypoints")])
def test_projected_shapes_lie_on_silhouettes(kind, name, miniature):
    inside = drawn(kind, miniature(kind), name)
    assert inside.mean() > 0.85, inside


@pytest.mark.parametrize("kind", ["cub", "pix3d"])
def test_projected_keypoints_land_on_keypoints(kind, miniature):
    from svr_nb.tars.fields import batch_camera

    data = read(kind, miniature(kind))
    uv = batch_camera(data.fields).project(data.fields["keypoints"])[..., :2]
    seen = data.fields["keypoints_visible"] > 0.5
    error = (uv - data.fields["keypoints_uv"]).norm(dim=-1)[seen]
    assert seen.any() and error.max() < 0.02, "in half image widths"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_is_named_with_its_source(kind, tmp_path):
    with pytest.raises(FileError, match="nothing of the name"):
        load_collection(kind, tmp_path / "nowhere")
    empty = tmp_path / "one" / "two" / "empty"  # far from whatever lies beside the folder of tests
    empty.mkdir(parents=True)
    with pytest.raises(FileError) as caught:
        load_collection(kind, empty)
    guide = COLLECTIONS[kind]
    assert guide.home in str(caught.value) and guide.licence in str(caught.value)


@pytest.mark.parametrize("kind", PAPERS)
def test_a_folder_above_is_pointed_at(kind, miniature):
    root = miniature(kind)
    with pytest.raises(FileError, match=f"Perhaps .*{root.name}"):
        load_collection(kind, root.parent)


def test_unknown_words_are_refused(miniature):
    with pytest.raises(InputError, match="kind.*cub"):
        load_collection("cubs", ".")
    with pytest.raises(InputError, match="options.*parts"):
        load_collection("cub", miniature("cub"), part=3)
    with pytest.raises(SvrError, match="split"):
        load_collection("cub", miniature("cub"), "training")


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
def test_an_archive_reads_like_its_folder(form, miniature, tmp_path):
    root, file = miniature("drc"), tmp_path / f"drc.{form}"
    if form == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            for path in sorted(root.rglob("*")):
                archive.write(path, path.relative_to(root.parent))
    else:
        with tarfile.open(file, "w:gz" if form.endswith("gz") else "w") as archive:
            archive.add(root, root.name)
    inside, outside = read("drc", file), read("drc", root)
    assert torch.equal(inside.fields["image"], outside.fields["image"])


@pytest.mark.parametrize("kind", KINDS)
def test_check_data_counts_and_shows(kind, miniature, tmp_path):
    report = check_data(kind, miniature(kind), 32)
    assert sum(report.counts.values()) > 0
    assert COLLECTIONS[kind].title in str(report) and "next:" in str(report)
    sheet = report.save_sheet(tmp_path / "sheet.png")
    assert sheet.read_bytes()[:4] == b"\x89PNG"


def test_check_data_names_the_broken_file(miniature, tmp_path):
    root = tmp_path / "drc"
    shutil.copytree(miniature("drc"), root)
    picture = sorted(root.rglob("*.png"))[0]
    picture.write_bytes(picture.read_bytes()[:50])
    report = check_data("drc", root, 32)
    assert any(picture.name in name + why for _, name, why in report.wrong), report.wrong


def test_check_data_names_everything_that_lies_in_a_folder(miniature, tmp_path):
    """A mask without its photograph, a format nobody reads here, half a file."""
    root = tmp_path / "mine"
    shutil.copytree(miniature("photos"), root)
    (root / "002.jpg").unlink()
    (root / "IMG_1.HEIC").write_bytes(b"from a telephone")
    (root / "003.jpg").write_bytes((root / "003.jpg").read_bytes()[:300])
    report = check_data("photos", root, 32)
    named = {name for _, name, _ in report.wrong}
    assert named == {"002_mask.png", "IMG_1.HEIC", "003.jpg"}
    assert sum(report.counts.values()) == len(list(root.glob("*.jpg"))) - 1
    assert f"{root}/003.jpg" not in str(report), "a file is named once in its line"


def test_check_data_says_what_every_photograph_lacks(tmp_path):
    from svr_nb.conventions import rand, seeded
    from svr_nb.shapes.images import save_image

    for number in range(3):
        busy = rand(3, 60, 80, generator=seeded(number))
        save_image(busy, tmp_path / f"{number}.png")
    report = check_data("photos", tmp_path, 32)
    assert {name for _, name, _ in report.wrong} == {"0.png", "1.png", "2.png"}
    assert not any(report.counts.values()) and "nothing can be used yet" in str(report)
    assert all("Put a mask beside it" in why for _, _, why in report.wrong)


@pytest.mark.parametrize(
    ("folder", "good", "left"),
    [
        ("voc10_silhouettes/chair", 32, set()),
        ("photos/cutouts", 6, set()),
        ("shapenet_derived/drc_demo", 1, set()),
        ("shapenet_derived/r2n2_style_plane", 3, {"cameras.txt"}),
        ("photos/birds", 0, {"img1.jpg", "img2.jpg"}),
        ("photos/single", 0, {"aeroplane_image.jpg"}),
        ("shapenet_derived/chair_21bfb150", 1, {"texture0.jpg"}),
    ],
)
def test_real_folders_are_checked(folder, good, left, shared_data):
    """Counted or named, one or the other, and nothing twice."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        report = check_data("photos", shared_data / folder, 32)
    assert sum(report.counts.values()) == good
    assert left <= {name for _, name, _ in report.wrong}, report.wrong


def test_photographs_keep_their_split():
    splits = [split_of(f"{i:04d}") for i in range(2000)]
    assert 0.75 < splits.count("train") / 2000 < 0.85 and splits.count("val") > 100
    assert split_of("0003") == split_of("0003") and {split_of("a", seed) for seed in range(50)} > {
        "train"
    }


def spoiled(data: bytes, chance: random.Random) -> bytes:
    """The bytes of a file after an accident."""
    kind = chance.randrange(6)
    if kind == 0 or not data:
        return b""
    if kind == 1:
        return data[: chance.randrange(len(data))]
    if kind == 2:
        return bytes(chance.randrange(256) for _ in range(min(len(data), 400)))
    if kind == 3:
        return data.replace(b"1", b"-9" if chance.random() < 0.5 else b"nan", 5)
    broken = bytearray(data)
    for _ in range(1 if kind == 4 else 40):
        broken[chance.randrange(len(broken))] = chance.randrange(256)
    return bytes(broken)


@pytest.mark.parametrize("kind", PAPERS)
def test_accidents_are_one_clear_error(kind, miniature, tmp_path):
    """Fifty accidents a kind, 300 in all: annotations, lists, pictures, grids."""
    root = tmp_path / kind
    shutil.copytree(miniature(kind), root)
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    notes = [p for p in files if p.suffix.lower() not in (".png", ".jpg", ".jpeg")]
    for seed in range(50):
        chance = random.Random(f"{kind} {seed}")
        path = chance.choice(notes if notes and seed % 3 else files)
        whole = path.read_bytes()
        path.write_bytes(spoiled(whole, chance))
        try:
            read(kind, root)
        except SvrError as error:
            text = str(error)
            assert "expected" in text and "got" in text, (seed, path.name, text)
        except Exception as error:
            pytest.fail(f"seed {seed}, {path.relative_to(root)}: {type(error).__name__}: {error}")
        finally:
            path.write_bytes(whole)


@pytest.mark.parametrize(
    ("kind", "folder", "wanted"),
    [
        ("photos", "weizmann_horse", 183),
        ("photos", "shapenet_derived/onet_demo", 5),
        ("photos", "voc10_silhouettes", "Perhaps"),  # its classes are folders
        ("photos", "photos/cars", "Put a mask beside it"),
        ("photos", "meshes/modelnet_chairs", "not a picture"),
        ("pascal3d", "pascal3d_derived", "without Images"),  # DRC's form of one chair
        ("r2n2", "shapenet_derived/r2n2_style_plane", "without ShapeNetRendering"),
        ("drc", "shapenet_derived/drc_demo", "without ShapeNet_rendered"),
    ],
)
def test_real_folders_load_or_are_told_why_not(kind, folder, wanted, shared_data):
    if isinstance(wanted, int):
        assert len(load_collection(kind, shared_data / folder, "train", 32)) == wanted
        return
    with pytest.raises(SvrError, match=wanted):
        load_collection(kind, shared_data / folder, "train", 32)
