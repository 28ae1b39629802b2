"""Whether a motion may begin from where the arms are measured. Preflight and the executor ask the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.description import RobotDescription
from clwm_sai_executor.checks.clearance import MarginsOf
from clwm_sai_executor.events import SIDES, STANDS, MeasuredArms

Array = NDArray[np.float64]

JOINT_TOLERANCE = (
    0.01  # rad beyond a limit that are the encoder's noise or the servo's; a command is clipped by as much
)
OPENING_TOLERANCE = 0.01  # m, likewise
_BACK = "move it back with the robot's own tools, then set the mode again"


class StartCheck:
    """Knows the robot's limits, and what its arms keep clear of."""

    def __init__(self, robot: RobotDescription, margins: MarginsOf | None = None) -> None:
        """margins: joints (n, 14) -> what is left (`clearance.margins_of`); None: nothing is kept clear of."""
        self._channels = robot.channels
        self._lower, self._upper = (robot.limit(f"position_{end}")[self._channels] for end in ("lower", "upper"))
        self._names = [
            f"{side} {name}" for side, arm in zip(SIDES, robot.arms, strict=True) for name in arm.joint_names
        ]
        self._grippers = [arm.gripper for arm in robot.arms]
        self._margins = margins

    def refusal(self, arms: MeasuredArms) -> str:
        """Why no motion may begin here: its first command would be clipped to a limit, and the arm would leap there."""
        positions = arms.positions[self._channels]
        beyond = np.maximum(self._lower - positions, positions - self._upper)
        worst = int(beyond.argmax())
        if beyond[worst] > JOINT_TOLERANCE:
            return (
                f"joint {self._names[worst]} is at {positions[worst]:.3f} rad, outside its limits "
                f"{self._lower[worst]:.3f} to {self._upper[worst]:.3f} rad; {_BACK}, or correct limits and signs in "
                "config/robots"
            )
        for side, gripper, width in zip(SIDES, self._grippers, arms.widths, strict=True):
            low, high = gripper.opening_min, gripper.opening_max
            if not low - OPENING_TOLERANCE <= width <= high + OPENING_TOLERANCE:
                return (
                    f"the {side} gripper is {width:.3f} m open, outside its range {low:.3f} to {high:.3f} m; a finger "
                    f"joint counts half the opening in m: correct the driver, or the range in config/robots"
                )
        return ""

    def unrest(self, arms: MeasuredArms) -> str:
        """What a motion from rest waits for; empty when the arms stand."""
        if not arms.are_moving:
            return ""
        velocities = arms.velocities[self._channels]
        fastest = int(np.abs(velocities).argmax())
        return (
            f"waits until the arms stand: joint {self._names[fastest]} moves at {velocities[fastest]:.2f} rad/s, "
            f"at most {STANDS} expected; let go of it, end what else moves it, or look at the driver's velocities"
        )

    def warnings(self, arms: MeasuredArms) -> list[str]:
        """What a motion may begin with, but goes no deeper into."""
        if self._margins is None:
            return []
        margins = self._margins(arms.positions[None])
        left = {
            "the arms are {} nearer to each other than allowed": margins.arms,
            "an arm is {} nearer to the table than allowed": margins.table,
            "a tool is {} outside the workspace": margins.workspace,
        }
        return [
            text.format(f"{-float(value[0]):.3f} m") + "; rows that go farther are cut off: move it back by hand"
            for text, value in left.items()
            if value[0] < 0.0
        ]
