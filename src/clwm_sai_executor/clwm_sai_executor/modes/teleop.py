"""The newest target of the human who holds the switch, and the path that follows it."""

from __future__ import annotations

from clwm_common.messages import TeleopCommand
from clwm_common.robot.description import RobotDescription
from clwm_sai_executor.checks.chunk_rules import ChunkRefused
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.events import MeasuredArms
from clwm_sai_executor.modes.steering import Steering
from clwm_sai_executor.path.motion import Motion
from clwm_sai_executor.path.pose_solver import PoseSolver

_PERIOD = 0.01  # s between two plans; a source that sends faster is followed all the same, by its newest target


class Teleop:
    """Says whether a human can take the arms over, and moves them."""

    def __init__(
        self, robot: RobotDescription, config: SchedulerConfig, motion: Motion, solver: PoseSolver | None = None
    ) -> None:
        """solver: makes joints of poses; without one a human can only ask for joints."""
        self._config = config
        self._motion = motion
        self._steering = Steering(robot, config, motion.limits, solver)
        self._newest: TeleopCommand | None = None
        self._planned_at = 0.0

    def hear(self, command: TeleopCommand) -> None:
        """Of the source that holds the claim."""
        self._newest = command

    def obstacle(self, now: float, arms: MeasuredArms | None) -> str:
        """Why the newest target cannot be followed from where the arms are; empty when it can."""
        if arms is None or now - arms.stamp > self._config.state_timeout:
            return "the arms are not measured; look at the joint states"
        if refusal := self._motion.start.refusal(arms):
            return refusal
        try:
            self.begin(now, arms)
        except ChunkRefused as reason:
            return f"{reason}; bring the source to where the arms are"
        return ""

    def begin(self, now: float, arms: MeasuredArms) -> None:
        """Start from where the arms would come to rest if they braked now. Raises ChunkRefused."""
        motion = self._motion
        if arms.stamp >= motion.end:
            motion.settle(now, arms)
        self._steering.begin(*motion.rest(now))
        self._planned_at = 0.0
        if self._newest is not None:
            self._steering.take(self._newest)

    def follow(self, now: float) -> float | None:
        """Plan towards the newest target. Returns how long [s] after the human's input the arms will answer to it.

        None when the last plan is too young for another one. Raises ChunkRefused for what must not be followed.
        """
        assert self._newest is not None
        self._steering.take(self._newest)
        if now < self._planned_at + _PERIOD:
            return None
        self._planned_at = now
        return self._motion.steer(now, self._steering.rows) - self._newest.stamp
