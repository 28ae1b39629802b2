"""What everybody is told: the measured state as often as it is due, who moves the arms when that changes."""

from __future__ import annotations

import math

import numpy as np

from clwm_common.actions import ACTION_DIM, JOINTS
from clwm_common.messages import DualArmState, ModeStatus
from clwm_common.robot.description import RobotDescription
from clwm_sai_executor.events import MeasuredArms, PublishMode, PublishState
from clwm_sai_executor.modes.arbitration import Arbitration
from clwm_sai_executor.path.motion import RowOf


class Announcements:
    """Remembers what was told last."""

    def __init__(self, robot: RobotDescription, state_period: float, row_of: RowOf) -> None:
        """state_period: at least so many seconds between two states."""
        self._valid = np.ones(ACTION_DIM, dtype=np.bool_)
        self._valid[JOINTS] = False
        self._valid[JOINTS.start + robot.channels] = True
        self._valid.setflags(write=False)
        self._state_period = state_period
        self._row_of = row_of
        self._state_at = -math.inf
        self._mode: ModeStatus | None = None

    def forget(self) -> None:
        """Measured instants begin anew."""
        self._state_at = -math.inf

    def state(self, arms: MeasuredArms, arbitration: Arbitration, task_epoch: int) -> list[PublishState]:
        """The measured arms in the 30-number layout, when that is due."""
        if arms.stamp - self._state_at < self._state_period - 1e-6:
            return []
        self._state_at = arms.stamp
        state = DualArmState(
            stamp=arms.stamp,
            values=self._row_of(arms.positions, arms.widths),
            valid=self._valid,
            velocities=arms.velocities.astype(np.float32),
            mode=arbitration.mode,
            task_epoch=task_epoch,
        )
        return [PublishState(state)]

    def mode(self, arbitration: Arbitration, blindness: str, idleness: str, task_epoch: int) -> list[PublishMode]:
        """Mode, owner, reason and epoch, when one of them has changed.

        blindness: why the arms hold in any mode; idleness: why nothing moves them in the present one.
        """
        reason = blindness or arbitration.reason or idleness
        status = ModeStatus(arbitration.since, arbitration.mode, arbitration.owner, reason, task_epoch)
        if status == self._mode:
            return []
        self._mode = status
        return [PublishMode(status)]
