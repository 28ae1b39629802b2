"""Everything that moves one simulated robot: a controller and a gripper per arm, in the world's time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ARM_JOINTS
from clwm_common.control.joint_trajectory_controller import (
    ControllerParameters,
    JointTrajectoryController,
    TrajectoryRefused,
)
from clwm_common.control.trajectory import JointState, JointTrajectory
from clwm_common.robot.description import Arm, RobotDescription
from clwm_sim.cell import Cell
from clwm_sim.controllers.drive import StreamDrive
from clwm_sim.controllers.forward_controller import CommandRefused, ForwardCommandController
from clwm_sim.controllers.gripper_controller import GripperController
from clwm_sim.scenes.workcell import PHYSICS_DT
from clwm_sim.world import World

SIDES = ("left", "right")
LEAP = 0.2  # rad; what is on its way when the world is reset goes beyond it, as a rule


class RobotControl:
    """Feeds a World from its controllers; one update per physics step.

    The controllers live on the stack's clock, the world counts from its reset: the origin is the stack's time, in s, at
    which the world's time is zero. Whoever paces the world says when it slips or when the clock was set.
    """

    def __init__(
        self,
        world: World | Cell,
        robot: RobotDescription,
        origin: float = 0.0,
        parameters: ControllerParameters | None = None,
    ) -> None:
        self._world = world
        self._origin = origin
        self._late = 0.0
        self._columns = robot.columns(0), robot.columns(1)
        positions, openings = world.setpoint()
        self._arms = tuple(
            _controller_of(arm, positions[self._columns[index]], robot.joint_interface is not None, parameters)
            for index, arm in enumerate(robot.arms)
        )
        self._ended: list[float | None] = [None, None]
        self._grippers = tuple(
            GripperController(opening, gripper.opening_min, gripper.opening_max, gripper.speed)
            for opening, gripper in zip(openings, (arm.gripper for arm in robot.arms), strict=True)
        )

    @property
    def now(self) -> float:
        """The world's present on the stack's clock [s]."""
        return self._origin + self._world.time

    def slip(self, seconds: float) -> None:
        """The world stood still for `seconds` of everybody's time: the controllers' next update is so late."""
        self._origin += seconds
        self._late += seconds

    def set_clock(self, seconds: float) -> None:
        """The stack's clock was set by `seconds`; no time passed for world and controllers."""
        self._origin += seconds

    def reset(self, origin: float) -> None:
        """After the world's reset: drop all trajectories and hold the world's set point.

        What is on its way of a path that began before is refused when it comes: a path's messages share its stamp.
        """
        self._origin = origin
        self._late = 0.0
        for index, controller in enumerate(self._arms):
            if isinstance(controller, JointTrajectoryController) and controller.stamp is not None:
                self._ended[index] = controller.stamp
        positions, openings = self._world.setpoint()
        for index, controller in enumerate(self._arms):
            controller.reset(positions[self._columns[index]])
        for gripper, opening in zip(self._grippers, openings, strict=True):
            gripper.reset(opening)

    def receive_trajectory(self, arm: int, message: JointTrajectory) -> None:
        """Hand a trajectory to arm 0 (left) or 1 (right). Raises TrajectoryRefused with the reason."""
        controller = self._arms[arm]
        if not isinstance(controller, JointTrajectoryController):
            raise TrajectoryRefused(f"the controller of the {SIDES[arm]} arm takes positions, not trajectories")
        if message.stamp and message.stamp == self._ended[arm]:
            raise TrajectoryRefused(f"the path of stamp {message.stamp:.3f} s ended when the world was reset")
        controller.receive(message, self.now)

    def receive_positions(self, arm: int, positions: Sequence[float], at: float) -> None:
        """Hand positions (joints,) [rad] that arrived `at` [s] to arm 0 (left) or 1 (right). Raises CommandRefused."""
        controller = self._arms[arm]
        if not isinstance(controller, ForwardCommandController):
            raise CommandRefused(f"the controller of the {SIDES[arm]} arm takes trajectories, not positions")
        controller.receive(positions, at)

    def receive_opening(self, arm: int, opening: float) -> None:
        """Give the gripper of arm 0 (left) or 1 (right) a target [m]. Raises ValueError when it is not finite."""
        self._grippers[arm].receive(opening)

    def advance(self, until: float) -> None:
        """Run the world until `until`, in s on the stack's clock; an instant already reached is left alone."""
        self._world.advance(max(until - self._origin, self._world.time), self._setpoint)

    def _setpoint(self, step_end: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        now = self._origin + step_end - PHYSICS_DT
        late, self._late = self._late, 0.0
        measured = self._world.measured()
        positions = np.zeros(2 * ARM_JOINTS)
        for part, controller in zip(self._columns, self._arms, strict=True):
            state = JointState(measured.positions[part], measured.velocities[part])
            positions[part] = controller.update(now, PHYSICS_DT, state, late).positions
        return positions, np.array([gripper.update(PHYSICS_DT) for gripper in self._grippers])


class _StreamedArm(ForwardCommandController):
    """A forward_command_controller, and drives behind it that make a motion of its steps and refuse a leap."""

    def receive(self, positions: Sequence[float], at: float) -> None:
        before = self.newest
        super().receive(positions, at)
        leap = float(np.abs(self.newest - before).max())
        if leap > LEAP:
            self._arrived.pop()
            raise CommandRefused(f"positions are {leap:.2f} rad from those before; the drives take at most {LEAP} rad")

    def reset(self, position: NDArray[np.float64]) -> None:
        super().reset(position)
        self._drive = StreamDrive(position)

    def update(self, now: float, period: float, measured: JointState, late: float = 0.0) -> JointState:
        return JointState(self._drive.update(super().update(now, period, measured).positions, period))


def _controller_of(
    arm: Arm, position: NDArray[np.float64], is_apart: bool, parameters: ControllerParameters | None
) -> JointTrajectoryController | ForwardCommandController:
    """What the robot's description names, or drives alone when that is elsewhere, holding `position` (joints,)."""
    if is_apart or arm.controller.kind == "forward":
        return _StreamedArm(position)
    return JointTrajectoryController(arm.joint_names, position, parameters)
