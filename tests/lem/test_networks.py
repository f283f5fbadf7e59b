"""Trunks with taps, ImageNet weights from a file, and the encoder around them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from svr_nb.conventions import CheckpointError, InputError, SvrError, rand, seeded
from svr_nb.lem.config import LEMConfig
from svr_nb.lem.networks import (
    ImageEncoder,
    ResNet50,
    TappedTrunk,
    as_picture,
    load_imagenet,
    make_auto_encoder,
    make_encoder,
    make_trunk,
)
from svr_nb.networks.encoders import fresh_weights


@pytest.fixture(scope="module")
def resnet():
    with fresh_weights(0):
        return ResNet50().eval()


def test_resnet_has_the_known_size_and_stages(resnet):
    assert sum(p.numel() for p in resnet.parameters()) == 23_508_032
    with torch.no_grad():
        maps = resnet(torch.zeros(1, 3, 64, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (64, 32, 32),
        (256, 16, 16),
        (512, 8, 8),
        (1024, 4, 4),
        (2048, 2, 2),
    ]
    assert {"layer1.0.downsample.0.weight", "layer4.2.bn3.running_var", "conv1.weight"} <= set(
        resnet.state_dict()
    )


def test_weights_from_a_file(resnet, tmp_path):
    with fresh_weights(1):
        other = ResNet50()
    plain = {k: v for k, v in other.state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file(
        {**plain, "fc.weight": torch.zeros(2, 2048), "fc.bias": torch.zeros(2)},
        tmp_path / "w.safetensors",
    )
    with fresh_weights(2):
        target = load_imagenet(ResNet50(), tmp_path / "w.safetensors")
    assert all(torch.equal(v, target.state_dict()[k]) for k, v in plain.items())


def test_wrong_weights_are_refused(resnet, tmp_path):
    with pytest.raises(CheckpointError, match="bn1"):
        load_imagenet(resnet, {"conv1.weight": torch.zeros(64, 3, 7, 7)})
    (tmp_path / "w.pth").write_bytes(b"\x80\x02")
    with pytest.raises(CheckpointError):
        load_imagenet(resnet, tmp_path / "w.pth")


def test_without_torchvision_the_way_out_is_named(resnet, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchvision", None)
    with pytest.raises(SvrError, match="safetensors"):
        load_imagenet(resnet)


@pytest.mark.parametrize(
    "strides,sides", [((1, 2, 2, 1), [24, 24, 12, 6, 6]), ((2, 2, 1, 1), [24, 12, 6, 6, 6])]
)
def test_small_trunk_sizes(strides, sides):
    with fresh_weights(0):
        trunk = TappedTrunk((8, 8, 16, 16), strides)
    maps = trunk(torch.zeros(1, 3, 48, 48))
    assert [m.shape[-1] for m in maps] == sides and [m.shape[1] for m in maps] == list(
        trunk.channels
    )


def test_small_trunk_treats_every_picture_alone():
    with fresh_weights(0):
        encoder = ImageEncoder(TappedTrunk((8, 8, 16, 16)), 6, attention=False)
    images = rand(3, 3, 32, 32, generator=seeded(0))
    torch.testing.assert_close(encoder(images)[1:2], encoder(images[1:2]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("source", [1, 4, 5])
def test_look_and_call_agree_and_gradients_flow(source, pool):
    with fresh_weights(0):
        encoder = ImageEncoder(
            TappedTrunk((8, 8, 16, 16)),
            6,
            source=source,
            inner=4,
            scales=(1, 2),
            sphere=True,
            pool=pool,
        )
    images = rand(2, 3, 32, 32, generator=seeded(0))
    code, weights, maps = encoder.look(images)
    assert code.shape == (2, 6) and weights.shape == (2, 16, 5) and len(maps) == 5
    torch.testing.assert_close(encoder(images), code, atol=1e-5, rtol=1e-4)
    (code * torch.arange(6)).sum().backward()
    assert (
        encoder.trunk.stem[0].weight.grad.abs().sum() > 0
        and encoder.attention.output.weight.grad.abs().sum() > 0
    )


def test_fresh_attention_changes_nothing_else():
    """Its output starts at zero, so the first half of the concatenation is zero."""
    with fresh_weights(0):
        encoder = ImageEncoder(TappedTrunk((8, 8, 16, 16)), 6, inner=4, scales=(1,))
    maps = encoder.trunk(torch.zeros(1, 3, 32, 32))
    assert encoder.attention(maps[4], maps[3])[0][:, :16].abs().sum() == 0


def test_pictures_of_every_kind():
    image = rand(3, 30, 40, generator=seeded(0))
    assert as_picture(image, None, 16)[0].shape == (1, 3, 16, 16)
    clear = np.zeros((20, 20, 4), np.uint8)
    assert torch.allclose(as_picture(clear, None, 8, behind=0.92)[0], torch.tensor(0.92), atol=0.01)
    batch, single = as_picture(rand(2, 3, 10, 10, generator=seeded(1)), None, 8)
    assert batch.shape == (2, 3, 8, 8) and not single
    mask = torch.zeros(1, 30, 40)
    mask[:, 5:20, 10:30] = 1
    assert as_picture(image, mask, 16)[0].shape == (1, 3, 16, 16)
    square = rand(3, 12, 12, generator=seeded(2))
    assert torch.equal(as_picture(square, None, 12)[0][0], square)  # nothing to do


def test_networks_from_settings():
    c = LEMConfig.tiny()
    encoder, (down, up) = make_encoder(c), make_auto_encoder(c)
    code = encoder(rand(2, 3, c.image_size, c.image_size, generator=seeded(0)))
    assert encoder.attention is None and encoder.pool == c.pool
    assert torch.allclose(code.norm(dim=1), torch.full((2,), c.code**0.5), atol=1e-2)  # the sphere
    assert up(code).shape == (2, 1, 16, 16, 16) and down(up(code)).shape == code.shape


@pytest.mark.parametrize(
    "call,word",
    [
        (lambda: ImageEncoder(TappedTrunk(), source=0), "source"),
        (lambda: make_trunk("vgg"), "trunk"),
        (lambda: TappedTrunk((8, 8)), "widths"),
        (lambda: ImageEncoder(TappedTrunk()).look(torch.zeros(3, 8, 8)), "image"),
        (lambda: as_picture(None, None, 8), "image"),
        (lambda: as_picture(torch.full((3, 8, 8), float("nan")), None, 8), "image"),
    ],
)
def test_refusals(call, word):
    with pytest.raises(InputError, match=word):
        call()
