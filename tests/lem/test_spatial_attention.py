"""The non-local block and the attention to pooled anchors: Eq. 1 to 5, errata L4 and L5."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, strategies as st
from torch.nn.functional import adaptive_avg_pool2d, conv2d, scaled_dot_product_attention

from svr_nb.conventions import InputError, seeded
from svr_nb.lem.spatial_attention import (
    NonLocalBlock,
    SpatialAttention,
    anchor_grids,
    anchor_pictures,
    attend,
    attention_entropy,
    background_weight,
    pixel_weights,
    pool_anchors,
)
from svr_nb.networks.encoders import fresh_weights

rand = lambda *shape, seed=1: torch.randn(*shape, generator=seeded(seed))


def busy(layer, seed=3):
    """The layer with an output that is not zero, as after some training."""
    with torch.no_grad():
        layer.output.weight.copy_(rand(*layer.output.weight.shape, seed=seed))
    return layer


def ssa(**options):
    with fresh_weights(0):
        return busy(SpatialAttention(6, 4, **({"inner": 5, "scales": (1, 2, 3)} | options)))


def by_hand(layer, x_e, x_c):
    """Eq. 2 to 5 with loops over images, pixels and anchors, projecting first and pooling
    afterwards as they are printed.
    """
    project = lambda part, x: conv2d(
        x, part.weight.reshape(*part.weight.shape[:2], 1, 1), part.bias
    )
    rows = []
    for b in range(len(x_e)):
        pooled = lambda part, b=b: torch.cat(
            [
                adaptive_avg_pool2d(project(part, x_c[b : b + 1]), p).flatten(2)
                for p in layer.scales
            ],
            2,
        )[0]
        key = pooled(layer.key)
        value = key if layer.value is None else pooled(layer.value)
        query = project(layer.query, x_e[b : b + 1])[0].flatten(1)
        found = torch.zeros_like(query)
        for n in range(query.shape[1]):
            e = torch.exp(
                torch.stack([query[:, n] @ key[:, s] for s in range(key.shape[1])])
                / layer.temperature
            )
            found[:, n] = sum((e[s] / e.sum()) * value[:, s] for s in range(key.shape[1]))
        rows.append(
            torch.cat([project(layer.output, found.reshape(1, -1, *x_e.shape[2:]))[0], x_e[b]])
        )
    return torch.stack(rows)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"separate_value": True},
        {"temperature": 2.5},
        {"scales": (4,)},
        {"scales": (3, 6, 8), "inner": 64},
    ],
)
def test_attention_is_the_equations(options):
    layer, x_e, x_c = ssa(**options), rand(2, 6, 3, 4), rand(2, 4, 7, 5, seed=2)
    out, attention = layer(x_e, x_c)
    anchors = sum(p * p for p in layer.scales)
    assert out.shape == (2, 12, 3, 4) and attention.shape == (2, 12, anchors)
    assert torch.allclose(out, by_hand(layer, x_e, x_c), atol=1e-5)
    assert torch.allclose(attention.sum(-1), torch.ones(2, 12)) and (attention > 0).all()


@pytest.mark.parametrize("options", [{}, {"separate_value": True}, {"temperature": 2.5}])
def test_fused_call_agrees_in_value_and_gradient(options):
    layer, grads = ssa(**options).double(), []
    x_e, x_c = (
        rand(2, 6, 3, 4).double().requires_grad_(),
        rand(2, 4, 7, 5, seed=2).double().requires_grad_(),
    )
    outs = [layer(x_e, x_c, weights)[0] for weights in (True, False)]
    assert layer(x_e, x_c, False)[1] is None and torch.allclose(*outs, atol=1e-12)
    for out in outs:
        grads.append(torch.autograd.grad(out.square().sum(), [x_e, x_c, *layer.parameters()]))
    assert all(torch.allclose(a, b, atol=1e-9) for a, b in zip(*grads)) and all(
        g.abs().sum() > 0 for g in grads[0]
    )


def test_attend_is_pytorchs_attention():
    q, k, v = rand(2, 7, 5), rand(2, 9, 5, seed=2), rand(2, 9, 3, seed=4)
    assert torch.allclose(
        attend(q, k, v, 5**0.5)[0], scaled_dot_product_attention(q, k, v), atol=1e-6
    )
    assert torch.allclose(
        attend(q, k, v, 1.0)[0], scaled_dot_product_attention(q, k, v, scale=1.0), atol=1e-6
    )
    assert not torch.allclose(
        attend(q, k, v, 1.0)[0], scaled_dot_product_attention(q, k, v), atol=1e-2
    )


def test_gradcheck():
    layer = ssa().double()
    x_e, x_c = (
        rand(1, 6, 2, 2).double().requires_grad_(),
        rand(1, 4, 4, 4, seed=2).double().requires_grad_(),
    )
    for weights in (True, False):
        assert torch.autograd.gradcheck(lambda a, b, w=weights: layer(a, b, w)[0], (x_e, x_c))
    with fresh_weights(1):
        block = busy(NonLocalBlock(3, 2)).double()
    assert torch.autograd.gradcheck(
        lambda a: block(a)[0], (rand(1, 3, 2, 3).double().requires_grad_(),)
    )


@pytest.mark.parametrize("make", [lambda: SpatialAttention(6, 6, 5), lambda: NonLocalBlock(6, 5)])
def test_starts_as_zeros_and_identity(make):
    with fresh_weights(0):
        layer = make()
    x = rand(2, 6, 4, 4)
    out, _ = layer(x, x) if isinstance(layer, SpatialAttention) else layer(x)
    assert (out[:, :6] == 0).all() and torch.equal(out[:, 6:], x)
    out.square().sum().backward()
    assert layer.output.weight.grad is not None and layer.query.weight.grad.abs().sum() == 0


def test_separate_value_has_weights_of_its_own():
    count = lambda layer: sum(p.numel() for p in layer.parameters())
    assert count(ssa(separate_value=True)) - count(ssa()) == 4 * 5 + 5


def test_nonlocal_block_is_equation_one():
    with fresh_weights(2):
        block = busy(NonLocalBlock(4, 3))
    x = rand(2, 4, 3, 5)
    k, v, q = (layer(x).flatten(2) for layer in (block.key, block.value, block.query))
    literal = torch.softmax(k.transpose(1, 2) @ q, dim=1)  # columns, over the keys, sum to 1
    out, attention = block(x)
    assert torch.allclose(attention, literal.transpose(1, 2), atol=1e-6)
    assert torch.allclose(
        out, torch.cat([block.output((v @ literal).unflatten(2, (3, 5))), x], 1), atol=1e-5
    )
    assert torch.allclose(block(x, False)[0], out, atol=1e-5) and block(x, False)[1] is None


def test_nonlocal_block_does_not_know_the_order_of_places():
    with fresh_weights(2):
        block = busy(NonLocalBlock(4, 3))
    x, order = rand(1, 4, 2, 6), torch.randperm(12, generator=seeded(5))
    shuffle = lambda y: y.flatten(2)[..., order].unflatten(2, (2, 6))
    assert torch.allclose(block(shuffle(x))[0], shuffle(block(x)[0]), atol=1e-5)


@given(st.lists(st.integers(1, 8), min_size=1, max_size=3), st.integers(1, 9), st.integers(1, 9))
def test_anchors_count_and_means(scales, height, width):
    x = rand(1, 2, height, width)
    anchors = pool_anchors(x, scales)
    assert anchors.shape == (1, 2, sum(p * p for p in scales))
    assert torch.allclose(pool_anchors(torch.full_like(x, 3.0), scales), torch.tensor(3.0))
    assert anchors.max() <= x.max() + 1e-5 and anchors.min() >= x.min() - 1e-5


def test_the_papers_grids_have_109_anchors():
    assert [
        pool_anchors(torch.zeros(1, 1, 14, 14), s).shape[2] for s in ((3,), (3, 6), (3, 6, 8))
    ] == [9, 45, 109]
    assert torch.allclose(
        pool_anchors(torch.arange(16.0).reshape(1, 1, 4, 4), (2,)),
        torch.tensor([[[2.5, 4.5, 10.5, 12.5]]]),
    )


@given(
    st.integers(0, 1000),
    st.sampled_from([(3,), (1, 2), (3, 6, 8)]),
    st.integers(2, 11),
    st.integers(2, 11),
)
def test_pixel_weights_make_the_same_average(seed, scales, height, width):
    count = sum(p * p for p in scales)
    weights, source = (
        rand(2, 3, count, seed=seed).softmax(-1),
        rand(2, 4, height, width, seed=seed + 1),
    )
    spread = pixel_weights(weights, scales, height, width)
    assert torch.allclose(spread.sum((-1, -2)), torch.ones(2, 3), atol=1e-5) and (spread >= 0).all()
    by_anchors = torch.einsum("bns,bcs->bnc", weights, pool_anchors(source, scales))
    assert torch.allclose(torch.einsum("bnhw,bchw->bnc", spread, source), by_anchors, atol=1e-5)


def test_grids_give_back_the_weights():
    weights = torch.arange(14.0)
    grids = anchor_grids(weights, (1, 2, 3))
    assert [tuple(g.shape) for g in grids] == [(1, 1), (2, 2), (3, 3)] and torch.equal(
        torch.cat([g.flatten() for g in grids]), weights
    )


def test_entropy_of_known_weights():
    assert attention_entropy(torch.full((3, 7), 1 / 7)).tolist() == pytest.approx(
        [1, 1, 1], abs=1e-6
    )
    assert attention_entropy(torch.eye(4)).tolist() == [0, 0, 0, 0]
    assert attention_entropy(torch.tensor([0.5, 0.5, 0, 0])).item() == pytest.approx(0.5)


def test_background_weight():
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2, :2] = 1
    on, off = torch.zeros(1, 1, 4), torch.zeros(1, 1, 4)
    on[..., 0], off[..., 3] = 1, 1
    assert background_weight(on, (2,), mask) == 0 and background_weight(off, (2,), mask) == 1
    alike = torch.full((1, 2, 5), 0.2)
    assert background_weight(alike, (1, 2), mask).flatten().tolist() == pytest.approx([0.75, 0.75])


def test_pictures_show_every_grid():
    image, weights = torch.rand(3, 24, 24, generator=seeded(1)), torch.zeros(14)
    weights[-1] = 1.0
    pictures = anchor_pictures(image, weights, (1, 2, 3), (0.0, 0.0), 60)
    assert list(pictures) == ["1 x 1: 0%", "2 x 2: 0%", "3 x 3: 100%", "all grids"]
    assert all(p.shape == (3, 60, 60) and p.min() >= 0 and p.max() <= 1 for p in pictures.values())
    last, dark = pictures["all grids"][:, 45:, 45:], pictures["all grids"][:, 3:15, 3:15]
    assert last[0].mean() - last[2].mean() > 0.3 > dark[0].mean() - dark[2].mean()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: SpatialAttention(0, 4),
        lambda: SpatialAttention(4, 4, inner=0),
        lambda: SpatialAttention(4, 4, scales=()),
        lambda: SpatialAttention(4, 4, scales=8),
        lambda: SpatialAttention(4, 4, scales=(3, 0)),
        lambda: SpatialAttention(4, 4, temperature=0),
        lambda: NonLocalBlock(2.5),
        lambda: pool_anchors(torch.zeros(3, 4, 4)),
        lambda: anchor_grids(torch.zeros(10), (3,)),
        lambda: background_weight(torch.full((2, 3, 4), 0.25), (2,), torch.ones(1, 1, 4, 4)),
        lambda: pixel_weights(torch.ones(9), (3,), 0, 4),
        lambda: attention_entropy(torch.tensor([-0.5, 1.5])),
    ],
)
def test_refuses(wrong):
    with pytest.raises(InputError):
        wrong()


@pytest.mark.parametrize(
    "x_e, x_c, name",
    [
        ((2, 5, 3, 3), (2, 4, 5, 5), "x_e"),
        ((2, 6, 3, 3), (2, 6, 5, 5), "x_c"),
        ((2, 6, 3, 3), (1, 4, 5, 5), "x_c"),
        ((6, 3, 3), (2, 4, 5, 5), "x_e"),
        ((2, 6, 0, 3), (2, 4, 5, 5), "x_e"),
    ],
)
def test_forward_refuses(x_e, x_c, name):
    with pytest.raises(InputError, match=name):
        ssa()(torch.zeros(x_e), torch.zeros(x_c))
    with pytest.raises(InputError, match="x:"):
        NonLocalBlock(6)(torch.zeros(2, 5, 3, 3))
