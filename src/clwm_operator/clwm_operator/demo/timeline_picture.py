"""timeline.png: what the arms and the policy did at the same time, chunk by chunk. It explains SAI."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from clwm_operator.demo.report import percentiles
from clwm_operator.recording import Chunk, Episode, Recording

COLOURS = {
    "execution": "#4c72b0",
    "speculation": "#55a868",
    "encode": "#ccb974",
    "memory, context": "#dd8452",
    "finish": "#c44e52",
    "transport": "#bbbbbb",
    "stall": "#222222",
}
SHOWN = 7  # chunks in the close-up
_ARMS, _POLICY = 1.0, 0.0


def draw_timeline(recording: Recording, path: Path, title: str) -> None:
    """Write the picture: a close-up of one episode's first chunks above, blocking latency of all chunks below."""
    figure, (close_up, overview) = plt.subplots(
        2, 1, figsize=(13, 7.5), height_ratios=(3, 2), layout="constrained", gridspec_kw={"hspace": 0.08}
    )
    figure.suptitle(title)
    _draw_close_up(close_up, recording)
    _draw_overview(overview, recording)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_close_up(axes: Axes, recording: Recording) -> None:
    chunks = _shown_chunks(recording)
    axes.set_yticks([_POLICY, _ARMS], ["policy", "arms"])
    axes.set_ylim(-0.6, 1.75)
    if not chunks:
        axes.text(0.5, 0.5, "no chunk was executed", transform=axes.transAxes, ha="center")
        return
    origin = chunks[0].requested_at
    for index, chunk in enumerate(chunks):
        _draw_execution(axes, chunk, chunks[index + 1] if index + 1 < len(chunks) else None, origin)
        _draw_work(axes, chunk, origin)
        axes.axvline(chunk.observe_at - origin, color="black", linewidth=0.8, linestyle=":")
        axes.text(chunk.observe_at - origin, 1.62, f"observe {chunk.chunk_id}", fontsize=7, ha="center")
    axes.set_xlabel("s since the first request shown")
    axes.set_title(
        "the next chunk is denoised on a predicted observation while this one moves; the real one only finishes it",
        fontsize=9,
        loc="left",
    )
    axes.legend(
        handles=[Patch(color=colour, label=name) for name, colour in COLOURS.items()],
        ncols=len(COLOURS),
        fontsize=8,
        loc="lower left",
        frameon=False,
    )


def _shown_chunks(recording: Recording) -> list[Chunk]:
    """The first executed chunks of the first episode that has enough of them."""
    best: list[Chunk] = []
    for episode in recording.episodes:
        chunks = [chunk for chunk in recording.chunks_of([episode]) if chunk.was_executed]
        if len(chunks) >= SHOWN:
            return chunks[:SHOWN]
        best = max(best, chunks, key=len)
    return best


def _draw_execution(axes: Axes, chunk: Chunk, following: Chunk | None, origin: float) -> None:
    if chunk.first_motion_at is None or chunk.rows_end_at is None:
        return
    end = chunk.rows_end_at
    if following is not None and following.first_motion_at is not None:
        end = min(end, following.first_motion_at)
        if following.stall > 0.0:
            start = following.first_motion_at - following.stall
            _bar(axes, _ARMS, start - origin, following.stall, "stall", height=0.2)
    _bar(
        axes, _ARMS, chunk.first_motion_at - origin, end - chunk.first_motion_at, "execution", label=str(chunk.chunk_id)
    )


def _draw_work(axes: Axes, chunk: Chunk, origin: float) -> None:
    if chunk.speculation is not None:
        start, end = chunk.speculation
        _bar(axes, _POLICY, start - origin, end - start, "speculation", label=str(chunk.chunk_id))
    if chunk.observation_stamp is None or chunk.sent_at is None or not chunk.stages or chunk.finished_at is None:
        return
    _bar(axes, _POLICY, chunk.observation_stamp - origin, chunk.sent_at - chunk.observation_stamp, "transport")
    if chunk.frame_arrived_at is not None:
        encode = chunk.stages["encode"]
        _bar(axes, _POLICY, chunk.frame_arrived_at - encode - origin, encode, "encode")
    finish, calibrate = chunk.stages["finish"], chunk.stages["memory"] + chunk.stages["context"]
    _bar(axes, _POLICY, chunk.finished_at - finish - calibrate - origin, calibrate, "memory, context")
    _bar(axes, _POLICY, chunk.finished_at - finish - origin, finish, "finish")


def _bar(axes: Axes, row: float, start: float, length: float, kind: str, label: str = "", height: float = 0.5) -> None:
    axes.barh(row, length, left=start, height=height, color=COLOURS[kind], edgecolor="white", linewidth=0.5)
    if label:
        axes.text(start + length / 2, row, label, ha="center", va="center", fontsize=8, color="white")


def _draw_overview(axes: Axes, recording: Recording) -> None:
    if not recording.episodes:
        return
    origin = recording.episodes[0].started_at
    for episode in recording.episodes:
        _draw_episode(axes, episode, origin)
    chunks = [chunk for chunk in recording.chunks if chunk.was_executed and chunk.blocking is not None]
    axes.plot([c.observe_at - origin for c in chunks], [1e3 * c.blocking for c in chunks], ".", color=COLOURS["finish"])
    late = [chunk for chunk in chunks if chunk.stall > 0.0]
    axes.plot(
        [c.observe_at - origin for c in late],
        [1e3 * c.blocking for c in late],
        "x",
        color=COLOURS["stall"],
        label="stall",
    )
    median = percentiles(1e3 * chunk.blocking for chunk in chunks)["p50"]
    if median is not None:
        axes.axhline(median, color=COLOURS["finish"], linewidth=0.8, linestyle="--", label=f"median {median:.0f} ms")
        axes.legend(loc="upper right", fontsize=8)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("s since the first episode began")
    axes.set_ylabel("blocking latency [ms]")


def _draw_episode(axes: Axes, episode: Episode, origin: float) -> None:
    colour = COLOURS["speculation"] if episode.succeeded else COLOURS["finish"]
    axes.axvspan(episode.started_at - origin, episode.ended_at - origin, color=colour, alpha=0.12)
    axes.text(
        (episode.started_at + episode.ended_at) / 2 - origin,
        0.04,
        f"{episode.task}: {episode.outcome}",
        transform=axes.get_xaxis_transform(),
        ha="center",
        fontsize=8,
    )
