"""A finished integration completed anew under another context, by evaluating a few of its steps instead of all.

The draft was integrated step by step: states x(s), velocities v(s). On the straight path of flow matching, a clean
sample that differs by d has states that differ by s d. The velocity v' under the other context, at such a state, says
anew what d is, since the clean sample is believed to lie at x + (1 - s) v:

    d <- s d + (1 - s) (v' - v)

Each renewal is one Parareal iteration with the belief at s as the coarse propagator: G(new) - G(draft) is added to what
the draft reached by all its steps. Early evaluations say where the sample goes, late ones what it looks like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from torch import Tensor

from clwm_policy.engine.re_entry import Plan, Point

# Flow times of stage 2 to evaluate besides the last step, from few to many; found on episodes of their own: with these
# few, chunks stray no further from the sequential one than with all steps from the first of them on.
_ACTION_TIMES = ((), (0.6,), (0.5, 0.7))
_VIDEO_TIME = 0.5


@dataclass(frozen=True)
class Evaluations:
    """The flow steps of either stage that are evaluated under the true context, in program order."""

    video: tuple[int, ...] = ()
    action: tuple[int, ...] = ()

    @property
    def nfe(self) -> int:
        """Evaluations in all: a prediction that was refined is held against the draft's once more."""
        return len(self.video) + bool(self.video) + len(self.action)


@lru_cache
def refinements(plan: Plan) -> Mapping[Point, Evaluations]:
    """Where a corrected speculation can be resumed, and what is evaluated from there on, in program order.

    The last point is the end of the program: the correction alone. The last step heads for a clean chunk under the true
    context; it repairs most of what the correction left, for one evaluation. The first point refines the prediction
    as well.
    """
    steps, last = plan.action_steps, plan.action_steps - 1
    ways = {Point(plan.video_steps, steps): Evaluations()}
    action: tuple[int, ...] = ()
    for times in _ACTION_TIMES:
        chosen = {min(round(s * steps), last) for s in times} | {last}
        if len(chosen) > len(action):  # of few steps the same are the nearest
            action = tuple(sorted(chosen))
            ways[Point(plan.video_steps, action[0])] = Evaluations(action=action)
    video = min(round(_VIDEO_TIME * plan.video_steps), plan.video_steps - 1)
    if video:  # a stage of one step is what its preview says
        ways[Point(video, 0)] = Evaluations((video,), action)
    return MappingProxyType(dict(sorted(ways.items())))


class Refinement:
    """One stage of a draft, completed with a correction that is renewed at some of its steps.

    states: of the draft, at all its flow `times`. correction: d, of the shape of a state. steps: indices of states,
    ascending, without the last one.
    """

    def __init__(
        self, states: Sequence[Tensor], times: Sequence[float], correction: Tensor, steps: Sequence[int]
    ) -> None:
        self._states, self._times = states, times
        self._correction = correction
        self._left = list(steps)

    @property
    def result(self) -> Tensor | None:
        """The clean sample; None while a step is left."""
        return None if self._left else self._states[-1] + self._correction

    @property
    def pending(self) -> tuple[Tensor, float]:
        """The corrected state to be evaluated next, and its flow time."""
        step = self._left[0]
        s = self._times[step]
        return self._states[step] + s * self._correction, s

    def renew(self, velocity: Tensor) -> None:
        """Take in the velocity at the pending state."""
        step = self._left.pop(0)
        s, s_next = self._times[step], self._times[step + 1]
        drafted = (self._states[step + 1] - self._states[step]) / (s_next - s)
        self._correction = s * self._correction + (1.0 - s) * (velocity - drafted)
