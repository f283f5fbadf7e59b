"""Eq. 2 as printed: probabilities drawn and compared as they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import svr_nb as svr
from svr_nb.conventions import InputError, seeded
from svr_nb.umr.expectation import crop_view, hypothesis_costs, part_texels, winners
from svr_nb.umr.texture_cycle import flow_on_faces, on_faces
from tests.suite.systems import few_birds, small_umr


def system(form: str) -> svr.UMR:
    """A small system that knows its parts."""
    made = svr.UMR(replace(small_umr().config, form=form))
    made.face_labels.copy_(torch.arange(len(made.face_labels)) % 5)
    made.part_map.fill_(0.2)
    return made


def test_the_chart_is_read_on_every_face():
    made = system("printed")
    texels = part_texels(made, made.template)
    side, faces = made.config.side, len(made.sphere.mesh.faces)
    assert texels.shape == (faces, side, side, 4) and torch.allclose(texels, texels * 0 + 0.2)
    assert part_texels(system("paper"), made.template).shape == (faces, 4)
    with pytest.raises(InputError, match="form"):
        replace(made.config, form="as I like it")


def test_one_way_to_read_a_chart():
    """A flow is a chart of places: both readers agree face by face on the half that is read."""
    sphere = small_umr().sphere
    flow = torch.rand(2, 2, 16, 32, generator=seeded(1))
    whole, half = on_faces(flow, sphere.mesh, 3), flow_on_faces(flow, sphere, 3)
    assert torch.equal(whole[:, : sphere.half_faces], half[:, : sphere.half_faces])


def test_unsure_maps_cost_what_they_are_off():
    """Where both sides say .2 inside the silhouette, the printed form costs next to nothing; a map
    that is sure costs (1 - .2)^2 there.
    """
    birds, made = few_birds().batch(torch.arange(3)), system("printed").eval()
    costs = {}
    for value in (0.2, 1.0):
        maps = torch.full_like(birds["part_map"], value)
        view = crop_view(birds["image"], birds["mask"], maps.clamp(max=1), 32)
        said = made.predict_view(view, 4)
        wanted = {"mask": 1.0, "sp": 1.0}
        costs[value] = hypothesis_costs(made, said, view, wanted, seeded(0))["sp"].mean()
    assert float(costs[0.2]) < float(costs[1.0]) / 4


def test_it_teaches_shape_and_camera():
    birds, made = few_birds().batch(torch.arange(3)), system("printed")
    batch = {**birds, "generator": seeded(0), "progress": 0.5}
    losses = made.losses(batch, made.stages()[1])
    grads = torch.autograd.grad(losses["sp"], list(made.parameters()), allow_unused=True)
    assert any(g is not None and bool(g.any()) for g in grads)


def test_batch_norm_in_the_decoder():
    made = svr.UMR(replace(small_umr().config, flow_norm="batch"))
    kinds = [type(m).__name__ for m in made.flow.modules()]
    assert kinds.count("BatchNorm2d") == 2 and "GroupNorm" not in kinds
    with pytest.raises(InputError, match="flow_norm"):
        replace(made.config, flow_norm="layer")


def test_hard_maps_give_every_pixel_to_one_part():
    soft = torch.rand(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    hard = winners(soft)
    assert bool(((hard > 0).sum(1) == 1).all())
    torch.testing.assert_close(hard.sum(1), soft.sum(1))
    assert torch.equal(hard.argmax(1), soft.argmax(1)) and torch.equal(winners(hard), hard)
