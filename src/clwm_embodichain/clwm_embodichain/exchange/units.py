"""What the numbers of another tool's data mean here: which channels they are, their angles and openings."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from clwm_common.actions import GRIPPERS, LEFT_EEF, LEFT_JOINTS, RIGHT_EEF, RIGHT_JOINTS
from clwm_common.files.config_files import Strict

GROUPS = {
    "left_eef": LEFT_EEF,
    "right_eef": RIGHT_EEF,
    "left_joints": LEFT_JOINTS,
    "right_joints": RIGHT_JOINTS,
    "left_gripper": slice(GRIPPERS.start, GRIPPERS.start + 1),
    "right_gripper": slice(GRIPPERS.start + 1, GRIPPERS.stop),
}


class Gripper(Strict):
    """What the source says when a gripper is closed and open, and what that is in m."""

    closed: float
    open: float
    opening: float = Field(default=0.08, gt=0.0)

    @model_validator(mode="after")
    def _differ(self) -> Gripper:
        if self.open == self.closed:
            raise ValueError(f"open and closed are both {self.open}; expected two different values of the source")
        return self

    def in_metres(self, values: NDArray) -> NDArray:
        """Values of the source as openings, m."""
        return (values - self.closed) / (self.open - self.closed) * self.opening


class Units(Strict):
    """angles: of the source's joints; gripper: None where its openings are in m."""

    angles: Literal["rad", "deg"] = "rad"
    gripper: Gripper | None = None

    def physical(self, rows: NDArray[np.float64], there: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Rows (n, 30) of the source in m and rad; channels that are not `there` (30,) are 0."""
        found = np.where(there, rows, 0.0)
        if self.angles == "deg":
            for place in (LEFT_JOINTS, RIGHT_JOINTS):
                found[:, place] = np.radians(found[:, place])
        if self.gripper is not None:
            found[:, GRIPPERS] = np.where(there[GRIPPERS], self.gripper.in_metres(found[:, GRIPPERS]), 0.0)
        return found
