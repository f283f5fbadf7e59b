"""The tools of the course are no part of the library: they stand beside the assignments."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "nbs" / "assignments"))
