"""The first page: what this is, in ten seconds."""

from __future__ import annotations

import html

import views
from book import Page
from site_map import COMPONENTS, PAPERS, REPOSITORY, SETTINGS

TEASERS = {
    "ssl3d.cycle_consistency": "A network that checks itself: no 3D, no poses, only pictures.",
    "umr.semantic_uv": "Where is the beak on every bird? Parts on a chart of the surface.",
    "agt.adaptive_sampling": "What a texture can learn from four pixels, and how to change it.",
    "tars.deformation": "Bend space until a hole opens, which bending alone cannot do.",
    "lem.spatial_attention": "Ask a hundred places instead of all, and see which ones answer.",
    "lem.contrastive_mapping": "Bring photographs to the shapes they resemble, without labels.",
}


def hero() -> str:
    """Photograph, turning reconstruction and two commands."""
    return f"""```{{raw}} html
{views.figure(views.HERO)}
```

```bash
git clone {REPOSITORY}
make -C svr_nb lab
```

That opens the book in JupyterLab. `make demo PHOTO=my_horse.jpg CATEGORY=horse` does
the same as above with a photograph of yours.

"""


def card(link: str, title: str, text: str) -> str:
    """One tile of the first page."""
    return (
        f'<a class="card" href="{link}.html"><strong>{html.escape(title)}</strong>'
        f"<span>{html.escape(text)}</span></a>"
    )


def page(order: list[Page], name: dict[str, str]) -> str:
    """The page in MyST; `name` says where each notebook's page is."""
    by_key = {p.key: p for p in order}
    six = [card(name[k], by_key[k].title, TEASERS[k]) for k in COMPONENTS if k in name]
    lessons = [p for p in order if p.part == "lessons"]
    course = [card(name[p.key], p.title, summary(p)) for p in lessons]
    papers = [card(name[k], k.upper(), title) for k, title in PAPERS.items() if k in name]
    tiles = lambda cards: '```{raw} html\n<div class="cards">' + "".join(cards) + "</div>\n```\n"
    chapters = f"## Lessons\n\n{tiles(course)}\n" if course else ""
    return f"""# svr_nb

> From one photograph to a 3D shape: five published systems, re-created in notebooks that teach and
> in a library that runs.

{hero()}
A photograph shows one side of a thing, and yet you know roughly what the other side looks like.
This book teaches that to networks. Every idea is a notebook that explains it, shows it, lets you
play with it, and *is* the code: the library is exported from these pages. The sliders here play
pictures that were drawn in advance; in JupyterLab they run the code itself.

[The tour](tour.ipynb) takes five minutes. Then one of these:

## Six components

{tiles(six)}
{chapters}
## Five papers

{tiles(papers)}
## To look things up

[Every equation](equations.md) of the five papers, with the function that computes it ·
[errata](errata.md) · [figures and tables](figures.md) · [what was measured](evidence.md) ·
[networks that ship](models.md) · [glossary](glossary.md) · [the library](api/index.md)
"""


def missing() -> str:
    """The page for addresses that lead nowhere. It may stand at any depth, so it asks for no file
    and names the site in full.
    """
    top = f"{SETTINGS['doc_host']}{SETTINGS['doc_baseurl']}".rstrip("/")
    words = {"index": "First page", "tour": "The tour", "equations": "Equation index"}
    words |= {"glossary": "Glossary", "search": "Search"}
    links = "".join(
        f'<li><a href="{top}/{name}.html">{said}</a></li>' for name, said in words.items()
    )
    look = (
        ":root{color-scheme:light dark;background:light-dark(#fff,#131416);"
        "color:light-dark(#111,#cfd0d0)}body{font:1.05rem/1.6 system-ui,sans-serif;max-width:34em;"
        "margin:12vh auto;padding:0 1.2em}a{color:light-dark(#1a5490,#8ec2f5)}li{padding:.4em 0}"
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Not here: svr_nb</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<style>{look}</style><h1>There is no such page</h1><p>Pages move when the book is put in "
        f"another order. These lead on:</p><ul>{links}</ul></html>\n"
    )


def summary(page: Page) -> str:
    """The line under a notebook's title."""
    import json

    first = "".join(json.loads(page.path.read_text(encoding="utf-8"))["cells"][0]["source"])
    quoted = [line.lstrip("> ") for line in first.splitlines() if line.startswith(">")]
    return " ".join(quoted)
