"""What can still be done before a chunk is needed: step times as windowed percentiles, and which steps to leave out."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from clwm_policy.engine.program import Step
from clwm_policy.engine.re_entry import START, Plan, Point
from clwm_policy.engine.refinement import Evaluations, refinements

WINDOW = 64  # samples per kind of step: some ten chunks
WARM_UP = 2  # first calls of a kind, which allocate and would poison the estimate
QUANTILE = 0.9


class StepTimes:
    """How long each kind of step takes [s]: a percentile of the latest ones, warm-up left out."""

    def __init__(self, window: int = WINDOW, warm_up: int = WARM_UP, quantile: float = QUANTILE) -> None:
        # The latest durations of each kind of step, behind as many calls of warm-up as are still to come.
        self._kinds: dict[Step, tuple[list[None], deque[float]]] = defaultdict(
            lambda: ([None] * warm_up, deque(maxlen=window))
        )
        self._quantile = quantile

    def add(self, step: Step, seconds: float) -> None:
        """Count one step."""
        warm_up, samples = self._kinds[step]
        if warm_up:
            warm_up.pop()
        else:
            samples.append(seconds)

    def expected(self, step: Step) -> float:
        """Seconds that `step` hardly exceeds; 0 while unknown, so that nothing is cut on a guess."""
        samples = sorted(self._kinds[step][1])  # of so few a sort costs a twentieth of numpy's quantile
        return samples[math.ceil(self._quantile * len(samples)) - 1] if samples else 0.0

    def of_refinement(self, evaluations: Evaluations) -> float:
        """Seconds from a verified speculation to a chunk."""
        seconds = len(evaluations.action) * self.expected(Step.ACTION)
        if evaluations.video:
            seconds += self.expected(Step.WRITE) + self.expected(Step.PREVIEW)
        return seconds + len(evaluations.video) * self.expected(Step.VIDEO)

    def from_start(self, video_steps: int, action_steps: int) -> float:
        """Seconds from an encoded observation to a chunk."""
        once = self.expected(Step.WRITE) + self.expected(Step.ABSORB)
        steps = video_steps * self.expected(Step.VIDEO) + action_steps * self.expected(Step.ACTION)
        return once + steps


@dataclass(frozen=True)
class Course:
    """Where to resume. is_cut: not what the re-entry policy would have chosen.

    video_steps, action_steps: larger steps to take from the start, when that is cut.
    """

    point: Point
    video_steps: int = 0
    action_steps: int = 0
    is_cut: bool = False


def course(chosen: Point, plan: Plan, kept: Sequence[Point], times: StepTimes, time_left: float) -> Course:
    """The way to a chunk that starts at `chosen` when `time_left` [s] allows, and what is left of it otherwise.

    chosen: START or one of `kept`, the points at which the verified speculation could be resumed. First a later one
    of them; without any fewer, larger steps from the start, at least one of each stage, even if that is late.
    """
    ways = refinements(plan)
    whole = times.from_start(plan.video_steps, plan.action_steps)
    if (whole if chosen == START else times.of_refinement(ways[chosen])) <= time_left:
        return Course(chosen)
    for point in sorted(kept):
        if point > chosen and (not ways[point].nfe or times.of_refinement(ways[point]) <= time_left):
            return Course(point, is_cut=True)
    return Course(chosen) if chosen != START else _shortened(plan, times, time_left)


def _shortened(plan: Plan, times: StepTimes, time_left: float) -> Course:
    """From the start in both stages' share of the largest number of steps that fits."""
    total = plan.video_steps + plan.action_steps
    for steps in range(total - 1, 1, -1):
        video = min(max(1, round(steps * plan.video_steps / total)), steps - 1)
        if times.from_start(video, steps - video) <= time_left:
            return Course(START, video, steps - video, is_cut=True)
    return Course(START, 1, 1, is_cut=total > 2)
