"""Extraction at 128 cells: near the surface against everywhere, on written networks that give a
chair-like surface.
"""

from __future__ import annotations

import time

import pytest
import torch

from svr_nb.networks.encoders import fresh_weights
from svr_nb.shapes.fields import sdf_box, union
from svr_nb.tars.fields import DeformedField
from svr_nb.tars.deformation import CanonicalSDF, DeformNet, PlainFeatures
from svr_nb.tars.iso_extraction import dense_values, near_values, trace_lattice


def chair_field(width=32, layers=3):
    """The cost of TARS's two written networks on a chair of boxes: their answer is mixed in with a
    small weight.
    """
    with fresh_weights(0):
        f, g, plain = (
            CanonicalSDF(8, 4, width, layers, levels=4),
            DeformNet(8, 4, width, layers, levels=4),
            PlainFeatures(0),
        )
    with torch.no_grad():
        field = DeformedField(f, plain, g, torch.zeros(8), torch.zeros(1, 8))
    boxes = [
        ((0.42, 0.05, 0.42), (0, 0, 0)),
        ((0.42, 0.45, 0.05), (0, 0.22, 0.19)),
        *(((0.05, 0.42, 0.05), (x, -0.22, z)) for x in (-0.18, 0.18) for z in (-0.18, 0.18)),
    ]
    return lambda p: (
        union(*(sdf_box(p, size, center) for size, center in boxes))
        + 1e-3 * field(p[None]).sdf[0, :, 0]
    )


@pytest.mark.parametrize("way", ["near", "everywhere"])
def test_one_extraction(benchmark, way):
    field = chair_field()
    call = (
        (lambda: near_values(field, 0.6, 64).values)
        if way == "near"
        else (lambda: dense_values(field, 0.6, 64))
    )
    assert (benchmark.pedantic(call, rounds=1) < 0).any()


def test_same_mesh_and_eight_times_faster():
    field, seconds, meshes = chair_field(), {}, {}
    for way in ("near", "everywhere"):
        start = time.process_time()
        meshes[way] = trace_lattice(
            near_values(field, 0.6, 128).values if way == "near" else dense_values(field, 0.6, 128)
        )
        seconds[way] = time.process_time() - start
    print(f"{seconds['everywhere'] / seconds['near']:.1f} times faster")
    assert torch.equal(meshes["near"].faces, meshes["everywhere"].faces)
    torch.testing.assert_close(
        meshes["near"].verts, meshes["everywhere"].verts, rtol=0, atol=1e-6
    )  # batches of another size round otherwise
    assert len(meshes["near"].faces) > 5000 and seconds["everywhere"] > 8 * seconds["near"]
