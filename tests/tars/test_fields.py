"""Two fields with one interface, feature dropout, and the rays of a batch."""

from __future__ import annotations

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.data.sample_items import samples
from svr_nb.networks.encoders import fresh_weights
from svr_nb.tars.deformation import CanonicalSDF, DeformNet, PlainFeatures
from svr_nb.tars.fields import (
    DeformedField,
    FadedField,
    PlainField,
    batch_camera,
    draw_pixels,
    look,
)

x = torch.rand(4, 9, 3, generator=seeded(0)) - 0.5
codes = torch.randn(4, 5, generator=seeded(1))


@pytest.fixture(scope="module")
def nets():
    with fresh_weights(0):
        return (
            CanonicalSDF(5, 2, 8, 2, (), 1, feature_levels=1, raw=True),
            PlainFeatures(2, (4,), 1),
            DeformNet(5, 2, 8, 2, (), 1),
        )


@pytest.fixture(scope="module")
def batch():
    return samples("chair", count=4, size=16, points=0, seed=1).batch([0, 1, 2, 3])


def test_both_fields_agree_with_their_parts(nets):
    f, plain, g = nets
    first, second = PlainField(f, plain, codes), DeformedField(f, plain, g, codes[0], codes)
    for field in (first, second):
        torch.testing.assert_close(field(x).sdf, field.sdf_at(*field.placed(x)))
    torch.testing.assert_close(second.placed(x)[0], x + second.delta(x))
    assert torch.equal(first.placed(x)[0], x)


def test_one_canonical_field_for_all(nets):
    f, plain, g = nets
    field = DeformedField(f, plain, g, codes[0], codes)
    place, feature = x[:1].expand(4, -1, -1), torch.zeros(4, 9, 2)
    said = field.sdf_at(place, feature)
    torch.testing.assert_close(said, said[:1].expand_as(said))


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_feature_dropout(nets, share, count):
    f, plain, g = nets
    feature = DeformedField(f, plain, g, codes[0], codes, plain_share=share).placed(x)[1]
    assert torch.equal(feature[:count], plain(x[:count]))
    assert count == 4 or not torch.allclose(feature[count:], plain(x[count:]))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_still_field_teaches_no_network(nets, share):
    """Neither the written networks nor, with feature dropout, the one that knows no picture."""
    f, plain, g = nets
    for field in (
        PlainField(f, plain, codes),
        DeformedField(f, plain, g, codes[0], codes, plain_share=share),
    ):
        points = x.clone().requires_grad_()
        learns = [p for net in nets for p in net.parameters()]
        total = field.still()(points).sdf.sum()
        found = torch.autograd.grad(total, [points, *learns], allow_unused=True)
        assert found[0].abs().sum() > 0 and all(grad is None for grad in found[1:])
        torch.testing.assert_close(field.still()(x).sdf, field(x).sdf)


def test_frozen_fields_do_not_teach_f(nets):
    f, plain, g = nets
    canonical = codes[0].clone().requires_grad_()
    total = DeformedField(f, plain, g, canonical, codes, frozen=True)(x).sdf.sum()
    grads = torch.autograd.grad(
        total,
        [canonical, f.net.layers[0].last.weight, g.net.layers[0].last.weight],
        allow_unused=True,
    )
    assert grads[0] is None and grads[1] is None and grads[2].abs().sum() > 0


def test_fading_scales_features_only(nets):
    f, plain, g = nets
    field = DeformedField(f, plain, g, codes[0], codes)
    place, feature = FadedField(field, 0.5).placed(x)
    assert torch.equal(place, field.placed(x)[0]) and torch.allclose(
        feature, field.placed(x)[1] / 2
    )
    torch.testing.assert_close(FadedField(field, 1.0)(x).sdf, field(x).sdf)


@pytest.mark.parametrize("balanced", [True, False])
def test_drawn_pixels(batch, balanced):
    pick = draw_pixels(batch["mask"], 200, balanced, seeded(0))
    inside = batch["mask"].flatten(1).gather(1, pick)
    assert pick.shape == (4, 200) and torch.equal(
        pick, draw_pixels(batch["mask"], 200, balanced, seeded(0))
    )
    if balanced:
        assert inside[:, :100].all() and not inside[:, 100:].any()
    else:
        assert (inside.mean(1) - batch["mask"].flatten(1).mean(1)).abs().max() < 0.15


def test_an_empty_silhouette_can_be_drawn_from():
    assert draw_pixels(torch.zeros(1, 1, 8, 8), 10, True, seeded(0)).max() < 64


def test_rays_know_their_pixels(batch):
    seen = look(batch, 30, False, seeded(2))
    column, row = ((seen.rays.uv + 1) * 8).long().unbind(-1)
    for b in range(4):
        torch.testing.assert_close(seen.inside[b], batch["mask"][b, 0, row[b], column[b]])
        color = (
            batch["image"][b, :, row[b], column[b]].T * seen.inside[b, :, None]
            + 1
            - seen.inside[b, :, None]
        )
        torch.testing.assert_close(seen.colors[b], 2 * color - 1)
    hits = seen.camera.project(seen.rays.at(torch.full((4, 30, 1), 2.0))[:, :, 0])
    torch.testing.assert_close(hits[..., :2], seen.rays.uv, atol=1e-4, rtol=0)


def test_cameras_are_needed(batch):
    with pytest.raises(InputError, match="camera"):
        batch_camera({"image": batch["image"]})
