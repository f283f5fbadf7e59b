"""Fields: signed distances, combining, marching cubes, points to surfaces."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from svr_nb.conventions import InputError, seeded
from svr_nb.shapes.fields import (
    cell_centers,
    difference,
    evaluate_field,
    intersection,
    marching_cubes,
    point_density_field,
    points_to_mesh,
    sdf_box,
    sdf_capsule,
    sdf_cylinder,
    sdf_ellipsoid,
    sdf_sphere,
    sdf_torus,
    transform,
    union,
)
from svr_nb.shapes.mesh import box, cylinder, ellipsoid, icosphere, torus
from svr_nb.shapes.points import PointCloud, nearest, sample_surface

PAIRS = {
    "sphere": (lambda p: sdf_sphere(p, 0.4), icosphere(4, 0.4)),
    "box": (lambda p: sdf_box(p, (0.5, 0.3, 0.7)), box((0.5, 0.3, 0.7))),
    "cylinder": (lambda p: sdf_cylinder(p, 0.3, 0.6, axis="x"), cylinder(0.3, 0.6, 200, axis="x")),
    "torus": (lambda p: sdf_torus(p, axis="z"), torus(around=100, along=60, axis="z")),
    "ellipsoid": (lambda p: sdf_ellipsoid(p, (0.5, 0.2, 0.3)), ellipsoid((0.5, 0.2, 0.3), level=4)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_zero_on_the_mesh_of_the_same_solid(name: str, generator: torch.Generator) -> None:
    field, mesh = PAIRS[name]
    cloud = sample_surface(mesh, 1000, generator)
    assert field(cloud.points).abs().max() < 3e-3
    assert (field(cloud.points + 0.02 * cloud.normals) > 0).all() and (
        field(cloud.points - 0.02 * cloud.normals) < 0
    ).all()


@pytest.mark.parametrize("name", ["sphere", "box", "cylinder", "torus"])
def test_distance_equals_the_way_to_the_surface(name: str, generator: torch.Generator) -> None:
    field, mesh = PAIRS[name]
    places = torch.rand(300, 3, generator=generator) * 1.6 - 0.8
    dense = sample_surface(mesh, 40000, generator).points
    assert (
        nearest(places[None], dense[None])[0][0].sqrt() - field(places).abs()
    ).abs().max() < 0.02


def test_capsule_and_shapes_and_gradients() -> None:
    places = (torch.rand(5, 4, 3, generator=seeded(1), dtype=torch.float64) - 0.5).requires_grad_()
    for field in (sdf_sphere, sdf_box, sdf_cylinder, sdf_torus, sdf_capsule, sdf_ellipsoid):
        assert field(places).shape == (5, 4)
        assert torch.autograd.gradcheck(field, places)
    assert sdf_capsule(torch.tensor([[0.0, 0.5, 0], [0.3, 0, 0]])).tolist() == pytest.approx(
        [0.1, 0.2]
    )


@pytest.mark.parametrize(
    "field", [sdf_sphere, sdf_box, sdf_cylinder, sdf_torus, sdf_capsule, sdf_ellipsoid]
)
def test_finite_at_the_centre_and_bad_points(field: object) -> None:
    origin = torch.zeros(1, 3, requires_grad=True)
    field(origin).sum().backward()  # type: ignore[operator]
    assert torch.isfinite(origin.grad).all()
    for bad in (torch.zeros(3, 2), torch.full((1, 3), float("nan")), "here"):
        with pytest.raises(InputError, match="points"):
            field(bad)  # type: ignore[operator]


def test_combining_and_moving() -> None:
    places = torch.rand(200, 3, generator=seeded(2)) - 0.5
    one, two = sdf_sphere(places, 0.3), sdf_box(places, 0.4)
    assert torch.equal(union(one, two), torch.minimum(one, two)) and torch.equal(
        intersection(one, two), torch.maximum(one, two)
    )
    assert torch.equal(difference(one, two) < 0, (one < 0) & (two > 0))
    assert (union(one, two, smooth=0.05) <= union(one, two) + 1e-6).all()
    turn = torch.linalg.qr(torch.randn(3, 3, generator=seeded(3)))[0]
    shift = torch.tensor([0.1, 0.2, -0.1])
    assert torch.allclose(
        sdf_box(transform(places @ turn.T + shift, turn, shift), 0.4), two, atol=1e-5
    )


@given(st.integers(8, 40), st.floats(0.2, 0.45))
def test_sphere_keeps_its_radius(size: int, radius: float) -> None:
    mesh = marching_cubes(lambda p: sdf_sphere(p, radius), size=size)
    assert (mesh.verts.norm(dim=1) - radius).abs().max() < 0.5 / size
    assert mesh.is_closed() and mesh.volume() > 0 and mesh.euler() == 2
    assert mesh.bounds().mean(0).abs().max() < 1e-5


def test_marching_cubes_both_signs_and_walls() -> None:
    values = evaluate_field(lambda p: sdf_torus(p), 32)
    below, above = marching_cubes(values), marching_cubes(-values, inside="above")
    assert (
        below.euler() == above.euler() == 0
        and above.volume() == pytest.approx(below.volume(), rel=1e-5)
        and below.volume() > 0
    )
    full = marching_cubes(torch.ones(4, 4, 4), 0.5, inside="above", outside=0.0)
    assert full.is_closed() and full.bounds().tolist() == [[-0.5] * 3, [0.5] * 3]
    assert len(marching_cubes(torch.ones(4, 4, 4)).faces) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: marching_cubes(torch.zeros(4, 4)),
        lambda: marching_cubes(torch.full((3, 3, 3), float("nan"))),
        lambda: marching_cubes(torch.zeros(3, 3, 3), inside="left"),
        lambda: marching_cubes(torch.zeros(3, 3, 3), outside=-1.0),
        lambda: cell_centers(0),
        lambda: points_to_mesh(torch.zeros(0, 3)),
        lambda: points_to_mesh(torch.zeros(3, 2)),
        lambda: point_density_field(torch.zeros(3, 3), radius=0),
        lambda: sdf_cylinder(torch.zeros(1, 3), axis="w"),
    ],
)
def test_bad_input(make: object) -> None:
    with pytest.raises(InputError):
        make()  # type: ignore[operator]


def test_field_is_evaluated_in_index_order_and_in_chunks() -> None:
    values = evaluate_field(lambda p: p[:, :1] + 10 * p[:, 1:2] + 100 * p[:, 2:], 6, chunk=17)
    grid = cell_centers(6)
    assert torch.allclose(values, (grid * torch.tensor([1.0, 10, 100])).sum(-1))


@pytest.mark.parametrize("mesh", [icosphere(3, 0.4), torus(), box((0.5, 0.25, 0.4))])
@pytest.mark.parametrize("size", [1.0, 7.0])
def test_points_become_the_surface_they_came_from(
    mesh: object, size: float, generator: torch.Generator
) -> None:
    shape = mesh.transform(scale=size, translation=(size, 0, 0))  # type: ignore[attr-defined]
    cloud = sample_surface(
        replace(shape, vert_colors=torch.rand(len(shape.verts), 3, generator=generator)),
        3000,
        generator,
    )
    skin = points_to_mesh(cloud, size=48)
    assert (
        skin.is_closed()
        and skin.euler() == shape.euler()
        and skin.volume() > 0
        and skin.vert_colors is not None
    )
    assert nearest(skin.verts[None], cloud.points[None])[0].sqrt().mean() < 0.03 * size


def test_points_to_mesh_of_few_points_and_field_sign() -> None:
    assert points_to_mesh(torch.tensor([[0.1, 0.2, 0.3]])).is_closed()
    assert points_to_mesh(PointCloud(torch.rand(5, 3, generator=seeded(1)))).is_closed()
    field = point_density_field(sample_surface(icosphere(3, 0.4), 2000, seeded(0)).points, 32)
    assert field.shape == (32, 32, 32) and field[16, 16, 16] == -0.5 and field[0, 0, 0] > 0.4
    hollow = point_density_field(
        sample_surface(icosphere(3, 0.4), 2000, seeded(0)).points, 32, fill=False
    )
    assert hollow[16, 16, 16] > 0


KINDS = {
    "integers": lambda n, g: torch.randint(-2, 3, (n, n, n), generator=g),
    "halves": lambda n, g: torch.randint(-2, 3, (n, n, n), generator=g) / 2,
    "booleans": lambda n, g: torch.rand(n, n, n, generator=g) > 0.5,
    "double": lambda n, g: torch.randn(n, n, n, generator=g, dtype=torch.float64),
    "hardly any": lambda n, g: torch.randn(n, n, n, generator=g) * 1e-30,
    "huge": lambda n, g: torch.randn(n, n, n, generator=g) * 1e30,
    "beyond single precision": lambda n, g: torch.randn(n, n, n, generator=g).double() * 1e200,
    "clipped": lambda n, g: torch.randn(n, n, n, generator=g).clamp(-0.5, 0),
    "averaged": lambda n, g: torch.nn.functional.avg_pool3d(
        torch.randint(-1, 2, (1, 2 * n, 2 * n, 2 * n), generator=g).float(), 2
    )[0],
    "signs": lambda n, g: torch.randn(n, n, n, generator=g).sign(),
}


@pytest.mark.parametrize("inside", ["below", "above"])
@pytest.mark.parametrize("kind", KINDS)
def test_surfaces_close_whatever_lies_at_the_level(kind: str, inside: str) -> None:
    for seed in range(100):
        values = KINDS[kind](2 + seed % 5, seeded(seed))
        mesh = marching_cubes(values, 0.0, inside=inside)
        some = bool((values < 0).any() if inside == "below" else (values > 0).any())
        assert mesh.is_closed() == some and mesh.volume() >= 0


@pytest.mark.parametrize("level", [0.1, 0.3, 0.5, 1.0, -7.25, 1e9])
def test_the_level_itself_is_outside(level: float) -> None:
    for seed in range(20):
        values = torch.randint(-1, 2, (4, 4, 4), generator=seeded(seed)) + level
        for inside in ("below", "above"):
            for numbers in (values.float(), values.double()):
                mesh = marching_cubes(numbers, level, inside=inside)
                assert mesh.is_closed() or not len(mesh.faces)


def test_constant_grids_and_levels_out_of_range() -> None:
    for value, faces in ((0.0, False), (1.0, False), (-1.0, True)):
        assert marching_cubes(torch.full((3, 3, 3), value)).is_closed() == faces
    ramp = torch.linspace(0, 1, 27).view(3, 3, 3)
    assert len(marching_cubes(ramp, -3.0).faces) == 0 and marching_cubes(ramp, 3.0).is_closed()
    assert len(marching_cubes(ramp, 3.0, inside="above").faces) == 0
    for bad in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="level"):
            marching_cubes(ramp, bad)
        with pytest.raises(InputError, match="outside"):
            marching_cubes(ramp, 0.5, outside=bad)
    with pytest.raises(InputError, match="values"):
        marching_cubes(torch.full((3, 3, 3), float("inf")))


def test_double_values_that_single_precision_cannot_tell_apart() -> None:
    ball = sdf_sphere(cell_centers(24), 0.3).double()
    near = marching_cubes(1e6 + 1e-4 * ball, 1e6)
    assert (
        near.is_closed() and abs(near.volume() / marching_cubes(ball.float()).volume() - 1) < 1e-3
    )


def test_values_without_ties_are_traced_as_they_are() -> None:
    from svr_nb.shapes.fields import off_level

    values = torch.randn(4, 4, 4, generator=seeded(5)).numpy()
    same, level = off_level(values, 0.25)
    assert same.dtype == values.dtype and (same == values).all() and level == 0.25
