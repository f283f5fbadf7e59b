"""Per-face texels as a picture: exact at texels and edges, the rasteriser as oracle, files and
other libraries.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from svr_nb.cameras.projections import orbit
from svr_nb.conventions import InputError, rand, seeded
from svr_nb.view.orbit_viewer import viewer_page
from svr_nb.result.reconstruction import Reconstruction
from svr_nb.render.hard_mesh import render_mesh
from svr_nb.render.soft_mesh import soft_rasterize
from svr_nb.shapes.atlas import texels_of, texture_atlas, with_texels
from svr_nb.shapes.mesh_files import load_mesh, save_mesh
from svr_nb.shapes.mesh import Mesh, icosphere
from svr_nb.shapes.uv import wrap_texture

BALL = icosphere(2)
CAMERA = orbit(30.0, 20.0, focal=1.4)


def lattice(side: int) -> torch.Tensor:
    first, second = torch.meshgrid(
        torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij"
    )
    return torch.stack([first, second, 1 - first - second], -1)


def look_up(image: torch.Tensor, uvs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Colours (f, n, 3) of an atlas at places given by corner weights (n, 3), read bilinearly."""
    at = torch.einsum("nk,fkc->fnc", weights, uvs) * 2 - 1
    return torch.nn.functional.grid_sample(image[None], at[None], align_corners=False)[0].permute(
        1, 2, 0
    )


@pytest.mark.parametrize(
    ("side", "scale", "pad"), [(2, 1, 1), (3, 1, 2), (6, 1, 1), (6, 3, 2), (5, 4, 3)]
)
def test_every_texel_of_a_face_is_where_it_belongs(side: int, scale: int, pad: int):
    texels = rand(7, side, side, 3, generator=seeded(side, scale))
    inside = torch.arange(side)[:, None] + torch.arange(side) < side
    image, uvs = texture_atlas(texels, scale, pad)
    assert (
        uvs.shape == (7, 3, 2)
        and float(uvs.min()) > 0
        and float(uvs.max()) < 1
        and float(image.min()) >= 0
        and float(image.max()) <= 1
    )
    read = look_up(image, uvs, lattice(side)[inside])
    assert torch.allclose(read, texels[:, inside], atol=1e-4)


def test_linear_colours_are_exact_everywhere_even_on_the_diagonal():
    """Read bilinearly, a linear function stays that function up to every edge; a nearest-texel
    margin would bend it there.
    """
    corner = rand(9, 3, 3, generator=seeded(1), low=0.3, high=0.7)
    image, uvs = texture_atlas(torch.einsum("ijk,fkc->fijc", lattice(4), corner).clamp(0, 1))
    weights = torch.distributions.Dirichlet(torch.ones(3)).sample((200,))
    edge = torch.stack(
        [torch.linspace(0, 1, 50), 1 - torch.linspace(0, 1, 50), torch.zeros(50)], -1
    )
    for w in (weights, edge):
        assert torch.allclose(
            look_up(image, uvs, w), torch.einsum("nk,fkc->fnc", w, corner), atol=1e-4
        )


def test_patches_do_not_touch():
    """Changing one face changes no pixel that another face can read."""
    texels = rand(12, 4, 4, 3, generator=seeded(2))
    other = texels.clone()
    other[5] = 0
    (one, uvs), (two, _) = texture_atlas(texels), texture_atlas(other)
    weights = torch.distributions.Dirichlet(torch.full((3,), 0.3)).sample((300,))
    same = (look_up(one, uvs, weights) - look_up(two, uvs, weights)).abs().amax((1, 2))
    assert same[5] > 0.1 and float(same[torch.arange(12) != 5].max()) == 0


def test_rendering_equals_the_rasteriser():
    texels = (torch.einsum("ijk,fkc->fijc", lattice(6), BALL.verts[BALL.faces]) * 4).sin().clamp(
        -1, 1
    ) / 2 + 0.5
    true = soft_rasterize(
        CAMERA.project(BALL.verts[None]),
        BALL.faces,
        128,
        face_features=texels[None],
        sigma=1e-7,
        gamma=1e-4,
    ).rgb[0]
    inner = render_mesh(BALL, CAMERA, 128, supersample=1)["mask"][0] > 0.5
    errors = []
    for scale in (1, 4):
        image = render_mesh(
            with_texels(BALL, texels, scale), CAMERA, 128, light=None, supersample=1
        )["image"]
        errors.append(float((image - true).abs()[:, inner].mean()))
    assert errors[0] < 0.006 and errors[1] < 0.001


def test_texels_come_back():
    texels, inside = (
        rand(320, 5, 5, 3, generator=seeded(3)),
        torch.arange(5)[:, None] + torch.arange(5) < 5,
    )
    again = texels_of(with_texels(BALL, texels), 5)
    assert again.shape == (320, 5, 5, 3) and torch.allclose(
        again[:, inside], texels[:, inside], atol=1e-4
    )
    assert torch.isfinite(again).all() and float(again.min()) >= 0 and float(again.max()) <= 1


def test_texels_of_charts_colours_and_nothing():
    chart = wrap_texture(BALL, torch.full((3, 8, 16), 0.25))
    assert torch.allclose(texels_of(chart, 3), torch.full((320, 3, 3, 3), 0.25))
    colored = Mesh(BALL.verts, BALL.faces, vert_colors=(BALL.verts + 1) / 2)
    assert torch.allclose(texels_of(colored, 2)[:, 1, 0], colored.vert_colors[BALL.faces[:, 0]])
    assert torch.allclose(texels_of(BALL, 2), torch.tensor(0.75))


def test_gradients_reach_the_texels():
    texels = rand(4, 3, 3, 3, generator=seeded(4), low=0.3, high=0.7).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda t: texture_atlas(t)[0], texels)
    grad = torch.autograd.grad(texture_atlas(texels)[0].sum(), texels)[0]
    assert (
        bool((grad[:, 0, 0] > 0).all()) and float(grad[:, 2, 2].abs().max()) == 0
    )  # a texel outside the face counts nowhere


# files
# ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("ending", ["glb", "obj"])
def test_a_reconstruction_saves_its_texture(ending: str, tmp_path: Path):
    texels = rand(320, 4, 4, 3, generator=seeded(5))
    painted = with_texels(BALL.transform(scale=0.4), texels)
    path = Reconstruction(mesh=painted, camera=orbit(10.0, 5.0)).save(
        tmp_path / f"painted ball.{ending}"
    )
    again = load_mesh(path)
    assert again.is_closed() and len(again.verts) == 162 and len(again.faces) == 320
    inside = torch.arange(4)[:, None] + torch.arange(4) < 4
    assert float((texels_of(again, 4) - texels)[:, inside].abs().max()) < 1.01 / 255
    pictures = [
        Reconstruction(mesh=m, camera=orbit(10.0, 5.0)).render(size=64)
        for m in (painted, again, BALL.transform(scale=0.4))
    ]
    assert (
        float((pictures[0] - pictures[1]).abs().max())
        < 0.02
        < float((pictures[0] - pictures[2]).abs().mean())
    )
    assert not [p for p in tmp_path.iterdir() if p.suffix == ".part"]


@pytest.mark.parametrize("ending", ["glb", "obj"])
def test_trimesh_sees_the_same_colours(ending: str, tmp_path: Path):
    trimesh = pytest.importorskip("trimesh")
    texels = rand(320, 3, 3, 3, generator=seeded(6))
    other = trimesh.load(
        save_mesh(with_texels(BALL, texels), tmp_path / f"ball.{ending}"), force="mesh"
    )
    material = other.visual.material
    picture = (
        np.asarray((getattr(material, "baseColorTexture", None) or material.image).convert("RGB"))
        / 255
    )
    place = other.visual.uv[other.faces].reshape(-1, 2) * [picture.shape[1], picture.shape[0]]
    colors = picture[
        picture.shape[0] - 1 - np.floor(place[:, 1]).astype(int), np.floor(place[:, 0]).astype(int)
    ].reshape(320, 3, 3)
    wanted = torch.stack([texels[:, 2, 0], texels[:, 0, 2], texels[:, 0, 0]], 1).numpy()
    corners = other.vertices[other.faces] * ([-1, 1, -1] if ending == "glb" else [1, 1, 1])
    mine = BALL.verts[BALL.faces].numpy()
    order = [int(np.abs(corners - face).sum((1, 2)).argmin()) for face in mine]
    assert (
        np.abs(corners[order] - mine).max() < 1e-5
        and np.abs(colors[order] - wanted).max() < 1.01 / 255
    )


def test_the_page_shows_the_texture():
    plain, painted = (
        viewer_page(BALL),
        viewer_page(with_texels(BALL, rand(320, 3, 3, 3, generator=seeded(7)))),
    )
    assert plain != painted


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: texture_atlas(torch.full((2, 3, 3, 3), 1.5)), "face_texels"),
        (lambda: texture_atlas(torch.zeros(2, 3, 4, 3)), "face_texels"),
        (lambda: texture_atlas(torch.zeros(0, 3, 3, 3)), "face_texels"),
        (lambda: texture_atlas(torch.zeros(2, 3, 3, 3), pad=0), "pad"),
        (lambda: texture_atlas(torch.zeros(2, 3, 3, 3), scale=0), "scale"),
        (lambda: with_texels(BALL, torch.zeros(2, 3, 3, 3)), "face_texels"),
        (lambda: texels_of(BALL, 1), "side"),
    ],
)
def test_refusals_name_the_argument(call, name: str):
    with pytest.raises(InputError, match=f"^{name}"):
        call()


def test_one_texel_per_face():
    image, uvs = texture_atlas(torch.eye(3)[:, None, None])
    read = look_up(image, uvs, torch.tensor([[0.2, 0.3, 0.5], [1.0, 0, 0]]))
    assert torch.allclose(read, torch.eye(3)[:, None].expand(-1, 2, -1), atol=1e-6)
