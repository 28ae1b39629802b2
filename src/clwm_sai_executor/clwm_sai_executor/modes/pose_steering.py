"""A human's poses of the tool centre points -> joints, as near to them as the arms come."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clwm_sai_executor.checks import chunk_rules as rules
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.path.pose_solver import PoseSolver

Array = NDArray[np.float64]


class PoseSteering:
    """Poses out of reach are followed as near as the arms come; what is refused are leaps."""

    def __init__(self, solver: PoseSolver, config: SchedulerConfig) -> None:
        self._solver = solver
        self._largest_step = (config.refuse_pose, config.refuse_rotation)
        self._posture, self._poses, self._is_asked = np.zeros(14), np.zeros((2, 7)), np.zeros(2, np.bool_)

    def begin(self, joints: Array) -> None:
        """From joints (14,), whose posture the elbows keep: when a hand comes back, so does its elbow."""
        self._posture, self._is_asked = joints, np.zeros(2, np.bool_)

    def joints(self, before: Array, poses: Array, is_asked: NDArray[np.bool_], name: str) -> Array:
        """Joints (14,) that follow `before` (14,), the last ones asked for; an arm without a pose keeps these.

        poses: (2, 7) xyz [m] and quaternion xyzw in the world frame, of the arms that `is_asked` (2,) marks. Raises
        ChunkRefused for a pose far from the one before it, or from the arm when it was not led by poses before.
        """
        was_asked, self._is_asked = self._is_asked, is_asked
        if not is_asked.any():
            return before
        reached = self._solver.poses(before)
        last = np.where(was_asked[:, None], self._poses, reached)
        self._poses, _ = rules.normalise_quaternions(np.where(is_asked[:, None], poses, reached), name)
        rules.require_pose_steps(last[is_asked], self._poses[is_asked], self._largest_step, name)
        rows, _ = self._solver.rows(before, self._poses[None], self._posture)
        return np.where(np.repeat(is_asked, 7), rows[0], before)
