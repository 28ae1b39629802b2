"""The arms as commanded: the path that was sent, how far it has run, and what must be said about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ACTION_DIM, ROW_DT
from clwm_common.robot.description import RobotDescription
from clwm_sai_executor.checks.clearance import MarginsOf
from clwm_sai_executor.checks.path_check import PathCheck
from clwm_sai_executor.checks.start import StartCheck
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.events import SIDES, Command, MeasuredArms, MoveGripper, SendTrajectory
from clwm_sai_executor.outputs.gripper import GripperCommander
from clwm_sai_executor.path.blend import blend
from clwm_sai_executor.path.limits import MotionLimits, stoppable_velocity
from clwm_sai_executor.path.splice import Path, SpliceFacts, splice, stop, stop_at

Array = NDArray[np.float64]
RowOf = Callable[[Array, Array], NDArray[np.float32]]

PlanOf = Callable[[float, Array, Array, Array], tuple[Array, Array]]

_SHORTEST = 1e-3  # s between two knots
_ROUNDING = 1e-4  # of a row: 5 us
EXECUTED_ROWS = 12  # rows of the past that a request carries at most


class Motion:
    """One path at a time, from rest to rest, and the grippers that go with its rows."""

    def __init__(
        self, robot: RobotDescription, config: SchedulerConfig, row_of: RowOf, margins: MarginsOf | None = None
    ) -> None:
        """row_of: joints (14,) and openings (2,) -> row (30,). margins: what the path keeps clear of; None: nothing."""
        is_checked = margins is not None and robot.safety is not None
        self._splice = PathCheck(margins, robot.safety.gross).splice if is_checked else splice
        # A human's targets are never refused for where they lead: the arms stop before it, and the human sees that.
        self._splice_steered = PathCheck(margins, np.inf).splice if is_checked else splice
        self._earlier = np.zeros((0, ACTION_DIM), np.float32)
        self._columns = robot.columns(0), robot.columns(1)
        self.lead = config.lead
        self._blend_rows = config.blend_rows
        self._resync_distance = config.resync_distance
        self._row_of = row_of
        self._limits = MotionLimits.of(
            robot,
            velocity_scale=config.velocity_scale,
            acceleration_scale=config.acceleration_scale,
            margin=config.position_margin,
        )
        self._grippers = [
            GripperCommander(arm.gripper, config.gripper_threshold, config.gripper_snap) for arm in robot.arms
        ]
        self._opening_range = (
            np.array([arm.gripper.opening_min for arm in robot.arms]),
            np.array([arm.gripper.opening_max for arm in robot.arms]),
        )
        self.start = StartCheck(robot)
        self.path: Path | None = None
        self.consumed = -1
        self.observed = 0
        self._captured_at: float | None = None

    @property
    def end(self) -> float:
        """Instant [s] at which the arms rest; minus infinity when they were told nothing but to hold."""
        return -np.inf if self.path is None or self.path.is_hold else self.path.time(self.path.last)

    @property
    def rows_end(self) -> float:
        """Instant [s] of the last row that the policy asked for; minus infinity when there is none."""
        return -np.inf if self.path is None else self.path.time(self.path.last_row)

    @property
    def limits(self) -> MotionLimits:
        """What may be used of the robot's limits."""
        return self._limits

    def align(self, captured_at: float) -> None:
        """Pictures were taken at `captured_at` [s]: motions that begin later put their rows at whole rows from there.

        With cameras that take a picture a row, each observation is then asked for at the instant of a picture.
        """
        self._captured_at = captured_at

    def observe(self, index: int) -> None:
        """An observation was made at knot `index`: what was executed before it need not be told any more."""
        self.observed = index
        self._earlier = self._earlier[:0]

    def executed(self) -> NDArray[np.float32]:
        """Rows (n, 30), n <= 12, of the policy and of a human, from the last observation until the arms rest."""
        end = 0 if self.path is None else self.path.last + 1
        return np.concatenate([self._earlier, self.rows(self.observed, end)])[-EXECUTED_ROWS:]

    def drop(self) -> None:
        """Forget the path: the arms are not on it."""
        self.path = None
        self.consumed = -1
        self.observe(0)

    def hold(self, now: float, arms: MeasuredArms, openings: Array) -> None:
        """Make where the arms are, clipped to the limits, the held command from now + lead on; the grippers stay.

        Arms that are measured in motion, by what somebody else sent, come to rest from there first.
        """
        openings = self.clip_openings(openings)
        if arms.are_moving:
            self._brake_from(now, arms, openings)
        else:
            position = np.clip(arms.positions, self._limits.lower, self._limits.upper)
            self._restart(now + self.lead, position, openings)
        for commander, opening in zip(self._grippers, openings, strict=True):
            commander.assume(float(opening))

    def hold_measured(self, now: float, arms: MeasuredArms) -> list[Command]:
        """What holds the arms where they are; nothing when that is outside their limits.

        A command would be clipped to the limits then, and the arms would leap; what holds them now goes on.
        """
        if not arms.are_moving and self.start.refusal(arms):
            return []
        self.hold(now, arms, arms.widths)
        return self.messages(now)

    def clip_openings(self, openings: Array) -> Array:
        """Openings (..., 2) [m] within the grippers' ranges."""
        return np.clip(openings, *self._opening_range)

    def extend(self, now: float, after: int, rows: Array, openings: Array) -> tuple[int, SpliceFacts]:
        """Let joints `rows` (n, 14) follow knot `after`, or the first knot after it that can still be changed.

        The first of them lead over from the motion before (`blend.py`). When the path is over before that, a new one
        starts from where it ended, aligned with the pictures. Returns the knot that the rows follow in the path as it
        is now, and what became of them. Raises ChunkRefused when they go where the arms must not be.
        """
        path = self.path
        assert path is not None
        at = max(after, path.index_from(now + self.lead))
        if at > path.last and now < self.end:
            path = path.resting_until(at)
        elif at > path.last:
            position, _, held = path.knot(path.last)
            path = self._restart(self._aligned(now + self.lead), position, held)
            at = path.last
        blended = blend(path.positions_until(at, 3), rows, self._blend_rows)
        self.path, facts = self._splice(path, at, blended, openings, self._limits)
        return at, replace(facts, largest_blend=float(np.abs(blended - rows).max()))

    def astray(self, arms: MeasuredArms) -> float:
        """How far arms at rest are from their command [rad]; infinity when they have none."""
        return np.inf if self.path is None else float(np.abs(arms.positions - self.path.knot(self.path.last)[0]).max())

    def is_led_by_others(self, arms: MeasuredArms) -> bool:
        """Whether arms that should rest are led by somebody else: by a dead executor's rows, or by a hand."""
        return arms.are_moving and self.astray(arms) > self._resync_distance

    def settle(self, now: float, arms: MeasuredArms) -> float:
        """Hold arms at rest that are away from their command, or have none, where they are measured.

        Returns how far away they were [rad]; 0 when their command stays.
        """
        if self.path is None:
            self.hold(now, arms, arms.widths)
            return 0.0
        astray = self.astray(arms)
        if astray <= self._resync_distance:
            return 0.0
        self.hold(now, arms, self.path.knot(self.path.last)[2])
        return astray

    def rest(self, now: float) -> tuple[Array, Array]:
        """Joints (14,) and openings (2,) of arms that brake as early as they can."""
        path = self.path
        assert path is not None
        braked = stop_at(path, now + self.lead, self._limits)
        position, _, openings = braked.knot(braked.last)
        return position, openings

    def steer(self, now: float, plan: PlanOf) -> float:
        """Let the rows of a plan follow the first knot that can still be changed, and return the instant of that knot.

        plan: instant, position, velocity and acceleration (14,) of that knot -> rows (n, 14) and openings (n, 2).
        """
        path = self.path
        assert path is not None
        at = path.index_from(now + self.lead)
        if at > path.last and now < self.end:
            path = path.resting_until(at)
        elif at > path.last:
            self._earlier = self.executed()
            position, _, held = path.knot(path.last)
            path = self._restart(now + self.lead, position, held)
            at = path.last
        position, velocity, _ = path.knot(at)
        rows, openings = plan(path.time(at), position, velocity, path.acceleration_into(at))
        self.path, _ = self._splice_steered(path, at, rows, openings, self._limits)
        return path.time(at)

    def brake(self, now: float) -> bool:
        """Come to rest as early as what is sent can still be changed. False when the arms do so already."""
        if self.path is None or self.path.is_hold or now + self.lead >= self.rows_end:
            return False
        self.path = stop_at(self.path, now + self.lead, self._limits)
        return True

    def brake_from(self, now: float, arms: MeasuredArms) -> None:
        """Forget the path and come to rest from where the arms are, wherever the path would have been."""
        path = self.path
        assert path is not None
        self._brake_from(now, arms, path.knot(max(self.consumed, path.first))[2])

    def _brake_from(self, now: float, arms: MeasuredArms, openings: Array) -> None:
        limits, position = self._limits, arms.positions
        velocity = np.clip(arms.velocities, -limits.velocity, limits.velocity)
        # Arms that brake already come less far in this time than their velocity says: not beyond a limit.
        lower, upper = np.minimum(limits.lower, position), np.maximum(limits.upper, position)
        ahead = np.clip(position + velocity * self.lead, lower, upper)
        velocity = stoppable_velocity(ahead, velocity, limits, ROW_DT)
        # The first knot is not before now, where arms that leave a limit were beyond it.
        span = min(max(self.lead, _SHORTEST), ROW_DT)
        measured = Path(
            origin=now + self.lead - span,
            dt=ROW_DT,
            first=0,
            offsets=np.array([0.0, span]),
            positions=np.stack([ahead - velocity * span, ahead]),
            velocities=np.stack([velocity, velocity]),
            openings=np.repeat(openings[None], 2, axis=0),
            last_row=1,
        )
        self.path = stop(measured, 1, limits)
        self.consumed = -1
        self.observe(self.path.last)

    def consume(self, now: float) -> list[Command]:
        """Count the rows that have taken effect by `now`, and move the grippers with them."""
        path, out = self.path, []
        if path is None:
            return out
        until = min(path.index_until(now), path.last)
        while self.consumed < until:
            self.consumed += 1
            for side, commander, opening in zip(SIDES, self._grippers, path.opening(self.consumed), strict=True):
                width = commander.update(opening)
                if width is not None:
                    out.append(MoveGripper(side, width))
        return out

    def messages(self, now: float) -> list[Command]:
        """One trajectory for each arm: what it needs of the path from `now` on."""
        path = self.path
        assert path is not None
        times, positions, velocities = path.message(now)
        return [
            SendTrajectory(side, path.origin, positions[:, joints], velocities[:, joints], times)
            for side, joints in zip(SIDES, self._columns, strict=True)
        ]

    def rows(self, start: int, end: int) -> NDArray[np.float32]:
        """Rows (n, 30), n <= 12, of the knots from `start` to before `end`; the last ones when there are more."""
        path = self.path
        if path is None or end <= (start := max(start, path.first, end - EXECUTED_ROWS)):
            return np.zeros((0, ACTION_DIM), np.float32)
        knots = [path.knot(index) for index in range(start, end)]
        return np.stack([self._row_of(position, openings) for position, _, openings in knots])

    def _aligned(self, instant: float) -> float:
        """The first instant at or after `instant` that is whole rows away from the pictures."""
        if self._captured_at is None:
            return instant
        rows = math.ceil((instant - self._captured_at) / ROW_DT - _ROUNDING)
        return self._captured_at + rows * ROW_DT

    def _restart(self, instant: float, position: Array, openings: Array) -> Path:
        self.path = Path.at_rest(position, openings, instant, ROW_DT)
        self.consumed = -1
        self.observed = self.path.last
        return self.path
