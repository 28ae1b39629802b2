"""What can still be done before a chunk is needed: step times as windowed percentiles, and which steps to leave out."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from clwm_policy.program import Step
from clwm_policy.re_entry import START, Plan, Point

WINDOW = 64  # samples per kind of step: some ten chunks
WARM_UP = 2  # first calls of a kind, which allocate and would poison the estimate
QUANTILE = 0.9


class StepTimes:
    """How long each kind of step takes [s]: a percentile of the latest ones, warm-up left out."""

    def __init__(self, window: int = WINDOW, warm_up: int = WARM_UP, quantile: float = QUANTILE) -> None:
        self._samples: dict[Step, deque[float]] = defaultdict(lambda: deque(maxlen=window))
        self._calls: dict[Step, int] = defaultdict(int)
        self._warm_up = warm_up
        self._quantile = quantile

    def add(self, step: Step, seconds: float) -> None:
        """Count one step."""
        self._calls[step] += 1
        if self._calls[step] > self._warm_up:
            self._samples[step].append(seconds)

    def expected(self, step: Step) -> float:
        """Seconds that `step` hardly exceeds; 0 while unknown, so that nothing is cut on a guess."""
        samples = sorted(self._samples[step])  # of so few a sort costs a twentieth of numpy's quantile
        return samples[math.ceil(self._quantile * len(samples)) - 1] if samples else 0.0

    def of_stage_2(self, steps: int) -> float:
        """Seconds for so many steps of stage 2 alone."""
        return steps * self.expected(Step.ACTION)

    def from_start(self, video_steps: int, action_steps: int) -> float:
        """Seconds from an encoded observation to a chunk."""
        once = self.expected(Step.WRITE) + self.expected(Step.ABSORB)
        return once + video_steps * self.expected(Step.VIDEO) + self.of_stage_2(action_steps)


@dataclass(frozen=True)
class Course:
    """Where to resume, in how many steps of either stage. is_cut: not what the re-entry policy would have chosen."""

    point: Point
    video_steps: int
    action_steps: int
    is_cut: bool = False


def course(chosen: Point, plan: Plan, kept: Sequence[Point], times: StepTimes, time_left: float) -> Course:
    """The way to a chunk that starts at `chosen` when `time_left` [s] allows, and what is left of it otherwise.

    kept: points at which the verified speculation could be resumed; (). First a later point of it; without one fewer,
    larger steps from the start, at least one of each stage, even if that is late.
    """
    if chosen != START:
        left = plan.action_steps - chosen.action
        if times.of_stage_2(left) <= time_left:
            return Course(chosen, 0, left)
    elif times.from_start(plan.video_steps, plan.action_steps) <= time_left:
        return Course(START, plan.video_steps, plan.action_steps)
    for point in sorted(kept):
        left = plan.action_steps - point.action
        if point > chosen and (left == 0 or times.of_stage_2(left) <= time_left):
            return Course(point, 0, left, is_cut=True)
    if chosen != START:
        return Course(chosen, 0, plan.action_steps - chosen.action)
    return _shortened(plan, times, time_left)


def _shortened(plan: Plan, times: StepTimes, time_left: float) -> Course:
    """From the start in both stages' share of the largest number of steps that fits."""
    total = plan.video_steps + plan.action_steps
    for steps in range(total - 1, 1, -1):
        video = min(max(1, round(steps * plan.video_steps / total)), steps - 1)
        if times.from_start(video, steps - video) <= time_left:
            return Course(START, video, steps - video, is_cut=True)
    return Course(START, 1, 1, is_cut=total > 2)
