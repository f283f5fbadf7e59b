"""The report is one page that needs nothing else, and says what it was given."""

from __future__ import annotations

import os
import re
import shutil

import pytest
import torch

from svr_nb.cameras.projections import orbit
from svr_nb.conventions import InputError
from svr_nb.result.reconstruction import Reconstruction, told_fit
from svr_nb.result.report import write_report
from svr_nb.shapes.mesh_files import load_mesh
from svr_nb.shapes.mesh import ellipsoid, torus

EGG = ellipsoid((0.2, 0.25, 0.35))
EGG_SEEN = Reconstruction(mesh=EGG, camera=orbit(20, 10)).silhouette(32)


def item(**metrics: float) -> Reconstruction:
    return Reconstruction(
        mesh=EGG,
        camera=orbit(20, 10),
        image=torch.rand(3, 32, 32),
        mask=torch.ones(1, 32, 32),
        metrics=metrics,
        system="umr",
        category="egg",
    )


def test_page_is_complete(tmp_path):
    page = write_report(
        tmp_path / "a" / "b", item(iou=0.5), "A <title>", "An <intro>", size=32, frames=3
    )
    text = page.read_text(encoding="utf-8")
    assert page.name == "index.html" and "A &lt;title&gt;" in text and "An &lt;intro&gt;" in text
    assert not re.search(r"https?://", text) and "<link" not in text
    for caption in ("photograph", "silhouette", "reconstruction, same camera", "turned", "in 3D"):
        assert f"<figcaption>{caption}</figcaption>" in text
    for name in re.findall(r'<a href="([^"]+)"', text):
        assert abs(load_mesh(page.parent / name).volume() / EGG.volume() - 1) < 1e-3


def test_table_and_mean(tmp_path):
    items = {"one": item(iou=0.5), "two": item(iou=0.7, emd=0.1), "<b>": item(iou=float("nan"))}
    text = write_report(tmp_path, items, size=32, frames=2, formats=["ply"]).read_text(
        encoding="utf-8"
    )
    assert '<tr class="mean"><td>mean</td><td>0.6</td><td>0.1</td></tr>' in text
    assert "<td>&lt;b&gt;</td>" in text and len(list(tmp_path.glob("*.ply"))) == 3


def test_a_fit_is_shown_before_and_after(tmp_path):
    """The shape from the photograph's camera comes first, unfitted and fitted, each with its IoU."""
    mask = EGG_SEEN
    first, last = (
        Reconstruction(mesh=shape, camera=orbit(20, 10), image=torch.rand(3, 32, 32), mask=mask)
        for shape in (ellipsoid((0.1, 0.1, 0.1)), EGG)
    )
    told_fit(last, first, 7, (2.0, 0.5))
    last.photograph = torch.rand(3, 50, 90)
    text = write_report(tmp_path, last, size=32, frames=2).read_text(encoding="utf-8")
    captions = re.findall(r"<figcaption>([^<]*)</figcaption>", text)
    assert captions[0] == "photograph, 90 x 50" and captions[-1] == "in 3D"
    assert captions[1] == f"as predicted, IoU {last.fit.iou[0]:.2f}"
    assert captions[2] == f"fitted, IoU {last.fit.iou[1]:.2f}"
    assert last.fit.iou[0] < 0.5 < 0.98 < last.fit.iou[1]
    assert "loss 2 to 0.5" in text and text.count("not known: ") == 1 and last.limits in text


def test_without_photograph_or_camera(tmp_path):
    text = write_report(
        tmp_path,
        [Reconstruction(mesh=torus()), Reconstruction(points=torus().verts)],
        size=32,
        frames=2,
    ).read_text(encoding="utf-8")
    assert ">photograph" not in text and text.count("<article>") == 2


@pytest.mark.parametrize("bad", [[], {}, "photo.jpg", None, [1], {"a": torch.zeros(3)}])
def test_bad_items_are_refused(tmp_path, bad):
    with pytest.raises(InputError):
        write_report(tmp_path, bad)


@pytest.mark.parametrize(
    "options", [{"size": 1}, {"frames": 1}, {"formats": ["docx"]}, {"size": float("nan")}]
)
def test_bad_options_are_refused(tmp_path, options):
    with pytest.raises(InputError):
        write_report(tmp_path, item(), **{"size": 32, "frames": 2, **options})


def test_page_in_a_browser(tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if not chromium or os.environ.get("SVR_BROWSER") == "0":
        pytest.skip("no browser")
    page_file, wrong = write_report(tmp_path, item(iou=0.5), size=48, frames=4), []
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(reduced_motion="reduce", viewport={"width": 1100, "height": 900})
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda request: wrong.append(request.url) if request.url.startswith("http") else None,
        )
        page.goto(page_file.as_uri())
        view = page.frames[1]
        view.wait_for_function("document.querySelector('canvas').dataset.view")
        before = view.evaluate("document.querySelector('canvas').toDataURL()")
        view.focus("canvas")
        page.keyboard.press("ArrowRight")
        view.wait_for_function("document.querySelector('canvas').dataset.view.startsWith('10')")
        assert view.evaluate("document.querySelector('canvas').toDataURL()") != before
        place = "getComputedStyle(document.querySelector('.turn')).backgroundPosition"
        start = page.evaluate(place)
        page.focus("input[type=range]")
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(100)
        assert page.evaluate(place) != start
        browser.close()
    assert not wrong
