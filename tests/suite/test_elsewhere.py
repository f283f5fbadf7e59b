"""The stand-in for a graphics card computes, and refuses what one would refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import svr_nb as svr

from .elsewhere import other_device


def test_the_stand_in_refuses():
    with other_device() as device:
        x = torch.ones(3, 4, device=device, requires_grad=True)
        (x * 2).sum().backward()
        assert x.grad.device == x.device != torch.device("cpu") and float(x.grad.cpu().sum()) == 24
        assert torch.equal(x.detach()[[0, 2]].cpu(), torch.ones(2, 4)) and torch.equal(
            (x.detach() + torch.tensor(1.0)).cpu(), torch.full((3, 4), 2.0)
        )
        with pytest.raises(RuntimeError, match="two devices"):
            x + torch.ones(3, 4)
        with pytest.raises(RuntimeError, match="generator"):
            torch.rand(2, device=device, generator=svr.seeded(0))
        with pytest.raises(RuntimeError, match="generator"):
            torch.multinomial(x.detach(), 2, generator=svr.seeded(0))
        with pytest.raises(TypeError, match="cpu"):
            np.asarray(x.detach())
