"""`clwm preflight`: is this robot ready for the stack? One line per question, each failure with its remedy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from clwm_bringup import graph
from clwm_bringup.checks.camera_sheet import write_sheet
from clwm_bringup.checks.doctor import Outcome, Result, check_checkpoints
from clwm_bringup.commands.doctor import print_result
from clwm_common import ros_environment
from clwm_common.files.model_files import ModelFiles
from clwm_common.robot.description import RobotDescription
from clwm_common.terminal.console import PlainConsole

DISCOVERY = 4.0  # s within which drivers that are there must have been found


def preflight(
    robot: Annotated[str, typer.Option(help="name of a file in config/robots")] = graph.StackOptions.robot,
    model: Annotated[str, typer.Option(help=graph.MODEL_HELP)] = graph.StackOptions.model,
    seconds: Annotated[float, typer.Option(min=1.0, max=60.0, help="to listen")] = 4.0,
    sim_time: Annotated[bool, typer.Option("--sim-time", help="the stack is to live by /clock")] = False,
    pictures: Annotated[Path | None, typer.Option(help="PNG file: what each camera sends, and what is used")] = None,
) -> None:
    """Listen to a robot's drivers and cameras before the stack is started: names, rates, clocks, controllers.

    Sends nothing: no arm can move. Ends with 1 when a check fails.
    """
    from clwm_bringup.checks.preflight_node import PreflightNode
    from clwm_common.ros.session import RosSession

    console = PlainConsole(highlight=False, soft_wrap=True)
    description = RobotDescription.load(robot)
    is_asked, size = model != graph.NO_MODEL, None
    fits = check_checkpoints(model, robot) if is_asked else Result(Outcome.OK, "none: people steer the arms")
    if is_asked and fits.outcome is Outcome.OK:
        size = graph.fitting_encoder(ModelFiles.load(model), description).preprocessing.size
    with RosSession(sim_time=sim_time) as session:
        node = session.add(PreflightNode(description, size, has_policy=is_asked))
        patience = time.monotonic() + DISCOVERY
        until = time.monotonic() + seconds
        with console.status(f"listening to {robot} for {seconds:g} s"):
            while time.monotonic() < until:
                session.spin_once(timeout_sec=0.02)
                node.poll()
                # On a busy machine the drivers are found late, which says nothing about them.
                if not node.has_heard_all and time.monotonic() < patience:
                    until = time.monotonic() + seconds
        results = [("model", fits), *node.results()]
        seen = node.pictures
    for title, result in results:
        print_result(console, title, result)
    if any(result.found.startswith(("nothing on", "nobody")) for _, result in results):
        console.print(f"looked for {ros_environment.discovery()}")
    if pictures is not None and seen:
        try:
            write_sheet(pictures, seen)
        except OSError as error:
            console.error(f"{pictures} cannot be written ({error.strerror}); name another file")
            raise typer.Exit(2) from None
        console.print(f"pictures: {pictures}")
    if failed := sum(result.outcome is Outcome.FAIL for _, result in results):
        console.print(f"{failed} checks failed; the stack is not ready for {robot}")
        raise typer.Exit(1)
    started = "clwm up starts it too" if description.is_simulated else f"clwm up --robot {robot}"
    console.print(f"{robot} is ready: {started}")
