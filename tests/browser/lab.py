"""A notebook in a real JupyterLab and a real headless browser: run it, move its sliders, see what
changes.

with Lab(path) as lab:
    lab.run_all()
    before = lab.pictures()
    lab.press(0, "ArrowRight")
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
LOCAL = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "about:")
PANEL = "window.jupyterapp.shell.currentWidget"
IDLE = f"() => {PANEL}?.sessionContext?.session?.kernel?.status === 'idle'"
CELLS = f"""() => [...{PANEL}.content.model.cells].filter(c => c.type === 'code' && c.sharedModel.getSource().trim()).map(c => (
  {{count: c.executionCount, source: c.sharedModel.getSource(),
   errors: c.outputs.toJSON().filter(o => o.output_type === 'error').map(o => o.ename + ': ' + o.evalue)}}))"""
PICTURES = """() => Promise.all([...document.querySelectorAll('.jupyter-widgets img, img.jupyter-widgets')].map(async i =>
  i.src.startsWith('blob:') ? [...new Uint8Array(await (await fetch(i.src)).arrayBuffer())].join() : i.src))"""
RED = """() => [...document.querySelectorAll('.jp-Notebook [data-mime-type="application/vnd.jupyter.stderr"]')].map(
  box => box.innerText)"""
SLIDER = ".jupyter-widgets .noUi-handle"
CONTROLS = {
    "slider": SLIDER,
    "switch": ".jupyter-widgets input[type=checkbox], .jupyter-widgets button.widget-toggle-button",
    "menu": ".jupyter-widgets select",
}
SETTINGS = {  # no news; every cell stays on the page, also while it is scrolled away
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    "notebook-extension/tracker": '{"windowingMode": "none"}',
}


def reason_to_skip() -> str:
    """Why no browser test can run here; empty if one can."""
    if os.environ.get("SVR_BROWSER") == "0":
        return "SVR_BROWSER=0"
    for package in ("playwright", "jupyterlab", "ipywidgets"):
        try:
            __import__(package)
        except ImportError:
            return f"{package} is not installed"
    return "" if chromium() else "no chromium here"


def chromium() -> str | None:
    """Path of the browser, from SVR_CHROMIUM or the usual names."""
    return os.environ.get("SVR_CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )


class Lab:
    """JupyterLab on a free local port with a copy of one notebook, open in a headless browser;
    everything is stopped on leaving.
    """

    def __init__(self, notebook: Path, timeout: float = 180) -> None:
        self.notebook, self.timeout, self.outside, self.stack = (
            Path(notebook),
            timeout,
            [],
            ExitStack(),
        )

    def __enter__(self) -> Lab:
        try:
            self.folder = Path(
                self.stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="lab-", ignore_cleanup_errors=True)
                )
            )
            self._serve()
            self._browse()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self.stack.close()

    def _serve(self) -> None:
        """Starts the server and waits until it answers."""
        root = self.folder / "root"
        root.mkdir()
        shutil.copy(self.notebook, root)
        samples = Path(__file__).resolve().parents[2] / "data_samples"  # some notebooks read them
        shutil.copytree(samples, root / "data_samples")
        for name, text in SETTINGS.items():
            place = self.folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        homes = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "run",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        env = (
            os.environ
            | {"OMP_NUM_THREADS": "1"}
            | {name: str(self.folder / place) for name, place in homes.items()}
        )
        log = self.stack.enter_context(open(self.folder / "log", "w"))
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyterlab",
                "--no-browser",
                "--allow-root",
                "--ServerApp.ip=127.0.0.1",
                f"--ServerApp.port={port}",
                "--ServerApp.port_retries=0",
                "--IdentityProvider.token=test",
                f"--ServerApp.root_dir={root}",
                "--LabApp.expose_app_in_browser=True",
            ],
            stdout=log,
            stderr=log,
            env=env,
            cwd=root,
            start_new_session=True,
        )
        self.stack.callback(_stop, server)
        self.base, end = f"http://127.0.0.1:{port}", time.monotonic() + 90
        while not _answers(f"{self.base}/api/status?token=test"):
            assert server.poll() is None and time.monotonic() < end, (
                self.folder / "log"
            ).read_text()[-2000:]
            time.sleep(0.2)

    def _browse(self) -> None:
        """Opens the notebook and waits for its kernel; requests to other machines are refused and
        noted.
        """
        from playwright.sync_api import sync_playwright

        play = self.stack.enter_context(sync_playwright())
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        self.stack.callback(browser.close)
        context = browser.new_context(viewport={"width": 1300, "height": 2000})
        context.route("**/*", self._route)
        self.page = context.new_page()
        self.page.set_default_timeout(1000 * self.timeout)
        self.page.goto(f"{self.base}/lab/tree/{self.notebook.name}?token=test&reset")
        self.page.wait_for_function(f"() => window.jupyterapp && ({IDLE})()")

    def _route(self, route: Any) -> None:
        """Lets local requests pass."""
        if route.request.url.startswith(LOCAL):
            route.continue_()
        else:
            self.outside.append(route.request.url)
            route.abort()

    def wait_idle(self, settle: float = 0.5) -> None:
        """Waits until the kernel is idle and stays so."""
        while True:
            self.page.wait_for_function(IDLE)
            self.page.wait_for_timeout(1000 * settle)
            if self.page.evaluate(IDLE):
                return

    def run_all(self) -> list[dict]:
        """Runs every cell; returns count, source and errors of the code cells."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        self.wait_idle(1.5)
        return self.page.evaluate(CELLS)

    def pictures(self) -> list[str]:
        """A fingerprint of every picture inside a live widget."""
        return [
            hashlib.sha1(source.encode()).hexdigest() for source in self.page.evaluate(PICTURES)
        ]

    def show_cell(self, text: str) -> bool:
        """Scrolls to the first code cell whose source contains a text, so that its output is on the
        page.
        """
        find = f"t => [...{PANEL}.content.model.cells].findIndex(c => c.type === 'code' && c.sharedModel.getSource().includes(t))"
        number = self.page.evaluate(find, text)
        if number >= 0:
            self.page.evaluate(f"n => {PANEL}.content.scrollToItem(n)", number)
            self.page.wait_for_timeout(1500)
        return number >= 0

    def ask(self, code: str) -> list[str]:
        """Runs a statement in the notebook's kernel; returns the errors."""
        run = f"""async code => {{
            const future = {PANEL}.sessionContext.session.kernel.requestExecute({{code}});
            const reply = await future.done;
            return reply.content.status === 'ok' ? [] : [reply.content.evalue || 'error'];
        }}"""
        return self.page.evaluate(run, code)

    def press(self, index: int, key: str, times: int = 3) -> tuple[str, str]:
        """Presses a key on one slider; returns its value before and after."""
        handle = self.page.locator(SLIDER).nth(index)
        handle.scroll_into_view_if_needed()
        before = handle.get_attribute("aria-valuetext") or ""
        handle.focus()
        for _ in range(times):
            self.page.keyboard.press(key)
            self.page.wait_for_timeout(80)
        self.wait_idle()
        return before, handle.get_attribute("aria-valuetext") or ""

    def run_more(self, source: str) -> None:
        """Puts a code cell at the end and runs it."""
        add = f"""async source => {{
            const notebook = {PANEL}.content, last = notebook.model.cells.length;
            notebook.model.sharedModel.insertCell(last, {{cell_type: 'code', source}});
            notebook.activeCellIndex = last;
            await window.jupyterapp.commands.execute('notebook:run-cell');
        }}"""
        self.page.evaluate(add, source)
        self.wait_idle()

    def red_boxes(self) -> list[str]:
        """What stands in the boxes of error output: warnings, mostly."""
        return self.page.evaluate(RED)

    def count(self, kind: str) -> int:
        """How many controls of a kind, one of CONTROLS, are on the page."""
        return self.page.locator(CONTROLS[kind]).count()

    def move(self, kind: str, index: int) -> bool:
        """Moves one control, a slider by keys and others by the mouse; returns whether a picture
        changed.
        """
        before = self.pictures()
        control = self.page.locator(CONTROLS[kind]).nth(index)
        if kind == "slider":
            low, high = self.press(index, "ArrowRight")
            if low == high:
                self.press(index, "ArrowLeft")  # it stood at its upper end
        elif kind == "switch":
            control.click()
        else:
            many, at = control.evaluate("e => [e.options.length, e.selectedIndex]")
            control.select_option(index=(at + 1) % many)
        self.wait_idle()
        return self.pictures() != before


def _answers(url: str) -> bool:
    """Whether a server answers."""
    with suppress(OSError, urllib.error.URLError):
        return urllib.request.urlopen(url, timeout=2).status == 200
    return False


def _stop(server: subprocess.Popen) -> None:
    """Stops the server and its kernels, which share one process group of their own."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            server.wait(10)
            return
