"""`clwm security`: what DDS Security needs to know of the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clwm_bringup import graph
from clwm_bringup.security.access_rights import access_table
from clwm_bringup.security.sros_policy import to_xml
from clwm_common.robot.description import RobotDescription
from clwm_common.terminal.lazy_commands import CommandPlace, lazy_group


def policy(
    robot: Annotated[str, typer.Option(help="name of a file in config/robots")] = graph.StackOptions.robot,
    out: Annotated[Path | None, typer.Option(help="file to write; without it the policy is printed")] = None,
) -> None:
    """Write the SROS2 policy of the graph: one enclave for each process, each node's rights and no more.

    docs/security.md says how a keystore is made from it and switched on.
    """
    text = to_xml(access_table(RobotDescription.load(robot)))
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text)
    except OSError as error:
        raise typer.BadParameter(f"--out: {out} cannot be written ({error.strerror}); choose another file") from None


security = lazy_group(
    {"policy": CommandPlace("clwm_bringup.commands.security", "policy", "Write the SROS2 policy of the graph")},
    "Least privilege for the graph's processes, by DDS Security.",
    "Examples:  clwm security policy --out policy.xml  |  docs/security.md",
)
