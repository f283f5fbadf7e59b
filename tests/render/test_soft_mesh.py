"""The soft rasteriser: dense and pairs agree, gradients are right, and nothing depends on the order
of faces.
"""

import math

import pytest
import torch

from svr_nb.cameras.projections import orbit
from svr_nb.conventions import InputError, rand, seeded
from svr_nb.render.soft_mesh import face_centroids, soft_rasterize, visible_faces
from svr_nb.shapes.mesh import icosphere

FACES = torch.arange(15).view(5, 3)
SOFT = dict(sigma=3e-3, gamma=0.3, background=0.3)


def scattered(batch=2, seed=1, dtype=torch.float64):
    return (
        rand(batch, 15, 3, generator=seeded(seed), low=-0.8, high=0.8) + torch.tensor([0, 0, 3.0])
    ).to(dtype)


def features(kind, batch=2):
    shape = {"vert_features": (batch, 15, 3), "face_features": (batch, 5, 4, 4, 3), "none": (0,)}[
        kind
    ]
    return {} if kind == "none" else {kind: rand(*shape, generator=seeded(2)).double()}


@pytest.mark.parametrize("kind", ["vert_features", "face_features", "none"])
@pytest.mark.parametrize("perspective", [True, False])
def test_dense_and_pairs_agree_in_value_and_gradient(kind, perspective):
    seen = []
    for backend in ("dense", "pairs"):
        uvz, given = (
            scattered().requires_grad_(),
            {k: v.requires_grad_() for k, v in features(kind).items()},
        )
        drawn = soft_rasterize(
            uvz, FACES, 16, backend=backend, perspective=perspective, **given, **SOFT
        )
        centroids, mass = face_centroids(drawn)
        weights = torch.linspace(-1, 1, 16, dtype=torch.float64)
        total = (
            (drawn.rgb * weights).sum() + (drawn.alpha * weights[:, None]).sum() + centroids.sum()
        )
        seen.append(
            [
                drawn.rgb,
                drawn.alpha,
                centroids,
                mass,
                *torch.autograd.grad(total, [uvz, *given.values()]),
            ]
        )
    assert all(torch.allclose(one, two, atol=1e-9) for one, two in zip(*seen))


@pytest.mark.parametrize("backend", ["dense", "pairs"])
@pytest.mark.parametrize("kind", ["vert_features", "face_features"])
def test_gradcheck(backend, kind):
    uvz, (name, table) = scattered(1)[:, :6], next(iter(features(kind, 1).items()))
    table = table[:, :6] if name == "vert_features" else table[:, :2]

    def draw(uvz, table):
        drawn = soft_rasterize(
            uvz,
            FACES[:2],
            5,
            backend=backend,
            sigma=2e-2,
            gamma=0.3,
            background=0.3,
            **{name: table},
        )
        return drawn.rgb, drawn.alpha

    assert torch.autograd.gradcheck(draw, (uvz.requires_grad_(), table.requires_grad_()))


@pytest.mark.parametrize("backend", ["dense", "pairs"])
def test_face_order_and_batch(backend):
    uvz, table, order = scattered(), features("vert_features"), torch.tensor([3, 1, 4, 0, 2])
    whole = soft_rasterize(uvz, FACES, 16, backend=backend, **table, **SOFT)
    shuffled = soft_rasterize(uvz, FACES[order], 16, backend=backend, **table, **SOFT)
    assert torch.allclose(whole.rgb, shuffled.rgb, atol=1e-12) and torch.allclose(
        whole.alpha, shuffled.alpha, atol=1e-12
    )
    for i in range(2):
        one = soft_rasterize(
            uvz[i : i + 1],
            FACES,
            16,
            backend=backend,
            vert_features=table["vert_features"][i : i + 1],
            **SOFT,
        )
        assert torch.allclose(one.rgb, whole.rgb[i : i + 1], atol=1e-12) and torch.equal(
            one.face, whole.face[i : i + 1]
        )


def test_single_precision_agrees_with_double():
    one = soft_rasterize(scattered(dtype=torch.float32), FACES, 16, **SOFT).alpha
    assert one.dtype == torch.float32 and torch.allclose(
        one.double(), soft_rasterize(scattered(), FACES, 16, **SOFT).alpha, atol=1e-4
    )


def test_shares_add_up_to_one():
    drawn = soft_rasterize(
        scattered(),
        FACES,
        16,
        vert_features=torch.ones(2, 15, 1),
        backend="pairs",
        **{**SOFT, "background": 0.0},
    )
    shares = torch.zeros(2 * 256, dtype=torch.float64).index_add(0, drawn.pair_pixel, drawn.weight)
    assert torch.allclose(drawn.rgb.flatten(), shares, atol=1e-9) and shares.max() <= 1 + 1e-9


def test_area_of_a_square():
    square = torch.tensor([[[-0.4, -0.4, 2], [0.4, -0.4, 2], [0.4, 0.4, 2], [-0.4, 0.4, 2]]])
    assert soft_rasterize(
        square, torch.tensor([[0, 1, 2], [0, 2, 3]]), 256
    ).alpha.mean().item() * 4 == pytest.approx(0.64, rel=0.01)


def test_coverage_is_the_formula():
    far_left = torch.tensor(
        [[[-5.0, -5, 2], [0, -5, 2], [0, 5, 2], [-5, 5, 2]]]
    )  # everything with u < 0
    alpha = soft_rasterize(far_left, torch.tensor([[0, 1, 2]]), 16, sigma=1e-2).alpha[0, 0, 8]
    u = (2 * torch.arange(16) + 1) / 16 - 1
    wanted = torch.sigmoid(-u.sign() * u.square() / 1e-2)
    near = u > -0.15
    assert torch.allclose(alpha[near], wanted[near], atol=1e-5)


def test_nearer_faces_win():
    two = torch.tensor(
        [
            [
                [-0.9, -0.9, 2],
                [0.9, -0.9, 2],
                [0, 0.9, 2],
                [-0.9, -0.9, 2.2],
                [0.9, -0.9, 2.2],
                [0, 0.9, 2.2],
            ]
        ]
    )
    colors = torch.tensor([[[1.0, 0, 0]] * 3 + [[0, 0, 1.0]] * 3])
    drawn = soft_rasterize(two, torch.arange(6).view(2, 3), 17, vert_features=colors)
    assert (
        torch.allclose(drawn.rgb[0, :, 8, 8], torch.tensor([1.0, 0, 0]), atol=1e-4)
        and drawn.face[0, 8, 8] == 0
    )
    softer = soft_rasterize(
        two, torch.arange(6).view(2, 3), 17, vert_features=colors, gamma=0.2
    ).rgb[0, :, 8, 8]
    assert softer[2].item() == pytest.approx(1 / (1 + math.e), abs=0.01)


@pytest.mark.parametrize("side", [1, 2, 5])
def test_texels_reproduce_linear_functions(side):
    steps = torch.linspace(0, 1, side) if side > 1 else torch.zeros(1)
    first, second = torch.meshgrid(steps, steps, indexing="ij")
    corner = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]])
    grid = (
        first[..., None] * corner[0]
        + second[..., None] * corner[1]
        + (1 - first - second)[..., None] * corner[2]
    )
    grid = torch.where(
        (first + second > 1 + 1e-6)[..., None], 99.0, grid
    )  # slots outside the face must not matter
    uvz = torch.tensor([[[-0.8, 0.7, 2], [0.9, 0.5, 2.5], [0, -0.8, 3]]])
    drawn = soft_rasterize(uvz, torch.tensor([[0, 1, 2]]), 24, face_features=grid[None, None])
    verts = corner[None] if side > 1 else corner[2].expand(1, 3, 2)
    wanted = soft_rasterize(uvz, torch.tensor([[0, 1, 2]]), 24, vert_features=verts)
    assert torch.allclose(drawn.rgb, wanted.rgb, atol=1e-4)


def test_constant_per_face_in_either_form():
    flat = rand(2, 5, 3, generator=seeded(5)).double()
    wide = flat[:, :, None, None].expand(2, 5, 3, 3, 3)
    assert torch.allclose(
        soft_rasterize(scattered(), FACES, 16, face_features=flat, **SOFT).rgb,
        soft_rasterize(scattered(), FACES, 16, face_features=wide, **SOFT).rgb,
        atol=1e-9,
    )


@pytest.mark.parametrize("backend", ["dense", "pairs"])
def test_degenerate_faces_and_faces_behind_change_nothing(backend):
    uvz, table = scattered().clone(), features("vert_features")
    uvz[:, 3, 2] = -1.0  # face 1 now reaches behind the camera
    extra = torch.cat([FACES, torch.tensor([[0, 0, 1], [2, 2, 2]])])
    uvz.requires_grad_()
    drawn = soft_rasterize(uvz, extra, 16, backend=backend, **table, **SOFT)
    clean = soft_rasterize(uvz, FACES[[0, 2, 3, 4]], 16, backend=backend, **table, **SOFT)
    assert torch.allclose(drawn.rgb, clean.rgb, atol=1e-9) and torch.allclose(
        drawn.alpha, clean.alpha, atol=1e-9
    )
    (slope,) = torch.autograd.grad(drawn.rgb.sum() + drawn.alpha.sum(), uvz)
    assert bool(torch.isfinite(slope).all()) and bool((slope[:, 3] == 0).all())


@pytest.mark.parametrize("backend", ["dense", "pairs", "auto"])
def test_empty_meshes_are_background(backend):
    drawn = soft_rasterize(
        scattered(), FACES[:0], 8, backend=backend, **features("vert_features"), **SOFT
    )
    assert (
        bool((drawn.rgb == 0.3).all())
        and bool((drawn.alpha == 0).all())
        and bool((drawn.face == -1).all())
    )
    assert face_centroids(drawn)[0].shape == (2, 0, 2) and visible_faces(drawn).shape == (2, 0)


@pytest.mark.parametrize("backend", ["auto", "pairs"])
def test_centroids_and_visibility(backend):
    ball, camera = icosphere(2), orbit(20, 10)
    verts = ball.verts / ball.verts.norm(dim=1, keepdim=True) * 0.4
    drawn = soft_rasterize(camera.project(verts[None]), ball.faces, 64, backend=backend)
    centroids, mass = face_centroids(drawn)
    seen = visible_faces(drawn)[0]
    center = camera.project(verts[ball.faces].mean(1)[None])[0]
    assert 0.3 < seen.float().mean() < 0.5 and center[seen, 2].max() < 2
    core = seen & (mass[0] > 6)
    assert (centroids[0] - center[:, :2])[core].norm(dim=1).mean() < 1 / 32
    assert not bool(seen[-1]) or drawn.face.eq(len(ball.faces) - 1).any()


def test_far_target_gives_no_gradient():
    uvz = torch.tensor([[[-0.9, -0.9, 2], [-0.7, -0.9, 2], [-0.8, -0.7, 2]]]).requires_grad_()
    alpha = soft_rasterize(uvz, torch.tensor([[0, 1, 2]]), 64).alpha
    assert torch.autograd.grad(alpha[..., 32:].sum(), uvz)[0].abs().max() == 0


@pytest.mark.parametrize(
    "change, name",
    [
        (dict(uvz=torch.zeros(15, 3)), "uvz"),
        (dict(uvz=torch.full((2, 15, 3), math.inf)), "uvz"),
        (dict(faces=FACES + 1), "faces"),
        (dict(faces=FACES.double()), "faces"),
        (dict(size=0), "size"),
        (dict(sigma=0.0), "sigma"),
        (dict(gamma=-1.0), "gamma"),
        (dict(backend="fast"), "backend"),
        (dict(background=torch.zeros(2)), "background"),
        (dict(vert_features=torch.zeros(2, 14, 3)), "vert_features"),
        (dict(vert_features=torch.full((2, 15, 3), math.nan)), "vert_features"),
        (
            dict(vert_features=torch.zeros(2, 15, 3), face_features=torch.zeros(2, 5, 3)),
            "face_features",
        ),
        (dict(face_features=torch.zeros(2, 4, 3)), "face_features"),
        (dict(face_features=torch.zeros(2, 5, 3, 4, 3)), "face_features"),
    ],
)
def test_refusals_name_the_argument(change, name):
    arguments = {"uvz": scattered(), "faces": FACES, "size": 8, **change}
    with pytest.raises(InputError, match=f"^{name}:"):
        soft_rasterize(**arguments)
