"""The trajectories a learner has at hand, and how often it may walk through each: the bound on reuse."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")


@dataclass
class _Held(Generic[T]):
    trajectory: T
    came_at: float
    uses: int = 0


class TrajectoryPool(Generic[T]):
    """Up to `capacity` trajectories, each drawn at most `reuse` times and then dropped.

    With few reuses nearly every walk is new experience and the simulation works hard; with many it rests (paper: the
    number of unique state-action pairs per training iteration limits what is learned).
    """

    def __init__(self, capacity: int, reuse: int) -> None:
        for name, value in (("capacity", capacity), ("reuse", reuse)):
            if value < 1:
                raise ValueError(f"{name} is {value}; a pool needs at least 1")
        self.capacity, self.reuse = capacity, reuse
        self.added = self.drawn = 0
        self.age = 0.0  # s, of all that were drawn, together
        self._used_up = 0
        self._held: list[_Held[T]] = []

    def __len__(self) -> int:
        return len(self._held)

    @property
    def has_room(self) -> bool:
        return len(self) < self.capacity

    @property
    def reuses(self) -> dict[int, int]:
        """How many trajectories were drawn so often, those at hand too."""
        counts = Counter(held.uses for held in self._held)
        counts[self.reuse] += self._used_up
        return {uses: count for uses, count in sorted(counts.items()) if count}

    def add(self, trajectory: T, now: float) -> None:
        """now: s. Raises ValueError when the pool is full: look at `has_room` first."""
        if not self.has_room:
            raise ValueError(f"the pool holds {self.capacity} trajectories and takes no more")
        self._held.append(_Held(trajectory, now))
        self.added += 1

    def draw(self, generator: np.random.Generator, now: float) -> T | None:
        """Any trajectory; None when all have been used up."""
        if not self._held:
            return None
        index = int(generator.integers(len(self._held)))
        chosen = self._held[index]
        chosen.uses += 1
        self.drawn += 1
        self.age += now - chosen.came_at
        if chosen.uses == self.reuse:
            del self._held[index]
            self._used_up += 1
        return chosen.trajectory
