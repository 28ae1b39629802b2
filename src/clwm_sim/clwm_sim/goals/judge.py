"""Judges all goals of an episode at once, from what is there."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from clwm_sim.goals.base import Goal
from clwm_sim.situation import Situation

Verdict = Literal["open", "achieved", "lost"]


@dataclass
class _Course:
    since: float | None = None  # s when it became true; None: it is not true now
    verdict: Verdict = "open"


class Judge:
    """Verdicts by goal name since something was asked at `began` s; a verdict that is not open stays."""

    def __init__(self, goals: Sequence[Goal], began: float, start: Situation) -> None:
        self._goals = tuple(goals)
        self._began = began
        self._starts = {goal.name: start for goal in goals}
        self._courses = {goal.name: _Course() for goal in goals}

    def look(self, time: float, now: Situation) -> None:
        """Take in how things are at `time` s."""
        for goal in self._goals:
            course = self._courses[goal.name]
            if course.verdict != "open":
                continue
            if time - self._began < goal.settling:
                self._starts[goal.name] = now
                continue
            start = self._starts[goal.name]
            if not goal.is_achieved(now, start):
                course.since = None
            elif course.since is None:
                course.since = time
            # A hair's breadth for times that are sums of steps.
            if course.since is not None and time - course.since >= goal.hold_time - 1e-9:
                course.verdict = "achieved"
            elif goal.is_lost(now, start):
                course.verdict = "lost"

    def copy(self) -> Judge:
        """One that has seen the same, and goes on by itself."""
        return copy.deepcopy(self)

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """By goal name."""
        return {name: course.verdict for name, course in self._courses.items()}
