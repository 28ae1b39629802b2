"""Latencies of re-entry policies that took turns on one running stack. Plain data in, numbers out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clwm_evaluation.statistics import percentiles, ratio_of_medians, wilson95
from clwm_operator.demo.report import idle_time
from clwm_operator.recording import Chunk, Episode
from clwm_policy.engine.re_entry import point_name

WARM_UP = 2  # chunks of a turn that are not measured: the first come from an engine that has just been loaded
SPLIT = ("encode", "transport", "wait", "context", "memory", "finish", "send")


@dataclass(frozen=True)
class Turn:
    """Some episodes with one re-entry policy. chunks: of all its episodes, executed or not, in order of time."""

    mode: str
    episodes: Sequence[Episode]
    chunks: Sequence[Chunk]

    @property
    def measured(self) -> list[Chunk]:
        """Executed chunks with the policy's report, the warm-up left out."""
        executed = [chunk for chunk in self.chunks if chunk.was_executed]
        return [chunk for chunk in executed[WARM_UP:] if chunk.stages and chunk.blocking is not None]


def measure(turns: Sequence[Turn]) -> dict[str, Any]:
    """`modes` by name, and `ratios` of their medians to the sequential one. Milliseconds where a name says so.

    blocking_ms: capture of the observation to the first command, over all measured chunks; boundary_blocking_ms: of
    those that were asked for while the arms moved; engine_ms: what the engine computes of it, without pictures,
    encoding and messages. A stall is a boundary at which the next chunk was not there.
    """
    modes = list(dict.fromkeys(turn.mode for turn in turns))
    taken = {mode: [turn for turn in turns if turn.mode == mode] for mode in modes}
    report: dict[str, Any] = {"warm_up_chunks_per_turn": WARM_UP, "modes": {}, "ratios": {}}
    for mode in modes:
        report["modes"][mode] = summarise(taken[mode])
    if "sequential" in taken:
        for mode in modes:
            if mode != "sequential" and len(taken[mode]) == len(taken["sequential"]):
                report["ratios"][mode] = {
                    name: ratio_of_medians(_by_episode(taken[mode], seconds), _by_episode(taken["sequential"], seconds))
                    for name, seconds in (("blocking_p50", _blocking), ("engine_p50", engine_seconds))
                }
    return report


def summarise(turns: Sequence[Turn]) -> dict[str, Any]:
    """One mode's turns together."""
    chunks = [chunk for turn in turns for chunk in turn.measured]
    boundaries = [chunk for chunk in chunks if not chunk.at_rest]
    stalls = sum(chunk.stall > 0.0 for chunk in boundaries)
    splits = [split(chunk) for chunk in chunks]
    span, idle = 0.0, 0.0
    for turn in turns:
        for episode in turn.episodes:
            moving, without = idle_time(_of(episode, turn.chunks), episode.ended_at)
            span, idle = span + moving, idle + without
    episodes = [episode for turn in turns for episode in turn.episodes]
    not_executed = Counter(chunk.outcome for turn in turns for chunk in turn.chunks if not chunk.was_executed)
    nfe = [chunk.nfe_blocking for chunk in chunks if chunk.nfe_blocking is not None]
    total = [chunk.nfe_total for chunk in chunks if chunk.nfe_total is not None]
    return {
        "episodes": len(episodes),
        "successes": sum(episode.succeeded for episode in episodes),
        "chunks": len(chunks),
        "from_rest": len(chunks) - len(boundaries),
        "blocking_ms": percentiles(1e3 * chunk.blocking for chunk in chunks),
        "boundary_blocking_ms": percentiles(1e3 * chunk.blocking for chunk in boundaries),
        "engine_ms": percentiles(1e3 * engine_seconds(chunk) for chunk in chunks),
        "split_ms": {name: percentiles(1e3 * parts[name] for parts in splits) for name in SPLIT},
        "boundaries": len(boundaries),
        "stalls": stalls,
        "stall_share": round(stalls / len(boundaries), 4) if boundaries else None,
        "stall_share_wilson95": [round(value, 4) for value in wilson95(stalls, len(boundaries))],
        "idle_fraction": round(idle / span, 4) if span > 0.0 else None,
        "observation_age_ms": percentiles(
            1e3 * (chunk.first_motion_at - chunk.observation_stamp)
            for chunk in chunks
            if chunk.first_motion_at is not None
        ),
        "re_entry": dict(sorted(Counter(_re_entry(chunk) for chunk in chunks).items())),
        "nfe_blocking": {"mean": _mean(nfe), "p50": float(np.median(nfe)) if nfe else None},
        "nfe_total_mean": _mean(total),
        "uncalibrated": sum(chunk.uncalibrated for chunk in chunks),
        "steps_cut": sum(chunk.steps_cut for chunk in chunks),
        "surrogate_error": _median(chunk.surrogate_error for chunk in chunks),
        "copy_error": _median(chunk.copy_error for chunk in chunks),
        "not_executed": dict(sorted(not_executed.items())),
    }


def split(chunk: Chunk) -> dict[str, float]:
    """Where a measured chunk's blocking time went [s]; the parts add up to it.

    transport: capture to the arrival of the features, without encoding them. wait: a step of speculation that had to
    end first. send: finished chunk to the commands.
    """
    return {
        **chunk.stages,
        "transport": chunk.frame_arrived_at - chunk.observation_stamp - chunk.stages["encode"],
        "wait": chunk.finished_at - chunk.frame_arrived_at - engine_seconds(chunk),
        "send": chunk.sent_at - chunk.finished_at,
    }


def engine_seconds(chunk: Chunk) -> float:
    """From the features to the finished chunk, of a measured one: what re-entry can save."""
    return chunk.stages["context"] + chunk.stages["memory"] + chunk.stages["finish"]


def _of(episode: Episode, chunks: Iterable[Chunk]) -> list[Chunk]:
    return [chunk for chunk in chunks if episode.started_at <= chunk.observe_at <= episode.ended_at]


def _blocking(chunk: Chunk) -> float:
    return chunk.blocking


def _by_episode(turns: Sequence[Turn], seconds: Callable[[Chunk], float]) -> list[list[float]]:
    return [[seconds(chunk) for chunk in _of(episode, turn.measured)] for turn in turns for episode in turn.episodes]


def _re_entry(chunk: Chunk) -> str:
    return point_name(chunk.re_entry_video_s or 0.0, chunk.re_entry_s or 0.0)


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 3) if values else None


def _median(values: Iterable[float | None]) -> float | None:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return round(float(np.median(finite)), 4) if finite else None
