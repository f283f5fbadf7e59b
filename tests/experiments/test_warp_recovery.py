"""The 2D proxy: its task, its maps, its descent and its command."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from svr_nb.agt.adaptive_sampling import bilinear_sample
from svr_nb.agt.flow_map import MapNet
from svr_nb.experiments.runner import main, run
from svr_nb.experiments.warp_recovery import (
    EXPERIMENT,
    MAPS,
    WAYS,
    WarpConfig,
    experiment,
    map_for,
    map_loss,
    photographs,
    recover,
    recovery_scores,
    recovery_table,
    smooth_warp,
    train_map,
    warp_task,
)
from svr_nb.conventions import InputError, seeded
from svr_nb.shapes.images import save_image

SMALL = WarpConfig(
    size=32, points=80, steps=20, hold=5, width=8, train_steps=6, batch=3, train=4, test=2
)


def pictures(count=4, size=32, seed=0):
    coarse = torch.rand(count, 3, 6, 6, generator=seeded(seed))
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1)


def task(seed=1, count=3):
    return warp_task(pictures(count), SMALL, seeded(seed))


def test_warp_has_the_wanted_length_and_is_smooth():
    warp = smooth_warp(5, 32, 8.0, seeded(0))
    assert torch.allclose(warp.norm(dim=1).mean((1, 2)), torch.full((5,), 8.0), atol=1e-4)
    assert float(warp.diff(dim=3).abs().mean()) < 1.5


def test_home_is_home_and_colours_are_those_of_home():
    t = task()
    scores = recovery_scores(t, t.home)
    assert scores["home"] == scores["right colour"] == 1 and torch.allclose(
        t.target, bilinear_sample(t.image, t.home).color
    )
    assert recovery_scores(t, t.start)["home"] < 0.3
    spread = (t.label - t.home).std()
    assert 1.7 < float(spread) < 2.3


@pytest.mark.parametrize("labels", [True, False])
def test_fresh_net_changes_nothing_and_only_labels_differ(labels):
    t, net = task(), MapNet(8, labels=labels)
    assert bool((map_for(net, t, t.start).multiply == 1).all())
    torch.nn.init.normal_(net.last.weight, generator=seeded(0))
    moved = replace(t, label=t.label + 5)
    assert (
        torch.equal(map_for(net, t, t.start).multiply, map_for(net, moved, t.start).multiply)
        != labels
    )


@pytest.mark.parametrize("kind", ["joint", "unrolled"])
def test_both_goals_teach_the_net(kind):
    t, net = task(), MapNet(8)
    loss, after = map_loss(t, t.start, map_for(net, t, t.start), kind, SMALL)
    loss.backward()
    assert net.last.weight.grad.abs().sum() > 0 and not after.requires_grad


def test_unrolled_goal_by_hand():
    t, net = task(), MapNet(8)
    loss, after = map_loss(t, t.start, map_for(net, t, t.start), "unrolled", SMALL)
    nearer = ((after - t.label).norm(dim=-1) - (t.start - t.label).norm(dim=-1)).mean() / (
        after - t.start
    ).norm(dim=-1).mean()
    assert torch.allclose(loss, nearer)


def test_descent_lowers_the_colour_error():
    t = task()
    for optimizer in ("SGD", "Adam"):
        trail = recover(t, SMALL, optimizer=optimizer)
        error = [
            float((bilinear_sample(t.image, at).color - t.target).square().mean())
            for at in (trail[0], trail[-1])
        ]
        assert len(trail) == 5 and torch.equal(trail[0], t.start) and error[1] < error[0]


def test_pull_brings_points_to_their_labels():
    t = task()
    far = [
        float((recover(t, replace(SMALL, pull=0.2), pull=pull)[-1] - t.label).norm(dim=-1).mean())
        for pull in (False, True)
    ]
    assert far[1] < far[0] / 1.5


def test_training_repeats_and_maps_help_on_new_pictures():
    a, b = (train_map(pictures(), SMALL, "unrolled", seed=3) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))
    longer = replace(SMALL, train_steps=80, steps=60, width=16, batch=6)
    net, t = (
        train_map(pictures(16), longer, "unrolled"),
        warp_task(pictures(6, seed=9), replace(longer, points=300), seeded(2)),
    )
    far = {
        kind: float((recover(t, longer, kind, net)[-1] - t.home).norm(dim=-1).mean())
        for kind in ("off", "unrolled")
    }
    assert far["unrolled"] < far["off"]


def test_command_writes_rows_and_prints_the_table(tmp_path, capsys, monkeypatch):
    import svr_nb.experiments.warp_recovery as module

    for i, picture in enumerate(pictures(6, 40)):
        save_image(picture, tmp_path / f"{i}.png")
    monkeypatch.setattr(module, "WarpConfig", lambda: SMALL)
    main(
        EXPERIMENT,
        [
            "--seeds",
            "1",
            "--photos",
            str(tmp_path),
            "--out",
            str(tmp_path / "rows.json"),
            "--steps",
            "2",
        ],
    )
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert len(rows) == 2 + 4 * len(MAPS) and "home" in capsys.readouterr().out
    assert recovery_table(rows)["map"][:2] == ["level: start", "level: rough label"]


def test_photographs_are_disjoint_and_square(tmp_path):
    for i, picture in enumerate(pictures(5, 40)):
        save_image(picture[:, :, :30], tmp_path / f"{i}.png")
    found = photographs(tmp_path, 5, 32, seed=1)
    assert found.shape == (5, 3, 32, 32) and len({float(p.sum()) for p in found}) == 5
    with pytest.raises(InputError, match="folder"):
        photographs(tmp_path, 6, 32)


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: recover(task(), SMALL, "sharpened"), "kind"),
        (lambda: recover(task(), SMALL, "joint"), "net"),
        (lambda: recover(task(), SMALL, optimizer="LBFGS"), "optimizer"),
        (lambda: train_map(pictures(), SMALL, "off"), "kind"),
        (lambda: warp_task(torch.zeros(1, 3, 8, 9), SMALL, seeded(0)), "image"),
        (lambda: smooth_warp(1, 8, -1.0, seeded(0)), "shift"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(InputError, match=name):
        call()


def test_rows_of_a_seed_share_one_network_per_map(monkeypatch):
    import svr_nb.experiments.warp_recovery as module

    taught = []
    real = module.train_map
    monkeypatch.setattr(module, "train_map", lambda *given: taught.append(given[2]) or real(*given))
    photos = torch.cat([pictures(4), pictures(2, seed=5)])
    names = [name for name, way in WAYS.items() if way["map"] in ("off", "joint")]
    rows = run(experiment(lambda seed: photos, SMALL), names, seeds=[1], progress=False)
    assert taught == ["joint"] and len(rows) == 2 + 8
    assert [(r["map"], r.get("optimizer"), r.get("pull")) for r in rows[2:4]] == [
        ("off", "SGD", False),
        ("off", "SGD", True),
    ]


def test_a_run_that_was_cut_off_goes_on(tmp_path):
    photos = torch.cat([pictures(4), pictures(2, seed=5)])
    quick, out = experiment(lambda seed: photos, SMALL), tmp_path / "rows.json"
    first = run(quick, list(WAYS)[:9], seeds=[1], out=out, progress=False)
    again = run(quick, list(WAYS)[:10], seeds=[1], out=out, progress=False)
    whole = run(quick, list(WAYS)[:10], seeds=[1], progress=False)
    strip = lambda rows: [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    assert again[:-1] == first and strip(again) == strip(whole)
