"""The Frechet loss against the matrix root, at few pictures, and with a network in front."""

from __future__ import annotations

import pytest
import torch

from svr_nb.agt.frechet_loss import FID_FORMS, FeatureBank, FrechetLoss, frechet_loss
from svr_nb.conventions import FileError, InputError, seeded
from svr_nb.scores.metrics import frechet


def normal(n, d, *seed, dtype=torch.float32):
    return torch.randn(n, d, generator=seeded(*seed), dtype=dtype)


def by_matrix_root(fake, real):
    s_r, s_f = torch.cov(real.T), torch.cov(fake.T)
    root = torch.linalg.eigvals(s_r @ s_f).real.clamp(min=0).sqrt().sum()
    return (real.mean(0) - fake.mean(0)).square().sum() + s_r.trace() + s_f.trace() - 2 * root


@pytest.mark.parametrize("n, m, d", [(60, 40, 8), (200, 80, 12), (30, 90, 20)])
def test_full_form_is_the_matrix_root_form(n, m, d):
    real, fake = normal(n, d, 1) @ normal(d, d, 2), 0.7 * normal(m, d, 3) + 0.3
    ours = float(frechet_loss(fake, FeatureBank.of(real)))
    assert ours == pytest.approx(float(by_matrix_root(fake.double(), real.double())), rel=1e-4)
    assert ours == pytest.approx(float(frechet(real, fake)), rel=1e-4)


def test_matrix_root_gradient_agrees_on_full_rank_data():
    real, fake = (
        normal(50, 6, 1, dtype=torch.float64),
        normal(40, 6, 2, dtype=torch.float64).requires_grad_(),
    )
    (ours,) = torch.autograd.grad(frechet_loss(fake, FeatureBank.of(real)), fake)
    (theirs,) = torch.autograd.grad(by_matrix_root(fake, real), fake)
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("form", FID_FORMS)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_gradient_is_finite_at_few_pictures(form, n):
    bank, fake = FeatureBank.of(normal(6, 32, 1)), normal(n, 32, 2).requires_grad_()
    (slope,) = torch.autograd.grad(frechet_loss(fake, bank, form), fake)
    assert torch.isfinite(slope).all() and slope.abs().sum() > 0
    twins = normal(1, 32, 2).repeat(n, 1).requires_grad_()
    assert torch.isfinite(torch.autograd.grad(frechet_loss(twins, bank, form), twins)[0]).all()


def test_one_picture_learns_the_mean_alone():
    bank, fake = FeatureBank.of(normal(6, 8, 1)), normal(1, 8, 2).requires_grad_()
    slopes = [torch.autograd.grad(frechet_loss(fake, bank, form), fake)[0] for form in FID_FORMS]
    assert torch.allclose(slopes[0], slopes[1]) and torch.allclose(slopes[0], slopes[2])


@pytest.mark.parametrize("form", FID_FORMS)
def test_equal_sets_are_near(form):
    x = normal(40, 16, 1)
    assert (
        abs(float(frechet_loss(x, FeatureBank.of(x), form)))
        < 1e-3
        < float(frechet_loss(2 * x + 1, FeatureBank.of(x), form))
    )


@pytest.mark.parametrize("form", FID_FORMS)
def test_gradcheck(form):
    bank, fake = (
        FeatureBank.of(normal(7, 4, 1, dtype=torch.float64)),
        normal(6, 4, 2, dtype=torch.float64).requires_grad_(),
    )
    assert torch.autograd.gradcheck(lambda x: frechet_loss(x, bank, form), fake)


def test_forms_see_what_they_should():
    x, turn = normal(4000, 2, 1) * torch.tensor([3.0, 1.0]), torch.tensor([[0.6, 0.8], [-0.8, 0.6]])
    bank, shifted, swapped = FeatureBank.of(x), x + 1, torch.stack([x[:, 0], -x[:, 1]], 1) @ turn
    assert float(frechet_loss(shifted, bank, "mean_only")) == pytest.approx(2.0, rel=1e-3)
    assert (
        float(frechet_loss(swapped, bank, "mean_only"))
        < 0.02
        < float(frechet_loss(swapped, bank, "diag"))
        < float(frechet_loss(swapped, bank))
    )


def test_bias_falls_with_the_count():
    found = [
        float(frechet_loss(normal(n, 64, n, 1), FeatureBank.of(normal(n, 64, n, 2))))
        for n in (8, 64, 1024)
    ]
    assert found[0] > 90 > 45 > found[1] > 4 > found[2]


def test_the_bank_carries_no_gradient():
    real = normal(6, 8, 1).requires_grad_()
    assert not FeatureBank.of(real).rows.requires_grad and len(FeatureBank.of(real)) == 6


def test_module_tells_pictures_apart_and_reaches_them():
    dark, light = (torch.rand(8, 3, 32, 32, generator=seeded(i)) * 0.4 + 0.6 * i for i in (0, 1))
    loss = FrechetLoss("tiny")
    bank = loss.bank(dark, chunk=3)
    made = light.clone().requires_grad_()
    value = loss(made, bank)
    value.backward()
    assert float(value.detach()) > float(loss(dark.flip(-1), bank)) and made.grad.abs().sum() > 0
    assert torch.allclose(bank.features, loss.bank(dark).features, atol=1e-5) and not [
        p for p in loss.parameters() if p.requires_grad
    ]


def test_another_network_is_never_taken_instead(tmp_path):
    with pytest.raises(FileError, match="vgg19"):
        FrechetLoss("vgg19", weights=tmp_path / "nothing.pth")


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: FeatureBank.of(torch.zeros(1, 4)), "features"),
        (lambda: FeatureBank.of(torch.full((3, 4), torch.nan)), "features"),
        (lambda: frechet_loss(torch.zeros(3, 5), FeatureBank.of(normal(4, 4, 1))), "fake"),
        (lambda: frechet_loss(torch.zeros(0, 4), FeatureBank.of(normal(4, 4, 1))), "fake"),
        (
            lambda: frechet_loss(torch.zeros(3, 4), FeatureBank.of(normal(4, 4, 1)), "median"),
            "form",
        ),
        (lambda: FrechetLoss("tiny", form="half"), "form"),
        (lambda: FrechetLoss("big"), "backend"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(InputError, match=name):
        call()
