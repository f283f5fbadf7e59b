"""The built site in a real browser without a network: no request leaves, no error, every control of
every recorded panel moves its picture, every 3D view turns, pages fit a phone.

Needs a built site and takes minutes, so it runs only if it is asked for: `make docs-check`.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.lab import FLAGS, chromium, reason_to_skip
from tests.docs.pages import ROOT

HTML = ROOT / "_docs" / "html"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif("SVR_SITE" not in os.environ, reason="make docs-check runs it"),
    pytest.mark.skipif(not (HTML / "index.html").exists(), reason="no built site: make docs"),
    pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip()),
]
COMPONENTS = [
    "ssl3d/502_cycle_consistency",
    "umr/601_semantic_uv",
    "agt/701_adaptive_sampling",
    "tars/802_deformation",
    "lem/902_spatial_attention",
    "lem/903_contrastive_mapping",
]
KINDS = ["index", "tour", *COMPONENTS, "equations", "errata", "figures", "evidence", "models"]
KINDS += ["glossary", "search", "genindex", "api/index", "api/lem", "api/lem/spatial_attention"]
LOCAL = ("http://127.0.0.1", "data:", "blob:", "about:")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that notes what it says and blocks what leaves the machine."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    opened = context.new_page()
    opened.said, opened.outside = [], []

    def through(route: Any) -> None:
        if route.request.url.startswith(LOCAL):
            route.continue_()
        else:
            opened.outside.append(route.request.url)
            route.abort()

    context.route("**/*", through)
    opened.on("console", lambda m: opened.said.append(m.text) if m.type == "error" else None)
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    yield opened
    context.close()


def mark(part: Any) -> str:
    """What a part of the page looks like."""
    return hashlib.md5(part.screenshot()).hexdigest()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("width", [390, 1400])
def test_a_page_loads_alone_and_fits(page: Any, site: str, name: str, width: int):
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{site}/{name}.html")
    page.wait_for_timeout(500)
    assert page.outside == [] and page.said == []
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 1


def moved(page: Any, panel: Any) -> list[bool]:
    """For each control of a panel whether it moves the picture."""
    stage, found = panel.locator(".panel-stage"), []
    for control in panel.locator("input[type=range]").all():
        before = mark(stage)
        control.focus()
        for key in ("End", "Home"):
            page.keyboard.press(key)
            page.wait_for_timeout(400)
            if mark(stage) != before:
                break
        found.append(mark(stage) != before)
    for control in panel.locator("select").all():
        before, here = mark(stage), control.evaluate("e => e.selectedIndex")
        control.select_option(index=0 if here else 1)
        page.wait_for_timeout(400)
        found.append(mark(stage) != before)
    for control in panel.locator("input[type=checkbox], .panel-bar button").all():
        before = mark(stage)
        control.click()
        page.wait_for_timeout(800)
        found.append(mark(stage) != before)
    if panel.locator("canvas.panel-clickable").count():
        before = mark(stage)
        panel.locator("canvas").focus()
        for key in ("ArrowDown", "ArrowRight"):
            page.keyboard.press(key)
        page.wait_for_timeout(400)
        found.append(mark(stage) != before)
    return found


@pytest.mark.parametrize("name", ["tour", *COMPONENTS])
def test_controls_move_pictures_without_a_kernel(page: Any, site: str, name: str):
    page.goto(f"{site}/{name}.html")
    found = []
    for panel in page.locator("figure.panel").all():
        panel.scroll_into_view_if_needed()
        panel.locator(".panel-note").wait_for(timeout=20_000)
        panel.locator("canvas:not([hidden]), .panel-page:not([hidden])").first.wait_for()
        page.wait_for_timeout(300)
        found.append(moved(page, panel))
    if not found:
        pytest.skip("not recorded here: make docs-frames")
    assert sum(map(sum, found)) >= 3, found
    assert all(any(controls) for controls in found), found
    assert page.said == []


@pytest.mark.parametrize(
    "name", ["index", *COMPONENTS, "tour", "umr/610_transfer", "result/481_reconstruction"]
)
def test_a_3d_view_turns(page: Any, site: str, name: str):
    page.emulate_media(reduced_motion="reduce")
    page.goto(f"{site}/{name}.html")
    view = page.locator("iframe").first
    view.scroll_into_view_if_needed()
    page.wait_for_timeout(800)
    before, box = mark(view), view.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 70, y + 10, steps=4)
    page.mouse.up()
    page.wait_for_timeout(500)
    assert mark(view) != before


@pytest.fixture
def phone(browser: Any) -> Iterator[Any]:
    """A page on a phone, without a mouse."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    yield context.new_page()
    context.close()


def small(page: Any, what: str, least: float = 40) -> list[str]:
    """Visible things to tap that are lower than a thumb needs, in pixels."""
    found = []
    for spot in page.locator(what).all():
        box = spot.bounding_box() if spot.is_visible() else None
        if box and box["height"] < least:
            found.append(f"{spot.evaluate('e => e.outerHTML')[:80]}: {box['height']:.0f}")
    return found


def test_a_reader_with_a_phone_gets_to_a_component_and_on(phone: Any, site: str):
    phone.goto(f"{site}/index.html")
    view = phone.locator(".hero iframe").bounding_box()
    assert view["y"] + view["height"] < 844, "picture and shape stand on the first screen"
    assert not small(phone, "a.card, .mobile-header label, .mobile-header button")
    phone.locator("a.card").first.tap()
    phone.wait_for_url("**/ssl3d/502*")
    assert not small(phone, "p.tools a", 36)
    panel = phone.locator("figure.panel").first
    panel.scroll_into_view_if_needed()
    panel.locator("canvas:not([hidden])").wait_for(timeout=20_000)
    assert not small(panel, ".panel-bar button, .panel-bar label, .panel-bar select")
    slider, stage = panel.locator("input[type=range]").first, panel.locator(".panel-stage")
    before, box = mark(stage), slider.bounding_box()
    phone.touchscreen.tap(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
    phone.wait_for_timeout(500)
    assert mark(stage) != before
    phone.locator("a.next-page").tap()
    phone.wait_for_url("**/umr/601*")
    phone.locator(".mobile-header .nav-overlay-icon").tap()
    phone.wait_for_timeout(500)
    phone.locator(".sidebar-tree a", has_text="Glossary").tap()
    phone.wait_for_url("**/glossary*")


def test_menus_open_from_the_keyboard(page: Any, site: str):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{site}/index.html")
    page.locator(".mobile-header .nav-overlay-icon").focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    box = page.locator(".sidebar-drawer").bounding_box()
    assert box["x"] >= 0
    page.keyboard.press("Escape")
    page.wait_for_timeout(500)
    assert page.locator(".sidebar-drawer").bounding_box()["x"] < 0


def test_the_whole_site_holds_together():
    from check import check

    assert check(HTML) == 0
