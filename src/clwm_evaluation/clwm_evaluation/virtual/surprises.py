"""Events that no policy could foresee: an object is moved over the table while the arms execute a chunk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_sim.scenes.task_table import BLOCK_HALF
from clwm_sim.world import World

SHIFT = 0.03  # m
CLEARANCE = 0.10  # m from every tool: nothing is moved out of a hand or into one
_RESTS = 0.005  # m above where it lies


@dataclass(frozen=True)
class Event:
    """name: the object; shift: (2,) m over the table."""

    name: str
    shift: NDArray[np.float64]


def draw_event(world: World, rng: np.random.Generator, distance: float = SHIFT) -> Event | None:
    """An object of the task that lies free, and where it goes; None when none is free or it no longer matters."""
    names = _free(world)
    if not names:
        return None
    angle = rng.uniform(0.0, 2.0 * np.pi)
    return Event(names[rng.integers(len(names))], distance * np.array([np.cos(angle), np.sin(angle)]))


def _free(world: World) -> list[str]:
    now, takes_part = world.table(), world.takes_part
    names = []
    if takes_part("tray") and abs(now.tray_position[2]) < _RESTS and _clear(now.tcp, now.handles):
        names.append("tray")
    if takes_part("block") and takes_part("pad"):
        is_away = np.linalg.norm((now.block_position - now.pad_position)[:2]) > CLEARANCE
        if is_away and abs(now.block_position[2] - BLOCK_HALF) < _RESTS and _clear(now.tcp, now.block_position[None]):
            names.append("block")
        if is_away:
            names.append("pad")
    return names


def _clear(tools: NDArray[np.float64], points: NDArray[np.float64]) -> bool:
    return bool(np.linalg.norm(tools[:, None] - points[None], axis=-1).min() > CLEARANCE)
