"""Checks a built site: links, anchors, alternative texts, hosts, and the weight of every page."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

MOST_BYTES = 3_000_000
LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("source", "src"), ("iframe", "src")}


class Reader(HTMLParser):
    """What a page names and needs: anchors, links, files, panels, pictures without words."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.files: list[str] = []
        self.panels: list[str] = []
        self.wordless: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes what one tag says."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag == "img" and not given.get("alt"):
            self.wordless.append(given.get("src", "")[:60])
        if "data-panel" in given:
            self.panels.append(given["data-panel"])
        for name in ("src", "href"):
            is_page_link = tag == "link" and given.get("rel") not in ("stylesheet", "icon")
            if (tag, name) in LOADED and given.get(name) and not is_page_link:
                self.files.append(given[name])


@functools.cache
def read(page: Path) -> Reader:
    """A page, read."""
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    return reader


def target(page: Path, link: str) -> tuple[Path, str] | None:
    """File and anchor that a link of a page means; None if it leads out of the site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    path = unquote(parts.path)
    return ((page.parent / path).resolve() if path else page.resolve()), unquote(parts.fragment)


def weight(page: Path, reader: Reader, root: Path) -> int:
    """Bytes that a browser loads for a page, with every panel's recording and the styles' font."""
    needed = {page.resolve()}
    for file in reader.files:
        there = target(page, file)
        if there and there[0].is_file():
            needed.add(there[0])
    needed |= {(root / "_static" / "panels" / f"{name}.js").resolve() for name in reader.panels}
    for style in [f for f in needed if f.suffix == ".css"]:
        for name in re.findall(r"url\([\"']?([^\"')]+)", style.read_text(encoding="utf-8")):
            font = (style.parent / name).resolve()
            if font.is_file():
                needed.add(font)
    return sum(file.stat().st_size for file in needed if file.is_file())


def pages_of(root: Path) -> list[Path]:
    """The pages of a site; 3D views are files that pages load."""
    return sorted(p for p in root.rglob("*.html") if p.relative_to(root).parts[0] != "_static")


def problems(root: Path) -> Iterator[str]:
    """What is wrong with a site."""
    pages = pages_of(root)
    readers = {page.resolve(): read(page) for page in pages}
    for page, reader in readers.items():
        name = page.relative_to(root.resolve())
        for link in [*reader.links, *reader.files]:
            there = target(page, link)
            if there is None or link.startswith(("data:", "mailto:")):
                if link in reader.files and not link.startswith("data:"):
                    yield f"{name}: asks another host for {link}"
                continue
            file, anchor = there
            file = file / "index.html" if file.is_dir() else file
            if not file.exists():
                yield f"{name}: broken link {link}"
            elif anchor and file in readers and anchor not in readers[file].anchors:
                yield f"{name}: no such anchor {link}"
        for picture in reader.wordless:
            yield f"{name}: a picture without words: {picture}"
        size = weight(page, reader, root)
        if size > MOST_BYTES:
            yield f"{name}: weighs {size / 1e6:.1f} MB"


def weights(root: Path) -> list[tuple[int, str]]:
    """Weight of every page, heaviest first."""
    found = [
        (weight(page, read(page), root), page.relative_to(root).as_posix())
        for page in pages_of(root)
    ]
    return sorted(found, reverse=True)


def check(root: Path) -> int:
    """Prints what is wrong and what the pages weigh; returns the number of problems."""
    found = list(problems(root))
    print("\n".join(found[:200]))
    sizes = weights(root)
    total = sum(f.stat().st_size for f in root.rglob("*") if f.is_file())
    middle = sizes[len(sizes) // 2][0]
    print(f"{len(sizes)} pages, {len(found)} problems, {total / 1e6:.0f} MB in all")
    print(f"heaviest {sizes[0][1]} {sizes[0][0] / 1e6:.2f} MB, median {middle / 1e6:.2f} MB")
    return len(found)
