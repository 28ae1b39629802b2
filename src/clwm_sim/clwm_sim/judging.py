"""Judges the goal that the task of one epoch asks for. No clock, no ROS: instants and situations are handed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from clwm_common.messages import Judgement, TaskStatus, Verdict
from clwm_sim.goals.base import Goal
from clwm_sim.goals.judge import Judge
from clwm_sim.situation import Situation

JUDGE = "sim"


def normalised(sentence: str) -> str:
    """A sentence without what does not change its meaning: case, white space, punctuation at its end."""
    return " ".join(sentence.casefold().split()).rstrip(" .!?…")


class TaskJudge:
    """Knows one epoch at a time, and judges it from its start on: what was before says nothing about it.

    A goal is achieved when its predicate holds for its hold time, failed when it is lost for good. How long a task may
    take is for whoever asked to say.
    """

    def __init__(self) -> None:
        self._asked: tuple[int, str, str] | None = None
        self._goal: Goal | None = None
        self._verdict: Verdict | None = None
        self._judge: Judge | None = None

    def begin(self, now: float, status: TaskStatus, goals: Sequence[Goal]) -> Verdict | None:
        """The first verdict on what is asked now; None when nothing is, or it is judged already.

        now: instant on the stack's clock [s]. goals: those that this world can judge.
        """
        asked = status.task_epoch, status.instruction, status.goal
        if asked == self._asked:
            return None
        self._asked = asked
        self.drop()
        if not status.instruction:
            return None
        goal = _wanted(status, goals)
        self._verdict = Verdict(now, status.task_epoch, JUDGE, Judgement.OPEN, goal.name if goal else "")
        if goal is None:
            self._verdict = replace(self._verdict, outcome=Judgement.UNJUDGED, reason=_ignorance(status, goals))
        else:
            self._goal = goal
        return self._verdict

    def drop(self) -> None:
        """The world was reset, or nothing is asked: judge nothing until another epoch begins."""
        self._goal, self._verdict, self._judge = None, None, None

    def look(self, now: float, elapsed: float, situation: Situation) -> Verdict | None:
        """The verdict when this is final, once. elapsed: s of simulated time, which hold times are measured in."""
        if self._goal is None or self._verdict is None:
            return None
        if self._judge is None:
            self._judge = Judge((self._goal,), elapsed, situation)
        self._judge.look(elapsed, situation)
        match self._judge.verdicts[self._goal.name]:
            case "achieved":
                return self._end(now, Judgement.SUCCEEDED, "")
            case "lost":
                return self._end(now, Judgement.FAILED, self._goal.loss)
        return None

    def _end(self, now: float, outcome: Judgement, reason: str) -> Verdict:
        self._goal = None
        self._verdict = replace(self._verdict, stamp=now, outcome=outcome, reason=reason)
        return self._verdict


def _wanted(status: TaskStatus, goals: Sequence[Goal]) -> Goal | None:
    """The goal that is named, or else the one that has this sentence."""
    if status.goal:
        return next((goal for goal in goals if goal.name == status.goal), None)
    words = normalised(status.instruction)
    return next((goal for goal in goals if words in map(normalised, _sentences(goal))), None)


def _sentences(goal: Goal) -> tuple[str, ...]:
    return goal.sentences() + goal.sentences(held_out=True)


def _ignorance(status: TaskStatus, goals: Sequence[Goal]) -> str:
    what = f"the goal '{status.goal}'" if status.goal else f"'{status.instruction[:100]}'"
    # One of each kind: a scene has a goal for every pair of its colours.
    examples = {goal.name.partition(":")[0]: goal for goal in reversed(goals)}.values()
    known = "; ".join(f"{goal.name}, for instance '{_sentences(goal)[0]}'" for goal in reversed(examples))
    if len(goals) > len(examples):
        known += f"; and {len(goals) - len(examples)} more of their kinds"
    if not goals:
        return f"this world cannot judge {what}: it has no goals; publish a verdict of your own on /clwm/verdict"
    return f"this world cannot judge {what}; it judges {known}. Say one of its sentences, or name its goal"
