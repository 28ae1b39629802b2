"""Inverse kinematics of one arm by mink: a pose of the tool centre point in, joints near the given ones out."""

from __future__ import annotations

import mink
import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.description import Arm, RobotDescription
from clwm_sim.scenes.workcell import arm_model

POSTURE_COST = 1e-3  # keeps the elbow where home has it, so that joints depend on the pose and not on the path
ITERATIONS = 2


class ArmInverseKinematics:
    """Solves for one arm; poses are mink.SE3 in the world frame."""

    def __init__(self, robot: RobotDescription, arm: Arm) -> None:
        model, limits = arm_model(robot.tool), robot.limits
        self._configuration = mink.Configuration(model)
        self._base = mink.SE3.from_matrix(arm.base)
        self._from_world = self._base.inverse()
        self._frame = mink.FrameTask("tcp", "site", position_cost=1.0, orientation_cost=0.3)
        self._posture = mink.PostureTask(model, cost=POSTURE_COST)
        self._posture.set_target(self._full(arm.home))
        # A little inside, so that noise and rounding stay within the limits proper.
        self._lower = np.maximum(limits.position_lower, model.jnt_range[:7, 0]) + 0.02
        self._upper = np.minimum(limits.position_upper, model.jnt_range[:7, 1]) - 0.02

    def pose(self, joints: NDArray) -> mink.SE3:
        """World pose of the tool centre point for joints (7,) in rad."""
        self._configuration.update(self._full(joints))
        return self._base @ self._configuration.get_transform_frame_to_world("tcp", "site")

    def solve(self, target: mink.SE3, near: NDArray) -> NDArray[np.float64]:
        """Joints (7,) in rad that bring the tool centre point to `target`, starting the search at `near` (7,)."""
        self._configuration.update(self._full(near))
        self._frame.set_target(self._from_world @ target)
        for _ in range(ITERATIONS):
            velocity = mink.solve_ik(
                self._configuration, [self._frame, self._posture], dt=1.0, solver="daqp", damping=1e-9, limits=[]
            )
            self._configuration.integrate_inplace(velocity, 1.0)
        return np.clip(self._configuration.q[:7], self._lower, self._upper)

    def _full(self, joints: object) -> NDArray[np.float64]:
        return np.concatenate([np.asarray(joints, dtype=np.float64), np.zeros(2)])
