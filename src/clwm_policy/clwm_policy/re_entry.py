"""Where a chunk's program is resumed once the real observation is there: the re-entry policies.

A program has two flow integrations: `video_steps` of stage 1, then `action_steps` of stage 2. A `Point` counts how many
steps of each are done. Speculation reaches some point on the predicted observation; a policy says how far it is worth
running and, when the observation has arrived, up to which point its work is kept. Everything after that is done again
under the true context.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class ReEntryError(ValueError):
    """A re-entry policy that cannot be understood; the message says what was expected."""


@dataclass(frozen=True)
class Plan:
    """How many Euler steps each stage of a program takes."""

    video_steps: int = 4
    action_steps: int = 8

    def __post_init__(self) -> None:
        for name in ("video_steps", "action_steps"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
                raise ReEntryError(f"{name} is {value!r}; expected a whole number of flow steps between 1 and 1000")


@dataclass(frozen=True, order=True)
class Point:
    """Progress through a program: steps done of stage 1, then of stage 2. Ordered as the program runs."""

    video: int = 0
    action: int = 0


START = Point()


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

    def choose(self, reached: Point, plan: Plan) -> Point:
        """The point to resume at, never past `reached`; `START` discards the speculation."""
        ...


@dataclass(frozen=True)
class Sequential:
    """From the start, always: the baseline without speculation."""

    name: str = "sequential"
    speculates: bool = False

    def goal(self, plan: Plan) -> Point:
        return START

    def choose(self, reached: Point, plan: Plan) -> Point:
        return START


@dataclass(frozen=True)
class Fixed:
    """At flow time `s_mid` of stage 2, whatever was observed: the paper's rule.

    Stored states exist at multiples of 1 / action_steps; the latest one not past `s_mid` is taken. A speculation that
    did not get so far is resumed at its latest state.
    """

    s_mid: float
    speculates: bool = True

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

    def choose(self, reached: Point, plan: Plan) -> Point:
        return min(reached, self.goal(plan))


def parse_re_entry(text: str) -> ReEntryPolicy:
    """Read `sequential` or `fixed:<s_mid>` as written in parameters and on command lines.

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
    raise ReEntryError(
        f"re-entry policy '{text}' is unknown; expected 'sequential' or 'fixed:<s_mid>', as in 'fixed:0.5'"
    )
