"""Joint states by name -> the two arms in order: what a controller publishes in whatever order it likes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clwm_common.actions import LayoutError
from clwm_common.robot import RobotDescription
from clwm_sai_executor.events import MeasuredArms


class JointMap:
    """Picks 14 arm joints and one finger joint for each hand out of a joint state."""

    def __init__(self, robot: RobotDescription) -> None:
        self._wanted = [*robot.joint_names, *(arm.gripper.finger_joint for arm in robot.arms)]
        self._names: list[str] = []
        self._indices = np.zeros(0, dtype=np.intp)

    def measured(
        self, stamp: float, names: Sequence[str], positions: Sequence[float], velocities: Sequence[float]
    ) -> MeasuredArms:
        """Joints by name, rad (fingers m) and rad/s, as MeasuredArms; velocities may be absent and are zero then.

        A hand opens twice as far as one finger moves. Raises LayoutError when a joint is missing or lengths differ.
        """
        if list(names) != self._names:
            self._learn(list(names))
        if len(positions) != len(names) or len(velocities) not in (0, len(names)):
            raise LayoutError(
                f"joint state has {len(names)} names, {len(positions)} positions and {len(velocities)} velocities; "
                "expected as many of each, or no velocities"
            )
        position = np.asarray(positions, dtype=np.float64)[self._indices]
        velocity = np.asarray(velocities, dtype=np.float64)[self._indices] if len(velocities) else np.zeros(16)
        return MeasuredArms(stamp, position[:14], velocity[:14], 2.0 * position[14:])

    def _learn(self, names: list[str]) -> None:
        places = {name: index for index, name in enumerate(names)}
        missing = [name for name in self._wanted if name not in places]
        if missing:
            raise LayoutError(
                f"joint state lacks {', '.join(missing)}; it has {', '.join(names) or 'no joints'}. "
                "Publish all joints of both arms in one message, or correct the names in config/robots"
            )
        self._indices = np.array([places[name] for name in self._wanted], dtype=np.intp)
        self._names = names
