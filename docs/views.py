"""Shapes that turn on the pages: the picture on the first page, and one on each component's page.

python docs/views.py    draws them into _docs/views (half a minute)

They are results of the networks that ship, for procedural pictures that those have not seen.
`docs/build.py` draws them again when the library or a network changes, and otherwise copies them.
"""

from __future__ import annotations

import hashlib
import html
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from site_map import ROOT

if TYPE_CHECKING:
    from svr_nb.shapes.mesh import Mesh

HERO = "index"
SIDE, FACES = 300, 20_000


class View(NamedTuple):
    """A picture and what a network makes of it.

    system, category: of the network.
    kind, seed: of the picture; of LEM's own world, "photograph" and its number.
    form: which attribute of the result is shown.
    azimuth: from where the shape is seen first, degrees; None for the camera that the system finds.
    alt: the picture in words.
    said: the line under the shape.
    """

    system: str
    category: str
    kind: str
    seed: int
    form: str
    azimuth: float | None
    alt: str
    said: str


CLOUD = "256 coloured points, learned from pictures and silhouettes alone"
VOXELS = "voxels as a surface, learned from drawings with known shapes"
VIEWS = {
    HERO: View("tars", "chair", "chair", 1, "mesh", 30, "a chair with arms", "its shape"),
    "ssl3d.cycle_consistency": View("ssl3d", "car", "car", 0, "points", None, "a car", CLOUD),
    "umr.semantic_uv": View(
        "umr", "bird", "bird", 0, "mesh", None, "a bird", "a mesh, its texture read off the picture"
    ),
    "agt.adaptive_sampling": View(
        "agt", "bird", "bird", 1, "mesh", None, "a bird", "a mesh whose texture AGT has learned"
    ),
    "tars.deformation": View(
        "tars", "chair", "chair", 2, "mesh", 30, "a chair", "a bent template with holes torn open"
    ),
    "lem.spatial_attention": View("lem", "object", "photograph", 4, "mesh", 30, "a chair", VOXELS),
    "lem.contrastive_mapping": View(
        "lem", "object", "photograph", 5, "mesh", 30, "an aeroplane", VOXELS
    ),
}


def figure(key: str, root: str = "") -> str:
    """The picture and its shape beside each other, as HTML.

    key: of the page.
    root: the way from the page to the top of the site.
    """
    view = VIEWS[key]
    place = f"{root}_static/views/{key}"
    said = html.escape(view.said)
    return (
        f'<div class="hero"><figure><img src="{place}.webp" width="{SIDE}" height="{SIDE}" '
        f'alt="Picture of {view.alt}"><figcaption>one picture</figcaption></figure>'
        '<span class="arrow" aria-hidden="true">→</span>'
        f'<figure><iframe src="{place}.html" sandbox="allow-scripts" loading="lazy" '
        f'title="3D view of {view.alt}, made from the picture"></iframe>'
        f"<figcaption>{said}: drag it, or use the arrow keys</figcaption></figure></div>"
    )


def finer(mesh: Mesh, most: int) -> Mesh:
    """A textured mesh with every face in four, as often as there is room for it, since the viewer
    shows a texture by the colours of corners; other meshes as they are.
    """
    import torch

    from svr_nb.shapes.mesh import Mesh

    if mesh.texture is None or mesh.uvs is None or 4 * len(mesh.faces) > most:
        return mesh
    corners, spots = mesh.verts[mesh.faces], mesh.uvs.reshape(-1, 3, 2)
    quarters = torch.tensor([[0, 3, 5], [3, 1, 4], [5, 4, 2], [3, 4, 5]])
    halves = lambda x: torch.cat([x, (x + x.roll(-1, 1)) / 2], 1)[:, quarters].flatten(0, 1)
    places, joined = torch.unique(halves(corners).reshape(-1, 3), dim=0, return_inverse=True)
    uvs = halves(spots).reshape(-1, 3, 2)
    return finer(Mesh(places, joined.reshape(-1, 3), uvs=uvs, texture=mesh.texture), most)


def item(kind: str, number: int) -> dict[str, Any]:
    """A picture that no network has seen, with its silhouette: of a kind of the usual samples, or a
    "photograph" as LEM knows them, which has never seen the others.
    """
    import svr_nb as svr
    from svr_nb.lem.config import photographs

    if kind == "photograph":
        return photographs("test", count=24, seed=5)[number]
    return svr.data.samples(kind, split="test", count=1, size=256, seed=number)[0]


def mark(key: str) -> str:
    """What a view is made from, in one word: this file, the library, the network."""
    view = VIEWS[key]
    network = ROOT / "svr_nb" / "checkpoints" / f"{view.system}-{view.category}"
    library = [
        p for p in sorted((ROOT / "svr_nb").rglob("*")) if p.suffix in (".py", ".js", ".css")
    ]
    said = hashlib.sha256(repr((view, SIDE, FACES)).encode())
    for file in [*library, *sorted(network.glob("*")), Path(__file__)]:
        said.update(file.read_bytes())
    return said.hexdigest()


def draw(key: str, folder: Path) -> None:
    """Reconstructs one picture and writes it and its shape."""
    from PIL import Image

    import svr_nb as svr
    from svr_nb.view import to_pixels, view_of, viewer_page

    view = VIEWS[key]
    given = item(view.kind, view.seed)
    options = {"system": view.system, "category": view.category}
    result = svr.reconstruct(given["image"], given["mask"], **options)
    shape = getattr(result, view.form)
    if view.form == "mesh":
        shape = finer(shape, FACES // 2)
    seen = given["image"]
    if view.kind != "photograph":
        seen = seen * given["mask"] + 1 - given["mask"]
    picture = Image.fromarray(to_pixels(seen)).resize((SIDE, SIDE))
    picture.save(folder / f"{key}.webp", quality=82)
    first = view_of(result.view()) if view.azimuth is None else None
    page = viewer_page(shape, azimuth=view.azimuth or 0, view=first, most=FACES)
    (folder / f"{key}.html").write_text(page.replace("</body>", SPIN + "</body>"), encoding="utf-8")


# Turns by itself for a while, until it is touched, where nobody asked for less motion. The line
# under the figure says how to turn it; a finger that moves up or down scrolls the page.
SPIN = (
    "<style>span{display:none}canvas{touch-action:pan-y}</style>"
    "<script>if(!matchMedia('(prefers-reduced-motion: reduce)').matches){"
    "const spin=setInterval(()=>document.hidden||move(1.5,0),60);"
    "setTimeout(()=>clearInterval(spin),20000);"
    "for(const name of ['pointerdown','keydown','wheel'])"
    "canvas.addEventListener(name,()=>clearInterval(spin))}</script>"
)


def drawn(folder: Path) -> int:
    """Draws what is missing or old in a folder; returns how many were drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    marks = folder / "marks.json"
    known = json.loads(marks.read_text()) if marks.exists() else {}
    old = [key for key in VIEWS if known.get(key) != mark(key)]
    for key in old:
        draw(key, folder)
        known[key] = mark(key)
        marks.write_text(json.dumps(known))
    return len(old)


def put(cache: Path, static: Path) -> None:
    """Copies the views to the static files of the site, drawn first where needed."""
    count = drawn(cache)
    static.mkdir(parents=True, exist_ok=True)
    for key in VIEWS:
        for ending in ("webp", "html"):
            shutil.copy2(cache / f"{key}.{ending}", static)
    if count:
        print(f"{count} 3D views drawn")


if __name__ == "__main__":
    sys.exit(0 * drawn(ROOT / "_docs" / "views"))
