"""What the page shows, from what was heard of the stack: plain data in, plain data for JSON out. No clock, no ROS."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clwm_common.messages import ActionChunk, ChunkTimeline, Mode, Verdict
from clwm_common.robot.camera_source import Mounting
from clwm_common.ros.diagnostics import Health, Level
from clwm_common.verdicts import deciding
from clwm_operator.console.projection import Pinhole, tool_paths

OLD = 1.0  # s after which the page says that something is old
SILENT = 3.0  # s without diagnostics, which come once a second, after which a node counts as silent
_DOES = {
    "BLIND": "the arms are not measured",
    "IDLE": "the arms rest",
    "ASKED": "the policy makes a chunk, the arms wait for it",
    "MOVING": "a chunk is being executed",
    "STALLED": "the arms rest, as the chunk is late",
    "STOPPING": "the arms brake",
    "STEERED": "the arms follow the human",
}


@dataclass(frozen=True)
class Heard:
    """What was heard of the stack. now, health_at, world_at: s on a steady clock; joints (14,) rad, tools (2, 7).

    measured_for: s since the arms were measured, None: never, or nobody looks. clock: the stack's, s. verdicts: on the
    present epoch.
    """

    now: float
    clock: float
    mode: Mode | None = None
    owner: str = ""
    reason: str = ""
    status: Mapping[str, Any] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    world: Mapping[str, Any] | None = None
    health: Mapping[str, Health] = field(default_factory=dict)
    health_at: Mapping[str, float] = field(default_factory=dict)
    measured_for: float | None = None
    joints: NDArray[np.float64] | None = None
    tools: NDArray[np.float64] | None = None
    openings: NDArray[np.float64] | None = None


def page_state(heard: Heard) -> dict[str, Any]:
    """All that changes from moment to moment, but for chunks and pictures."""
    status = heard.status
    silent_for = executor_silence(heard)
    why, remedy = explanation(heard)
    policy = heard.health.get("policy", Health()).values
    return {
        "at": heard.now,
        "clock": heard.clock,
        "mode": "SILENT" if heard.mode is None else heard.mode.name,
        "owner": heard.owner,
        "why": why,
        "remedy": remedy,
        "silent_for": _plain(silent_for),
        "phase": status.get("phase", ""),
        "instruction": status.get("instruction", ""),
        "goal": status.get("goal", ""),
        "epoch": status.get("task_epoch", 0),
        "started_at": status.get("started_at", 0.0),
        "verdict": _verdict(heard),
        "world": heard.world,
        "joints": _numbers(heard.joints, 4),
        "tools": None if heard.tools is None else [_numbers(tool[:3], 4) for tool in heard.tools],
        "openings": _numbers(heard.openings, 4),
        "measured_for": _plain(heard.measured_for),
        "nodes": [_node(heard, name) for name in sorted(heard.health)],
        "evidence": {name: value for name, value in policy.items() if name.startswith("evidence")},
        "alarm": _plain(_number(policy.get("surrogate_error_limit"))),
    }


def explanation(heard: Heard) -> tuple[str, str]:
    """Why the arms do what they do, in a sentence, and what an operator can do about it; empty when nothing need be."""
    status, silence = heard.status, executor_silence(heard)
    if heard.mode is None or not status:
        return "the executor has not been heard of", "start the stack with `clwm up`, or look whether it is up"
    if silence > SILENT:
        return (
            f"the executor has been silent for {silence:.0f} s: the arms run out what was sent, and rest",
            "look at its log; `clwm up` starts it again. HOLD and ESTOP reach nobody: use the robot's own stop",
        )
    if not status.get("is_active"):
        return "the executor is not active: it takes no orders", "see its health below for the reason"
    does, fault = _DOES.get(str(status.get("phase")), ""), str(status.get("fault", ""))
    if status.get("phase") == "BLIND":
        return (
            f"{heard.mode.name}: {fault or does}",
            "they go on when they are measured again: look at the joint states",
        )
    match heard.mode:
        case Mode.ESTOP:
            return (
                heard.reason or "ESTOP was ordered",
                "it is latched: press HOLD, then hand the arms back to the policy",
            )
        case Mode.HOLD if fault:
            return fault, "mend that, then hand the arms back to the policy"
        case Mode.HOLD:
            return heard.reason or "HOLD was ordered", "hand the arms back to the policy, or take over by hand"
        case Mode.TELEOP:
            return f"{does}, who is '{heard.owner}'", "letting go of the switch brakes the arms"
    if fault:
        return fault, "mend that, or give another task"
    if not status.get("instruction"):
        return heard.reason or "there is no task: the arms hold", "give one"
    if waiting := status.get("waiting"):
        return f"{does}: {waiting}", ""
    return does if not heard.reason else f"{does}: {heard.reason}", ""


def executor_silence(heard: Heard) -> float:
    """s since the executor was heard of; infinite: never."""
    ages = [heard.now - heard.health_at["executor"]] if "executor" in heard.health_at else []
    ages += [] if heard.measured_for is None else [heard.measured_for]
    return min(ages, default=math.inf)


def chunk_story(timeline: ChunkTimeline) -> dict[str, Any]:
    """One chunk for the page: instants on the stack's clock [s], None for what did not happen or is not known."""
    story = {name: _plain(getattr(timeline, name)) for name in _TOLD}
    sent, seen = timeline.sent_at, timeline.observation_stamp
    story["blocking"] = None if timeline.at_rest else _plain(sent - seen)
    report = timeline.report
    if report is not None:
        story |= {name: _plain(getattr(report, name)) for name in _REPORTED}
        story["speculation"] = [
            _plain(report.speculation_started_at or None), _plain(report.speculation_ended_at or None)
        ]  # fmt: skip
    return story


def path_story(chunk: ActionChunk, camera: str, mount: Mounting, pinhole: Pinhole) -> dict[str, Any]:
    """Where the tools of a chunk go in a camera's picture: row i at `stamp + i * dt` on the stack's clock."""
    return {
        "camera": camera,
        "epoch": chunk.task_epoch,
        "stamp": chunk.stamp,
        "dt": chunk.dt,
        "tools": tool_paths(chunk.rows, mount, pinhole),
    }


_TOLD = (
    "chunk_id", "task_epoch", "outcome", "at_rest", "requested_at", "observe_at", "needed_by", "sent_at", "starts_at",
    "first_motion_at", "rows_end_at", "observation_stamp", "stall", "seam_jump", "inner_jump",
)  # fmt: skip
_REPORTED = (
    "policy", "frame_arrived_at", "finished_at", "encode_seconds", "memory_seconds", "context_seconds",
    "finish_seconds", "surrogate_error", "copy_error", "re_entry_video_s", "re_entry_s", "disagreement",
    "expected_deviation", "uncalibrated", "steps_cut", "out_of_distribution", "nfe_total", "nfe_blocking",
    "evidence_deviation", "memory_updates", "memory_digest", "success_estimate",
)  # fmt: skip


def _node(heard: Heard, name: str) -> dict[str, Any]:
    health, age = heard.health[name], heard.now - heard.health_at.get(name, -math.inf)
    if age > SILENT:
        told = f"no word for {age:.0f} s; it has ended or hangs: see its log, `clwm up` starts it again"
        return {"name": name, "level": Level.STALE.name, "told": told}
    return {"name": name, "level": health.level.name, "told": health.told}


def _verdict(heard: Heard) -> dict[str, str] | None:
    final = deciding(heard.verdicts)
    if final is None and (not heard.status.get("instruction") or not heard.verdicts):
        return None
    verdict = final or heard.verdicts[-1]
    return {"outcome": verdict.outcome.name, "judge": verdict.judge, "goal": verdict.goal, "reason": verdict.reason}


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def _numbers(array: NDArray[np.float64] | None, digits: int) -> list[float] | None:
    return None if array is None else [round(float(value), digits) for value in array]


def _plain(value: Any) -> Any:
    """JSON knows no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
