"""TARS assembled: who learns in which stage, the dump, both cameras, and what leaves the system."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.data.sample_items import samples
from svr_nb.shapes.mesh import Mesh
from svr_nb.tars.config import TARSConfig
from svr_nb.tars.losses import shown_pictures
from svr_nb.tars.system import TARS
from svr_nb.training.loop import fit

SMALL = replace(
    TARSConfig.glimpse(),
    lr=1.5e-3,
    image_size=16,
    widths=(4, 8),
    code=8,
    width=8,
    layers=2,
    shape_hidden=(8,),
    deform_hidden=(8,),
    plain_hidden=(8,),
    levels=2,
    rays=8,
    points=6,
    march_steps=(2, 3),
    bisections=2,
    silh_depths=2,
    cells=16,
    batch=3,
    sphere_steps=2,
    image_steps=2,
    identity_steps=2,
    deform_steps=2,
)


@pytest.fixture(scope="module")
def chairs():
    return samples("chair", count=6, size=16, seed=3, points=128, voxels=16, progress=False)


def batch(data, step=0):
    return {**data.batch(torch.arange(3)), "index": torch.arange(3), "generator": seeded(0, step)}


def stage(system, name):
    return next(s for s in system.stages() if s.name == name)


def moved(system, data, name):
    before = {k: v.clone() for k, v in system.state_dict().items()}
    fit(system, data, stages=[stage(system, name)], progress=False)
    return {
        k.split(".")[0] for k, v in system.state_dict().items() if not torch.equal(v, before[k])
    }


def test_who_learns_when(chairs):
    system = TARS(SMALL)
    assert moved(system, chairs, "sphere") == {"shape"}
    assert moved(system, chairs, "image") == {"encoder", "shape", "marcher", "plain"}
    assert moved(system, chairs, "dump") == {"common", "dumped"}
    assert moved(system, chairs, "identity") == {"deform"}
    assert moved(system, chairs, "deform") == {"encoder", "shape", "marcher", "deform", "common"}


def test_dropout_lets_the_plain_features_learn(chairs):
    assert "plain" in moved(TARS(replace(SMALL, feature_dropout=0.5)), chairs, "deform")


def test_dump_is_the_mean_code(chairs):
    system = TARS(SMALL)
    fit(system, chairs, stages=[stage(system, "dump")], progress=False)
    torch.testing.assert_close(
        system.canonical.detach(),
        system.codes(chairs.fields["image"], chairs.fields["mask"]).mean(0),
    )
    assert float(system.losses(batch(chairs), stage(system, "deform"))["drift"]) == 0


def test_sphere_stage_makes_a_sphere(chairs):
    system = TARS(replace(SMALL, width=16, points=64, sphere_steps=250, lr=5e-3))
    fit(system, chairs, stages=[stage(system, "sphere")], progress=False)
    assert system.losses(batch(chairs), stage(system, "sphere"))["sphere"].item() < 1e-3


def test_identity_stage_reaches_the_ball(chairs):
    system = TARS(
        replace(
            SMALL,
            identity="ball",
            normal=0.0,
            width=16,
            points=64,
            sphere_steps=250,
            identity_steps=200,
            lr=5e-3,
        )
    )
    for name in ("sphere", "identity"):
        fit(system, chairs, stages=[stage(system, name)], progress=False)
    assert system.losses(batch(chairs), stage(system, "identity"))["identity"].item() < 0.03**2


def test_erratum_t6_normals_have_a_gradient(chairs):
    system = TARS(replace(SMALL, identity="ball"))
    normal = system.losses(batch(chairs), stage(system, "identity"))["normal"]
    assert (
        normal > 0
        and torch.autograd.grad(normal, system.deform.net.layers[0].last.weight)[0].abs().sum() > 0
    )


@pytest.mark.parametrize("form", ["frobenius", "directional", "literal"])
@pytest.mark.parametrize("space", ["object", "canonical"])
@pytest.mark.parametrize("marching", ["lstm", "dense", "least", "both", "warm"])
def test_every_variant_has_finite_losses_and_gradients(chairs, form, space, marching):
    system = TARS(
        replace(SMALL, smoothness=form, eikonal_space=space, marching=marching, mirror=(1.0, 1.0))
    )
    losses = system.losses(batch(chairs), stage(system, "deform"))
    assert set(losses) == {"rgb", "int", "free", "silh", "eik", "def", "mirror", "drift"}
    total = sum(losses.values())
    grads = torch.autograd.grad(total, [system.deform.net.layers[0].last.weight, system.canonical])
    assert all(torch.isfinite(v) for v in losses.values()) and all(
        torch.isfinite(g).all() and g.abs().sum() > 0 for g in grads
    )


def test_eikonal_spaces_differ(chairs):
    a, b = (
        float(
            TARS(replace(SMALL, eikonal_space=s, start=1.0)).losses(batch(chairs))["eik"].detach()
        )
        for s in ("object", "canonical")
    )
    assert a != b


MIRRORED = replace(SMALL, symmetric=True, start=1.0, feature_start=15.0)


@pytest.mark.parametrize("name", ["image", "deform"])
def test_symmetric_fields_and_canonical_places(name):
    system, x = TARS(MIRRORED), torch.rand(2, 30, 3, generator=seeded(2)) - 0.5
    field, turned = (
        system.field(torch.randn(2, 8, generator=seeded(3)), name),
        x * torch.tensor([-1.0, 1, 1]),
    )
    (here, feature), (there, other) = field.placed(x), field.placed(turned)
    assert torch.allclose(field(x).sdf, field(turned).sdf, atol=1e-6) and torch.allclose(
        feature, other, atol=1e-6
    )
    assert torch.allclose(here, there * torch.tensor([-1.0, 1, 1]), atol=1e-6) and torch.allclose(
        field.sdf_at(here, feature), field(x).sdf, atol=1e-6
    )
    plain = TARS(replace(MIRRORED, symmetric=False)).field(
        torch.randn(2, 8, generator=seeded(3)), name
    )
    assert not torch.allclose(plain(x).sdf, plain(turned).sdf, atol=1e-3)


def test_pose_term_and_mirrored_pictures(chairs):
    system = TARS(
        replace(
            SMALL,
            pose=(1.0, 1.0),
            flip=True,
            symmetric=True,
            marching="least",
            eikonal_space="differences",
        )
    )
    losses = system.losses(batch(chairs), stage(system, "image"))
    assert {"pose", "eik", "int", "silh"} <= set(losses) and torch.autograd.grad(
        losses["pose"], system.view.weight
    )[0].abs().sum() > 0
    turned = {
        **batch(chairs),
        "image": torch.cat([chairs.fields["image"][:1].flip(-1), chairs.fields["image"][1:3]]),
        "mask": torch.cat([chairs.fields["mask"][:1].flip(-1), chairs.fields["mask"][1:3]]),
    }
    straight = TARS(replace(system.config, flip=False))
    code, other = (
        s.encoder(shown_pictures(b["image"], b["mask"], mirrored))
        for s, b, mirrored in ((system, batch(chairs), 1), (straight, turned, 0))
    )
    assert torch.allclose(code, other, atol=1e-6)
    axis = chairs.fields["camera_rotation"][:3, 2]
    side = torch.tensor([[-1.0, 1, 1], [1, 1, 1], [1, 1, 1]])
    expected = (system.view(code) - axis * side).square().mean()
    assert torch.allclose(losses["pose"], expected, atol=1e-6)


def test_no_features(chairs):
    system = TARS(replace(SMALL, features=0))
    fit(system, chairs, progress=False)
    field = system.instance(system.codes(chairs.fields["image"][:1], chairs.fields["mask"][:1]))
    x = torch.rand(1, 20, 3, generator=seeded(4)) - 0.5
    place, feature = field.placed(x)
    assert feature.shape == (1, 20, 0) and not torch.equal(place, x)
    torch.testing.assert_close(field.sdf_at(place, feature), field(x).sdf)


@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
def test_both_cameras(projection):
    data = samples("chair", count=3, size=16, seed=3, points=0, projection=projection)
    losses = TARS(SMALL).losses(batch(data))
    assert losses["silh"] > 0 and all(torch.isfinite(v) for v in losses.values())


def test_only_what_is_asked_is_computed(chairs):
    system = TARS(SMALL)
    some = replace(stage(system, "image"), weights={"all": {"int": 1.0}})
    assert set(system.losses(batch(chairs), some)) == {"int", "free"}


def test_no_hidden_state(chairs):
    """What a stage prepares does not change what its losses are."""
    prepared, fresh = TARS(SMALL), TARS(SMALL)
    prepared.before_stage(chairs, stage(prepared, "image"), seeded(0))
    assert set(vars(prepared)) == set(vars(fresh))
    for data in (chairs, chairs.subset([3, 4, 5])):
        ours, theirs = (s.losses(batch(data), stage(s, "image")) for s in (prepared, fresh))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


REACHED = {
    "sphere": {"sphere": {"shape"}},
    "image": {
        "rgb": {"encoder", "shape", "plain"},
        "int": {"encoder", "shape", "plain", "marcher"},
        "free": {"encoder", "shape", "plain", "marcher"},
        "silh": {"encoder", "shape", "plain"},
        "eik": {"encoder", "shape", "plain"},
        "pose": {"encoder", "view"},
        "mirror": {"encoder", "shape", "plain"},
    },
    "identity": {"identity": {"deform"}, "normal": {"deform"}},
    "deform": {
        "rgb": {"encoder", "deform"},
        "int": {"encoder", "deform", "shape", "common", "marcher"},
        "free": {"encoder", "deform", "shape", "common", "marcher"},
        "silh": {"encoder", "deform", "shape", "common"},
        "eik": {"encoder", "deform", "shape", "common"},
        "def": {"encoder", "deform"},
        "pose": {"encoder", "view"},
        "mirror": {"encoder", "deform", "shape", "common"},
    },
}


@pytest.mark.parametrize(
    ("name", "loss"), [(name, loss) for name, losses in REACHED.items() for loss in losses]
)
def test_every_loss_alone_teaches_whom_it_should(chairs, name, loss):
    system = TARS(replace(SMALL, pose=(1.0, 1.0), mirror=(1.0, 1.0), identity="ball", start=1.0))
    with torch.no_grad():
        system.common["canonical"].add_(0.1)
    value = system.losses(batch(chairs), stage(system, name))[loss]
    named = dict(system.named_parameters())
    grads = torch.autograd.grad(value, list(named.values()), allow_unused=True)
    taught = {n.split(".")[0] for n, g in zip(named, grads) if g is not None and g.abs().sum() > 0}
    assert taught == REACHED[name][loss]


def test_resume_in_every_stage(chairs, tmp_path):
    whole = TARS(SMALL)
    fit(whole, chairs, progress=False)
    for stop in (3, 5, 8):
        part = TARS(SMALL)
        fit(
            part,
            chairs,
            out=tmp_path / str(stop),
            progress=False,
            on_step=lambda n, _, stop=stop: n == stop,
        )
        again = TARS(SMALL, seed=9)
        fit(again, chairs, out=tmp_path / str(stop), progress=False)
        assert all(torch.equal(v, again.state_dict()[k]) for k, v in whole.state_dict().items()), (
            stop
        )


@pytest.fixture(scope="module")
def ball(chairs):
    """A system whose surface is a ball, so that there is something to extract."""
    system = TARS(
        replace(
            SMALL, width=16, points=64, sphere_steps=200, identity_steps=30, deform_steps=1, lr=5e-3
        )
    )
    fit(system, chairs, progress=False, stages=[stage(system, "sphere"), stage(system, "identity")])
    return system


def test_reconstruction_has_a_surface_and_places(ball, chairs):
    result = ball.reconstruct(
        chairs.fields["image"][0], chairs.fields["mask"][0], camera=chairs.camera(0), cells=24
    )
    assert (
        len(result.mesh.faces) > 20
        and result.correspondence.shape == result.mesh.verts.shape
        and result.mesh.vert_colors is not None
    )
    assert result.camera is not None and result.mesh.is_closed()
    painted = ball.reconstruct(
        chairs.fields["image"][0], chairs.fields["mask"][0], colors="predicted", cells=24
    )
    assert torch.equal(painted.mesh.verts, result.mesh.verts) and not torch.equal(
        painted.mesh.vert_colors, result.mesh.vert_colors
    )


def test_near_extraction_equals_dense_on_the_system(ball, chairs):
    field = ball.instance(ball.codes(chairs.fields["image"][:1], chairs.fields["mask"][:1]))
    a, b = ball.surface(field, 32), ball.surface(field, 32, dense=True)
    assert torch.equal(a.faces, b.faces) and torch.allclose(a.verts, b.verts, rtol=0, atol=1e-6)


def test_evaluation(ball, chairs):
    scores = ball.evaluate(chairs)
    assert {
        "acc x10",
        "cov x10",
        "overall x10",
        "EMD x10",
        "precision %",
        "recall %",
        "F %",
        "IoU",
        "empty",
    } <= set(scores)
    assert (
        all(v.shape == (6,) and torch.isfinite(v).all() for v in scores.values())
        and len(ball.reference_levels(chairs)) == 2
    )


def test_the_level_moves_the_surface(ball, chairs):
    zero = ball.evaluate(chairs)["IoU"]
    field = ball.instance(ball.codes(chairs.fields["image"][:1], chairs.fields["mask"][:1]))
    thin = TARS(replace(ball.config, level=-0.05))
    thin.load_state_dict(ball.state_dict())
    sizes = [float(s.surface(field, 32).verts.norm(dim=1).mean()) for s in (ball, thin)]
    assert 0.02 < sizes[0] - sizes[1] < 0.09 and not torch.equal(thin.evaluate(chairs)["IoU"], zero)


def test_empty_answers_become_the_origin(chairs):
    system = TARS(SMALL)
    nothing = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    system.surface = lambda field, cells, dense=False: nothing
    result = system.reconstruct(chairs.fields["image"][0], chairs.fields["mask"][0])
    assert (
        bool((result.points.points == 0).all())
        and float(system.evaluate(chairs)["empty"].mean()) == 1
    )


def test_paper_network_runs():
    system = TARS(
        replace(
            TARSConfig.paper(),
            widths=(8, 8, 8, 8),
            shape_hidden=(16,),
            deform_hidden=(16,),
            rays=4,
            points=3,
        )
    )
    data = samples("chair", count=2, size=64, seed=1, points=0)
    losses = system.losses({**data.batch([0, 1]), "generator": seeded(0)}, system.stages()[-1])
    assert (
        all(torch.isfinite(v) for v in losses.values())
        and system.shape.net.layers[0].inside == 57
        and system.deform.net.layers[0].inside == 33
    )


def test_refusals(chairs):
    system, image, mask = TARS(SMALL), chairs.fields["image"], chairs.fields["mask"]
    for wrong in (
        lambda: system.reconstruct(image, mask[:2]),
        lambda: system.reconstruct(None),
        lambda: system.reconstruct(image[0], mask[0], colors="red"),
        lambda: system.reconstruct(image[0], mask[0], cells=0),
        lambda: system.reconstruct(image[0], mask[0], topology=float("nan")),
        lambda: system.reconstruct(image[:2], mask[:2], camera=chairs.camera([0])),
        lambda: TARS("tiny"),
    ):
        with pytest.raises(InputError):
            wrong()


def test_unknown_options_are_named(chairs):
    with pytest.raises(
        InputError, match="options: expected only cells, colors, topology and steps, got speed"
    ):
        TARS(SMALL).reconstruct(chairs.fields["image"][0], chairs.fields["mask"][0], speed=50)
