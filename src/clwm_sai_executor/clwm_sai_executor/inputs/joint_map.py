"""Joint states by name -> the two arms in order, from one topic or from several, in whatever order they come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import LayoutError
from clwm_common.robot.description import JointSource, RobotDescription
from clwm_sai_executor.events import MeasuredArms
from clwm_sai_executor.inputs.joint_velocities import LONGEST_GAP, TIME_CONSTANT, VelocityEstimate

Array = NDArray[np.float64]

FINGERS_MAY_LAG = 1.0  # s behind the arms; grippers of their own publish rarely, and no path depends on them
# s before the older arm. A topic whose clock runs ahead would hide its own silence for as long.
CLOCKS_MAY_DIFFER = 0.1


class JointMap:
    """Picks the arms' joints and one finger joint for each hand out of joint states.

    A message may carry some of a topic's joints only, as where an arm and its hand publish on one topic. The arms are
    measured when each of their joints has been heard anew, as of the oldest: an arm that falls silent ages for both.
    """

    def __init__(self, robot: RobotDescription) -> None:
        self._parts = {source.topic: _Part(source) for source in robot.joint_sources()}
        self._topic_of = {place: source.topic for source in robot.joint_sources() for place in source.places}
        self._arms = robot.channels
        self._places = np.append(self._arms, [14, 15])
        self._stamps = np.full(16, -np.inf)
        self._positions, self._velocities = np.zeros(16), np.zeros(16)
        self._estimate = VelocityEstimate(robot.limit("velocity"))
        self._is_new = np.zeros(16, dtype=np.bool_)
        self._last_stamp = np.nan
        self.taken: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        self.unknown = ""

    @property
    def topics(self) -> list[str]:
        return list(self._parts)

    def is_shared(self, topic: str) -> bool:
        """Whether the last message on it had some of its joints only, so that no other one can stand for it."""
        return self._parts[topic].is_shared

    def estimated(self, topic: str) -> str:
        """Which velocities are worked out from positions, and why; empty when the driver gives all of them."""
        return self._parts[topic].estimated()

    def lacks(self, topic: str) -> str:
        """What messages on this topic are made of, for who misses a joint in it."""
        part = self._parts[topic]
        return f"they have {', '.join(part.names) or 'no joints'}"

    def measured(
        self,
        topic: str,
        stamp: float,
        names: Sequence[str],
        positions: Sequence[float],
        velocities: Sequence[float],
    ) -> MeasuredArms | None:
        """Joints by name, rad (fingers m) and rad/s, as MeasuredArms. Velocities that are absent or not finite are
        worked out from positions (`joint_velocities.py`). A hand opens twice as far as one finger moves.

        None when a joint has yet to say something new. `taken` has the places (0 to 15) of what this message said,
        `unknown` why one of its velocities is not known.
        Raises LayoutError when lengths differ, a joint comes twice, a position is not finite, or when of all joints
        one runs ahead or fingers lag.
        """
        part = self._parts[topic]
        self.taken, self.unknown = part.places[:0], ""
        indices, places = part.find(names)
        if len(positions) != len(names) or len(velocities) not in (0, len(names)):
            raise LayoutError(
                f"joint state has {len(names)} names, {len(positions)} positions and {len(velocities)} velocities; "
                "expected as many of each, or no velocities"
            )
        if not len(places):
            return None
        position = np.asarray(positions, dtype=np.float64)[indices]
        part.check(position)
        given = np.asarray(velocities, dtype=np.float64)[indices] if len(velocities) else np.full(len(indices), np.nan)
        self._store(part, stamp, places, position, given)
        self.taken = places
        return self._merged()

    def _store(self, part: _Part, stamp: float, places: NDArray[np.intp], position: Array, velocity: Array) -> None:
        is_arm = places < 14
        arm = places[is_arm]
        self._estimate.take(arm, stamp, position[is_arm])
        is_absent = ~np.isfinite(velocity) & is_arm
        part.note_absent(velocity, is_absent)
        velocity = velocity.copy()
        velocity[~is_arm] = 0.0
        velocity[is_absent] = self._estimate.velocities[places[is_absent]]
        if np.isnan(velocity @ velocity):
            self.unknown = (
                "it gives no velocities, and from positions they cannot be worked out: these are more than "
                f"{LONGEST_GAP} s apart or leap; have the hardware export velocities, or publish oftener"
            )
        self._stamps[places], self._positions[places], self._velocities[places] = stamp, position, velocity
        self._is_new[places] = True

    def _merged(self) -> MeasuredArms | None:
        if not self._is_new[self._arms].all() or not np.isfinite(self._stamps[self._places]).all():
            return None
        stamp = float(self._stamps[self._arms].min())
        if stamp == self._last_stamp or not np.isfinite(self._velocities[self._arms]).all():
            return None
        self._last_stamp = stamp
        self._is_new[:] = False
        self._check_clocks(stamp)
        return MeasuredArms(
            stamp, self._positions[:14].copy(), self._velocities[:14].copy(), 2.0 * self._positions[14:]
        )

    def _check_clocks(self, stamp: float) -> None:
        lags = stamp - self._stamps
        last, first = (int(self._places[pick(lags[self._places])]) for pick in (np.argmax, np.argmin))
        if lags[last] > FINGERS_MAY_LAG:
            raise LayoutError(
                f"{self._topic_of[last]} is {lags[last]:.2f} s older than the arms; at most {FINGERS_MAY_LAG} s "
                "expected; look at the gripper's driver"
            )
        if -lags[first] > CLOCKS_MAY_DIFFER:
            raise LayoutError(
                f"{self._topic_of[first]} is {-lags[first]:.2f} s ahead of the older arm; at most {CLOCKS_MAY_DIFFER} "
                "s expected; synchronise the drivers' clocks"
            )


class _Part:
    """What one topic is to carry, where it was in its last message, and which velocities were missing there."""

    def __init__(self, source: JointSource) -> None:
        self.source = source
        self.places = np.array(source.places)
        self.names: list[str] = []
        self._found: dict[tuple[str, ...], tuple[NDArray[np.intp], NDArray[np.intp]]] = {}
        self._here: list[str] = []
        self._absent: dict[str, float] = {}

    @property
    def is_shared(self) -> bool:
        return len(self._here) < len(self.source.names)

    def find(self, names: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Where this topic's joints are in a message of these names (k,), and their places in the robot (k,).

        Raises LayoutError when one is named twice.
        """
        key = tuple(names)
        if key not in self._found:
            if len(self._found) > 16:
                self._found.clear()
            self._found[key] = self._learn(key)
        if key != tuple(self.names):
            self.names = list(key)
            self._here = [name for name in self.source.names if name in key]
        return self._found[key]

    def _learn(self, names: tuple[str, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        if twice := [name for name in self.source.names if names.count(name) > 1]:
            raise LayoutError(f"it names {', '.join(twice)} twice; expected each joint once")
        wanted = zip(self.source.names, self.source.places, strict=True)
        here = [(names.index(name), place) for name, place in wanted if name in names]
        indices, places = zip(*here, strict=True) if here else ((), ())
        return np.array(indices, dtype=np.intp), np.array(places, dtype=np.intp)

    def check(self, position: Array) -> None:
        """Raise LayoutError, naming the joint, unless all of the last message's positions are finite."""
        if not np.isfinite(position @ position):
            worst = int(np.flatnonzero(~np.isfinite(position))[0])
            raise LayoutError(
                f"its position of {self._here[worst]} is {position[worst]}; expected a finite number; the arms are not "
                "moved until the driver gives one"
            )

    def note_absent(self, velocity: Array, is_absent: NDArray[np.bool_]) -> None:
        """Remember which of the last message's velocities had to be worked out."""
        if not self._absent and not is_absent.any():
            return
        for name, value, absent in zip(self._here, velocity, is_absent, strict=True):
            if absent:
                self._absent[name] = float(value)
            else:
                self._absent.pop(name, None)

    def estimated(self) -> str:
        """See JointMap."""
        if not self._absent:
            return ""
        name, value = next(iter(self._absent.items()))
        others = f" (and of {len(self._absent) - 1} more joints)" if len(self._absent) > 1 else ""
        return (
            f"{self.source.topic}: the velocity of {name}{others} is {value}, so it is worked out from positions "
            f"(slope, low-pass of {1e3 * TIME_CONSTANT:.0f} ms); better have the hardware export velocities"
        )
