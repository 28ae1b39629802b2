"""Two simulated forward_command_controllers, the executor's streams to them, and a judge of every position sent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_chaos.fuzzer.arms import FuzzedArms, Judge
from clwm_common.robot.description import RobotDescription
from clwm_sai_executor.events import SIDES, SendTrajectory
from clwm_sai_executor.outputs.position_stream import LATE_TICKS, PositionStream

Array = NDArray[np.float64]

_LATENESS = (0.0, 0.0, 0.002, 0.006)  # s by which a tick is late
_CLOCK_SET = 1.0  # s between two calls that only a clock that was set can explain
_SLACK = 1e-4  # of rounding of times near 1e4 s, in velocities and accelerations


class StreamedArms(FuzzedArms):
    """FuzzedArms whose controllers pass on the positions of the last tick; `settling` is what that adds to a stop [s].

    Judged on top: no step beyond what the velocity limits allow, and the limits in the mean from tick to tick.
    """

    def __init__(self, robot: RobotDescription, judge: Judge, rng: np.random.Generator) -> None:
        super().__init__(robot, judge)
        self._rng = rng
        self._period = 1.0 / robot.left.controller.rate
        self.settling = 2.0 * (self._period + max(_LATENESS))
        self._streams = [PositionStream(limits.velocity, self._period) for limits in self._limits]
        self._due_at = self._tick_at = 0.0
        self.put(robot.home)

    def put(self, joints: Array) -> None:
        """Another hand moves the arms to `joints` (14,), where they rest until the next path."""
        self._sent = [joints[columns].copy() for columns in self._columns]
        self._sent_at = [-np.inf, -np.inf]
        self._velocity = [np.zeros_like(sent) for sent in self._sent]
        self._gap = [np.inf, np.inf]
        for stream in self._streams:
            stream.drop()

    def set_clock(self, seconds: float) -> None:
        """The stack's clock is set: drives hold where they are, as nothing comes from a stream that samples by it."""
        self.put(self.sample(0.0)[0])

    def send(self, command: SendTrajectory, now: float, delay: float, *, may_jump: bool) -> None:
        """The stream of an arm takes a path; positions are on their way for no time that counts."""
        self._check(command)
        arm = SIDES.index(command.arm)
        if may_jump:
            self._sent_at[arm] = -np.inf
        self._streams[arm].take(command)

    def deliver(self, until: float) -> None:
        """Let the executor's timer tick until then, each time a little late."""
        if abs(until - self._tick_at) > _CLOCK_SET:
            self._due_at = self._tick_at = until
        while self._tick_at <= until:
            for arm in range(2):
                self._tick(arm, self._tick_at)
            while self._due_at <= self._tick_at:  # ticks that were missed are left out
                self._due_at += self._period
            self._tick_at = self._due_at + float(self._rng.choice(_LATENESS))

    def sample(self, now: float) -> Array:
        """Positions and mean velocities (2, 14) of the last tick."""
        return self._both([np.stack(arm) for arm in zip(self._sent, self._velocity, strict=True)])

    def _tick(self, arm: int, now: float) -> None:
        position = self._streams[arm].due(now)
        if position is None:
            self._velocity[arm] = np.zeros_like(self._sent[arm])
            return
        gap, before = now - self._sent_at[arm], self._velocity[arm]
        is_known = gap < _CLOCK_SET
        velocity = (position - self._sent[arm]) / gap if is_known else np.zeros_like(position)
        if is_known:
            self._judge_step(arm, position - self._sent[arm], velocity)
            if self._gap[arm] < _CLOCK_SET:
                self._judge_change(arm, (velocity - before) / ((gap + self._gap[arm]) / 2.0))
        self._sent[arm], self._sent_at[arm], self._velocity[arm], self._gap[arm] = position, now, velocity, gap

    def _judge_step(self, arm: int, step: Array, velocity: Array) -> None:
        limit = self._limits[arm].velocity
        if (np.abs(step) > limit * self._period * LATE_TICKS + _SLACK).any():
            self._judge("leap", f"{SIDES[arm]} arm: {np.abs(step).max():.4f} rad from one tick to the next")
        if (np.abs(velocity) > limit + _SLACK).any():
            self._judge("stream velocity", f"{SIDES[arm]} arm: {np.abs(velocity).max():.4f} rad/s")

    def _judge_change(self, arm: int, acceleration: Array) -> None:
        if (np.abs(acceleration) > self._limits[arm].acceleration + 10.0 * _SLACK).any():
            self._judge("stream acceleration", f"{SIDES[arm]} arm: {np.abs(acceleration).max():.4f} rad/s^2")
