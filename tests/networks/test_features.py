"""Perceptual distances and feature maps: values by hand, gradients, shipped weights, and backends
that are not there.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn

from svr_nb.conventions import FileError, InputError, SvrError, rand, seeded
from svr_nb.networks import FeatureNet, PerceptualLoss
from svr_nb.networks.features import (
    SHIPPED,
    TINY_CLASSES,
    TinyNet,
    Vgg,
    class_pictures,
    fill,
    find_weights,
    halve,
    need,
    pyramid_distance,
    read_weights,
    tiny_net,
    train_tiny,
    varied,
)

A, B = (rand(3, 3, 32, 32, generator=seeded(i)) for i in (1, 2))


# the pyramid
# ---------------------------------------------------------------------------------------------------------
def test_one_level_by_hand():
    gap = (A - B).abs().mean((1, 2, 3))
    edges = [(A.diff(dim=d) - B.diff(dim=d)).abs().mean((1, 2, 3)) for d in (2, 3)]
    assert torch.allclose(pyramid_distance(A, B, 1), gap + edges[0] + edges[1], atol=1e-6)


def test_levels_add_up():
    two = pyramid_distance(A, B, 1) + pyramid_distance(halve(A), halve(B), 1)
    assert torch.allclose(pyramid_distance(A, B, 2), two, atol=1e-5)


def test_halving_keeps_constants_and_removes_fine_stripes():
    flat = torch.full((1, 2, 17, 12), 0.3)
    assert torch.allclose(halve(flat), torch.full((1, 2, 9, 6), 0.3), atol=1e-6)
    checker = ((torch.arange(16)[:, None] + torch.arange(16)) % 2).float()[None, None]
    assert float(halve(checker)[..., 1:-1, 1:-1].std()) < 1e-6


def test_it_is_a_distance():
    loss, c = PerceptualLoss(), rand(3, 3, 32, 32, generator=seeded(3))
    assert torch.equal(loss(A, A), torch.zeros(3)) and torch.allclose(loss(A, B), loss(B, A))
    assert bool((loss(A, B) <= loss(A, c) + loss(c, B) + 1e-6).all()) and bool(
        (loss(A, B) > 0).all()
    )
    assert torch.allclose(loss(A, B)[1], loss(A[1:2], B[1:2])[0])


def test_gradcheck():
    a, b = (rand(1, 2, 8, 8, generator=seeded(i)).double() for i in (4, 5))
    assert torch.autograd.gradcheck(
        lambda x: pyramid_distance(x, b, 3), a.requires_grad_(), eps=1e-7, atol=1e-5
    )


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: pyramid_distance(A, B[:2]), "b"),
        (lambda: pyramid_distance(A[..., :9, :9], B[..., :9, :9]), "a"),
        (lambda: pyramid_distance(A, B, 0), "levels"),
        (lambda: PerceptualLoss("lpips"), "backend"),
        (lambda: FeatureNet("vgg"), "backend"),
        (lambda: PerceptualLoss()(A * float("nan"), B), "a"),
        (lambda: FeatureNet().maps(A[:, :2]), "image"),
        (lambda: FeatureNet()(A[..., :8, :8]), "image"),
    ],
)
def test_refusals_name_the_argument(call, name):
    with pytest.raises(InputError, match=f"^{name}"):
        call()


# the small network
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_are_small_and_travel_with_the_library(name):
    import svr_nb

    path = Path(svr_nb.__file__).parent / "networks" / f"{name}_features.safetensors"
    assert 50_000 < path.stat().st_size < 500_000
    assert "recursive-include svr_nb *.safetensors" in (path.parents[2] / "MANIFEST.in").read_text()
    assert tiny_net(name).classify.out_features == TINY_CLASSES[name]


def test_shipped_network_knows_the_sample_categories():
    images, labels = class_pictures("val", each=6, seed=3)
    with torch.no_grad():
        assert float((tiny_net()(images).argmax(1) == labels).float().mean()) > 0.6


def test_shipped_network_of_paint_knows_categories_and_looks():
    images, labels = class_pictures("val", each=6, seed=3, cut=True, looks=True)
    assert sorted(labels.unique().tolist()) == list(range(14))
    with torch.no_grad():
        said = tiny_net("paint")(images).argmax(1)
    assert float((said == labels).float().mean()) > 0.75
    assert float((said % 2 == labels % 2).float().mean()) > 0.9


def test_classes_of_looks_are_in_the_order_of_the_categories():
    plain, numbers = class_pictures("val", each=2, seed=3, size=16)
    cut, both = class_pictures("val", each=2, seed=3, size=16, cut=True, looks=True)
    assert torch.equal(both // 2, numbers) and both.tolist()[:4] == [0, 0, 1, 1]
    assert bool((cut <= plain + 1e-6).all()) and float((cut == 0).float().mean()) > 0.3


def test_without_tint_colours_stay():
    gray = torch.full((2, 3, 16, 16), 0.5)
    assert torch.allclose(varied(gray, seeded(1), tint=False), gray, atol=1e-6)
    assert not torch.allclose(varied(gray, seeded(1)), gray, atol=1e-2)


def test_maps_and_vector():
    net = FeatureNet()
    maps = net.maps(A)
    assert [tuple(m.shape) for m in maps] == [
        (3, 16, 32, 32),
        (3, 24, 16, 16),
        (3, 48, 8, 8),
        (3, 64, 4, 4),
    ]
    assert net(A).shape == (3, net.out) and torch.allclose(net(A), maps[-1].mean((2, 3)))
    assert torch.allclose(net(A[1:2]), net(A)[1:2], atol=1e-5)


def test_it_stays_frozen_and_lets_gradients_through():
    net = FeatureNet().train()
    assert (
        not net.training
        and not any(m.training for m in net.modules())
        and not any(p.requires_grad for p in net.parameters())
    )
    image = A.clone().requires_grad_()
    net(image).sum().backward()
    assert float(image.grad.abs().sum()) > 0


def test_training_learns_and_repeats():
    red, blue = torch.zeros(20, 3, 16, 16), torch.zeros(20, 3, 16, 16)
    red[:, 0, 4:12, 4:12], blue[:, 2, 4:12, 4:12] = 0.9, 0.9
    images, labels = torch.cat([red, blue]), torch.arange(40) // 20
    first, again = (train_tiny(images, labels, steps=25, seed=2, batch=8) for _ in range(2))
    with torch.no_grad():
        assert torch.equal(first(images), again(images)) and bool(
            (first(images).argmax(1) == labels).all()
        )


def test_variation_keeps_the_range_and_repeats():
    moved = varied(A, seeded(7))
    assert moved.shape == A.shape and 0 <= float(moved.min()) and float(moved.max()) <= 1
    assert torch.equal(moved, varied(A, seeded(7))) and not torch.equal(moved, varied(A, seeded(8)))


# other people's weights
# ----------------------------------------------------------------------------------------------
def vgg_tensors(depth: int) -> dict[str, torch.Tensor]:
    """Random weights in the layout of torchvision's file."""
    tensors, inside, number = {}, 3, 0
    for block, (width, count) in enumerate(Vgg.LAYOUT[depth]):
        number += 1 if block else 0
        for _ in range(count):
            tensors[f"features.{number}.weight"] = (
                torch.randn(width, inside, 3, 3, generator=seeded(number)) * (2 / 9 / inside) ** 0.5
            )
            tensors[f"features.{number}.bias"], inside, number = (
                torch.zeros(width),
                width,
                number + 2,
            )
    return tensors


def test_vgg_from_a_file(tmp_path: Path):
    torch.save(vgg_tensors(16) | {"classifier.0.weight": torch.zeros(2)}, tmp_path / "vgg.pth")
    loss = PerceptualLoss("vgg", tmp_path / "vgg.pth")
    a = A.clone().requires_grad_()
    values = loss(a, B)
    values.sum().backward()
    assert (
        values.shape == (3,)
        and bool((values > 0).all())
        and torch.equal(loss(B, B), torch.zeros(3))
        and float(a.grad.abs().sum()) > 0
    )


def test_vgg19_maps(tmp_path: Path):
    torch.save(vgg_tensors(19), tmp_path / "vgg19.pth")
    net = FeatureNet("vgg19", tmp_path / "vgg19.pth")
    assert [m.shape[1] for m in net.maps(A[:1])] == [64, 128, 256, 512, 512, 512] and net(
        A[:1]
    ).shape == (1, 512)


def test_missing_weights_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for call in (
        lambda: PerceptualLoss("vgg"),
        lambda: FeatureNet("vgg19"),
        lambda: find_weights("resnet18", tmp_path / "no.pth"),
    ):
        with pytest.raises(FileError, match="pth"):
            call()


def test_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    for call in (
        lambda: FeatureNet("resnet18"),
        lambda: FeatureNet("inception"),
        lambda: PerceptualLoss("lpips-alex"),
    ):
        with pytest.raises(SvrError, match="pip install torchvision"):
            call()
    with pytest.raises(SvrError, match="no_such_package_at_all, which is not installed"):
        need("no_such_package_at_all", "test")


@pytest.mark.parametrize("content", [b"", b"\x80\x04not a file of weights", b"PK\x03\x04"])
def test_damaged_weights(tmp_path: Path, content: bytes):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(FileError, match="w.pth"):
        read_weights(tmp_path / "w.pth")


def test_a_pickle_that_would_run_something_is_not_run(tmp_path: Path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    torch.save({"w": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(FileError):
        read_weights(tmp_path / "bomb.pth")
    assert not (tmp_path / "ran").exists()


def test_fill_checks_names_and_shapes(tmp_path: Path):
    net = nn.Linear(2, 2)
    with pytest.raises(FileError, match="bias"):
        fill(net, {"weight": torch.zeros(2, 2)}, tmp_path / "x.pth")
    fill(
        net,
        {"weight": torch.ones(2, 2), "bias": torch.zeros(2), "extra": torch.zeros(9)},
        tmp_path / "x.pth",
    )
    assert not net.weight.requires_grad and torch.equal(net.weight, torch.ones(2, 2))


def test_lpips_takes_alexnet_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A stand-in for the package, with its layout of names: each slice repeats the number of
    AlexNet's layer.
    """

    class Alex(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.slice1 = nn.Sequential()
            self.slice1.add_module("0", nn.Conv2d(3, 4, 3))

    class Lpips(nn.Module):
        def __init__(self, **options: object) -> None:
            super().__init__()
            assert options["pnet_rand"] is True  # or else it would download
            self.net = Alex()

        def forward(self, a: torch.Tensor, b: torch.Tensor, normalize: bool) -> torch.Tensor:
            return (
                (self.net.slice1(2 * a - 1) - self.net.slice1(2 * b - 1))
                .square()
                .mean((1, 2, 3), keepdim=True)
            )

    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=Lpips))
    monkeypatch.setitem(sys.modules, "torchvision", types.SimpleNamespace())
    torch.save(
        {"features.0.weight": torch.ones(4, 3, 3, 3), "features.0.bias": torch.zeros(4)},
        tmp_path / "alex.pth",
    )
    loss = PerceptualLoss("lpips-alex", tmp_path / "alex.pth")
    assert torch.equal(loss.net.net.slice1[0].weight, torch.ones(4, 3, 3, 3)) and loss(
        A, B
    ).shape == (3,)


@pytest.mark.parametrize(
    "backend, channels",
    [("resnet18", [64, 128, 256, 512]), ("inception", [64, 192, 288, 768, 2048])],
)
def test_torchvision_networks(tmp_path: Path, backend: str, channels: list[int]):
    models = pytest.importorskip("torchvision").models
    made = (
        models.resnet18(weights=None)
        if backend == "resnet18"
        else models.inception_v3(weights=None, init_weights=False)
    )
    torch.save(made.state_dict(), tmp_path / "w.pth")
    net = FeatureNet(backend, tmp_path / "w.pth")
    assert [m.shape[1] for m in net.maps(A[:1])] == channels and net(A[:1]).shape == (
        1,
        channels[-1],
    )


def test_tiny_net_takes_other_sizes():
    with torch.no_grad():
        assert TinyNet(classes=3)(rand(1, 3, 21, 50, generator=seeded(0))).shape == (1, 3)
