"""Which goal a gripper's action gets, and when: one request at a time, the newest wish wins. No clock, no ROS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# s after which a request without an answer is taken for lost, and an absent server is spoken of.
PATIENCE = 1.0
_LOOK_EVERY = 0.5  # s between two looks whether the server of a running goal is still there
_ABSENT = "its action server is not there; is the gripper's controller active?"


@dataclass(frozen=True)
class Goal:
    """Go to `width` [m]. number: counts the goals, so that an answer finds its own."""

    number: int
    width: float


class GripperGoals:
    """A wish becomes a goal as soon as the server has answered the request before; wishes overtaken are never sent.

    A goal that was accepted is not waited for: gripper controllers drop it for a newer one, which keeps a hand that
    still opens from closing late. But goals must end: a server that takes them and ends none moves no hand.
    """

    def __init__(self, longest: float) -> None:
        """longest: s within which a goal that was accepted must end."""
        self._longest = longest
        self._wish: float | None = None
        self._wished_at: float | None = None
        self._asked: Goal | None = None
        self._asked_at = 0.0
        self._running: Goal | None = None
        self._unended_since: float | None = None
        self._looked_at = 0.0
        self._count = 0
        self._now = 0.0
        self._since = 0.0
        self.reason = ""

    @property
    def problem(self) -> str:
        """What is wrong, and for how long; empty when all is well. `reason` is the same without the time."""
        return self.reason and f"{self.reason} (for {self._now - self._since:.0f} s)"

    def want(self, width: float) -> None:
        """The gripper is to go to this opening [m]."""
        self._wish = width

    def next(self, now: float, is_server_ready: Callable[[], bool]) -> Goal | None:
        """The goal to send now; None when there is none, or an answer is due, or nobody would hear it.

        is_server_ready: asked only when there is something to send, and now and then while a goal runs.
        """
        self._now = now
        self._look_after_running(now, is_server_ready)
        if self._asked is not None and now - self._asked_at > PATIENCE:
            self._say(
                f"goal {self._asked.width:.3f} m was not answered for {PATIENCE} s; asking again; look at "
                "the gripper's driver"
            )
            self._wish = self._asked.width if self._wish is None else self._wish
            self._asked = None
        if self._wish is None or self._asked is not None:
            return None
        if not is_server_ready():
            self._wished_at = now if self._wished_at is None else self._wished_at
            if now - self._wished_at > PATIENCE and "went away" not in self.reason:
                self._say(_ABSENT)
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
        if not is_accepted:
            self._say(f"goal {goal.width:.3f} m was refused by the server; look at the gripper's driver")
            return
        self._running = goal
        if self._unended_since is None:
            self._unended_since = self._now
        if self._now - self._unended_since <= self._longest:
            self._say("")

    def ended(self, goal: Goal, *, is_done: bool) -> None:
        """A goal is over. is_done: the gripper is where it was to go, or holds something on the way."""
        if goal == self._running:
            self._running = self._unended_since = None
        elif self._running is not None:
            self._unended_since = self._now  # the server is alive: it has dropped an older goal for the running one
        if goal.number == self._count:
            self._say("" if is_done else f"goal {goal.width:.3f} m was given up by the server; look at the gripper")

    def _look_after_running(self, now: float, is_server_ready: Callable[[], bool]) -> None:
        goal = self._running
        if goal is None:
            return
        if now - self._unended_since > self._longest:
            self._say(
                f"goal {goal.width:.3f} m was accepted and has not ended within {self._longest:.1f} s; is the hand "
                "blocked, or its driver hung? Free it, or start the driver again"
            )
        if now - self._looked_at < _LOOK_EVERY:
            return
        self._looked_at = now
        if not is_server_ready():
            self._say(
                f"its action server went away during goal {goal.width:.3f} m; start the gripper's driver again: the "
                "goal will be sent anew"
            )
            self._wish = goal.width if self._wish is None and self._asked is None else self._wish
            self._running = self._unended_since = None

    def _say(self, reason: str) -> None:
        if reason != self.reason:
            self.reason, self._since = reason, self._now
