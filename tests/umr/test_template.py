"""The M-step for shapes: who counts, the update, and what follows from it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

from svr_nb.conventions import InputError, seeded
from svr_nb.shapes.mesh import Mesh
from svr_nb.shapes.uv import symmetric_sphere
from svr_nb.umr.template import Template, choose_consistent, first_template, template_update

SPHERE = symmetric_sphere(2).mesh


def bars(*columns: tuple[int, int]) -> torch.Tensor:
    """Masks of 16 x 16 with a vertical bar each."""
    masks = torch.zeros(len(columns), 1, 16, 16)
    for mask, (low, high) in zip(masks, columns):
        mask[..., low:high] = 1
    return masks


# who counts
# ----------------------------------------------------------------------------------------------------------
def test_exemplar_fits_its_own_mask_and_the_others_look_like_the_exemplar():
    rendered, mask = bars((0, 4), (2, 8), (9, 14), (2, 7)), bars((0, 8), (2, 8), (2, 8), (9, 16))
    assert choose_consistent(rendered, mask, 4).tolist() == [1, 3, 0, 2]
    assert choose_consistent(rendered, mask, 1).tolist() == [1]


def test_usual_count():
    some, many = bars(*[(0, 4)] * 10), bars(*[(0, 4)] * 1000)
    assert len(choose_consistent(some, some)) == 10 and len(choose_consistent(many, many)) == 50
    assert len(choose_consistent(many[:100], many[:100])) == 32


@settings(max_examples=15, derandomize=True, deadline=None)
@given(st.integers(0, 500), st.integers(1, 7))
def test_no_sample_counts_twice_and_the_exemplar_leads(seed: int, count: int):
    rendered, mask = torch.rand(2, 7, 1, 6, 6, generator=seeded(seed)).round()
    chosen, everybody = (
        choose_consistent(rendered, mask, count),
        choose_consistent(rendered, mask, 7),
    )
    assert len(set(chosen.tolist())) == count and torch.equal(everybody[:count], chosen)
    overlap = (rendered * mask).flatten(1).sum(1) / (rendered + mask - rendered * mask).flatten(
        1
    ).sum(1).clamp(min=1)
    assert float(overlap[chosen[0]]) == pytest.approx(float(overlap.max()))


def test_choosing_refuses_bad_input():
    masks = bars((0, 4), (2, 8))
    for rendered, mask, count in (
        (masks, masks[:1], 1),
        (masks, masks, 0),
        (masks, masks, 3),
        (masks * float("nan"), masks, 1),
        (masks[:0], masks[:0], 1),
    ):
        with pytest.raises(InputError):
            choose_consistent(rendered, mask, count)


# the update
# ----------------------------------------------------------------------------------------------------------
def linear(code: torch.Tensor) -> torch.Tensor:
    """A decoder whose first number moves all vertices along x."""
    return torch.zeros(1, len(SPHERE.verts), 3) + code[:, None, :1] * torch.tensor([1.0, 0, 0])


def test_update_decodes_the_mean_code_of_the_chosen():
    codes = torch.tensor([[0.02, 9.0], [0.06, 9.0], [5.0, 9.0]])
    moved = template_update(linear, codes, torch.tensor([0, 1]))
    assert (
        torch.allclose(moved, torch.tensor([0.04, 0, 0]).expand_as(moved))
        and moved.shape == SPHERE.verts.shape
    )


def test_update_is_capped_in_length_and_keeps_its_direction():
    codes = torch.tensor([[3.0]])
    assert float(
        template_update(linear, codes, torch.tensor([0])).norm(dim=-1).mean()
    ) == pytest.approx(0.1)
    assert torch.allclose(
        template_update(linear, codes, torch.tensor([0]), None)[:, 0], torch.tensor(3.0)
    )
    assert torch.equal(
        template_update(linear, codes * 0, torch.tensor([0])), torch.zeros_like(SPHERE.verts)
    )


def test_update_carries_no_gradient():
    codes = torch.tensor([[0.05]], requires_grad=True)
    assert not template_update(linear, codes, torch.tensor([0])).requires_grad


def test_update_leaves_the_decoders_answer_alone():
    answer = torch.full((1, 5, 3), 2.0)
    template_update(lambda code: answer, torch.zeros(1, 1), torch.tensor([0]))
    assert bool((answer == 2.0).all())


def test_update_refuses_bad_input():
    codes, first = torch.zeros(2, 1), torch.tensor([0])
    for decode, some, chosen, cap in (
        (linear, codes, torch.tensor([2]), 0.1),
        (linear, codes, torch.tensor([0.0]), 0.1),
        (linear, codes, first[:0], 0.1),
        (linear, codes, first, 0.0),
        (linear, codes * float("nan"), first, 0.1),
        (lambda code: linear(code)[0], codes, first, 0.1),
        (lambda code: linear(code) / 0 * 0, codes, first, 0.1),
    ):
        with pytest.raises(InputError):
            template_update(decode, some, chosen, cap)


# the template
# --------------------------------------------------------------------------------------------------------
def test_first_template_is_a_sphere_without_parts():
    template = first_template(SPHERE, 0.3)
    assert (
        torch.allclose(template.verts.norm(dim=-1), torch.full((162,), 0.3))
        and template.updates == 0
    )
    assert not template.part_labels.any() and isinstance(template.mesh(), Mesh)
    with pytest.raises(InputError, match="radius"):
        first_template(SPHERE, 0.0)


def naive_laplacian(template: Template) -> torch.Tensor:
    """Each vertex less the mean of its neighbours, one vertex at a time."""
    around: list[set[int]] = [set() for _ in template.verts]
    for a, b, c in template.sphere.faces.tolist():
        around[a] |= {b, c}
        around[b] |= {a, c}
        around[c] |= {a, b}
    return torch.stack(
        [v - template.verts[sorted(near)].mean(0) for v, near in zip(template.verts, around)]
    )


def test_everything_follows_the_update():
    template = first_template(SPHERE)
    moved = template.updated(0.05 * torch.randn(162, 3, generator=seeded(3)) * SPHERE.verts)
    assert moved.updates == 1 and torch.allclose(moved.laplacian, naive_laplacian(moved), atol=1e-6)
    assert not torch.allclose(moved.laplacian, template.laplacian, atol=1e-3) and torch.equal(
        moved.sphere.verts, SPHERE.verts
    )


def test_labels_come_from_the_map_and_stay_without_one():
    chart = torch.zeros(3, 16, 32)
    chart[1, :8], chart[2, 8:] = 1, 1
    labelled = first_template(SPHERE).updated(torch.zeros(162, 3), chart)
    height = SPHERE.verts[:, 1]
    assert bool((labelled.part_labels[height > 0.3] == 1).all()) and bool(
        (labelled.part_labels[height < -0.3] == 2).all()
    )
    again = labelled.updated(torch.zeros(162, 3))
    assert torch.equal(again.part_labels, labelled.part_labels) and again.updates == 2


def test_a_surface_turned_inside_out_is_refused():
    template = first_template(SPHERE)
    with pytest.raises(InputError, match="faces outwards"):
        template.updated(-2 * template.verts)
    for bad in (torch.zeros(161, 3), torch.full((162, 3), float("inf"))):
        with pytest.raises(InputError, match="offsets"):
            template.updated(bad)
