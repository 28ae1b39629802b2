"""What goes wrong through no command: an object is nudged, and a hand opens for a moment while it holds one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_sim.experts.motion import REACH
from clwm_sim.scenes.things import Layout, Thing
from clwm_sim.situation import Situation, State

NUDGE_SHARE = 0.35  # of the episodes
NUDGE_ROW = (4, 60)  # from which on an object is nudged as soon as one can be
NUDGE_SIZE = (0.01, 0.04)  # m
NUDGE_ROWS = 5  # that a nudge takes
HANDS_AWAY = 0.13  # m from the object's edge
APART = 0.01  # m that stay between the object and others
SLIP_SHARE = 0.25  # of the episodes
SLIP_AFTER = (2, 30)  # rows for which one hand has held something
SLIP_HEIGHT = (0.005, 0.04)  # m that two hands have lifted something: from higher up it might turn over
SLIP_ROWS = (2, 5)


@dataclass(frozen=True)
class Nudge:
    """One row's shift (2,) m of an object over the table."""

    name: str
    shift: NDArray[np.float64]


class Mishaps:
    """At most one nudge and one slip in an episode. bases: (2, 2) m, the arms' bases in the table's plane."""

    def __init__(self, rng: np.random.Generator, bases: NDArray) -> None:
        self._bases = bases
        angle = rng.uniform(0.0, 2.0 * np.pi)
        self._shift = rng.uniform(*NUDGE_SIZE) * np.array([np.cos(angle), np.sin(angle)])
        self._choice = rng.random()
        row = int(rng.integers(*NUDGE_ROW))
        self._nudge_from = row if rng.random() < NUDGE_SHARE else None
        self._nudged: str | None = None
        self._nudge_rows = NUDGE_ROWS
        slip_after, self._slip_rows = int(rng.integers(*SLIP_AFTER)), int(rng.integers(*SLIP_ROWS))
        self._slip_after = slip_after if rng.random() < SLIP_SHARE else None
        self._slip_height = rng.uniform(*SLIP_HEIGHT)
        self._held_rows = np.zeros(2, dtype=int)
        self._slipping: list[int] = []
        self._row = 0

    def nudge(self, now: Situation, layout: Layout, moves: bool) -> Nudge | None:
        """The coming row's nudge; asked for once a row. moves: whether the moment tolerates one."""
        self._row += 1
        if self._nudge_from is None or self._row < self._nudge_from or not self._nudge_rows:
            return None
        if self._nudged is None:
            names = [name for name in now.objects if moves and self._can_be_nudged(now, layout, layout.things[name])]
            if not names:
                return None
            self._nudged = names[int(self._choice * len(names))]
        self._nudge_rows -= 1
        return Nudge(self._nudged, self._shift / NUDGE_ROWS)

    def slips(self, now: Situation, held: Sequence[Thing | None]) -> NDArray[np.bool_]:
        """(2,) hands that open in the coming row; asked for once a row. held: what each hand holds."""
        self._held_rows = np.where([thing is not None for thing in held], self._held_rows + 1, 0)
        if self._slip_after is not None and not self._slipping:
            self._slipping = self._about_to_slip(now, held)
        slips = np.zeros(2, dtype=bool)
        if self._slipping and self._slip_rows:
            self._slip_rows -= 1
            slips[self._slipping] = True
        return slips

    def _about_to_slip(self, now: Situation, held: Sequence[Thing | None]) -> list[int]:
        left, right = held
        if left is not None and left is right:
            raised = now.objects[left.name].position[2] - left.height
            return [0, 1] if self._slip_height < raised < SLIP_HEIGHT[1] else []
        return [int(np.argmax(self._held_rows))] if self._held_rows.max() > self._slip_after else []

    def _can_be_nudged(self, now: Situation, layout: Layout, thing: Thing) -> bool:
        """Whether it lies free, apart from hands and others, and is within the same arms' reach afterwards."""
        state = now.objects[thing.name]
        if thing.moves != "free" or state.speed > 0.02 or state.position[2] > thing.height + 0.01:
            return False
        place = state.position[:2] + self._shift
        for name, other in now.objects.items():
            solid = any(part.present and part.touches for part in layout.things[name].parts)
            away = np.hypot(*(place - other.position[:2]))
            if name != thing.name and solid and away < thing.extent + layout.things[name].extent + APART:
                return False
        if any(np.hypot(*(place - each.place)) < thing.extent + each.extent + APART for each in now.obstacles):
            return False
        hands = np.linalg.norm(now.tcp - state.position, axis=1)
        return bool(np.all(hands > thing.extent + HANDS_AWAY) and self._stays_within_reach(state, thing))

    def _stays_within_reach(self, state: State, thing: Thing) -> bool:
        grips = np.array([state.at(grip)[:2] for grip in thing.grips])
        before, after = (
            np.linalg.norm(grips[:, None] + shift - self._bases, axis=2) < REACH for shift in (0.0, self._shift)
        )
        return np.array_equal(before, after)
