"""Points take their colours from the photograph where it shows them."""

from __future__ import annotations

import pickle

import pytest
import torch

import svr_nb as svr
from svr_nb.conventions import InputError, seeded
from svr_nb.shapes.points import PointCloud
from svr_nb.ssl3d.photo_colors import photo_colors, shown_points


def test_the_nearest_ball_along_a_ray_is_seen():
    uvz = torch.tensor([[0.0, 0.0, 2.0], [0.05, 0.0, 1.0], [0.8, 0.8, 1.0]])
    shown = shown_points(uvz, 20, 0.2)
    assert int(shown[10, 10]) == 1 and int(shown[18, 18]) == 2 and int(shown[0, 0]) == -1
    assert 0 in shown[10, :9].tolist()  # what the nearer ball leaves free


@pytest.mark.parametrize("seed", [31, 32, 33])
@pytest.mark.parametrize("category", ["car", "chair"])
def test_true_clouds_get_their_true_colors(category, seed):
    """Seen points come nearer to their colours than one mean colour is, though the photograph's
    light is in them; hidden ones are not much farther off than that colour.
    """
    data = svr.data.samples(category, "test", 1, seed=seed, size=96, points=1500, progress=False)
    item, truth = data[0], data[0]["point_colors"]
    bare = PointCloud(item["points"], truth.mean(0).expand(1500, 3))
    found, seen = photo_colors(bare, data.camera(0), item["image"], item["mask"])
    wrong, mean = ((c - truth).abs().mean(1) for c in (found.colors, bare.colors))
    assert 0.1 < float(seen.float().mean()) < 0.5
    assert float(wrong[seen].mean()) < 0.9 * float(mean[seen].mean())
    assert float(wrong[~seen].mean()) < 1.2 * float(mean[~seen].mean())


def test_without_reach_hidden_points_keep_their_color():
    points = torch.rand(200, 3, generator=seeded(1)) * 0.4 - 0.2
    bare = PointCloud(points, torch.full((200, 3), 0.25))
    camera, ones = svr.cameras.projections.orbit(0, 0), torch.ones(1, 32, 32)
    found, seen = photo_colors(bare, camera, torch.zeros(3, 32, 32), ones, reach=0.0)
    assert 0 < int(seen.sum()) < 200
    assert bool((found.colors[~seen] == 0.25).all()) and bool((found.colors[seen] == 0).all())
    nothing, seen = photo_colors(bare, camera, torch.zeros(3, 32, 32), 0 * ones)
    assert not bool(seen.any()) and torch.equal(nothing.colors, bare.colors)
    with pytest.raises(InputError, match="colors"):
        photo_colors(PointCloud(points), camera, torch.zeros(3, 32, 32), ones)


@pytest.mark.parametrize("seed", [41, 42, 43])
def test_a_reconstruction_looks_more_like_its_photograph(seed):
    item = svr.data.samples("horse", "test", 1, seed=seed, size=96, domain="natural")[0]
    system = svr.load("ssl3d", "horse").eval()
    given = (item["image"], item["mask"])
    own, guess = (system.reconstruct(*given, colors=c) for c in ("photograph", "network"))
    assert torch.equal(own.points.points, guess.points.points)
    both = (own.mask > 0.5) & (own.silhouette(own.mask.shape[-1]) > 0.5)
    size = own.mask.shape[-1]
    far = [float((r.render(size=size) - own.image).abs()[:, both[0]].mean()) for r in (own, guess)]
    assert far[0] < 0.8 * far[1]
    assert "photograph's" in own.notes[1] and "network's guess" in guess.notes[1]
    with pytest.raises(InputError, match="colors"):
        system.reconstruct(*given, colors="paint")


@pytest.mark.parametrize("seed", range(6))
def test_balls_that_ask_few_pixels_equal_pixels_that_ask_all_balls(seed):
    """Every point with every pixel in double precision, the readable form; some points lie outside
    the picture, some are as near as others.
    """
    chance = seeded(70, seed)
    count, size = (40, 400)[seed % 2], (7, 24, 48)[seed % 3]
    radius = (0.03, 0.11, 0.6)[seed % 3]
    uvz = torch.rand(count, 3, generator=chance).double() * 2.6 - 1.3
    uvz[:, 2] = (uvz[:, 2] * 8).round() / 8  # ties
    line = (2 * torch.arange(size) + 1) / size - 1
    pixels = torch.stack(torch.meshgrid(line, line, indexing="ij")[::-1], -1).reshape(-1, 1, 2)
    beside = (pixels - uvz[:, :2]).norm(dim=-1) > radius
    depth = uvz[:, 2].expand(size * size, -1).masked_fill(beside, torch.inf)
    nearest = depth.min(1, keepdim=True).values
    first = ((depth == nearest) & depth.isfinite()).double().argmax(1)
    wanted = torch.where(nearest[:, 0].isfinite(), first, -1).view(size, size)
    assert torch.equal(shown_points(uvz, size, radius), wanted)
    assert (wanted >= 0).any()


def test_results_find_their_colors_when_they_are_read():
    """At once, late, after a journey through a file, and after its photograph was painted over."""
    system = svr.load("ssl3d", "horse")
    data = svr.data.samples("horse", "test", 2, seed=41, size=64, progress=False)
    image, mask = data["image"][0].clone(), data["mask"][0].clone()
    at_once = system.reconstruct(image, mask)
    colors, places = at_once.points.colors, at_once.correspondence
    late = system.reconstruct(image, mask)
    copied = pickle.loads(pickle.dumps(late))
    image.zero_(), mask.zero_()
    for result in (late, copied):
        assert torch.equal(result.points.colors, colors) and result.points is result.points
        assert torch.equal(result.correspondence, places)
