"""What a Franka hand is told for an opening, and how that ends: by width and by force."""

from __future__ import annotations

from dataclasses import dataclass

from clwm_common.control.gripper_goal import Ending

REACHED = 0.002  # m
FORCE = 20.0  # N, where a goal leaves it to the hand


@dataclass(frozen=True)
class Move:
    """Open to `width` [m] at `speed` [m/s]: by position."""

    width: float
    speed: float


@dataclass(frozen=True)
class Grasp:
    """Close to `width` [m] at `speed` [m/s], and press with `force` [N] on what is met on the way."""

    width: float
    speed: float
    force: float


def command_for(width: float, max_effort: float, opening: float, speed: float) -> Move | Grasp:
    """A hand that closes may meet something, so it grasps; one that opens is moved.

    width, opening: wanted and present [m]; max_effort: N, 0 for the hand's own choice; speed: m/s.
    """
    return Grasp(width, speed, max_effort or FORCE) if width < opening - REACHED else Move(width, speed)


@dataclass(frozen=True)
class HandSeen:
    """The hand's state: opening [m], and whether it presses on something."""

    width: float
    is_grasped: bool


def ending_of(command: Move | Grasp, seen: HandSeen, problem: str = "") -> Ending:
    """How a command has ended that the hand says is over. problem: what the hand said when it gave up, or empty."""
    if problem:
        return Ending(seen.width, problem=f"the hand gave up at {seen.width:.3f} m: {problem}")
    short = seen.width - command.width
    if isinstance(command, Move):
        if abs(short) <= REACHED:
            return Ending(seen.width)
        return Ending(seen.width, problem=f"opened to {seen.width:.3f} m instead of {command.width:.3f} m; free it")
    if short > REACHED and seen.is_grasped:
        return Ending(seen.width, is_holding=True, note=f"holds something of {seen.width:.3f} m")
    if short > REACHED:
        return Ending(
            seen.width,
            problem=f"stopped at {seen.width:.3f} m without pressing on anything; is the hand blocked, or homed?",
        )
    return Ending(seen.width, note=f"closed to {seen.width:.3f} m on nothing")
