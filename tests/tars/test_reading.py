"""What is read from a field whose shape is known."""

from __future__ import annotations

import pytest
import torch

from svr_nb.conventions import InputError
from svr_nb.shapes.fields import sdf_sphere
from svr_nb.tars.correspondence import canonical_colors
from svr_nb.tars.ray_supervision import Answer
from svr_nb.tars.reading import Lattice, painted, read_places, read_surface


class Ball:
    """Radius .3; canonical space is object space, moved up by .1."""

    device = torch.device("cpu")

    def __call__(self, x):
        return Answer(sdf_sphere(x, 0.3)[..., None], x, 2 * x)

    def placed(self, x):
        return x + torch.tensor([0.0, 0.1, 0.0]), x[..., :2]

    def sdf_at(self, place, feature):
        return sdf_sphere(place - torch.tensor([0.0, 0.1, 0.0]), 0.3)[..., None]


@pytest.mark.parametrize("level", [-0.1, 0.0, 0.05])
def test_the_level_decides_the_radius(level):
    mesh = read_surface(Ball(), Lattice(0.5, 32, level))
    assert mesh.is_closed()
    assert (mesh.verts.norm(dim=1) - 0.3 - level).abs().max() < 0.01


def test_near_and_dense_read_the_same():
    near, dense = (read_surface(Ball(), Lattice(0.5, 32), dense=d) for d in (False, True))
    assert torch.equal(near.verts, dense.verts) and torch.equal(near.faces, dense.faces)


def test_places_of_points():
    x = torch.tensor([[0.1, 0.2, 0.3], [0.0, 0.0, -0.9]])
    found = read_places(Ball(), x)
    torch.testing.assert_close(found.place, x + torch.tensor([0.0, 0.1, 0.0]))
    torch.testing.assert_close(found.rgb, torch.tensor([[0.6, 0.7, 0.8], [0.5, 0.5, 0.0]]))
    assert found.feature.shape == (2, 2)


def test_paint():
    mesh = read_surface(Ball(), Lattice(0.5, 16))
    shown = painted(Ball(), mesh, "canonical", system="TARS", category="ball")
    moved = mesh.verts + torch.tensor([0.0, 0.1, 0.0])
    torch.testing.assert_close(shown.correspondence, moved)
    torch.testing.assert_close(shown.mesh.vert_colors, canonical_colors(moved))
    predicted = painted(Ball(), mesh, "predicted").mesh.vert_colors
    torch.testing.assert_close(predicted, mesh.verts + 0.5)


def test_nothing_becomes_the_origin():
    empty = read_surface(Ball(), Lattice(0.5, 16, level=-1.0))
    shown = painted(Ball(), empty, "canonical", category="ball")
    assert shown.predicted == "points" and bool((shown.points.points == 0).all())


def test_refusal():
    with pytest.raises(InputError, match="colors"):
        painted(Ball(), read_surface(Ball(), Lattice(0.5, 16)), "red")
