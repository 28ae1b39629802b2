"""Core messages (`clwm_common.messages`) to `clwm_msgs` and back.

Structure is checked here: sizes, enumerations, layout version, finite stamps. Values are not: whether a NaN in a chunk
stops the arms is for the core that receives it to decide. Sizes are compared before anything is allocated.
"""

from __future__ import annotations

import array
import dataclasses
import math
from functools import singledispatch
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray

from clwm_common import messages as core
from clwm_common.actions import ACTION_DIM, check_layout_version
from clwm_msgs import msg as ros

_JOINTS = 14


class ConversionError(ValueError):
    """A message whose fields contradict each other, or that cannot be expressed in the other form."""


def to_stamp(seconds: float) -> Time:
    """Seconds on the stack's clock to a ROS stamp, rounded to 1 ns. Raises ConversionError outside 0 .. 2^31 s."""
    if not math.isfinite(seconds) or not 0.0 <= seconds < 2**31 - 1:
        raise ConversionError(f"{seconds} s cannot be a stamp; expected a finite time from 0 to 2^31 s")
    whole = math.floor(seconds)
    nanoseconds = round((seconds - whole) * 1e9)
    carry, nanoseconds = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=whole + carry, nanosec=nanoseconds)


def from_stamp(stamp: Time) -> float:
    """ROS stamp to seconds; exact to 0.24 us for the times of a system clock."""
    return stamp.sec + stamp.nanosec * 1e-9


@singledispatch
def to_msg(message: Any) -> Any:
    """The `clwm_msgs` message of a core message. Raises ConversionError when its arrays have the wrong shape."""
    raise ConversionError(f"{type(message).__name__} has no ROS form; expected a class of clwm_common.messages")


@singledispatch
def from_msg(message: Any) -> Any:
    """The core message of a `clwm_msgs` message. Raises ConversionError, or LayoutError for another layout version."""
    raise ConversionError(f"{type(message).__name__} has no core form; expected a message of clwm_msgs")


@to_msg.register
def _(message: core.ObservationRequest) -> ros.ObservationRequest:
    return ros.ObservationRequest(chunk_id=message.chunk_id, observe_at=to_stamp(message.observe_at))


@from_msg.register
def _(message: ros.ObservationRequest) -> core.ObservationRequest:
    return core.ObservationRequest(chunk_id=message.chunk_id, observe_at=from_stamp(message.observe_at))


@to_msg.register
def _(message: core.FeatureFrame) -> ros.FeatureFrame:
    features = np.ascontiguousarray(message.features, dtype="<f2")
    if features.ndim != 4 or features.shape[0] != len(message.cameras):
        raise ConversionError(
            f"features have shape {features.shape} for {len(message.cameras)} cameras; "
            "expected (cameras, rows, columns, channels)"
        )
    data = array.array("B")
    data.frombytes(memoryview(features).cast("B"))
    return ros.FeatureFrame(
        stamp=to_stamp(message.stamp),
        encoder_id=message.encoder_id,
        encoder_hash=message.encoder_hash,
        cameras=list(message.cameras),
        rows=features.shape[1],
        columns=features.shape[2],
        channels=features.shape[3],
        encode_seconds=message.encode_seconds,
        data=data,
    )


@from_msg.register
def _(message: ros.FeatureFrame) -> core.FeatureFrame:
    shape = (len(message.cameras), message.rows, message.columns, message.channels)
    expected = 2 * math.prod(shape)
    if expected == 0 or len(message.data) != expected:
        raise ConversionError(
            f"feature frame of shape {shape} carries {len(message.data)} bytes; expected {expected}, more than none"
        )
    return core.FeatureFrame(
        stamp=from_stamp(message.stamp),
        features=np.frombuffer(message.data, dtype="<f2").reshape(shape),
        cameras=tuple(message.cameras),
        encoder_id=message.encoder_id,
        encoder_hash=message.encoder_hash,
        encode_seconds=message.encode_seconds,
    )


@to_msg.register
def _(message: core.DualArmState) -> ros.DualArmState:
    return ros.DualArmState(
        stamp=to_stamp(message.stamp),
        layout_version=core.LAYOUT_VERSION,
        values=_vector(message.values, ACTION_DIM, "values"),
        valid=_vector(message.valid, ACTION_DIM, "valid", np.bool_).tolist(),
        velocities=_vector(message.velocities, _JOINTS, "velocities"),
        mode=int(message.mode),
        task_epoch=message.task_epoch,
    )


@from_msg.register
def _(message: ros.DualArmState) -> core.DualArmState:
    check_layout_version(message.layout_version)
    return core.DualArmState(
        stamp=from_stamp(message.stamp),
        values=np.asarray(message.values, dtype=np.float32),
        valid=np.asarray(message.valid, dtype=np.bool_),
        velocities=np.asarray(message.velocities, dtype=np.float32),
        mode=_enumeration(core.Mode, message.mode, "mode"),
        task_epoch=message.task_epoch,
    )


@to_msg.register
def _(message: core.TeleopCommand) -> ros.TeleopCommand:
    return ros.TeleopCommand(
        stamp=to_stamp(message.stamp),
        source=message.source,
        dead_man=message.dead_man,
        layout_version=message.layout_version,
        target=_vector(message.target, ACTION_DIM, "target"),
        valid=_vector(message.valid, ACTION_DIM, "valid", np.bool_).tolist(),
    )


@from_msg.register
def _(message: ros.TeleopCommand) -> core.TeleopCommand:
    check_layout_version(message.layout_version)
    return core.TeleopCommand(
        stamp=from_stamp(message.stamp),
        source=message.source,
        dead_man=message.dead_man,
        target=np.asarray(message.target, dtype=np.float32),
        valid=np.asarray(message.valid, dtype=np.bool_),
        layout_version=message.layout_version,
    )


@to_msg.register
def _(message: core.ModeStatus) -> ros.ModeStatus:
    return ros.ModeStatus(
        stamp=to_stamp(message.stamp),
        mode=int(message.mode),
        owner=cut_text(message.owner, ros.ModeStatus, "owner"),
        reason=cut_text(message.reason, ros.ModeStatus, "reason"),
        task_epoch=message.task_epoch,
    )


@from_msg.register
def _(message: ros.ModeStatus) -> core.ModeStatus:
    return core.ModeStatus(
        stamp=from_stamp(message.stamp),
        mode=_enumeration(core.Mode, message.mode, "mode"),
        owner=message.owner,
        reason=message.reason,
        task_epoch=message.task_epoch,
    )


@to_msg.register
def _(message: core.TaskStatus) -> ros.TaskStatus:
    stamps = {name: to_stamp(getattr(message, name)) for name in ("stamp", "started_at")}
    texts = {name: cut_text(getattr(message, name), ros.TaskStatus, name) for name in ("fault", "waiting")}
    return ros.TaskStatus(**{**vars(message), **stamps, **texts, "mode": int(message.mode)})


@from_msg.register
def _(message: ros.TaskStatus) -> core.TaskStatus:
    stamps = {name: from_stamp(getattr(message, name)) for name in ("stamp", "started_at")}
    mode = _enumeration(core.Mode, message.mode, "mode")
    return core.TaskStatus(**{**_fields(message, core.TaskStatus), **stamps, "mode": mode})


@to_msg.register
def _(message: core.Verdict) -> ros.Verdict:
    texts = {name: cut_text(getattr(message, name), ros.Verdict, name) for name in ("goal", "judge", "reason")}
    return ros.Verdict(**{**vars(message), **texts, "stamp": to_stamp(message.stamp), "outcome": int(message.outcome)})


@from_msg.register
def _(message: ros.Verdict) -> core.Verdict:
    outcome = _enumeration(core.Judgement, message.outcome, "outcome")
    return core.Verdict(**{**_fields(message, core.Verdict), "stamp": from_stamp(message.stamp), "outcome": outcome})


@to_msg.register
def _(message: core.ChunkRefusal) -> ros.ChunkRefusal:
    reason = cut_text(message.reason, ros.ChunkRefusal, "reason")
    return ros.ChunkRefusal(**{**vars(message), "kind": int(message.kind), "reason": reason})


@from_msg.register
def _(message: ros.ChunkRefusal) -> core.ChunkRefusal:
    kind = _enumeration(core.RefusalKind, message.kind, "kind")
    return core.ChunkRefusal(**{**_fields(message, core.ChunkRefusal), "kind": kind})


@to_msg.register
def _(message: core.ChunkRequest) -> ros.ChunkRequest:
    if message.cancel:
        return ros.ChunkRequest(
            kind=ros.ChunkRequest.CANCEL,
            chunk_id=message.chunk_id,
            task_epoch=message.task_epoch,
            layout_version=message.layout_version,
        )
    return ros.ChunkRequest(
        kind=ros.ChunkRequest.GENERATE,
        chunk_id=message.chunk_id,
        task_epoch=message.task_epoch,
        observe_at=to_stamp(message.observe_at),
        needed_by=to_stamp(message.needed_by),
        at_rest=message.at_rest,
        layout_version=message.layout_version,
        committed_prefix=_flat_rows(message.committed_prefix, "committed_prefix"),
        executed_rows=_flat_rows(message.executed_rows, "executed_rows"),
        instruction=message.instruction,
        memory_policy=int(message.memory_policy),
        episode_seed=message.episode_seed,
        executed_chunk_id=message.executed_chunk_id,
    )


@from_msg.register
def _(message: ros.ChunkRequest) -> core.ChunkRequest:
    check_layout_version(message.layout_version)
    if message.kind not in (ros.ChunkRequest.GENERATE, ros.ChunkRequest.CANCEL):
        raise ConversionError(f"chunk request of kind {message.kind}; expected GENERATE (0) or CANCEL (1)")
    return core.ChunkRequest(
        chunk_id=message.chunk_id,
        task_epoch=message.task_epoch,
        observe_at=from_stamp(message.observe_at),
        needed_by=from_stamp(message.needed_by),
        committed_prefix=_rows(message.committed_prefix, "committed_prefix"),
        executed_rows=_rows(message.executed_rows, "executed_rows"),
        instruction=message.instruction,
        memory_policy=_enumeration(core.MemoryPolicy, message.memory_policy, "memory_policy"),
        episode_seed=message.episode_seed,
        at_rest=message.at_rest,
        executed_chunk_id=message.executed_chunk_id,
        cancel=message.kind == ros.ChunkRequest.CANCEL,
        layout_version=message.layout_version,
    )


@to_msg.register
def _(message: core.ActionChunk) -> ros.ActionChunk:
    return ros.ActionChunk(
        chunk_id=message.chunk_id,
        task_epoch=message.task_epoch,
        stamp=to_stamp(message.stamp),
        dt=message.dt,
        layout_version=message.layout_version,
        horizon=len(message.rows),
        prefix_rows=message.prefix_rows,
        rows=_flat_rows(message.rows, "rows"),
        observation_stamp=to_stamp(message.observation_stamp),
        policy_hash=message.policy_hash,
        re_entry=message.re_entry,
    )


@from_msg.register
def _(message: ros.ActionChunk) -> core.ActionChunk:
    check_layout_version(message.layout_version)
    if len(message.rows) != message.horizon * ACTION_DIM:
        raise ConversionError(
            f"chunk {message.chunk_id} carries {len(message.rows)} numbers; "
            f"expected {message.horizon} rows of {ACTION_DIM}"
        )
    return core.ActionChunk(
        chunk_id=message.chunk_id,
        task_epoch=message.task_epoch,
        stamp=from_stamp(message.stamp),
        rows=_rows(message.rows, "rows"),
        dt=message.dt,
        prefix_rows=message.prefix_rows,
        observation_stamp=from_stamp(message.observation_stamp),
        layout_version=message.layout_version,
        policy_hash=message.policy_hash,
        re_entry=message.re_entry,
    )


_REPORT_STAMPS = (
    "requested_at", "speculation_started_at", "speculation_ended_at", "observation_stamp", "frame_arrived_at",
    "finished_at",
)  # fmt: skip
_REPORT_FIELDS = (
    "chunk_id", "task_epoch", "policy", "encode_seconds", "memory_seconds", "context_seconds", "finish_seconds",
    "surrogate_error", "copy_error", "re_entry_video_s", "re_entry_s", "disagreement", "expected_deviation",
    "uncalibrated", "steps_cut", "out_of_distribution", "evidence_chunk_id", "evidence_deviation", "nfe_total",
    "nfe_blocking", "memory_updates", "memory_digest",
)  # fmt: skip


@to_msg.register
def _(message: core.SaiReport) -> ros.SaiReport:
    stamps = {name: to_stamp(getattr(message, name)) for name in _REPORT_STAMPS}
    return ros.SaiReport(**stamps, **{name: getattr(message, name) for name in _REPORT_FIELDS})


@from_msg.register
def _(message: ros.SaiReport) -> core.SaiReport:
    stamps = {name: from_stamp(getattr(message, name)) for name in _REPORT_STAMPS}
    return core.SaiReport(**stamps, **{name: getattr(message, name) for name in _REPORT_FIELDS})


def _fields(message: Any, kind: type) -> dict[str, Any]:
    """Those of a message that a core class has."""
    return {field.name: getattr(message, field.name) for field in dataclasses.fields(kind)}


def _vector(values: Any, width: int, name: str, dtype: type = np.float32) -> NDArray:
    vector = np.asarray(values, dtype=dtype)
    if vector.shape != (width,):
        raise ConversionError(f"{name} has shape {vector.shape}; expected ({width},)")
    return vector


def _flat_rows(rows: Any, name: str) -> array.array:
    """Rows (n, 30) as one float32 array; filling a message element by element would cost milliseconds."""
    matrix = np.ascontiguousarray(rows, dtype=np.float32)
    if matrix.ndim != 2 or matrix.shape[1] != ACTION_DIM:
        raise ConversionError(f"{name} has shape {matrix.shape}; expected (n, {ACTION_DIM})")
    flat = array.array("f")
    flat.frombytes(matrix.tobytes())
    return flat


def _rows(flat: array.array, name: str) -> NDArray[np.float32]:
    if len(flat) % ACTION_DIM:
        raise ConversionError(f"{name} carries {len(flat)} numbers; expected a multiple of {ACTION_DIM}")
    return (
        np.frombuffer(flat, dtype=np.float32).reshape(-1, ACTION_DIM)
        if len(flat)
        else np.zeros((0, ACTION_DIM), np.float32)
    )


def cut_text(text: str, message_type: Any, name: str) -> str:
    """`text` for people, cut to the field's bound in bytes: one that is longer would be refused at the other end."""
    bound = message_type.SLOT_TYPES[list(message_type.get_fields_and_field_types()).index(name)].maximum_size
    return text.encode()[:bound].decode(errors="ignore")


def _enumeration(kind: type, value: int, name: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(f"{member.name} ({member.value})" for member in kind)
        raise ConversionError(f"{name} is {value}; expected one of {known}") from None
