"""What stands where on the site: its parts in order, the pages in front, where the code lives."""

from __future__ import annotations

import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".ci"))

settings = ConfigParser(delimiters=["="])
settings.read(ROOT / "settings.ini", encoding="utf-8")
SETTINGS = settings["DEFAULT"]
REPOSITORY, BRANCH = SETTINGS["git_url"], SETTINGS["branch"]
VERSION = SETTINGS["version"]

# The six components that the book exists to teach, in the order of their numbers.
COMPONENTS = (
    "ssl3d.cycle_consistency",
    "umr.semantic_uv",
    "agt.adaptive_sampling",
    "tars.deformation",
    "lem.spatial_attention",
    "lem.contrastive_mapping",
)
PAPERS = {
    "ssl3d": "From Image Collections to Point Clouds with Self-supervised Shape and Pose Networks",
    "umr": "Self-supervised Single-view 3D Reconstruction via Semantic Consistency",
    "agt": "Using Adaptive Gradient for Texture Learning in Single-View 3D Reconstruction",
    "tars": "Topologically-Aware Deformation Fields for Single-View 3D Reconstruction",
    "lem": "Look, Evolve and Mold: Learning 3D Shape Manifold via Single-view Synthetic Data",
}
SYSTEMS = tuple(PAPERS)
# The workshop behind: parts that the systems are built from.
WORKSHOP = (
    "shapes",
    "cameras",
    "render",
    "view",
    "data",
    "losses",
    "scores",
    "networks",
    "training",
    "result",
    "app",
    "experiments",
    "former_names",
)
LEARN = ("lessons", "assignments")
