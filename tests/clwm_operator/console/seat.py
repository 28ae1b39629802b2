"""Somebody who sits at the operator's page, in the distribution's browser."""

import shutil
import time
from contextlib import contextmanager

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium")
PATIENCE = 60_000  # ms
OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
HEIGHT = "Number(document.querySelector('#facts').dataset.height)"


@contextmanager
def running_browser():
    """The distribution's; skips where Playwright is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


class Seat:
    """A page at which somebody sits, 1400 pixels wide unless told otherwise."""

    def __init__(self, browser, console, width=1400, script=""):
        self.page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
        self.page.set_default_timeout(PATIENCE)
        self.faults = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda it: "Content Security" in it.text and self.faults.append(it.text))
        if script:
            self.page.add_init_script(script)
        self.url = f"http://127.0.0.1:{console.port}/"

    def open(self):
        self.page.goto(self.url)
        self.wait("document.body.dataset.charge !== undefined && !document.body.classList.contains('old')")
        return self

    def wait(self, condition):
        """Until this JavaScript is true. Not by `wait_for_function`: the page's own policy forbids it."""
        until = time.monotonic() + PATIENCE / 1000.0
        while not self.page.evaluate(condition):
            assert time.monotonic() < until, f"in vain: {condition}; the page says {self.text('#head')}"
            self.page.wait_for_timeout(50)

    def mode(self, name):
        self.wait(f"document.querySelector('#mode').textContent === '{name}'")

    def text(self, place):
        return self.page.inner_text(place)

    def tool(self):
        """Height of the left tool [m]."""
        return self.page.evaluate(HEIGHT)

    def take_over(self):
        """The arms are this page's once a key is held."""
        self.page.click("#take_over")
        self.page.wait_for_selector("#jog")
        self.wait("document.querySelector('#act').textContent.startsWith('Taken over')")

    def steer(self, hold, release, until="document.querySelector('#mode').textContent === 'TELEOP'"):
        """Hold the switch until this is true. A busy machine may open it meanwhile: then it is held anew."""
        deadline = time.monotonic() + PATIENCE / 1000.0
        hold()
        while not self.page.evaluate(until):
            assert time.monotonic() < deadline, f"in vain: {until}; {self.text('#act')}"
            self.page.wait_for_timeout(100)
            if self.page.evaluate("document.querySelector('#act').textContent.startsWith('Taken over')"):
                release()
                self.page.wait_for_timeout(300)
                hold()
                self.page.wait_for_timeout(300)

    def press(self, key="r", until="document.querySelector('#mode').textContent === 'TELEOP'"):
        """Hold a key until this is true."""
        self.steer(lambda: self.page.keyboard.down(key), lambda: self.page.keyboard.up(key), until)

    def close(self):
        assert self.faults == []
        self.page.context.close()
