"""Scripted experts that solve the tasks from the true state, closed loop: every row is decided from what is there now.

They keep no timers. Which phase an arm is in follows from its tool centre point, its measured opening and the opening
it was last told, so that a policy that sees pictures and joint state can predict what they do; and an object that
slips or is pushed away is simply approached again.
"""

from __future__ import annotations

import mink
import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import GRIPPERS, JOINTS, ROW_DT
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sim.experts.imagination import next_situation
from clwm_sim.experts.inverse_kinematics import ArmInverseKinematics
from clwm_sim.experts.motion import (
    ACCELERATION,
    CLOSED,
    HOMING_RATE,
    HOMING_SPEED,
    IDLE_NOISE,
    OPEN,
    TURN_ACCELERATION,
    TURN_SPEED,
    Aim,
    above,
    displaced,
    towards,
)
from clwm_sim.scenes.task_table import BLOCK_HALF, GRASP_HEIGHT, HANDLE_HALF
from clwm_sim.shipped_tasks import TableSituation
from clwm_sim.shipped_tasks.remember_side import hover_point, is_choice
from clwm_sim.world import World

AT_GRASP = 0.009  # m from the grasp point within which fingers close
LOST_GRASP = 0.035  # m beyond which closed fingers have missed
LIFT_SPEED = 0.14
LIFT_TARGET = 0.115  # m of the tray's underside
CARRY_HEIGHT = 0.075  # m of the block's centre
_DOWN = np.diag([1.0, -1.0, -1.0])


class Expert:
    """Expert for the world's present task: `start` after every reset, then one `next_row` per 0.05 s."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._arms = [ArmInverseKinematics(world.robot, arm) for arm in world.robot.arms]
        self._kinematics = DualArmKinematics(world.robot)
        self.start()

    def start(self) -> NDArray[np.float32]:
        """Forget the last episode; returns the row (30,) in force at the reset."""
        joints, widths = self._world.setpoint()
        self.velocity = np.zeros((2, 6))
        now = self._world.table()
        self._active = now.asked_arm if now.asked_arm is not None else 0 if now.block_position[1] > 0.0 else 1
        self.noise_tolerance = np.ones(2)
        return self._kinematics.row(joints, widths)

    def plan(self, row: NDArray, now: TableSituation, velocity: NDArray, rows: int) -> NDArray[np.float32]:
        """What it would command from `now` on if all went well and nothing disturbed it: (rows, 30), the first `row`.

        velocity: (2, 6) twist its commands moved with at that time. Does not touch the world or the expert's state.
        """
        own = self.velocity, self.noise_tolerance
        self.velocity = velocity
        planned = [np.asarray(row, dtype=np.float32)]
        while len(planned) < rows:
            planned.append(self.next_row(planned[-1], now))
            now = next_situation(now, planned[-2], self._tcp(planned[-1]))
        self.velocity, self.noise_tolerance = own
        return np.stack(planned)

    def next_row(self, row: NDArray, now: TableSituation | None = None) -> NDArray[np.float32]:
        """The row (30,) for one row time after now, `row` (30,) being the command in force now.

        Looks at the world unless it is told the situation.
        """
        now = self._world.table() if now is None else now
        goals = _GOALS[self._world.task.name](now, row[GRIPPERS], self._tcp(row), self._active)
        self.velocity, self.noise_tolerance = self.velocity.copy(), self.noise_tolerance.copy()
        joints = np.array(row[JOINTS], dtype=np.float64)
        widths = np.array(row[GRIPPERS], dtype=np.float64)
        for arm, goal in enumerate(goals):
            own = slice(7 * arm, 7 * arm + 7)
            widths[arm] = OPEN if goal is None else goal.width
            self.noise_tolerance[arm] = IDLE_NOISE if goal is None else goal.noise
            if goal is None:
                away = self._world.robot.home[own] - joints[own]
                joints[own] += np.clip(HOMING_RATE * away, -HOMING_SPEED, HOMING_SPEED) * ROW_DT
                continue
            pose = self._arms[arm].pose(joints[own])
            joints[own] = self._arms[arm].solve(self._approach(arm, pose, goal), joints[own])
        return self._kinematics.row(joints, widths)

    def displaced(self, row: NDArray, shift: NDArray, turn: NDArray) -> NDArray[np.float32]:
        """`row` (30,) with the tool centre points moved by shift (2, 3) in m and turned by turn (2, 3) in rad."""
        return displaced(self._arms, self._kinematics, row, shift, turn)

    def row_of(self, joints: NDArray, widths: NDArray) -> NDArray[np.float32]:
        """The row (30,) of joints (14,) and openings (2,)."""
        return self._kinematics.row(joints, widths)

    def _tcp(self, row: NDArray) -> NDArray[np.float64]:
        return np.array([row[0:3], row[7:10]], dtype=np.float64)

    def _approach(self, arm: int, pose: mink.SE3, goal: Aim) -> mink.SE3:
        """One row time towards the goal along a straight line, with bounded speed and acceleration."""
        wanted = mink.SO3.from_z_radians(goal.yaw) @ mink.SO3.from_matrix(_DOWN)
        turn = (wanted @ pose.rotation().inverse()).log()
        linear = towards(self.velocity[arm, :3], goal.position - pose.translation(), goal.speed, ACCELERATION)
        angular = towards(self.velocity[arm, 3:], turn, TURN_SPEED, TURN_ACCELERATION)
        self.velocity[arm] = np.concatenate([linear, angular])
        return mink.SE3.from_rotation_and_translation(
            mink.SO3.exp(angular * ROW_DT) @ pose.rotation(), pose.translation() + linear * ROW_DT
        )


def _grasp(point: NDArray, yaw: float, tcp: NDArray, told: float, width: float, full: float) -> tuple[Aim, bool]:
    """Approach `point`, close there; the flag says whether something of about `full` m is between the fingers."""
    away = float(np.linalg.norm(point - tcp))
    if told > 0.5 * OPEN and away > AT_GRASP:
        noise = float(np.clip((away - 0.03) / 0.08, 0.15, 1.0))
        return Aim(above(point, tcp), yaw, OPEN, noise=noise), False
    if told < 0.5 * OPEN and (away > LOST_GRASP or width < 0.5 * full):
        return Aim(above(point, tcp), yaw, OPEN, noise=0.0), False
    return Aim(tcp, yaw, CLOSED, noise=0.0), width < full + 0.004


def _lift_tray(now: TableSituation, told: NDArray, tcp: NDArray, _active: int) -> list[Aim | None]:
    yaw = float(np.arctan2(now.tray_rotation[1, 0], now.tray_rotation[0, 0]))
    thickness = 2.0 * HANDLE_HALF[1]
    goals, held = [], []
    for arm in range(2):
        goal, is_held = _grasp(now.handles[arm], yaw, tcp[arm], told[arm], now.widths[arm], thickness)
        goals.append(goal)
        held.append(is_held)
    if not all(held):
        return goals
    # Straight up together; a hand that is higher than the other rises a little less, which keeps the tray level.
    height = now.handles[:, 2]
    lifts = LIFT_TARGET + GRASP_HEIGHT - height.mean() - 0.3 * (height - height.mean())
    return [Aim(tcp[arm] + [0.0, 0.0, lifts[arm]], yaw, CLOSED, speed=LIFT_SPEED, noise=0.0) for arm in range(2)]


def _place_block(now: TableSituation, told: NDArray, tcp: NDArray, active: int) -> list[Aim | None]:
    goals: list[Aim | None] = [None, None]
    goals[active] = _place_with(now, float(told[active]), tcp[active], float(now.widths[active]))
    return goals


def _place_with(now: TableSituation, told: float, tcp: NDArray, width: float) -> Aim:
    block, pad = now.block_position, now.pad_position
    off_pad = float(np.hypot(*(block[:2] - pad[:2])))
    is_low = block[2] < BLOCK_HALF + 0.006
    yaw = float(np.arctan2(now.block_rotation[1, 0], now.block_rotation[0, 0]))
    yaw = (yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4  # a cube looks the same after a quarter turn
    released = told > 0.5 * OPEN
    if is_low and off_pad < (0.025 if released else 0.010):
        if width < 0.9 * OPEN and np.hypot(*(tcp[:2] - block[:2])) < 0.03:
            return Aim(tcp, yaw, OPEN, noise=0.0)
        return Aim(np.array([*tcp[:2], 0.20]), yaw, OPEN, speed=0.25, noise=0.3)
    goal, is_held = _grasp(block, yaw, tcp, told, width, 2.0 * BLOCK_HALF)
    if not is_held:
        return goal
    # Over the pad at carrying height, then down; the hand moves by what the block lacks.
    lift = CARRY_HEIGHT - BLOCK_HALF
    target = above(np.array([pad[0], pad[1], BLOCK_HALF]), block, hover=lift, inner=0.006, outer=0.03)
    clearance = np.clip((block[2] - BLOCK_HALF) / (0.5 * lift), 0.0, 1.0)
    step = target - block
    if off_pad > 0.03:
        step[:2] *= clearance
    return Aim(tcp + step, yaw, CLOSED, speed=0.28, noise=0.3 if off_pad > 0.05 and clearance > 0.9 else 0.0)


def _remember_side(now: TableSituation, told: NDArray, tcp: NDArray, active: int) -> list[Aim | None]:
    goals: list[Aim | None] = [None, None]
    if is_choice(now.pad_position):
        goals[active] = Aim(hover_point(now.pad_position), 0.0, OPEN)
    return goals


_GOALS = {"lift_tray": _lift_tray, "place_block": _place_block, "remember_side": _remember_side}
