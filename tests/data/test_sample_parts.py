"""Building blocks: closed meshes, distances that agree with them, named chance."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from svr_nb.conventions import InputError, seeded
from svr_nb.data.sample_parts import (
    Draw,
    Part,
    ball,
    block,
    both_sides,
    handle,
    lathe,
    limb,
    named,
    rod,
    slab,
    turned,
)
from svr_nb.shapes.mesh import Mesh

ZOO: dict[str, Part] = {
    "block": block((0.5, 0.6, 0.3), (0.1, 0, 0), taper=(0.6, 0.8), lean=(0.05, 0.1)),
    "ball": ball((0.2, 0.3, 0.4)),
    "limb": limb((0, -0.2, 0.2), (0.1, 0.3, -0.2), (0.2, 0.08)),
    "squashed": limb((0, 0, 0.3), (0, 0.1, -0.3), (0.2, 0.1), squash=0.5),
    "cup": lathe([(0, -0.3), (0.22, -0.3), (0.3, 0.3), (0.25, 0.3), (0.17, -0.22), (0, -0.22)], 24),
    "rod": rod(0.2, 0.6, 0.1),
    "slab": slab(
        [(-0.5, -0.1, 0), (-0.2, -0.05, 0.02), (0, -0.1, 0.25), (0.5, -0.1, 0.2)], 0.5, 0.36
    ),
    "handle": handle(0.32, 0.07, 105),
}


def mesh_of(part: Part) -> Mesh:
    """The part's triangles as a mesh."""
    return Mesh(torch.tensor(part.verts, dtype=torch.float32), torch.tensor(part.faces.copy()))


@pytest.mark.parametrize("name", ZOO)
def test_meshes_are_closed_and_outward(name: str) -> None:
    mesh = mesh_of(ZOO[name])
    assert mesh.is_closed() and mesh.euler() == 2 and mesh.volume() > 0


@pytest.mark.parametrize("name", ZOO)
def test_field_and_mesh_hold_the_same_volume(name: str) -> None:
    points = torch.rand(120000, 3, generator=seeded(1)) * 1.4 - 0.7
    share = (ZOO[name].sdf(points) < 0).float().mean().item() * 1.4**3
    assert mesh_of(ZOO[name]).volume() == pytest.approx(share, rel=0.11)


@pytest.mark.parametrize("name", ZOO)
def test_the_mesh_lies_on_the_zero_of_the_field(name: str) -> None:
    part = ZOO[name]
    middle = torch.tensor(part.verts[part.faces].mean(1), dtype=torch.float32)
    assert part.sdf(middle).abs().max() < 0.035


@pytest.mark.parametrize("name", [name for name in ZOO if name != "ball"])
def test_the_field_never_overestimates_distances(name: str) -> None:
    part = ZOO[name]
    points = torch.rand(2000, 3, generator=seeded(2)) * 2 - 1
    corners = torch.tensor(part.verts[part.faces], dtype=torch.float32)
    weights = torch.rand(40, 3, generator=seeded(3))
    skin = torch.einsum("kc,fcd->kfd", weights / weights.sum(1, keepdim=True), corners).reshape(
        -1, 3
    )
    true = torch.cdist(points, skin).amin(1)
    assert (part.sdf(points).clamp_min(0) <= true + 0.03).all()


def test_known_distances() -> None:
    points = torch.tensor([[0, 2.0, 0], [0, 0, 0], [1.5, 0, 0]])
    assert torch.allclose(ball(1.0).sdf(points), torch.tensor([1.0, -1.0, 0.5]), atol=1e-5)
    assert torch.allclose(block((2, 2, 2)).sdf(points), torch.tensor([1.0, -1.0, 0.5]), atol=1e-6)
    assert torch.allclose(rod(1.0, 2.0).sdf(points), torch.tensor([1.0, -1.0, 0.5]), atol=1e-5)
    capsule = limb((0, 0, 0), (0, 0, -1), (0.3, 0.3))
    assert torch.allclose(
        capsule.sdf(torch.tensor([[0.5, 0, -0.5], [0, 0, -1.5]])),
        torch.tensor([0.2, 0.2]),
        atol=1e-5,
    )
    assert torch.allclose(
        handle(1.0, 0.1, 90).sdf(torch.tensor([[0, 0, 1.3], [0, 0, -1.0], [0, 1.0, 0]])),
        torch.tensor([0.2, math.sqrt(2) - 0.1, -0.1]),
        atol=1e-5,
    )


@settings(max_examples=25)
@given(
    angle=st.floats(-180, 180),
    axis=st.sampled_from("xyz"),
    shift=st.tuples(*[st.floats(-1, 1)] * 3),
)
def test_moving_keeps_distances(angle: float, axis: str, shift: tuple[float, float, float]) -> None:
    part, points = ZOO["limb"], torch.rand(50, 3, generator=seeded(4)) - 0.5
    matrix = turned(axis, angle)
    moved = part.moved(matrix, shift)
    carried = points @ torch.tensor(matrix, dtype=torch.float32).T + torch.tensor(shift)
    assert torch.allclose(moved.sdf(carried), part.sdf(points), atol=1e-5)


def test_mirroring_keeps_meshes_outward() -> None:
    pair = both_sides([ZOO["block"]])
    assert len(pair) == 2 and all(mesh_of(part).volume() > 0 for part in pair)
    points = torch.rand(100, 3, generator=seeded(5)) - 0.5
    assert torch.allclose(
        pair[0].sdf(points), pair[1].sdf(points * torch.tensor([-1.0, 1, 1])), atol=1e-6
    )
    assert {part.name for part in named(pair, "leg")} == {"leg"} and named(pair, "a", "b")[
        0
    ].group == "b"


def test_draws_are_repeatable_and_fixable() -> None:
    def run(**fixed: object) -> dict[str, object]:
        draw = Draw(seeded(1), (0.2, 0.7), fixed)
        draw("a", 0, 1), draw.chance("b", 0.5), draw.choice("c", ("x", "y")), draw("d", -1, 1)
        return draw.values

    assert run() == run() and run(a=9.0) == run() | {"a": 9.0} and 0.2 <= run()["a"] <= 0.7
    with pytest.raises(InputError, match="c: expected one of x, y"):
        run(c="z")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: block((1, 1, 1), axis="w"),
        lambda: turned("up", 3),
        lambda: limb((0, 0, 0), (0, 0, 0.1), (0.3, 0.1)),
        lambda: limb((0, 0, 0), (0, 0, 0), (0.1, 0.1)),
    ],
)
def test_nonsense_is_refused(wrong: object) -> None:
    with pytest.raises(InputError):
        wrong()  # type: ignore[operator]
