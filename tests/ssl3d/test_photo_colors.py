"""Points take their colours from the photograph where it shows them."""

from __future__ import annotations

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
