"""The map that sees the flow: points as pictures, and the network that reads them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from svr_nb.agt.adaptive_sampling import bilinear_sample
from svr_nb.agt.flow_map import Lookers, MapNet, lookers_of, splat
from svr_nb.conventions import InputError, seeded
from svr_nb.networks.encoders import fresh_weights
from svr_nb.umr.texture_cycle import CycleGap


def crowd(count=40, size=32):
    chance = seeded(3)
    image = torch.rand(2, 3, size, size, generator=chance)
    at = torch.rand(2, count, 2, generator=chance) * (size - 1)
    return image, Lookers(at, torch.rand(2, 3, count, generator=chance), at.flip(1))


def loud(**options):
    """A network whose last layer is not zero."""
    with fresh_weights(1):
        net = MapNet(8, **options)
        torch.nn.init.normal_(net.last.weight, generator=seeded(0))
    return net


def test_splat_by_hand():
    at = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [3.0, 3.0]]])
    values = torch.tensor([[[1.0, 3.0, 5.0]]])
    grid = splat(values, at, 4, 2)
    assert torch.equal(grid[0], torch.tensor([[[2.0, 0.0], [0.0, 5.0]], [[1.0, 0.0], [0.0, 1.0]]]))
    some = splat(values, at, 4, 2, torch.tensor([[True, False, False]]))
    assert torch.equal(some[0], torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]]))


def test_points_that_do_not_count_change_nothing():
    image, points = crowd()
    there = torch.arange(40).expand(2, -1) < 25
    told = replace(points, there=there)
    moved = torch.where(there[..., None], points.at, points.at.flip(1))
    assert torch.equal(
        loud()(image, told).multiply, loud()(image, replace(told, at=moved)).multiply
    )
    assert not torch.equal(loud()(image, told).multiply, loud()(image, points).multiply)


@pytest.mark.parametrize("labels", [True, False])
def test_labels_are_seen_only_by_those_who_see_labels(labels):
    image, points = crowd()
    net = loud(labels=labels)
    other = replace(points, label=points.label + 5)
    assert torch.equal(net(image, points).multiply, net(image, other).multiply) != labels


def test_map_is_bounded_and_pictures_do_not_mix():
    image, points = crowd()
    maps = loud(rho=0.3)(image, points).multiply
    assert maps.shape == (2, 1, 32, 32) and float((maps - 1).detach().abs().max()) < 0.3 + 1e-6
    first = Lookers(points.at[:1], points.target[:1], points.label[:1])
    assert torch.allclose(loud(rho=0.3)(image[:1], first).multiply, maps[:1], atol=1e-5)


def test_faces_want_the_colour_of_the_place_where_they_are_seen():
    image, _ = crowd()
    places = (2 * torch.rand(2, 7, 2, generator=seeded(5)) - 1).requires_grad_()
    visible = torch.arange(7).expand(2, -1) < 4
    gap = CycleGap(places.sum(), places, places.flip(0) * 0.5, visible)
    found = lookers_of(image, gap)
    assert not found.at.requires_grad and torch.equal(found.there, visible)
    middle = lookers_of(image, CycleGap(places.sum(), places, places * 0, visible))
    assert torch.allclose(middle.label, torch.full((2, 7, 2), 15.5))
    assert torch.allclose(found.target, bilinear_sample(image, found.label).color)


def test_what_it_refuses():
    image, points = crowd()
    with pytest.raises(InputError, match="8 divides"):
        loud()(image[..., :30, :30], points)
    with pytest.raises(InputError, match="where points belong"):
        loud()(image, replace(points, label=None))
