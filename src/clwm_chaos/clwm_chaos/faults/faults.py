"""The faults that `clwm chaos --all` injects, each with its one documented outcome. Data only."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from clwm_chaos.faults.relay import Tampering
from clwm_common.robot.description import RobotDescription


class Outcome(Enum):
    """How an injection must end."""

    CONTINUES = "goes on moving"
    RESUMES = "rests, resumes by itself"
    HOLD = "rests in HOLD until an operator sets POLICY"
    ESTOP = "rests in ESTOP until an operator leaves it"
    RESTARTED = "rests; a new executor waits for a task"
    ENDED = "rests; all processes have ended"


class Known(Enum):
    """The moment from which on the executor could know of the fault."""

    AT_ONCE = "when it began"
    STATES_STALE = "state_timeout after the last usable joint state"
    CHUNK_DUE = "when the chunk was needed"
    SENT_AHEAD = "never: the arms run out what they have been sent"


@dataclass(frozen=True)
class KillSignal:
    """A signal to the process of `node`; with `resume_after` it is continued (SIGCONT) so many seconds later."""

    node: str
    number: signal.Signals
    resume_after: float | None = None


@dataclass(frozen=True)
class Messages:
    """A tampering of the relay with topics by the names of TOPICS; of `one_of` them only when that is set."""

    topics: tuple[str, ...]
    tampering: Mapping[str, object]
    one_of: bool = False


@dataclass(frozen=True)
class EmergencyStop:
    """An operator sets ESTOP; joint states fail and come back meanwhile, which must not move the arms."""


@dataclass(frozen=True)
class EndStack:
    """What SIGTERM and Ctrl-C do to `clwm up`: all processes are ended in their order."""


@dataclass(frozen=True)
class Neighbour:
    """A process that is no part of the stack and listens to the joint states: it joins now or, with `ends`, was there
    already and ends by this signal.
    """

    ends: signal.Signals | None = None


@dataclass(frozen=True)
class SecondExecutor:
    """A second executor is started, as a second `clwm up` would."""


Means = KillSignal | Messages | EmergencyStop | EndStack | Neighbour | SecondExecutor


@dataclass(frozen=True)
class Fault:
    """published: what /clwm/task_status must say meanwhile, by field: a part of the text.

    diagnosed: the node whose health must not be OK meanwhile, and a part of what it must say.
    into_task: the fault begins at most so many s after the first motion of a task. of_sim_time: it harms /clock, by
    which the stack must live.
    """

    name: str
    means: Means
    outcome: Outcome
    known: Known
    published: Mapping[str, str] = field(default_factory=dict)
    recovery: float = 8.0  # s from the end of the fault until the arms must move again
    into_task: float = 2.5
    diagnosed: tuple[str, str] | None = None
    of_sim_time: bool = False


def expected_seconds(fault: Fault) -> float:
    """About how long one injection takes, on two cores with nothing else to do."""
    match fault.means:
        case KillSignal(node="policy", resume_after=None):
            return 14.0
        case KillSignal(resume_after=None):
            return 9.0
        case EndStack():
            return 20.0
        case Neighbour() | SecondExecutor():
            return 8.0
        case _:
            return 5.0


def _states(name: str, published: str = "joint states are", **tampering: object) -> Fault:
    means = Messages(("joint_states",), {"seconds": 0.6, **tampering})
    return Fault(name, means, Outcome.RESUMES, Known.STATES_STALE, {"fault": published})


def _cameras(name: str, **tampering: object) -> Fault:
    means = Messages(("cameras",), {"seconds": 1.0, **tampering}, one_of=True)
    return Fault(name, means, Outcome.RESUMES, Known.CHUNK_DUE, {"phase": "STALLED"})


def _stamps(name: str, edit: str, said: str) -> Fault:
    means = Messages(("cameras",), {"kind": "edit", "edit": edit, "seconds": LASTS})
    diagnosed = ("perception", said)
    return Fault(name, means, Outcome.RESUMES, Known.CHUNK_DUE, {"phase": "STALLED"}, diagnosed=diagnosed)


def _chunk(name: str, outcome: Outcome, known: Known, published: Mapping[str, str], **tampering: object) -> Fault:
    return Fault(name, Messages(("chunk",), tampering), outcome, known, published)


def _neighbour(name: str, ends: signal.Signals | None = None) -> Fault:
    return Fault(name, Neighbour(ends), Outcome.CONTINUES, Known.AT_ONCE, into_task=_EARLY)


def _executor_ends(name: str, number: signal.Signals, known: Known) -> Fault:
    return Fault(name, KillSignal("executor", number), Outcome.RESTARTED, known, into_task=_EARLY)


_STALL = {"phase": "STALLED"}
LASTS = 3.0  # s for which inputs are there and useless: health is told once a second, of what has lasted for one
_PAUSE = 4.0  # s that /clock stands, which is a fault after two, told once a second
_EARLY = 1.0  # s; what is seen by how the arms move, before or after, is not to be seen when they have arrived
_STARTS = 60.0  # s for a policy to load, on a busy machine

FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            "policy killed", KillSignal("policy", signal.SIGKILL), Outcome.RESUMES, Known.CHUNK_DUE, _STALL, _STARTS
        ),
        Fault(
            "policy restarted",
            KillSignal("policy", signal.SIGTERM),
            Outcome.RESUMES,
            Known.CHUNK_DUE,
            {"waiting": "the policy was deactivated"},
            _STARTS,
        ),
        Fault(
            "policy stopped",
            KillSignal("policy", signal.SIGSTOP, resume_after=1.5),
            Outcome.RESUMES,
            Known.CHUNK_DUE,
            _STALL,
        ),
        Fault(
            "perception killed",
            KillSignal("perception", signal.SIGKILL),
            Outcome.RESUMES,
            Known.CHUNK_DUE,
            _STALL,
            _STARTS,
        ),
        _cameras("camera frozen", kind="freeze"),
        _cameras("camera dropped", kind="drop"),
        _cameras("camera late", kind="delay", delay=0.6),
        Fault(
            "camera out of order",
            Messages(("cameras",), {"kind": "swap", "seconds": 1.0}, one_of=True),
            Outcome.CONTINUES,
            Known.AT_ONCE,
        ),
        _states("joint states silent", kind="drop"),
        _states("joint states stale", kind="freeze"),
        _states("joint states late", kind="delay", delay=0.4),
        _states("joint states NaN", kind="edit", edit="nan_position"),
        Fault(
            "joint velocities NaN",
            Messages(("joint_states",), {"kind": "edit", "edit": "nan_velocities", "seconds": LASTS}),
            Outcome.CONTINUES,
            Known.AT_ONCE,
            diagnosed=("executor", "worked out from positions"),
        ),
        _stamps("picture stamps ahead", "stamped_ahead", "ahead of this clock"),
        _stamps("picture stamps behind", "stamped_behind", "old on arrival"),
        _stamps("picture stamps zero", "stamped_zero", "its stamps are 0"),
        Fault(
            "gripper never finishes",
            Messages(("grippers",), {"kind": "drop", "seconds": 10.0}),
            Outcome.CONTINUES,
            Known.AT_ONCE,
            diagnosed=("executor", "was accepted and has not ended"),
            into_task=0.0,
        ),
        _states("joint states without a joint", kind="edit", edit="without_first_joint"),
        _states("robot clock set back", kind="edit", edit="stamped_back"),
        _states("robot clock set forward", kind="edit", edit="stamped_forward"),
        _chunk("chunk late", Outcome.RESUMES, Known.CHUNK_DUE, _STALL, kind="delay", delay=1.0, seconds=2.0, count=1),
        _chunk("chunk duplicated", Outcome.CONTINUES, Known.AT_ONCE, {}, kind="duplicate", seconds=1.5),
        _chunk(
            "chunk of an old epoch", Outcome.RESUMES, Known.CHUNK_DUE, _STALL,
            kind="edit", edit="of_the_epoch_before", seconds=2.0, count=1,
        ),
        _chunk(
            "chunk of another layout", Outcome.HOLD, Known.AT_ONCE, {"mode": "HOLD", "fault": "layout"},
            kind="edit", edit="of_another_layout", seconds=2.0, count=1,
        ),
        _chunk(
            "chunk NaN", Outcome.HOLD, Known.AT_ONCE, {"mode": "HOLD", "fault": "finite"},
            kind="edit", edit="nan_row", seconds=2.0, count=1,
        ),
        Fault(
            "trajectory lost",
            Messages(("controllers",), {"kind": "lose", "seconds": 3.0, "count": 4}),
            Outcome.CONTINUES,
            Known.AT_ONCE,
            into_task=_EARLY,
        ),
        Fault(
            "controller deaf",
            Messages(("controllers",), {"kind": "drop", "seconds": 2.0}),
            Outcome.HOLD,
            Known.SENT_AHEAD,
            {"mode": "HOLD", "fault": "do not follow"},
            into_task=_EARLY,
        ),
        Fault(
            "DDS partition",
            Messages(("executor",), {"kind": "drop", "seconds": 2.0}),
            Outcome.RESUMES,
            Known.SENT_AHEAD,
            {"fault": "joint states are"},
        ),
        _executor_ends("executor killed", signal.SIGKILL, Known.SENT_AHEAD),
        _executor_ends("executor terminated", signal.SIGTERM, Known.AT_ONCE),
        Fault("a second executor", SecondExecutor(), Outcome.CONTINUES, Known.AT_ONCE, into_task=_EARLY),
        _neighbour("a process joins"),
        _neighbour("a process leaves", signal.SIGTERM),
        _neighbour("a process is killed", signal.SIGKILL),
        Fault(
            "clock pauses",  # the whole simulation does
            KillSignal("sim", signal.SIGSTOP, resume_after=_PAUSE),
            Outcome.CONTINUES,
            Known.AT_ONCE,
            {"fault": "/clock has stood"},
            of_sim_time=True,
        ),
        Fault(
            "clock dies",
            Messages(("clock",), {"kind": "drop", "seconds": _PAUSE}),
            Outcome.RESUMES,
            Known.SENT_AHEAD,
            {"fault": "/clock has stood"},
            of_sim_time=True,
        ),
        Fault(
            "clock jumps",  # forward, and back again
            Messages(("clock",), {"kind": "edit", "edit": "clock_ahead", "seconds": 1.0}),
            Outcome.RESUMES,
            Known.SENT_AHEAD,
            {"phase": "BLIND"},
            diagnosed=("executor", "/clock went"),
            of_sim_time=True,
        ),
        Fault("emergency stop", EmergencyStop(), Outcome.ESTOP, Known.AT_ONCE, {"mode": "ESTOP"}),
        Fault("Ctrl-C", EndStack(), Outcome.ENDED, Known.CHUNK_DUE),
    )
}  # fmt: skip


def topics_of(robot: RobotDescription) -> dict[str, tuple[str, ...]]:
    """What the names in Messages.topics stand for."""
    controllers = tuple(arm.controller.topic for arm in robot.arms)
    grippers = tuple(arm.gripper.command.name for arm in robot.arms if arm.gripper.command.kind == "topic")
    actions = tuple(arm.gripper.command.name for arm in robot.arms if arm.gripper.command.kind == "action")
    states, chunk = (robot.joint_states_topic,), ("/clwm/action_chunk",)
    return {
        "joint_states": states,
        "cameras": tuple(robot.camera_source(camera).topic for camera in robot.cameras),
        "chunk": chunk,
        "clock": ("/clock",),
        "controllers": controllers,
        "grippers": actions,
        "executor": (*states, *chunk, *controllers, *grippers, *actions, "/clwm/chunk_request", "/clwm/state"),
    }


def applies(fault: Fault, robot: RobotDescription, sim_time: bool = False) -> bool:
    """Whether robot and stack have what the fault harms: grippers by topic have no goals to take and never finish."""
    means = fault.means
    if fault.of_sim_time and not sim_time:
        return False
    return not isinstance(means, Messages) or all(topics_of(robot)[name] for name in means.topics)


def tampering(messages: Messages, identity: int, robot: RobotDescription, pick: int) -> Tampering:
    """The order for the relay. pick: a random number that chooses the topic where one of several is meant."""
    named = topics_of(robot)
    topics = tuple(topic for name in messages.topics for topic in named[name])
    if messages.one_of:
        topics = (topics[pick % len(topics)],)
    return Tampering(identity, topics, **messages.tampering)
