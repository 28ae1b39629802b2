"""An arm's joint_trajectory_controller as in ROS 2 Jazzy, without ROS.

Studied: ros2_controllers, branch jazzy, release 4.42.1, with the parameters at their defaults, a position command
interface, and position and velocity state interfaces. What that controller does on its topic, rule by rule:

- A valid message replaces the trajectory at the next update; nothing of the old one is kept. Of several
  messages between two updates the last wins. A message that is refused changes nothing.
- Stamp zero: time 0 of the trajectory is the next update. Stamp in the past: the part before now is skipped and the
  command joins mid-segment, without a blend. A stamp in the past whose last point is past too is refused.
- Stamp in the future: the old trajectory is dropped *at once*; until point 0 is due, the arm is led to it from the
  measured state at the first update. So the controller neither waits nor goes on with the old motion.
- The lead-in is a spline from the measured position and velocity (from the last command with
  `interpolate_from_desired_state`). There is none when point 0 is due already, e.g. with time_from_start 0 and stamp
  zero: the command then jumps to point 0.
- Segments are linear, cubic or quintic by the lower specification of their two ends. After the last point it is held.
- The command written at an update is the trajectory one update period later, when it will be acted upon.
- The stack's clock counts at the first update of a message only. From then on time is what the controller manager's
  steady clock says: a stack's clock that is set moves nothing, and a loop that comes late steps the command.

Refused here, where that controller accepts and does harm: a joint named twice (the one left out is led to what an
earlier message left in its memory, by radians), a number that is not finite, and accelerations without velocities (its
interpolation then commands position 0).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clwm_common.control.trajectory import (
    ActiveTrajectory,
    JointState,
    JointTrajectory,
    Numbers,
    TrajectoryPoint,
)

# The controller compares end velocities with the epsilon of a 32-bit float.
_END_VELOCITY_TOLERANCE = float(np.finfo(np.float32).eps)


class TrajectoryRefused(ValueError):
    """A trajectory that the controller does not take; the one being followed goes on."""


@dataclass(frozen=True)
class ControllerParameters:
    """The joint_trajectory_controller's parameters that matter on its topic, with Jazzy's defaults."""

    allow_partial_joints_goal: bool = False
    allow_nonzero_velocity_at_trajectory_end: bool = False
    interpolate_from_desired_state: bool = False


class JointTrajectoryController:
    """One arm's controller. Knows no clock: `now` is the instant of the update, in s on the stack's clock.

    It holds `position` (joints,) in rad until the first trajectory.
    """

    def __init__(
        self, joint_names: Sequence[str], position: Numbers, parameters: ControllerParameters | None = None
    ) -> None:
        self._names = tuple(joint_names)
        self._parameters = parameters or ControllerParameters()
        self.reset(position)

    @property
    def joint_names(self) -> tuple[str, ...]:
        return self._names

    def reset(self, position: Numbers) -> None:
        """Drop every trajectory and hold `position` (joints,), as the controller does on activation."""
        position = np.array(position, dtype=np.float64)
        if position.shape != (len(self._names),):
            raise ValueError(f"position has shape {position.shape}; expected ({len(self._names)},)")
        zero = np.zeros_like(position)
        self._command = JointState(position, zero, zero)
        self._commanded_at: float | None = None
        self._active: ActiveTrajectory | None = None
        self._begun_at = self._followed = 0.0
        self._waiting: JointTrajectory | None = None

    def receive(self, message: JointTrajectory, now: float) -> None:
        """Check a trajectory and follow it from the next update on. Raises TrajectoryRefused with the reason."""
        check_trajectory(message, self._names, now, self._parameters)
        self._waiting = message

    @property
    def stamp(self) -> float | None:
        """Stamp [s] of the message that came last; None when there was none since the last `reset`."""
        if self._waiting is not None:
            return self._waiting.stamp
        return None if self._active is None else self._active.stamp

    def update(self, now: float, period: float, measured: JointState, late: float = 0.0) -> JointState:
        """The command for the interval that starts at `now` and lasts `period` seconds.

        measured: the arm's state at `now`; used only at the first update of a trajectory, as `now` is.
        late: s by which this update is more than a period after the one before, on the steady clock.
        """
        if self._waiting is not None:
            self._active, self._waiting = self._in_own_order(self._waiting), None
        if self._active is None:
            self._commanded_at = now
            return self._command
        if self._active.has_begun:
            self._followed += period + late
        else:
            self._begin(self._active, now, measured)
        desired = self._active.sample(self._begun_at + self._followed + period)
        # None: time was set back before the trajectory was entered; the command stays until time has caught up.
        if desired is not None:
            self._command = desired
            self._commanded_at = now
        return self._command

    def _begin(self, trajectory: ActiveTrajectory, now: float, measured: JointState) -> None:
        self._begun_at, self._followed = now, 0.0
        if self._parameters.interpolate_from_desired_state:
            entered_at = now if self._commanded_at is None else self._commanded_at
            trajectory.begin(now, entered_at, self._command)
        else:
            trajectory.begin(now, now, JointState(measured.positions, measured.velocities))

    def _in_own_order(self, message: JointTrajectory) -> ActiveTrajectory:
        """Columns in the controller's order; a joint that a partial goal leaves out keeps its command."""
        columns = [self._names.index(name) for name in message.joint_names]
        zero = np.zeros(len(self._names))
        is_ordered = columns == list(range(len(self._names)))

        def ordered(values: Sequence[float], absent: Numbers) -> Numbers | None:
            if len(values) == 0:
                return None
            if is_ordered:
                return np.array(values, dtype=np.float64)
            result = absent.copy()
            result[columns] = values
            return result

        points = [
            JointState(
                ordered(point.positions, self._command.positions),
                ordered(point.velocities, zero),
                ordered(point.accelerations, zero),
            )
            for point in message.points
        ]
        return ActiveTrajectory(message.stamp, np.array([point.time_from_start for point in message.points]), points)


def check_trajectory(
    message: JointTrajectory, joint_names: Sequence[str], now: float, parameters: ControllerParameters
) -> None:
    """Raise TrajectoryRefused unless the controller of `joint_names` takes `message` at `now`."""
    _check_names(message, joint_names, parameters)
    if not message.points:
        raise TrajectoryRefused("the trajectory has no points; send at least one")
    if not math.isfinite(message.stamp):
        raise TrajectoryRefused(f"stamp is {message.stamp}; expected seconds, or 0.0 to start now")
    _check_end(message, now, parameters)
    previous = -math.inf
    for index, point in enumerate(message.points):
        if point.time_from_start <= previous:
            raise TrajectoryRefused(
                f"time_from_start of point {index} is {point.time_from_start} s after {previous} s at point "
                f"{index - 1}; times must increase strictly"
            )
        previous = point.time_from_start
        _check_point(index, point, message.joint_names)


def _check_names(message: JointTrajectory, joint_names: Sequence[str], parameters: ControllerParameters) -> None:
    if not message.joint_names:
        raise TrajectoryRefused("joint_names is empty; name the joints of every column")
    unknown = [name for name in message.joint_names if name not in joint_names]
    if unknown:
        raise TrajectoryRefused(f"joint '{unknown[0]}' is not the controller's; it has {', '.join(joint_names)}")
    if len(set(message.joint_names)) != len(message.joint_names):
        raise TrajectoryRefused(f"a joint is named twice in {', '.join(message.joint_names)}")
    missing = [name for name in joint_names if name not in message.joint_names]
    if missing and not parameters.allow_partial_joints_goal:
        raise TrajectoryRefused(
            f"joint '{missing[0]}' is missing ({len(message.joint_names)} of {len(joint_names)} joints given); "
            "give all, or set allow_partial_joints_goal"
        )


def _check_end(message: JointTrajectory, now: float, parameters: ControllerParameters) -> None:
    last = message.points[-1]
    if not parameters.allow_nonzero_velocity_at_trajectory_end:
        for name, velocity in zip(message.joint_names, last.velocities, strict=False):
            if abs(velocity) > _END_VELOCITY_TOLERANCE:
                raise TrajectoryRefused(
                    f"velocity of joint '{name}' at the last point is {velocity} rad/s; it must be zero, so that the "
                    "arm stops there (or set allow_nonzero_velocity_at_trajectory_end)"
                )
    end = message.stamp + last.time_from_start
    if message.stamp != 0.0 and end < now:
        raise TrajectoryRefused(
            f"the trajectory (stamp {message.stamp:.3f} s) ended at {end:.3f} s, {now - end:.3f} s ago; "
            "send a later stamp or a longer tail"
        )


def _check_point(index: int, point: TrajectoryPoint, joint_names: Sequence[str]) -> None:
    if len(point.effort):
        raise TrajectoryRefused(f"point {index} has effort; this controller commands positions only")
    for name in ("positions", "velocities", "accelerations"):
        values = getattr(point, name)
        if len(values) == 0 and name != "positions":
            continue
        if len(values) != len(joint_names):
            raise TrajectoryRefused(
                f"point {index} has {len(values)} {name} for {len(joint_names)} joint names; give one for each"
            )
        if not all(map(math.isfinite, values)):
            raise TrajectoryRefused(f"{name} of point {index} are {list(values)}; expected finite numbers")
    if len(point.accelerations) and not len(point.velocities):
        raise TrajectoryRefused(f"point {index} has accelerations but no velocities; give both")
    if not math.isfinite(point.time_from_start):
        raise TrajectoryRefused(f"time_from_start of point {index} is {point.time_from_start}; expected seconds")
