"""The systems that the common suite checks: for each one a very small configuration and a few items
to work on.

mypy reads this file: every `small_...` below promises a `System`, which is how the five classes are
compared with the Protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import svr_nb as svr
from svr_nb.data.collection import Collection
from svr_nb.lem.config import drawings, photographs
from svr_nb.training.system import System


@dataclass(frozen=True)
class Entry:
    """name: the system's short name; make: a fresh system of the smallest useful size; data: a
    collection it can train on;
    blind: stages that learn from shapes alone and look at no image."""

    name: str
    make: Callable[[int], System]
    data: Callable[[], Collection]
    category: str
    blind: tuple[str, ...] = ()


@lru_cache
def few_cars() -> Collection:
    return svr.data.samples("car", split="train", count=6, size=32, seed=3)


def small_ssl3d(seed: int = 0) -> System:
    config = replace(svr.SSL3D.Config.tiny(), image_size=32, points=64, steps=6, batch=3)
    return svr.SSL3D(config, seed=seed)


@lru_cache
def few_birds() -> Collection:
    return svr.data.samples("bird", split="train", count=6, size=48, seed=3, part_map=True)


def small_umr(seed: int = 0) -> svr.UMR:
    config = replace(
        svr.UMR.Config.tiny(),
        image_size=32,
        level=1,
        chart=16,
        flow_widths=(16, 8),
        flow_start=16,
        feature=32,
        code=16,
        widths=(8, 16, 32, 32),
        first_steps=3,
        second_steps=4,
        batch=3,
        refresh_second=1,
    )
    return svr.UMR(config, seed=seed)


@lru_cache
def few_drawings() -> Collection:
    """Drawings with shapes, and beside each of them an unlabelled photograph."""
    drawn = drawings(count=6, size=32, seed=3, voxels=16).fields
    seen = photographs(count=6, size=32, seed=3, voxels=0).fields["image"]
    return Collection(
        {**{k: drawn[k] for k in ("image", "mask", "voxels", "category")}, "natural_image": seen}
    )


def small_lem(seed: int = 0) -> System:
    config = replace(
        svr.LEM.Config.tiny(),
        image_size=32,
        voxels=16,
        code=16,
        widths=(8, 8, 16, 16),
        adversary_hidden=(16,),
        attention=True,
        inner=8,
        scales=(1, 2),
        csm=0.01,
        pair_inner=8,
        pair_hidden=8,
        shape_steps=2,
        steps=4,
        batch=3,
        shape_batch=3,
    )
    return svr.LEM(config, seed=seed)


def small_tars(seed: int = 0) -> System:
    config = replace(
        svr.TARS.Config.tiny(),
        image_size=32,
        widths=(8, 8),
        code=12,
        width=12,
        layers=2,
        shape_hidden=(12,),
        deform_hidden=(12,),
        rays=8,
        points=6,
        march_steps=(2, 2),
        bisections=2,
        cells=16,
        sphere_steps=0,
        image_steps=2,
        identity_steps=2,
        deform_steps=2,
        batch=3,
    )
    return svr.TARS(config, seed=seed)


def small_agt(seed: int = 0) -> System:
    umr = small_umr().config
    config = svr.AGT.Config.of(
        umr,
        texture_steps=3,
        texture_lr=1e-3,
        variance="unrolled",
        var_forward="modulated",
        var_widths=(8, 8),
        var_start=8,
        fid_features="tiny",
        bank=6,
        critic_widths=(4, 8),
    )
    return svr.AGT(config, seed=seed)


SYSTEMS = [
    Entry("ssl3d", small_ssl3d, few_cars, "car"),
    Entry("umr", small_umr, few_birds, "bird"),
    Entry("agt", small_agt, few_birds, "bird"),
    Entry("lem", small_lem, few_drawings, "furniture", blind=("shapes",)),
    Entry("tars", small_tars, few_cars, "car", blind=("dump", "identity")),
]
