"""Starts libfranka's servers where a robot asks for them: their library is imported only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clwm_common.robot.description import RobotDescription, RobotError

if TYPE_CHECKING:
    from clwm_sim.franka.control import FrankaServers


def franka_servers(robot: RobotDescription, patience: float) -> FrankaServers:
    """Both arms' servers; patience: s of real time that a cycle waits for its command.

    Raises RobotError when their library is missing or an address is in use.
    """
    try:
        from clwm_sim.franka.control import FrankaServers
    except ModuleNotFoundError as error:
        raise RobotError(
            f"robot '{robot.name}' is simulated behind libfranka's protocol, which needs {error.name}; "
            "pip install 'clwm[franka]'"
        ) from None
    return FrankaServers(robot, patience)
