"""How a goal of a gripper ends, and who says so. No ROS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Ending:
    """width: reached [m]. is_holding: the fingers stand on something on the way. problem: what went wrong, or empty.

    note: what is worth knowing although nothing went wrong.
    """

    width: float
    is_holding: bool = False
    problem: str = ""
    note: str = ""


class GoalJudge(Protocol):
    """Judges one goal on its way."""

    def look(self, now: float, width: float, speed: float) -> Ending | None:
        """Opening [m] and its speed [m/s] at `now` [s]; how the goal ends, or None while it goes on."""
