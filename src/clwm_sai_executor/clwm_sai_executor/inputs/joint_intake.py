"""Joint state messages -> measured arms; and, in words, what keeps a topic from being useful, and since when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clwm_common.actions import LayoutError
from clwm_common.robot.description import RobotDescription
from clwm_common.stamps import stamp_problem
from clwm_sai_executor.events import MeasuredArms
from clwm_sai_executor.inputs.joint_map import JointMap

PATIENCE = 1.0  # s without a usable state, after which it is spoken of


class JointIntake:
    """Judges every message by the clock and by the robot's description. The executor and `clwm preflight` use it."""

    def __init__(self, robot: RobotDescription, state_timeout: float) -> None:
        """state_timeout: s that a stamp may be away from the arrival of its message."""
        self._map = JointMap(robot)
        self._sources = {source.topic: source for source in robot.joint_sources()}
        self._state_timeout = state_timeout
        self.latest: MeasuredArms | None = None
        self.start(0.0)

    @property
    def topics(self) -> list[str]:
        return self._map.topics

    def is_shared(self, topic: str) -> bool:
        """Whether several publishers share the topic, each with joints of its own: then every message counts."""
        return self._map.is_shared(topic)

    def start(self, now: float) -> None:
        """From `now` on joint states are expected."""
        self._started_at = now
        self._useful_at = np.full(16, -np.inf)
        self._heard_at: dict[str, float] = {}
        self._refused: dict[str, tuple[float, str]] = {}
        self._last_stamps: dict[tuple[str, str], float] = {}

    def take(
        self,
        now: float,
        topic: str,
        stamp: float,
        names: Sequence[str],
        positions: Sequence[float],
        velocities: Sequence[float],
    ) -> MeasuredArms | None:
        """What came at `now` on `topic`. The arms when they are known anew; a message that cannot be used is noted."""
        if now < self._started_at:
            self.start(now)  # the clock was set back
        self._heard_at[topic] = now
        # Publishers that share a topic may share a stamp, too: each is known by its first joint.
        publisher = (topic, names[0] if names else "")
        last, self._last_stamps[publisher] = self._last_stamps.get(publisher), stamp
        if stamp == last and stamp != 0.0:
            self.refuse(now, topic, f"it repeats the stamp {stamp:.3f} s; let the driver stamp every message anew")
            return None
        if problem := stamp_problem(now, stamp, self._state_timeout, self._state_timeout):
            self.refuse(now, topic, problem)
            return None
        try:
            arms = self._map.measured(topic, stamp, names, positions, velocities)
        except LayoutError as error:
            self.refuse(now, topic, str(error))
            return None
        if self._map.unknown:
            self.refuse(now, topic, self._map.unknown)
            return None
        self._useful_at[self._map.taken] = now
        self.latest = arms or self.latest
        return arms

    def refuse(self, now: float, topic: str, reason: str) -> None:
        """A message on `topic` could not be used."""
        self._heard_at[topic] = now
        self._refused[topic] = (now, reason)

    def problem(self, now: float, topic: str) -> str:
        """What keeps the topic's joints from being measured, in a sentence; empty when nothing has for long."""
        if now < self._started_at:
            self.start(now)
        source = self._sources[topic]
        useful = np.maximum(self._useful_at[list(source.places)], self._started_at)
        ages = now - useful
        if ages.max() <= PATIENCE:
            return ""
        lasted = f"for {ages.max():.1f} s"
        refused_at, reason = self._refused.get(topic, (-np.inf, ""))
        if now - refused_at <= PATIENCE:
            return f"{topic} cannot be used {lasted}: {reason}"
        heard_at = self._heard_at.get(topic)
        if heard_at is None:
            return f"nothing on {topic} {lasted}; start the driver, or correct the topic in config/robots"
        if now - heard_at > PATIENCE:
            return f"{topic} has been silent {lasted}; look at the driver, or start it again"
        missing = [name for name, age in zip(source.names, ages, strict=True) if age > PATIENCE]
        return (
            f"{topic} lacks {', '.join(missing)} {lasted}; {self._map.lacks(topic)}; publish all of them, or correct "
            "names and topics in config/robots"
        )

    def problems(self, now: float) -> list[str]:
        """Of all topics."""
        return [problem for topic in self.topics if (problem := self.problem(now, topic))]

    def warning(self, topic: str) -> str:
        """What is made up for on this topic; empty when nothing is."""
        return self._map.estimated(topic)

    def warnings(self) -> list[str]:
        """Of all topics."""
        return [warning for topic in self.topics if (warning := self.warning(topic))]
