"""Builds the site from the stored outputs of the notebooks; none is run and nothing is fetched.
Only the shapes that turn (docs/views.py) are made, and kept until the library changes.

python docs/build.py           pages, then HTML, into _docs/html
python docs/build.py pages     the pages only, into _docs/source
python docs/build.py check     every link and anchor, alternative texts, and the weight of each page
python docs/build.py serve     shows _docs/html on a local port
"""

from __future__ import annotations

import argparse
import os
import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import indexes
import landing
import models
import notebook_pages as notebooks
import reference
import views
from book import Page, pages
from check import check
from site_map import COMPONENTS, LEARN, ROOT, SYSTEMS, WORKSHOP

OUT = Path(os.environ.get("SVR_DOCS", ROOT / "_docs")).resolve()
SOURCE, HTML = OUT / "source", OUT / "html"
DOCS = ROOT / "docs"
MADE_OTHERWISE = {"genindex", "search", "py-modindex", "404"}
WRITTEN: set[Path] = set()


def put(path: Path, text: str) -> None:
    """Writes a file if it says something new, so that Sphinx reads only what changed."""
    WRITTEN.add(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def toctree(names: list[str], caption: str = "", hidden: bool = False, depth: int = 1) -> str:
    """A list of pages in MyST."""
    options = [f":caption: {caption}"] if caption else []
    options += [":hidden:"] if hidden else []
    listed = "\n".join(names)
    head = "\n".join([*options, f":maxdepth: {depth}", ":titlesonly:"])
    return f"```{{toctree}}\n{head}\n\n{listed}\n```\n"


def write_notebooks(order: list[Page]) -> dict[str, str]:
    """Writes every notebook's page; returns the panels' recordings by name."""
    panels: dict[str, str] = {}
    for page in order:
        place = notebooks.Place(page.path, SOURCE)
        inside = [
            notebooks.Place(p.path, SOURCE).name.split("/")[-1]
            for p in order
            if p.part == page.part and p is not page and p.key not in COMPONENTS
        ]
        opens = page.part and page.name == page.part and page.part not in LEARN
        opener = "## Pages\n\n" + toctree(inside) if opens and inside else ""
        view = views.figure(page.key, place.root) if page.key in views.VIEWS else ""
        book, files = notebooks.page(place, opener, view)
        put(SOURCE / f"{place.name}.ipynb", json.dumps(book, indent=1, ensure_ascii=False))
        panels |= files
    return panels


def write_reference(order: list[Page]) -> None:
    """Writes the API pages."""
    parts: dict[str, list[str]] = {}
    for page in order:
        inside = "/".join([page.part, page.name]) if page.part else page.name
        module = ROOT / "svr_nb" / f"{inside}.py"
        if page.name != page.part and module.exists():
            name = notebooks.Place(page.path, SOURCE).name
            put(SOURCE / "api" / f"{inside}.md", reference.module_page(module, name))
            parts.setdefault(page.part, []).append(page.name)
    for part, modules in parts.items():
        if part:
            put(SOURCE / "api" / f"{part}.md", reference.part_page(part, modules))
    top = [*parts.get("", []), *(part for part in parts if part)]
    summary = "Every public name: arguments with shapes and units, errors, sources."
    text = f"# The library\n\n> {summary}\n\n"
    put(SOURCE / "api" / "index.md", text + toctree(top, depth=2))


def write_landing(order: list[Page]) -> None:
    """Writes the first page, with the lists that make the sidebar."""
    name = {page.key: notebooks.Place(page.path, SOURCE).name for page in order}
    have = lambda parts: [name[part] for part in parts if part in name]
    lessons = [name[p.key] for p in order if p.part == "lessons"]
    tasks = [name[p.key] for p in order if p.part == "assignments"]
    lists = [
        toctree(["The tour <tour>", *have(["conventions"])], "Start", hidden=True),
        toctree(have(COMPONENTS), "Six components", hidden=True),
        toctree(lessons, "Lessons", hidden=True) if lessons else "",
        toctree(have(SYSTEMS), "Five systems", hidden=True),
        toctree(tasks, "Assignments", hidden=True) if tasks else "",
        toctree(have(WORKSHOP), "Workshop", hidden=True),
        toctree(
            ["equations", "errata", "figures", "evidence", "models", "glossary", "api/index"],
            "Reference",
            hidden=True,
        ),
    ]
    put(SOURCE / "index.md", landing.page(order, name) + "\n" + "\n".join(filter(None, lists)))


def write_pages(only: list[str] | None = None) -> None:
    """Writes everything that Sphinx reads; of the notebooks perhaps only a few."""
    order = [page for page in pages() if not only or page.key in only]
    panels = write_notebooks(order)
    write_reference(order)
    for page, text in indexes.pages().items():
        put(SOURCE / f"{page}.md", text)
    put(SOURCE / "models.md", models.page())
    write_landing(order)
    for old in [p for p in SOURCE.rglob("*") if p.suffix in (".md", ".ipynb")]:
        if old not in WRITTEN:
            old.unlink()
    static = SOURCE / "_static"
    shutil.rmtree(static, ignore_errors=True)
    shutil.copytree(DOCS / "_static", static)
    views.put(OUT / "views", static / "views")
    for ending in ("js", "css"):
        shutil.copy(
            ROOT / "svr_nb" / "view" / f"explore_offline.{ending}", static / f"panel.{ending}"
        )
    for name, text in panels.items():
        put(static / "panels" / f"{name}.js", f"panelData({json.dumps(name)}, {text});\n")
    for picture in sorted([*ROOT.glob("data_samples/*.png"), *ROOT.glob("data_samples/*.webp")]):
        put_copy(picture, SOURCE / picture.relative_to(ROOT))
    print(f"{len(order)} notebooks, {len(panels)} recorded panels")


def put_copy(source: Path, target: Path) -> None:
    """Copies a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def write_html(jobs: str = "auto") -> None:
    """Calls Sphinx, and puts beside the pages what they offer for download."""
    names = "\n".join(sorted(p.relative_to(SOURCE).as_posix() for p in SOURCE.rglob("*.[mi]*")))
    listed = OUT / "pages.txt"
    if not listed.exists() or listed.read_text(encoding="utf-8") != names:
        shutil.rmtree(HTML, ignore_errors=True)  # every page names every other in its sidebar
        put(listed, names)
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-c", str(DOCS), "-j", jobs, "-q"]
    command += ["-D", f"html_static_path={SOURCE / '_static'}"]
    subprocess.run([*command, "-d", str(OUT / "cache"), str(SOURCE), str(HTML)], check=True)
    for page in pages():
        place = notebooks.Place(page.path, SOURCE)
        if not (SOURCE / f"{place.name}.ipynb").exists():
            continue
        put(HTML / "colab" / f"{place.name}.ipynb", notebooks.for_colab(page.path))
    put(HTML / "equations.json", indexes.equation_file())
    put(HTML / ".nojekyll", "")
    put(HTML / "404.html", landing.missing())
    models.copy_files(HTML / "models")
    for page in HTML.rglob("*.html"):
        name = page.relative_to(HTML).with_suffix("")
        sources = [(SOURCE / name).with_suffix(ending) for ending in (".md", ".ipynb")]
        if name.parts[0] == "_static":
            continue
        if name.as_posix() in MADE_OTHERWISE or any(source.exists() for source in sources):
            mended(page)
        else:
            page.unlink()  # of a notebook that has another number now


def mended(page: Path) -> None:
    """Small things in finished pages: pictures with a size, loaded late; code to be scrolled."""
    text = before = page.read_text(encoding="utf-8")
    text = re.sub(r'<img (?![^>]*loading=)([^>]*?src="([^"]+)"[^>]*)>', sized(page), text)
    text = re.sub(
        r'<div class="highlight"><pre>', '<div class="highlight"><pre tabindex="0">', text
    )
    if text != before:
        page.write_text(text, encoding="utf-8")


def sized(page: Path) -> Callable[[re.Match[str]], str]:
    """Gives a picture its size, so that a page does not jump when it comes."""
    from PIL import Image

    def one(match: re.Match[str]) -> str:
        file = page.parent / match[2].split("?")[0]
        size = ""
        if "width=" not in match[1] and file.suffix in (".png", ".webp", ".jpg", ".jpeg"):
            with Image.open(file) as picture:
                size = f'width="{picture.width}" height="{picture.height}" '
        return f'<img loading="lazy" {size}{match[1]}>'

    return one


def serve(port: int) -> None:
    """Shows the site on this machine."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"http://127.0.0.1:{server.server_port}/ (stop with Ctrl-C)")
        server.serve_forever()


def main() -> int:
    """Runs one of the commands of the module's docstring."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("command", nargs="?", default="all")
    reader.add_argument("--port", type=int, default=8000)
    reader.add_argument("--only", nargs="*", help="a few notebooks by name, for a quick look")
    asked = reader.parse_args()
    start = time.monotonic()
    if asked.command == "serve":
        serve(asked.port)
        return 0
    if asked.command in ("all", "pages"):
        write_pages(asked.only)
        print(f"pages: {time.monotonic() - start:.0f} s")
    if asked.command in ("all", "html"):
        write_html()
        print(f"site: {time.monotonic() - start:.0f} s, in {HTML}")
    return min(1, check(HTML)) if asked.command in ("all", "html", "check") else 0


if __name__ == "__main__":
    sys.exit(main())
