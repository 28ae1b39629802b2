"""What a success head learns from: features of the cameras' pictures, and whether the goal that is pursued holds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clwm_embodichain.training.success.courses import GOALS, Courses
from clwm_sim.cameras import CAMERAS
from clwm_sim.stage import Stage
from clwm_sim.world import IMAGE_SIZE

SHARD = 5  # seeds of a file
STRIDE = 6  # rows between two looks: two of them are the horizon between two chunks
TRAINING_STRENGTH, TRAINING_JITTER = 1.5, 1.0  # at most, of colours and light, and of the cameras


@dataclass(frozen=True)
class Looks:
    """n looks at courses.

    features: (n, cameras, rows, columns, C) float16 as perception sends them. goal: (n,) index in GOALS of what is
    pursued; holds: (n,) whether that is achieved now. course: (n,) number of the course, looks in order of time.
    """

    features: NDArray[np.float16]
    goal: NDArray[np.int64]
    holds: NDArray[np.bool_]
    course: NDArray[np.int64]

    def save(self, path: Path) -> None:
        """Write one .npz, complete or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as stream:
            np.savez(stream, **vars(self))
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Looks:
        """Raises OSError, or KeyError for a file of something else."""
        with np.load(path, allow_pickle=False) as content:
            return cls(**{one.name: content[one.name] for one in fields(cls)})

    @classmethod
    def joined(cls, parts: Iterable[Looks]) -> Looks:
        """All of them; the numbers of their courses must differ."""
        parts = list(parts)
        return cls(**{one.name: np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(cls)})


# Gives the stage its looks; called before every picture set, with a generator that is the same all through a course.
Dress = Callable[[Stage, np.random.Generator], None]


def as_in_training(stage: Stage, rng: np.random.Generator) -> None:
    """Looks of any strength up to the training's."""
    stage.randomise_appearance(rng, rng.uniform(0.0, TRAINING_STRENGTH), rng.uniform(0.0, TRAINING_JITTER))


def play(
    seeds: Iterable[int],
    dresses: Mapping[str, Dress],
    encode: Callable[[NDArray[np.uint8]], NDArray[np.float16]],
    image_size: int = IMAGE_SIZE,
) -> dict[str, Looks]:
    """The looks at one course of every goal for each seed, once in each dress.

    encode: pictures (cameras, h, w, 3) to features.
    """
    courses = Courses(image_size)
    features: dict[str, list[NDArray[np.float16]]] = {name: [] for name in dresses}
    goals, holds, numbers = [], [], []
    try:
        for seed, (index, goal) in itertools.product(seeds, enumerate(GOALS)):
            for world in courses.play(goal, seed, STRIDE):
                now = world.situation()
                for number, (name, dress) in enumerate(dresses.items()):
                    dress(world, np.random.default_rng([seed, index, number, 9]))
                    features[name].append(encode(np.stack([world.render(camera) for camera in CAMERAS])))
                goals.append(index)
                holds.append(world.goal.is_achieved(now, now))
                numbers.append(seed * len(GOALS) + index)
    finally:
        courses.close()
    return {
        name: Looks(np.stack(seen), np.array(goals), np.array(holds), np.array(numbers))
        for name, seen in features.items()
    }


def collect(
    folder: Path,
    dresses: Mapping[str, Dress],
    seeds: range,
    encode: Callable[[NDArray[np.uint8]], NDArray[np.float16]],
    tell: Callable[[str], None],
) -> dict[str, Looks]:
    """`play`, kept in files of SHARD seeds each: those that are there already are read. tell: takes a line for each."""
    found: dict[str, list[Looks]] = {name: [] for name in dresses}
    for first in range(seeds.start, seeds.stop, SHARD):
        paths = {name: folder / f"{name}_{first}.npz" for name in dresses}
        if not all(path.exists() for path in paths.values()):
            for name, looks in play(range(first, min(first + SHARD, seeds.stop)), dresses, encode).items():
                looks.save(paths[name])
            tell(f"courses of seeds {first} to {min(first + SHARD, seeds.stop) - 1}: {', '.join(dresses)}")
        for name, path in paths.items():
            found[name].append(Looks.load(path))
    return {name: Looks.joined(parts) for name, parts in found.items()}
