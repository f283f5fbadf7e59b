"""Point clouds: sampling, nearest points, farthest points, alignment."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from svr_nb.conventions import InputError, seeded
from svr_nb.shapes.mesh import Mesh, box, ellipsoid, icosphere, torus
from svr_nb.shapes.points import (
    PointCloud,
    _dense_index,
    draw_indices,
    farthest_points,
    fit_rotation,
    fit_similarity,
    icp,
    nearest,
    sample_surface,
    surface_colors,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("points", {"points": [[0, 0, NAN]]}),
        ("points", {"points": torch.zeros(4, 2)}),
        ("colors", {"colors": [[2.0, 0, 0]]}),
        ("colors", {"colors": torch.zeros(2, 3)}),
        ("normals", {"normals": [[NAN, 0, 0]]}),
        ("faces", {"faces": [0.5]}),
    ],
)
def test_bad_fields_are_named(name: str, fields: dict) -> None:
    with pytest.raises(InputError, match=f"^{name}"):
        PointCloud(**({"points": torch.zeros(1, 3)} | fields))


def test_cloud_moves_and_subsets(generator: torch.Generator) -> None:
    cloud = sample_surface(replace(torus(), vert_colors=torus().verts + 0.5), 100, generator)
    picked = cloud.subset([5, 3])
    assert torch.equal(picked.points, cloud.points[[5, 3]]) and torch.equal(
        picked.faces, cloud.faces[[5, 3]]
    )
    assert (
        len(cloud.subset(cloud.points[:, 0] > 0)) < 100 == len(cloud.drawn(100, generator))
        and len(cloud.drawn(250, generator)) == 250
    )
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator))[0]
    moved = cloud.transform(turn, 1.0, 2.0)
    assert torch.allclose(moved.points, 2 * cloud.points @ turn.T + 1) and torch.allclose(
        moved.normals, cloud.normals @ turn.T
    )
    for by, size in (("diagonal", lambda side: side.norm()), ("longest", lambda side: side.max())):
        low, high = cloud.normalized(by).bounds()
        assert float(size(high - low)) == pytest.approx(1, abs=1e-5) and torch.allclose(
            low, -high, atol=1e-6
        )
    with pytest.raises(InputError, match="by"):
        cloud.normalized("shortest")
    with pytest.raises(InputError):
        PointCloud(torch.zeros(0, 3)).bounds()
    with pytest.raises(InputError):
        PointCloud(torch.zeros(2, 3)).normalized()


def test_samples_lie_on_the_surface(generator: torch.Generator) -> None:
    cloud = sample_surface(box(), 3000, generator)
    assert (cloud.points.abs().amax(1) - 0.5).abs().max() < 1e-6
    assert ((cloud.points * cloud.normals).sum(1) - 0.5).abs().max() < 1e-5
    share = torch.bincount(cloud.faces, minlength=12) - 250
    assert share.abs().max() <= 1


def test_samples_repeat_with_the_seed_and_carry_gradient() -> None:
    a, b = (sample_surface(torus(), 50, seeded(3)) for _ in range(2))
    assert torch.equal(a.points, b.points) and not torch.equal(
        a.points, sample_surface(torus(), 50, seeded(4)).points
    )
    verts = torus().verts.clone().requires_grad_()
    sample_surface(Mesh(verts, torus().faces), 50, seeded(3)).points.sum().backward()
    assert float(verts.grad.sum()) == pytest.approx(150, rel=1e-4)


def test_colors_come_from_texture_or_vertices(generator: torch.Generator) -> None:
    painted = replace(icosphere(2, 0.4), vert_colors=icosphere(2, 0.4).verts + 0.5)
    cloud = sample_surface(painted, 200, generator)
    assert torch.allclose(cloud.colors, cloud.points + 0.5, atol=1e-5)
    square = Mesh(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0]],
        [[0, 1, 2]],
        uvs=[[[0.25, 0.5], [0.75, 0.5], [0.25, 0.5]]],
        texture=torch.tensor([[[0.0, 1.0]], [[0, 0]], [[0, 0]]]),
    )
    picked = surface_colors(square, torch.tensor([0, 0]), torch.tensor([[1.0, 0, 0], [0, 1, 0]]))
    assert torch.allclose(picked[:, 0], torch.tensor([0.0, 1]))
    assert surface_colors(box(), torch.tensor([0]), torch.full((1, 3), 1 / 3)) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda g: sample_surface(Mesh(torch.zeros(3, 3), [[0, 1, 2]]), 5, g),
        lambda g: sample_surface(box(), 0, g),
        lambda g: sample_surface(
            Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)), 5, g
        ),
        lambda g: draw_indices(0, 3, g),
        lambda g: draw_indices(3, -1, g),
    ],
)
def test_bad_sampling(make: object, generator: torch.Generator) -> None:
    with pytest.raises(InputError):
        make(generator)  # type: ignore[operator]


@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40), st.sampled_from([2, 3, 6]))
def test_nearest_equals_all_distances(b: int, n: int, m: int, c: int) -> None:
    x, y = (
        torch.randn(b, n, c, generator=seeded(b, n)),
        torch.randn(b, m, c, generator=seeded(m, c)),
    )
    squares, index = nearest(x, y)
    slow = (x[:, :, None] - y[:, None]).square().sum(-1)
    assert torch.allclose(squares, slow.amin(-1), atol=1e-5) and torch.equal(index, slow.argmin(-1))
    assert torch.equal(_dense_index(x, y, cells=7), index)


def test_nearest_gradient_also_where_points_coincide() -> None:
    x = torch.rand(1, 6, 3, generator=seeded(1), dtype=torch.float64).requires_grad_()
    y = torch.rand(1, 5, 3, generator=seeded(2), dtype=torch.float64)
    y[0, :2] = x.detach()[0, :2]
    y.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: nearest(a, b)[0], (x, y))
    nearest(x, x.detach())[0].sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (torch.zeros(1, 3, 3), torch.zeros(1, 0, 3)),
        (torch.zeros(1, 0, 3), torch.zeros(1, 3, 3)),
        (torch.full((1, 3, 3), NAN), torch.zeros(1, 3, 3)),
        (torch.zeros(2, 3, 3), torch.zeros(1, 3, 3)),
        (torch.zeros(1, 3, 3), torch.zeros(1, 3, 2)),
        (torch.zeros(3, 3), torch.zeros(3, 3)),
        ("x", "y"),
    ],
)
def test_bad_nearest(x: object, y: object) -> None:
    with pytest.raises(InputError):
        nearest(x, y)  # type: ignore[arg-type]


def test_nearest_is_fast() -> None:
    x, y = torch.rand(8, 2000, 3, generator=seeded(1)), torch.rand(8, 2000, 3, generator=seeded(2))
    nearest(x, y)
    start = time.perf_counter()
    nearest(x, y)
    assert time.perf_counter() - start < 1.0


@pytest.mark.cuda
def test_nearest_on_cuda() -> None:
    x, y = torch.rand(2, 500, 3, generator=seeded(1)), torch.rand(2, 400, 3, generator=seeded(2))
    assert torch.equal(nearest(x.cuda(), y.cuda())[1].cpu(), nearest(x, y)[1])


def test_farthest_points() -> None:
    line = torch.tensor([[0.0, 0, 0], [1, 0, 0], [10, 0, 0], [4.9, 0, 0]])
    assert farthest_points(line, 4).tolist() == [0, 2, 3, 1]
    assert farthest_points(line, 1, start=2).tolist() == [2]
    for bad in (0, 5):
        with pytest.raises(InputError, match="count"):
            farthest_points(line, bad)


@given(st.integers(0, 10**6))
def test_rotation_is_found(seed: int) -> None:
    g = seeded(seed)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=g))[0]
    turn = turn * torch.linalg.det(turn)
    x = torch.randn(30, 3, generator=g)
    assert torch.allclose(fit_rotation(x, x @ turn.T), turn, atol=1e-4)
    found = fit_similarity(x, 3 * x @ turn.T - 2, scale=True)
    assert (
        torch.allclose(found.rotation, turn, atol=1e-4)
        and found.scale == pytest.approx(3, rel=1e-4)
        and found.error < 1e-4
    )
    assert torch.linalg.det(fit_rotation(x, x * torch.tensor([-1.0, 1, 1]))) > 0.99


def test_rotation_in_batches_and_bad_shapes() -> None:
    x = torch.randn(4, 10, 3, generator=seeded(0))
    assert torch.allclose(fit_rotation(x, x), torch.eye(3).expand(4, 3, 3), atol=1e-5)
    with pytest.raises(InputError, match="y"):
        fit_rotation(x, x[:, :5])


def test_icp_from_near() -> None:
    shape = sample_surface(ellipsoid((0.5, 0.2, 0.3)), 500, seeded(1)).points
    angle = torch.linalg.matrix_exp(torch.tensor([[0, 0.2, 0], [-0.2, 0, 0.1], [0, -0.1, 0]]))
    found = icp(shape @ angle.T + 0.03, shape)
    assert found.error < 1e-3 and torch.allclose(found(shape @ angle.T + 0.03), shape, atol=1e-3)


def test_pytorch3d_round_trip() -> None:
    pytest.importorskip("pytorch3d")
    cloud = PointCloud(torch.rand(5, 3), colors=torch.rand(5, 3))
    assert torch.equal(PointCloud.from_pytorch3d(cloud.to_pytorch3d()).points, cloud.points)
