"""How soon the arms rest after HOLD is pressed on the operator's page, its live connection blocked.

    source scripts/env.sh; python scripts/console_hold.py --json benchmarks/results/console_hold.json

Starts a stack and a console of its own, and drives the distribution's chromium. Every other time nothing is pressed.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from clwm_common.ros.session import RosThread  # noqa: E402
from clwm_common.terminal.console import PlainConsole  # noqa: E402
from clwm_evaluation.pages.stack_tables import console_hold  # noqa: E402
from clwm_evaluation.report import provenance, write_json  # noqa: E402
from tests.clwm_operator.console.conftest import Console  # noqa: E402
from tests.clwm_operator.console.hold import MOVING, PROMPT, WINDOW, Joints, begin, moving_on, type_sentence  # noqa: E402
from tests.clwm_operator.console.seat import Seat, running_browser  # noqa: E402
from tests.clwm_operator.running_stack import running_stack  # noqa: E402

FIRST_SEED = 1_000_000
TASK = "lift_tray"


def measure(presses: int, browser, console, joints, say) -> dict:
    """As many presses at moving arms, and as many times without one."""
    found = {True: [], False: []}
    seat, seed, too_late = Seat(browser, console).open(), FIRST_SEED, 0
    while min(map(len, found.values())) < presses:
        is_pressed = len(found[True]) <= len(found[False])
        begin(seat, TASK, seed)
        type_sentence(seat, TASK)
        seconds = moving_on(browser, console, joints, seat, is_pressed)
        seed += 1
        if math.isinf(seconds):
            too_late += 1
            continue
        found[is_pressed].append(round(seconds, 4))
        say(f"{'pressed' if is_pressed else 'not pressed'}: the arms move on for {seconds:.3f} s")
    seat.close()
    return {
        "pressed": summary(found[True]),
        "not_pressed": summary(found[False]),
        "prompt_s": PROMPT,
        "window_s": WINDOW,
        "at_rest_when_pressed": too_late,
        "load_average": os.getloadavg()[1],  # of five minutes
    }


def summary(seconds: list[float]) -> dict:
    p50, p95 = np.percentile(seconds, (50, 95))
    prompt = sum(it <= PROMPT for it in seconds)
    numbers = {"p50_s": round(float(p50), 4), "p95_s": round(float(p95), 4), "max_s": max(seconds)}
    return {"tries": len(seconds), "prompt": prompt, **numbers, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--presses", type=int, default=20, help=f"while a joint moves with more than {MOVING} rad/s")
    parser.add_argument("--json", type=Path, help="the report")
    options, terminal = parser.parse_args(), PlainConsole()
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder) / "log"), running_browser() as browser:
        console = Console(variables=os.environ)
        try:
            with RosThread() as ros:
                found = measure(options.presses, browser, console, ros.add(Joints()), terminal.print)
        finally:
            console.end()
    report = found | provenance("console_hold", FIRST_SEED)
    for rows in console_hold(report):
        terminal.print(rows.table("from HOLD to arms at rest"))
    write_json(terminal, report, options.json)


if __name__ == "__main__":
    main()
