"""What moves: the publishers, streams and actions behind the scheduler's commands to arms and grippers."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from rclpy.duration import Duration
from std_msgs.msg import Float64, Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from clwm_common.robot import Arm, Gripper, RobotDescription
from clwm_common.ros import qos
from clwm_common.ros.conversions import to_stamp
from clwm_common.ros.lifecycle import ClwmNode, NodeError
from clwm_sai_executor.events import SIDES, MoveGripper, SendTrajectory, Side
from clwm_sai_executor.forward import PositionStream
from clwm_sai_executor.gripper_action_node import GripperActionClient

LONGEST_STOP = 2.0  # s; arms at their limits come to rest within 0.6 s
LONGEST_TRANSPORT = Duration(seconds=0.1)  # a controller that has not acknowledged a message by then is not there


class _Gripper(Protocol):
    problem: str

    def move(self, width: float) -> None: ...
    def poll(self, now: float) -> None: ...
    def destroy(self) -> None: ...


class Outputs:
    """Each arm and gripper by the back end that the robot's description names."""

    def __init__(self, node: ClwmNode, robot: RobotDescription) -> None:
        """Raises NodeError when a back end is not installed."""
        self._node = node
        velocity = np.split(robot.limit("velocity"), 2)
        self._arms: dict[Side, _JtcArm | _ForwardArm] = {}
        for side, arm, limit in zip(SIDES, robot.arms, velocity, strict=True):
            is_forward = arm.controller.kind == "forward"
            self._arms[side] = _ForwardArm(node, arm, limit) if is_forward else _JtcArm(node, arm)
        self._streams = [arm for arm in self._arms.values() if isinstance(arm, _ForwardArm)]
        for period in {arm.period for arm in self._streams}:
            ticking = [arm for arm in self._streams if arm.period == period]
            node.create_timer(period, functools.partial(self._stream, ticking))
        self._grippers: dict[Side, _Gripper] = {}
        for side, arm in zip(SIDES, robot.arms, strict=True):
            is_action = arm.gripper.command.kind == "action"
            self._grippers[side] = (GripperActionClient if is_action else _GripperTopic)(node, arm.gripper)

    @property
    def problems(self) -> list[str]:
        """What is wrong with a gripper, a sentence each."""
        return [gripper.problem for gripper in self._grippers.values() if gripper.problem]

    def send(self, command: SendTrajectory) -> None:
        self._arms[command.arm].send(command)

    def move(self, command: MoveGripper) -> None:
        self._grippers[command.arm].move(command.width)

    def drop(self) -> None:
        """Nothing that was sent has a meaning any more. A controller with a trajectory keeps it, a stream ends."""
        for arm in self._streams:
            arm.stream.drop()

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
        until = time.monotonic() + LONGEST_STOP
        failed: dict[Side, Exception] = {}
        while time.monotonic() < until:
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

    def _stream(self, arms: Sequence[_ForwardArm]) -> None:
        now = self._node.now()
        for arm in arms:
            arm.tick(now)


class _JtcArm:
    """An arm behind a joint_trajectory_controller."""

    def __init__(self, node: ClwmNode, arm: Arm) -> None:
        self._joint_names = arm.joint_names
        self._output = node.create_publisher(JointTrajectory, arm.controller.topic, qos.SETPOINT)

    def send(self, command: SendTrajectory) -> None:
        self._output.publish(to_trajectory(command, self._joint_names))

    def wait_until_heard(self) -> None:
        self._output.wait_for_all_acked(LONGEST_TRANSPORT)


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

    def wait_until_heard(self) -> None:
        self._output.wait_for_all_acked(LONGEST_TRANSPORT)


class _GripperTopic:
    """A gripper that takes openings by topic."""

    problem = ""

    def __init__(self, node: ClwmNode, gripper: Gripper) -> None:
        self._output = node.create_publisher(Float64, gripper.command.name, qos.SETPOINT)

    def move(self, width: float) -> None:
        self._output.publish(Float64(data=width))

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
