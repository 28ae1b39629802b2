"""Where a chunk's program is resumed once the real observation is there: the re-entry policies.

A program has two flow integrations: `video_steps` of stage 1, then `action_steps` of stage 2. A `Point` counts how many
steps of each are done. Speculation reaches some point on the predicted observation; a policy says how far it is worth
running and, when the observation has arrived, up to which point its work is kept. Everything after that is done again
under the true context.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

BOUND = 0.005  # m of tool motion
BOUND_MAX = 1.0


class ReEntryError(ValueError):
    """A re-entry policy that cannot be understood; the message says what was expected."""


@dataclass(frozen=True)
class Plan:
    """How many Euler steps each stage of a program takes."""

    video_steps: int
    action_steps: int

    def __post_init__(self) -> None:
        for name in ("video_steps", "action_steps"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
                raise ReEntryError(f"{name} is {value!r}; expected a whole number of flow steps between 1 and 1000")

    def name(self, point: Point) -> str:
        """For people: the flow time that a chunk is resumed at."""
        return point_name(point.video / self.video_steps, point.action / self.action_steps)


@dataclass(frozen=True, order=True)
class Point:
    """Progress through a program: steps done of stage 1, then of stage 2. Ordered as the program runs."""

    video: int = 0
    action: int = 0


START = Point()


def point_name(video_s: float, action_s: float) -> str:
    """For people, of the flow times of both stages that a chunk was resumed at."""
    if video_s == action_s == 0.0:
        return "start"
    return f"{action_s:g}" if video_s == 1.0 else f"stage 1 at {video_s:g}"


class ReEntryPolicy(Protocol):
    """Decides how much of a speculation to make and how much of it to keep."""

    @property
    def name(self) -> str:
        """As written in reports and accepted by `parse_re_entry`."""
        ...

    @property
    def speculates(self) -> bool:
        """False when nothing is ever kept, so that nothing need be computed ahead."""
        ...

    def goal(self, plan: Plan) -> Point:
        """The point beyond which speculation would be wasted."""
        ...

    @property
    def verifies(self) -> bool:
        """True when a speculation is to be verified, and corrected, before `choose`."""
        ...

    @property
    def keeps_deadline(self) -> bool:
        """True when steps may be cut for a chunk to be there by `needed_by`."""
        ...

    def choose(self, reached: Point, plan: Plan, disagreement: float = math.nan) -> Point:
        """The point to resume at, never past `reached`; `START` discards the speculation.

        disagreement: of the speculation with the true context [m of tool motion]; NaN when it was not verified.
        """
        ...

    @property
    def points(self) -> tuple[Point, ...]:
        """Where a verified speculation can be resumed; () without verification."""
        ...

    def expected_deviation(self, point: Point, disagreement: float) -> float:
        """How far [m of tool motion] a chunk resumed at `point` may stray from the sequential one; NaN: unknown."""
        ...


@dataclass(frozen=True)
class Sequential:
    """From the start, always: the baseline without speculation."""

    name: str = "sequential"
    speculates: bool = False
    verifies: bool = False
    keeps_deadline: bool = False

    def goal(self, plan: Plan) -> Point:
        return START

    def choose(self, reached: Point, plan: Plan, disagreement: float = math.nan) -> Point:
        return START

    @property
    def points(self) -> tuple[Point, ...]:
        return ()

    def expected_deviation(self, point: Point, disagreement: float) -> float:
        return 0.0


@dataclass(frozen=True)
class Fixed:
    """At flow time `s_mid` of stage 2, whatever was observed: the paper's rule.

    Stored states exist at multiples of 1 / action_steps; the latest one not past `s_mid` is taken. A speculation that
    did not get so far is resumed at its latest state.
    """

    s_mid: float
    speculates: bool = True
    verifies: bool = False
    keeps_deadline: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.s_mid) and 0.0 <= self.s_mid <= 1.0):
            raise ReEntryError(
                f"s_mid is {self.s_mid}; expected a flow time between 0 (all of stage 2 is redone) and 1 (none of it)"
            )

    @property
    def name(self) -> str:
        return f"fixed:{self.s_mid:g}"

    def goal(self, plan: Plan) -> Point:
        # 0.3 * 10 is 2.9999...; the tolerance keeps a stated multiple of a step from being rounded down.
        return Point(plan.video_steps, math.floor(self.s_mid * plan.action_steps + 1e-9))

    def choose(self, reached: Point, plan: Plan, disagreement: float = math.nan) -> Point:
        return min(reached, self.goal(plan))

    @property
    def points(self) -> tuple[Point, ...]:
        return ()

    def expected_deviation(self, point: Point, disagreement: float) -> float:
        return 0.0 if point == START else math.nan


class DeviationMap(Protocol):
    """What a `Calibration` knows: the deviation to expect of every re-entry point."""

    @property
    def points(self) -> tuple[Point, ...]: ...

    def expected(self, disagreement: float) -> Mapping[Point, float]: ...


@dataclass(frozen=True)
class Adaptive:
    """At the latest corrected state from which the chunk is expected to stray no further than `bound`.

    bound: m of tool motion, a turn of 2 degrees counting like a shift of 5 mm. The finished speculation is verified and
    corrected first; from the start when it could not be, or when no point keeps the bound. calibration: None until the
    policy's is loaded; without one nothing is trusted.
    """

    bound: float = BOUND
    calibration: DeviationMap | None = None
    speculates: bool = True
    verifies: bool = True
    keeps_deadline: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.bound) and 0.0 < self.bound <= BOUND_MAX):
            raise ReEntryError(
                f"bound is {1e3 * self.bound:g} mm; expected more than 0 and at most {1e3 * BOUND_MAX:g} mm"
            )

    @property
    def name(self) -> str:
        return "adaptive" if self.bound == BOUND else f"adaptive:{1e3 * self.bound:g}"

    def goal(self, plan: Plan) -> Point:
        return Point(plan.video_steps, plan.action_steps)

    def choose(self, reached: Point, plan: Plan, disagreement: float = math.nan) -> Point:
        if self.calibration is None:
            return START
        kept = (
            point
            for point, deviation in self.calibration.expected(disagreement).items()
            if point <= reached and deviation <= self.bound
        )
        return max(kept, default=START)

    @property
    def points(self) -> tuple[Point, ...]:
        return () if self.calibration is None else self.calibration.points

    def expected_deviation(self, point: Point, disagreement: float) -> float:
        if point == START:
            return 0.0
        return math.nan if self.calibration is None else self.calibration.expected(disagreement)[point]


def parse_re_entry(text: str) -> ReEntryPolicy:
    """Read `sequential`, `fixed:<s_mid>` or `adaptive[:<mm>]` as written in parameters and on command lines.

    `adaptive` comes without its calibration, which belongs to a checkpoint.
    Raises ReEntryError naming the text and what was expected.
    """
    kind, separator, argument = text.strip().partition(":")
    if kind == "sequential":
        if separator:
            raise ReEntryError(f"re-entry policy '{text}': 'sequential' takes no argument; write 'sequential'")
        return Sequential()
    if kind == "fixed":
        try:
            s_mid = float(argument)
        except ValueError:
            raise ReEntryError(
                f"re-entry policy '{text}': s_mid is '{argument}'; expected a number between 0 and 1, as in 'fixed:0.5'"
            ) from None
        return Fixed(s_mid)
    if kind == "adaptive":
        try:
            return Adaptive(float(argument) / 1e3 if separator else BOUND)
        except ValueError as error:
            if isinstance(error, ReEntryError):
                raise
            raise ReEntryError(
                f"re-entry policy '{text}': bound is '{argument}'; expected millimetres, as in 'adaptive:5'"
            ) from None
    raise ReEntryError(
        f"re-entry policy '{text}' is unknown; expected 'sequential', 'fixed:<s_mid>' as in 'fixed:0.5', or 'adaptive'"
    )
