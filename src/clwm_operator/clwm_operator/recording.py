"""What a demo saw: pictures, episodes and the story of every chunk. Plain data, no ROS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clwm_common.messages import ChunkTimeline

STAGES = ("encode", "memory", "context", "finish")


@dataclass(frozen=True)
class Frame:
    """Pictures (cameras, height, width, 3) uint8 at `stamp`, and what was going on then."""

    stamp: float
    pictures: NDArray[np.uint8]
    mode: str
    phase: str
    instruction: str


@dataclass
class Episode:
    """One run of a task, from the reset of the world to its end; instants in s on the stack's clock."""

    task: str
    seed: int
    instruction: str
    started_at: float
    ended_at: float = float("nan")
    outcome: str = "running"
    seconds: float = float("nan")

    @property
    def succeeded(self) -> bool:
        return self.outcome == "success"


@dataclass(frozen=True)
class Chunk:
    """One executed or dropped chunk, from the executor's timeline joined with the policy's report.

    Instants in s on the stack's clock, None for what did not happen. stages: s of computing after the observation,
    on that clock.
    policy: the re-entry policy that made it; re_entry_video_s, re_entry_s: the flow times of both stages that it was
    resumed at; nfe: field evaluations, of which `nfe_blocking` after the observation. None or "" without the policy's
    report.
    """

    chunk_id: int
    outcome: str
    requested_at: float
    observe_at: float
    needed_by: float
    at_rest: bool
    sent_at: float | None
    first_motion_at: float | None
    rows_end_at: float | None
    observation_stamp: float | None
    stall: float
    speculation: tuple[float, float] | None = None
    frame_arrived_at: float | None = None
    finished_at: float | None = None
    stages: dict[str, float] = field(default_factory=dict)
    surrogate_error: float | None = None
    copy_error: float | None = None
    policy: str = ""
    re_entry_video_s: float | None = None
    re_entry_s: float | None = None
    nfe_blocking: int | None = None
    nfe_total: int | None = None
    uncalibrated: bool = False
    steps_cut: int = 0

    @classmethod
    def from_timeline(cls, timeline: ChunkTimeline, pace: float = 1.0) -> Chunk:
        """From what the executor tells on /clwm/chunk_timeline. pace: s of the stack's clock in one of computing."""
        plain = {name: _known(getattr(timeline, name)) for name in _PLAIN}
        report = timeline.report
        if report is None:
            return cls(**plain)
        started, ended = report.speculation_started_at, report.speculation_ended_at
        return cls(
            **plain,
            **{name: _known(getattr(report, name)) for name in _REPORTED},
            speculation=(started, ended) if started and ended else None,
            stages={name: pace * getattr(report, f"{name}_seconds") for name in STAGES},
        )

    @property
    def was_executed(self) -> bool:
        return self.outcome == "executed"

    @property
    def blocking(self) -> float | None:
        """Capture of the observation to the first command [s]."""
        if self.sent_at is None or self.observation_stamp is None:
            return None
        return self.sent_at - self.observation_stamp


_PLAIN = (
    "chunk_id", "outcome", "requested_at", "observe_at", "needed_by", "at_rest", "sent_at", "first_motion_at",
    "rows_end_at", "observation_stamp", "stall",
)  # fmt: skip
_REPORTED = (
    "frame_arrived_at", "finished_at", "surrogate_error", "copy_error", "policy", "re_entry_video_s", "re_entry_s",
    "nfe_blocking", "nfe_total", "uncalibrated", "steps_cut",
)  # fmt: skip


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


@dataclass
class Recording:
    """Everything of one demo, in order of time. executor: the metrics that it told last."""

    cameras: tuple[str, ...]
    frames: list[Frame] = field(default_factory=list)
    episodes: list[Episode] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    executor: dict[str, Any] = field(default_factory=dict)

    def chunks_of(self, episodes: Sequence[Episode]) -> list[Chunk]:
        """Chunks whose observation lies within one of the episodes."""
        return [
            chunk
            for chunk in self.chunks
            if any(episode.started_at <= chunk.observe_at <= episode.ended_at for episode in episodes)
        ]
