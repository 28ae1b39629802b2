"""Two simulated controllers behind a link that delays, and a judge of everything they execute."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clwm_chaos.fuzzer.controller import KnotController
from clwm_chaos.motion_checks import check_motion
from clwm_common.actions import ARM_JOINTS
from clwm_common.control.joint_trajectory_controller import TrajectoryRefused
from clwm_common.robot.description import RobotDescription
from clwm_sai_executor.events import SIDES, SendTrajectory
from clwm_sai_executor.path.limits import MotionLimits

Array = NDArray[np.float64]
Judge = Callable[[str, str], None]

# Rounding of times near 1e4 s, times the highest speed, and its derivative.
_SEAM_POSITION, _SEAM_VELOCITY = 1e-8, 1e-6  # rad, rad/s
_NO_ROW = np.zeros(30, np.float32)
_NO_ROW[[6, 13]] = 1.0


class FuzzedArms:
    """Executes what is sent, as two joint_trajectory_controllers do; tells `judge` (rule, detail) what must not be."""

    settling = 0.0

    def __init__(self, robot: RobotDescription, judge: Judge) -> None:
        self._judge = judge
        self._columns = robot.columns(0), robot.columns(1)
        self._limits = [MotionLimits.of(robot).columns(columns) for columns in self._columns]
        self._controllers = [KnotController(np.array(arm.home)) for arm in robot.arms]
        self._on_the_way: list[deque[tuple[float, SendTrajectory, bool]]] = [deque(), deque()]

    def put(self, joints: Array) -> None:
        """Another hand moves the arms to `joints` (14,): what is on the way is lost, the controllers hold."""
        for arm, controller in enumerate(self._controllers):
            controller.reset(joints[self._columns[arm]])
            self._on_the_way[arm].clear()

    def send(self, command: SendTrajectory, now: float, delay: float, *, may_jump: bool) -> None:
        """One trajectory leaves at `now` and reaches its controller `delay` s later, never before an earlier one.

        may_jump: it need not continue what the controller is doing (the arms are held where they were measured).
        """
        # Messages carry whole nanoseconds.
        command = replace(command, times_from_start=np.round(command.times_from_start, 9))
        self._check(command)
        arm = SIDES.index(command.arm)
        queue = self._on_the_way[arm]
        arrival = max(now + delay, queue[-1][0] if queue else now)
        queue.append((arrival, command, may_jump))

    def deliver(self, until: float) -> None:
        """Let the messages arrive that are due by `until`, each at its own instant."""
        for arm, queue in enumerate(self._on_the_way):
            while queue and queue[0][0] <= until:
                self._receive(arm, *queue.popleft())

    def set_clock(self, seconds: float) -> None:
        """The stack's clock is set while nothing is on the way; motions go on."""
        self.deliver(np.inf)
        for controller in self._controllers:
            controller.set_clock(seconds)

    def sample(self, now: float) -> Array:
        """Positions and velocities (2, 14) commanded at `now`."""
        return self._both([controller.sample(now) for controller in self._controllers])

    def _both(self, arms: Sequence[Array]) -> Array:
        """(n, 14) of both arms' (n, joints); zero where masked."""
        result = np.zeros((len(arms[0]), 2 * ARM_JOINTS))
        for columns, arm in zip(self._columns, arms, strict=True):
            result[:, columns] = arm
        return result

    def _check(self, command: SendTrajectory) -> None:
        limits = self._limits[SIDES.index(command.arm)]
        for rule, detail in check_motion(command.times_from_start, command.positions, command.velocities, limits):
            self._judge(rule, f"{command.arm} arm, {detail}")

    def _receive(self, arm: int, at: float, message: SendTrajectory, may_jump: bool) -> None:
        controller = self._controllers[arm]
        before = controller.sample(at)
        first = message.stamp + float(message.times_from_start[0])
        if first > at:
            self._judge("start", f"{SIDES[arm]} arm: the message starts {first - at:.4f} s in the future")
            return
        try:
            controller.receive(message, at)
        except TrajectoryRefused as error:
            self._judge("controller", f"{SIDES[arm]} arm: {error}")
            return
        jump = controller.sample(at) - before
        if not may_jump:
            for row, rule, slack in ((0, "position jump", _SEAM_POSITION), (1, "velocity jump", _SEAM_VELOCITY)):
                if np.abs(jump[row]).max() > slack:
                    joint = int(np.abs(jump[row]).argmax())
                    text = f"{before[row, joint]:.6f} to {before[row, joint] + jump[row, joint]:.6f}"
                    self._judge(rule, f"{SIDES[arm]} arm, joint {joint}: {text}")


def random_joints(robot: RobotDescription, rng: np.random.Generator, share: float = 0.8) -> Array:
    """Joints (14,) anywhere in the middle `share` of their ranges; zero where masked."""
    low, high = robot.limit("position_lower"), robot.limit("position_upper")
    joints = (low + high) / 2.0 + share * (high - low) / 2.0 * rng.uniform(-1.0, 1.0, 14)
    joints[np.delete(np.arange(14), robot.channels)] = 0.0
    return joints


def row_without_poses(joints: Array, openings: Sequence[float]) -> NDArray[np.float32]:
    """A row (30,) whose poses are all the same: nothing that is checked here depends on them."""
    row = _NO_ROW.copy()
    row[14:28] = joints
    row[28:] = openings
    return row
