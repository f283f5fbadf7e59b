"""The modules that build the site, for the tests; they live in docs/, outside of the library."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("latex2mathml", reason="the site's packages are not installed ([docs])")
for folder in ("docs", ".ci"):
    if str(ROOT / folder) not in sys.path:
        sys.path.append(str(ROOT / folder))
sys.modules.pop("notebooks", None)
