"""Losses of a field, one at a time, against values worked out by hand or another way."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from svr_nb.conventions import seeded
from svr_nb.data.sample_items import samples
from svr_nb.networks.encoders import fresh_weights
from svr_nb.shapes.fields import sdf_sphere
from svr_nb.tars.config import TARSConfig, curriculum
from svr_nb.tars.deformation import CanonicalSDF, DeformNet, PlainFeatures
from svr_nb.tars.fields import DeformedField, PlainField, look
from svr_nb.tars.losses import (
    Request,
    cube_points,
    eikonal_term,
    identity_terms,
    mirror_term,
    normal_term,
    pose_term,
    ray_terms,
    request,
    shown_pictures,
    silhouette_term,
    smoothness_term,
    walks,
)
from svr_nb.tars.ray_supervision import Answer, RayMarcher

CONFIG = replace(TARSConfig.glimpse(), width=8, rays=8, points=20, march_steps=(2, 3))
codes = torch.randn(3, 5, generator=seeded(1))


class Ball:
    """An exact field, the same for every picture: a ball of radius .3 off the middle."""

    def __call__(self, x):
        sdf = sdf_sphere(x, 0.3, (0.1, 0.0, 0.0))[..., None]
        return Answer(sdf, x, torch.ones_like(x))


@pytest.fixture(scope="module")
def nets():
    with fresh_weights(0):
        f = CanonicalSDF(5, 2, 8, 2, (), 1, feature_levels=1, raw=True)
        return f, PlainFeatures(2, (4,), 1), DeformNet(5, 2, 8, 2, (), 1)


@pytest.fixture(scope="module")
def seen():
    batch = samples("chair", count=3, size=16, points=0, seed=1).batch([0, 1, 2])
    return look(batch, 8, True, seeded(0))


def ask(names="", **changes):
    return Request("deform", frozenset(names.split()), replace(CONFIG, **changes), seeded(3))


def points(seed=2):
    return torch.rand(3, 200, 3, generator=seeded(seed)) - 0.5


def test_requests_follow_the_weights():
    image = next(stage for stage in curriculum(CONFIG) if stage.name == "image")
    asked = request(image, CONFIG, seeded(0))
    assert asked.wanted == set(image.weights["all"]) and not asked.last
    everything = request(None, CONFIG, seeded(0))
    assert everything.last and "def" in everything.wanted


def test_slopes_by_differences_agree(nets):
    field = PlainField(nets[0], nets[1], codes)
    exact, near = (eikonal_term(field, points(), s).item() for s in ("object", "differences"))
    assert exact > 0.01 and near == pytest.approx(exact, rel=0.02)


def test_a_distance_field_has_slope_one():
    for space in ("object", "differences"):
        assert float(eikonal_term(Ball(), points(), space)) < 1e-4


def test_canonical_slope_does_not_see_the_deformation(nets):
    field = DeformedField(*nets, codes[0], codes)
    place, feature = field.placed(points())
    asked_there = eikonal_term(field, points(), "canonical")
    plain = PlainField(nets[0], lambda x: feature.detach(), codes[:1].expand(3, -1))
    torch.testing.assert_close(asked_there, eikonal_term(plain, place, "object"))


def test_mirror_term_by_hand():
    x = torch.tensor([[[0.2, 0.0, 0.0]]])
    assert float(mirror_term(Ball(), x)) == pytest.approx(0.2, abs=1e-6)
    assert float(mirror_term(Ball(), x * 0)) == 0


def test_smoothness_estimates_agree(nets):
    field, x = (
        DeformedField(*nets, codes[0], codes),
        cube_points(replace(CONFIG, points=4000), 3, seeded(0)),
    )
    exact, fast = (
        float(smoothness_term(field, x, f, seeded(5))) for f in ("frobenius", "directional")
    )
    assert fast == pytest.approx(exact, rel=0.15)


@pytest.mark.parametrize(
    ("marching", "places"),
    [("lstm", [4]), ("dense", [2]), ("least", [2]), ("both", [2, 4]), ("warm", [4])],
)
def test_ways_to_march(nets, seen, marching, places):
    field, marcher = DeformedField(*nets, codes[0], codes), RayMarcher(8, 4)
    found = walks(field, seen, marcher, ask(marching=marching))
    assert [walk.depth.shape[-1] for walk in found] == places


def test_with_both_the_marcher_cannot_change_the_field(nets, seen):
    field, marcher = DeformedField(*nets, codes[0], codes), RayMarcher(8, 4)
    walk = walks(field, seen, marcher, ask(marching="both"))[-1]
    weights = [nets[2].net.layers[0].last.weight, marcher.step.weight]
    grads = torch.autograd.grad(walk.sdf.sum(), weights, allow_unused=True)
    assert grads[0] is None and grads[1].abs().sum() > 0


def test_a_warm_marcher_follows_first_and_then_teaches_alone(nets, seen):
    field, marcher = DeformedField(*nets, codes[0], codes), RayMarcher(8, 4)
    weights = [nets[2].net.layers[0].last.weight, marcher.step.weight]
    early = replace(ask(marching="warm"), stage="image")
    chord, follows = walks(field, seen, marcher, early)
    taught = torch.autograd.grad(chord.sdf.sum(), weights[:1], retain_graph=True)
    assert taught[0].abs().sum() > 0
    grads = torch.autograd.grad(follows.sdf.sum(), weights, allow_unused=True)
    assert grads[0] is None and grads[1].abs().sum() > 0
    (alone,) = walks(field, seen, marcher, ask(marching="warm"))
    grads = torch.autograd.grad(alone.sdf.sum(), weights)
    assert all(g.abs().sum() > 0 for g in grads)


def test_only_wanted_ray_terms(nets, seen):
    field = PlainField(nets[0], nets[1], codes)
    assert set(ray_terms(field, seen, RayMarcher(8, 4), ask())) == {"int", "free"}
    assert set(ray_terms(field, seen, RayMarcher(8, 4), ask("rgb silh"))) == {
        "int",
        "free",
        "rgb",
        "silh",
    }


def test_silhouette_term_punishes_what_is_too_near(seen):
    class Far(Ball):
        def __call__(self, x):
            return Answer(torch.full_like(x[..., :1], 9.0), x, x)

    assert float(silhouette_term(Far(), seen, ask())) == 0
    assert float(silhouette_term(Ball(), seen, ask())) > 0


def test_ball_targets(nets):
    field = DeformedField(*nets, codes[0], codes, frozen=True)
    terms = identity_terms(field, ask("identity normal", identity="ball"))
    assert set(terms) == {"identity", "normal"} and all(v > 0 for v in terms.values())
    still = identity_terms(field, ask("identity", identity="mean"))["identity"]
    x = cube_points(CONFIG, 3, seeded(3))
    torch.testing.assert_close(still, field.delta(x).square().mean())


def test_normals_of_a_ball_are_right(nets):
    class Centred(PlainField):
        def __call__(self, x):
            return Answer(x.norm(dim=-1, keepdim=True) - 0.35, x, x)

    assert float(normal_term(Centred(nets[0], nets[1], codes), ask())) < 1e-6


def test_mirrored_pictures_and_their_cameras():
    image, mask = torch.rand(3, 3, 4, 4, generator=seeded(0)), torch.ones(3, 1, 4, 4)
    shown = shown_pictures(image, mask, 1)
    torch.testing.assert_close(shown[0], 2 * image[0].flip(-1) - 1)
    torch.testing.assert_close(shown[1:], 2 * image[1:] - 1)
    rotation = torch.eye(3).expand(3, 3, 3).clone()
    rotation[:, 2] = torch.tensor([0.6, 0.0, 0.8])
    said = torch.tensor([[-0.6, 0.0, 0.8], [0.6, 0.0, 0.8], [0.6, 0.0, 0.8]])
    assert float(pose_term(said, {"camera_rotation": rotation}, 1)) == 0
    assert float(pose_term(said, {"camera_rotation": rotation}, 0)) > 0.1
