"""The voxel auto-encoder: sizes, both forms, the closed-form start, the sphere, noise and paths."""

from __future__ import annotations

import pytest
import torch

from svr_nb.conventions import InputError, rand, seeded
from svr_nb.lem.shape_manifold import (
    VoxelDecoder,
    VoxelEncoder,
    code_path,
    from_patches,
    occupancy_loss,
    on_sphere,
    shaken,
    start_dense,
    to_patches,
)
from svr_nb.networks.encoders import fresh_weights


def boxes(count, size=16, seed=0):
    """Boxes that differ in two numbers."""
    grids = torch.zeros(count, 1, size, size, size)
    for i, (w, h) in enumerate(
        (rand(count, 2, generator=seeded(seed)) * size / 2 + 2).int().tolist()
    ):
        grids[i, 0, 2 : 2 + w, 3 : 3 + h, 4:9] = 1
    return grids


def pair(code=12, size=16, **options):
    with fresh_weights(0):
        return VoxelEncoder(size, code, "dense", **options), VoxelDecoder(size, code, "dense")


def test_paper_form_has_the_papers_layers():
    with fresh_weights(0):
        down, up = VoxelEncoder(), VoxelDecoder()
    convs = lambda net: [
        (m.in_channels, m.out_channels) for m in net.modules() if isinstance(m, torch.nn.Conv3d)
    ]
    assert convs(down) == [(1, 32), (32, 32), (32, 64), (64, 128), (128, 256)]
    assert convs(up) == [(256, 128), (128, 64), (64, 32), (32, 32), (32, 1)]
    with torch.no_grad():
        code = down(torch.zeros(1, 1, 32, 32, 32))
        assert code.shape == (1, 256) and up(code).shape == (1, 1, 32, 32, 32)


@pytest.mark.parametrize("form", ["conv", "dense"])
def test_gradients_reach_every_weight(form):
    with fresh_weights(0):
        down, up = (
            VoxelEncoder(8, 6, form, widths=(4, 4, 8)),
            VoxelDecoder(8, 6, form, widths=(4, 4, 8)),
        )
    grid = (rand(2, 1, 8, 8, 8, generator=seeded(0)) > 0.5).float()
    occupancy_loss(up(down(grid)), grid).backward()
    assert all(
        p.grad is not None and torch.isfinite(p.grad).all()
        for p in [*down.parameters(), *up.parameters()]
    )


def test_patches_round_trip():
    grid = rand(2, 1, 12, 12, 12, generator=seeded(0))
    assert torch.equal(from_patches(to_patches(grid, 4), 4), grid) and to_patches(
        grid, 4
    ).shape == (2, 27, 64)


@pytest.mark.parametrize("sphere", [False, True])
def test_the_closed_form_start_knows_unseen_shapes(sphere):
    train, unseen = boxes(60), boxes(10, seed=1)
    down, up = pair(sphere=sphere)
    before = float(occupancy_loss(up(down(unseen)), unseen))
    start_dense(down, up, train)
    after = float(occupancy_loss(up(down(unseen)), unseen))
    full = up(down(unseen)) > 0
    iou = ((full & (unseen > 0)).sum() / (full | (unseen > 0)).sum()).item()
    assert after < 0.5 * before and iou > (0.85 if not sphere else 0.7)


def test_the_start_is_the_best_linear_code():
    """Without the sphere, decoding is an orthogonal projection: doing it twice changes nothing."""
    down, up = pair(code=8)
    start_dense(down, up, boxes(40), gain=1.0)
    with torch.no_grad():
        once = up(down(boxes(5, seed=2))) + 0.5
        twice = up(down(once)) + 0.5
    torch.testing.assert_close(once, twice, atol=1e-4, rtol=1e-3)


def test_the_start_works_with_fewer_shapes_than_numbers():
    down, up = pair(code=12)
    start_dense(down, up, boxes(3))
    full, true = up(down(boxes(3))) > 0, boxes(3) > 0
    assert (full == true).float().mean() > 0.99  # three shapes need two directions


def test_sphere():
    code = on_sphere(3 + 5 * torch.randn(7, 9, generator=seeded(0)))
    torch.testing.assert_close(code.norm(dim=1), torch.full((7,), 3.0), atol=1e-3, rtol=0)
    assert code.mean(1).abs().max() < 1e-5


def test_noise_is_seeded_and_stays_on_the_sphere():
    code = on_sphere(torch.randn(4, 16, generator=seeded(0)))
    a, b, c = (shaken(code, 0.5, seeded(s), True) for s in (1, 1, 2))
    assert (
        torch.equal(a, b)
        and not torch.equal(a, c)
        and torch.allclose(a.norm(dim=1), code.norm(dim=1), atol=1e-3)
    )
    assert shaken(code, 0, seeded(1)) is code
    plain = shaken(torch.zeros(200, 50), 0.5, seeded(1))
    assert plain.std().item() == pytest.approx(0.5, abs=0.02)


def test_path_ends_at_its_ends():
    a, b = (on_sphere(torch.randn(8, generator=seeded(s))) for s in (0, 1))
    way = code_path(a, b, torch.linspace(0, 1, 5), sphere=True)
    assert torch.allclose(way[0], a, atol=1e-4) and torch.allclose(way[-1], b, atol=1e-4)
    torch.testing.assert_close(code_path(a, b, 0.25), 0.75 * a + 0.25 * b)


def test_loss_values_and_weight_of_full_cells():
    logits, cells = torch.zeros(2, 1, 2, 2, 2), torch.zeros(2, 1, 2, 2, 2)
    cells[0] = 1
    assert float(occupancy_loss(logits, cells)) == pytest.approx(0.6931, abs=1e-4)
    each = occupancy_loss(logits, cells, positive=3.0, per_sample=True)
    assert each.tolist() == pytest.approx([3 * 0.6931, 0.6931], abs=1e-3)
    assert float(occupancy_loss(logits, cells, 3.0)) == pytest.approx(float(each.mean()))


@pytest.mark.parametrize(
    "call,word",
    [
        (lambda: VoxelEncoder(30), "size"),
        (lambda: VoxelDecoder(32, form="tree"), "form"),
        (lambda: VoxelEncoder(32, 8, "dense", patch=5), "patch"),
        (lambda: VoxelEncoder(8, 4, "dense")(torch.zeros(1, 1, 16, 16, 16)), "voxels"),
        (lambda: VoxelDecoder(8, 4, "dense")(torch.zeros(1, 5)), "code"),
        (lambda: occupancy_loss(torch.zeros(1, 1, 2, 2, 2), torch.zeros(1, 1, 3, 3, 3)), "voxels"),
        (lambda: shaken(torch.zeros(1, 4), -1, seeded(0)), "amount"),
        (lambda: code_path(torch.zeros(4), torch.zeros(5), 0.5), "last"),
        (lambda: start_dense(*pair(), boxes(1)), "grids"),
    ],
)
def test_refusals(call, word):
    with pytest.raises(InputError, match=word):
        call()
