"""One arm behind pylibfranka: what it says and takes, in this project's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pylibfranka
from numpy.typing import NDArray

from clwm_common.robot.libfranka import Libfranka

SETTLE = 50  # cycles within which states come one by one


class LinkLost(RuntimeError):
    """There is no connection to the robot, or none any more."""


class ControlEnded(RuntimeError):
    """The robot has stopped taking commands, did not begin to, or refused something; the message is libfranka's."""


@dataclass(frozen=True)
class RobotSeen:
    """A robot's state. time: s of its own clock. since: ms of it after the state before that was read in a motion.

    positions, set_point: (7,) rad, measured and commanded; velocities: (7,) rad/s. errors: by name.
    """

    time: float
    since: int
    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]
    set_point: NDArray[np.float64]
    mode: str
    errors: tuple[str, ...]


class RobotLink:
    """A connection to one arm. Every call blocks for at most a cycle, but `connect`; all raise LinkLost."""

    def __init__(self, settings: Libfranka) -> None:
        """Blocks until the robot answers, or refuses to. Raises LinkLost."""
        wish = pylibfranka.RealtimeConfig.kEnforce if settings.real_time else pylibfranka.RealtimeConfig.kIgnore
        collision, payload = settings.collision, settings.payload
        with _in_our_words():
            self._robot = pylibfranka.Robot(settings.address, wish)
            self._control: pylibfranka.ActiveControlBase | None = None
            self._robot.set_collision_behavior(collision.torque, collision.torque, collision.force, collision.force)
            self._robot.set_load(payload.mass, payload.centre, payload.inertia)

    def look(self) -> RobotSeen:
        """The next state, while no commands are given."""
        with _in_our_words():
            return _seen(self._robot.read_once(), 0)

    def begin(self) -> RobotSeen:
        """Take the arm, and hold it until its states come cycle by cycle: from now on each one wants a command.

        Raises ControlEnded.
        """
        with _in_our_words():
            self._control = self._robot.start_joint_position_control(pylibfranka.ControllerMode.JointImpedance)
        seen = self.next()
        for _ in range(SETTLE):
            # What was on its way while the motion began would be made up for in one cycle, by a leap.
            if seen.since == 1:
                break
            self.command(seen.set_point)
            seen = self.next()
        return seen

    def next(self) -> RobotSeen:
        """The state of the next cycle. Raises ControlEnded."""
        with _in_our_words():
            state, since = self._control.readOnce()
        return _seen(state, round(since.to_sec() * 1e3))

    def command(self, position: NDArray[np.float64], *, is_last: bool = False) -> None:
        """The position (7,) rad of this cycle; is_last: the motion ends with it. Raises ControlEnded."""
        command = pylibfranka.JointPositions(position.tolist())
        command.motion_finished = is_last
        with _in_our_words():
            self._control.writeOnce(command)
        if is_last:
            self._control = None

    def let_go(self) -> None:
        """Forget a motion that the robot has ended."""
        self._control = None

    def recover(self) -> None:
        """Start the robot's automatic error recovery and wait for its end. Raises ControlEnded with the reason."""
        with _in_our_words():
            self._robot.automatic_error_recovery()


# They have no base of their own in common.
_REFUSALS = (
    pylibfranka.ControlException,
    pylibfranka.CommandException,
    pylibfranka.InvalidOperationException,
    pylibfranka.RealtimeException,
    pylibfranka.FrankaException,
)


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except pylibfranka.NetworkException as error:
        raise LinkLost(str(error)) from None
    except _REFUSALS as error:
        raise ControlEnded(str(error)) from None


_ERRORS = tuple(name for name in dir(pylibfranka.Errors) if not name.startswith("_"))


def _seen(state: pylibfranka.RobotState, since: int) -> RobotSeen:
    errors = state.current_errors
    return RobotSeen(
        state.time.to_sec(),
        since,
        np.asarray(state.q),
        np.asarray(state.dq),
        np.asarray(state.q_d),
        state.robot_mode.name,
        # Asked one by one these take longer than the rest of a cycle.
        tuple(name for name in _ERRORS if getattr(errors, name)) if state.robot_mode in _STOPPED else (),
    )


_STOPPED = (pylibfranka.RobotMode.Reflex, pylibfranka.RobotMode.UserStopped)
