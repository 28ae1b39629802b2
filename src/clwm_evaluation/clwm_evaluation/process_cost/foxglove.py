"""`clwm bench foxglove`: what it costs to serve the stack for Foxglove, to nobody and to one who takes everything."""

from __future__ import annotations

import os
import time
from typing import Annotated, Any

import typer

from clwm_common.robot.description import RobotDescription
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_evaluation.process_cost.console import DOMAIN_SHIFT, ConsoleBenchError, running_server, share_of
from clwm_evaluation.report import Measured, Rows, measurement

ROBOT, LOOKERS = "dual_fr3_mujoco", ("nobody", "one client")
SETTLE = 3.0  # s


@measurement(ConsoleBenchError, draws=False)
def foxglove(
    console: PlainConsole,
    seconds: Annotated[float, typer.Option(min=2.0, help="without a client and with one, each")] = 30.0,
) -> Measured:
    """Processor time of `clwm foxglove`, beside three cameras of 640 x 480 at 20 Hz, arms and joints at 50 Hz.

    The client takes every topic that is served.
    """
    # Here, since rclpy takes a second to import and --help must not wait for it.
    from clwm_evaluation.process_cost.console_load_node import playing
    from clwm_operator.foxglove.client import Client

    domain = (int(os.environ.get("ROS_DOMAIN_ID", "0")) + DOMAIN_SHIFT) % 100
    found: dict[str, dict[str, float]] = {}
    with (
        progress(console, "foxglove", len(LOOKERS)) as advance,
        playing(RobotDescription.load(ROBOT), domain),
        running_server("foxglove", domain) as (process, port),
    ):
        time.sleep(SETTLE)
        found["nobody"] = share_of(process, seconds)
        advance(1, "nobody")
        client = Client(port)
        client.hear(lambda: client.channels, SETTLE)
        client.subscribe(*client.channels)
        client.hear(lambda: False, SETTLE)
        client.messages.clear()
        found["one client"] = share_of(process, seconds, lambda left: client.hear(lambda: False, left))
        pictures = [data for topic, _, data in client.messages if topic.endswith("/compressed")]
        found["one client"] |= {
            "pictures_per_second": round(len(pictures) / seconds, 1),
            "transforms_per_second": round(sum(topic == "/tf" for topic, _, _ in client.messages) / seconds, 1),
            "megabytes_per_second": round(sum(len(data) for _, _, data in client.messages) / 1e6 / seconds, 3),
        }
        client.close()
        advance(1, "one client")
    report = {"watched_by": found, "seconds": seconds}
    return Measured(report, [page_tables(report)[0].table("clwm foxglove, three cameras of 640 x 480 at 20 Hz")])


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """One row for each way to be looked at."""
    header = ["looked at by", "of one core", "memory", "pictures/s", "transforms/s", "MB/s"]
    rates = "pictures_per_second", "transforms_per_second", "megabytes_per_second"
    rows = [
        [
            who,
            f"{row['processor_share']:.1%}",
            f"{row['memory_mb']:.0f} MB",
            *(f"{row.get(it, 0.0):.1f}" for it in rates),
        ]
        for who, row in report["watched_by"].items()
    ]
    return [Rows(header, rows)]
