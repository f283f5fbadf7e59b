"""Weights that others have trained: found, checked, renamed, refused with a remedy, done without."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import svr_nb as svr
from svr_nb.conventions import CheckpointError, FileError, InputError, seeded
from svr_nb.lem.networks import ResNet50
from svr_nb.networks.pretrained import (
    NETWORKS,
    fill_trunk,
    find_pretrained,
    resnet_name,
    weight_names,
    without_pretrained,
)
from svr_nb.tars.networks import ResNet18
from svr_nb.training.loop import fit
from svr_nb.umr.networks import ResidualTrunk

fit_quietly = lambda *words, **more: fit(*words, device="cpu", progress=False, **more)


def random_weights(net: nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    """Other weights of a network's shape; running variances above 0."""
    chance, made = seeded(seed), {}
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            made[name] = torch.rand(value.shape, generator=chance) * 0.1 + 0.01
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with files of the shape of torchvision's networks."""
    place = tmp_path_factory.mktemp("weights")
    save_file(random_weights(ResNet18(1000)), place / "resnet18.safetensors")
    torch.save(random_weights(ResNet50()), place / "resnet50.pth")
    return place


def test_every_network_has_names():
    assert {"resnet18", "resnet50", "vgg", "inception"} <= set(NETWORKS)
    assert weight_names("resnet50")[0] == "resnet50-0676ba61.pth"
    with pytest.raises(InputError, match="network"):
        weight_names("resnet101")


def test_missing_files_come_with_the_remedy(tmp_path):
    with pytest.raises(FileError) as error:
        find_pretrained("resnet18", tmp_path)
    said = str(error.value)
    assert all(
        word in said for word in ("resnet18-f37072fd.pth", "--weights", "--without-pretrained")
    )


def test_torchvisions_folder_is_the_usual_one(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    own = tmp_path / "checkpoints" / "resnet18.pth"
    torch.save({"a": torch.zeros(1)}, own)
    assert find_pretrained("resnet18") == own


def test_the_checksum_in_a_name_is_read(tmp_path):
    contents = b"not really a network"
    digits = hashlib.sha256(contents).hexdigest()[:8]
    good, bad = tmp_path / f"own-{digits}.pth", tmp_path / "resnet18-f37072fd.pth"
    good.write_bytes(contents)
    bad.write_bytes(contents)
    assert find_pretrained("vgg", good) == good
    with pytest.raises(FileError, match=digits):
        find_pretrained("resnet18", tmp_path)


def test_a_pickle_that_holds_more_is_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("sprung",))

    torch.save({"conv1.weight": Trap()}, tmp_path / "resnet18.pth")
    config = replace(svr.UMR.Config.tiny(), trunk="residual", pretrained=True, image_size=64)
    system = svr.UMR(config)
    system.weights_from = tmp_path
    with pytest.raises(FileError):
        system.before_training(True)


def test_other_names_and_shapes():
    trunk, theirs = ResidualTrunk(64, 16), random_weights(ResNet18(10))
    count = fill_trunk(trunk, theirs, "a file", resnet_name, ("squeeze.", "head."))
    assert count > 11_000_000
    for name, value in trunk.state_dict().items():
        if not name.startswith(("squeeze.", "head.")) and value.is_floating_point():
            assert torch.equal(value, theirs[resnet_name(name)]), name
    assert all(p.requires_grad for p in trunk.parameters())
    del theirs["layer2.0.conv1.weight"]
    with pytest.raises(CheckpointError, match="layer2.0.conv1.weight"):
        fill_trunk(trunk, theirs, "a file", resnet_name, ("squeeze.", "head."))


def test_ours_and_theirs_are_one_function():
    """The same weights in UMR's and TARS's ResNet-18 give the same maps."""
    theirs = random_weights(ResNet18(10), 3)
    umr, tars = ResidualTrunk(64, 16).eval(), ResNet18(10).eval()
    fill_trunk(umr, theirs, "a file", resnet_name, ("squeeze.", "head."))
    fill_trunk(tars, theirs, "a file")
    x = torch.rand(2, 3, 64, 64, generator=seeded(1))
    with torch.no_grad():
        maps = umr.groups(umr.stem(x))
        y = torch.nn.functional.max_pool2d(tars.bn1(tars.conv1(x)).relu(), 3, 2, 1)
        for layer in (tars.layer1, tars.layer2, tars.layer3, tars.layer4):
            y = layer(y)
    assert torch.allclose(maps, y, rtol=1e-4)


# --- in the systems ---


def small_with_trunk(name: str):
    """A small system with the paper's trunk, its data, and where the trunk is."""
    from tests.suite.systems import SYSTEMS

    entry = next(entry for entry in SYSTEMS if entry.name == name)
    changes = {
        "umr": {"trunk": "residual", "image_size": 64},
        "lem": {"trunk": "resnet50"},
        "tars": {"encoder": "resnet18", "widths": (64, 128, 256, 512)},
    }[name]
    system = entry.make(0)
    config = replace(system.config, pretrained=True, **changes)
    return type(system)(config), entry.data()


@pytest.mark.parametrize("name", ["umr", "lem", "tars"])
def test_trunks_are_asked_for_before_the_first_step(name, tmp_path):
    system, data = small_with_trunk(name)
    system.weights_from, steps = tmp_path, []
    with pytest.raises(FileError, match="weights of 'resnet"):
        fit_quietly(system, data, tmp_path / "run", on_step=lambda *step: steps.append(step))
    assert not steps and not list((tmp_path / "run").glob("step-*"))


@pytest.mark.parametrize("name", ["umr", "lem", "tars"])
def test_trunks_are_filled_once(name, folder, tmp_path):
    system, _ = small_with_trunk(name)
    fresh = {n: x.clone() for n, x in system.state_dict().items()}
    system.weights_from = folder
    system.before_training(False)
    assert all(torch.equal(x, fresh[n]) for n, x in system.state_dict().items())
    system.before_training(True)
    changed = [n for n, x in system.state_dict().items() if not torch.equal(x, fresh[n])]
    prefix = {"umr": "trunk.", "lem": "encoder.trunk.", "tars": "encoder."}[name]
    assert len(changed) > 60 and all(n.startswith(prefix) for n in changed)
    assert not any(".fc." in n or "squeeze" in n or "head" in n for n in changed)


def test_the_perceptual_distance_is_asked_for_in_every_run(tmp_path):
    from tests.suite.systems import small_agt, small_umr

    for system in (small_umr(), small_agt()):
        hungry = type(system)(replace(system.config, perceptual="vgg"))
        hungry.weights_from = tmp_path
        with pytest.raises(FileError, match="'vgg'"):
            hungry.before_training(False)
    assert not [name for name in system.state_dict() if "perceptual" in name]


def test_the_frechet_features_are_asked_for_at_the_start(tmp_path):
    """Not after 149,000 steps."""
    from tests.suite.systems import few_birds, small_agt

    system = svr.AGT(replace(small_agt().config, fid_features="inception"))
    system.weights_from, steps = tmp_path, []
    with pytest.raises(FileError, match="'inception'"):
        fit_quietly(system, few_birds(), on_step=lambda *step: steps.append(step))
    assert not steps


@pytest.mark.parametrize("kind", [svr.LEM, svr.UMR, svr.AGT, svr.TARS, svr.SSL3D])
def test_every_paper_preset_can_do_without(kind):
    config = kind.Config.paper()
    plain = without_pretrained(config).to_dict()
    assert not plain.get("pretrained") and plain.get("perceptual", "pyramid") == "pyramid"
    assert plain.get("fid_features", "tiny") == "tiny"
    changed = {name for name, value in config.to_dict().items() if plain[name] != value}
    assert changed <= {"pretrained", "perceptual", "fid_features"}
    assert bool(changed) == (kind is not svr.SSL3D)


@pytest.mark.parametrize("name", svr.shipped())
def test_shipped_networks_want_nothing_from_others(name):
    system = svr.load(*name.split("-"))
    assert without_pretrained(system.config) == system.config
