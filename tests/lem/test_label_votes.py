"""Groups without names, beliefs of judges, votes, spoiled labels, and the positives of a step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.lem.config import LEMConfig, lem_stages, two_domains
from svr_nb.lem.label_votes import (
    NO_LABEL,
    agreed,
    balanced,
    certain,
    neighbour_shares,
    shape_groups,
    spoiled,
    vote_positives,
    vote_purity,
)
from svr_nb.lem.losses import lem_losses
from svr_nb.lem.system import LEM

rand = lambda *shape, seed=0: torch.rand(*shape, generator=seeded(seed))


def test_groups_are_the_clusters():
    centers = 10 * torch.eye(3, 5)
    kinds = torch.arange(30) % 3
    groups = shape_groups(centers[kinds] + 0.1 * rand(30, 5), 3)
    assert all(len(groups[kinds == k].unique()) == 1 for k in range(3))
    assert len(groups.unique()) == 3 and torch.equal(
        groups, shape_groups(centers[kinds] + 0.1 * rand(30, 5), 3)
    )


def test_beliefs_are_shares_of_neighbours():
    e_r, groups = torch.arange(6.0)[:, None], torch.tensor([0, 0, 1, 1, 2, 2])
    found = neighbour_shares(torch.tensor([[0.9], [4.6]]), e_r, groups, near=3)
    assert torch.allclose(found, torch.tensor([[2 / 3, 1 / 3, 0.0], [0.0, 1 / 3, 2 / 3]]))
    with pytest.raises(InputError, match="groups"):
        neighbour_shares(e_r, e_r, groups[:3])


def test_balance_gives_every_group_its_part():
    shares = rand(60, 3, seed=1) + torch.tensor([1.0, 0.0, 0.0])
    shares = shares / shares.sum(1, keepdim=True)
    even = balanced(shares)
    assert torch.allclose(even.sum(0), torch.full((3,), 20.0), atol=0.1)
    assert torch.allclose(even.sum(1), torch.ones(60), atol=1e-5)
    uneven = balanced(shares, (0.5, 0.3, 0.2))
    assert torch.allclose(uneven.sum(0), torch.tensor([30.0, 18.0, 12.0]), atol=0.1)
    with pytest.raises(InputError, match="proportions"):
        balanced(shares, (0.5, 0.5))


def test_votes_by_hand():
    votes = torch.tensor([[0, 0, 0], [0, 1, 0], [0, 1, 2], [NO_LABEL, 2, 2]])
    assert agreed(votes).tolist() == [0, NO_LABEL, NO_LABEL, NO_LABEL]
    assert agreed(votes, 2).tolist() == [0, 0, NO_LABEL, 2]
    shares = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.45, 0.55]])
    assert certain(shares, 0.5).tolist() == [0, NO_LABEL, 1, NO_LABEL]
    assert certain(shares, 1.0).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("errors", ["fixed", "new each time"])
def test_spoiled_labels_are_right_as_often_as_asked(errors):
    true = torch.arange(4000) % 4
    said = spoiled(true, 0.7, errors, draws=5)
    assert said.shape[1] == (1 if errors == "fixed" else 5)
    assert float((said == true[:, None]).float().mean()) == pytest.approx(0.7, abs=0.02)
    assert int(said.min()) == 0 and int(said.max()) == 3
    assert torch.equal(said, spoiled(true, 0.7, errors, draws=5))
    assert torch.equal(spoiled(true, 1.0, errors, draws=1)[:, 0], true)
    wrong = said[:, :1][said[:, :1] != true[:, None]]
    assert len(wrong.unique()) == 4


def test_positives_and_their_purity():
    votes, groups = torch.tensor([[1], [NO_LABEL], [0]]), torch.tensor([0, 1, 1])
    found = vote_positives(votes, groups, seeded(0))
    assert found.tolist() == [[False, True, True], [False] * 3, [True, False, False]]
    image, shape = torch.tensor([1, 0, 1]), torch.tensor([0, 1, 0])
    assert vote_purity(votes, groups, image, shape) == pytest.approx((0.5 + 0.0) / 2)
    assert vote_purity(torch.full((3, 1), NO_LABEL), groups, image, shape) == 0.0
    both = vote_positives(torch.tensor([[0, 1]]).expand(400, 2), groups, seeded(1))
    assert 0.4 < float(both[:, 0].float().mean()) < 0.6  # one of the two judges, at random


@pytest.fixture(scope="module")
def data():
    return two_domains(seed=3, count=6, views=1, size=16, voxels=16, loose=8)


def _system():
    small = replace(LEMConfig.tiny(), image_size=16, code=8, widths=(8,) * 4, adversary_hidden=(8,))
    return LEM(replace(small, csm=0.1, score="codes", labels="votes"), seed=0)


def test_the_loss_takes_labels_from_the_data(data):
    parts = {name: c.batch(torch.arange(4)) for name, c in data.items()}
    system = _system()
    with pytest.raises(InputError, match="votes"):
        lem_losses(system, {**parts, "generator": seeded(0)}, {"csm"})
    group = torch.tensor([0, 1, 0, 1])
    told = lambda votes: {
        "synthetic": {**parts["synthetic"], "group": group},
        "natural": {**parts["natural"], "votes": votes},
        "generator": seeded(0),
    }
    nobody = lem_losses(system, told(torch.full((4, 1), NO_LABEL)), {"csm"})["csm"]
    right = lem_losses(system, told(group[:, None]), {"csm"})["csm"]
    other = lem_losses(system, told(1 - group[:, None]), {"csm"})["csm"]
    assert nobody == 0 and right > 0 and not torch.isclose(right, other)


def test_a_third_stage_maps_and_the_main_one_does_not():
    config = replace(LEMConfig.tiny(), csm=0.1, map_steps=7, score="codes", labels="votes")
    shapes, main, third = lem_stages(config)
    assert (shapes.name, main.name, third.name, third.steps) == ("shapes", "main", "mapping", 7)
    assert "csm" not in main.weights["encoder"] and "csm" in third.weights["encoder"]
    assert (third.lr, third.batch) == (main.lr, main.batch)
    assert len(lem_stages(replace(config, map_steps=0))) == 2
    assert "csm" in lem_stages(replace(config, map_steps=0))[1].weights["encoder"]
