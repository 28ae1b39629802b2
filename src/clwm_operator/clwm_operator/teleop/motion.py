"""What a human at a terminal asks the arms for: joints or poses in, joints or poses out. No ROS, clock or terminal."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Key of a joint that increases it, and below it on the keyboard the one that decreases it.
JOINT_KEYS = {key: (joint, sign) for keys, sign in (("qwertyu", 1), ("asdfghj", -1)) for joint, key in enumerate(keys)}
# Axes of the world: 0 to 2 go along x (forward), y (left) and z (up), 3 to 5 turn about them.
TOOL_KEYS = {key: (axis, sign) for keys, sign in (("warytq", 1), ("sdfhge", -1)) for axis, key in enumerate(keys)}
OPENING_KEYS = {"o": 1, "c": -1}
HELD = 0.6  # s that a key counts as held; terminals tell no release, and repeat a held key after up to 0.5 s
JOINT_STEP = 0.01  # rad a key press
POSITION_STEP = 0.005  # m a key press
ROTATION_STEP = 0.02  # rad a key press
OPENING_STEP = 0.01  # m a key press
OPENING_LEAD = 0.03  # m that a wish is ahead of a hand, whose range nobody here knows: the executor keeps to it


@dataclass
class KeyboardHand:
    """The keys of one arm at a time; any key holds the dead-man switch, Tab chooses the other arm.

    wish: what `JointKeys` or `ToolKeys` change; openings: (2,) m; measured_openings: (2,) m, kept up to date by whoever
    measures.
    """

    wish: Array
    openings: Array
    measured_openings: Array
    arm: int = 0
    _pressed_at: float = -math.inf

    def press(self, now: float, key: str) -> None:
        """A key was pressed, or repeated by the terminal, at `now` s."""
        self._pressed_at = now
        if key == "\t":
            self.arm = 1 - self.arm
        elif key in OPENING_KEYS:
            wish = self.openings[self.arm] + OPENING_KEYS[key] * OPENING_STEP
            measured = self.measured_openings[self.arm]
            self.openings[self.arm] = max(0.0, min(max(wish, measured - OPENING_LEAD), measured + OPENING_LEAD))
        else:
            self._move(key)

    def is_held(self, now: float) -> bool:
        """Whether the dead-man switch is held at `now` s."""
        return now - self._pressed_at <= HELD

    def _move(self, key: str) -> None:
        raise NotImplementedError


class JointKeys(KeyboardHand):
    """wish: joints (14,) rad, left arm first."""

    def _move(self, key: str) -> None:
        if key in JOINT_KEYS:
            joint, sign = JOINT_KEYS[key]
            self.wish[7 * self.arm + joint] += sign * JOINT_STEP


class ToolKeys(KeyboardHand):
    """wish: poses (2, 7) of the tool centre points, xyz [m] and quaternion xyzw in the world, left arm first."""

    def _move(self, key: str) -> None:
        if key not in TOOL_KEYS:
            return
        axis, sign = TOOL_KEYS[key]
        pose = self.wish[self.arm]
        if axis < 3:
            pose[axis] += sign * POSITION_STEP
        else:
            pose[3:] = turned(pose[3:], axis - 3, sign * ROTATION_STEP)


def turned(quaternion: Array, axis: int, angle: float) -> Array:
    """A quaternion xyzw (4,) after a turn by `angle` rad about an axis (0 to 2) of the world."""
    vector, scalar = quaternion[:3], quaternion[3]
    along, cosine = math.sin(angle / 2.0) * np.eye(3)[axis], math.cos(angle / 2.0)
    product = np.append(cosine * vector + scalar * along + np.cross(along, vector), cosine * scalar - along @ vector)
    return product / np.linalg.norm(product)


@dataclass
class CircleHand:
    """Moves the tools of both arms around in circles, by joints 1 and 2 of each, and comes back to where it began.

    size: rad; period: s for one turn. Begins and ends gently.
    """

    joints: Array
    openings: Array
    size: float = 0.1
    period: float = 4.0
    turns: int = 3

    @property
    def duration(self) -> float:
        """s until it is back and at rest."""
        return self.turns * self.period

    def at(self, elapsed: float) -> Array:
        """Joints (14,) `elapsed` s after the beginning."""
        size = self.size * min(1.0, max(0.0, elapsed), max(0.0, self.duration - elapsed))
        angle = 2.0 * math.pi * elapsed / self.period
        joints = self.joints.copy()
        joints[[0, 7]] += size * math.sin(angle)
        joints[[1, 8]] += size * (math.cos(angle) - 1.0)
        return joints
