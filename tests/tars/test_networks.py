"""The encoder of the paper, the small one, and the white background."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from svr_nb.conventions import CheckpointError, InputError, seeded
from svr_nb.networks.encoders import fresh_weights
from svr_nb.tars.fields import on_white
from svr_nb.tars.networks import ResNet18, make_encoder


def test_parameters_as_published():
    assert sum(p.numel() for p in ResNet18(1000).parameters()) == 11_689_512


@pytest.mark.parametrize(("kind", "widths"), [("resnet18", (8, 8, 16, 16)), ("conv", (4, 8))])
def test_codes(kind, widths):
    assert make_encoder(kind, 7, 32, widths).eval()(
        torch.rand(2, 3, 32, 32, generator=seeded(0))
    ).shape == (2, 7)


def test_white_outside_and_full_range_inside():
    image, mask = torch.full((1, 3, 2, 2), 0.25), torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    assert on_white(image, mask)[0, 0].tolist() == [[-0.5, 1.0], [1.0, -0.5]]


def test_trunk_from_a_file(tmp_path):
    with fresh_weights(1):
        a, b = ResNet18(5, (4, 4, 8, 8)), ResNet18(9, (4, 4, 8, 8))
    save_file(a.state_dict(), tmp_path / "weights.safetensors")
    last = b.fc.weight.clone()
    b.load_trunk(tmp_path / "weights.safetensors")
    assert torch.equal(b.layer3[0].conv1.weight, a.layer3[0].conv1.weight) and torch.equal(
        b.fc.weight, last
    )
    with pytest.raises(CheckpointError):
        ResNet18(5, (8, 8, 8, 8)).load_trunk(tmp_path / "weights.safetensors")


def test_refusal():
    with pytest.raises(InputError, match="encoder"):
        make_encoder("vit", 4, 32, (4,))
