"""Pictures of the operator's page for the documents, of every state, 1400 and 400 pixels wide.

    source scripts/env.sh; python scripts/console_pictures.py

Starts a stack and consoles of its own, drives the distribution's chromium, and writes docs/images/console_*.webp.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.clwm_operator.console.conftest import Console  # noqa: E402
from tests.clwm_operator.console.seat import Seat, running_browser  # noqa: E402
from tests.clwm_operator.running_stack import running_stack  # noqa: E402

WIDE, NARROW = 1400, 400  # px
HEIGHTS = {WIDE: 1000, NARROW: 860}
QUALITY = 72  # of WebP
WHY = "document.querySelector('#why').textContent"
LIFT, UNKNOWN = "raise the tray off the table with two hands", "stop, do nothing and keep both arms still"


class Camera:
    """Takes pictures of pages into a folder."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def take(self, page, state: str, near: str = "#cameras", whole: bool = False, again=lambda: None) -> None:
        """At both widths, with the element `near` in sight; whole: the whole page, when it is wide.

        again: brings the state about anew, right before each picture: it may have passed meanwhile.
        """
        for width, height in HEIGHTS.items():
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(700)  # the layout, and the newest pictures
            place = f"document.querySelector('{near}').getBoundingClientRect().top + scrollY - 110"
            page.evaluate(f"scrollTo(0, {place})" if width == NARROW else "scrollTo(0, 0)")
            page.wait_for_timeout(150)
            again()
            pixels = np.frombuffer(page.screenshot(full_page=whole and width == WIDE), np.uint8)
            path = self._out / f"console_{state}_{width}.webp"
            picture = cv2.imdecode(pixels, cv2.IMREAD_COLOR)
            path.write_bytes(cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1].tobytes())
            print(f"{path.name}: {picture.shape[1]} x {picture.shape[0]}, {path.stat().st_size / 1000:.0f} kB")


def begin(seat, seed: int = 1_000_000) -> None:
    """An episode of the tray, its sentence typed, the arms held."""
    seat.page.click("#hold")
    seat.mode("HOLD")
    seat.page.select_option("#world_task", "lift_tray")
    seat.page.fill("#world_seed", str(seed))
    seat.page.click("#reset")
    seat.wait(f"document.querySelector('#world_now').textContent.startsWith('now lift_tray, seed {seed}, ')")
    seat.page.fill("#sentence", LIFT)
    seat.page.click("#give")
    seat.wait(f"document.querySelector('#instruction').textContent === '“{LIFT}”'")


def run(seat) -> None:
    """The policy moves the arms."""
    seat.page.click("#hand_back")
    seat.mode("POLICY")
    seat.wait(f"{WHY} === 'A chunk is being executed'")
    seat.page.wait_for_timeout(1200)


def blocking(page, is_dropped) -> None:
    """What the console sends on the live connection is dropped when `is_dropped(message)`."""

    def route(socket):
        server = socket.connect_to_server()
        socket.on_message(server.send)
        server.on_message(lambda message: is_dropped(message) or socket.send(message))

    page.route_web_socket("**/live", route)


def operators_states(camera: Camera, browser, console) -> None:
    seat = Seat(browser, console)
    drops: list[type] = []
    blocking(seat.page, lambda message: type(message) in drops)
    seat.open()
    camera.take(seat.page, "start")
    begin(seat)
    run(seat)  # so that the charts have something to show
    seat.page.wait_for_timeout(5000)
    begin(seat, 1_000_001)
    camera.take(seat.page, "hold")
    run(seat)
    working = f"{WHY} === 'A chunk is being executed'"
    camera.take(seat.page, "running", whole=True, again=lambda: seat.wait(working))
    seat.page.click("#hold")
    seat.mode("HOLD")
    seat.page.fill("#sentence", UNKNOWN)
    seat.page.click("#give")
    seat.wait("document.querySelector('#answer').classList.contains('refused')")
    camera.take(seat.page, "refused", "#task")
    begin(seat, 1_000_002)
    seat.take_over()
    camera.take(seat.page, "taken_over", "#hands", again=lambda: seat.press("w"))
    seat.page.keyboard.up("w")
    seat.mode("HOLD")
    seat.page.click("#estop")
    seat.mode("ESTOP")
    camera.take(seat.page, "estop")
    seat.page.click("#hold")
    seat.mode("HOLD")
    drops.append(bytes)
    seat.wait("document.querySelector('[data-camera=head]').classList.contains('stale')")
    camera.take(seat.page, "old_picture")
    drops.append(str)
    seat.wait("document.body.classList.contains('old')")
    camera.take(seat.page, "old")
    seat.close()


def guarded_states(camera: Camera, browser, console) -> None:
    while len(console.tokens) < 2:
        console.said += console.process.stdout.readline()
    seat = Seat(browser, console)
    seat.page.goto(seat.url)
    seat.page.wait_for_selector("#token")
    camera.take(seat.page, "login")
    seat.page.fill("#token", console.tokens["viewer"])
    seat.page.click("#log_in")
    seat.wait("document.querySelector('[data-camera=head]')?.dataset.shown > 2")
    camera.take(seat.page, "viewer", "#hands")
    seat.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images", help="folder of the pictures")
    camera = Camera(parser.parse_args().out)
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder) / "log"), running_browser() as browser:
        for states, options in ((operators_states, ()), (guarded_states, ("--tokens",))):
            console = Console(*options, variables=os.environ)
            try:
                states(camera, browser, console)
            finally:
                console.end()


if __name__ == "__main__":
    main()
