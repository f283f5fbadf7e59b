"""The page of the networks that ship: their cards, a contact sheet each, and their files.

python docs/models.py          draws the contact sheets (two minutes)
python docs/models.py umr-bird ...    these only
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import views
from site_map import ROOT

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINTS = ROOT / "svr_nb" / "checkpoints"
SHEETS = ROOT / "docs" / "_static" / "models"
MARKS = SHEETS / "marks.json"
SIDE = 150  # of every picture on a sheet, pixels


def cards() -> list[Path]:
    """Folders of the networks, by name."""
    return sorted(path.parent for path in CHECKPOINTS.glob("*/README.md"))


def page() -> str:
    """The page in MyST."""
    lines = [
        "# Networks that ship",
        "",
        f"> {len(cards())} small networks come with the library. What each learned from, its "
        "scores, what it gets wrong, and its files.",
        "",
        "`svr.shipped()` lists them, `svr.load(system, category)` loads one, and "
        "`svr.reconstruct(picture, system=…, category=…)` does so by itself. Each sheet shows four "
        "test pictures that the network has not seen and what it makes of them, from the picture's "
        "own view, from 60 and from 150 degrees.",
        "",
    ]
    for folder in cards():
        lines += card(folder)
    return "\n".join(lines) + "\n"


def card(folder: Path) -> list[str]:
    """The section of one network."""
    text = (folder / "README.md").read_text(encoding="utf-8").split("---", 2)[2]
    body = text.split("```python")[0].strip()
    title, _, prose = body.partition("\n")
    prose = re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", prose)
    sheet = SHEETS / f"{folder.name}.webp"
    name = title.lstrip("# ")
    system, _, category = folder.name.partition("-")
    lines = [f"## {name}", "", prose.strip(), ""]
    if sheet.exists():
        alt = f"{name}: four pictures and their reconstructions"
        lines += [f"![{alt}](/_static/models/{sheet.name})", ""]
    weights = (folder / "model.safetensors").stat().st_size / 1e6
    files = [
        f'<a href="models/{folder.name}/model.safetensors" download>weights ({weights:.1f} MB)</a>',
        f'<a href="models/{folder.name}/config.json" download>settings</a>',
        f'<a href="models/{folder.name}/README.md" download>card</a>',
    ]
    call = f'svr.load("{system}", "{category}")'
    return [*lines, f"`{call}` · {' · '.join(files)}", ""]


def copy_files(folder: Path) -> None:
    """Puts the networks' files beside the pages."""
    for source in cards():
        target = folder / source.name
        target.mkdir(parents=True, exist_ok=True)
        for file in source.iterdir():
            there = target / file.name
            if not there.exists() or there.stat().st_mtime < file.stat().st_mtime:
                shutil.copy2(file, there)


def mark(folder: Path) -> str:
    """The network that a sheet was drawn with, in a word."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:16]


def behind() -> list[str]:
    """Networks whose sheet is missing or was drawn with other weights."""
    known = json.loads(MARKS.read_text()) if MARKS.exists() else {}
    return [folder.name for folder in cards() if known.get(folder.name) != mark(folder)]


def small(image: Tensor) -> Tensor:
    """A picture (3, h, w) as large as the drawings beside it."""
    from torch.nn.functional import interpolate

    return interpolate(image[None], (SIDE, SIDE), mode="bilinear", antialias=True)[0].clamp(0, 1)


def draw() -> None:
    """Draws what the pages show of the networks."""
    import svr_nb as svr
    from svr_nb.view import sheet

    SHEETS.mkdir(parents=True, exist_ok=True)

    asked = sys.argv[1:]
    marks = json.loads(MARKS.read_text()) if MARKS.exists() else {}
    for folder in [card for card in cards() if not asked or card.name in asked]:
        system, _, category = folder.name.partition("-")
        rows = {}
        # LEM knows pictures of its own world alone; these are its first four.
        kind = "photograph" if category == "object" else category
        for seed in range(4):
            given = views.item(kind, seed)
            options = {"system": system, "category": category}
            result = svr.reconstruct(given["image"], given["mask"], **options)
            rows[f"{kind} {seed}"] = {
                "photograph": small(given["image"]),
                "its own view": result.render(size=SIDE),
                "60 degrees": result.render(azimuth=60, elevation=20, size=SIDE),
                "150 degrees": result.render(azimuth=150, elevation=20, size=SIDE),
            }
        drawn = sheet(rows, size=SIDE)
        drawn.image.convert("RGB").save(SHEETS / f"{folder.name}.webp", quality=80, method=6)
        marks[folder.name] = mark(folder)
        MARKS.write_text(json.dumps(marks, indent=1, sort_keys=True) + "\n")
        print(folder.name)


if __name__ == "__main__":
    sys.exit(draw())
