"""One training step of LEM: who is in a batch, what moves, which loss reaches whom."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.lem.config import LEMConfig, two_domains
from svr_nb.lem.losses import (
    as_grids,
    image_codes,
    lem_losses,
    main_losses,
    mapping_loss,
    moved,
    shape_loss,
    sorted_batch,
    stage_losses,
)
from svr_nb.lem.system import LEM

SMALL = replace(
    LEMConfig.tiny(),
    image_size=16,
    code=8,
    widths=(8, 8, 8, 8),
    adversary_hidden=(8,),
    pair_inner=8,
    pair_hidden=8,
    inner=8,
    scales=(1, 2),
    attention=True,
    csm=0.01,
    oracle=0.5,
)


@pytest.fixture(scope="module")
def data():
    return two_domains(seed=3, count=6, views=1, size=16, voxels=16, loose=8)


def batch(data, step=0):
    parts = {name: c.batch(torch.arange(4)) for name, c in data.items()}
    return {**parts, "generator": seeded(0, step), "progress": 0.5}


def awake(**options):
    """A system whose attention no longer starts at zero."""
    system = LEM(replace(SMALL, **options))
    with torch.no_grad():
        system.encoder.attention.output.weight.normal_(0, 0.1, generator=seeded(1))
    return system


def test_a_batch_of_several_and_of_one(data):
    several = sorted_batch(batch(data))
    assert set(several.drawn) >= {"image", "voxels"} and several.natural is not None
    assert torch.equal(several.shapes[:, 0], batch(data)["shapes"]["voxels"].float())
    fields = batch(data)["synthetic"]
    one = sorted_batch({**fields, "generator": seeded(0)})
    assert one.natural is None and one.progress == 1
    assert torch.equal(one.shapes, as_grids(fields))
    both = sorted_batch({**fields, "natural_image": fields["image"], "generator": seeded(0)})
    assert torch.equal(both.natural["image"], fields["image"])


def test_without_voxels_a_clear_sentence():
    with pytest.raises(InputError, match="field 'voxels', got image"):
        sorted_batch({"image": torch.zeros(1, 3, 8, 8), "generator": seeded(0)})


def test_every_loss_of_every_stage_reaches_every_parameter_group_alone(data):
    """Each loss by itself, in each stage, moves each group that the stage weighs it for."""
    system = awake()
    for stage in system.stages():
        losses = system.losses(batch(data), stage)
        assert set(losses) >= stage_losses(stage)
        for group, weights in stage.weights.items():
            for name in weights:
                parameters = system.parameter_groups()[group]
                gradients = torch.autograd.grad(
                    losses[name], parameters, allow_unused=True, retain_graph=True
                )
                reached = sum(float(g.abs().sum()) > 0 for g in gradients if g is not None)
                assert reached > 0, f"{name} does not reach {group} in stage {stage.name}"


def test_the_reconstruction_reaches_every_weight_of_the_encoder(data):
    system = awake()
    loss = main_losses(system, sorted_batch(batch(data)), {"rec"})["rec"]
    gradients = torch.autograd.grad(loss, list(system.encoder.parameters()))
    names = [name for name, _ in system.encoder.named_parameters()]
    asleep = [n for n, g in zip(names, gradients) if float(g.abs().sum()) == 0]
    assert (
        asleep == ["attention.key.bias"] or not asleep
    )  # the same for all keys: no softmax sees it


def test_only_what_is_asked_for_is_computed(data):
    system = awake(adversaries=())
    assert set(lem_losses(system, batch(data), {"shape"})) == {"shape"}
    assert set(lem_losses(system, batch(data), {"rec"})) == {"rec"}
    assert set(lem_losses(system, batch(data), {"rec", "csm"})) == {"rec", "csm"}
    assert set(lem_losses(system, batch(data))) == {"shape", "rec", "csm"}  # never the oracle


def test_photographs_change_nothing_that_does_not_ask_for_them(data):
    system = awake(adversaries=(), drawings_too=False)
    other = batch(data)
    other["natural"] = {"image": 1 - other["natural"]["image"]}
    same = [lem_losses(system, b, {"rec"})["rec"] for b in (batch(data), other)]
    assert torch.equal(*same)
    moved_ = [lem_losses(system, b, {"csm"})["csm"] for b in (batch(data), other)]
    assert not torch.equal(*moved_)


def test_mapping_loss_pulls_photographs_only(data):
    system = awake()
    e_r, e_n, e_v = (torch.randn(4, 8, generator=seeded(n)).requires_grad_() for n in range(3))
    loss = mapping_loss(system, e_r, e_n, e_v.detach())
    assert torch.autograd.grad(loss, e_r, allow_unused=True, retain_graph=True)[0] is None
    assert torch.autograd.grad(loss, e_n)[0].abs().sum() > 0


def test_noise_on_codes_is_seeded(data):
    system = LEM(replace(SMALL, code_noise=0.5))
    same = [shape_loss(system, sorted_batch(batch(data, step))) for step in (0, 0, 1)]
    assert torch.equal(same[0], same[1]) and not torch.equal(same[0], same[2])


@pytest.mark.parametrize("too", [False, True])
def test_drawings_move_only_if_wanted(data, too):
    system = LEM(replace(SMALL, drawings_too=too), seed=0).eval()
    drawn, natural = image_codes(
        system, sorted_batch({"synthetic": batch(data)["synthetic"], "generator": seeded(1)})
    )
    still = system.encoder(batch(data)["synthetic"]["image"])
    assert natural is None and torch.allclose(drawn, still, atol=1e-6) == (not too)


def test_moved_images_repeat_and_stay_within_their_pixels():
    image = torch.rand(5, 3, 8, 8, generator=seeded(0))
    assert torch.equal(moved(image, 0, False, seeded(1)), image)
    a, b = (moved(image, 2, True, seeded(1)) for _ in range(2))
    assert torch.equal(a, b) and a.shape == image.shape and not torch.equal(a, image)
    for one, other in zip(moved(image, 0, True, seeded(2)), image):
        assert torch.equal(one, other) or torch.equal(one, other.flip(-1))
    wide = torch.nn.functional.pad(image, (2, 2, 2, 2), mode="replicate")
    for i, one in enumerate(moved(image, 2, False, seeded(3))):
        cuts = [wide[i, :, y : y + 8, x : x + 8] for y in range(5) for x in range(5)]
        assert any(torch.equal(one, cut) for cut in cuts)
