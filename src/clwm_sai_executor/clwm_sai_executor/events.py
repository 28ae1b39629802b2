"""What the scheduler is told, and what it answers: small frozen dataclasses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clwm_common.messages import (
    ActionChunk,
    ChunkRefusal,
    ChunkRequest,
    DualArmState,
    MemoryPolicy,
    Mode,
    ModeStatus,
    SaiReport,
    TeleopCommand,
)

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")
Level = Literal["info", "warning", "error"]

STANDS = 0.05  # rad/s below which a joint counts as standing: servos that settle creep by less


@dataclass(frozen=True)
class Tick:
    """Nothing happened but time. Due every 10 ms or so: rows are consumed and watchdogs looked at.

    lateness: how long [s] after its due instant the tick came; NaN where ticks are not due at any instant.
    """

    lateness: float = math.nan


@dataclass(frozen=True)
class MeasuredArms:
    """Joint positions (14,) rad, velocities (14,) rad/s, gripper openings (2,) m, measured at `stamp`."""

    stamp: float
    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]
    widths: NDArray[np.float64]

    @property
    def are_moving(self) -> bool:
        """Whether a joint is not standing."""
        return float(np.abs(self.velocities).max()) > STANDS


@dataclass(frozen=True)
class ChunkArrived:
    """The policy's answer to a request."""

    chunk: ActionChunk


@dataclass(frozen=True)
class ChunkUnreadable:
    """The policy's answer to a request, of which only the id could be read."""

    chunk_id: int
    reason: str


@dataclass(frozen=True)
class RefusalArrived:
    """The policy's answer to a request that it makes no chunk for."""

    refusal: ChunkRefusal


@dataclass(frozen=True)
class ReportArrived:
    """The policy's account of one chunk; it goes into the metrics and moves nothing."""

    report: SaiReport


@dataclass(frozen=True)
class TaskSet:
    """Another task, also while the arms move. goal: its name for those who judge it; empty: the words have to tell."""

    instruction: str
    memory_policy: MemoryPolicy = MemoryPolicy.KEEP
    episode_seed: int = 0
    goal: str = ""


@dataclass(frozen=True)
class TaskEnded:
    """The task is over, well or not: nothing more is asked of the policy until another one is set."""


@dataclass(frozen=True)
class ModeSet:
    """An operator's choice of who moves the arms."""

    mode: Mode


@dataclass(frozen=True)
class TeleopArrived:
    """What a human asks for, or that the dead-man switch was released."""

    command: TeleopCommand


@dataclass(frozen=True)
class DriverSaid:
    """A driver's word on its arm: why it takes no commands, or empty when it takes them (again)."""

    arm: str
    fault: str


@dataclass(frozen=True)
class EpisodeReset:
    """The world was put back to an initial state; what the arms were told before has no meaning now."""


@dataclass(frozen=True)
class ClockJumped:
    """The stack's clock was set by `seconds`, back being negative; no time passed for the arms."""

    seconds: float


@dataclass(frozen=True)
class ClockStands:
    """The stack's clock does not run, for this reason; empty when it runs again. Comes by another clock."""

    problem: str


Event = (
    Tick
    | MeasuredArms
    | ChunkArrived
    | ChunkUnreadable
    | RefusalArrived
    | ReportArrived
    | TaskSet
    | TaskEnded
    | ModeSet
    | TeleopArrived
    | DriverSaid
    | EpisodeReset
    | ClockJumped
    | ClockStands
)


@dataclass(frozen=True)
class RequestChunk:
    """To the policy: one chunk, please."""

    request: ChunkRequest


@dataclass(frozen=True)
class CancelChunk:
    """To the policy: drop the branch of this chunk."""

    chunk_id: int
    task_epoch: int


@dataclass(frozen=True)
class SendTrajectory:
    """To one arm's controller: positions (n, 7) rad and velocities (n, 7) rad/s at `stamp + times_from_start` (n,) s.

    `stamp` stays the same from the first row after rest until the arms rest again, so a knot sent twice has the same
    time from start, position and velocity in both messages.
    """

    arm: Side
    stamp: float
    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]
    times_from_start: NDArray[np.float64]


@dataclass(frozen=True)
class MoveGripper:
    """To one gripper: go to this opening [m] now."""

    arm: Side
    width: float


@dataclass(frozen=True)
class PublishState:
    """To all: the measured state in the 30-number layout."""

    state: DualArmState


@dataclass(frozen=True)
class PublishMode:
    """To all, latched: who moves the arms has changed."""

    status: ModeStatus


@dataclass(frozen=True)
class Report:
    """To the log. A refusal answers the event that caused it."""

    level: Level
    text: str
    is_refusal: bool = False


Command = RequestChunk | CancelChunk | SendTrajectory | MoveGripper | PublishState | PublishMode | Report
