"""`clwm foxglove`: the running stack in Foxglove, to look at."""

from __future__ import annotations

import importlib.util
import ipaddress
from pathlib import Path
from typing import Annotated

import typer

from clwm_bringup import graph
from clwm_common.robot.description import RobotDescription
from clwm_common.terminal.console import PlainConsole

PORT = 8765


def foxglove(
    robot: Annotated[str, typer.Option(help="name of a file in config/robots")] = graph.StackOptions.robot,
    host: Annotated[str, typer.Option(help="address to listen to; any but this machine's own is open to all")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free")] = PORT,
    sim_time: Annotated[
        bool, typer.Option("--sim-time", help="the stack lives by /clock, as with clwm up --rate")
    ] = False,
    layout: Annotated[Path | None, typer.Option(help="only write the layout for this robot's topics to a file")] = None,
) -> None:
    """Serve the running stack for Foxglove until Ctrl-C: pictures, robot model, transforms, plots, timeline, log.

    It is for looking: no client can publish, call a service or set a parameter, and stopping an arm does not go through
    it. There is no password: on this machine every program may look, with another --host everybody who reaches it.
    """
    console = PlainConsole(highlight=False, soft_wrap=True)
    if importlib.util.find_spec("foxglove") is None:
        console.error("foxglove-sdk is not installed; run `make setup`, or pip install 'clwm[foxglove]'")
        raise typer.Exit(1)
    described = RobotDescription.load(robot)
    if layout is not None:
        from clwm_operator.foxglove.layout import layout_of

        layout.write_text(layout_of(described))
        console.print(f"layout: {layout}; in Foxglove: Layouts, Import from file")
        return
    # Here, since rclpy takes a second to import and --help must not wait for it.
    from clwm_operator.foxglove.serving import ServeError, serving

    try:
        with serving(described, host, port, console.print, sim_time) as (listened, look):
            shown = f"[{host}]" if ":" in host else host
            console.print(f"foxglove: ws://{shown}:{listened} (Ctrl-C ends it, not the stack)")
            console.print("in Foxglove: Open connection, Foxglove WebSocket; layout: config/foxglove/clwm.json")
            if not _is_own(host):
                console.marked("note:", "yellow", f"whoever reaches {host} sees the cameras and all else that is here")
            while True:
                look()
    except ServeError as error:
        console.error(error)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _is_own(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
