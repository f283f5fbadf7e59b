"""Single-view 3D reconstruction, taught and implemented in notebooks: from one photograph to a 3D shape.

This file is the list of public names. Nothing is loaded until it is used, so `import svr_nb` costs almost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from svr_nb import cameras, checkpoints, data, losses, metrics, networks, render, shapes, training, viewer, widgets
    from svr_nb.agt.system import AGT
    from svr_nb.checkpoints import load, shipped
    from svr_nb.conventions import CheckpointError, FileError, InputError, SvrError, seeded
    from svr_nb.diagnosis import doctor
    from svr_nb.evaluation import Table, evaluate
    from svr_nb.lem.system import LEM
    from svr_nb.one_photo import reconstruct
    from svr_nb.reconstruction import Reconstruction
    from svr_nb.ssl3d.system import SSL3D
    from svr_nb.stages import Stage
    from svr_nb.tars.system import TARS
    from svr_nb.training import fit
    from svr_nb.umr.system import UMR

_PARTS = ("cameras", "checkpoints", "data", "losses", "metrics", "networks", "render", "shapes", "training", "viewer", "widgets")
_HOMES = {
    "CheckpointError": "conventions", "FileError": "conventions", "InputError": "conventions", "SvrError": "conventions", "seeded": "conventions",
    "Reconstruction": "reconstruction", "reconstruct": "one_photo", "load": "checkpoints", "shipped": "checkpoints",
    "Stage": "stages", "fit": "training", "Table": "evaluation", "evaluate": "evaluation", "doctor": "diagnosis",
    "AGT": "agt.system", "LEM": "lem.system", "SSL3D": "ssl3d.system", "TARS": "tars.system", "UMR": "umr.system",
}
__all__ = [
    "AGT", "CheckpointError", "FileError", "InputError", "LEM", "Reconstruction", "SSL3D", "Stage", "SvrError", "TARS", "Table", "UMR",
    "cameras", "checkpoints", "data", "doctor", "evaluate", "fit", "load", "losses", "metrics", "networks", "reconstruct", "render", "seeded",
    "shapes", "shipped", "training", "viewer", "widgets",
]


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first used."""
    if name in _PARTS:
        return importlib.import_module(f"svr_nb.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'svr_nb' has no attribute {name!r}; public names: {', '.join(__all__)}")
    value = getattr(importlib.import_module(f"svr_nb.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """All public names, for completion."""
    return sorted({*globals(), *__all__})
