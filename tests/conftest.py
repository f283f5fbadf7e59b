"""What every test may use: repeatable chance, optional real data, markers that skip where hardware
is missing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from svr_nb.conventions import seeded

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=25)
settings.load_profile("repeatable")
torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]
REAL_DATA = Path(os.environ.get("SVR_REAL_DATA") or ROOT.parent / "shared" / "data")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips `cuda` tests without a device."""
    if torch.cuda.is_available():
        return
    for item in items:
        if "cuda" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files stay together, for their fixtures; whole notebooks, which share none and take long, go
    to whichever worker is free.
    """
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if "test_every_notebook" in nodeid else super()._split_scope(nodeid)

    return ByFile(config, log)


@pytest.fixture
def generator() -> torch.Generator:
    """A fresh generator, the same for every test."""
    return seeded(2026)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real photographs and meshes; SVR_REAL_DATA names it. The test skips where there is
    none.
    """
    if not REAL_DATA.is_dir():
        pytest.skip("no real data here (set SVR_REAL_DATA to a folder of it)")
    return REAL_DATA
