"""Procedural shapes: normalised, closed, coloured, with products that agree."""

from __future__ import annotations

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.data.sample_shapes import (
    CATEGORIES,
    GROUPS,
    PAINTS,
    SampleShape,
    sample_mesh,
    sample_shape,
)
from svr_nb.shapes.points import nearest


@pytest.fixture(scope="module")
def shapes() -> dict[str, SampleShape]:
    """One shape of every category."""
    return {category: sample_shape(category, seeded(7)) for category in CATEGORIES}


@pytest.mark.parametrize("category", CATEGORIES)
def test_normalised_closed_and_labelled(shapes: dict[str, SampleShape], category: str) -> None:
    shape = shapes[category]
    low, high = shape.mesh.bounds()
    assert shape.mesh.is_closed() and shape.mesh.volume() > 0
    assert torch.allclose(low, -high, atol=1e-5) and (high - low).norm() == pytest.approx(
        1, abs=1e-5
    )
    assert shape.groups == GROUPS[category] and 0 <= int(shape.mesh.face_labels.min()) <= int(
        shape.mesh.face_labels.max()
    ) < len(shape.groups)
    assert shape.mesh.vert_colors.min() >= 0 and shape.mesh.vert_colors.max() <= 1
    assert (
        shape.keypoints.shape == (len(shape.keypoint_names), 3)
        and shape.keypoints.abs().max() <= 0.51
    )


@pytest.mark.parametrize("category", CATEGORIES)
def test_products_agree(shapes: dict[str, SampleShape], category: str) -> None:
    shape = shapes[category]
    skin = shape.surface(800, seeded(1))
    assert skin["points"].shape == skin["normals"].shape == skin["colors"].shape == (
        800,
        3,
    ) and skin["parts"].shape == (800,)
    assert shape.sdf(skin["points"]).abs().max() < 0.025
    assert torch.allclose(skin["normals"].norm(dim=-1), torch.ones(800), atol=1e-4)
    away = shape.sdf(skin["points"] + 0.004 * skin["normals"]) - shape.sdf(
        skin["points"] - 0.004 * skin["normals"]
    )
    assert (away > 0).float().mean() > 0.97
    grid = shape.voxels(24)
    centers = (
        torch.stack(torch.meshgrid(*[torch.arange(24)] * 3, indexing="ij"), -1) + 0.5
    ) / 24 - 0.5
    assert torch.equal(grid > 0, shape.sdf(centers) <= 0)


@pytest.mark.parametrize("category", CATEGORIES)
def test_keypoints_are_near_the_skin(shapes: dict[str, SampleShape], category: str) -> None:
    assert shapes[category].sdf(shapes[category].keypoints).abs().max() < 0.06


@pytest.mark.parametrize("category", CATEGORIES)
def test_seeds_decide_everything(category: str) -> None:
    first, again, other = (sample_mesh(category, seed) for seed in (1, 1, 2))
    assert torch.equal(first.verts, again.verts) and torch.equal(
        first.vert_colors, again.vert_colors
    )
    assert first.verts.shape != other.verts.shape or not torch.allclose(first.verts, other.verts)


@pytest.mark.parametrize("category", CATEGORIES)
def test_instances_differ_substantially(category: str) -> None:
    """Two instances are farther apart than two samplings of one surface."""
    clouds = [
        sample_shape(category, seeded(i)).surface(700, seeded(50 + i))["points"] for i in range(5)
    ]
    twin = sample_shape(category, seeded(0)).surface(700, seeded(99))["points"]

    def gap(a: torch.Tensor, b: torch.Tensor) -> float:
        return (
            nearest(a[None], b[None])[0].sqrt().mean().item()
            + nearest(b[None], a[None])[0].sqrt().mean().item()
        )

    floor = gap(clouds[0], twin)
    assert sum(gap(clouds[0], cloud) for cloud in clouds[1:]) / 4 > 1.25 * floor


@pytest.mark.parametrize("category", ["car", "aeroplane"])
def test_rigid_categories_are_mirror_symmetric(
    shapes: dict[str, SampleShape], category: str
) -> None:
    points = torch.rand(3000, 3, generator=seeded(3)) - 0.5
    mirrored = shapes[category].sdf(points * torch.tensor([-1.0, 1, 1]))
    assert torch.allclose(shapes[category].sdf(points), mirrored, atol=1e-4)


def test_topology_varies() -> None:
    chairs = {
        arms: sample_shape("chair", seeded(4), arms=arms, base="legs") for arms in ("open", "solid")
    }
    middle = {}
    for arms, chair in chairs.items():
        box = torch.cat(
            [
                torch.tensor(part.verts)
                for part in chair.parts
                if part.name == "arm" and part.verts[:, 0].min() > 0
            ]
        )
        middle[arms] = chair.sdf(((box.amin(0) + box.amax(0)) / 2).float()[None]).item()
    assert middle["open"] > 0 > middle["solid"]
    assert {sample_shape("mug", seeded(i)).parameters["handle"] for i in range(20)} == {
        "round",
        "none",
        "square",
    }


def test_paints(shapes: dict[str, SampleShape]) -> None:
    meshes = {paint: sample_mesh("car", 3, paint=paint) for paint in PAINTS}
    assert all(torch.allclose(mesh.bounds(), meshes["bands"].bounds()) for mesh in meshes.values())
    body = meshes["twotone"]
    yellow = (body.vert_colors - torch.tensor([0.95, 0.80, 0.15])).abs().amax(1) < 1e-3
    blue = (body.vert_colors - torch.tensor([0.15, 0.30, 0.85])).abs().amax(1) < 1e-3
    assert (
        yellow.any()
        and blue.any()
        and body.verts[yellow, 2].max() < body.verts[blue, 2].min() + 1e-2
    )
    assert not torch.equal(
        sample_mesh("horse", 1, paint="random").vert_colors,
        sample_mesh("horse", 2, paint="random").vert_colors,
    )


def test_surface_points_are_never_hidden(shapes: dict[str, SampleShape]) -> None:
    horse = shapes["horse"]
    skin = horse.surface(2000, seeded(2))
    assert horse.sdf(skin["points"]).min() > -0.02
    centers = horse.mesh.verts[horse.mesh.faces].mean(1)
    assert horse.sdf(centers).min() < -0.03


@pytest.mark.parametrize(
    "wrong, match",
    [
        (lambda: sample_shape("boat", seeded(0)), "category"),
        (lambda: sample_shape("car", seeded(0), paint="gold"), "paint"),
        (lambda: sample_shape("car", seeded(0), wings=2), "wings"),
        (lambda: sample_shape("chair", seeded(0), arms="gold"), "arms"),
        (lambda: sample_mesh("car", -1), "seed"),
        (lambda: sample_shape("mug", seeded(0)).voxels(0), "size"),
    ],
)
def test_refusals(wrong: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        wrong()  # type: ignore[operator]


@pytest.mark.parametrize(
    "points", [torch.zeros(4, 2), torch.full((4, 3), float("nan")), torch.zeros(0, 3), "here"]
)
def test_bad_points_are_refused(shapes: dict[str, SampleShape], points: object) -> None:
    with pytest.raises(InputError, match="points"):
        shapes["mug"].sdf(points)  # type: ignore[arg-type]


def test_bad_counts_are_refused(shapes: dict[str, SampleShape]) -> None:
    for count in (0, -1, 2.5, float("nan")):
        with pytest.raises(InputError, match="count"):
            shapes["mug"].surface(count, seeded(0))  # type: ignore[arg-type]


def test_reach_keeps_what_is_thinner_than_a_cell():
    shape = sample_shape("table", seeded(5, 77, 1), span=(0.0, 0.85))
    fine = torch.nn.functional.max_pool3d(shape.voxels(64)[None, None], 4)[0, 0]
    plain, near = shape.voxels(16), shape.voxels(16, 0.4)
    share = lambda x: float((x * fine).sum() / fine.sum())
    assert share(plain) < 0.1 and share(near) > 0.9 and bool((near >= plain).all())
    assert float(near.sum()) < 1.5 * float(fine.sum())
    with pytest.raises(InputError, match="reach"):
        shape.voxels(16, 2.0)
