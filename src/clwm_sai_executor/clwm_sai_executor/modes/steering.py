"""A human's targets -> rows: what the arms would do if nobody looked at limits and clearances, which others do."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray
from ruckig import InputParameter, Result, Ruckig, Synchronization, Trajectory

from clwm_common.actions import ARM_JOINTS, CHUNK_ROWS, GRIPPERS, JOINTS, POSES, ROW_DT
from clwm_common.messages import TeleopCommand
from clwm_common.robot.description import RobotDescription
from clwm_sai_executor.checks import chunk_rules as rules
from clwm_sai_executor.checks.chunk_rules import ChunkRefused
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.modes.pose_steering import PoseSteering
from clwm_sai_executor.path.limits import MotionLimits
from clwm_sai_executor.path.pose_solver import PoseSolver

Array = NDArray[np.float64]

# s; the arms are this far behind the human, which is more than a knot, the lead and the link take: what they follow
# lies between inputs that have been read, not beyond them.
DELAY = 0.1
_WINDOW = 0.1  # s over which the speed of the human's hand is taken; shorter lets single steps through
_CATCH_UP = 0.1  # s in which the arms try to be where the hand was
_SHARE = 0.9  # of the limits; the rest is for the cubics between the rows


class Steering:
    """Follows targets that come at any rate, with the speed they move at, `DELAY` behind."""

    def __init__(
        self, robot: RobotDescription, config: SchedulerConfig, limits: MotionLimits, solver: PoseSolver | None = None
    ) -> None:
        """solver: makes joints of poses; without one targets are joints."""
        self._pose_steering = None if solver is None else PoseSteering(solver, config)
        self._refuse_step, self._refuse_opening = config.refuse_step, config.refuse_opening
        self._limits = limits
        self._lowest = np.array([arm.gripper.opening_min for arm in robot.arms])
        self._highest = np.array([arm.gripper.opening_max for arm in robot.arms])
        self._has_joint = np.isin(np.arange(2 * ARM_JOINTS), robot.channels)
        joints = len(limits.velocity)
        self._planner = Ruckig(joints)
        self._wanted = InputParameter(joints)
        self._wanted.max_velocity = limits.velocity
        self._wanted.max_acceleration = limits.acceleration * _SHARE
        # Acceleration that takes a row to build up is what cubics between rows can follow.
        self._wanted.max_jerk = np.minimum(robot.limit("jerk"), limits.acceleration / ROW_DT)
        self._wanted.target_acceleration = np.zeros(joints)
        # Not sooner than the hand itself: arms that are where they should be move on evenly.
        self._wanted.synchronization = Synchronization.Time
        self._wanted.minimum_duration = _CATCH_UP
        self._plan = Trajectory(joints)
        self._targets: deque[tuple[float, Array]] = deque()
        self.openings = np.zeros(2)

    def begin(self, joints: Array, openings: Array) -> None:
        """From arms that hold, or will come to rest at, `joints` (14,); what a target leaves out stays there."""
        self._targets.clear()
        self._targets.append((-math.inf, joints))
        self.openings = openings
        if self._pose_steering is not None:
            self._pose_steering.begin(joints)

    def take(self, command: TeleopCommand) -> None:
        """Follow this target from now on. Raises ChunkRefused for one that must not move the arms."""
        stamp, before = self._targets[-1]
        if command.stamp <= stamp:
            return
        joints, openings = self._read(command, before)
        leap = float(np.abs(joints - before).max())
        if leap > self._refuse_step:
            text = f"target of '{command.source}' is {leap:.2f} rad from the arms or the target before it"
            raise ChunkRefused(f"{text}; expected at most {self._refuse_step} rad")
        self.openings = openings
        if stamp == -math.inf:
            self._targets.clear()
        self._targets.append((command.stamp, joints))
        while len(self._targets) > 2 and self._targets[0][0] < command.stamp - _WINDOW:
            self._targets.popleft()

    def rows(self, instant: float, position: Array, velocity: Array, acceleration: Array) -> tuple[Array, Array]:
        """Joints (n, 14) [rad] and openings (n, 2) [m], n <= 16, that follow a state (14,) at `instant`.

        They close in on the human's motion and continue it for two rows, which is how long a late command may take.
        """
        reference, speed = self._reference(instant)
        wanted, limits = self._wanted, self._limits
        wanted.current_position, wanted.current_velocity = position, velocity
        wanted.current_acceleration = np.clip(acceleration, -limits.acceleration, limits.acceleration) * _SHARE
        wanted.target_position = np.clip(reference + _CATCH_UP * speed, limits.lower, limits.upper)
        wanted.target_velocity = speed
        result = self._planner.calculate(wanted, self._plan)
        if result not in (Result.Working, Result.Finished):
            raise ChunkRefused(f"no motion to the human's target exists ({result}); look at the source's numbers")
        rows = min(max(math.ceil(self._plan.duration / ROW_DT) + 2, 3), CHUNK_ROWS)
        joints = np.array([self._plan.at_time(index * ROW_DT)[0] for index in range(1, rows + 1)])
        return joints, np.repeat(self.openings[None], rows, axis=0)

    def _read(self, command: TeleopCommand, before: Array) -> tuple[Array, Array]:
        """Joints (14,) and openings (2,) that are asked for; what is not stays as it was."""
        name = f"target of '{command.source}'"
        rules.require_layout(command.layout_version, name)
        valid = np.array(command.valid, dtype=np.bool_)
        if np.shape(command.target) != (30,) or valid.shape != (30,):
            raise ChunkRefused(f"{name} has {np.size(command.target)} numbers and {valid.size} marks; expected 30")
        asked = np.where(valid, np.asarray(command.target, dtype=np.float64), 0.0)
        if not np.isfinite(asked).all():
            raise ChunkRefused(f"{name} has numbers that are not finite; look at the source's input")
        valid[JOINTS] &= self._has_joint
        arms = valid[JOINTS][self._has_joint].reshape(2, -1)
        tools = valid[POSES].reshape(2, 7)
        is_whole = (arms.any(1) == arms.all(1)) & (tools.any(1) == tools.all(1))
        if not is_whole.all() or not valid.any():
            text = f"{name} asks for {int(arms.sum())} joints and {int(tools.sum())} numbers of poses"
            raise ChunkRefused(f"{text}; expected all {arms.shape[1]} joints of an arm, all 7 of a pose, or grippers")
        joints = np.where(valid[JOINTS], asked[JOINTS], before)
        # Joints say more than a pose does, so they count where both are asked for.
        joints = self._with_poses(joints, asked[POSES].reshape(2, 7), tools.all(1) & ~arms.all(1), name)
        openings, _ = rules.clamp_openings(
            np.where(valid[GRIPPERS], asked[GRIPPERS], self.openings),
            self._lowest,
            self._highest,
            self._refuse_opening,
            name,
        )
        return np.clip(joints, self._limits.lower, self._limits.upper), openings

    def _with_poses(self, joints: Array, poses: Array, is_asked: NDArray[np.bool_], name: str) -> Array:
        """Joints (14,), of which the arms that `is_asked` (2,) marks follow their `poses` (2, 7)."""
        if self._pose_steering is not None:
            return self._pose_steering.joints(joints, poses, is_asked, name)
        if is_asked.any():
            raise ChunkRefused(f"{name} asks for poses; set the executor's parameter 'teleop_poses', or send joints")
        return joints

    def _reference(self, instant: float) -> tuple[Array, Array]:
        """Where the human's hand was `DELAY` before `instant` (14,), and how fast it moved (14,) [rad, rad/s]."""
        (first_at, first), (last_at, last) = self._targets[0], self._targets[-1]
        if not 0.01 < last_at - first_at < math.inf:
            return last, np.zeros_like(last)
        limits = self._limits
        speed = np.clip((last - first) / (last_at - first_at), -limits.velocity * _SHARE, limits.velocity * _SHARE)
        # A source that stops sending is not run ahead of.
        behind = min(max(instant - DELAY - last_at, -_WINDOW), ROW_DT)
        return np.clip(last + speed * behind, limits.lower, limits.upper), speed
