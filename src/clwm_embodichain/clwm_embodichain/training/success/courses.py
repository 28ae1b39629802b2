"""Courses of events on the first tasks' table: a goal is reached, stays reached, is undone again, or is missed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import GRIPPERS, ROW_DT
from clwm_embodichain.expansion.disturbance import Disturbance
from clwm_embodichain.expansion.trouble import disturbed
from clwm_sim.controllers.interpolation import between
from clwm_sim.experts.motion import CLOSED, OPEN
from clwm_sim.experts.task_expert import Expert
from clwm_sim.world import World

GOALS = ("lift_tray", "place_block")
Course = Literal["undone", "displaced", "empty-handed", "held-on"]
COURSES: tuple[Course, ...] = ("undone", "displaced", "empty-handed", "held-on")
SHARES = (0.55, 0.2, 0.125, 0.125)
GRIP_ROWS = 12  # that fingers are given to close or open on the way back
STAYS = (16, 48)  # rows for which the hands stay where the expert has brought them
DISPLACED = (0.04, 0.12)  # m by which an object lies beside where the hands believe it
_MOVED = {"lift_tray": ("tray",), "place_block": ("block", "pad")}

Rows = list[NDArray[np.float32]]


class Courses:
    """Plays one course after the other in one world."""

    def __init__(self, image_size: int) -> None:
        self._world = World(GOALS[0], image_size)
        self._expert = Expert(self._world)

    def play(self, goal: str, seed: int, stride: int) -> Iterator[World]:
        """The world at every `stride` rows of the course of this seed, which pursues `goal`.

        `undone`: the expert reaches the goal under disturbance, stays, and goes back the way it came. The others repeat
        the commands of an undisturbed expert: beside an object that lies elsewhere now, with fingers that never close,
        or with fingers that never open again.
        """
        rng = np.random.default_rng([seed, GOALS.index(goal), 8])
        course = COURSES[rng.choice(len(COURSES), p=SHARES)]
        self._world.reset(seed, goal)
        if course == "undone":
            yield from self._there_and_back(rng, stride)
        else:
            rows = [row for row, _ in self._pursue(None)]
            self._world.reset(seed, goal)
            if course == "displaced":
                self._displace(goal, rng)
            yield from self._follow(_spoilt(rows, course) + [rows[-1]] * _stay(rng), stride)

    def close(self) -> None:
        """Free the GL context."""
        self._world.close()

    def _there_and_back(self, rng: np.random.Generator, stride: int) -> Iterator[World]:
        rows: Rows = []
        for row, index in self._pursue(Disturbance(rng)):
            rows.append(row)
            if index % stride == 0:
                yield self._world
        yield from self._follow([rows[-1]] * _stay(rng) + _back(rows), stride)

    def _pursue(self, disturbance: Disturbance | None) -> Iterator[tuple[NDArray[np.float32], int]]:
        """Each row with its number, when it is in force, until the goal is achieved or has failed."""
        world, row = self._world, self._expert.start()
        for index in itertools.count():
            yield row, index
            if world.succeeded() or world.failed():
                return
            command = self._expert.next_row(row)
            following = command if disturbance is None else disturbed(command, self._expert, disturbance)
            world.advance((index + 1) * ROW_DT, between(row, following, index * ROW_DT))
            row = following

    def _follow(self, rows: Sequence[NDArray[np.float32]], stride: int) -> Iterator[World]:
        began = self._world.time
        for index, (row, following) in enumerate(itertools.pairwise(rows)):
            at = began + index * ROW_DT
            self._world.advance(at + ROW_DT, between(row, following, at))
            if index % stride == 0:
                yield self._world

    def _displace(self, goal: str, rng: np.random.Generator) -> None:
        name = _MOVED[goal][rng.integers(len(_MOVED[goal]))]
        angle, distance = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(*DISPLACED)
        self._world.displace(name, distance * np.array([np.cos(angle), np.sin(angle)]))


def _back(rows: Rows) -> Rows:
    back: Rows = []
    for row in reversed(rows):
        has_changed = back and np.any(np.abs(row[GRIPPERS] - back[-1][GRIPPERS]) > 0.5 * OPEN)
        back += [row] * (GRIP_ROWS if has_changed else 1)
    return back


def _spoilt(rows: Rows, course: Course) -> Rows:
    if course == "displaced":
        return rows
    spoilt = np.stack(rows)
    widths = spoilt[:, GRIPPERS]
    has_closed = np.maximum.accumulate(widths < 0.5 * OPEN, axis=0)
    spoilt[:, GRIPPERS] = OPEN if course == "empty-handed" else np.where(has_closed, CLOSED, widths)
    return list(spoilt)


def _stay(rng: np.random.Generator) -> int:
    return int(rng.integers(*STAYS))
