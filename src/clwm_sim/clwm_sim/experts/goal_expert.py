"""Turns a goal's aims into rows: every row is decided from what is there now, and moves as far as its limits allow.

It keeps no timers. Which phase an arm is in follows from its tool centre point, its measured opening and the opening
it was last told, so that a policy that sees pictures and joint state can predict what it does; and a thing that slips
or is pushed away is simply approached again.
"""

from __future__ import annotations

from typing import Protocol

import mink
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from clwm_common.actions import GRIPPERS, JOINTS, LEFT_QUATERNION, RIGHT_QUATERNION, ROW_DT
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sim.experts.foresight import next_situation
from clwm_sim.experts.inverse_kinematics import ArmInverseKinematics
from clwm_sim.experts.motion import (
    ACCELERATION,
    HOMING_RATE,
    HOMING_SPEED,
    IDLE_NOISE,
    OPEN,
    REACH,
    TURN_ACCELERATION,
    TURN_SPEED,
    Aim,
    View,
    displaced,
    fingers_down,
    towards,
)
from clwm_sim.scenes.things import Layout
from clwm_sim.situation import Situation

MOST_SPEED = 0.7  # of the joints' velocity limits


class Pursuit(Protocol):
    """What an expert can do: a goal, or a retreat from one."""

    def aims(self, view: View) -> list[Aim | None]:
        """Where the hands ought to go now, left first; None sends an arm home."""


class GoalExpert:
    """Expert for any goal: `start` where it takes over, then one `next_row` per 0.05 s."""

    def __init__(self, robot: RobotDescription) -> None:
        self._robot = robot
        self._arms = [ArmInverseKinematics(robot, arm) for arm in robot.arms]
        self._bases = np.array([arm.base_position[:2] for arm in robot.arms])
        self._kinematics = DualArmKinematics(robot)
        self._max_step = MOST_SPEED * np.asarray(robot.limits.velocity) * ROW_DT
        self.start()

    def start(self) -> None:
        """Forget the last episode; arms are at rest."""
        self.velocity = np.zeros((2, 6))
        self.noise_tolerance = np.ones(2)

    def row_of(self, joints: NDArray, widths: NDArray) -> NDArray[np.float32]:
        """The row (30,) of joints (14,) and openings (2,)."""
        return self._kinematics.row(joints, widths)

    def next_row(self, row: NDArray, goal: Pursuit, layout: Layout, now: Situation) -> NDArray[np.float32]:
        """The row (30,) for one row time after now, `row` (30,) being the command in force now."""
        aims = goal.aims(self.view(row, layout, now))
        self.velocity, self.noise_tolerance = self.velocity.copy(), self.noise_tolerance.copy()
        joints = np.array(row[JOINTS], dtype=np.float64)
        widths = np.array(row[GRIPPERS], dtype=np.float64)
        for arm, aim in enumerate(aims):
            own = slice(7 * arm, 7 * arm + 7)
            widths[arm] = OPEN if aim is None else aim.width
            self.noise_tolerance[arm] = IDLE_NOISE if aim is None else aim.noise
            if aim is None:
                away = self._robot.home[own] - joints[own]
                joints[own] += np.clip(HOMING_RATE * away, -HOMING_SPEED, HOMING_SPEED) * ROW_DT
                self.velocity[arm] = 0.0
                continue
            pose = self._arms[arm].pose(joints[own])
            target = self._approach(arm, pose, aim, now.table_height)
            if np.abs(self.velocity[arm]).max() > 1e-6:
                # Where an arm is nearly stretched a small step of the hand may be a leap of its joints.
                step = self._arms[arm].solve(target, joints[own]) - joints[own]
                joints[own] += np.clip(step, -self._max_step, self._max_step)
        return self._kinematics.row(joints, widths)

    def view(self, row: NDArray, layout: Layout, now: Situation) -> View:
        """What a goal decides from when `row` (30,) is in force."""
        tcp = np.array([row[0:3], row[7:10]], dtype=np.float64) - [0.0, 0.0, now.table_height]
        hands = Rotation.from_quat([row[LEFT_QUATERNION], row[RIGHT_QUATERNION]]).as_matrix()
        return View(now, layout, tcp, np.array(row[GRIPPERS], dtype=np.float64), self._bases, hands)

    def plan(
        self, row: NDArray, goal: Pursuit, layout: Layout, now: Situation, velocity: NDArray, rows: int
    ) -> NDArray[np.float32]:
        """What it would command from `now` on if all went well and nothing disturbed it: (rows, 30), the first `row`.

        velocity: (2, 6) twist its commands moved with at that time. Does not touch the expert's state.
        """
        own = self.velocity, self.noise_tolerance
        self.velocity = velocity
        planned = [np.asarray(row, dtype=np.float32)]
        while len(planned) < rows:
            planned.append(self.next_row(planned[-1], goal, layout, now))
            now = next_situation(now, layout, planned[-2], planned[-1])
        self.velocity, self.noise_tolerance = own
        return np.stack(planned)

    def displaced(self, row: NDArray, shift: NDArray, turn: NDArray) -> NDArray[np.float32]:
        """`row` (30,) with the tool centre points moved by shift (2, 3) in m and turned by turn (2, 3) in rad."""
        return displaced(self._arms, self._kinematics, row, shift, turn)

    def _approach(self, arm: int, pose: mink.SE3, aim: Aim, table_height: float) -> mink.SE3:
        """One row time towards the aim, which is over the table, along a straight line, with bounded speed and
        acceleration.
        """
        wanted = pose.rotation()
        if aim.yaw is not None:
            wanted = mink.SO3.from_matrix(fingers_down(aim.yaw))
        turn = (wanted @ pose.rotation().inverse()).log()
        offset = self._within_reach(arm, aim.position) + [0.0, 0.0, table_height] - pose.translation()
        linear = towards(self.velocity[arm, :3], offset, aim.speed, ACCELERATION)
        angular = towards(self.velocity[arm, 3:], turn, TURN_SPEED, TURN_ACCELERATION)
        self.velocity[arm] = np.concatenate([linear, angular])
        return mink.SE3.from_rotation_and_translation(
            mink.SO3.exp(angular * ROW_DT) @ pose.rotation(), pose.translation() + linear * ROW_DT
        )

    def _within_reach(self, arm: int, point: NDArray) -> NDArray[np.float64]:
        """The point, or the nearest one over the table that the arm reaches: solving beyond it diverges."""
        away = point[:2] - self._bases[arm]
        distance = float(np.hypot(*away))
        if distance <= REACH:
            return point
        return np.array([*(self._bases[arm] + away * REACH / distance), point[2]])
