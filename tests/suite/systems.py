"""The systems that the common suite checks: for each one a very small configuration and a few items to work on."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import svr_nb as svr


@dataclass(frozen=True)
class Entry:
    """name: the system's short name; make: a fresh system of the smallest useful size; data: a collection it can train on."""

    name: str
    make: Callable[[int], Any]
    data: Callable[[], Any]
    category: str


@lru_cache
def few_cars():
    return svr.data.samples("car", split="train", count=6, size=32, seed=3)


def small_ssl3d(seed: int = 0):
    config = replace(svr.SSL3D.Config.tiny(), image_size=32, points=64, steps=6, batch=3)
    return svr.SSL3D(config, seed=seed)


def small_tars(seed: int = 0):
    config = replace(svr.TARS.Config.tiny(), image_size=32, widths=(8, 8), code=12, width=12, layers=2, shape_hidden=(12,), deform_hidden=(12,), rays=8,
                     points=6, march_steps=(2, 2), bisections=2, cells=16, sphere_steps=0, image_steps=2, identity_steps=2, deform_steps=2, batch=3)
    return svr.TARS(config, seed=seed)


SYSTEMS = [Entry("ssl3d", small_ssl3d, few_cars, "car"), Entry("tars", small_tars, few_cars, "car")]
