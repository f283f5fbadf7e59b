"""Encoders: shapes, seeds, refusals."""

from __future__ import annotations

import pytest
import torch

from svr_nb.conventions import InputError, rand, seeded
from svr_nb.networks.encoders import (
    ConvEncoder,
    Mlp,
    activation,
    conv_block,
    fresh_weights,
    standardize,
)


@pytest.mark.parametrize(
    ("options", "out"),
    [
        ({}, 128),
        ({"dims": ()}, 256 * 16),
        ({"size": 32, "widths": (8, 16), "kernels": 3}, 128),
        ({"size": 33, "widths": (8,), "kernels": 5, "strides": 1, "dims": (7,)}, 7),
        ({"norm": True, "normalize": True, "hidden": "leaky"}, 128),
    ],
)
def test_code_has_the_promised_size(options, out):
    encoder = ConvEncoder(**options)
    image = rand(2, 3, encoder.size, encoder.size, generator=seeded(0))
    assert encoder.out == out and encoder(image).shape == (2, out)


def test_maps_halve():
    maps = ConvEncoder().maps(torch.zeros(1, 3, 64, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (32, 32, 32),
        (64, 16, 16),
        (128, 8, 8),
        (256, 4, 4),
    ]


def test_weights_depend_on_the_seed_alone():
    def make(seed, before):
        torch.manual_seed(before)
        with fresh_weights(seed):
            return ConvEncoder(size=16, widths=(4,), kernels=3, dims=(5,)).head[0].weight

    assert torch.equal(make(1, 5), make(1, 6)) and not torch.equal(make(1, 5), make(2, 5))
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    make_nothing = fresh_weights(9)
    with make_nothing:
        torch.rand(10)
    assert torch.equal(torch.rand(1), expected)


def test_every_weight_gets_a_gradient():
    encoder = ConvEncoder(size=16, widths=(4, 8), kernels=3, dims=(5,), hidden="leaky")
    encoder(rand(2, 3, 16, 16, generator=seeded(0))).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_standardize_is_the_published_rule():
    gray = standardize(torch.full((1, 3, 1, 1), 0.485))
    assert gray[0, 0].item() == pytest.approx(0, abs=1e-6) and gray[0, 2].item() == pytest.approx(
        (0.485 - 0.406) / 0.225
    )


def test_mlp_and_blocks():
    assert len(Mlp([3, 4, 5])) == 4 and len(Mlp([3, 4, 5], norm=True)) == 5
    assert Mlp([3, 4], last="sigmoid")(torch.zeros(2, 3)).shape == (2, 4)
    assert conv_block(3, 4, 5, 2, norm=True)(torch.zeros(1, 3, 9, 9)).shape == (1, 4, 5, 5)
    assert activation("leaky")(torch.tensor(-1.0)).item() == pytest.approx(-0.2)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: ConvEncoder()(torch.zeros(1, 3, 32, 32)), "image"),
        (lambda: ConvEncoder()(torch.zeros(3, 64, 64)), "image"),
        (lambda: ConvEncoder(kernels=(3, 3)), "kernels"),
        (lambda: ConvEncoder(widths=(), kernels=3), "kernels"),
        (lambda: Mlp([3]), "dims"),
        (lambda: activation("gelu2"), "activation"),
    ],
)
def test_refusals_name_the_argument(call, name):
    with pytest.raises(InputError, match=f"^{name}"):
        call()
