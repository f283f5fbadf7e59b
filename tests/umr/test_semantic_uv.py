"""Canonical semantic UV map: carrying, choosing, labelling, and the two constraints."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings, strategies as st

from svr_nb.cameras.projections import WeakPerspective, orbit
from svr_nb.conventions import InputError, pixel_centers, seeded
from svr_nb.shapes.mesh import box
from svr_nb.shapes.uv import symmetric_sphere, uv_to_sphere
from svr_nb.umr.semantic_uv import (
    PALETTE,
    CanonicalParts,
    canonical_parts,
    carry_maps,
    choose_samples,
    detached,
    exact_flow,
    paint_parts,
    part_map_loss,
    part_pixels,
    part_vertex_loss,
    radial_hits,
    render_parts,
    semantic_losses,
    soft_centroids,
    with_background,
)

SPHERE = symmetric_sphere(2).mesh
NAN = float("nan")


def weak(count: int = 1, azimuth: float = 0.0) -> WeakPerspective:
    half = torch.tensor(azimuth).deg2rad() / 2
    quaternion = torch.stack([half.cos(), torch.zeros(()), half.sin(), torch.zeros(())]).expand(
        count, 4
    )
    return WeakPerspective(torch.full((count,), 0.6), torch.zeros(count, 2), quaternion)


def halves(size: int = 32) -> torch.Tensor:
    """Two parts: the left and the right half of the unit sphere's picture at scale .6."""
    grid = pixel_centers(size, size)
    disk = grid.square().sum(-1) < 0.36
    return torch.stack([disk & (grid[..., 0] < 0), disk & (grid[..., 0] > 0)]).float()[None]


# radial_hits
# ---------------------------------------------------------------------------------------------------------
def test_rays_leave_a_box_where_they_should():
    cube = box((2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    rays = torch.tensor([[0.3, 0.2, 1.0], [0.0, -2.0, 0.5], [1.0, 0.9, 0.8]])
    distance, face, weights = radial_hits(cube, rays)
    assert torch.allclose(distance * rays.abs().amax(1), torch.ones(3), atol=1e-5)
    points = (weights[..., None] * cube.verts[cube.faces[face]]).sum(1)
    assert torch.allclose(points, rays * distance[:, None], atol=1e-4)


def test_rays_take_the_last_crossing():
    both = box((2.0, 2.0, 2.0), (0.0, 0.0, 0.0)).join(
        [box((2.0, 2.0, 2.0), (0, 0, 0)), box((1.0, 1.0, 1.0), (3.0, 0, 0))]
    )
    assert float(radial_hits(both, torch.tensor([[1.0, 0.01, 0.02]]))[0]) == pytest.approx(
        3.5, abs=1e-4
    )


def test_rays_that_miss_are_refused():
    with pytest.raises(InputError, match="mesh"):
        radial_hits(box((1.0, 1.0, 1.0), (3.0, 0.0, 0.0)), torch.tensor([[-1.0, 0.0, 0.0]]))
    with pytest.raises(InputError, match="directions"):
        radial_hits(SPHERE, torch.full((2, 3), NAN))


# exact_flow
# ----------------------------------------------------------------------------------------------------------
def test_flow_of_the_sphere_is_its_projection():
    flow = exact_flow(SPHERE.verts, SPHERE, weak(), 8, 16)
    points = uv_to_sphere(pixel_centers(8, 16).reshape(-1, 2))
    wanted = weak().project(points[None])[0, :, :2].T.reshape(2, 8, 16)
    assert flow.shape == (1, 2, 8, 16) and (flow[0] - wanted).abs().max() < 0.03


def test_flow_refuses_another_number_of_vertices():
    with pytest.raises(InputError, match="verts"):
        exact_flow(SPHERE.verts[:-1], SPHERE, weak())


# carrying and choosing
# -----------------------------------------------------------------------------------------------
def test_background_fills_up_to_one():
    full = with_background(halves())
    assert full.shape == (1, 3, 32, 32) and torch.allclose(full.sum(1), torch.ones(1, 32, 32))
    with pytest.raises(InputError, match="maps"):
        with_background(halves() * 3)


@pytest.mark.parametrize("count", [1, 3])
def test_identity_flow_changes_nothing(count: int):
    picture = torch.rand(count, 4, 9, 9, generator=seeded(1))
    flow = pixel_centers(9, 9).permute(2, 0, 1).expand(count, -1, -1, -1)
    assert torch.allclose(carry_maps(picture, flow), picture, atol=1e-5)


def test_every_image_has_its_own_flow():
    picture = torch.rand(2, 1, 8, 8, generator=seeded(2))
    flow = torch.zeros(2, 2, 3, 5)
    flow[1] = 0.5
    one = torch.cat([carry_maps(picture[i : i + 1], flow[i : i + 1]) for i in range(2)])
    assert torch.allclose(carry_maps(picture, flow), one) and carry_maps(picture, flow).shape == (
        2,
        1,
        3,
        5,
    )


def test_carrying_is_differentiable():
    picture = torch.rand(1, 2, 6, 6, generator=seeded(3), dtype=torch.float64).requires_grad_()
    flow = (torch.rand(1, 2, 2, 3, generator=seeded(4), dtype=torch.float64) - 0.5).requires_grad_()
    assert torch.autograd.gradcheck(carry_maps, (picture, flow), eps=1e-7, atol=1e-4)


def test_carrying_refuses_bad_input():
    for maps, flow in (
        (halves(), torch.zeros(2, 2, 4, 4)),
        (halves(), torch.full((1, 2, 4, 4), NAN)),
        (halves()[0], torch.zeros(1, 2, 4, 4)),
    ):
        with pytest.raises(InputError):
            carry_maps(maps, flow)


def test_exemplar_first_then_the_most_similar():
    carried = torch.tensor([0.0, 5.0, 1.0, 4.8])[:, None, None, None].expand(-1, 2, 3, 3)
    error = torch.tensor([0.3, 0.1, 0.4, 0.2])
    assert choose_samples(carried, error, 3).tolist() == [1, 3, 2]
    assert choose_samples(carried, error, 1).tolist() == [1]


@settings(max_examples=15, derandomize=True, deadline=None)
@given(st.integers(1, 6), st.integers(0, 1000))
def test_exemplar_leads_even_among_equals(count: int, seed: int):
    error = torch.rand(6, generator=seeded(seed))
    chosen = choose_samples(torch.zeros(6, 1, 2, 2), error, count)
    assert int(chosen[0]) == int(error.argmin()) and len(set(chosen.tolist())) == count


def test_choosing_refuses_bad_input():
    carried = torch.zeros(3, 2, 4, 4)
    for error, count in (
        (torch.zeros(2), 1),
        (torch.zeros(3), 4),
        (torch.zeros(3), 0),
        (torch.tensor([0, NAN, 0]), 1),
    ):
        with pytest.raises(InputError):
            choose_samples(carried, error, count)


# canonical parts
# -----------------------------------------------------------------------------------------------------
def sphere_parts() -> CanonicalParts:
    flow = exact_flow(SPHERE.verts, SPHERE, weak(), 16, 32)
    return canonical_parts(halves(), flow, SPHERE)


def test_two_halves_land_on_two_sides_of_the_sphere():
    parts, sign = sphere_parts(), weak().project(SPHERE.verts[None])[0, :, 0]
    clear = sign.abs() > 0.15
    assert parts.count == 2 and parts.map.shape == (3, 16, 32)
    assert torch.equal(
        parts.verts[clear & (parts.verts > 0)], (1 + (sign > 0).long())[clear & (parts.verts > 0)]
    )
    assert float((parts.verts > 0).float().mean()) > 0.7


def test_mean_heals_one_wrong_map_and_selection_drops_it():
    flow = exact_flow(SPHERE.verts, SPHERE, weak(5), 16, 32)
    maps = halves().repeat(5, 1, 1, 1)
    maps[2] = maps[2].flip(0)
    everyone, some = (
        canonical_parts(maps, flow, SPHERE),
        canonical_parts(maps, flow, SPHERE, torch.arange(5.0), 4),
    )
    assert (
        float((everyone.verts == sphere_parts().verts).float().mean()) > 0.9
        and 2 not in some.chosen.tolist()
    )
    assert torch.allclose(some.map, sphere_parts().map, atol=1e-5) and not torch.allclose(
        everyone.map, some.map, atol=1e-2
    )


def test_painting():
    assert torch.allclose(paint_parts(torch.eye(3)[1].reshape(3, 1, 1))[:, 0, 0], PALETTE[1])
    with pytest.raises(InputError, match="maps"):
        paint_parts(torch.zeros(9, 4, 4))


# probability constraint
# ----------------------------------------------------------------------------------------------
def test_rendered_parts_cover_their_half():
    parts = sphere_parts()
    drawn = render_parts(
        weak().project(SPHERE.verts[None]), SPHERE.faces, parts.faces, 2, 32, False
    )
    assert drawn.shape == (1, 2, 32, 32) and float((drawn - halves()).abs().mean()) < 0.1 < float(
        (drawn.flip(1) - halves()).abs().mean()
    )


def test_centroids_of_a_bright_pixel():
    maps = torch.zeros(1, 2, 4, 4)
    maps[0, 0, 1, 3] = 0.7
    assert torch.allclose(
        soft_centroids(maps)[0], torch.tensor([[0.75, -0.25], [0.0, 0.0]]), atol=1e-5
    )


def test_map_loss_is_zero_for_equal_maps_of_any_strength():
    maps, mask = halves(), halves().sum(1, keepdim=True)
    for form in ("paper", "release"):
        assert float(part_map_loss(maps * 0.5, maps, mask, form)) < 1e-10
    assert float(part_map_loss(maps.flip(1), maps, mask)) == pytest.approx(
        float(maps.sum(1).mean()), rel=1e-4
    )


def test_map_loss_cuts_by_the_mask():
    maps, mask = halves(), halves().sum(1, keepdim=True)
    assert float(part_map_loss(maps, torch.ones_like(maps) * (maps + (1 - mask)), mask)) < 1e-10


def test_release_form_looks_at_first_and_last_part_only():
    maps = torch.rand(1, 4, 8, 8, generator=seeded(5))
    other, mask = maps.clone(), torch.ones(1, 1, 8, 8)
    other[:, 1] = other[:, 1].flip(-1)
    square = lambda form: float(part_map_loss(other, maps, mask, form))
    assert square("paper") > 0.01 and square("release") < 0.2 * square("paper")
    assert torch.equal(part_map_loss(other, maps, mask), part_map_loss(other, maps, mask, "paper"))


def test_centroid_term_pulls_maps_that_do_not_overlap():
    grid, at = pixel_centers(16, 16), torch.tensor(-0.5, requires_grad=True)
    spot = lambda u: (
        (0.04 - (grid[..., 0] - u).square() - grid[..., 1].square()).clamp(min=0) * 25
    )[None, None]
    mask, target = torch.ones(1, 1, 16, 16), spot(torch.tensor(0.6))
    far = torch.autograd.grad(part_map_loss(spot(at), target, mask, centroid=1.0), at)[0]
    assert float(far) < -0.1


@pytest.mark.parametrize("form", ["both", None])
def test_unknown_form_is_refused(form: object):
    maps = halves()
    with pytest.raises(InputError, match="form"):
        part_map_loss(maps, maps, maps[:, :1], form)  # type: ignore[arg-type]


def test_map_loss_refuses_other_shapes():
    with pytest.raises(InputError, match="maps"):
        part_map_loss(halves(), halves(16), halves().sum(1, keepdim=True))


# vertex constraint
# ---------------------------------------------------------------------------------------------------
def test_pixels_lie_in_their_part_and_repeat_with_the_seed():
    maps = torch.cat([halves(), torch.zeros(1, 1, 32, 32)], 1)
    pixels, there = part_pixels(maps, 20, seeded(6))
    assert pixels.shape == (1, 3, 20, 2) and there.tolist() == [[True, True, False]]
    assert bool((pixels[0, 0, :, 0] < 0).all()) and bool((pixels[0, 1, :, 0] > 0).all())
    assert torch.equal(pixels, part_pixels(maps, 20, seeded(6))[0])


def test_spare_pixels_drop_the_outliers():
    maps = torch.zeros(1, 1, 16, 16)
    maps[0, 0, 6:10, 6:10], maps[0, 0, 0, 0] = 1.0, 4.0
    spread = lambda spare: float(
        (part_pixels(maps, 40, seeded(7), spare)[0] - soft_centroids(maps)[:, :, None])
        .norm(dim=-1)
        .max()
    )
    assert spread(2.0) < spread(1.0)


def test_vertex_loss_by_hand():
    uv, labels = torch.tensor([[[0.0, 0.0], [0.5, 0.0], [9.0, 9.0]]]), torch.tensor([1, 1, 0])
    pixels, there = torch.tensor([[[[0.1, 0.0], [0.0, 0.3]]]]), torch.tensor([[True]])
    assert float(part_vertex_loss(uv, labels, pixels, there)) == pytest.approx(
        (0.01 + 0.16) / 2 + (0.01 + 0.09) / 2
    )
    assert float(part_vertex_loss(uv, labels, pixels, there, "release")) == pytest.approx(
        (0.01 + 0.16) / 2
    )
    assert float(part_vertex_loss(uv, labels, pixels, ~there)) == 0.0
    assert float(part_vertex_loss(uv, labels * 0, pixels, there)) == 0.0


def test_vertex_loss_is_differentiable():
    uv = torch.rand(2, 5, 2, generator=seeded(8), dtype=torch.float64, requires_grad=True)
    pixels = torch.rand(2, 2, 4, 2, generator=seeded(9), dtype=torch.float64)
    labels, there = torch.tensor([1, 2, 1, 0, 2]), torch.tensor([[True, True], [True, False]])
    assert torch.autograd.gradcheck(lambda x: part_vertex_loss(x, labels, pixels, there), uv)


def test_vertex_loss_refuses_bad_input():
    pixels, there = torch.zeros(1, 2, 3, 2), torch.ones(1, 2, dtype=torch.bool)
    for uv, labels in (
        (torch.zeros(1, 4, 2), torch.zeros(3).long()),
        (torch.zeros(1, 3, 3), torch.zeros(3).long()),
        (torch.zeros(1, 3, 2), torch.tensor([0, 1, 5])),
        (torch.full((1, 3, 2), NAN), torch.zeros(3).long()),
    ):
        with pytest.raises(InputError):
            part_vertex_loss(uv, labels, pixels, there)


# both together
# -------------------------------------------------------------------------------------------------------
def losses_at(azimuth: float, form: str = "paper") -> dict[str, torch.Tensor]:
    mask = halves().sum(1, keepdim=True)
    return semantic_losses(
        SPHERE.verts[None],
        SPHERE.verts,
        weak(1, azimuth),
        SPHERE,
        sphere_parts(),
        maps=halves(),
        mask=mask,
        generator=seeded(1),
        form=form,
    )


def test_right_camera_costs_least():
    right, wrong = losses_at(0.0), losses_at(90.0)
    assert float(right["sp"]) < float(wrong["sp"]) and float(right["sv"]) < float(wrong["sv"])


@pytest.mark.parametrize("form", ["paper", "release"])
def test_who_trains_whom(form: str):
    verts, template = (
        SPHERE.verts[None].clone().requires_grad_(),
        SPHERE.verts.clone().requires_grad_(),
    )
    scale = torch.tensor([0.5], requires_grad=True)
    camera, mask = replace(weak(), scale=scale), halves().sum(1, keepdim=True)
    found = semantic_losses(
        verts,
        template,
        camera,
        SPHERE,
        sphere_parts(),
        maps=halves(),
        mask=mask,
        generator=seeded(1),
        form=form,
    )
    grads = {
        name: torch.autograd.grad(x, (verts, template, scale), retain_graph=True, allow_unused=True)
        for name, x in found.items()
    }
    reached = {name: [g is not None for g in found] for name, found in grads.items()}
    assert reached == {"sp": [True, False, form == "paper"], "sv": [False, False, True]}


def test_camera_recovers_by_descent():
    azimuth = torch.tensor(0.7, requires_grad=True)
    mask, parts = halves().sum(1, keepdim=True), sphere_parts()
    adam = torch.optim.Adam([azimuth], 0.05)
    for step in range(40):
        zero = torch.zeros(())
        camera = replace(
            weak(),
            quaternion=torch.stack([(azimuth / 2).cos(), zero, (azimuth / 2).sin(), zero])[None],
        )
        loss = semantic_losses(
            SPHERE.verts[None],
            SPHERE.verts,
            camera,
            SPHERE,
            parts,
            maps=halves(),
            mask=mask,
            generator=seeded(step),
        )["sv"]
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert abs(float(azimuth.detach())) < 0.25


def test_detached_keeps_values_and_kind():
    camera = replace(weak(), scale=torch.tensor([0.5], requires_grad=True))
    assert not detached(camera).scale.requires_grad and detached(camera).depth == camera.depth
    assert type(detached(orbit(30))) is type(orbit(30))
