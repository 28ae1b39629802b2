"""What goes wrong with an arm or a hand by libfranka, and whether it ended as documented. No ROS, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clwm_chaos.faults.verdict import STANDSTILL_LIMIT, TRAVEL_LIMIT
from clwm_chaos.motion_record import REST_SPEED

CUT = 2.0  # s
REACTION = 0.06  # s from when the executor could know until arms brake: an executor's tick, transport, a filter's jerk
DECELERATION = 10.0  # rad/s^2


class Kind(Enum):
    """What is done."""

    KILL_DRIVER = "SIGKILL to the arm's driver"
    REFLEX = "the robot stops with an error of its own"
    CUT = f"nothing goes through its connection for {CUT:.0f} s"
    EMPTY_GRASP = "the hand is to close where nothing is"


@dataclass(frozen=True)
class LibfrankaFault:
    """said: what the mode's reason must hold. known_after: s from which on the executor could know."""

    kind: Kind
    outcome: str
    said: str = ""
    error: str = ""
    known_after: float = 0.0


_HELD = "both arms at rest; HOLD with the robot's reason, until it is recovered and POLICY is ordered"
FAULTS = {
    "driver killed": LibfrankaFault(Kind.KILL_DRIVER, _HELD, "communication_constraints_violation", known_after=0.2),
    "joint reflex": LibfrankaFault(Kind.REFLEX, _HELD, "joint_reflex", "joint_reflex"),
    "cartesian reflex": LibfrankaFault(Kind.REFLEX, _HELD, "cartesian_reflex", "cartesian_reflex"),
    "connection cut": LibfrankaFault(Kind.CUT, _HELD, "communication_constraints_violation", known_after=0.2),
    "grasp on nothing": LibfrankaFault(Kind.EMPTY_GRASP, "reported by the goal's result and the hand's health"),
}


@dataclass(frozen=True)
class Course:
    """Joint states of one arm: instants (n,) s, positions (n, 7) rad, velocities (n, 7) rad/s."""

    times: NDArray[np.float64]
    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]


@dataclass
class Injected:
    """One injection. standstill_s: from when the executor could know; travel_rad: likewise, any joint.

    said: the mode's reason. seconds: of the stack's time.
    """

    fault: str
    number: int
    arm: str
    standstill_s: float | None = None
    travel_rad: float | None = None
    said: str = ""
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge_motion(injected: Injected, began: float, courses: Sequence[Course]) -> None:
    """Fill in how both arms came to rest after `began` [s], and what was too late or too far.

    An arm that was fast when it could be known may go as far as braking takes by its limits.
    """
    known = began + FAULTS[injected.fault].known_after
    moving, travel, fastest = known, 0.0, 0.0
    for course in courses:
        after = course.times >= began
        if not after.any():
            injected.violations.append("an arm was not seen any more")
            continue
        speeds = np.abs(course.velocities[after]).max(axis=1)
        fast = course.times[after][speeds >= REST_SPEED]
        moving = max(moving, float(fast.max())) if len(fast) else moving
        reacting = (course.times >= known) & (course.times <= known + REACTION)
        fastest = max([fastest, *np.abs(course.velocities[reacting]).max(axis=1)])
        # From where it was seen last before it could be known: an arm whose connection is cut is not seen for a while.
        start = max(int(np.searchsorted(course.times, known, side="right")) - 1, 0)
        travel = max(travel, float(np.abs(course.positions[start:] - course.positions[start]).max()))
    injected.standstill_s, injected.travel_rad = round(moving - known, 4), round(travel, 4)
    if injected.standstill_s > STANDSTILL_LIMIT:
        injected.violations.append(
            f"at rest {moving - known:.2f} s after it could be known; {STANDSTILL_LIMIT} s at most"
        )
    allowed = max(TRAVEL_LIMIT, REACTION * fastest + fastest**2 / (2.0 * DECELERATION))
    if travel > allowed:
        injected.violations.append(f"a joint went on for {travel:.2f} rad; {allowed:.2f} rad at most")


def summarise(injections: Sequence[Injected]) -> list[dict[str, Any]]:
    """A row for each fault."""
    rows = []
    for name, fault in FAULTS.items():
        some = [it for it in injections if it.fault == name]
        if some:
            rows.append(
                {
                    "fault": name,
                    "what": fault.kind.value,
                    "documented_outcome": fault.outcome,
                    "injections": len(some),
                    "ended_as_documented": sum(not it.violations for it in some),
                    "standstill_s_max": max(
                        (it.standstill_s for it in some if it.standstill_s is not None), default=None
                    ),
                    "travel_rad_max": max((it.travel_rad for it in some if it.travel_rad is not None), default=None),
                }
            )
    return rows
