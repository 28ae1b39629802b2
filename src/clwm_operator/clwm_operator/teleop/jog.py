"""What a hand on a page or a gamepad asks of the arms: directions in, joints out. No clock, no ROS, no browser."""

from __future__ import annotations

import math
from typing import Annotated, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics

Array = NDArray[np.float64]
Share = Annotated[float, Field(ge=-1.0, le=1.0, allow_inf_nan=False)]

LINEAR_SPEED = 0.10  # m/s, of the tool at full deflection
ANGULAR_SPEED = 0.5  # rad/s
JOINT_SPEED = 0.4  # rad/s
OPENING_SPEED = 0.08  # m/s
LARGEST_LEAD = 0.2  # rad that the wish may be ahead of the arms: what holds them up must not wind it up
SILENCE = 0.25  # s without a word of the hand after which the switch counts as released; a page sends every 0.05 s
STALEST_SIGHT = 0.6  # s that what the hand has seen may be old
_DAMPING = 0.05  # of the inverse Jacobian, so that a stretched arm does not race
_SHARE = 0.5  # of the joints' speed limits
_LONGEST_STEP = 0.1  # s that one step may count for


class Word(Protocol):
    """What a hand says. dead_man: the enabling switch is held. seen: when the hand saw what it answers to."""

    @property
    def dead_man(self) -> bool: ...

    @property
    def seen(self) -> float: ...


class Hand(BaseModel):
    """One word of a hand that says directions. dead_man: the enabling switch is held. arm: 0 left, 1 right.

    linear, angular: of the tool along and about x, y, z of the world; joint: of `joint_number` (0 to 6); opening: of
    the gripper; all as shares of the full speed, -1 to 1. seen: `at` of the newest state that the page has shown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dead_man: bool
    arm: int = Field(default=0, ge=0, le=1)
    linear: tuple[Share, Share, Share] = (0.0, 0.0, 0.0)
    angular: tuple[Share, Share, Share] = (0.0, 0.0, 0.0)
    joint_number: int = Field(default=0, ge=0, le=6)
    joint: Share = 0.0
    opening: Share = 0.0
    seen: float = Field(allow_inf_nan=False)


class DeadMan:
    """The switch as it arrives over a network: held only while fresh words say so, of a hand that sees fresh states."""

    def __init__(self) -> None:
        self.word: Word | None = None
        self._heard_at = -math.inf

    def hear(self, now: float, word: Word) -> None:
        """A word has arrived at `now`, on the clock of `Word.seen`."""
        self.word, self._heard_at = word, now

    def release(self) -> None:
        """Whatever was heard, the switch is not held until another word comes."""
        self.word = None

    def held(self, now: float) -> Word | None:
        """What the hand asks for while it holds the switch; None while it does not."""
        word = self.word
        is_fresh = now - self._heard_at <= SILENCE
        if word is None or not word.dead_man or not is_fresh or not 0.0 <= now - word.seen <= STALEST_SIGHT:
            return None
        return word


class Jog:
    """Integrates a hand's wishes from where the arms are. joints: (14,) rad, openings: (2,) m, left first."""

    def __init__(self, robot: RobotDescription) -> None:
        """Raises RobotError when the robot's URDF is missing."""
        self._kinematics, self._arm_joints = DualArmKinematics(robot), len(robot.left.joint_names)
        self._lower, self._upper = robot.limit("position_lower"), robot.limit("position_upper")
        self._fastest = _SHARE * robot.limit("velocity")
        self._narrowest = np.array([arm.gripper.opening_min for arm in robot.arms])
        self._widest = np.array([arm.gripper.opening_max for arm in robot.arms])
        self.joints, self.openings = np.zeros(14), np.zeros(2)

    def obstacle(self, hand: Hand, measured: Array) -> str:
        """None: directions begin where the arms are."""
        return ""

    def begin(self, hand: Hand, joints: Array, openings: Array) -> None:
        """From arms that are here, whatever the hand says."""
        self.joints, self.openings = joints.copy(), openings.copy()

    def step(self, dt: float, hand: Hand, measured: Array) -> None:
        """Move the wish on by `dt` s; measured: joints (14,) of the arms, which it does not run away from."""
        dt = min(max(dt, 0.0), _LONGEST_STEP)
        arm = slice(7 * hand.arm, 7 * hand.arm + 7)
        speed = self._speed(hand)
        fastest = np.abs(speed) / self._fastest[arm]
        speed = speed / max(1.0, float(fastest.max()))
        wished = self.joints.copy()
        wished[arm] = np.clip(wished[arm] + speed * dt, self._lower[arm], self._upper[arm])
        lead = np.abs(wished - measured)
        if (lead <= np.maximum(LARGEST_LEAD, np.abs(self.joints - measured))).all():
            self.joints = wished
        opening = self.openings[hand.arm] + hand.opening * OPENING_SPEED * dt
        self.openings[hand.arm] = np.clip(opening, self._narrowest[hand.arm], self._widest[hand.arm])

    def _speed(self, hand: Hand) -> Array:
        """Of the arm's joints (7,) [rad/s]."""
        wanted = np.concatenate([LINEAR_SPEED * np.array(hand.linear), ANGULAR_SPEED * np.array(hand.angular)])
        jacobian = self._kinematics.jacobians(self.joints)[hand.arm]
        damped = jacobian @ jacobian.T + _DAMPING**2 * np.eye(6)
        speed = jacobian.T @ np.linalg.solve(damped, wanted)
        if hand.joint_number < self._arm_joints:
            speed[hand.joint_number] += JOINT_SPEED * hand.joint
        return speed
