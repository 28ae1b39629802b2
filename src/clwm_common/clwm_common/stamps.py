"""Whether the stamps of an input can be believed, by the own clock. One judgement for preflight and the nodes."""

from __future__ import annotations

ANOTHER_CLOCK = 3600.0  # s; no clock that is meant to be the same is off by as much
CLOCKS = "synchronise the clocks of both machines (chrony), and let the driver stamp with the time of capture"


def stamp_problem(now: float, stamp: float, ahead: float, behind: float) -> str:
    """Why a message that came at `now` must not be believed to be of `stamp` [s]; empty when it may be.

    ahead, behind: how far [s] the stamp may be from the arrival on either side.
    """
    if stamp == 0.0:
        return "its stamps are 0; let the driver stamp with the time of capture"
    age = now - stamp
    if abs(age) > ANOTHER_CLOCK:
        return (
            f"its stamp is {stamp:.3f} s where this clock says {now:.3f} s: another clock, perhaps the time since "
            "the machine's start or a simulation's; stamp with ROS time, or set use_sim_time on both"
        )
    if age < -ahead:
        return f"its stamps are {-age:.2f} s ahead of this clock; at most {ahead:g} s expected; {CLOCKS}"
    if age > behind:
        return f"it is {age:.2f} s old on arrival; at most {behind:g} s expected; {CLOCKS}"
    return ""
