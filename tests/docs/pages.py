"""The modules that build the site, for the tests; they live in docs/, outside of the library. All but
the converter of formulas do without the packages of the site, so most of these tests run anywhere.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
for folder in ("docs", ".ci"):
    if str(ROOT / folder) not in sys.path:
        sys.path.append(str(ROOT / folder))
sys.modules.pop("notebooks", None)


def converter() -> ModuleType:
    """The module that makes MathML; skips the test where the site's packages are not installed."""
    for package in ("sphinx", "latex2mathml"):
        pytest.importorskip(package, reason="the site's packages are not installed ([docs])")
    import mathml

    return mathml
