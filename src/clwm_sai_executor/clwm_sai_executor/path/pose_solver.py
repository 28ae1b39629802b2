"""What makes joints of poses, for those settings that want it; the others do without its packages."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.description import RobotDescription
from clwm_sai_executor.config import ConfigError, SchedulerConfig
from clwm_sai_executor.path.limits import MotionLimits

Array = NDArray[np.float64]


class PoseSolver(Protocol):
    """Forward and inverse kinematics as `inverse_kinematics.DualArmInverseKinematics` has them."""

    def poses(self, joints: Array) -> Array:
        """Poses (2, 7) of joints (14,)."""

    def rows(self, start_joints: Array, poses: Array, posture: Array | None = None) -> tuple[Array, Array]:
        """Joints (n, 14) and residuals (n, 2, 2) for poses (n, 2, 7)."""


def pose_solver(robot: RobotDescription, config: SchedulerConfig, limits: MotionLimits) -> PoseSolver | None:
    """Keeps within `limits`; None when the settings want no poses. Raises ConfigError when its packages are missing."""
    if config.follow == "joints" and not config.teleop_poses:
        return None
    try:
        # Here, since mink and MuJoCo take time and memory that an executor of joints does not need.
        from clwm_sai_executor.path.inverse_kinematics import DualArmInverseKinematics
    except ImportError as error:
        wish = "follow is 'poses'" if config.follow == "poses" else "teleop_poses is true"
        raise ConfigError(f"{wish}, which needs mink, mujoco and daqp ({error}); install them, or use joints") from None
    return DualArmInverseKinematics(robot, limits)
