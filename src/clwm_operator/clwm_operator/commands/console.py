"""`clwm console`: the running stack on one page of a browser."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Annotated

import typer

from clwm_bringup import graph
from clwm_common.robot.description import RobotDescription
from clwm_common.terminal.console import PlainConsole

PORT = 8700
OPERATOR_TOKEN, VIEWER_TOKEN = "CLWM_CONSOLE_OPERATOR_TOKEN", "CLWM_CONSOLE_VIEWER_TOKEN"


def console(
    robot: Annotated[str, typer.Option(help="name of a file in config/robots")] = graph.StackOptions.robot,
    model: Annotated[str, typer.Option(help="name of a file in config/models")] = graph.StackOptions.model,
    address: Annotated[
        str, typer.Option(help="to listen to; another than this machine's own needs tokens")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free")] = PORT,
    name: Annotated[list[str] | None, typer.Option(help="further name of this machine by which pages may ask")] = None,
    sim_time: Annotated[
        bool, typer.Option("--sim-time", help="the stack lives by /clock, as with clwm up --rate")
    ] = False,
    tokens: Annotated[bool, typer.Option("--tokens", help="ask for tokens on this machine, too")] = False,
) -> None:
    """Serve the operator's page for the running stack, until Ctrl-C.

    Whoever opens it on this machine is an operator. With another --address, or --tokens, a token makes an operator or a
    viewer: taken from CLWM_CONSOLE_OPERATOR_TOKEN and CLWM_CONSOLE_VIEWER_TOKEN, or drawn and printed once. Use a
    tunnel (ssh -L 8700:localhost:8700) or a proxy with TLS where others can listen: this speaks plain HTTP.
    """
    from clwm_operator.console.access import AccessError, access_for

    terminal = PlainConsole(highlight=False, soft_wrap=True)
    given = os.environ.get(OPERATOR_TOKEN, ""), os.environ.get(VIEWER_TOKEN, "")
    try:
        access = access_for(address, (socket.gethostname(), *(name or ())), *given, wanted=tokens)
        listening = _listen(address, port)
    except AccessError as error:
        raise typer.BadParameter(str(error)) from None
    except OSError as error:
        terminal.error(f"cannot listen to {address}, port {port}: {error.strerror}; choose another --port or --address")
        raise typer.Exit(1) from None
    # Here, since rclpy takes a second to import and --help must not wait for it.
    from clwm_operator.console.running import serve

    port = listening.getsockname()[1]
    shown = f"[{address}]" if ":" in address else address
    terminal.print(f"console: http://{shown}:{port}/ (Ctrl-C ends it, not the stack)")
    for role, token, was_given in (
        ("operator", access.operator_token, given[0]), ("viewer", access.viewer_token, given[1])
    ):  # fmt: skip
        if token and not was_given:
            terminal.print(f"token of the {role}, shown once: {token}")

    def say(text: str) -> None:
        terminal.print(text, markup=False)

    try:
        asyncio.run(serve(RobotDescription.load(robot), model, access, listening, say, sim_time))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _listen(address: str, port: int) -> socket.socket:
    """Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address, port))
    except OSError:
        listening.close()
        raise
    return listening
