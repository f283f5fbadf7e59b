"""UMR as one class: what it holds, what the M-step changes, and how answers reach the library's frame."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch

import svr_nb as svr
from svr_nb.conventions import seeded
from svr_nb.training.system import SystemBase
from svr_nb.umr.config import UMRConfig, cameras_of, current_weights, rounds
from svr_nb.umr.losses import stage_losses
from svr_nb.umr.system import between_rounds, fresh_surface, house_camera, read_pictures, to_house

from ..suite.systems import few_birds, small_umr

SHIPPED = {"umr-bird": 162, "umr-car": 162, "umr-horse": 642}


def batch(seed=0, **changes):
    return few_birds().batch(torch.arange(4)) | {"generator": seeded(seed)} | changes


def heard(loss, parameters):
    """Whether a loss has a gradient that is not zero at any of the parameters."""
    slopes = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return any(slope is not None and bool(slope.any()) for slope in slopes)


def labelled(**changes):
    """A small system whose surface has parts, and whose sphere is off the template."""
    system = svr.UMR(replace(small_umr().config, **changes), seed=0)
    system.face_labels.copy_(torch.arange(len(system.face_labels)) % 4 + 1)
    system.vert_labels.copy_(torch.arange(len(system.vert_labels)) % 4 + 1)
    return system


def test_one_class_and_one_configuration():
    assert svr.UMR.__bases__ == (SystemBase,)
    assert svr.AGT.__mro__[:3] == (svr.AGT, svr.UMR, SystemBase)
    assert [base.__name__ for base in UMRConfig.__mro__] == ["UMRConfig", "ConfigBase", "object"]


@pytest.mark.parametrize("adversary", [False, True])
def test_every_parameter_is_in_one_group(adversary):
    system = svr.UMR(replace(small_umr().config, adversary=adversary), seed=0)
    groups = system.parameter_groups()
    grouped = [id(p) for group in groups.values() for p in group]
    assert set(groups) == ({"networks", "critics"} if adversary else {"networks"})
    assert sorted(grouped) == sorted(id(p) for p in system.parameters())


def test_the_surface_starts_unlabelled_and_travels_with_the_weights():
    system = small_umr()
    surface = fresh_surface(system.config, system.sphere)
    state = system.state_dict()
    assert set(surface) == {
        *("template", "part_map", "face_labels", "vert_labels", "active", "frame")
    }
    assert all(torch.equal(state[name], value) for name, value in surface.items())
    assert not {"faces", "laplacian"} & set(state)
    assert torch.equal(surface["part_map"].sum(0), torch.ones(16, 32))
    radius = surface["template"].norm(dim=-1)
    torch.testing.assert_close(radius, torch.full_like(radius, system.config.radius))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_systems_keep_their_keys(name):
    system = svr.load(*name.split("-"))
    assert len(system.template) == SHIPPED[name] and bool(system.face_labels.any())
    assert {key.split(".")[0] for key in system.state_dict()} == {
        *("trunk", "shape", "camera", "flow"),
        *("template", "part_map", "face_labels", "vert_labels", "active", "frame"),
    }


# what teaches what
# -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("which", [0, 1])
def test_a_stage_asks_for_its_own_losses(which):
    system = labelled()
    stage = system.stages()[which]
    losses = stage_losses(system, batch(), stage)
    wanted = current_weights(stage, "networks", 0.5)
    assert set(wanted) <= set(losses)
    assert all(losses[name].ndim == 0 and torch.isfinite(losses[name]) for name in wanted)
    same = system.losses(batch(), stage)
    assert all(torch.equal(same[name], losses[name]) for name in wanted)


def test_each_loss_reaches_what_it_should_and_nothing_else():
    system = labelled(texture_views="best")
    networks = {
        name: list(getattr(system, name).parameters()) for name in ("shape", "camera", "flow")
    }
    expected = {
        "mask": {"shape", "camera"},
        "sp": {"shape", "camera"},
        "sv": {"camera"},
        "lap": {"shape"},
        "deform": {"shape"},
        "tex": {"flow"},
        "dt": {"flow"},
        "cyc": {"flow"},
        "pick": {"camera"},
    }
    with torch.no_grad():  # offsets of zero length have no slope
        system.shape.decoder.bias.add_(
            0.01 * torch.randn(len(system.shape.decoder.bias), generator=seeded(5))
        )
    losses = stage_losses(system, batch(), system.stages()[1])
    for name, wanted in expected.items():
        assert {n for n, p in networks.items() if heard(losses[name], p)} == wanted, name


def test_without_labels_the_parts_are_silent():
    system = small_umr()
    losses = stage_losses(system, batch(), system.stages()[1])
    assert float(losses["sp"].detach()) == float(losses["sv"].detach()) == 0


def test_twins_double_the_second_round():
    config = replace(UMRConfig.tiny(), first_cameras=3, cameras=5)
    first, second = rounds(config)
    assert (cameras_of(config, first), cameras_of(config, second)) == (3, 5)
    twins = replace(config, twins=True)
    assert (cameras_of(twins, first), cameras_of(twins, second)) == (3, 10)


# what the M-step changes
# -------------------------------------------------------------------------------------------------
def test_a_move_that_turns_the_surface_inside_out_is_left_out():
    system = svr.UMR(replace(small_umr().config, cap=100.0), seed=0)
    half = system.template[: system.sphere.half_verts]
    with torch.no_grad():
        system.shape.decoder.weight.zero_()
        system.shape.decoder.bias.copy_((-2 * half).flatten())
    before, bias = system.template.clone(), system.shape.decoder.bias.clone()
    assert system.move_template(torch.zeros(1, system.config.code)) == 0
    assert torch.equal(system.template, before)
    assert torch.equal(system.shape.decoder.bias, bias)


def test_relabelling_reports_what_changed():
    system = small_umr()
    chart = torch.zeros(5, 16, 32)
    chart[1, :, :16], chart[2, :, 16:] = 1.0, 1.0
    first, again = system.relabel(chart), system.relabel(chart)
    assert first["changed"] == 1 and again["changed"] == 0
    assert first["confidence"] == pytest.approx(1.0)
    assert set(system.face_labels.tolist()) == {1, 2} and torch.equal(system.part_map, chart)


def test_the_second_round_gets_fresh_heads_if_their_number_changes():
    for first, fresh in ((1, True), (4, False)):
        system = svr.UMR(replace(small_umr().config, first_cameras=first, cameras=4), seed=0)
        with torch.no_grad():
            for parameter in system.camera.parameters():
                parameter.add_(0.5)
        before = {name: value.clone() for name, value in system.camera.state_dict().items()}
        between_rounds(system, few_birds(), system.stages()[0], seeded(1))
        assert int(system.active) == first
        between_rounds(system, few_birds(), system.stages()[1], seeded(1))
        kept = all(torch.equal(v, before[n]) for n, v in system.camera.state_dict().items())
        assert int(system.active) == 4 and kept != fresh


# answers
# -------------------------------------------------------------------------------------------------
def test_the_librarys_frame_shows_the_same_picture():
    system = small_umr().eval()
    turn = torch.linalg.qr(torch.randn(3, 3, generator=seeded(2)))[0]
    system.frame.copy_(turn * torch.sign(torch.det(turn)))
    said, _, camera = read_pictures(system, few_birds()["image"], few_birds()["mask"])
    own = camera.project(said.verts)[..., :2]
    ours = house_camera(system, camera).project(to_house(system, said.verts))[..., :2]
    torch.testing.assert_close(own, ours, atol=1e-5, rtol=0)
    box = to_house(system, system.template @ system.frame.T)
    assert float((box.amax(0) - box.amin(0)).norm()) == pytest.approx(1.0, abs=1e-4)


def test_batches_and_single_pictures_agree():
    system = small_umr().eval()
    image, mask = few_birds()["image"], few_birds()["mask"]
    many = system.reconstruct(image[:2], mask[:2])
    one = system.reconstruct(image[1], mask[1])
    torch.testing.assert_close(many[1].mesh.verts, one.mesh.verts, atol=1e-5, rtol=0)
    torch.testing.assert_close(many[1].camera.scale, one.camera.scale, atol=1e-5, rtol=0)
    assert not torch.allclose(many[0].mesh.verts, one.mesh.verts, atol=1e-5)


@pytest.mark.parametrize("name", ["umr", "agt"])
def test_textures_are_read_late_and_stay_what_they_were(name):
    """A result keeps all it needs: neither new weights nor a painted photograph change it, and a
    pickled one gives the same picture.
    """
    system = svr.load(name, "bird")
    data = svr.data.samples("bird", "test", 2, seed=43, size=64, progress=False)
    image, mask = data["image"][0].clone(), data["mask"][0].clone()
    at_once = system.reconstruct(image, mask)
    mesh, worn = at_once.mesh, at_once.correspondence
    late = system.reconstruct(image, mask)
    copied = pickle.loads(pickle.dumps(late))
    image.zero_(), mask.zero_()
    with torch.no_grad():
        for value in [*system.parameters(), system.template, system.face_labels]:
            value.zero_()
    for result in (late, copied):
        assert torch.equal(result.mesh.texture, mesh.texture)
        assert torch.equal(result.mesh.verts, mesh.verts)
        assert torch.equal(result.mesh.face_labels, mesh.face_labels)
        assert torch.equal(result.correspondence.texels, worn.texels)
        assert result.mesh is result.mesh


@pytest.mark.parametrize("side", [64, 300])
def test_a_stack_says_what_each_photograph_says_alone(side):
    """At 64 pixels nothing is averaged before it is cut; at 300 some pictures are, others not."""
    system = svr.load("umr", "bird")
    data = svr.data.samples("bird", "test", 3, seed=44, size=side, progress=False)
    image, mask = data["image"].clone(), data["mask"].clone()
    for picture in (image, mask):  # the first object is three times as small
        corner = picture[:1, :, ::3, ::3].clone()
        picture[0] = 0
        picture[:1, :, : corner.shape[2], : corner.shape[3]] = corner
    for pair, one in zip(zip(image, mask), system.reconstruct(image, mask)):
        alone = system.reconstruct(*pair)
        assert torch.allclose(one.mesh.verts, alone.mesh.verts, atol=1e-5)
        assert torch.allclose(one.mesh.texture, alone.mesh.texture, atol=1e-3)
        assert one.notes == alone.notes and torch.equal(one.image, alone.image)
