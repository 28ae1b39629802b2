"""Devices on ROS's topics that steer the arms: a gamepad's Joy, a leader's JointState."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sensor_msgs.msg import JointState, Joy

from clwm_common.messages import Mode
from clwm_common.robot.description import RobotDescription
from clwm_operator.teleop.jog import SILENCE, Jog, Word
from clwm_operator.teleop.joy import ButtonSwitch, DeviceError, JoyReader
from clwm_operator.teleop.leader import LeaderReader, LeaderWish, LeaderWord
from clwm_operator.teleop.mapping import DeadManButton, JoyMapping, LeaderMapping
from clwm_operator.teleop.steering import Act, Ask, LetGo, OrderTeleop, Steering, Wish
from clwm_operator.teleop.teleop_node import TeleopNode

_SEAT = "device"


class Device:
    """A device that speaks on `topic`, and a human at it who takes the arms over by its dead-man switch.

    What releases the switch: letting go, silence, a message that cannot be read, one whose stamp is the last one's, an
    executor that takes the arms away. Afterwards it has to be released and held again.
    """

    def __init__(self, node: TeleopNode, wish: Wish, topic: str) -> None:
        self._node, self._topic, self._wish = node, topic, wish
        self._steering = Steering(wish)
        self._steering.take(_SEAT)
        self._word: Word | None = None
        self._heard_at: float | None = None
        self._stamp: Any = None
        self._problem = ""
        self._answer: Any = None

    @property
    def is_over(self) -> bool:
        """Whether the human has given the arms back by the device."""
        return False

    @property
    def told(self) -> str:
        """What the human should know now."""
        if self._problem:
            return self._problem
        if self._heard_at is None:
            return f"nothing has come on {self._topic}; start the device's driver"
        if time.monotonic() - self._heard_at > SILENCE:
            return f"nothing new comes on {self._topic}; look at the device's driver"
        if note := self._steering.note:
            reason = "" if self._node.status is None else self._node.status.reason
            return f"{note} (the executor: {reason})" if reason else note
        return {
            Act.READY: "hold the dead-man switch to move the arms; if it is held, release it first",
            Act.CLAIMING: "asking the executor for the arms",
        }.get(self._steering.act, "the arms follow")

    @property
    def distances(self) -> dict[str, float]:
        """rad from the arms to the device, by joint; empty where that means nothing."""
        return {}

    def step(self) -> None:
        """Ask the executor for what the human wants now."""
        if self._answer is not None and self._answer.done():
            response, self._answer = self._answer.result(), None
            if not response.accepted:
                self._perform(self._steering.refused(response.message))
        node = self._node
        self._perform(self._steering.step(time.monotonic(), node.arms))

    def _hear(self, message: Any, read: Callable[[float], Word]) -> None:
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        if any(stamp) and stamp == self._stamp:
            return
        self._stamp, now = stamp, time.monotonic()
        self._heard_at = now
        try:
            self._word = read(now)
        except DeviceError as error:
            self._problem = str(error)
            self._perform(self._steering.release())
            return
        self._problem = ""
        self._steering.hear(now, _SEAT, self._word)

    def _perform(self, commands: list[Any]) -> None:
        for command in commands:
            match command:
                case Ask(joints, openings):
                    self._node.ask(joints, openings)
                case LetGo():
                    self._node.let_go()
                case OrderTeleop() if problem := self._node.problem:
                    self._perform(self._steering.refused(problem))
                case OrderTeleop():
                    self._answer = self._node.order(Mode.TELEOP)


class JoyDevice(Device):
    """A gamepad or joystick: directions for the tool of one arm at a time."""

    def __init__(self, node: TeleopNode, robot: RobotDescription, mapping: JoyMapping, topic: str) -> None:
        super().__init__(node, Jog(robot), topic)
        self._reader = JoyReader(mapping)
        node.listen(Joy, topic, self._on_joy)

    @property
    def is_over(self) -> bool:
        return self._reader.is_handed_back

    def _on_joy(self, message: Joy) -> None:
        self._hear(message, lambda now: self._reader.read(now, message.axes, message.buttons))


class LeaderDevice(Device):
    """A leader arm, or two. is_held: whether a key holds the dead-man switch, where the mapping names no button."""

    def __init__(
        self,
        node: TeleopNode,
        robot: RobotDescription,
        mapping: LeaderMapping,
        topic: str,
        joy_topic: str,
        is_relative: bool,
        is_held: Callable[[float], bool],
    ) -> None:
        """Raises MappingError where the mapping does not fit the robot."""
        super().__init__(node, LeaderWish(robot, mapping.tolerance, is_relative), topic)
        self._reader, self._is_relative, self._is_held = LeaderReader(mapping, robot), is_relative, is_held
        self._pedal_problem = ""
        node.listen(JointState, topic, self._on_joints)
        if isinstance(mapping.dead_man, DeadManButton):
            self._pedal = ButtonSwitch(mapping.dead_man.button)
            self._is_held = self._pedal.is_held
            node.listen(Joy, joy_topic, self._on_pedal)

    @property
    def distances(self) -> dict[str, float]:
        arms = self._node.arms
        if self._is_relative or self._word is None or arms is None or self._steering.act is not Act.READY:
            return {}
        return self._wish.distances(self._word, arms.joints)

    def _on_joints(self, message: JointState) -> None:
        self._hear(message, lambda now: self._word_of(now, message))

    def _word_of(self, now: float, message: JointState) -> LeaderWord:
        if self._pedal_problem:
            raise DeviceError(self._pedal_problem)
        joints, openings = self._reader.read(message.name, message.position)
        return LeaderWord(self._is_held(now), now, joints, openings)

    def _on_pedal(self, message: Joy) -> None:
        self._pedal_problem = ""
        try:
            self._pedal.hear(time.monotonic(), message.buttons)
        except DeviceError as error:
            self._pedal_problem = str(error)
