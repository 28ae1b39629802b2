"""A simulated forward_command_controller of joint positions, as in ROS 2 Jazzy, on its topic.

Studied: ros2_controllers, branch jazzy, release 4.42.1. What that controller does, rule by rule:

- The last message wins at the next update, and is commanded as it is: no interpolation, no limit, no time-out.
- Before the first message it commands nothing, so the hardware holds what it was told before.
- A message with a number that is not finite is dropped when it comes; the last good one is commanded on.
- Numbers have no names: they are taken in the order of the controller's joints.

Refused here, where that controller fails at its next update and may be switched off: a message of another size.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from clwm_common.control.trajectory import JointState, Numbers


class CommandRefused(ValueError):
    """A command that the controller does not take; the last good one is commanded on."""


class ForwardCommandController:
    """One arm's controller. It holds `position` (joints,) in rad until the first command."""

    def __init__(self, position: Numbers) -> None:
        self.reset(position)

    @property
    def newest(self) -> Numbers:
        """The positions (joints,) that came last, whether they are commanded already or not."""
        return self._arrived[-1][1] if self._arrived else self._command

    def reset(self, position: Numbers) -> None:
        """Drop all commands and hold `position` (joints,)."""
        self._command = np.array(position, dtype=np.float64)
        self._arrived: deque[tuple[float, Numbers]] = deque()

    def receive(self, positions: Sequence[float], at: float) -> None:
        """Command these positions [rad] from the first update after `at` on. Raises CommandRefused with the reason.

        at: when they arrived [s]. A simulation that lags behind for a moment then still acts on each in its own time.
        """
        if len(positions) != len(self._command):
            raise CommandRefused(f"{len(positions)} positions for {len(self._command)} joints; give one for each")
        if not all(map(math.isfinite, positions)):
            raise CommandRefused(f"positions are {list(positions)}; expected finite numbers")
        self._arrived.append((at, np.array(positions, dtype=np.float64)))

    def update(self, now: float, period: float, measured: JointState, late: float = 0.0) -> JointState:
        """The command at `now`; neither the measured state nor a late update changes it."""
        while self._arrived and self._arrived[0][0] <= now:
            self._command = self._arrived.popleft()[1]
        return JointState(self._command)
