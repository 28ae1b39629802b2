"""A leader's joints -> joints for the arms that follow it. No clock, no ROS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ARM_JOINTS
from clwm_common.robot.description import RobotDescription
from clwm_operator.teleop.joy import DeviceError
from clwm_operator.teleop.mapping import LeaderArm, LeaderMapping, MappingError

Array = NDArray[np.float64]
BLEND = 1.0  # s in which what was left between leader and arms at the take-over is made up for


@dataclass(frozen=True)
class LeaderWord:
    """Where the leader is, as joints (14,) rad and openings (2,) m of the arms that follow; NaN where it leads none."""

    dead_man: bool
    seen: float
    joints: Array
    openings: Array


class LeaderReader:
    """Finds the leader's joints in its messages, by name."""

    def __init__(self, mapping: LeaderMapping, robot: RobotDescription) -> None:
        """Raises MappingError where the mapping does not fit the robot's arms."""
        self._places: dict[str, tuple[int, float, float]] = {}  # where in 16 numbers, factor, offset
        for index, (side, led) in enumerate((("left", mapping.left), ("right", mapping.right))):
            if led is not None:
                self._add_arm(robot, index, side, led)

    def read(self, names: Sequence[str], positions: Sequence[float]) -> tuple[Array, Array]:
        """joints (14,) rad and openings (2,) m from a JointState; NaN where it leads none. Raises DeviceError."""
        if len(names) != len(positions):
            raise DeviceError(f"the leader sends {len(names)} names and {len(positions)} positions; look at its driver")
        found = dict(zip(names, positions, strict=True))
        if missing := [name for name in self._places if name not in found]:
            raise DeviceError(
                f"the leader sends no joint '{missing[0]}'; it has {', '.join(names) or 'none'}: correct the mapping"
            )
        values = np.full(2 * ARM_JOINTS + 2, np.nan)
        for name, (place, factor, offset) in self._places.items():
            if not np.isfinite(found[name]):
                raise DeviceError(f"joint '{name}' of the leader is {found[name]}; look at its driver")
            values[place] = factor * found[name] + offset
        return values[: 2 * ARM_JOINTS], values[2 * ARM_JOINTS :]

    def _add_arm(self, robot: RobotDescription, index: int, side: str, led: LeaderArm) -> None:
        arm = robot.arms[index]
        count = len(arm.joint_names)
        for field in ("joints", "signs", "offsets"):
            if (size := len(getattr(led, field))) not in (0, count):
                raise MappingError(f"{side}.{field} has {size} entries; robot '{robot.name}' has {count} joints an arm")
        rows = zip(led.joints or arm.joint_names, led.signs or [1] * count, led.offsets or [0.0] * count, strict=True)
        for joint, (name, sign, offset) in enumerate(rows):
            self._add(name, ARM_JOINTS * index + joint, float(sign), offset)
        if led.gripper is not None:
            narrow, wide = arm.gripper.opening_min, arm.gripper.opening_max
            factor = (wide - narrow) / (led.gripper.opened - led.gripper.closed)
            self._add(led.gripper.joint, 2 * ARM_JOINTS + index, factor, narrow - factor * led.gripper.closed)

    def _add(self, name: str, place: int, factor: float, offset: float) -> None:
        if name in self._places:
            raise MappingError(f"joint '{name}' of the leader is mapped twice; expected each joint for one thing")
        self._places[name] = place, factor, offset


class LeaderWish:
    """The arms go where the leader is, or move as it does.

    is_relative: from wherever the leader and the arms were at the take-over. Otherwise the leader is first brought to
    where the arms are, within `tolerance` rad. joints: (14,) rad, openings: (2,) m.
    """

    def __init__(self, robot: RobotDescription, tolerance: float, is_relative: bool) -> None:
        self._robot, self._tolerance, self._is_relative = robot, tolerance, is_relative
        self._lower, self._upper = robot.limit("position_lower"), robot.limit("position_upper")
        self._narrowest = np.array([arm.gripper.opening_min for arm in robot.arms])
        self._widest = np.array([arm.gripper.opening_max for arm in robot.arms])
        self.joints, self.openings = np.zeros(2 * ARM_JOINTS), np.zeros(2)
        self._left_over, self._left_open = np.zeros(2 * ARM_JOINTS), np.zeros(2)
        self._share = 0.0

    def distances(self, word: LeaderWord, measured: Array) -> dict[str, float]:
        """rad from arms at joints (14,) to the leader, by the names of the joints that it leads; the farthest first."""
        off = word.joints[self._robot.channels] - measured[self._robot.channels]
        named = zip(self._robot.joint_names, off.tolist(), strict=True)
        led = [(name, distance) for name, distance in named if np.isfinite(distance)]
        return dict(sorted(led, key=lambda it: -abs(it[1])))

    def obstacle(self, word: LeaderWord, measured: Array) -> str:
        far = {} if self._is_relative else self.distances(word, measured)
        shown = [f"{name} {off:+.2f}" for name, off in far.items() if abs(off) > self._tolerance]
        if not shown:
            return ""
        return (
            f"the leader is not where the arms are: {', '.join(shown)} rad; bring it within {self._tolerance:g} rad, "
            "release the switch and hold it again"
        )

    def begin(self, word: LeaderWord, joints: Array, openings: Array) -> None:
        self.joints, self.openings = joints.copy(), openings.copy()
        self._left_over, self._left_open = joints - word.joints, openings - word.openings
        self._share = 1.0

    def step(self, dt: float, word: LeaderWord, measured: Array) -> None:
        self._share = max(0.0, self._share - max(dt, 0.0) / BLEND)
        led = word.joints + (1.0 if self._is_relative else self._share) * self._left_over
        self.joints = np.where(np.isfinite(led), np.clip(led, self._lower, self._upper), self.joints)
        opened = word.openings + self._share * self._left_open
        self.openings = np.where(np.isfinite(opened), np.clip(opened, self._narrowest, self._widest), self.openings)
