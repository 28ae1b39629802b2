"""Recordings of `remember_side` as a policy will live it: one observation per horizon, chunks executed without looking.

The expert sees the world only when the policy would, and its answer starts behind the four rows committed by then. So
neither a picture nor a committed row tells the side before the first decision, which would teach to peek instead of to
remember. A waiting chunk looks like any other: from few of them a training makes streams of any delay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import CHUNK_ROWS, GRIPPERS, JOINTS, ROW_DT
from clwm_embodichain.episodes.table_recording import CAMERA_JITTER, LOOKS_STRENGTH, check_seeds
from clwm_embodichain.training.policy.samples import HORIZON
from clwm_sim.cameras import CAMERAS
from clwm_sim.controllers.interpolation import between
from clwm_sim.experts.task_expert import Expert
from clwm_sim.shipped_tasks import RememberSide
from clwm_sim.shipped_tasks.remember_side import CHUNK, SHOWN
from clwm_sim.world import World

WAITING, CHOOSING = 6, 4  # chunks recorded of each phase
CUE = int(SHOWN / CHUNK) + 1  # observations that show the cue
OBSERVATIONS = CUE + WAITING + CHOOSING
WANDER = 0.01  # rad by which joints stray from the plan during a chunk: so much a policy's own chunks do

ImageEncoder = Callable[[NDArray[np.uint8]], NDArray[np.float16]]


@dataclass(frozen=True)
class Recordings:
    """n episodes of OBSERVATIONS observations each: those of the cue, of the wait, of the choice.

    features: (n, obs, cameras, rows, columns, C) float16. states: (n, obs, 30) measured. chunks: (n, obs, 16, 30), the
    first four rows committed before (one, at the start). executed: (n, obs, 12, 30) rows before the observation, which
    mean nothing at the first one. asked_arm: (n,), instruction: (n,), seed: (n,).
    """

    features: NDArray[np.float16]
    states: NDArray[np.float32]
    chunks: NDArray[np.float32]
    executed: NDArray[np.float32]
    asked_arm: NDArray[np.int64]
    instruction: NDArray[np.str_]
    seed: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.seed)

    def take(self, index: NDArray | slice) -> Recordings:
        return Recordings(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    @classmethod
    def join(cls, parts: list[Recordings]) -> Recordings:
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as stream:
            np.savez(stream, **{field.name: getattr(self, field.name) for field in fields(self)})
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Recordings:
        with np.load(path, allow_pickle=False) as found:
            return cls(**{field.name: found[field.name] for field in fields(cls)})


def record_side(world: World, expert: Expert, encode: ImageEncoder, seed: int) -> Recordings:
    """Play one episode of `WAITING` chunks of delay under disturbance; a Recordings of length 1.

    Raises EpisodeError for a seed that is reserved for evaluation.
    """
    check_seeds(seed, 1)
    world.reset(seed, f"{RememberSide.name}:{WAITING}")
    rng = np.random.default_rng([seed, 3])
    world.randomise_appearance(rng, LOOKS_STRENGTH, CAMERA_JITTER)
    rows = [expert.start()]
    features, states, chunks, executed = [], [], [], []
    for first in range(0, OBSERVATIONS * HORIZON, HORIZON):
        measured = world.measured()
        states.append(expert.row_of(measured.positions, measured.widths))
        features.append(encode(np.stack([world.render(camera) for camera in CAMERAS])))
        executed.append(np.stack(rows[first - HORIZON : first] if first else [rows[0]] * HORIZON))
        committed, now = rows[first:], world.table()
        plan = list(committed)
        while len(plan) < CHUNK_ROWS:
            plan.append(expert.next_row(plan[-1], now))
        chunks.append(np.stack(plan))
        rows += _wandering(plan[len(committed) :], rng.normal(0.0, WANDER, 14), expert)
        for index in range(first, first + HORIZON):
            world.advance((index + 1) * ROW_DT, between(rows[index], rows[index + 1], index * ROW_DT))
    arrays = (features, states, chunks, executed)
    return Recordings(
        *(np.stack(array)[None] for array in arrays),
        np.array([world.table().asked_arm]),
        np.array([world.instruction(seed)]),
        np.array([seed]),
    )


def _wandering(rows: list[NDArray], offset: NDArray, expert: Expert) -> list[NDArray[np.float32]]:
    shares = np.arange(1, len(rows) + 1) / len(rows)
    return [expert.row_of(row[JOINTS] + share * offset, row[GRIPPERS]) for row, share in zip(rows, shares, strict=True)]


def record_sides(
    path: Path, episodes: int, first_seed: int, encode: ImageEncoder, on_episode: Callable[[int], None], every: int = 50
) -> Recordings:
    """The recordings of `episodes` seeds, read from `path` as far as they are there, and kept there.

    on_episode: called with the number there are. An interrupted run loses at most the last `every` episodes.
    """
    parts = [Recordings.load(path)] if path.exists() else []
    have = sum(len(part) for part in parts)
    on_episode(min(have, episodes))
    if have < episodes:
        world = World(f"{RememberSide.name}:{WAITING}")
        expert = Expert(world)
        for seed in range(first_seed + have, first_seed + episodes):
            parts.append(record_side(world, expert, encode, seed))
            have += 1
            on_episode(have)
            if have % every == 0 or have == episodes:
                parts = [Recordings.join(parts)]
                parts[0].save(path)
        world.close()
    return Recordings.join(parts).take(slice(episodes))
