"""A gamepad's or joystick's message -> directions for the arms. No clock, no ROS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clwm_operator.teleop.jog import SILENCE, Hand
from clwm_operator.teleop.mapping import DIRECTIONS, Axis, Buttons, JoyMapping


class DeviceError(ValueError):
    """A message that asks for nothing that could be understood; it says why, and what to do about it."""


class JoyReader:
    """Remembers which arm is chosen. is_handed_back: the button that gives the arms back was pressed."""

    def __init__(self, mapping: JoyMapping) -> None:
        self._mapping = mapping
        self._arm = 0
        self._pressed: dict[int, bool] = {}
        self.is_handed_back = False

    @property
    def arm(self) -> int:
        """0 left, 1 right."""
        return self._arm

    def read(self, now: float, axes: Sequence[float], buttons: Sequence[int]) -> Hand:
        """What the fields of a sensor_msgs/Joy ask for at `now` s. Raises DeviceError."""
        mapping = self._mapping
        if self._is_pushed(buttons, mapping.other_arm):
            self._arm = 1 - self._arm
        if self._is_pushed(buttons, mapping.hand_back):
            self.is_handed_back = True
        shares = {name: _share(motion, axes, buttons) for name, motion in mapping.motions.items()}
        along = [shares.get(name, 0.0) for name in DIRECTIONS]
        return Hand(
            dead_man=is_down(buttons, mapping.dead_man),
            arm=self._arm,
            linear=tuple(along[:3]),
            angular=tuple(along[3:]),
            opening=shares.get("opening", 0.0),
            seen=now,
        )

    def _is_pushed(self, buttons: Sequence[int], index: int | None) -> bool:
        """Whether it is down and was not; one that was down from the beginning has not been pushed."""
        if index is None:
            return False
        before, self._pressed[index] = self._pressed.get(index, True), is_down(buttons, index)
        return self._pressed[index] and not before


@dataclass
class ButtonSwitch:
    """A dead-man switch that is a button of a gamepad or a pedal, for a device that has none itself."""

    button: int
    _is_down: bool = False
    _heard_at: float = -math.inf

    def hear(self, now: float, buttons: Sequence[int]) -> None:
        """Raises DeviceError when there is no such button; then it is not held."""
        self._is_down = False
        self._is_down, self._heard_at = is_down(buttons, self.button), now

    def is_held(self, now: float) -> bool:
        """Whether it is down by a fresh message."""
        return self._is_down and now - self._heard_at <= SILENCE


def is_down(buttons: Sequence[int], index: int) -> bool:
    """Whether this button is pressed. Raises DeviceError where there is none."""
    if index >= len(buttons):
        raise DeviceError(f"the message has {len(buttons)} buttons and no button {index}; correct the mapping")
    return bool(buttons[index])


def _share(motion: Axis | Buttons, axes: Sequence[float], buttons: Sequence[int]) -> float:
    """Of the full speed, -1 to 1."""
    if isinstance(motion, Buttons):
        return float(is_down(buttons, motion.plus)) - float(is_down(buttons, motion.minus))
    if motion.axis >= len(axes):
        raise DeviceError(f"the message has {len(axes)} axes and no axis {motion.axis}; correct the mapping")
    value = float(axes[motion.axis])
    if not math.isfinite(value):
        raise DeviceError(f"axis {motion.axis} is {value}; expected -1 to 1: look at the device's driver")
    beyond = max(0.0, min(abs(value), 1.0) - motion.dead_zone) / (1.0 - motion.dead_zone)
    return motion.scale * math.copysign(beyond, value)
