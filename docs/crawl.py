"""Opens every page of the built site in a headless browser that may reach this machine only.

python docs/crawl.py               every page that has no result yet, or changed since; four tabs
python docs/crawl.py umr tour      pages whose address begins so
python docs/crawl.py --again       all of them, also those that have a result

One visit per page tells: requests that would leave the machine, errors on the console, files that
are missing, bytes that were loaded once everything was scrolled past, whether the page fits 390 and
1400 pixels, pictures and frames without words, controls without a name, and words whose contrast is
below 4.5 (3 where they are large) in the light and in the dark mode. Results stand in
_docs/crawl.json after every page, so it can be stopped and goes on later.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import hashlib
import http.server
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page, Request, Response

OUT = Path(os.environ.get("SVR_DOCS", ROOT / "_docs")).resolve()
HTML, RESULTS = OUT / "html", OUT / "crawl.json"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
FLAGS += ["--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]  # no name leads out
LOCAL = ("http://127.0.0.1", "data:", "blob:", "about:")
WIDTHS, MODES = (1400, 390), ("light", "dark")
LOOK = (Path(__file__).parent / "crawl.js").read_text(encoding="utf-8")
WRONG = ("outside", "said", "missing", "wide", "wordless", "nameless", "pale")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        return


def chromium() -> str | None:
    """Path of the browser, from SVR_CHROMIUM or the usual names."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("SVR_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


class Visit:
    """What one page does while it is open."""

    def __init__(self) -> None:
        self.bytes = 0
        self.outside: list[str] = []
        self.said: list[str] = []
        self.missing: list[str] = []

    def asked(self, request: Request) -> None:
        """Notes what would leave the machine; FLAGS see to it that it does not."""
        if not request.url.startswith(LOCAL):
            self.outside.append(request.url)

    def arrived(self, response: Response) -> None:
        """Counts what came."""
        if response.status >= 400:
            self.missing.append(response.url.split("/", 3)[-1])
        self.bytes += int(response.headers.get("content-length", 0))

    def failed(self, request: Request) -> None:
        """Notes what did not come."""
        if request.url not in self.outside and "ERR_ABORTED" not in (request.failure or ""):
            self.missing.append(f"{request.url.split('/', 3)[-1]}: {request.failure}")

    def listen(self, page: Page) -> None:
        """Hears everything that a page does."""
        page.on("request", self.asked)
        page.on("response", self.arrived)
        page.on("requestfailed", self.failed)
        page.on("console", lambda m: self.said.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.said.append(str(error)))


async def visit(context: BrowserContext, base: str, name: str) -> dict[str, Any]:
    """Opens one page, scrolls through it, and looks at it in both widths and both modes."""
    start, heard = time.monotonic(), Visit()
    page = await context.new_page()
    heard.listen(page)
    try:
        await page.goto(f"{base}/{name}", wait_until="load", timeout=90_000)
        await page.evaluate(LOOK)
        await page.evaluate("site.scroll()")
        await page.wait_for_function("site.quiet()", timeout=30_000)
        seen = await page.evaluate("site.words()")
        seen["pale"], seen["wide"] = [], []
        for mode in MODES:
            await page.emulate_media(color_scheme=mode)
            seen["pale"] += [f"{mode}: {line}" for line in await page.evaluate("site.pale()")]
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 900})
            seen["wide"] += [f"{width}: {line}" for line in await page.evaluate("site.wide()")]
    except Exception as error:
        seen = {"said": [f"{type(error).__name__}: {error}"[:300]]}
    finally:
        await page.close()
    said = [*heard.said, *seen.pop("said", [])]
    notes = {"bytes": heard.bytes, "outside": heard.outside, "missing": heard.missing, "said": said}
    return notes | seen | {"seconds": round(time.monotonic() - start, 2)}


def mark(file: Path) -> str:
    """The state of a page, in a word; a new look of the site makes every page new."""
    said = hashlib.sha256(file.read_bytes())
    for other in ("site.css", "site.js", "panel.js", "panel.css"):
        said.update((HTML / "_static" / other).read_bytes())
    return said.hexdigest()[:16]


async def crawl(names: list[str], tabs: int, found: dict[str, Any]) -> None:
    """Visits pages, several at a time, and keeps what was found after each."""
    from playwright.async_api import async_playwright

    handler = functools.partial(Quiet, directory=str(HTML))
    waiting = list(reversed(names))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        async with async_playwright() as play:
            browser = await play.chromium.launch(executable_path=chromium(), args=FLAGS)

            async def tab() -> None:
                size = {"width": WIDTHS[0], "height": 900}
                context = await browser.new_context(viewport=size, reduced_motion="reduce")
                while waiting:
                    name = waiting.pop()
                    found[name] = await visit(context, base, name) | {"mark": mark(HTML / name)}
                    RESULTS.write_text(json.dumps(found, indent=0), encoding="utf-8")

            await asyncio.gather(*(tab() for _ in range(tabs)))
            await browser.close()
        server.shutdown()


def told(found: dict[str, Any]) -> int:
    """Prints what is wrong and the sums; returns how many pages have something wrong."""
    bad = {n: [(k, line) for k in WRONG for line in v.get(k, [])] for n, v in found.items()}
    bad = {name: lines for name, lines in bad.items() if lines}
    for name, lines in sorted(bad.items())[:60]:
        print(f"{name}: " + "; ".join(f"{kind}: {line}" for kind, line in lines[:4])[:400])
    sizes = sorted((v["bytes"], n) for n, v in found.items())
    counts = ", ".join(f"{k} {sum(len(v.get(k, [])) for v in found.values())}" for k in WRONG)
    print(f"{len(found)} pages, {len(bad)} with something wrong ({counts})")
    middle = median(size for size, _ in sizes) / 1e6
    print(f"heaviest {sizes[-1][1]} {sizes[-1][0] / 1e6:.2f} MB, median {middle:.2f} MB")
    print(f"{sum(v['seconds'] for v in found.values()):.0f} s of a tab")
    return len(bad)


def main() -> int:
    """Visits what was asked for; returns 1 if something is wrong."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("begins", nargs="*", help="beginnings of addresses")
    reader.add_argument("--again", action="store_true")
    reader.add_argument("--tabs", type=int, default=4)
    asked = reader.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    names = sorted(p.relative_to(HTML).as_posix() for p in HTML.rglob("*.html"))
    names = [n for n in names if not n.startswith("_static/")]
    found = {name: result for name, result in found.items() if name in names}
    wanted = [n for n in names if not asked.begins or n.startswith(tuple(asked.begins))]
    known = lambda name: found.get(name, {}).get("mark") == mark(HTML / name)
    waiting = [name for name in wanted if asked.again or not known(name)]
    start = time.monotonic()
    asyncio.run(crawl(waiting, asked.tabs, found))
    print(f"{len(waiting)} pages visited in {time.monotonic() - start:.0f} s")
    return min(1, told({name: found[name] for name in wanted}))


if __name__ == "__main__":
    sys.exit(main())
