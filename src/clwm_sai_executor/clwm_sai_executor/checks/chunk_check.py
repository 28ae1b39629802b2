"""All rules for a chunk in their order: what comes out may be followed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import GRIPPERS, JOINTS, POSES, ROW_DT
from clwm_common.messages import ActionChunk, ChunkRequest
from clwm_common.robot.description import RobotDescription
from clwm_sai_executor.checks import chunk_rules as rules
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.path.pose_solver import PoseSolver

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CheckedRows:
    """The rows after the committed prefix: joints (n, 14) rad, openings (n, 2) m; and what was counted on the way."""

    joints: Array
    openings: Array
    counts: Counter[str]


class ChunkCheck:
    """Checks chunks against requests with the robot's ranges. Where the path may go is for `path_check.py` to say."""

    def __init__(self, robot: RobotDescription, config: SchedulerConfig, solver: PoseSolver | None = None) -> None:
        """solver: makes joints of poses; without one only joints can be followed."""
        self._config = config
        self._solver = solver
        self._jerk = robot.limit("jerk")
        self._masked = np.delete(np.arange(len(self._jerk)), robot.channels)
        self._lowest = np.array([arm.gripper.opening_min for arm in robot.arms])
        self._highest = np.array([arm.gripper.opening_max for arm in robot.arms])

    def check(self, now: float, chunk: ActionChunk, request: ChunkRequest) -> CheckedRows:
        """Raises ChunkRefused for what must not move the arms, ChunkStale for what is too old to."""
        config, name = self._config, f"chunk {chunk.chunk_id}"
        committed, prefix = request.committed_prefix, len(request.committed_prefix)
        rules.require_layout(chunk.layout_version, name)
        rules.require_shape(chunk.rows, name)
        rows = rules.require_finite(chunk.rows, name)
        rules.require_row_time(chunk.dt, ROW_DT, name)
        rules.require_fresh(chunk, request.observe_at, now, config.observation_age)
        rules.require_prefix(rows, chunk.prefix_rows, committed, config.prefix_tolerance, name)
        poses, bent = rules.normalise_quaternions(rows[:, POSES].reshape(-1, 2, 7), name)
        # The knots before row `prefix` are sent as committed, so the first step is measured from there.
        start = committed[prefix - 1, JOINTS].astype(np.float64)
        wanted, missed = rows[prefix:, JOINTS], 0
        if config.follow == "poses":
            wanted, missed = self._joints_of(poses[prefix:], start, prefix, name)
        wanted[:, self._masked] = start[self._masked]
        joints = np.concatenate([start[None], wanted])
        rules.require_steps(joints, config.refuse_step, prefix, name)
        rough = rules.limit_jerk(joints, self._jerk, config.refuse_jerk, ROW_DT, name)
        openings, clamped = rules.clamp_openings(
            rows[prefix:, GRIPPERS], self._lowest, self._highest, config.refuse_opening, name
        )
        counts = Counter(missed_poses=missed, rough_rows=rough, clamped_quaternions=bent, clamped_openings=clamped)
        return CheckedRows(wanted, openings, counts)

    def _joints_of(self, poses: Array, start: Array, first_row: int, name: str) -> tuple[Array, int]:
        """Joints (n, 14) after `start` (14,) for poses (n, 2, 7), and how many of these they miss."""
        assert self._solver is not None
        joints, residuals = self._solver.rows(start, poses)
        tolerance = (self._config.pose_tolerance, self._config.rotation_tolerance)
        gross = (self._config.refuse_pose, self._config.refuse_rotation)
        return joints, rules.count_missed_poses(residuals, tolerance, gross, first_row, name)
