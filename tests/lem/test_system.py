"""LEM assembled: presets, stages, what is frozen, what a step needs, and what leaves the system."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

import svr_nb as svr
from svr_nb.conventions import InputError, seeded
from svr_nb.data.collection import Collection
from svr_nb.lem.config import (
    LEMConfig,
    drawings,
    lem_stages,
    loose_shapes,
    photographs,
    two_domains,
)
from svr_nb.lem.system import LEM
from svr_nb.training.loop import fit

SMALL = replace(
    LEMConfig.tiny(),
    image_size=16,
    voxels=16,
    code=8,
    widths=(8, 8, 8, 8),
    adversary_hidden=(8,),
    pair_inner=8,
    pair_hidden=8,
    inner=8,
    scales=(1, 2),
    shape_steps=3,
    steps=4,
    batch=3,
    shape_batch=3,
    attention=True,
    csm=0.01,
)


@pytest.fixture(scope="module")
def data():
    return two_domains(seed=3, count=6, views=1, size=16, voxels=16, loose=8)


def batch(data, step=0):
    parts = {name: c.batch(torch.arange(4)) for name, c in data.items()}
    return {**parts, "generator": seeded(0, step), "progress": 0.5}


def state(system, part):
    return {k: v.clone() for k, v in system.state_dict().items() if k.startswith(part)}


def test_paper_preset_has_the_papers_values():
    c = LEMConfig.paper()
    assert c.pretrained and not c.ramp and c.voxels == 32
    assert (c.trunk, c.code, c.voxels, c.shape_form, c.shape_widths) == (
        "resnet50",
        256,
        32,
        "conv",
        (32, 32, 64, 128, 256),
    )
    assert (c.beta, c.csm, c.lr, c.shape_lr, c.shape_batch, c.adversary_hidden) == (
        0.01,
        0.001,
        1e-4,
        1e-4,
        32,
        (1024, 1024),
    )
    assert (c.attention, c.source_stage, c.scales, c.inner, c.sphere, c.adversaries) == (
        True,
        4,
        (3, 6, 8),
        64,
        False,
        ("domain", "shape"),
    )


def test_one_class_and_the_settings_of_shipped_networks():
    """LEM is one class; its settings are exactly the fields that saved networks have, and two that
    came later, which say what they did: trained from scratch, without a third stage.
    """
    assert [kind.__name__ for kind in LEM.__mro__[:2]] == ["LEM", "SystemBase"]
    shipped = svr.load("lem", "object")
    saved = json.loads(
        (Path(svr.__file__).parent / "checkpoints/lem-object/config.json").read_text()
    )
    later = {"pretrained": False, "map_steps": 0}
    assert shipped.config.to_dict() == saved["config"] | later
    assert {*saved["config"], *later} == {field.name for field in fields(LEMConfig)}


def test_forward_is_the_feed_forward_part(data):
    system, images = LEM(SMALL).eval(), data["natural"]["image"][:3]
    with torch.no_grad():
        assert torch.equal(system(images), system.predict(images)[0])
        assert torch.equal(system(images), system.decode(system.encoder(images)))


def test_paper_network_runs():
    system = LEM(replace(LEMConfig.paper(), shape_steps=1, steps=1)).eval()
    with torch.no_grad():
        code, weights, maps = system.encoder.look(torch.rand(1, 3, 64, 64, generator=seeded(0)))
        assert (
            system.voxel_decoder(code).shape == (1, 1, 32, 32, 32)
            and weights.shape == (1, 4, 109)
            and maps[4].shape[1] == 2048
        )


def test_stages_are_algorithm_1():
    shapes, main = lem_stages(SMALL)
    assert set(shapes.weights) == {"shapes"} and "shapes" not in main.weights
    assert main.weights["encoder"].keys() == {
        "rec",
        "adversary domain",
        "adversary shape",
        "csm",
    } and main.weights["pairs"].keys() == {"csm"}
    plain = lem_stages(replace(SMALL, adversaries=(), csm=0.0))[1]
    assert plain.weights == {"encoder": {"rec": 1.0}}
    late = lem_stages(replace(SMALL, csm=0.5, csm_start=0.4))[1].weights["encoder"]["csm"]
    assert late(0.39) == 0 and late(0.4) == 0.5
    assert "pairs" not in lem_stages(replace(SMALL, score="codes"))[1].weights


def test_each_stage_moves_its_own_part(data):
    system = LEM(SMALL)
    fit(system, data, progress=False, stages=system.stages()[:1])
    shapes, images = state(system, "voxel_"), state(system, "encoder")
    assert not all(torch.equal(v, LEM(SMALL).state_dict()[k]) for k, v in shapes.items())
    assert all(torch.equal(v, LEM(SMALL).state_dict()[k]) for k, v in images.items())
    fit(system, data, progress=False, stages=system.stages()[1:])
    assert all(torch.equal(v, system.state_dict()[k]) for k, v in shapes.items()), (
        "the auto-encoder must stay frozen"
    )
    assert not all(torch.equal(v, system.state_dict()[k]) for k, v in images.items())


def test_reconstruction_gradient_passes_the_frozen_decoder(data):
    system = LEM(SMALL)
    loss = system.losses(batch(data), system.stages()[1])["rec"]
    grads = torch.autograd.grad(loss, list(system.encoder.parameters()), allow_unused=True)
    assert any(g is not None and g.abs().sum() > 0 for g in grads)


def test_adversaries_push_the_encoder_away_and_nothing_reaches_the_shapes(data):
    system = LEM(replace(SMALL, beta=1.0, ramp=False, attention=False))
    losses = system.losses(batch(data), system.stages()[1])
    loss = losses["adversary domain"] + losses["adversary shape"]
    assert all(
        g is None
        for g in torch.autograd.grad(
            loss, list(system.voxel_encoder.parameters()), allow_unused=True, retain_graph=True
        )
    )
    weight = system.encoder.head.weight
    (strong,) = torch.autograd.grad(loss, weight)
    weak_system = LEM(replace(SMALL, beta=0.1, ramp=False, attention=False))
    weak_losses = weak_system.losses(batch(data), weak_system.stages()[1])
    (weak,) = torch.autograd.grad(
        weak_losses["adversary domain"] + weak_losses["adversary shape"],
        weak_system.encoder.head.weight,
    )
    torch.testing.assert_close(weak, 0.1 * strong, atol=1e-6, rtol=1e-3)


def test_only_wanted_losses_are_computed(data):
    plain = LEM(replace(SMALL, adversaries=(), csm=0.0))
    assert set(plain.losses(batch(data), plain.stages()[1])) == {"rec"}
    assert set(plain.losses(batch(data), plain.stages()[0])) == {"shape"}
    assert set(LEM(SMALL).losses(batch(data))) == {
        "shape",
        "rec",
        "adversary domain",
        "adversary shape",
        "csm",
    }


def test_without_photographs_what_needs_them_is_zero(data):
    system = LEM(SMALL)
    losses = system.losses({**batch({"synthetic": data["synthetic"]})}, system.stages()[1])
    assert losses["adversary domain"] == 0 and losses["csm"] == 0 and losses["adversary shape"] > 0


def test_voxels_are_needed(data):
    bare = Collection({k: v for k, v in data["synthetic"].fields.items() if k != "voxels"})
    with pytest.raises(InputError, match="voxels"):
        fit(LEM(SMALL), bare, progress=False)
    with pytest.raises(InputError, match="voxels"):
        LEM(SMALL).evaluate(bare)


def test_oracle_uses_the_labels(data):
    system = LEM(replace(SMALL, oracle=1.0))
    assert system.losses(batch(data), system.stages()[1])["oracle"] > 0


def test_dense_start_makes_the_first_loss_small(data):
    system, fresh = LEM(SMALL), LEM(SMALL)
    system.before_stage(data, system.stages()[0], seeded(0))
    a, b = (s.losses(batch(data), s.stages()[0])["shape"] for s in (system, fresh))
    assert a < 0.7 * b


def test_threshold_is_found_kept_and_saved(data, tmp_path):
    system = LEM(SMALL)
    best = system.calibrate(data["synthetic"])
    assert 0.01 <= best <= 0.49 and float(system.threshold) == pytest.approx(best)
    system.save_pretrained(tmp_path)
    assert float(LEM.from_pretrained(str(tmp_path)).threshold) == pytest.approx(best)


def test_reconstruction_has_voxels_and_a_surface(data):
    system = LEM(SMALL)
    result = system.reconstruct(data["natural"].fields["image"][0])
    assert (
        result.predicted == "voxels"
        and result.voxels.size == 16
        and len(result.mesh.faces) > 0
        and result.camera is None
    )


def test_evaluate_and_levels(data):
    system = LEM(SMALL)
    scores, levels = system.evaluate(data["natural"]), system.reference_levels(data["natural"])
    assert {
        "IoU at best threshold",
        "IoU at .5",
        "Chamfer",
        "IoU at best threshold, centred",
    } <= set(scores)
    assert {
        "IoU, mean shape",
        "IoU, mean shape of the true class",
        "IoU, auto-encoder on the truth",
    } == set(levels)
    assert (scores["IoU at best threshold"].mean() >= scores["IoU at .5"].mean()).item()


def test_domains_differ_and_repeat():
    a, b = (photographs(count=40, size=16, voxels=0, seed=1)["category"] for _ in range(2))
    drawn = drawings(count=40, size=16, voxels=0, seed=1)["category"]
    assert (
        torch.equal(a, b)
        and (a == 0).sum() > (a == 3).sum()
        and (drawn == 0).sum() < (a == 0).sum()
    )
    grids = loose_shapes(3, seed=1, voxels=16)["voxels"]
    assert grids.shape == (3, 16, 16, 16) and set(grids.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize(
    "wrong",
    [
        {"trunk": "vgg"},
        {"labels": "true"},
        {"score": "dot"},
        {"adversaries": ("style",)},
        {"beta": -1.0},
        {"quantile": 2.0},
    ],
)
def test_bad_settings(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        replace(SMALL, **wrong)


def test_shapes_are_their_own_mirror_images():
    grids = loose_shapes(8, seed=2)["voxels"]
    assert (
        float((grids != grids.flip(1)).float().mean()) < 1e-3
    )  # drawings may be mirrored because of this
