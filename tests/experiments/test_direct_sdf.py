"""Chairs with true distances: data, probes, codes for the unseen, scores."""

import json
from dataclasses import replace

import pytest
import torch

from svr_nb.conventions import InputError, seeded
from svr_nb.data.sample_shapes import sample_shape
from svr_nb.experiments.direct_sdf import (
    ARMS,
    EXPERIMENT,
    GAIN,
    SIZE,
    TOPOLOGY,
    DirectConfig,
    DirectTARS,
    LearnAndTest,
    chairs,
    correction_size,
    direct_table,
    draw_points,
    experiment,
    fit_codes,
    probes,
    topology_scores,
    train_direct,
)

from svr_nb.experiments.runner import main, run


@pytest.fixture(scope="module")
def few():
    return chairs(6, 3, points=400)


@pytest.fixture(scope="module")
def net(few):
    return train_direct(few, DirectConfig(steps=6, fit_steps=5), seed=1)


def test_items_depend_on_the_seed_and_their_number(few):
    again = chairs(2, 3, first=4, points=400)
    assert torch.equal(again.x, few.x[4:]) and torch.equal(again.sdf, few.sdf[4:])
    assert not torch.equal(chairs(2, 4, points=400).x, few.x[:2])


def test_distances_belong_to_the_shape(few):
    assert float(few.sdf[0].sub(SIZE * few.shapes[0].sdf(few.x[0] / SIZE)).abs().max()) < 1e-6
    nearest = torch.stack([torch.cdist(x, y).amin(1) for x, y in zip(few.x, few.surface)])
    # Triangles of round parts stand out a little from the solid, so the bound is not exact to the
    # last digit.
    assert (
        bool((few.sdf.abs() <= nearest + 5e-3).all())
        and bool((few.sdf < 0).any())
        and bool((few.sdf > 0).any())
    )


def test_probes_of_the_true_shapes_are_right():
    many = [sample_shape("chair", seeded(seed, 141, i)) for seed in (1, 2) for i in range(80)]
    found = topology_scores(many, lambda i, x: SIZE * many[i].sdf(x / SIZE))
    assert set(found) == set(TOPOLOGY) and set(found.values()) == {1.0}
    blind = topology_scores(many, lambda i, x: torch.ones(len(x)))
    assert (
        blind["none arms right"] == 1
        and blind["open arms right"] == 0
        and blind["arm openings open"] == 1
    )
    assert {x.shape[-1] for x in probes(many[0]).values()} == {3}


def test_drawn_points_are_stored_ones(few):
    x, true = draw_points(few, torch.tensor([2]), 20, seeded(0))
    where = torch.cdist(x[0], few.x[2]).argmin(1)
    assert torch.equal(few.sdf[2][where], true[0])


def test_training_lowers_the_error_and_repeats(few):
    error = lambda n: float((n(n.codes, few.x)[0].detach() - few.sdf).abs().mean())
    a, b = (train_direct(few, DirectConfig(steps=40), seed=2) for _ in range(2))
    assert error(a) == error(b) < error(DirectTARS(6, DirectConfig(), seed=2))


def test_fitting_moves_codes_only(few, net):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    codes = fit_codes(net, few)
    assert (
        codes.shape == net.codes.shape
        and float((codes - net.codes.mean(0)).detach().abs().max()) > 0
    )
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items()) and all(
        p.requires_grad for p in net.parameters()
    )


def test_rows_tables_and_the_command(few, tmp_path, capsys):
    quick = replace(experiment(steps=(2, 2)), data=lambda seed: LearnAndTest(few, few))
    rows = run(quick, seeds=[1], progress=False)
    assert [row["arm"] for row in rows] == [arm.name for arm in ARMS]
    assert all(
        row["excess"] == pytest.approx(row["Chamfer x10"] - row["floor"]) and 0 <= row["folds"] <= 1
        for row in rows
    )
    assert len(direct_table(rows).rows) == len(ARMS)
    out = tmp_path / "rows.json"
    call = ["--seeds", "1", "--out", str(out), "--shapes", "3", "2", "--steps", "2", "2"]
    main(EXPERIMENT, call)
    kept = json.loads(out.read_text())
    main(EXPERIMENT, call)
    assert (
        json.loads(out.read_text()) == kept
        and [r["arm"] for r in kept] == ["k = 0", "k = 4"]
        and "k = 4" in capsys.readouterr().out
    )
    main(EXPERIMENT, [*call[:-2], "3", "2", "--features", "0"])
    assert [(r["arm"], r["steps"]) for r in json.loads(out.read_text())] == [
        ("k = 0", [2, 2]),
        ("k = 4", [2, 2]),
        ("k = 0", [3, 2]),
    ]


def test_wrong_arguments_are_named(few):
    with pytest.raises(InputError, match="arm"):
        run(EXPERIMENT, ["k = 9"])
    with pytest.raises(InputError, match="count"):
        chairs(0, 1)


def test_a_correction_is_added_to_the_distance_and_f_is_not_told(few):
    net = DirectTARS(3, DirectConfig(features=1, correction=True, spread=1.0), seed=1)
    x = few.x[:2, :50]
    said = net.deform(net.deform.write(net.codes[:2]), x)
    plain, place = net(net.codes[:2], x, 0.0)
    assert net.told == 0
    assert torch.equal(plain, net.sdf(place, x[..., :0]))
    corrected = plain + GAIN * said.feature[..., 0]
    assert torch.allclose(net(net.codes[:2], x)[0], corrected, atol=1e-6)
    size = correction_size(net, net.deform.write(net.codes[:2]), x)
    assert torch.allclose(size, GAIN * said.feature.abs().mean())


def test_point_features_are_no_correction(few):
    net = DirectTARS(3, DirectConfig(), seed=1)
    assert net.told == 4
    assert float(correction_size(net, net.deform.write(net.codes[:2]), few.x[:2, :9]).detach()) == 0
