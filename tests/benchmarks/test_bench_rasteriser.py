"""Speed of the soft rasteriser: run with `pytest tests/benchmarks --benchmark-enable`; the ratios
are checked in any case.
"""

from __future__ import annotations

import importlib.util

import pytest
import torch

from svr_nb.render.fast_mesh import time_backends
from svr_nb.render.mesh_loops import compiled_runs
from svr_nb.render.soft_mesh import soft_rasterize
from svr_nb.shapes.mesh import icosphere

pytestmark = pytest.mark.skipif(not compiled_runs(), reason="numba does not run here")


@pytest.mark.parametrize("colors", [False, True], ids=["silhouette", "colours"])
@pytest.mark.parametrize("backend", ["compiled", "pairs"])
def test_forward_and_backward(benchmark, backend, colors):
    """642 vertices, 1280 faces, 128 x 128, batch 8, sigma 1e-4."""
    ball = icosphere(3, radius=0.7)
    uvz = (ball.verts + torch.tensor([0, 0, 5.0])).repeat(8, 1, 1)
    paint = torch.rand(8, 642, 3) if colors else None

    def step() -> torch.Tensor:
        leaf = uvz.clone().requires_grad_()
        render = soft_rasterize(
            leaf, ball.faces, 128, vert_features=paint, sigma=1e-4, backend=backend
        )
        return torch.autograd.grad(render.rgb.sum() + render.alpha.sum(), leaf)[0]

    assert torch.isfinite(benchmark.pedantic(step, rounds=3, warmup_rounds=1)).all()


def test_compiled_is_faster_than_pairs():
    best = time_backends(("compiled", "pairs"), level=3, size=64, batch=2, repeats=3)
    assert best["pairs"] > 1.5 * best["compiled"]


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("pytorch3d") is None, reason="PyTorch3D is not installed"
)
@pytest.mark.parametrize(
    ("colors", "target"), [(False, 200), (True, 50)], ids=["silhouette", "colours"]
)
def test_ratio_to_pytorch3d(colors, target):
    """The project's target, in one process, on one image of the batch."""
    ours = time_backends(("compiled",), batch=1, colors=colors, repeats=5)["compiled"]
    theirs = time_backends(("pytorch3d",), batch=1, colors=colors, repeats=1)["pytorch3d"]
    print(f"{theirs / ours:.0f} times as fast as PyTorch3D")
    assert theirs > target * ours
