"""The world's arms and hands as franky-sim's servers know them, and the clock of a millisecond that they share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from franky_sim.base_simulator import BaseRobot, BaseSimulator, InnerRobotState
from numpy.typing import NDArray

from clwm_common.robot.description import JointLimits

Numbers = NDArray[np.float64]

CYCLE = 0.001  # s
NEAR = 0.02  # rad; commands farther than this from where an arm has come to stand without them are not for it
_NO_TORQUE = (0.0,) * 7


class WorldRobot(BaseRobot):
    """One arm and its hand. The world's drives follow `set_point` (7,) rad; `opening` [m] is where the hand is to go.

    The dynamics are the world's: torques of a client move nothing, and forces of the hand are the world's own.
    """

    def __init__(self, limits: JointLimits) -> None:
        super().__init__()
        self._deceleration = np.array(limits.acceleration)
        self._inner = InnerRobotState(_NO_TORQUE, _NO_TORQUE, _NO_TORQUE)
        self._width = 0.0
        self.put(np.zeros(7), 0.0)

    def put(self, set_point: Numbers, opening: float) -> None:
        """The world stands here now: whatever was commanded before has no meaning."""
        self.set_point = np.array(set_point, dtype=np.float64)
        self.opening, self.opening_speed = opening, np.inf
        self._velocity = np.zeros(7)
        self._is_braking, self._is_led = False, True

    def measure(self, positions: Sequence[float], velocities: Sequence[float], width: float) -> None:
        """What the arm's sensors report: (7,) rad, (7,) rad/s and m."""
        self._inner = InnerRobotState(tuple(positions), tuple(velocities), _NO_TORQUE)
        self._width = width

    def brake(self) -> None:
        """Come to rest as fast as the limits allow, whatever is commanded."""
        self._is_braking = self._is_led = True

    @property
    def is_led(self) -> bool:
        """Whether something else than commands leads the arm: the world after a reset, its own braking."""
        return self._is_led

    @property
    def stands(self) -> bool:
        """Whether braking is over, or was not asked for."""
        return not self._is_braking

    def joint_position_control(self, target_q: Sequence[float], has_new_command: bool = True) -> None:
        super().joint_position_control(self._accept(np.asarray(target_q)), has_new_command)

    def set_hand_goal(self, width: float, max_velocity: float, max_force: float) -> None:
        self.opening, self.opening_speed = width, max_velocity

    def _accept(self, target: Numbers) -> Numbers:
        """The set point that the arm takes: the target, unless something else leads it."""
        if self._is_braking:
            slower = np.sign(self._velocity) * np.maximum(np.abs(self._velocity) - CYCLE * self._deceleration, 0.0)
            self._is_braking = bool(slower.any())
            target = self.set_point + CYCLE * slower
        elif self._is_led and np.abs(target - self.set_point).max() > NEAR:
            target = self.set_point
        else:
            self._is_led = False
        return target

    def _joint_position_control(self, target_q: Numbers) -> None:
        self._velocity = (target_q - self.set_point) / CYCLE
        self.set_point = target_q
        self.torque_control(_NO_TORQUE)

    def _joint_velocity_control(self, target_dq: Numbers) -> None:
        self._joint_position_control(self.set_point + CYCLE * target_dq)

    def _torque_control(self, torques: Numbers) -> None:
        """The world's drives make their own."""

    def _get_state(self) -> InnerRobotState:
        return self._inner

    def _get_hand_width(self) -> float:
        return self._width


class WorldClock(BaseSimulator):
    """Counts the robots' milliseconds; physics is the world's, which steps in its own time."""

    def __init__(self, robots: Sequence[WorldRobot]) -> None:
        super().__init__()
        self._robots = list(robots)

    def _get_robots(self) -> list[BaseRobot]:
        return list(self._robots)
