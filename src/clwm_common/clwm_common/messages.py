"""What the nodes say to each other, without ROS: frozen dataclasses that mirror `clwm_msgs` field by field.

All times are seconds on the stack's clock and name a capture or an effect, never "now".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ACTION_DIM, LAYOUT_VERSION, ROW_DT

INSTRUCTION_BYTES = 256  # bound of every `instruction` in clwm_msgs, in UTF-8
GOAL_BYTES = 64  # the same of every `goal`
# A text that is cut to its bound in clwm_msgs; any other that is longer is refused at the other end.
ForPeople = Annotated[str, "for people"]
# NaN as long as it has not happened, which in clwm_msgs is a zero stamp.
Instant = Annotated[float, "of what may not happen"]


class Mode(IntEnum):
    """Who moves the arms; a larger value overrides a smaller one."""

    POLICY = 0
    TELEOP = 1
    HOLD = 2
    ESTOP = 3


class MemoryPolicy(IntEnum):
    """What happens to the long-term memory when the task changes."""

    KEEP = 0
    RESET = 1
    RESTORE = 2


class Judgement(IntEnum):
    """How the task of an epoch stands. UNJUDGED: this judge cannot tell what was asked, and never will."""

    OPEN = 0
    SUCCEEDED = 1
    FAILED = 2
    UNJUDGED = 3


class RefusalKind(IntEnum):
    """What the policy has against a request for a chunk."""

    REQUEST = 0
    SNAPSHOT = 1
    OBSERVATION = 2
    NO_OBSERVATION = 3
    OUTPUT = 4
    INACTIVE = 5


def instruction_problem(instruction: str) -> str:
    """Why these words cannot be a task; empty when they can."""
    if not instruction.strip():
        return "its instruction is empty; say what to do"
    if (size := len(instruction.encode())) > INSTRUCTION_BYTES:
        return f"its instruction has {size} bytes; expected at most {INSTRUCTION_BYTES}"
    return ""


def goal_problem(goal: str) -> str:
    """Why this cannot name a goal; empty when it can, or names none."""
    if (size := len(goal.encode())) > GOAL_BYTES:
        return f"its goal has {size} bytes; expected at most {GOAL_BYTES}"
    return ""


def _no_rows() -> NDArray[np.float32]:
    return np.zeros((0, ACTION_DIM), dtype=np.float32)


@dataclass(frozen=True)
class ObservationRequest:
    """The policy asks perception for the image set captured nearest to `observe_at`."""

    chunk_id: int
    observe_at: float


@dataclass(frozen=True)
class FeatureFrame:
    """Features of one synchronised image set.

    features: (cameras, rows, columns, channels) float16; stamp: capture time of the oldest image in the set.
    """

    stamp: float
    features: NDArray[np.float16]
    cameras: tuple[str, ...]
    encoder_id: str
    encoder_hash: str
    encode_seconds: float = 0.0


@dataclass(frozen=True)
class DualArmState:
    """Measured state of both arms at `stamp`, in the 30-number layout; `valid` is False where nothing was measured."""

    stamp: float
    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    velocities: NDArray[np.float32] = field(default_factory=lambda: np.zeros(14, dtype=np.float32))
    mode: Mode = Mode.HOLD
    task_epoch: int = 0


@dataclass(frozen=True)
class TeleopCommand:
    """A human asks for one configuration of the arms; to be repeated while the dead-man switch is held.

    stamp: when the input was read. source: name of the device or program. target: (30,) in the 30-number layout, of
    which `valid` (30,) says what is asked for.
    """

    stamp: float
    source: str
    dead_man: bool
    target: NDArray[np.float32] = field(default_factory=lambda: np.zeros(ACTION_DIM, dtype=np.float32))
    valid: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(ACTION_DIM, dtype=np.bool_))
    layout_version: int = LAYOUT_VERSION


@dataclass(frozen=True)
class ModeStatus:
    """Who moves the arms since `stamp`, and why. owner: empty for nobody. reason: empty in normal operation."""

    stamp: float
    mode: Mode
    owner: ForPeople = ""
    reason: ForPeople = ""
    task_epoch: int = 0


@dataclass(frozen=True)
class TaskStatus:
    """What is asked of the arms and what they do about it, since `stamp`; the epoch began at `started_at`.

    goal: named with the task, for judges. fault: what is wrong. waiting: what is waited for longer than usual.
    """

    stamp: float
    mode: Mode
    phase: str
    task_epoch: int
    started_at: float = 0.0
    instruction: str = ""
    goal: str = ""
    fault: ForPeople = ""
    waiting: ForPeople = ""
    is_active: bool = False


@dataclass(frozen=True)
class Verdict:
    """What `judge` says of the task of one epoch, and of no other. goal: what was judged, empty when UNJUDGED."""

    stamp: float
    task_epoch: int
    judge: ForPeople
    outcome: Judgement
    goal: ForPeople = ""
    reason: ForPeople = ""


@dataclass(frozen=True)
class ChunkRequest:
    """The executor asks for a chunk that starts at `observe_at`.

    committed_prefix: (p, 30), p >= 1, rows 0..p-1 of the wanted chunk, already being executed; row 0 is the command in
    force at `observe_at`. executed_rows: (n, 30), n <= 16, the rows executed since the previous observation.
    needed_by: when the chunk must have arrived, or the arms brake. at_rest: the arms hold row p-1, and the executor
    will start row p when the chunk comes, whenever that is. executed_chunk_id: the chunk whose rows moved the arms
    last, 0 before the first; chunks made after it have moved nothing. cancel: drop the branch `chunk_id` instead; other
    fields are ignored.
    """

    chunk_id: int
    task_epoch: int
    observe_at: float
    needed_by: float
    committed_prefix: NDArray[np.float32] = field(default_factory=_no_rows)
    executed_rows: NDArray[np.float32] = field(default_factory=_no_rows)
    instruction: str = ""
    memory_policy: MemoryPolicy = MemoryPolicy.KEEP
    episode_seed: int = 0
    at_rest: bool = False
    executed_chunk_id: int = 0
    cancel: bool = False
    layout_version: int = LAYOUT_VERSION


@dataclass(frozen=True)
class ActionChunk:
    """Answers one request: rows (16, 30) float32 in physical units; row i is a knot at `stamp + i * dt`."""

    chunk_id: int
    task_epoch: int
    stamp: float
    rows: NDArray[np.float32]
    dt: float = ROW_DT
    prefix_rows: int = 1
    observation_stamp: float = 0.0
    layout_version: int = LAYOUT_VERSION
    policy_hash: str = ""
    re_entry: str = "sequential"


@dataclass(frozen=True)
class ChunkRefusal:
    """The policy's negative answer to a request. may_pass: whether asking again can help in this epoch."""

    chunk_id: int
    task_epoch: int
    kind: RefusalKind
    reason: ForPeople
    may_pass: bool = False


@dataclass(frozen=True)
class SaiReport:
    """How one chunk came about.

    Stamps are seconds on the stack's clock, durations seconds of computing. surrogate_error and copy_error are the
    relative errors ||f^ - f|| / ||f|| (normalised features) of the predicted feature and of copying the previous one;
    NaN when there was no surrogate. re_entry_video_s, re_entry_s: flow times of stages 1 and 2 that the speculation was
    resumed at, both 0 from the start. disagreement: how far [m of tool motion] the true context contradicted the
    speculation, NaN when it was not verified; expected_deviation: what the chunk may stray from the sequential one [m],
    0 from the start, NaN when unknown. uncalibrated: sent to keep `needed_by` although no bound is known to hold.
    success_estimate: probability that what was asked for holds in the observation, NaN when the checkpoint has no head.
    evidence_deviation: how far [m of tool motion] the earlier chunk `evidence_chunk_id` had strayed from the sequential
    one, made on idle time; NaN when none was. nfe counts function evaluations of the velocity fields.
    """

    chunk_id: int
    task_epoch: int
    policy: str
    requested_at: float = 0.0
    speculation_started_at: float = 0.0
    speculation_ended_at: float = 0.0
    observation_stamp: float = 0.0
    frame_arrived_at: float = 0.0
    finished_at: float = 0.0
    encode_seconds: float = 0.0
    memory_seconds: float = 0.0
    context_seconds: float = 0.0
    finish_seconds: float = 0.0
    surrogate_error: float = float("nan")
    copy_error: float = float("nan")
    re_entry_video_s: float = 0.0
    re_entry_s: float = 0.0
    disagreement: float = float("nan")
    expected_deviation: float = float("nan")
    uncalibrated: bool = False
    steps_cut: int = 0
    out_of_distribution: bool = False
    success_estimate: float = float("nan")
    evidence_chunk_id: int = 0
    evidence_deviation: float = float("nan")
    nfe_total: int = 0
    nfe_blocking: int = 0
    memory_updates: int = 0
    memory_digest: str = ""


@dataclass
class ChunkTimeline:
    """The life of one chunk, from the request to its last row: instants [s], NaN for what has not happened.

    outcome: pending, executed, stale, refused, declined, cancelled or timed_out. starts_at, first_motion_at,
    rows_end_at: the last row before it, its first row that was not committed before, and its last one. stall: how long
    [s] the arms had no rows to run. Jumps of velocity [rad/s] and of acceleration [rad/s^2]: where the chunk was joined
    on, and the median within it. report: the policy's, None as long as it has not come.
    """

    chunk_id: int
    task_epoch: int
    requested_at: float
    observe_at: float
    needed_by: float
    at_rest: bool
    prefix_rows: int
    outcome: str = "pending"
    arrived_at: Instant = float("nan")
    sent_at: Instant = float("nan")
    starts_at: Instant = float("nan")
    first_motion_at: Instant = float("nan")
    rows_end_at: Instant = float("nan")
    observation_stamp: Instant = float("nan")
    stall: float = 0.0
    seam_jump: float = float("nan")
    inner_jump: float = float("nan")
    seam_acceleration_jump: float = float("nan")
    inner_acceleration_jump: float = float("nan")
    re_entry: str = ""
    report: SaiReport | None = None
