"""Which goal a gripper's action gets, and when: one request at a time, the newest wish wins. No clock, no ROS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# s after which a request without an answer is taken for lost, and an absent server is spoken of.
PATIENCE = 1.0


@dataclass(frozen=True)
class Goal:
    """Go to `width` [m]. number: counts the goals, so that an answer finds its own."""

    number: int
    width: float


class GripperGoals:
    """A wish becomes a goal as soon as the server has answered the request before; wishes overtaken are never sent.

    A goal that was accepted is not waited for: gripper controllers drop it for a newer one, which keeps a hand that
    still opens from closing late. So only the newest goal's end is heard.
    """

    def __init__(self) -> None:
        self._wish: float | None = None
        self._wished_at: float | None = None
        self._asked: Goal | None = None
        self._asked_at = 0.0
        self._count = 0
        self.problem = ""

    def want(self, width: float) -> None:
        """The gripper is to go to this opening [m]."""
        self._wish = width

    def next(self, now: float, is_server_ready: Callable[[], bool]) -> Goal | None:
        """The goal to send now; None when there is none, or an answer is due, or nobody would hear it.

        is_server_ready: asked only when there is something to send.
        """
        if self._asked is not None and now - self._asked_at > PATIENCE:
            self.problem = f"goal {self._asked.width:.3f} m was not answered for {PATIENCE} s; asking again"
            self._wish = self._asked.width if self._wish is None else self._wish
            self._asked = None
        if self._wish is None or self._asked is not None:
            return None
        if not is_server_ready():
            self._wished_at = now if self._wished_at is None else self._wished_at
            if now - self._wished_at > PATIENCE:
                self.problem = "its action server is not there; is the gripper's controller active?"
            return None
        self._count += 1
        self._asked, self._asked_at = Goal(self._count, self._wish), now
        self._wish, self._wished_at = None, None
        return self._asked

    def answered(self, goal: Goal, *, is_accepted: bool) -> None:
        """The server took a goal or refused it. A refused one is not sent again: only another wish is."""
        if goal != self._asked:
            return
        self._asked = None
        self.problem = "" if is_accepted else f"goal {goal.width:.3f} m was refused by the server"

    def ended(self, goal: Goal, *, is_done: bool) -> None:
        """A goal is over. is_done: the gripper is where it was to go, or holds something on the way."""
        if goal.number == self._count and not is_done:
            self.problem = f"goal {goal.width:.3f} m was given up by the server"
