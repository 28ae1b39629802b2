"""Whether an injection ended in its documented outcome, from what was recorded. No ROS, no clock."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from clwm_chaos.faults.faults import Fault, Known, Neighbour, Outcome
from clwm_chaos.motion_record import REST_SPEED, Array, MotionRecord, Rest, limit_shares
from clwm_common.actions import ARM_JOINTS, ROW_DT
from clwm_common.robot.description import RobotDescription
from clwm_sai_executor.path.splice import Path, sample

STANDSTILL_LIMIT = 0.4  # s after the executor could know
TRAVEL_LIMIT = 0.15  # rad in that time, any joint
TRANSPORT = 0.05  # s that a message may have been on its way when the executor died
HELD_AWAY = 0.05  # rad from its command, from which on an arm at rest is held by something in the world
JUMP_LIMIT = 0.01  # rad that a command may jump by where the motion goes on
CREEP = 0.01  # rad that arms in ESTOP may sink in their servos


@dataclass(frozen=True)
class Requested:
    """A request for a chunk, seen at `at`, that was to be answered by `needed_by` [s]."""

    at: float
    needed_by: float
    at_rest: bool


@dataclass(frozen=True)
class Sent:
    """A trajectory that reached the controller of an arm (0 left, 1 right) at `at` and ends at `end` [s].

    times: (n,) s, the instants of its points; positions, velocities: (n, joints) rad, rad/s. Empty where
    positions stream.
    """

    at: float
    end: float
    arm: int = 0
    times: Array = field(default_factory=lambda: np.zeros(0))
    positions: Array = field(default_factory=lambda: np.zeros((0, 7)))
    velocities: Array = field(default_factory=lambda: np.zeros((0, 7)))


@dataclass
class Observed:
    """All that was seen of one injection; instants in s on the stack's clock.

    began_at: the fault's first effect on a process or a message. over_at: the end of the observation.
    moved: whether the arms moved again as the outcome wants; estop: from when to when no motion was allowed.
    statuses: what /clwm/task_status said, with the instants. problems: sentences about what went wrong on the way.
    """

    began_at: float
    over_at: float = float("nan")
    moved: bool = False
    estop: tuple[float, float] | None = None
    motion: MotionRecord | None = None
    requests: Sequence[Requested] = ()
    sent: Sequence[Sent] = ()
    statuses: Sequence[tuple[float, Mapping[str, Any]]] = ()
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Injection:
    """One line of the journal. standstill_s and travel_rad count from `known`; None where no rest is expected.

    longest_leap_s: the longest time between two joint states of moving arms. repeated: how often the injection was done
    again because the simulated robot could not keep up with real time.
    """

    fault: str
    number: int
    task: str
    episode_seed: int
    outcome: str
    known: str
    standstill_s: float | None
    travel_rad: float | None
    from_injection_s: float | None
    velocity_share: float
    acceleration_share: float
    longest_leap_s: float
    seconds: float
    repeated: int
    violations: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Injection:
        """From what `as_dict` gave, by JSON."""
        return cls(**{**fields, "violations": tuple(fields["violations"])})


def known_at(fault: Fault, seen: Observed, state_timeout: float) -> float:
    """The instant from which on the executor could know [s]."""
    match fault.known:
        case Known.AT_ONCE:
            return seen.began_at
        case Known.STATES_STALE:
            return seen.began_at + state_timeout
        case Known.SENT_AHEAD:
            # Later messages are of an executor that is back, or that is heard again.
            ends = [sent.end for sent in seen.sent if sent.at <= seen.began_at + TRANSPORT]
            return max([seen.began_at, *ends[-2:]])
        case Known.CHUNK_DUE:
            noticed = first_reaction(seen)
            # A policy that declines a request is waited for from then on, and what was sent runs out.
            until = min([noticed, *(at for at, status in seen.statuses if at >= seen.began_at and status["waiting"])])
            asked = [request.needed_by for request in seen.requests if not request.at_rest and request.at <= until]
            return max(seen.began_at, min(noticed, asked[-1])) if asked else seen.began_at


def held_away(seen: Observed, instant: float) -> float:
    """How far [rad] an arm was at `instant` from where its controller had been told to rest by then; 0 where unknown.

    A servo settles within millimetres: farther away, the arm is pressed against something and creeps as that gives way.
    """
    motion = seen.motion
    assert motion is not None
    farthest, at = 0.0, int(np.searchsorted(motion.times, instant, side="right")) - 1
    for arm in (0, 1):
        told = [sent for sent in seen.sent if sent.arm == arm and sent.at <= instant]
        if at >= 0 and told and len(told[-1].times) and told[-1].end <= instant:
            rested = told[-1].positions[-1]
            apart = motion.positions[at, ARM_JOINTS * arm :][: len(rested)] - rested
            farthest = max(farthest, float(np.abs(apart).max()))
    return farthest


def command_jump(seen: Observed) -> float:
    """The farthest [rad] that a trajectory took a joint's command at once from where the one before had led it."""
    farthest = 0.0
    for arm in (0, 1):
        told = [sent for sent in seen.sent if sent.arm == arm and len(sent.times) and sent.at >= seen.began_at]
        for before, after in itertools.pairwise(told):
            farthest = max(farthest, float(np.abs(_commanded(after, after.at) - _commanded(before, after.at)).max()))
    return farthest


def _commanded(sent: Sent, instant: float) -> Array:
    """Joints (joints,) that a controller commands at `instant`."""
    offsets, openings = sent.times - sent.times[0], np.zeros((len(sent.times), 0))
    path = Path(sent.times[0], ROW_DT, 0, offsets, sent.positions, sent.velocities, openings, last_row=0)
    return sample(path, instant)[0]


def first_reaction(seen: Observed) -> float:
    """When the executor first said that something is wrong; infinite when it did not."""
    for at, status in seen.statuses:
        if at >= seen.began_at and (status["phase"] == "STALLED" or status["mode"] != "POLICY" or status["fault"]):
            return at
    return np.inf


def judge(
    fault: Fault, seen: Observed, robot: RobotDescription, state_timeout: float
) -> tuple[Rest | None, float, list[str]]:
    """The standstill, the instant from which it counts, and every sentence about what was not as documented."""
    assert seen.motion is not None
    known, violations = known_at(fault, seen, state_timeout), list(seen.problems)
    rest = None
    if fault.outcome is not Outcome.CONTINUES:
        rest = seen.motion.rest_after(known)
        violations += _about_rest(rest, known)
    if not seen.moved:
        violations.append(f"the outcome was not “{fault.outcome.value}”: the last status is {_last(seen)}")
    violations += limit_shares(seen.motion, robot).broken()
    for name, text in fault.published.items():
        if not any(at >= seen.began_at and text in str(status[name]) for at, status in seen.statuses):
            violations.append(f"/clwm/task_status never said '{text}' in its field '{name}'")
    if fault.outcome is Outcome.CONTINUES:
        violations += [
            f"mode {status['mode']} with '{status['fault']}' although the motion should go on"
            for at, status in seen.statuses
            if at >= seen.began_at and (status["mode"] != "POLICY" or not _is_documented(fault, status["fault"]))
        ][:1]
        if (jump := command_jump(seen)) > JUMP_LIMIT:
            violations.append(f"a command jumped by {jump:.3f} rad although the motion should go on")
    gap = seen.motion.longest_leap()
    if isinstance(fault.means, Neighbour) and gap > state_timeout:
        violations.append(f"no joint state of moving arms for {gap:.3f} s; the executor brakes after {state_timeout} s")
    if seen.estop is not None:
        violations += _about_estop(seen.motion.between(*seen.estop))
    return rest, known, violations


def _is_documented(fault: Fault, said: str) -> bool:
    """Whether the executor may say so while the motion goes on."""
    documented = fault.published.get("fault")
    return not said or (documented is not None and documented in said)


def _about_rest(rest: Rest | None, known: float) -> list[str]:
    if rest is None:
        return ["the arms did not come to rest"]
    found = []
    if rest.at - known > STANDSTILL_LIMIT:
        found.append(f"standstill {rest.at - known:.3f} s after the executor could know; limit {STANDSTILL_LIMIT} s")
    if rest.travel > TRAVEL_LIMIT:
        found.append(f"a joint went {rest.travel:.3f} rad after the executor could know; limit {TRAVEL_LIMIT} rad")
    return found


def _about_estop(motion: MotionRecord) -> list[str]:
    if len(motion.times) == 0:
        return ["no joint state was recorded in ESTOP"]
    way = float(np.ptp(motion.positions, axis=0).max())
    speed = float(motion.speed().max())
    if way > CREEP or speed > 2.0 * REST_SPEED:
        return [f"motion in ESTOP: {way:.4f} rad at up to {speed:.3f} rad/s"]
    return []


def _last(seen: Observed) -> str:
    if not seen.statuses:
        return "missing"
    status = seen.statuses[-1][1]
    return f"mode {status['mode']}, phase {status['phase']}, fault '{status['fault']}'"
