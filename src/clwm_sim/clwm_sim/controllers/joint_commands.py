"""What joint commands by name ask of arms and hands, when the controllers are not the simulation's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clwm_common.robot.description import RobotDescription
from clwm_sim.controllers.forward_controller import CommandRefused


@dataclass(frozen=True)
class ArmCommand:
    """Of arm 0 (left) or 1 (right): positions (joints,) rad and opening m; None is not asked for."""

    arm: int
    positions: list[float] | None
    opening: float | None


class JointCommands:
    """Reads names and positions, in any order: all joints of an arm, its finger, of one arm or both."""

    def __init__(self, robot: RobotDescription) -> None:
        self._arms = robot.arms
        self._known = {*robot.joint_names, *(arm.gripper.finger_joint for arm in robot.arms)}

    def read(self, names: Sequence[str], positions: Sequence[float]) -> Iterator[ArmCommand]:
        """The commands of the arms that are named. Raises CommandRefused, before any of them, with the reason."""
        if len(names) != len(positions):
            raise CommandRefused(f"{len(names)} names and {len(positions)} positions; give a position for each")
        given = dict(zip(names, positions, strict=True))
        if len(given) != len(names):
            raise CommandRefused(f"a joint is named twice: {', '.join(names)}")
        if unknown := [name for name in names if name not in self._known]:
            raise CommandRefused(f"joint '{unknown[0]}' is not one of the robot's")
        commands = []
        for index, arm in enumerate(self._arms):
            own = [given.get(name) for name in arm.joint_names]
            missing = [name for name, value in zip(arm.joint_names, own, strict=True) if value is None]
            if 0 < len(missing) < len(own):
                raise CommandRefused(f"joint '{missing[0]}' is missing; command all joints of an arm or none")
            finger = given.get(arm.gripper.finger_joint)
            # A finger moves half of what the hand opens.
            opening = None if finger is None else 2.0 * finger
            if not missing or opening is not None:
                commands.append(ArmCommand(index, None if missing else own, opening))
        return iter(commands)
