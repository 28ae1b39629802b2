"""What moves: the publishers, streams and actions behind the scheduler's commands to arms and grippers."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from rclpy.duration import Duration
from rclpy.publisher import Publisher
from rclpy.serialization import serialize_message
from std_msgs.msg import Float64, Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from clwm_common.robot.description import Arm, RobotDescription
from clwm_common.robot.gripper import Gripper
from clwm_common.ros import qos
from clwm_common.ros.conversions import to_stamp
from clwm_common.ros.lifecycle import ClwmNode, NodeError
from clwm_sai_executor.events import SIDES, MoveGripper, SendTrajectory, Side
from clwm_sai_executor.outputs.gripper_action_node import GripperActionClient
from clwm_sai_executor.outputs.position_stream import PositionStream
from clwm_sai_executor.outputs.resending import Resending

LONGEST_STOP = 2.0  # s; arms at their limits come to rest within 0.6 s
SLOWEST = 4.0  # times slower than real time, at which a simulation's arms are still followed until they rest
LAST_COPIES = 2  # of a message that nobody will be there to repeat in time
COPY_GAP = 0.005  # s
OPENING_LASTS = 0.5  # s for which a gripper's opening is repeated
LONGEST_TRANSPORT = Duration(seconds=0.1)  # a controller that has not acknowledged a message by then is not there


class _Gripper(Protocol):
    problem: str

    def move(self, width: float) -> None: ...
    def poll(self, now: float) -> None: ...
    def destroy(self) -> None: ...


class Outputs:
    """Each arm and gripper by the back end that the robot's description names."""

    def __init__(self, node: ClwmNode, robot: RobotDescription, lead: float) -> None:
        """lead: s by which messages leave before they have an effect; a first repetition is there by then.

        Raises NodeError when a back end is not installed.
        """
        self._node = node
        self._soon = lead / 4.0
        self._repeated: list[_Repeated] = []
        self._arms: dict[Side, _JtcArm | _ForwardArm] = {}
        velocity = np.array(robot.limits.velocity)
        for side, arm in zip(SIDES, robot.arms, strict=True):
            is_forward = arm.controller.kind == "forward"
            self._arms[side] = _ForwardArm(node, arm, velocity) if is_forward else _JtcArm(self, arm)
        self._streams = [arm for arm in self._arms.values() if isinstance(arm, _ForwardArm)]
        for period in {arm.period for arm in self._streams}:
            ticking = [arm for arm in self._streams if arm.period == period]
            node.create_timer(period, functools.partial(self._stream, ticking))
        self._grippers: dict[Side, _Gripper] = {}
        for side, arm in zip(SIDES, robot.arms, strict=True):
            is_action = arm.gripper.command.kind == "action"
            self._grippers[side] = (
                GripperActionClient(node, arm.gripper) if is_action else _GripperTopic(self, arm.gripper)
            )

    @property
    def problems(self) -> list[str]:
        """What is wrong with a gripper, a sentence each."""
        return [gripper.problem for gripper in self._grippers.values() if gripper.problem]

    def open(self, kind: type, topic: str) -> _Repeated:
        """A publisher whose messages are repeated by `repeat`."""
        output = self._node.create_publisher(kind, topic, qos.SETPOINT)
        self._repeated.append(_Repeated(output, Resending(self._soon), self._clocks))
        return self._repeated[-1]

    def repeat(self) -> None:
        """Send again what may have been lost; called at every event."""
        now, steady = self._clocks()
        for each in self._repeated:
            each.repeat(now, steady)

    def send(self, command: SendTrajectory) -> None:
        self._arms[command.arm].send(command)

    def move(self, command: MoveGripper) -> None:
        self._grippers[command.arm].move(command.width)

    def drop(self) -> None:
        """Nothing that was sent has a meaning any more. A controller with a trajectory keeps it, a stream ends."""
        for arm in self._streams:
            arm.stream.drop()
        for each in self._repeated:
            each.drop()

    def poll(self, now: float) -> None:
        """Look after the grippers' actions; called at every tick."""
        for gripper in self._grippers.values():
            gripper.poll(now)

    def run_out(self) -> None:
        """See to it that the arms come to rest when this process ends now.

        Streamed arms are followed until they rest, as nobody streams for them afterwards. Others brake by themselves,
        by a message that must have arrived: what is still on its way when a process ends is lost.
        Raises NodeError for an arm to which nothing could be sent, when the other one has been seen to.
        """
        # Simulated time may go slower, or stand: then nobody can say when the arms rest.
        patience = LONGEST_STOP * (SLOWEST if self._node.uses_sim_time else 1.0)
        until = time.monotonic() + patience
        failed: dict[Side, Exception] = {}
        while time.monotonic() < until:
            self._node.read_clock()
            moving = {
                side: arm
                for side, arm in self._arms.items()
                if arm in self._streams and side not in failed and not arm.stream.is_over
            }
            if not moving:
                break
            for side, arm in moving.items():
                self._try(failed, side, functools.partial(arm.tick, self._node.now()))
            time.sleep(min(arm.period for arm in moving.values()))
        for _ in range(LAST_COPIES):
            time.sleep(COPY_GAP)
            for side, arm in self._arms.items():
                self._try(failed, side, functools.partial(arm.send_again, self._node.now()))
        for side, arm in self._arms.items():
            self._try(failed, side, arm.wait_until_heard)
        if failed:
            side, error = next(iter(failed.items()))
            raise NodeError(f"the {side} arm may not have been brought to rest: {error}; look at it") from error

    def destroy(self) -> None:
        """Drop what the node does not destroy by itself."""
        for gripper in self._grippers.values():
            gripper.destroy()

    def _try(self, failed: dict[Side, Exception], side: Side, action: Callable[[], None]) -> None:
        """An arm that cannot be reached must not keep the other one from braking."""
        try:
            action()
        except Exception as error:
            failed.setdefault(side, error)

    def _clocks(self) -> tuple[float, float]:
        """The stack's clock and the one by which controllers go on [s]."""
        return self._node.now(), self._node.steady()

    def _stream(self, arms: Sequence[_ForwardArm]) -> None:
        now = self._node.now()
        for arm in arms:
            arm.tick(now)


class _Repeated:
    """A publisher to somebody who may listen best effort."""

    def __init__(self, output: Publisher, repeats: Resending, clocks: Callable[[], tuple[float, float]]) -> None:
        self._output = output
        self._repeats = repeats
        self._clocks = clocks
        self._message, self._until = b"", -np.inf

    def send(self, message: Any, until: float = np.inf, lasts: float = np.inf) -> None:
        """A message that is in force until the instant `until` [s], and for `lasts` s at most."""
        self._message = serialize_message(message)
        self._output.publish(self._message)
        now, steady = self._clocks()
        self._until = min(until, now + lasts)
        self._repeats.sent(now, steady, self._until)

    def repeat(self, now: float, steady: float) -> None:
        if self._repeats.is_due(now, steady):
            self._output.publish(self._message)

    def send_again(self, now: float) -> None:
        if now < self._until:
            self._output.publish(self._message)

    def drop(self) -> None:
        self._until = -np.inf
        self._repeats.drop()

    def wait_until_heard(self) -> None:
        self._output.wait_for_all_acked(LONGEST_TRANSPORT)


class _JtcArm:
    """An arm behind a joint_trajectory_controller."""

    def __init__(self, outputs: Outputs, arm: Arm) -> None:
        self._joint_names = arm.joint_names
        self._output = outputs.open(JointTrajectory, arm.controller.topic)
        self.wait_until_heard = self._output.wait_until_heard
        self.send_again = self._output.send_again

    def send(self, command: SendTrajectory) -> None:
        end = command.stamp + float(command.times_from_start[-1])
        self._output.send(to_trajectory(command, self._joint_names), end)


class _ForwardArm:
    """An arm behind a forward_command_controller: gets its positions by `tick`."""

    def __init__(self, node: ClwmNode, arm: Arm, velocity: np.ndarray) -> None:
        self.period = 1.0 / arm.controller.rate
        self.stream = PositionStream(velocity, self.period)
        self.send = self.stream.take
        self._output = node.create_publisher(Float64MultiArray, arm.controller.topic, qos.SETPOINT)

    def tick(self, now: float) -> None:
        position = self.stream.due(now)
        if position is not None:
            self._output.publish(Float64MultiArray(data=position.tolist()))

    def send_again(self, now: float) -> None:
        """The last position has been sent several times."""

    def wait_until_heard(self) -> None:
        self._output.wait_for_all_acked(LONGEST_TRANSPORT)


class _GripperTopic:
    """A gripper that takes openings by topic."""

    problem = ""

    def __init__(self, outputs: Outputs, gripper: Gripper) -> None:
        self._output = outputs.open(Float64, gripper.command.name)

    def move(self, width: float) -> None:
        self._output.send(Float64(data=width), lasts=OPENING_LASTS)

    def poll(self, now: float) -> None:
        """A topic needs no looking after."""

    def destroy(self) -> None:
        """The node destroys its publishers."""


def to_trajectory(command: SendTrajectory, joint_names: list[str]) -> JointTrajectory:
    """The ROS form of one arm's trajectory; times from start are rounded to 1 ns."""
    message = JointTrajectory(joint_names=joint_names)
    message.header.stamp = to_stamp(command.stamp)
    for seconds, position, velocity in zip(
        command.times_from_start, command.positions, command.velocities, strict=True
    ):
        nanoseconds = round(seconds * 1e9)
        point = JointTrajectoryPoint(positions=position.tolist(), velocities=velocity.tolist())
        point.time_from_start.sec, point.time_from_start.nanosec = divmod(nanoseconds, 1_000_000_000)
        message.points.append(point)
    return message
