"""The compiled rasteriser against the dense one: values, gradients, degenerate meshes, bits."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from svr_nb.conventions import InputError, seeded
from svr_nb.render import fast_mesh, mesh_loops
from svr_nb.render.hard_mesh import hard_rasterize
from svr_nb.render.soft_mesh import face_centroids, soft_rasterize
from svr_nb.shapes.mesh import icosphere

pytest.importorskip("numba")
pytestmark = pytest.mark.skipif(not mesh_loops.compiled_runs(), reason="numba does not run here")
KINDS = ("none", "verts", "flat", "texels")


def scene(
    seed: int,
    kind: str,
    dtype: torch.dtype = torch.float64,
    batch: int = 2,
    verts: int = 12,
    faces: int = 10,
    behind: bool = False,
) -> dict:
    """A random soup of triangles with features of one kind."""
    g = seeded(seed)
    uvz = torch.rand(batch, verts, 3, generator=g) * torch.tensor([2.4, 2.4, 1.0]) + torch.tensor(
        [-1.2, -1.2, -0.4 if behind else 1.0]
    )
    table = {
        "none": None,
        "verts": torch.rand(batch, verts, 3, generator=g),
        "flat": torch.rand(batch, faces, 2, generator=g),
        "texels": torch.rand(batch, faces, 4, 4, 3, generator=g),
    }[kind]
    name = "vert_features" if kind == "verts" else "face_features"
    triangles = torch.stack([torch.randperm(verts, generator=g)[:3] for _ in range(faces)])
    return {
        "uvz": uvz.to(dtype),
        "faces": triangles,
        "table": None if table is None else table.to(dtype),
        "name": name,
    }


def draw(made: dict, backend: str, size: int = 16, **options):
    """Everything a mesh is drawn to, and the gradient of a fixed random mixture of it."""
    options = {"sigma": 3e-3, "gamma": 0.1, "far": 3.0, **options}
    leaves = [made["uvz"].clone().requires_grad_()] + (
        [] if made["table"] is None else [made["table"].clone().requires_grad_()]
    )
    if made["table"] is not None:
        options[made["name"]] = leaves[1]
    render = soft_rasterize(leaves[0], made["faces"], size, backend=backend, **options)
    centers, mass = face_centroids(render)
    outputs = [render.rgb, render.alpha, mass, centers * (mass > 1e-2)[..., None]]
    weigh = lambda x: (x * torch.randn(x.shape, generator=seeded(7, *x.shape)).to(x)).sum()
    gradients = torch.autograd.grad(sum(weigh(x) for x in outputs), leaves, allow_unused=True)
    return render, outputs, [torch.zeros(1) if g is None else g for g in gradients]


def agree(made: dict, tolerance: float, **options) -> None:
    """Values and gradients of the compiled form equal those of the dense form."""
    (one, values, slopes), (other, wanted, pulls) = (
        draw(made, "compiled", **options),
        draw(made, "dense", **options),
    )
    for got, right in zip(values + slopes, wanted + pulls):
        got, right = got.detach(), right.detach()
        assert got.dtype == right.dtype and got.shape == right.shape
        assert not right.numel() or (got - right).abs().max() <= tolerance * max(
            1.0, float(right.abs().max())
        )
    assert (one.face == other.face).float().mean() > 0.98 and torch.equal(
        one.face < 0, other.face < 0
    )


@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_equal_the_dense_form_in_double(kind, perspective):
    agree(scene(1, kind, behind=not perspective), 1e-8, perspective=perspective)


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_equal_the_dense_form_in_single(kind):
    agree(scene(2, kind, torch.float32), 1e-4)


@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(KINDS),
    size=st.sampled_from([1, 2, 8, 32]),
    softness=st.floats(-6, -1),
    depth=st.floats(-3, 1),
)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_any_soup_of_triangles(seed, kind, size, softness, depth):
    agree(scene(seed, kind), 1e-6, size=size, sigma=10.0**softness, gamma=10.0**depth)


@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck(kind):
    made = scene(3, kind, batch=1, verts=6, faces=3)
    leaves = [made["uvz"].requires_grad_()] + (
        [] if made["table"] is None else [made["table"].requires_grad_()]
    )

    def outputs(uvz, *table):
        given_ = {made["name"]: table[0]} if table else {}
        render = soft_rasterize(
            uvz, made["faces"], 8, sigma=2e-2, gamma=0.3, far=3.0, backend="compiled", **given_
        )
        return (*((render.rgb,) if table else ()), render.alpha, render.sums())

    assert torch.autograd.gradcheck(outputs, leaves)


def test_gradient_of_the_background():
    made, fill = scene(4, "verts"), torch.rand(3, dtype=torch.float64, requires_grad=True)
    options = {"vert_features": made["table"], "background": fill, "gamma": 1.0, "far": 2.0}
    run = lambda backend: soft_rasterize(made["uvz"], made["faces"], 16, backend=backend, **options)
    slopes = [
        torch.autograd.grad(run(backend).rgb.square().sum(), fill)[0]
        for backend in ("compiled", "dense")
    ]
    assert torch.allclose(*slopes, rtol=1e-8)


def test_many_channels_and_none():
    made = scene(5, "verts")
    made["table"] = torch.rand(2, 12, 40, generator=seeded(1)).double()
    agree(made, 1e-8)
    assert soft_rasterize(made["uvz"], made["faces"], 8, backend="compiled").rgb.shape == (
        2,
        0,
        8,
        8,
    )


def test_z_buffer_equals_the_hard_one():
    made = {**scene(6, "none", torch.float32, verts=90), "faces": torch.arange(90).view(30, 3)}
    face, bary, depth = fast_mesh.nearest_compiled(made["uvz"], made["faces"], 64, True)
    wanted, weights, z = hard_rasterize(made["uvz"], made["faces"], 64, True)
    same = face == wanted
    assert same.float().mean() > 0.999 and torch.equal(face < 0, wanted < 0)
    assert torch.allclose(bary[same], weights[same], atol=1e-3) and torch.allclose(
        depth[same], z[same], atol=1e-4
    )


@pytest.mark.parametrize(
    "triangle",
    [
        [[0, 0, 1], [0, 0, 1], [0, 0, 1]],  # a point
        [[-0.5, 0, 1], [0, 0, 1], [0.5, 0, 1]],  # a line
        [[0, 0, -1], [0.5, 0, -1], [0, 0.5, -1]],  # behind the camera
        [[0, 0, 1], [0.5, 0, 0.0], [0, 0.5, 1]],  # reaches into the camera
        [[5, 5, 1], [6, 5, 1], [5, 6, 1]],  # beside the frame
        [[1e6, 1e6, 1], [2e6, 1e6, 1], [1e6, 2e6, 1]],
    ],
)
def test_what_cannot_be_drawn_is_not(triangle):
    leaf = torch.tensor([triangle], dtype=torch.float32, requires_grad=True)
    render = soft_rasterize(
        leaf,
        torch.tensor([[0, 1, 2]]),
        16,
        vert_features=torch.ones(1, 3, 1),
        background=0.25,
        backend="compiled",
    )
    (render.rgb.sum() + render.alpha.sum() + render.sums().sum()).backward()
    assert (
        (render.rgb == 0.25).all()
        and (render.alpha == 0).all()
        and (leaf.grad == 0).all()
        and (render.face == -1).all()
    )


def test_faces_around_the_whole_frame():
    huge = torch.tensor([[[-1e4, -1e4, 2.0], [1e4, -1e4, 2], [0, 2e4, 2]]], requires_grad=True)
    render = soft_rasterize(huge, torch.tensor([[0, 1, 2]]), 16, backend="compiled")
    assert (
        torch.allclose(render.alpha, torch.ones(1))
        and torch.autograd.grad(render.alpha.sum(), huge)[0].abs().max() < 1e-6
    )


def test_coincident_faces_share_the_pixel():
    triangle = torch.tensor([[-0.6, -0.6, 2.0], [0.6, -0.6, 2], [0, 0.6, 2]])
    made = {
        "uvz": triangle.double()[None],
        "faces": torch.tensor([[0, 1, 2]] * 3),
        "table": torch.eye(3).double()[None],
    }
    made["name"] = "face_features"
    agree(made, 1e-9, size=32)
    middle = draw(made, "compiled", size=32)[0]
    assert (
        torch.allclose(
            middle.rgb[0, :, 16, 16], torch.full((3,), 1 / 3, dtype=torch.float64), atol=1e-4
        )
        and middle.face[0, 16, 16] == 0
    )


@pytest.mark.parametrize("corner", [(0.5, 0.5), (-0.5, 0.5)])
def test_pixel_on_a_corner_or_an_edge(corner):
    """Pixel centres of a 2 x 2 image lie at +-.5."""
    uvz = torch.tensor(
        [[[*corner, 1.0], [-0.5, -0.5, 1], [0.5, -0.5, 1]]], dtype=torch.float64, requires_grad=True
    )
    render = soft_rasterize(
        uvz,
        torch.tensor([[0, 1, 2]]),
        2,
        vert_features=torch.rand(1, 3, 2),
        sigma=0.1,
        backend="compiled",
    )
    slope = torch.autograd.grad(render.alpha.sum() + render.rgb.sum(), uvz)[0]
    assert torch.isfinite(slope).all() and torch.isfinite(render.rgb).all()
    assert abs(float(render.alpha.detach()[0, 0, 0, 0]) - 0.5) < 1e-6


@pytest.mark.parametrize(("verts", "faces", "batch"), [(5, 0, 2), (0, 0, 1), (3, 1, 0)])
def test_empty(verts, faces, batch):
    uvz, triangles = (
        torch.rand(batch, verts, 3, requires_grad=True),
        torch.arange(3 * faces).view(faces, 3),
    )
    render = soft_rasterize(
        uvz,
        triangles,
        8,
        vert_features=torch.rand(batch, verts, 2),
        background=0.5,
        backend="compiled",
    )
    assert (render.rgb == 0.5).all() and (render.alpha == 0).all()
    assert render.alpha.shape == (batch, 1, 8, 8) and render.sums().shape == (batch, faces, 3)
    assert torch.autograd.grad(render.rgb.sum() + render.alpha.sum(), uvz)[0].shape == uvz.shape


@pytest.mark.parametrize("kind", KINDS)
def test_each_image_of_a_batch_is_drawn_as_if_alone(kind):
    made = scene(8, kind, batch=3)
    alone = {
        **made,
        "uvz": made["uvz"][1:2],
        "table": None if made["table"] is None else made["table"][1:2],
    }
    both, one = (draw(m, "compiled")[0] for m in (made, alone))
    assert (
        torch.equal(both.rgb[1:2], one.rgb)
        and torch.equal(both.alpha[1:2], one.alpha)
        and torch.equal(both.sums()[1:2], one.sums())
    )


def test_order_of_faces_does_not_matter():
    made, order = scene(9, "texels", faces=20), torch.randperm(20, generator=seeded(1))
    shuffled = {**made, "faces": made["faces"][order], "table": made["table"][:, order]}
    (_, values, _), (_, others, _) = draw(made, "compiled"), draw(shuffled, "compiled")
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(values[:2], others[:2]))
    assert torch.allclose(values[2][:, order], others[2], atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_same_bits_on_one_and_two_threads(kind):
    made, before, results = (
        scene(10, kind, torch.float32, batch=1, faces=200),
        torch.get_num_threads(),
        [],
    )
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            _, values, slopes = draw(made, "compiled", size=64)
            results.append(values + slopes)
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


def test_large_image_and_its_pieces():
    """A picture of 512 pixels, averaged down, resembles one of 64; nothing is lost at the border of
    a range of rows.
    """
    ball = icosphere(2, radius=0.8)
    uvz = (ball.verts + torch.tensor([0, 0, 4.0]))[None]
    large = soft_rasterize(uvz, ball.faces, 512, sigma=1e-6, backend="compiled").alpha
    small = soft_rasterize(uvz, ball.faces, 64, sigma=1e-6, backend="compiled").alpha
    assert abs(float(large.mean() - small.mean())) < 5e-3
    rows = np.ones((2, 64, 64))
    corners, alive = fast_mesh._gather(uvz, ball.faces, True)
    one, soft = mesh_loops.Faces(corners[0], alive[0]), mesh_loops.Softness(1e-4, 0.05)
    loop = mesh_loops.kernels()["_outline_rows"]
    for low, high in ((0, 17), (17, 18), (18, 64)):
        loop(one, soft, rows[0], (low, high))
    loop(one, soft, rows[1], (0, 64))
    assert (rows[0] == rows[1]).all()


def test_a_step_downhill_lowers_the_loss():
    ball = icosphere(2, radius=0.5)
    place = lambda offset: (ball.verts * 1.3 + offset + torch.tensor([0, 0, 4.0]))[None]
    silhouette = lambda offset: soft_rasterize(place(offset), ball.faces, 32, sigma=1e-3).alpha
    goal = silhouette(torch.tensor([0.1, 0, 0]))
    offset, losses = torch.zeros(3, requires_grad=True), []
    for _ in range(25):
        losses.append((silhouette(offset) - goal).square().mean())
        offset.data -= 0.05 * torch.autograd.grad(losses[-1], offset)[0]
    assert losses[-1] < 0.2 * losses[0] and abs(float(offset.detach()[0]) - 0.1) < 0.05


def test_auto_is_compiled_on_a_cpu_and_second_derivatives_are_refused():
    made = scene(11, "verts")
    assert soft_rasterize(made["uvz"], made["faces"], 8).sums is not None
    leaf = made["uvz"].clone().requires_grad_()
    slope = torch.autograd.grad(
        soft_rasterize(leaf, made["faces"], 8, backend="compiled").alpha.sum(),
        leaf,
        create_graph=True,
    )[0]
    with pytest.raises(RuntimeError):
        slope.sum().backward()


def test_the_fast_form_is_there_whatever_is_imported_first():
    """Whoever imports the readable rasteriser alone gets the compiled backend too."""
    code = "from svr_nb.render.soft_mesh import BACKENDS; print(*BACKENDS)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"dense", "pairs", "compiled", "pytorch3d"} <= set(ran.stdout.split())


def test_without_numba_the_pairs_form_is_taken(monkeypatch):
    made = scene(12, "verts")
    monkeypatch.setattr(fast_mesh, "compiled_runs", lambda: False)
    assert soft_rasterize(made["uvz"], made["faces"], 8).sums is None
    with pytest.raises(InputError, match="backend.*compiled"):
        soft_rasterize(made["uvz"], made["faces"], 8, backend="compiled")


def test_numba_is_switched_off_by_its_own_variable():
    code = "from svr_nb.render.mesh_loops import compiled_runs; print(compiled_runs())"
    settled = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    told = subprocess.run(
        [sys.executable, "-c", code], env=settled, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "False"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_not_finite_is_refused(bad):
    made = scene(13, "none")
    made["uvz"][0, 0, 0] = bad
    with pytest.raises(InputError, match="uvz"):
        soft_rasterize(made["uvz"], made["faces"], 8, backend="compiled")


def test_pytorch3d_is_refused_where_it_is_absent_and_agrees_where_it_is_not():
    ball = icosphere(1, radius=0.6)
    uvz, paint = (
        (ball.verts + torch.tensor([0, 0, 4.0]))[None],
        torch.rand(1, len(ball.verts), 3, generator=seeded(2)),
    )
    run = lambda backend, leaf: soft_rasterize(
        leaf, ball.faces, 32, vert_features=paint, sigma=1e-3, gamma=0.1, backend=backend
    )
    if importlib.util.find_spec("pytorch3d") is None:
        with pytest.raises(InputError, match="backend.*pytorch3d"):
            run("pytorch3d", uvz)
        return
    slopes = []
    for backend in ("compiled", "pytorch3d"):
        leaf = uvz.clone().requires_grad_()
        render = run(backend, leaf)
        slopes.append(
            (
                render.rgb,
                render.alpha,
                torch.autograd.grad(render.rgb.square().sum() + render.alpha.sum(), leaf)[0],
            )
        )
    for got, wanted in zip(*slopes):
        got, wanted = got.detach(), wanted.detach()
        assert (got - wanted).abs().max() <= 1e-4 * max(1.0, float(wanted.abs().max()))


def test_time_backends_reports_seconds():
    best = fast_mesh.time_backends(("compiled", "pairs"), level=0, size=16, batch=1, repeats=1)
    assert set(best) == {"compiled", "pairs"} and all(0 < s < 60 for s in best.values())


def test_plain_loops_need_no_compiler():
    """The loops are ordinary Python; compiled or not, the numbers are the same."""
    made = scene(14, "none", batch=1, faces=4)
    corners, alive = fast_mesh._gather(made["uvz"], made["faces"], True)
    one, soft = mesh_loops.Faces(corners[0], alive[0]), mesh_loops.Softness(3e-3, 0.26)
    pictures = np.ones((2, 12, 12))
    mesh_loops._outline_rows(one, soft, pictures[0], (0, 12))
    mesh_loops.kernels()["_outline_rows"](one, soft, pictures[1], (0, 12))
    assert np.abs(pictures[0] - pictures[1]).max() < 1e-13 and pictures.min() < 0.5


@pytest.mark.parametrize("side", [0, 3])
def test_a_still_shape_paints_its_features_the_same(side):
    """Where only the features learn, the geometry is left out and their gradient stays."""
    ball = icosphere(1, radius=0.7)
    uvz = (ball.verts + torch.tensor([0, 0, 5.0])).repeat(2, 1, 1)
    shape = (2, len(ball.verts), 3) if side == 0 else (2, len(ball.faces), side, side, 3)
    paint = torch.rand(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    pulls = []
    for moves in (True, False):
        name = "vert_features" if side == 0 else "face_features"
        leaf = uvz.clone().requires_grad_(moves)
        drawn = soft_rasterize(leaf, ball.faces, 24, backend="compiled", **{name: paint})
        (drawn.rgb.square().sum() + drawn.alpha.sum()).backward()
        assert (leaf.grad is not None) == moves
        pulls.append(paint.grad)
        paint.grad = None
    assert torch.equal(*pulls) and pulls[0].abs().sum() > 0


@pytest.mark.parametrize("side", [0, 3])
def test_what_nobody_paints_pulls_the_shape_the_same(side):
    """Where only the shape learns, the features' gradient is left out and the shape's stays."""
    ball = icosphere(1, radius=0.7)
    uvz = (ball.verts + torch.tensor([0, 0, 5.0])).repeat(2, 1, 1).requires_grad_()
    shape = (2, len(ball.verts), 3) if side == 0 else (2, len(ball.faces), side, side, 3)
    paint = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    pulls = []
    for learns in (True, False):
        name, leaf = ("face_features", "vert_features")[side == 0], paint.clone()
        leaf.requires_grad_(learns)
        drawn = soft_rasterize(uvz, ball.faces, 24, backend="compiled", **{name: leaf})
        pulls += torch.autograd.grad(drawn.rgb.square().sum() + drawn.alpha.sum(), uvz)
    assert torch.equal(*pulls) and pulls[0].abs().sum() > 0
