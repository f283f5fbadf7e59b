"""Scenes behind pictures and drawings, and networks that learn in front of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.experiments.ssl3d import in_scenes
from svr_nb.ssl3d.backgrounds import before_scenes, drawn_scenes, scenes
from svr_nb.ssl3d.cycle_consistency import run_cycle
from svr_nb.ssl3d.frame import project
from svr_nb.ssl3d.losses import as_learned, eyes_of
from svr_nb.ssl3d.system import SSL3D
from svr_nb.render.soft_points import splat_features
from svr_nb.training.loop import fit

from ..suite.systems import few_cars, small_ssl3d


def learner(**change):
    return SSL3D(replace(small_ssl3d().config, backgrounds=True, **change), seed=0)


def test_scenes_differ_repeat_and_never_touch_the_object():
    bank = scenes(5, 16, seeded(0))
    assert torch.equal(bank, scenes(5, 16, seeded(0)))
    assert not torch.equal(bank[0], bank[1])
    image = torch.rand(4, 3, 16, 16, generator=seeded(1))
    mask = (torch.rand(4, 1, 16, 16, generator=seeded(2)) > 0.5).float()
    seen = before_scenes(image, mask, bank, seeded(3))
    assert torch.equal(seen * mask, image * mask)
    behind = drawn_scenes(bank, 4, seeded(3))
    assert torch.equal(seen * (1 - mask), behind * (1 - mask))


def test_drawn_scenes_are_scenes_of_the_bank_mirrored_and_moved():
    bank = scenes(2, 12, seeded(0))
    both = torch.cat([bank, bank.flip(-1)])
    moved = [both.roll((a, b), (2, 3)) for a in range(12) for b in range(12)]
    known = {tuple(one.flatten().tolist()) for many in moved for one in many}
    assert all(tuple(s.flatten().tolist()) in known for s in drawn_scenes(bank, 9, seeded(4)))


def test_both_networks_see_the_drawings_of_a_cycle_in_front_of_the_same_scenes():
    system, asked = learner(), []
    cloud = torch.rand(2, 40, 3, generator=seeded(0)) - 0.5
    colors = 0.1 + 0.9 * torch.rand(2, 40, 3, generator=seeded(1))
    poses = torch.rand(4, 2, generator=seeded(2))
    size = system.config.image_size
    system.memory["scenes"] = (scenes(3, size, seeded(3)) * 255).byte()
    system.recon.register_forward_pre_hook(lambda net, given: asked.append(given[0]))
    system.pose.register_forward_pre_hook(lambda net, given: asked.append(given[0]))
    recon, pose = eyes_of(system, cloud, 4, seeded(5))
    cycle = run_cycle(recon, pose, cloud, colors, poses, size)
    by_recon, by_pose = asked
    assert torch.equal(by_recon, by_pose)
    at = project(cloud.repeat(2, 1, 1), poses)
    there = splat_features(at, torch.ones(4, 40, 1), size).round()
    torch.testing.assert_close(by_recon * there, cycle.images)
    assert float((by_recon * (1 - there)).abs().mean()) > 0.1
    plain = small_ssl3d()
    assert eyes_of(plain, cloud, 4, seeded(5)) == (plain.recon, plain.pose)


def test_the_cycle_still_teaches_the_cloud_in_front_of_scenes():
    system = learner()
    batch = {**few_cars().batch(torch.arange(4)), "index": torch.arange(4), "generator": seeded(0)}
    losses = system.losses(batch, system.stages()[0])
    pulls = torch.autograd.grad(losses["geometric"], list(system.recon.parameters()))
    assert any(bool(pull.any()) for pull in pulls)


def test_networks_learn_in_front_of_scenes_and_are_asked_as_the_picture_was_taken():
    system = learner()
    start = {name: value.clone() for name, value in system.state_dict().items()}
    fit(system, few_cars(), progress=False)
    assert system.memory["scenes"].shape[0] == 100
    assert any(not torch.equal(value, start[name]) for name, value in system.state_dict().items())
    image, mask = few_cars()["image"], few_cars()["mask"]
    gray = image * mask + 0.5 * (1 - mask)
    assert not torch.equal(system.predict(image * mask, mask)[0], system.predict(gray, mask)[0])
    plain = small_ssl3d()
    assert torch.equal(plain.predict(image * mask, mask)[0], plain.predict(gray, mask)[0])


def test_the_bank_is_drawn_once_and_goes_on_with_the_training(tmp_path):
    whole = learner()
    fit(whole, few_cars(), seed=3, progress=False)
    steps = sum(stage.steps for stage in whole.stages())
    stop = lambda done, losses: done >= steps // 2
    half, rest = learner(), learner()
    fit(half, few_cars(), tmp_path / "run", seed=3, progress=False, on_step=stop)
    fit(rest, few_cars(), tmp_path / "run", seed=3, progress=False)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, rest.state_dict()[name]), name


def test_without_the_option_nothing_is_drawn():
    system, chance = small_ssl3d(), seeded(0)
    image = torch.rand(2, 3, 16, 16, generator=seeded(1))
    assert as_learned(system, image, image[:, :1], chance) is image
    assert "scenes" not in system.memory and torch.equal(chance.get_state(), seeded(0).get_state())


def test_tests_in_scenes_keep_everything_but_the_background():
    data = few_cars()
    seen = in_scenes(data, 1)
    assert set(seen.fields) == set(data.fields) and torch.equal(seen["mask"], data["mask"])
    assert torch.equal(seen["image"] * data["mask"], data["image"] * data["mask"])
    assert not torch.equal(seen["image"], data["image"])


def test_what_is_refused():
    image, mask = torch.rand(2, 3, 16, 16), torch.ones(2, 1, 16, 16)
    with pytest.raises(InputError, match="bank"):
        before_scenes(image, mask, scenes(2, 12, seeded(0)), seeded(0))
    with pytest.raises(InputError, match="mask"):
        before_scenes(image, mask[:1], scenes(2, 16, seeded(0)), seeded(0))
    with pytest.raises(InputError, match="count"):
        scenes(0, 16, seeded(0))
