"""One hand behind franky: commands that nobody waits for, beside a state that can be read meanwhile."""

from __future__ import annotations

import franky

from clwm_franka.hand_goal import Grasp, HandSeen, Move

# Whatever is met on the way counts as grasped; what that means is judged afterwards.
_ANY_WIDTH = 1.0  # m


class HandLost(RuntimeError):
    """There is no connection to the hand, or none any more."""


class HandLink:
    """A connection to the hand of one arm. All calls return at once but the first, and raise HandLost."""

    def __init__(self, address: str) -> None:
        try:
            self._hand = franky.Gripper(address)
        except franky.Exception as error:
            raise HandLost(str(error)) from None
        self._running: franky.BoolFuture | None = None

    def look(self) -> HandSeen:
        """The hand's state now."""
        try:
            state = self._hand.state
        except franky.NetworkException as error:
            raise HandLost(str(error)) from None
        return HandSeen(state.width, state.is_grasped)

    def start(self, command: Move | Grasp) -> None:
        """Let the hand do this in place of what it does."""
        if self.is_busy:
            try:
                self._hand.stop()
            except franky.Exception as error:
                raise HandLost(str(error)) from None
        match command:
            case Move(width, speed):
                self._running = self._hand.move_async(width, speed)
            case Grasp(width, speed, force):
                self._running = self._hand.grasp_async(width, speed, force, _ANY_WIDTH, _ANY_WIDTH)

    @property
    def is_busy(self) -> bool:
        """Whether the hand still does what it was told last."""
        return self._running is not None and not self._running.wait(0.0)

    def outcome(self) -> str:
        """Why the hand gave up what it was told last, once that is over; empty when it did not."""
        future, self._running = self._running, None
        if future is None:
            return ""
        try:
            future.get()
        except franky.NetworkException as error:
            raise HandLost(str(error)) from None
        except franky.CommandException as error:
            return str(error)
        return ""
