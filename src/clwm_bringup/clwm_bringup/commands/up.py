"""`clwm up`: the whole graph in one terminal."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from clwm_bringup import graph, log_lines
from clwm_bringup.supervisor import Line, Supervisor
from clwm_common.log_throttle import LogThrottle
from clwm_common.terminal.console import PlainConsole

CONSOLE_HELP = "serve the operator's page, for this machine alone; clwm console serves others"
SAME_LINES = 20  # of one process in a second: the nodes see to themselves, their libraries do not


def up(
    robot: Annotated[str, typer.Option(help="name of a file in config/robots")] = graph.StackOptions.robot,
    model: Annotated[str, typer.Option(help=graph.MODEL_HELP)] = graph.StackOptions.model,
    task: Annotated[str, typer.Option(help="task of the simulated world's first episode")] = graph.StackOptions.task,
    seed: Annotated[int, typer.Option(min=0, help="its initial state")] = graph.StackOptions.seed,
    sai: Annotated[str, typer.Option(help=graph.SAI_HELP)] = "",
    follow: Annotated[str, typer.Option(help=graph.FOLLOW_HELP)] = graph.StackOptions.follow,
    teleop_poses: Annotated[bool, typer.Option("--teleop-poses", help=graph.TELEOP_POSES_HELP)] = False,
    sim_time: Annotated[bool, typer.Option("--sim-time", help=graph.SIM_TIME_HELP)] = False,
    rate: Annotated[float, typer.Option(min=0.0, max=10.0, help=graph.RATE_HELP)] = graph.StackOptions.rate,
    replay_log: Annotated[Path | None, typer.Option(help="file of what decides the chunks, for clwm replay")] = None,
    console: Annotated[bool, typer.Option("--console", help=CONSOLE_HELP)] = False,
) -> None:
    """Start the stack and keep it running until Ctrl-C.

    Four processes: simulated robot and cameras, perception, policy, executor; the last three for a robot that has a
    driver of its own (see clwm preflight). One that dies is started again; one that refuses its parameters ends all.
    With --console a fifth one serves the operator's page; its address is printed.
    In another terminal: clwm task gives the arms a task, clwm watch shows what they do, clwm mode hold stops them.
    """
    terminal = PlainConsole(highlight=False, soft_wrap=True)

    repeats = LogThrottle(burst=SAME_LINES)

    def show(line: Line) -> None:
        if (text := repeats.admit(time.monotonic(), line.text, line.name)) is not None:
            terminal.print(log_lines.parse(line.name, text).styled())

    is_asked_to_stop = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal is_asked_to_stop
        is_asked_to_stop = True

    recorded = "" if replay_log is None else str(replay_log.absolute())
    options = graph.StackOptions(
        robot,
        model,
        task,
        seed,
        sai,
        record=recorded,
        follow=follow,
        teleop_poses=teleop_poses,
        sim_time=sim_time,
        rate=rate,
    )
    specs = graph.build_graph(options)
    # Here, since rclpy takes a second to import and --help must not wait for it.
    from clwm_bringup.checks.one_stack_node import problem_with_another

    if problem := problem_with_another(spec.name for spec in specs):
        terminal.error(problem)
        raise typer.Exit(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, on_signal)
    clock = ("--sim-time",) if rate else ()
    page = graph.CommandSpec("console", ("console", "--robot", robot, "--model", model, *clock))
    processes = [*specs, page] if console else specs
    show(Line("clwm", f"starting {', '.join(process.name for process in processes)}; Ctrl-C ends them in order"))
    with Supervisor(processes, graph.environment(), show) as supervisor:
        # A stack that lacks a process from the start is not the one that was asked for.
        while not (is_asked_to_stop or supervisor.is_refused) and len(supervisor.given_up) < len(processes):
            supervisor.poll(timeout=0.2)
            for name, text in repeats.due(time.monotonic()):
                terminal.print(log_lines.parse(name, text).styled())
        show(Line("clwm", "shutting down"))
    if supervisor.given_up:
        raise typer.Exit(1)
