"""Joint states by name -> the two arms in order, from one topic or from several, in whatever order they come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import LayoutError
from clwm_common.robot import JointSource, RobotDescription
from clwm_sai_executor.events import MeasuredArms

FINGERS_MAY_LAG = 1.0  # s behind the arms; grippers of their own publish rarely, and no path depends on them
# s before the older arm. A topic whose clock runs ahead would hide its own silence for as long.
CLOCKS_MAY_DIFFER = 0.1


class JointMap:
    """Picks 14 arm joints and one finger joint for each hand out of joint states.

    Of several topics, the arms are measured as of the oldest one: an arm that falls silent ages for both.
    """

    def __init__(self, robot: RobotDescription) -> None:
        self._parts = {source.topic: _Part(source) for source in robot.joint_sources()}
        self._last_stamp = np.nan

    @property
    def topics(self) -> list[str]:
        return list(self._parts)

    def measured(
        self,
        topic: str,
        stamp: float,
        names: Sequence[str],
        positions: Sequence[float],
        velocities: Sequence[float],
    ) -> MeasuredArms | None:
        """Joints by name, rad (fingers m) and rad/s, as MeasuredArms; velocities may be absent and are zero then.

        A hand opens twice as far as one finger moves. None when other topics have yet to say something new. Raises
        LayoutError when a joint is missing, lengths differ, or of several topics one runs ahead or fingers lag.
        """
        part = self._parts[topic]
        part.take(stamp, names, positions, velocities)
        if len(self._parts) == 1:
            return _arms(stamp, part.position, part.velocity)
        return self._merged()

    def _merged(self) -> MeasuredArms | None:
        parts = self._parts.values()
        if any(part.stamp is None for part in parts):
            return None
        stamp = min(part.stamp for part in parts if part.source.has_arm)
        if stamp == self._last_stamp:
            return None
        self._last_stamp = stamp
        for part in parts:
            lag, topic = stamp - part.stamp, part.source.topic
            if lag > FINGERS_MAY_LAG:
                raise LayoutError(
                    f"{topic} is {lag:.2f} s older than the arms; at most {FINGERS_MAY_LAG} s expected; look at the "
                    "gripper's driver"
                )
            if -lag > CLOCKS_MAY_DIFFER:
                raise LayoutError(
                    f"{topic} is {-lag:.2f} s ahead of the older arm; at most {CLOCKS_MAY_DIFFER} s expected; "
                    "synchronise the drivers' clocks"
                )
        position, velocity = np.zeros(16), np.zeros(16)
        for part in parts:
            position[part.places], velocity[part.places] = part.position, part.velocity
        return _arms(stamp, position, velocity)


def _arms(stamp: float, position: NDArray[np.float64], velocity: NDArray[np.float64]) -> MeasuredArms:
    return MeasuredArms(stamp, position[:14], velocity[:14], 2.0 * position[14:])


class _Part:
    """What one topic said last."""

    def __init__(self, source: JointSource) -> None:
        self.source = source
        self.places = np.array(source.places)
        self.stamp: float | None = None
        self.position: NDArray[np.float64] = np.zeros(len(source.names))
        self.velocity: NDArray[np.float64] = np.zeros(len(source.names))
        self._names: list[str] = []
        self._indices = np.zeros(0, dtype=np.intp)

    def take(self, stamp: float, names: Sequence[str], positions: Sequence[float], velocities: Sequence[float]) -> None:
        if list(names) != self._names:
            self._learn(list(names))
        if len(positions) != len(names) or len(velocities) not in (0, len(names)):
            raise LayoutError(
                f"joint state has {len(names)} names, {len(positions)} positions and {len(velocities)} velocities; "
                "expected as many of each, or no velocities"
            )
        self.position = np.asarray(positions, dtype=np.float64)[self._indices]
        if len(velocities):
            self.velocity = np.asarray(velocities, dtype=np.float64)[self._indices]
        else:
            self.velocity = np.zeros(len(self._indices))
        self.stamp = stamp

    def _learn(self, names: list[str]) -> None:
        places = {name: index for index, name in enumerate(names)}
        missing = [name for name in self.source.names if name not in places]
        if missing:
            raise LayoutError(
                f"{self.source.topic} lacks {', '.join(missing)}; it has {', '.join(names) or 'no joints'}. "
                "Publish all of them in each message, or correct names and topics in config/robots"
            )
        self._indices = np.array([places[name] for name in self.source.names], dtype=np.intp)
        self._names = names
