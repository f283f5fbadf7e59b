"""The pairs form of the soft rasteriser on a graphics card: same values, same gradients, memory
that grows with the work.
"""

from __future__ import annotations

import pytest
import torch

from svr_nb.cameras.projections import WeakPerspective, orbit
from svr_nb.conventions import rand, seeded
from svr_nb.render.hard_mesh import hard_rasterize
from svr_nb.render.soft_mesh import face_centroids, soft_rasterize, visible_faces
from svr_nb.shapes.atlas import texels_of, with_texels
from svr_nb.shapes.mesh import icosphere
from svr_nb.umr.keypoint_transfer import transfer_by_camera, transfer_by_flow

BALL = icosphere(2)
# On the processor the oracle is the dense form, so the comparison itself is tested where there is
# no graphics card.
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


def scene(
    batch: int = 2, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Projected bumpy balls, and both kinds of features."""
    verts = BALL.verts.to(dtype) * (0.35 + 0.1 * rand(batch, 162, 1, generator=seeded(1))).to(dtype)
    uvz = orbit(torch.linspace(0, 90, batch).to(dtype), 20.0).project(verts)
    return uvz, {
        "vert_features": rand(batch, 162, 3, generator=seeded(2)).to(dtype),
        "face_features": rand(batch, 320, 3, 3, 3, generator=seeded(3)).to(dtype),
    }


def drawn(
    device: str, backend: str, kind: str, perspective: bool, dtype: torch.dtype = torch.float64
) -> list[torch.Tensor]:
    """Pictures, centroids, and gradients of a mixture of all of them, on the processor."""
    uvz, tables = scene(dtype=dtype)
    uvz, table = uvz.to(device).requires_grad_(), tables[kind].to(device).requires_grad_()
    render = soft_rasterize(
        uvz,
        BALL.faces.to(device),
        24,
        sigma=2e-3,
        gamma=0.1,
        background=0.3,
        perspective=perspective,
        backend=backend,
        **{kind: table},
    )
    centroids, mass = face_centroids(render)
    weights = torch.linspace(-1, 1, 24, dtype=dtype, device=device)
    total = (
        (render.rgb * weights).sum()
        + (render.alpha * weights[:, None]).sum()
        + (centroids * mass[..., None]).sum()
    )
    grads = torch.autograd.grad(total, [uvz, table])
    assert all(x.device.type == device for x in (render.rgb, render.alpha, render.face, *grads))
    return [
        x.detach().cpu().to(dtype)
        for x in (
            render.rgb,
            render.alpha,
            centroids * mass[..., None],
            mass,
            render.face,
            visible_faces(render),
            *grads,
        )
    ]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["vert_features", "face_features"])
@pytest.mark.parametrize("perspective", [True, False])
def test_value_and_gradient_equal_the_dense_form(device: str, kind: str, perspective: bool):
    for one, two in zip(
        drawn(device, "pairs", kind, perspective), drawn("cpu", "dense", kind, perspective)
    ):
        assert torch.allclose(one, two, atol=1e-8 * max(1.0, float(two.abs().max())))


@pytest.mark.parametrize("device", DEVICES)
def test_single_precision(device: str):
    """Sums in another order differ in the last digits; nothing more may differ."""
    for one, two in zip(
        drawn(device, "pairs", "face_features", False, torch.float32),
        drawn("cpu", "pairs", "face_features", False),
    ):
        assert float((one - two).norm()) < 2e-3 * max(1.0, float(two.norm()))


@pytest.mark.cuda
def test_auto_is_the_pairs_form_there():
    uvz, tables = scene(dtype=torch.float32)
    given = {"sigma": 2e-3, "gamma": 0.1, "face_features": tables["face_features"].cuda()}
    auto, pairs = (
        soft_rasterize(uvz.cuda(), BALL.faces.cuda(), 24, backend=backend, **given)
        for backend in ("auto", "pairs")
    )
    assert (
        torch.allclose(auto.rgb, pairs.rgb, atol=1e-5)
        and len(auto.pair_face) == len(pairs.pair_face) > 0
    )


@pytest.mark.cuda
def test_faces_on_the_processor_are_taken_along():
    uvz = scene(dtype=torch.float32)[0].cuda()
    torch.use_deterministic_algorithms(
        True, warn_only=True
    )  # otherwise sums have no fixed order there
    try:
        assert torch.equal(
            soft_rasterize(uvz, BALL.faces, 24).alpha,
            soft_rasterize(uvz, BALL.faces.cuda(), 24).alpha,
        )
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.cuda
def test_hard_rasteriser_agrees():
    uvz = scene(dtype=torch.float32)[0]
    here, there = (
        hard_rasterize(uvz, BALL.faces, 48),
        hard_rasterize(uvz.cuda(), BALL.faces.cuda(), 48),
    )
    same = here[0] == there[0].cpu()
    assert float(same.float().mean()) > 0.999 and torch.allclose(
        here[2][same], there[2].cpu()[same], atol=1e-4
    )


def peak(level: int, size: int, batch: int) -> tuple[int, int]:
    """Bytes at the highest point of forward and backward, and how many pairs were blended."""
    ball = icosphere(level)
    verts = (ball.verts * 0.4).cuda().expand(batch, -1, -1)
    uvz = (
        orbit(torch.linspace(0, 90, batch, device="cuda"), 20.0)
        .project(verts)
        .detach()
        .requires_grad_()
    )
    table = rand(batch, len(ball.faces), 3, 3, 3, generator=seeded(4)).cuda().requires_grad_()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    render = soft_rasterize(uvz, ball.faces.cuda(), size, face_features=table, sigma=1e-4)
    (render.rgb.sum() + render.alpha.sum()).backward()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before, len(render.pair_face)


@pytest.mark.cuda
def test_memory_grows_with_the_pairs_and_not_with_faces_times_pixels():
    """From 320 to 5120 faces the dense table grows 16-fold; the pairs, and the memory, must stay
    together.
    """
    peak(2, 64, 2)  # the first call loads kernels
    (small, few), (large, many) = peak(2, 128, 8), peak(4, 128, 8)
    assert (
        large / small < 1.6 * many / few + 0.5 and large < 8 * 5120 * 128 * 128 * 4
    )  # far below one dense table


@pytest.mark.cuda
def test_memory_is_linear_in_the_batch():
    peak(2, 64, 2)
    (one, few), (four, many) = peak(3, 96, 4), peak(3, 96, 16)
    assert 3.5 < many / few < 4.5 and four / one < 1.3 * many / few


@pytest.mark.cuda
def test_transfer_and_atlas_run_there():
    camera = WeakPerspective(
        torch.tensor([0.7, 0.6]), torch.zeros(2, 2), rand(2, 4, generator=seeded(5))
    )
    points, flow = (
        rand(2, 5, 2, generator=seeded(6)) - 0.5,
        rand(2, 320, 3, 3, 2, generator=seeded(7)) - 0.5,
    )
    here = transfer_by_camera(BALL.verts, camera, camera[[1, 0]], points, faces=BALL.faces)
    there = transfer_by_camera(
        BALL.verts.cuda(),
        camera.to("cuda"),
        camera[[1, 0]].to("cuda"),
        points.cuda(),
        faces=BALL.faces.cuda(),
    )
    assert torch.allclose(here.place, there.place.cpu(), atol=1e-4)
    by_flow = (
        transfer_by_flow(flow, flow.flip(0), points),
        transfer_by_flow(flow.cuda(), flow.flip(0).cuda(), points.cuda()),
    )
    assert torch.allclose(by_flow[0].place, by_flow[1].place.cpu(), atol=1e-4)
    texels = rand(320, 4, 4, 3, generator=seeded(8))
    painted = with_texels(BALL.to("cuda"), texels.cuda())
    assert torch.allclose(painted.texture.cpu(), with_texels(BALL, texels).texture, atol=1e-5)
    assert torch.allclose(
        texels_of(painted, 4).cpu(), texels_of(with_texels(BALL, texels), 4), atol=1e-4
    )
