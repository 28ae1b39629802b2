"""What one arm is told, millisecond by millisecond: its controller, and the filter that keeps the robot's limits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clwm_common.control.joint_trajectory_controller import JointTrajectoryController
from clwm_common.control.trajectory import JointState, JointTrajectory
from clwm_common.robot.description import JointLimits
from clwm_franka.command_filter import CYCLE, CommandFilter

ELSEWHERE = 0.015  # rad between the robot's set point and ours beyond which it is led by something else
ELSEWHERE_FOR = 0.05  # s for which it must be: what it has not heard of yet is a few cycles old


class ArmControl:
    """Time is the robot's: as many steps are made as its state is milliseconds after the one before.

    missed: cycles in which the robot got no command of ours, since the start. cycles: all of them. taken_over: how
    often the robot's set point was found elsewhere, and followed.
    """

    def __init__(self, joint_names: Sequence[str], limits: JointLimits, position: NDArray[np.float64]) -> None:
        """position: (joints,) rad, the robot's set point; it is held until the first trajectory."""
        self._controller = JointTrajectoryController(joint_names, position)
        self._filter = CommandFilter(limits, position)
        self._received_at: float | None = None
        self._elsewhere_since: float | None = None
        self.cycles = self.missed = self.taken_over = 0

    @property
    def is_at_rest(self) -> bool:
        """Whether the arm is told to stand."""
        return self._filter.is_at_rest

    def hold(self, position: NDArray[np.float64]) -> None:
        """Drop the trajectory and rest at `position` (joints,) rad."""
        self._controller.reset(position)
        self._filter.reset(position)
        self._elsewhere_since = None

    def receive(self, message: JointTrajectory, now: float) -> None:
        """Follow a trajectory from the next cycle on. Raises TrajectoryRefused with the reason."""
        self._controller.receive(message, now)
        self._received_at = now

    def cycle(self, now: float, milliseconds: int, set_point: NDArray[np.float64]) -> NDArray[np.float64]:
        """The position (joints,) rad for the cycle that begins at `now` [s].

        milliseconds: since the cycle before. set_point: (joints,) rad, by the robot's state.
        """
        self.cycles += milliseconds
        self.missed += max(milliseconds - 1, 0)
        self._look_where(now, set_point)
        for left in reversed(range(max(milliseconds, 1))):
            state = JointState(self._filter.position, self._filter.velocity)
            position = self._filter.step(self._controller.update(now - left * CYCLE, CYCLE, state))
        return position

    def _look_where(self, now: float, set_point: NDArray[np.float64]) -> None:
        """Something else may lead the arm, as a simulated world does that begins anew: go on from where it is."""
        if np.abs(set_point - self._filter.position).max() <= ELSEWHERE:
            self._elsewhere_since = None
            return
        self._elsewhere_since = now if self._elsewhere_since is None else self._elsewhere_since
        if now - self._elsewhere_since < ELSEWHERE_FOR:
            return
        self.taken_over += 1
        # What came since then already knows where the arm is.
        if self._received_at is None or self._received_at < self._elsewhere_since:
            self._controller.reset(set_point)
        self._filter.reset(set_point)
        self._elsewhere_since = None
