"""`clwm bench console`: what the operator's console costs, looked at by nobody and by one page."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from clwm_common.process_usage import usage
from clwm_common.robot.description import RobotDescription
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_evaluation.report import Measured, Rows, measurement
from clwm_operator.console.viewer import viewer

DOMAIN_SHIFT = 50  # the load must not reach a stack that runs on this machine
GOALS = {"nobody": 0.03, "one page": 0.25}  # of one core
ROBOT = "dual_fr3_mujoco"


class ConsoleBenchError(RuntimeError):
    """The console could not be measured; the message says why."""


@measurement(ConsoleBenchError, draws=False)
def console(
    console: PlainConsole,
    seconds: Annotated[float, typer.Option(min=2.0, help="without a page and with one, each")] = 30.0,
) -> Measured:
    """Processor time of the console's process, beside three cameras of 640 x 480 at 20 Hz and arms at 50 Hz."""
    # Here, since rclpy takes a second to import and --help must not wait for it.
    from clwm_evaluation.process_cost.console_load_node import playing

    domain = (int(os.environ.get("ROS_DOMAIN_ID", "0")) + DOMAIN_SHIFT) % 100
    found: dict[str, dict[str, float]] = {}
    with progress(console, "console", len(GOALS)) as advance, playing(RobotDescription.load(ROBOT), domain):
        with running_server("console", domain) as (process, port):
            time.sleep(3.0)  # it has come up
            found["nobody"] = share_of(process, seconds)
            advance(1, "nobody")
            with viewer(port) as page:
                page.look(3.0)
                before = page.pictures
                found["one page"] = share_of(process, seconds, page.look)
                found["one page"]["pictures_per_second"] = round((page.pictures - before) / seconds, 1)
                advance(1, "one page")
    report = summarise(found) | {"seconds": seconds}
    title = "the console's process, three cameras of 640 x 480 at 20 Hz"
    return Measured(report, [page_tables(report)[0].table(title)])


@contextlib.contextmanager
def running_server(name: str, domain: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A command that serves, in a ROS domain, and its port. Raises ConsoleBenchError when it does not come up."""
    command = [sys.executable, "-u", "-m", "clwm_bringup", name, "--port", "0"]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said = ""
        while (found := re.search(r"(?:http|ws)://\S+:(\d+)", said)) is None:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise ConsoleBenchError(f"clwm {name} did not come up: {said[-300:]}")
            said += line
        yield process, int(found[1])
    finally:
        process.terminate()
        process.wait(timeout=20.0)


def share_of(process: subprocess.Popen[str], seconds: float, wait: Any = time.sleep) -> dict[str, float]:
    """Share of a core, and memory. Raises ConsoleBenchError when the process has ended."""
    before, began = usage(process.pid), time.monotonic()
    wait(seconds)
    after = usage(process.pid)
    if before is None or after is None:
        raise ConsoleBenchError("the server ended while it was measured; start it by hand to see why")
    share = (after.processor - before.processor) / (time.monotonic() - began)
    return {"processor_share": round(share, 4), "memory_mb": round(after.share / 1e6)}


def summarise(found: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The report, by who looks at it."""
    watched_by = {who: row | {"meets_goal": row["processor_share"] <= GOALS[who]} for who, row in found.items()}
    return {"watched_by": watched_by, "goals": GOALS}


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """One row for each way to be looked at."""
    rows = [
        [who, f"{row['processor_share']:.1%}", f"{report['goals'][who]:.0%}", f"{row['memory_mb']:.0f} MB"]
        for who, row in report["watched_by"].items()
    ]
    return [Rows(["looked at by", "of one core", "goal, at most", "memory"], rows)]
