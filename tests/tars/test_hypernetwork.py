"""Generated networks agree with ordinary ones, point by point, in value and in second derivative."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from svr_nb.conventions import InputError, seeded
from svr_nb.networks.encoders import fresh_weights
from svr_nb.tars.hypernetwork import (
    HyperLayer,
    HyperMlp,
    apply_layer,
    encoded_size,
    positional_encoding,
)


def make(scale=0.5, **options):
    with fresh_weights(0):
        return HyperMlp(
            6,
            5,
            3,
            width=8,
            layers=3,
            heads={"s": 1, "rgb": 3},
            hidden=(7,),
            scale=scale,
            **options,
        )


@pytest.mark.parametrize(
    ("dim", "levels", "raw", "size"),
    [(3, 5, True, 33), (4, 3, False, 24), (4, 1, False, 8), (2, 0, True, 2), (0, 3, False, 0)],
)
def test_sizes_of_the_paper(dim, levels, raw, size):
    assert (
        encoded_size(dim, levels, raw)
        == size
        == positional_encoding(torch.zeros(4, dim), levels, raw).shape[-1]
    )


def test_encoding_numbers():
    found = positional_encoding(torch.tensor([[0.25]]), 2)
    expected = [
        math.sin(math.pi / 4),
        math.sin(math.pi / 2),
        math.cos(math.pi / 4),
        math.cos(math.pi / 2),
        0.25,
    ]
    torch.testing.assert_close(found, torch.tensor([expected]), atol=1e-6, rtol=0)


def test_raw_features_are_periodic_without_themselves():
    h = torch.rand(5, 4, generator=seeded(0))
    torch.testing.assert_close(
        positional_encoding(h, 3, raw=False),
        positional_encoding(h + 2, 3, raw=False),
        atol=1e-4,
        rtol=0,
    )


def test_negative_levels_are_refused():
    with pytest.raises(InputError, match="levels"):
        positional_encoding(torch.zeros(1, 3), -1)


def test_layer_is_linear_with_bias():
    with fresh_weights(1):
        layer = HyperLayer(4, 3, 2, (5,))
    code, x = torch.randn(2, 4, generator=seeded(1)), torch.randn(2, 7, 3, generator=seeded(2))
    table = layer(code)
    assert table.shape == (2, 4, 2)
    for b in range(2):
        torch.testing.assert_close(
            apply_layer(table, x)[b], F.linear(x[b], table[b, :-1].T, table[b, -1])
        )


def test_small_scale_makes_codes_alike():
    spread = {}
    for scale in (0.0, 0.1, 1.0):
        with fresh_weights(1):
            layer = HyperLayer(4, 3, 2, (5,), scale)
        a, b = layer(torch.randn(2, 4, generator=seeded(3)))
        spread[scale] = float((a - b).detach().abs().sum())
    assert spread[0.0] == 0 < spread[0.1] < spread[1.0]


def test_network_agrees_with_ordinary_layers():
    net, code = make(), torch.randn(2, 6, generator=seeded(4))
    first, again = (
        torch.randn(2, 9, 5, generator=seeded(5)),
        torch.randn(2, 9, 3, generator=seeded(6)),
    )
    hidden, heads = net(net.write(code), first, again)
    for b in range(2):
        x = first[b]
        for i, layer in enumerate(net.layers):
            table = layer(code)[b]
            x = F.linear(x if i == 0 else torch.cat([x, again[b]], -1), table[:-1].T, table[-1])
            x = torch.relu(F.layer_norm(x, (8,)))
        torch.testing.assert_close(hidden[b], x)
        for name, head in net.heads.items():
            table = head(code)[b]
            torch.testing.assert_close(heads[name][b], x @ table[:-1] + table[-1])


def test_pictures_do_not_mix():
    net, code = make(), torch.randn(3, 6, generator=seeded(4))
    first, again = (
        torch.randn(3, 4, 5, generator=seeded(5)),
        torch.randn(3, 4, 3, generator=seeded(6)),
    )
    whole = net(net.write(code), first, again)[1]["rgb"]
    alone = net(net.write(code[1:2]), first[1:2], again[1:2])[1]["rgb"]
    torch.testing.assert_close(whole[1:2], alone)


def test_second_derivatives():
    net = make().double()
    code = torch.randn(1, 6, generator=seeded(7)).double().requires_grad_()
    first, again = (
        torch.randn(1, 2, n, generator=seeded(8, n)).double().requires_grad_() for n in (5, 3)
    )
    value = lambda c, f, a: net(net.write(c), f, a)[1]["s"]
    assert torch.autograd.gradcheck(value, (code, first, again)) and torch.autograd.gradgradcheck(
        value, (code, first, again)
    )
