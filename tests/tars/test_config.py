"""The presets hold the paper's numbers, and the stages come in the paper's order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from svr_nb.conventions import InputError
from svr_nb.tars.config import TARSConfig, curriculum, late, stage_weights


def test_shapenet():
    c = TARSConfig.paper()
    assert c.pretrained and not c.augment and TARSConfig.paper("cub", "bird").augment
    assert {s.name: s.batch for s in curriculum(c)} == {
        "sphere": 1,
        "image": 16,
        "dump": 16,
        "identity": 1,
        "deform": 16,
    }
    assert (c.image_size, c.code, c.width, c.layers, c.features, c.lstm, c.rays, c.batch, c.lr) == (
        64,
        512,
        128,
        4,
        4,
        32,
        1024,
        16,
        1e-4,
    )
    assert (
        c.march_steps == (10, 10)
        and c.depth_range == (2.0, 3.5)
        and c.radius == 0.5
        and c.feature_dropout == 0.5
    )
    assert stage_weights(c, 0) == {"rgb": 1, "int": 3, "free": 0.1, "silh": 1, "eik": 0.01}
    assert stage_weights(c, 1) == {
        "rgb": 1,
        "int": 1,
        "free": 0.1,
        "silh": 3,
        "eik": 0.1,
        "def": 0.01,
    }
    assert (
        stage_weights(TARSConfig.paper("shapenet", "aeroplane"), 1)["silh"] == 1
        and stage_weights(TARSConfig.paper("shapenet", "car"), 1)["int"] == 3
    )


def test_the_others():
    cub, chair, car, pix = (
        TARSConfig.paper(*n)
        for n in (("cub", "bird"), ("pascal3d", "chair"), ("pascal3d", "car"), ("pix3d", "chair"))
    )
    assert (cub.rays, cub.march_steps, cub.code, cub.width) == (
        2048,
        (20, 20),
        256,
        64,
    ) and stage_weights(cub, 1) == {
        "rgb": 5,
        "int": 3,
        "free": 0.1,
        "silh": 3,
        "eik": 1,
        "def": 0.1,
    }
    assert (
        stage_weights(chair, 1)["eik"] == 0.1
        and stage_weights(car, 1)["eik"] == 1
        and stage_weights(chair, 1)["rgb"] == 10
        and stage_weights(car, 1)["rgb"] == 1
    )
    assert (
        chair.icp
        and chair.march_steps == (10, 20)
        and "mirror" not in stage_weights(chair, 1)
        and stage_weights(pix, 1)["mirror"] == 1
    )


def test_order_of_stages():
    c = TARSConfig.glimpse()
    assert [s.name for s in curriculum(TARSConfig.tiny())] == [
        "sphere",
        "image",
        "dump",
        "deform",
    ] and curriculum(TARSConfig.tiny())[-1].lr == 1e-3
    assert [s.name for s in curriculum(c)] == ["sphere", "image", "dump", "identity", "deform"]
    assert [s.name for s in curriculum(replace(c, image_steps=0, sphere_steps=0))] == [
        "identity",
        "deform",
    ]
    assert (
        "def" not in curriculum(c)[1].weights["all"] and "def" in curriculum(c)[-1].weights["all"]
    )
    assert (
        "normal" in curriculum(TARSConfig.paper())[3].weights["all"]
        and next(s for s in curriculum(c) if s.name == "dump").lr == 0
    )


def test_rate():
    assert (
        curriculum(TARSConfig.tiny())[1].rate("all", 4000) < 1e-9
        and curriculum(TARSConfig.tiny())[1].clip == 1
        and curriculum(TARSConfig.paper())[1].clip is None
    )
    assert late(0, 100) == late(60, 100) == 1 and abs(late(100, 100) - 0.1) < 1e-9


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": "vit"},
        {"marching": "tracing"},
        {"eikonal_space": "3d"},
        {"smoothness": "l2"},
        {"identity": "cube"},
    ],
)
def test_refusals(change):
    with pytest.raises(InputError, match=next(iter(change))):
        replace(TARSConfig.tiny(), **change)


def test_unknown_presets():
    for wrong in (("imagenet", "chair"), ("shapenet", "horse")):
        with pytest.raises(InputError):
            TARSConfig.paper(*wrong)
