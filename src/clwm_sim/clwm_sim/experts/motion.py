"""Where hands ought to go, and how fast they may: the pieces that all experts' motions are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import mink
import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import GRIPPERS, JOINTS, ROW_DT
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sim.experts.inverse_kinematics import ArmInverseKinematics
from clwm_sim.scenes.things import Layout
from clwm_sim.situation import Situation

OPEN, CLOSED = 0.08, 0.0
SPEED, ACCELERATION = 0.35, 1.1  # m/s, m/s^2 of the tool centre point
TURN_SPEED, TURN_ACCELERATION = 1.2, 4.0  # rad/s, rad/s^2
HOVER = 0.10  # m above the grasp from where the last approach goes straight down
HOMING_RATE, HOMING_SPEED = 2.0, 0.3  # 1/s, rad/s of an idle arm, which always drifts back to home
IDLE_NOISE = 0.5  # how much disturbance an idle arm tolerates, 0..1
TURNED = 0.15  # rad off the wanted turn of a hand within which its fingers go down around a thing
MOST_DISPLACED = 0.035  # rad; on top of an expert's step it stays within what joints can do in a row time
REACH = 0.785  # m from an arm's base over the table; at 0.80 m the elbow is straight when the fingers point down


def fingers_down(yaw: float) -> NDArray[np.float64]:
    """Rotation (3, 3) of a hand that points down; at yaw 0 its fingers open along y, as at home."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, s, 0.0], [s, -c, 0.0], [0.0, 0.0, -1.0]])


@dataclass(frozen=True)
class Aim:
    """Where an arm ought to go now, fingers down; at yaw 0 they open along y, as at home.

    yaw: None keeps the hand turned as it is. noise: 0..1, how much disturbance the moment tolerates.
    """

    position: NDArray[np.float64]  # (3,)
    yaw: float | None
    width: float
    speed: float = SPEED
    noise: float = 1.0


@dataclass(frozen=True)
class View:
    """What an expert decides from: the world now, and the command in force, left hand first.

    tcp: (2, 3) m; told: (2,) m of opening; bases: (2, 2) m, the arms' bases in the table's plane; hands: (2, 3, 3), how
    they are turned, fingers down at yaw 0 unless it is said.
    """

    now: Situation
    layout: Layout
    tcp: NDArray[np.float64]
    told: NDArray[np.float64]
    bases: NDArray[np.float64]
    hands: NDArray[np.float64] = field(default_factory=lambda: np.stack([fingers_down(0.0)] * 2))

    def off_turn(self, arm: int, yaw: float) -> float:
        """Angle, rad, by which a hand is turned away from fingers down at this yaw."""
        return float(np.arccos(np.clip((np.trace(self.hands[arm].T @ fingers_down(yaw)) - 1.0) / 2.0, -1.0, 1.0)))

    def reaches(self, arm: int, point: NDArray) -> bool:
        """Whether an arm gets to a point near the table with its fingers down."""
        return bool(np.hypot(*(point[:2] - self.bases[arm])) < REACH)


def stay(view: View, arm: int) -> Aim:
    """Stop as soon as the acceleration allows, the hand as it is."""
    return Aim(view.tcp[arm], None, float(view.told[arm]), noise=0.0)


def towards(velocity: NDArray, offset: NDArray, speed: float, acceleration: float) -> NDArray[np.float64]:
    """Velocity of the next row time: along `offset`, slow enough to stop there, changed by a bounded acceleration."""
    distance = float(np.linalg.norm(offset))
    if distance < 1e-9:
        wanted = np.zeros(3)
    else:
        # Half the acceleration for braking: the bound on the change applies to the vector, also when it turns.
        braking = np.sqrt(acceleration * distance)
        wanted = offset / distance * min(speed, braking, 0.5 * distance / ROW_DT)
    change = wanted - velocity
    size = float(np.linalg.norm(change))
    return velocity + change * min(1.0, acceleration * ROW_DT / max(size, 1e-9))


def above(
    point: NDArray, tcp: NDArray, hover: float = HOVER, inner: float = 0.012, outer: float = 0.05, off_turn: float = 0.0
) -> NDArray:
    """A funnel: `point` itself when the tool centre point is over it, up to `hover` higher when it is not.

    off_turn: rad by which the hand is not turned yet as it shall be there, which keeps it up too.
    """
    away = np.hypot(*(point[:2] - tcp[:2]))
    share = max((away - inner) / (outer - inner), (off_turn - TURNED) / TURNED)
    return point + [0.0, 0.0, hover * np.clip(share, 0.0, 1.0)]


def displaced(
    arms: Sequence[ArmInverseKinematics], kinematics: DualArmKinematics, row: NDArray, shift: NDArray, turn: NDArray
) -> NDArray[np.float32]:
    """`row` (30,) with the tool centre points moved by shift (2, 3) in m and turned by turn (2, 3) in rad, as far as no
    joint goes further than `MOST_DISPLACED`.
    """
    joints = np.array(row[JOINTS], dtype=np.float64)
    for arm in range(2):
        if not (shift[arm].any() or turn[arm].any()):
            continue
        own = slice(7 * arm, 7 * arm + 7)
        pose = arms[arm].pose(joints[own])
        moved = mink.SE3.from_rotation_and_translation(
            mink.SO3.exp(turn[arm]) @ pose.rotation(), pose.translation() + shift[arm]
        )
        step = arms[arm].solve(moved, joints[own]) - joints[own]
        joints[own] += np.clip(step, -MOST_DISPLACED, MOST_DISPLACED)
    return kinematics.row(joints, row[GRIPPERS])
