"""A data set in words, the preset that it means, and every stage rehearsed from the command line."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from svr_nb.app.command_line import main
from svr_nb.app.training_runs import (
    Source,
    loaded,
    pictures,
    preset_of,
    rehearse,
    train,
    understood,
    with_parts,
)
from svr_nb.conventions import FileError, InputError
from svr_nb.data.paper_collections import write_miniature
from svr_nb.training.system import SYSTEMS, system_class


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    """CUB in miniature."""
    return write_miniature("cub", tmp_path_factory.mktemp("cub"), counts=(4, 2, 3))


def test_sources_are_checked():
    with pytest.raises(InputError, match="--data"):
        Source("imagenet")
    with pytest.raises(InputError, match="--root"):
        Source("cub")
    with pytest.raises(InputError, match="--natural-root"):
        Source(natural="photos")


def test_loaders_are_told_what_they_understand(birds):
    assert {"parts"} <= understood("cub") & understood("photos") - understood("drc")
    few = loaded("cub", str(birds), "train", 32, limit=2, category="sparrow", voxels=32)
    assert len(few) == 2 and few["image"].shape[-1] == 32


def test_part_maps_of_every_split_lie_side_by_side(birds):
    config = system_class("umr").Config.tiny()
    source = Source("cub", str(birds), parts=str(birds / "parts"))
    for split, count in (("train", 4), ("test", 2)):
        data = pictures(system_class("umr"), config, source, split)
        assert len(data) == count and data["part_map"].shape[1] == 4
    assert with_parts(replace(config, parts=6), data).parts == 4


def test_photographs_take_part_maps_from_files(tmp_path):
    """Maps named like the photographs, cut with them; every split its own."""
    from svr_nb.data.paper_collections import split_of
    from svr_nb.umr.part_maps import write_photo_parts

    folder = write_miniature("photos", tmp_path / "mine", count=12)
    halves = torch.zeros(12, 2, 32, 32)
    halves[:, 0, :16], halves[:, 1, 16:] = 1, 1
    write_photo_parts(folder, halves, tmp_path / "maps")
    umr = system_class("umr")
    source = Source("photos", str(folder), parts=str(tmp_path / "maps"))
    data = pictures(umr, replace(umr.Config.tiny(), image_size=32), source)
    assert data.names == [f"{i:03d}" for i in range(12) if split_of(f"{i:03d}") == "train"]
    top, bottom = data["part_map"][:, 0, :14].sum(), data["part_map"][:, 0, 18:].sum()
    assert top > 50 * bottom and with_parts(umr.Config.tiny(), data).parts == 2
    with pytest.raises(FileError, match="part map"):
        pictures(umr, umr.Config.tiny(), replace(source, parts=str(folder)))


def test_presets_belong_to_sets():
    tars = system_class("tars")
    cub = preset_of(tars, "paper", Source("cub", "x"))
    chairs = preset_of(tars, "paper", Source(category="chair"), pretrained=False)
    assert (cub.image_size, cub.rays, chairs.image_size, chairs.rays) == (128, 2048, 64, 1024)
    assert cub.pretrained and not chairs.pretrained
    with pytest.raises(InputError, match="--preset"):
        preset_of(tars, "huge", Source())


def test_lem_learns_from_photographs_without_shapes(tmp_path):
    """A folder of photographs is the unlabelled world; the drawings are made."""
    import svr_nb as svr

    few = svr.data.samples("chair", count=3, size=64, seed=2)
    for number in range(3):
        picture = torch.cat([few["image"][number], few["mask"][number]])
        svr.shapes.save_image(picture, tmp_path / f"{number}.png")
    lem = system_class("lem")
    worlds = pictures(lem, lem.Config.tiny(), Source("photos", str(tmp_path), count=2))
    assert {"synthetic", "natural"} <= set(worlds) and "voxels" not in worlds["natural"]
    assert worlds["synthetic"]["voxels"].shape[-1] == lem.Config.tiny().voxels


def test_lem_asks_for_the_other_world(birds):
    lem = system_class("lem")
    with pytest.raises(InputError, match="--natural"):
        pictures(lem, lem.Config.tiny(), Source("cub", str(birds)))


def test_grids_are_as_fine_as_the_configuration():
    lem = system_class("lem")
    config = replace(lem.Config.paper(), image_size=32)
    worlds = pictures(lem, config, Source(count=1))
    assert all(worlds[name]["voxels"].shape[-1] == 32 for name in ("synthetic", "shapes"))


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_stage_is_rehearsed_from_the_command_line(system, birds, capsys):
    """Two steps of every stage, on CUB in miniature where the paper uses it."""
    words = ["train", system, "--dry-run", "--device", "cpu", "--count", "3"]
    if system in ("umr", "agt", "tars"):
        words += ["--data", "cub", "--root", str(birds)]
    if system in ("umr", "agt"):
        words += ["--parts", str(birds / "parts")]
    assert main(words) == 0
    said = capsys.readouterr().out
    kind = system_class(system)
    names = [stage.name for stage in kind(kind.Config.tiny()).stages()]
    assert all(f"{number} {name}" in said for number, name in enumerate(names, 1))
    assert "nothing was saved" in said


@pytest.mark.parametrize("system", ["lem", "umr", "agt", "tars"])
def test_paper_presets_say_at_once_what_they_lack(system, birds, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("svr_nb.data.sample_items.samples", _tiny_samples)
    words = ["train", system, "--preset", "paper", "--dry-run", "1", "--device", "cpu"]
    if system != "lem":
        words += ["--data", "cub", "--root", str(birds), "--limit", "2"]
    if system == "lem":
        words += ["--count", "1"]
    assert main([*words, "--weights", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "weights of" in said and "--without-pretrained" in said


def _tiny_samples(*words, **more):
    """Fewer points than usual; nobody looks at them here."""
    from svr_nb.data.sample_items import samples as usual

    return usual(*words, **{**more, "points": 0})


def test_a_rehearsal_counts_every_stage():
    kind = system_class("ssl3d")
    model = kind(replace(kind.Config.tiny(), image_size=16, points=32, batch=2))
    data = pictures(kind, model.config, Source(category="car", count=3))
    table = rehearse(model, data, 2, device="cpu", progress=False)
    assert [row["steps"] for row in table.rows] == [s.steps for s in model.stages()]
    assert all(row["last step (s)"] > 0 for row in table.rows)
    held, learning = table["GB so far"], sum(p.numel() for p in model.parameters())
    assert held == sorted(held) and 0.05 < held[0] < 50
    assert all(0 < row["learning (M)"] * 1e6 <= learning for row in table.rows)


def test_a_run_can_be_gone_on_with(tmp_path):
    """`train` twice: the second finds everything done, and gives the same model."""
    import svr_nb as svr

    kind = system_class("lem")
    source = Source(category="chair", count=2)
    stages = [replace(s, steps=2) for s in kind(kind.Config.tiny()).stages()]
    how = {"stages": stages, "device": "cpu", "progress": False, "out": tmp_path / "run"}
    folder = train("lem", source, **how)
    first = (folder / "model.safetensors").read_bytes()
    assert train("lem", source, **how) == folder
    assert (folder / "model.safetensors").read_bytes() == first
    assert type(svr.LEM.from_pretrained(folder)) is svr.LEM
