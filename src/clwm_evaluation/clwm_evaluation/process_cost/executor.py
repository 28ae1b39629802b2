"""`clwm bench executor`: what the process that holds the arms costs, with 20 Hz rows and joint states of any rate."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from clwm_common.process_usage import Usage, usage
from clwm_common.robot.description import RobotDescription, RobotError
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_evaluation.report import Measured, Rows, measurement
from clwm_sai_executor.config import SchedulerConfig

if TYPE_CHECKING:
    from clwm_evaluation.process_cost.executor_load_node import ExecutorLoadNode

START_TIMEOUT = 60.0  # s
_GAPS = "joint_state_gap_ms"  # in the executor's own metrics
DOMAIN_SHIFT = 50  # the load must not reach a stack that runs on this machine
PROCESSOR_GOAL, MEMORY_GOAL = 0.15, 150e6  # of one core, bytes
USUAL_RATE = 100  # Hz of joint states, both arms on one topic
FAST_PROCESSOR_GOAL = 0.25  # of one core, when each arm has a topic of its own and publishes oftener


class ExecutorBenchError(RuntimeError):
    """The executor could not be measured; the message says why."""


@measurement(ExecutorBenchError, RobotError, draws=False)
def executor(
    console: PlainConsole,
    seconds: Annotated[int, typer.Option(min=5, help="how long to measure")] = 60,
    warm_up: Annotated[float, typer.Option(min=0.0, help="s of motion before that")] = 5.0,
    robot: Annotated[str, typer.Option(help="name of a file in config/robots")] = "dual_fr3_mujoco",
    joint_rate: Annotated[
        int, typer.Option(min=10, max=2000, help="Hz of joint states; above 100 on a topic for each arm")
    ] = USUAL_RATE,
    joint_period: Annotated[
        float, typer.Option(min=0.0, max=0.02, help="the executor's parameter; 0 is the control: each message is read")
    ] = SchedulerConfig().joint_period,
) -> Measured:
    """Memory and processor time of the executor's process alone, while arms and a policy are played to it over DDS."""
    report = measure_executor(robot, seconds, warm_up, joint_rate, joint_period, console)
    return Measured(report, [as_table(report)])


def measure_executor(
    robot: str, seconds: int, warm_up: float, joint_rate: int, joint_period: float, console: PlainConsole
) -> dict[str, Any]:
    """Start the node in a process of its own, work it for `seconds`, and return the report.

    Raises ExecutorBenchError when it does not start, dies, or executes nothing.
    """
    # Here, since rclpy takes a second to import and --help must not wait for it.
    from clwm_evaluation.process_cost.executor_load_node import APART, arms_apart, running_load_node

    domain = (int(os.environ.get("ROS_DOMAIN_ID", "0")) + DOMAIN_SHIFT) % 100
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
    with contextlib.ExitStack() as stack:
        if joint_rate > USUAL_RATE:
            config = stack.enter_context(arms_apart(robot))
            environment["CLWM_CONFIG"], robot = str(config), APART
            description = RobotDescription.from_yaml(config / "robots" / f"{APART}.yaml")
        else:
            description = RobotDescription.load(robot)
        parameters = ["-p", f"robot:={robot}", "-p", f"joint_period:={float(joint_period)}"]
        command = [sys.executable, "-m", "clwm_sai_executor.node", "--ros-args", *parameters]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with running_load_node(description, domain, joint_rate) as node:
                report = _measured(process, node, seconds, warm_up, joint_rate, console)
                return {"joint_period": joint_period, **report}
        finally:
            process.terminate()
            process.wait(timeout=10.0)


def _measured(
    process: subprocess.Popen,
    node: ExecutorLoadNode,
    seconds: int,
    warm_up: float,
    joint_rate: int,
    console: PlainConsole,
) -> dict[str, Any]:
    deadline = time.monotonic() + START_TIMEOUT
    while node.chunks < 2:
        if process.poll() is not None or time.monotonic() > deadline:
            raise ExecutorBenchError("the executor executed nothing; run clwm doctor, and clwm up to see its log")
        if node.chunks == 0:
            node.ask_for_motion()
        node.work(1.0)
    node.work(warm_up)
    samples, chunks, states = [_require(usage(process.pid))], node.chunks, node.states
    began = time.monotonic()
    with progress(console, "seconds", seconds) as advance:
        for _ in range(seconds):
            node.work(1.0)
            samples.append(_require(usage(process.pid)))
            advance(1, f"{samples[-1].resident / 1e6:.0f} MB")
    if node.chunks == chunks:
        raise ExecutorBenchError(f"the executor stopped asking for chunks; its last status: {node.status}")
    report = _report(samples, time.monotonic() - began, node.chunks - chunks, node.states - states, joint_rate)
    return {**report, "states_stale": node.summary.get("state_stale"), "state_gaps_ms": node.summary.get(_GAPS)}


def _report(samples: list[Usage], seconds: float, chunks: int, states: int, joint_rate: int) -> dict[str, Any]:
    shares = [after.processor - before.processor for before, after in zip(samples, samples[1:], strict=False)]
    processor = (samples[-1].processor - samples[0].processor) / seconds
    resident = max(sample.resident for sample in samples)
    goal = PROCESSOR_GOAL if joint_rate <= USUAL_RATE else FAST_PROCESSOR_GOAL
    return {
        "seconds": round(seconds, 2),
        "processor_share": round(processor, 4),
        "processor_share_worst_second": round(max(shares), 3),
        "resident_mb": round(resident / 1e6, 1),
        "resident_own_mb": round(max(sample.share for sample in samples) / 1e6, 1),
        "growth_mb": round((samples[-1].resident - samples[0].resident) / 1e6, 2),
        "chunks": chunks,
        "joint_rate": joint_rate,
        "joint_state_topics": 1 if joint_rate <= USUAL_RATE else 2,
        "joint_states_per_second": round(states / seconds, 1),
        "processor_goal": goal,
        "meets_processor_goal": processor <= goal,
        "meets_memory_goal": resident <= MEMORY_GOAL,
    }


def _require(found: Usage | None) -> Usage:
    if found is None:
        raise ExecutorBenchError("the executor's process died while it was measured; clwm up shows its log")
    return found


def as_table(report: dict[str, Any]) -> Table:
    """The report for people."""
    topics = report["joint_state_topics"]
    title = f"the executor's process: 20 Hz rows, {report['joint_rate']} Hz joint states, {topics} topics"
    share, worst = report["processor_share"], report["processor_share_worst_second"]
    gaps = {name: f"{value:.0f}" for name, value in report["state_gaps_ms"].items()}
    rows = [
        ["processor, of one core", f"{share:.1%} (worst second {worst:.1%})", f"{report['processor_goal']:.0%}"],
        ["resident memory", f"{report['resident_mb']:.0f} MB", f"{MEMORY_GOAL / 1e6:.0f} MB"],
        ["of that its own", f"{report['resident_own_mb']:.0f} MB", "-"],
        ["growth", f"{report['growth_mb']:.2f} MB", "-"],
        ["chunks executed", str(report["chunks"]), "-"],
        ["joint states a second", f"{report['joint_states_per_second']:.0f}", "-"],
        ["found stale", str(report["states_stale"]), "0"],
        ["gap between two, p50 / max", f"{gaps['p50']} / {gaps['max']} ms", "-"],
    ]
    return Rows(["what", "measured", "goal"], rows).table(title)


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """One row."""
    header = ["of one core", "worst second", "resident MB", "of that its own", "joint states a second"]
    shares = [f"{100 * report[name]:.1f} %" for name in ("processor_share", "processor_share_worst_second")]
    sizes = [f"{report[name]:.0f}" for name in ("resident_mb", "resident_own_mb", "joint_states_per_second")]
    return [Rows(header, [[*shares, *sizes]])]
