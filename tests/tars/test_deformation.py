"""The deformation, its two regularisers and their errata."""

from __future__ import annotations

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.networks.encoders import fresh_weights
from svr_nb.tars.deformation import (
    CanonicalSDF,
    DeformNet,
    PlainFeatures,
    deformation_loss,
    directional_loss,
    eikonal_loss,
    field_gradient,
    fold_share,
    shared,
    spatial_jacobian,
    two_blobs,
)

points = lambda n=40, dim=3, seed=0: 2 * torch.rand(1, n, dim, generator=seeded(seed)) - 1


def runs(values):
    inside = (values < 0).int()
    return int(inside[0] + (inside.diff() > 0).sum())


@pytest.mark.parametrize(("lift", "count"), [(-0.8, 2), (-0.1, 2), (0.1, 1), (0.8, 1)])
def test_slices_have_the_promised_topology(lift, count):
    assert runs(two_blobs(torch.linspace(-2, 2, 2001)[:, None], lift)) == count


def test_jacobian_of_a_linear_map():
    matrix, x = torch.randn(3, 3, generator=seeded(1)), points().requires_grad_()
    torch.testing.assert_close(spatial_jacobian(x @ matrix.T, x)[0], matrix.expand(40, 3, 3))
    torch.testing.assert_close(
        deformation_loss(spatial_jacobian(x @ matrix.T, x)), matrix.square().sum() / 3
    )


def test_erratum_t1_gradients_cancel():
    x = points(dim=2).requires_grad_()
    wave = (3 * x[..., 0]).sin() * x[..., 1]
    jacobian = spatial_jacobian(torch.stack([wave, -wave], -1), x)
    assert deformation_loss(jacobian, "literal") < 1e-10 and deformation_loss(jacobian) > 0.5


def test_erratum_t2_slope_one_everywhere():
    x = points().requires_grad_()
    gradient = field_gradient((x - 3).norm(dim=-1, keepdim=True), x)
    assert eikonal_loss(gradient) < 1e-8
    expected = (gradient - 1).square().sum(-1).mean()
    torch.testing.assert_close(eikonal_loss(gradient, "literal"), expected)
    assert expected > 1


def test_eikonal_is_finite_at_zero_slope():
    gradient = torch.zeros(1, 5, 3, requires_grad=True)
    assert torch.isfinite(torch.autograd.grad(eikonal_loss(gradient), gradient)[0]).all()


def test_directions_agree_with_frobenius_on_average():
    matrix, x = torch.randn(3, 3, generator=seeded(2)), points(20000).requires_grad_()
    exact, fast = (
        deformation_loss(spatial_jacobian(x @ matrix.T, x)),
        directional_loss(lambda p: p @ matrix.T, x, seeded(3)),
    )
    torch.testing.assert_close(exact, fast, rtol=0.03, atol=0)


def test_directions_agree_in_gradient():
    matrix, x = (
        torch.randn(3, 3, generator=seeded(2)).requires_grad_(),
        points(20000).requires_grad_(),
    )
    exact = torch.autograd.grad(deformation_loss(spatial_jacobian(x @ matrix.T, x)), matrix)[0]
    fast = torch.autograd.grad(directional_loss(lambda p: p @ matrix.T, x, seeded(4)), matrix)[0]
    torch.testing.assert_close(exact, fast, rtol=0.1, atol=0.05)


@pytest.mark.parametrize(("slope", "folded"), [(0.0, 0.0), (-0.9, 0.0), (-1.1, 1.0)])
def test_folds_of_a_stretch(slope, folded):
    field = lambda p: torch.cat([slope * p[..., :1], 0 * p[..., 1:]], -1)
    assert float(fold_share(field, points())) == folded


def test_folds_by_hand():
    field, x = (lambda p: 0.6 * torch.sin(4 * p)), points(4000, 1)
    assert (
        abs(float(fold_share(field, x)) - float((1 + 2.4 * torch.cos(4 * x) < 0).float().mean()))
        < 1e-6
    )


@pytest.mark.parametrize("features", [0, 3])
@pytest.mark.parametrize("dim", [2, 3])
def test_shapes_and_start(features, dim):
    with fresh_weights(0):
        net, near = (
            DeformNet(5, features, 8, 2, (6,), 2, dim=dim, start=start) for start in (1.0, 0.0)
        )
        f = CanonicalSDF(5, features, 8, 2, (6,), 2, feature_levels=1, dim=dim, raw=features > 0)
        plain = PlainFeatures(features, (4,), 2, dim)
    x, code = points(7, dim).expand(2, -1, -1), torch.randn(2, 5, generator=seeded(1))
    said = net(net.write(code), x)
    assert (
        said.delta.shape == (2, 7, dim)
        and said.feature.shape == (2, 7, features) == plain(x).shape
        and said.rgb.abs().max() <= 1
    )
    assert bool((near(near.write(code), x).delta == 0).all())
    sdf, hidden, rgb = f(shared(f.write(code[:1]), 2), x + said.delta, said.feature)
    assert sdf.shape == (2, 7, 1) and hidden.shape == (2, 7, 8) and rgb.shape == (2, 7, 3)
    torch.testing.assert_close(
        sdf[0], f(f.write(code[:1]), (x + said.delta)[:1], said.feature[:1])[0][0]
    )


def test_whole_field_has_second_derivatives():
    with fresh_weights(0):
        g, f = (
            DeformNet(3, 2, 6, 2, (), 1).double(),
            CanonicalSDF(3, 2, 6, 2, (), 1, feature_levels=1).double(),
        )
    code, x = (
        torch.randn(1, 3, generator=seeded(5)).double().requires_grad_(),
        points(2).double().requires_grad_(),
    )

    def field(c, p):
        d = g(g.write(c), p)
        return f(f.write(c), p + d.delta, d.feature)[0]

    assert torch.autograd.gradcheck(field, (code, x)) and torch.autograd.gradgradcheck(
        field, (code, x)
    )


def test_refusals():
    with pytest.raises(InputError, match="form"):
        deformation_loss(torch.zeros(2, 3, 3), "trace")
    with pytest.raises(InputError, match="form"):
        eikonal_loss(torch.zeros(2, 3), "sum")
    with pytest.raises(InputError, match="field"):
        fold_share(lambda p: p[..., :1], points())
