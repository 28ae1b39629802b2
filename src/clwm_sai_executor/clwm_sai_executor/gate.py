"""All rules for a chunk in their order: what comes out may be followed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import GRIPPERS, JOINTS, ROW_DT
from clwm_common.messages import ActionChunk, ChunkRequest
from clwm_common.robot import RobotDescription
from clwm_sai_executor import rules
from clwm_sai_executor.config import SchedulerConfig

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Passed:
    """The rows after the committed prefix: joints (n, 14) rad, openings (n, 2) m; and what was counted on the way."""

    joints: Array
    openings: Array
    counts: Counter[str]


class Gate:
    """Checks chunks against requests with the robot's ranges. Where the path may go is for `guard.py` to say."""

    def __init__(self, robot: RobotDescription, config: SchedulerConfig) -> None:
        self._config = config
        self._jerk = robot.limit("jerk")
        self._lowest = np.array([arm.gripper.opening_min for arm in robot.arms])
        self._highest = np.array([arm.gripper.opening_max for arm in robot.arms])

    def check(self, now: float, chunk: ActionChunk, request: ChunkRequest) -> Passed:
        """Raises ChunkRefused for what must not move the arms, ChunkStale for what is too old to."""
        config, name = self._config, f"chunk {chunk.chunk_id}"
        committed, prefix = request.committed_prefix, len(request.committed_prefix)
        rules.require_layout(chunk.layout_version, name)
        rules.require_shape(chunk.rows, name)
        rows = rules.require_finite(chunk.rows, name)
        rules.require_row_time(chunk.dt, ROW_DT, name)
        rules.require_fresh(chunk, request.observe_at, now, config.observation_age)
        rules.require_prefix(rows, chunk.prefix_rows, committed, config.prefix_tolerance, name)
        # The knots before row `prefix` are sent as committed, so the first step is measured from there.
        joints = np.concatenate([committed[prefix - 1 : prefix, JOINTS], rows[prefix:, JOINTS]])
        rules.require_steps(joints, config.refuse_step, prefix, name)
        rough = rules.limit_jerk(joints, self._jerk, config.refuse_jerk, ROW_DT, name)
        rows, bent = rules.normalise_quaternions(rows, name)
        openings, clamped = rules.clamp_openings(
            rows[prefix:, GRIPPERS], self._lowest, self._highest, config.refuse_opening, name
        )
        counts = Counter(rough_rows=rough, clamped_quaternions=bent, clamped_openings=clamped)
        return Passed(rows[prefix:, JOINTS], openings, counts)
