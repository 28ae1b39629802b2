"""A human at the operator's seat, scripted: watches, takes the arms over when it goes wrong, and hands them back.

What it orders goes through the executor's own arbitration, dead-man switch and limits, as an operator's orders do. It
sees the true state, and moves as the expert does.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ACTION_DIM, GRIPPERS, JOINTS, ROW_DT
from clwm_common.messages import Mode, TeleopCommand
from clwm_sai_executor.events import Event, ModeSet, TeleopArrived
from clwm_sim.experts.motion import OPEN
from clwm_sim.experts.task_expert import LOST_GRASP, Expert
from clwm_sim.scenes.task_table import BLOCK_HALF, HANDLE_HALF
from clwm_sim.world import World

SOURCE = "scripted human"
SEES_AFTER = 0.3  # s that something has to be wrong before the human freezes the arms
REACTS_AFTER = 0.4  # s from the freeze to the first motion, and from letting go to the hand-back
PATIENCE = 5.0  # s for which the policy may have the arms without the goal being reached
HELD_FOR = 0.3  # s of a grasp before the arms are handed back
LOW, BESIDE = 0.05, 0.02  # m of a hand over what it reaches for, and m beside it, that are not right together
LAID, OFF_PAD = 0.02, 0.025  # m of the block over the table, and m from the pad, that are not right once it was moved
MOVED = 0.03  # m
_ASKED = np.zeros(ACTION_DIM, bool)
_ASKED[JOINTS] = _ASKED[GRIPPERS] = True


class _Act(Enum):
    WATCHES = "watches"
    FROZE = "froze"
    STEERS = "steers"
    LETS_GO = "lets go"


class ScriptedHuman:
    """One for all episodes of a world with one of the first tasks; `begin` after every reset."""

    def __init__(self, world: World) -> None:
        self._world, self._expert = world, Expert(world)
        self.begin(0.0)

    def begin(self, now: float) -> None:
        """now: s. Nothing has happened yet, and the policy has the arms."""
        self._act, self._since = _Act.WATCHES, now
        self._began_with = self._world.table().block_position
        self._wrong_since: float | None = None
        self._held_since: float | None = None
        self._row: NDArray[np.float32] | None = None
        self._next_row_at, self._held_at_takeover = now, False
        self.takeovers = 0

    def act(self, now: float, mode: Mode) -> Iterable[Event]:
        """What is ordered now. mode: who moves the arms, by the executor."""
        match self._act:
            case _Act.WATCHES if self._has_seen_enough(now) or mode is not Mode.POLICY:
                self._turn_to(_Act.FROZE, now)
                yield ModeSet(Mode.HOLD)
            case _Act.FROZE if (
                now - self._since >= REACTS_AFTER and np.abs(self._world.measured().velocities).max() < 0.05
            ):
                self._turn_to(_Act.STEERS, now)
                self._row, self._next_row_at = self._expert.start(), now + ROW_DT
                self._held_at_takeover, self._held_since = self._is_held(), None
                self.takeovers += 1
                yield self._wish(now)
                yield ModeSet(Mode.TELEOP)
            case _Act.STEERS if mode is not Mode.TELEOP:
                self._turn_to(_Act.FROZE, now)  # the executor has taken the arms away: once more
            case _Act.STEERS if self._is_put_right(now):
                self._turn_to(_Act.LETS_GO, now)
                yield TeleopArrived(TeleopCommand(now, SOURCE, dead_man=False))
            case _Act.STEERS if now >= self._next_row_at - 1e-6:
                self._row, self._next_row_at = self._expert.next_row(self._row), self._next_row_at + ROW_DT
                yield self._wish(now)
            case _Act.LETS_GO if now - self._since >= REACTS_AFTER:
                self._turn_to(_Act.WATCHES, now)
                yield ModeSet(Mode.POLICY)

    def _turn_to(self, act: _Act, now: float) -> None:
        self._act, self._since, self._wrong_since = act, now, None

    def _wish(self, now: float) -> TeleopArrived:
        return TeleopArrived(TeleopCommand(now, SOURCE, dead_man=True, target=self._row, valid=_ASKED))

    def _has_seen_enough(self, now: float) -> bool:
        if not self._is_wrong():
            self._wrong_since = None
        elif self._wrong_since is None:
            self._wrong_since = now
        seen = self._wrong_since is not None and now - self._wrong_since >= SEES_AFTER
        return seen or now - self._since >= PATIENCE

    def _is_wrong(self) -> bool:
        """A hand is down beside what it reaches for, or closed on nothing, or the block is laid down beside the pad."""
        now, (_, told) = self._world.table(), self._world.setpoint()
        if self._is_laid_down_beside():
            return True
        for arm, point, full in self._grasps():
            beside = float(np.hypot(*(now.tcp[arm] - point)[:2]))
            if told[arm] > 0.5 * OPEN:
                if now.tcp[arm][2] < point[2] + LOW and BESIDE < beside < 3.0 * LOST_GRASP:
                    return True
            elif now.widths[arm] < 0.5 * full or beside > LOST_GRASP:
                return True
        return False

    def _is_laid_down_beside(self) -> bool:
        if self._world.task.name != "place_block":
            return False
        now = self._world.table()
        moved, off_pad = (np.hypot(*(now.block_position - it)[:2]) for it in (self._began_with, now.pad_position))
        return bool(now.block_position[2] < BLOCK_HALF + LAID and moved > MOVED and off_pad > OFF_PAD)

    def _is_put_right(self, now: float) -> bool:
        """What it came for is held; a thing that was held already is brought to the end."""
        if not self._is_held():
            self._held_since = None
        elif self._held_since is None:
            self._held_since = now
        return not self._held_at_takeover and self._held_since is not None and now - self._held_since >= HELD_FOR

    def _is_held(self) -> bool:
        now, (_, told) = self._world.table(), self._world.setpoint()
        return all(
            told[arm] < 0.5 * OPEN
            and 0.5 * full <= now.widths[arm] < full + 0.004
            and np.linalg.norm(now.tcp[arm] - point) < LOST_GRASP
            for arm, point, full in self._grasps()
        )

    def _grasps(self) -> list[tuple[int, NDArray[np.float64], float]]:
        """Arm, where it has to close (3,) and on what thickness, of each hand that the task takes."""
        now = self._world.table()
        if self._world.task.name == "lift_tray":
            return [(arm, now.handles[arm], 2.0 * HANDLE_HALF[1]) for arm in (0, 1)]
        arm = 0 if now.block_position[1] > 0.0 else 1
        return [(arm, now.block_position, 2.0 * BLOCK_HALF)]
