"""`clwm bench export`: how fast episodes become a LeRobot data set, in how much memory, and whether they come back."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer

from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_embodichain.episodes.choices import choices
from clwm_embodichain.episodes.recorder import Recorder
from clwm_embodichain.episodes.storage import Episode
from clwm_embodichain.expansion.parts import Expansion
from clwm_embodichain.lerobot.layout import DataSetError
from clwm_embodichain.lerobot.own_frames import FPS, episode_of, features_of, frames_of
from clwm_embodichain.lerobot.reader import DataSet
from clwm_embodichain.lerobot.writer import DataSetWriter
from clwm_evaluation.report import Measured, Rows, measurement

GOAL_RATE = 500.0  # frames a second
NOT_EXPORTED = ("references", "referents")  # of our own training; no data set has a place for them


@measurement(DataSetError, draws=False)
def export(
    console: PlainConsole,
    frames: Annotated[int, typer.Option(min=100, help="of the data set")] = 100_000,
    episodes: Annotated[int, typer.Option(min=2, help="recorded before, and written again and again")] = 12,
    first_seed: Annotated[int, typer.Option(min=0)] = 0,
) -> Measured:
    """Frames a second of an export with three cameras and without pictures, the process's memory meanwhile, and what
    differs when the episodes are read back; beside it, what two episodes differ in that are not the same.
    """
    recorded = _recorded(episodes, first_seed)
    with tempfile.TemporaryDirectory() as folder, progress(console, "frames", 2 * frames) as advance:
        found = {
            name: _write(recorded, Path(folder) / name, frames, cameras, advance)
            for name, cameras in (("three cameras", 3), ("no pictures", 0))
        }
        source = DataSet(Path(folder) / "three cameras")
        again = [episode_of(source, source.frames(index)) for index in range(episodes)]
    report = {
        "exports": found,
        "goal_frames_per_second": GOAL_RATE,
        "picture_size": recorded[0].images.shape[2],
        "round_trip": _differences(recorded, again),
        "control": _differences(recorded, recorded[1:] + recorded[:1]),
    }
    return Measured(report, [page_tables(report)[0].table(f"LeRobot v3.0; goal: {GOAL_RATE:.0f} frames a second")])


def _recorded(number: int, first_seed: int) -> list[Episode]:
    recorder, played = Recorder(), [choice for choice in choices("blocks")]
    seeds = itertools.count(first_seed)
    made = (recorder.record(played[seed % len(played)], seed, Expansion.parse("all")) for seed in seeds)
    return list(itertools.islice((episode for episode in made if episode.success), number))


def _write(
    recorded: list[Episode], folder: Path, frames: int, cameras: int, advance: Callable[[int, str], None]
) -> dict[str, Any]:
    episodes = [
        replace(episode, cameras=episode.cameras[:cameras], images=episode.images[:, :cameras]) for episode in recorded
    ]
    process, memory = psutil.Process(), []
    began = time.perf_counter(), time.process_time()
    with DataSetWriter(folder, features_of(episodes[0]), FPS, "dual_fr3_mujoco") as writer:
        for episode in itertools.cycle(episodes):
            writer.add(*frames_of(episode))
            memory.append(process.memory_info().rss / 1e6)
            advance(len(episode.executed), "")
            if writer.frames >= frames and len(memory) >= len(episodes):
                break
        written = writer.frames
    wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    tenth = max(1, len(memory) // 10)
    return {
        "frames": written,
        "episodes": len(memory),
        "frames_per_second": round(written / wall, 1),
        "frames_per_processor_second": round(written / cpu, 1),
        "megabytes": round(size / 1e6, 1),
        "memory_mb": round(max(memory), 1),
        "memory_growth_mb": round(memory[-1] - memory[tenth], 1),
    }


def _differences(before: list[Episode], after: list[Episode]) -> dict[str, Any]:
    """Which arrays differ in any episode, and the mean difference of pictures in levels of 0..255."""
    differ, pictures = set(), []
    exported = [field for field in fields(Episode) if field.name not in NOT_EXPORTED]
    for one, other in zip(before, after, strict=True):
        for field in exported:
            old, new = getattr(one, field.name), getattr(other, field.name)
            if field.name == "images":
                rows = min(len(old), len(new))
                pictures.append(np.abs(old[:rows].astype(np.float32) - new[:rows]).mean())
            elif not np.array_equal(old, new):
                differ.add(field.name)
    return {"differing": sorted(differ), "picture_levels": round(float(np.mean(pictures)), 2)}


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """The exports, and what comes back."""
    names = ("frames", "frames_per_second", "frames_per_processor_second", "megabytes", "memory_mb", "memory_growth_mb")
    header = ["export", "frames", "frames a second", "a processor second", "MB", "memory MB", "growth MB"]
    rows = [[name, *(f"{one[key]:g}" for key in names)] for name, one in report["exports"].items()]
    back = [
        [what, ", ".join(report[key]["differing"]) or "nothing", f"{report[key]['picture_levels']:g}"]
        for what, key in (("read back", "round_trip"), ("control: another episode", "control"))
    ]
    return [Rows(header, rows), Rows(["read back", "differing", "pictures, levels of 255"], back)]
