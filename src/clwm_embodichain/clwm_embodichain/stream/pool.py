"""The trajectories a learner has at hand, and how often it may walk through each: the bound on reuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")


@dataclass
class _Held(Generic[T]):
    trajectory: T
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
        self._held: list[_Held[T]] = []

    def __len__(self) -> int:
        return len(self._held)

    @property
    def has_room(self) -> bool:
        return len(self) < self.capacity

    def add(self, trajectory: T) -> None:
        """Raises ValueError when the pool is full: look at `has_room` first."""
        if not self.has_room:
            raise ValueError(f"the pool holds {self.capacity} trajectories and takes no more")
        self._held.append(_Held(trajectory))
        self.added += 1

    def draw(self, generator: np.random.Generator) -> T | None:
        """Any trajectory; None when all have been used up."""
        if not self._held:
            return None
        index = int(generator.integers(len(self._held)))
        chosen = self._held[index]
        chosen.uses += 1
        self.drawn += 1
        if chosen.uses == self.reuse:
            del self._held[index]
        return chosen.trajectory
