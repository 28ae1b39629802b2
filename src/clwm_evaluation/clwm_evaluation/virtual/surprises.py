"""Events that no policy could foresee: an object is moved over the table while the arms execute a chunk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_sim.scenes.task_table import BLOCK_HALF, TABLE
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
    return _free_on_first_table(world) if world.scene is TABLE else _free_in_scene(world)


def _free_in_scene(world: World) -> list[str]:
    """What lies where nothing holds it, and marks on the table: what stands there otherwise is part of it."""
    now, names = world.situation(), []
    for name, thing in world.layout.things.items():
        is_mark = thing.moves == "placed" and not any(part.touches for part in thing.parts)
        if not world.takes_part(name) or not (thing.moves == "free" or is_mark):
            continue
        state = now.objects[name]
        taken_at = np.array([state.at(grip) for grip in thing.grips] or [state.position])
        rests = is_mark or abs(state.position[2] - thing.height) < _RESTS
        if rests and _clear(now.tcp, taken_at):
            names.append(name)
    return names


def _free_on_first_table(world: World) -> list[str]:
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
