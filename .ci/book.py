"""The notebooks as one book: their order, the links between them, and the footers.

write    links every mention, mends every link, writes every footer
check    says what `write` would change, and what it cannot mend
order    prints the reading order

A notebook is named by its place in the library: `ssl3d.cycle_consistency`, or `ssl3d` for the
opener of a part. Written like this in prose, in backticks, the name becomes a link. Its number may
change: links find their notebook by name.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT / "nbs"
FENCE = re.compile(r"(```.*?```)", re.S)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
NAME = re.compile(r"`([a-z0-9_]+(?:\.[a-z0-9_]+)?)`")
BY_NUMBER = re.compile(r"\b[Nn]otebooks?\s+`?\d+|(?<![\w/`.])\d{3}_[a-z]\w+")
LINE = '<!-- footer -->'


@dataclass(frozen=True)
class Page:
    """One notebook: its file, its part ("" at the top), its number and the name of its module."""

    path: Path
    part: str
    number: int
    name: str

    @property
    def key(self) -> str:
        """How prose names this notebook."""
        if not self.part or self.name == self.part:
            return self.name
        return f"{self.part}.{self.name}"

    @property
    def title(self) -> str:
        """The heading of its first cell."""
        first = "".join(json.loads(self.path.read_text(encoding="utf-8"))["cells"][0]["source"])
        return first.splitlines()[0].lstrip("# ")


def pages() -> list[Page]:
    """All notebooks in reading order; hidden ones (a name that starts with _ or .) are no pages."""
    found = []
    for path in NBS.rglob("*.ipynb"):
        inside = path.relative_to(NBS)
        if any(piece.startswith(("_", ".")) for piece in inside.parts):
            continue
        number, _, name = path.stem.partition("_")
        part = inside.parts[0] if len(inside.parts) > 1 else ""
        known = number.isdigit()
        found.append(Page(path, part, int(number) if known else -1, name if known else path.stem))
    return sorted(found, key=lambda page: page.number)


class Book:
    """Every page by its name, and the texts that follow from the order."""

    def __init__(self, order: list[Page]) -> None:
        self.order = order
        self.by_key = {page.key: page for page in order}

    def target(self, link: str, here: Path) -> Page | None:
        """The page that a link to a notebook means, wherever that notebook stands now."""
        place = (here / link.split("#")[0]).resolve()
        if place.stem == "index":
            return self.by_key.get("index")
        name = re.sub(r"^\d+_", "", place.stem)
        part = place.parent.name
        for key in (f"{part}.{name}", name):
            if key in self.by_key:
                return self.by_key[key]
        same = [page for page in self.order if page.name == name]
        return same[0] if len(same) == 1 else None

    def linked(self, text: str, here: Path, own: str, problems: list[str]) -> str:
        """Prose with its mentions linked and its links mended."""
        pieces = FENCE.split(text)
        for i in range(0, len(pieces), 2):
            pieces[i] = self._mend(pieces[i], here, problems)
            pieces[i] = self._mention(pieces[i], here, own)
            bare = LINK.sub("", pieces[i])
            problems += [f"names a notebook by number: {m[0]!r}" for m in BY_NUMBER.finditer(bare)]
        return "".join(pieces)

    def _mend(self, text: str, here: Path, problems: list[str]) -> str:
        """Links to notebooks, pointed to where each stands; other relative links are checked."""

        def mended(match: re.Match[str]) -> str:
            picture, label, link = match.groups()
            if re.match(r"[a-z]+:|#", link):
                return match[0]
            path, _, anchor = link.partition("#")
            if not path.endswith(".ipynb"):
                if not (here / path).exists():
                    problems.append(f"broken link: {link}")
                return match[0]
            page = self.target(link, here)
            if page is None:
                problems.append(f"no notebook, or more than one, is meant by {link}")
                return match[0]
            if re.fullmatch(r"(?:[Nn]otebook )?\d+", label) or label == f"`{page.key}`":
                label = page.key  # not as code: JupyterLab paints a link in backticks black
            where = Path(os.path.relpath(page.path, here)).as_posix()
            return f"{picture}[{label}]({where}{'#' + anchor if anchor else ''})"

        return LINK.sub(mended, text)

    def _mention(self, text: str, here: Path, own: str) -> str:
        """Names in backticks outside of links become links."""

        def one(match: re.Match[str]) -> str:
            page = self.by_key.get(match[1])
            if page is None or "." not in match[1] or match[1] == own:
                return match[0]
            return f"[{page.key}]({Path(os.path.relpath(page.path, here)).as_posix()})"

        pieces, last = [], 0
        for link in LINK.finditer(text):
            pieces += [NAME.sub(one, text[last : link.start()]), link[0]]
            last = link.end()
        return "".join([*pieces, NAME.sub(one, text[last:])])

    def footer(self, page: Page) -> str:
        """Previous, part and next, as one line of links."""
        at = self.order.index(page)
        here = page.path.parent
        to = lambda other, text: f"[{text}]({Path(os.path.relpath(other.path, here)).as_posix()})"
        before = self.order[at - 1] if at else None
        after = self.order[at + 1] if at + 1 < len(self.order) else None
        part = self.by_key.get(page.part) if page.name != page.part else self.by_key.get("index")
        words = [to(before, f"← {before.title}")] if before else []
        words += [to(part, part.title)] if part and part not in (before, after) else []
        words += [to(after, f"{after.title} →")] if after else []
        return f"{LINE}\n---\n\n" + " · ".join(words)


def finished(book: Book, page: Page, problems: list[str]) -> dict:
    """A notebook with its links and its footer."""
    notebook = json.loads(page.path.read_text(encoding="utf-8"))
    cells = [c for c in notebook["cells"] if not "".join(c["source"]).startswith(LINE)]
    for cell in cells:
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"])
            linked = book.linked(text, page.path.parent, page.key, problems)
            cell["source"] = linked.splitlines(True)
    footer = book.footer(page).splitlines(True)
    cells.append({"cell_type": "markdown", "id": "footer", "metadata": {}, "source": footer})
    notebook["cells"] = cells
    return notebook


def texts() -> Iterator[Path]:
    """Prose outside of notebooks whose links must hold. (README.md follows from the tour.)"""
    yield from (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data_samples" / "README.md")
    yield from sorted((ROOT / "svr_nb" / "checkpoints").glob("*/README.md"))


def run(write: bool) -> list[str]:
    """Writes, or says what is not as it should be."""
    book, said = Book(pages()), []
    for page in book.order:
        problems: list[str] = []
        notebook = finished(book, page, problems)
        text = json.dumps(notebook, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
        if text != page.path.read_text(encoding="utf-8"):
            if write:
                page.path.write_text(text, encoding="utf-8")
            else:
                problems.append("links or footer are not up to date (run `make links`)")
        said += [f"{page.path.relative_to(ROOT)}: {problem}" for problem in problems]
    for path in texts():
        problems = []
        book.linked(path.read_text(encoding="utf-8"), path.parent, "", problems)
        said += [f"{path.relative_to(ROOT)}: {problem}" for problem in problems]
    return said


def main(arguments: list[str]) -> int:
    """Runs one of the commands of the module's docstring."""
    command = arguments[0] if arguments else "check"
    if command == "order":
        print("\n".join(f"{page.number:>4} {page.key}" for page in pages()))
        return 0
    problems = run(write=command == "write")
    print("\n".join(problems) or "links: every mention is linked, every link holds")
    return min(1, len(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
