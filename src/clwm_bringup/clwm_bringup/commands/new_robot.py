"""`clwm new-robot`: a first description of a robot from its URDF, and what a person must still say."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from clwm_common.robot.description import RobotDescription, RobotError, config_directory
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_common.terminal.console import PlainConsole


def new_robot(
    urdf: Annotated[Path, typer.Option(help="the robot's URDF, its xacro expanded")],
    left: Annotated[str, typer.Option(help="what the names of the left arm's joints begin with")] = "",
    right: Annotated[str, typer.Option(help="what those of the right arm begin with")] = "",
    twice: Annotated[
        bool, typer.Option("--twice", help="the URDF is of one arm, and the robot has two of them")
    ] = False,
    flange: Annotated[str, typer.Option(help="link that carries the hand, without the arm's prefix")] = "",
    out: Annotated[
        Path | None, typer.Option(help="file to write; default: config/robots/NAME OF THE URDF.yaml")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="write over a file that is there")] = False,
) -> None:
    """Write a robot description that loads: joints, limits, kinematics and capsules from the URDF, the rest guessed.

    What is guessed is marked TO FILL in the file and listed here. docs/integration.md goes on from there.
    """
    from clwm_bringup.new_robot.arms import guessed_prefixes, one_arm, two_arms
    from clwm_bringup.new_robot.draft import draft
    from clwm_bringup.new_robot.shapes import points_by_link
    from clwm_bringup.new_robot.urdf import Urdf
    from clwm_sai_executor.checks.clearance import margins_of

    console = PlainConsole(highlight=False, soft_wrap=True)
    if bool(left) != bool(right):
        given, missing = ("--left", "--right") if left else ("--right", "--left")
        raise RobotError(f"{given} is given and {missing} is not; give both, or --twice for two arms of one URDF")
    if twice and left:
        raise RobotError(f"--twice takes the URDF's only arm, and --left is '{left}'; leave one of them out")
    urdf = urdf.expanduser().resolve()
    out = out or config_directory() / "robots" / f"{urdf.stem}.yaml"
    if out.suffix != ".yaml":
        raise RobotError(f"--out is {out}; expected a name that ends in .yaml, as the stack looks for that")
    if out.exists() and not force:
        raise RobotError(f"--out: {out} exists already; name another file, or --force to write over it")
    tree = Urdf.read(urdf)
    arms = (
        (one_arm(tree, flange),)
        if twice
        else two_arms(tree, *((left, right) if left else guessed_prefixes(tree)), flange)
    )
    is_beside = urdf.parent == (config_directory() / "robots").resolve()
    made = draft(out.stem, urdf.name if is_beside else str(urdf), arms, points_by_link(tree, arms[0]))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        fresh = Path(folder) / out.name
        fresh.write_text(made.text)
        robot = RobotDescription.from_yaml(fresh)
        fresh.replace(out)
    tools = DualArmKinematics(robot).poses(robot.home)
    console.print(f"{out}: two arms of {len(robot.left.joint_names)} joints")
    for side, arm, tool in zip(("left", "right"), robot.arms, tools, strict=True):
        at = ", ".join(f"{value:.3f}" for value in tool[:3])
        console.print(f"  {side}: {', '.join(arm.joint_names)}; at home its tool is at {at} m")
    console.print("To fill in, marked TO FILL in the file:")
    for line in made.to_fill:
        console.print(f"  - {line}")
    if (margins := margins_of(robot)) is not None:
        left_over = margins(robot.home[None])
        for what, value in vars(left_over).items():
            if float(np.min(value)) < 0.0:
                console.print(
                    f"  - at home the clearance of '{what}' is {float(value[0]):.3f} m, less than none: give another "
                    "home, or correct bases, capsules or table_height"
                )
    console.print(f"Then go on with docs/integration.md: clwm up --robot {robot.name} --model none")
