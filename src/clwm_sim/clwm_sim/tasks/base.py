"""What a task is: where things lie at the start, what counts as success and as failure, and how to ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class UnknownTask(ValueError):
    """A task name that does not exist; the message lists those that do."""


@dataclass(frozen=True)
class Pose:
    """A place on the table: m and rad about the vertical."""

    x: float
    y: float
    yaw: float = 0.0


@dataclass(frozen=True)
class PadChange:
    """At `at` s since the reset somebody puts the pad at `pad`, or takes it away."""

    at: float
    pad: Pose | None


@dataclass(frozen=True)
class Placement:
    """Where the objects of an episode lie; an object left out is not there.

    changes: what happens later, in order of time. asked_arm: the arm that has to act, 0 left and 1 right, in a task
    that asks for one; predicates and the expert may know it, a policy is never told.
    """

    tray: Pose | None = None
    block: Pose | None = None
    pad: Pose | None = None
    changes: tuple[PadChange, ...] = ()
    asked_arm: int | None = None


@dataclass(frozen=True)
class Situation:
    """What predicates may look at: world frame, m, m/s, left arm first."""

    tray_position: NDArray[np.float64]  # (3,) of the underside's middle
    tray_rotation: NDArray[np.float64]  # (3, 3)
    block_position: NDArray[np.float64]  # (3,) of the centre
    block_rotation: NDArray[np.float64]  # (3, 3)
    block_speed: float
    pad_position: NDArray[np.float64]  # (3,)
    handles: NDArray[np.float64]  # (2, 3) grasp points
    tcp: NDArray[np.float64]  # (2, 3)
    widths: NDArray[np.float64]  # (2,)
    asked_arm: int | None = None

    @property
    def tray_tilt(self) -> float:
        """Angle between the tray's normal and the vertical, rad."""
        return float(np.arccos(np.clip(self.tray_rotation[2, 2], -1.0, 1.0)))


class Task(Protocol):
    """One task. `hold_time` is how long `is_achieved` must stay true to count; `timeout` ends an episode (s).

    loss: what has happened when `is_lost`, in words.
    """

    name: str
    instructions: tuple[str, ...]
    timeout: float
    hold_time: float
    loss: str

    def place(self, rng: np.random.Generator) -> Placement: ...

    def is_achieved(self, now: Situation) -> bool: ...

    def is_lost(self, now: Situation) -> bool: ...
