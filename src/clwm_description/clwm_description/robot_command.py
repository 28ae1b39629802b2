"""The command `clwm describe robot`: URDF and controllers of a robot for each kind of hardware."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clwm_common.robot.description import RobotDescription
from clwm_common.terminal.console import PlainConsole
from clwm_description.controllers import INTERFACES, controllers_yaml
from clwm_description.hardware import KINDS, HardwareError, hardware_named
from clwm_description.urdf import MESH_PACKAGE, Choices, robot_urdf
from clwm_sim.scenes.workcell import mesh_directory


def robot(
    robot: Annotated[str, typer.Option(help="name of a file in config/robots")] = "dual_fr3_ros2_control",
    hardware: Annotated[str, typer.Option(help=f"{', '.join(KINDS)}, or all")] = "all",
    out: Annotated[Path, typer.Option(help="folder for HARDWARE.urdf and HARDWARE.INTERFACE.yaml")] = Path(
        "out/description"
    ),
    portable: Annotated[
        bool, typer.Option("--portable", help="name meshes by their package, not by where they are on this machine")
    ] = False,
) -> None:
    """Write both arms with their hands and cameras as URDF, and the parameters of their controllers."""
    console = PlainConsole(highlight=False)
    described = RobotDescription.load(robot)
    try:
        kinds = {name: hardware_named(name) for name in (KINDS if hardware == "all" else [hardware])}
    except HardwareError as error:
        console.error(error)
        raise typer.Exit(2) from None
    out.mkdir(parents=True, exist_ok=True)
    meshes = MESH_PACKAGE if portable else mesh_directory().as_uri()
    for name, kind in kinds.items():
        for interface in set(INTERFACES) & set(kind.commands):
            path = out / f"{name}.{interface}.yaml"
            path.write_text(controllers_yaml(described, interface, kind))
        controllers = out / f"{name}.{INTERFACES[0]}.yaml"
        where = controllers.name if portable else str(controllers.resolve())
        urdf = out / f"{name}.urdf"
        urdf.write_text(robot_urdf(described, Choices(name, meshes=meshes, controllers=where)))
        console.print(f"{name}: {urdf} and its controllers", soft_wrap=True)
