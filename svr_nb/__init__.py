"""Single-view 3D reconstruction, taught in notebooks: from one photograph to a 3D shape.

This file is the list of public names. Nothing is loaded until it is used, so `import svr_nb`
costs almost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from svr_nb.former_names import FORMER, keep_former_names

__version__ = "0.1.0"

if TYPE_CHECKING:
    from svr_nb import (
        cameras,
        data,
        losses,
        networks,
        render,
        result,
        scores,
        shapes,
        training,
        view,
    )
    from svr_nb.agt.system import AGT
    from svr_nb.app.diagnosis import doctor
    from svr_nb.app.one_photo import reconstruct
    from svr_nb.conventions import CheckpointError, FileError, InputError, SvrError, seeded
    from svr_nb.lem.system import LEM
    from svr_nb.result.reconstruction import Reconstruction
    from svr_nb.scores import metrics
    from svr_nb.scores.tables import Table, evaluate
    from svr_nb.ssl3d.system import SSL3D
    from svr_nb.tars.system import TARS
    from svr_nb.training.loop import fit
    from svr_nb.training.stages import Stage
    from svr_nb.training.system import load, shipped
    from svr_nb.umr.system import UMR

_PARTS = {
    "cameras": "cameras",
    "data": "data",
    "losses": "losses",
    "metrics": "scores.metrics",
    "networks": "networks",
    "render": "render",
    "result": "result",
    "scores": "scores",
    "shapes": "shapes",
    "training": "training",
    "view": "view",
}
_HOMES = {
    "AGT": "agt.system",
    "CheckpointError": "conventions",
    "FileError": "conventions",
    "InputError": "conventions",
    "LEM": "lem.system",
    "Reconstruction": "result.reconstruction",
    "SSL3D": "ssl3d.system",
    "Stage": "training.stages",
    "SvrError": "conventions",
    "TARS": "tars.system",
    "Table": "scores.tables",
    "UMR": "umr.system",
    "doctor": "app.diagnosis",
    "evaluate": "scores.tables",
    "fit": "training.loop",
    "load": "training.system",
    "reconstruct": "app.one_photo",
    "seeded": "conventions",
    "shipped": "training.system",
}
__all__ = [
    "AGT",
    "CheckpointError",
    "FileError",
    "InputError",
    "LEM",
    "Reconstruction",
    "SSL3D",
    "Stage",
    "SvrError",
    "TARS",
    "Table",
    "UMR",
    "cameras",
    "data",
    "doctor",
    "evaluate",
    "fit",
    "load",
    "losses",
    "metrics",
    "networks",
    "reconstruct",
    "render",
    "result",
    "scores",
    "seeded",
    "shapes",
    "shipped",
    "training",
    "view",
]


keep_former_names()


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first used."""
    if name in FORMER:
        return importlib.import_module(f"svr_nb.{name}")
    if name in _PARTS:
        return importlib.import_module(f"svr_nb.{_PARTS[name]}")
    if name not in _HOMES:
        listed = ", ".join(__all__)
        raise AttributeError(f"module 'svr_nb' has no attribute {name!r}; public names: {listed}")
    value = getattr(importlib.import_module(f"svr_nb.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """All public names, for completion."""
    return sorted({*globals(), *__all__})
