"""Watches arms and hands by libfranka from outside, disturbs them, and plays the operator."""

from __future__ import annotations

import functools

import numpy as np
from rclpy.action import ActionClient
from sensor_msgs.msg import JointState

from clwm_chaos.libfranka.faults import Course
from clwm_common.robot.description import RobotDescription
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_stamp
from clwm_msgs.action import MoveGripper
from clwm_msgs.msg import DriverStatus
from clwm_msgs.srv import DisturbRobot
from clwm_operator.demo.demo_node import DemoNode
from clwm_operator.operator_node import StackError, Wait
from clwm_operator.recording import Recording

SIDES = ("left", "right")


class WatchNode(DemoNode):
    """driver_faults: what each arm's driver said last, and driver_said_at: when [s]."""

    def __init__(self, robot: RobotDescription, is_simulated_time: bool) -> None:
        super().__init__(Recording(()), "clwm_chaos", is_simulated_time)
        self.driver_faults: dict[str, str] = {}
        self.driver_said_at: dict[str, float] = {}
        self._hands = [ActionClient(self, MoveGripper, arm.gripper.command.name) for arm in robot.arms]
        self.clear()
        for side, arm in zip(SIDES, robot.arms, strict=True):
            on_joints = functools.partial(self._on_joints, side)
            self.create_subscription(JointState, arm.joint_states_topic, on_joints, qos.SENSOR_DEEP)
        self.create_subscription(DriverStatus, "/clwm/driver_status", self._on_driver, qos.LATCHED_BY_ALL)

    def clear(self) -> None:
        """Forget the motion before."""
        self._states: dict[str, list[tuple[float, np.ndarray, np.ndarray]]] = {side: [] for side in SIDES}

    def courses(self) -> list[Course]:
        """Both arms' motion since `clear`, the left one first."""
        empty = np.zeros(0), np.zeros((0, 7)), np.zeros((0, 7))
        return [Course(*map(np.array, zip(*it, strict=True)) if it else empty) for it in self._states.values()]

    def speed(self) -> float:
        """The fastest joint's speed now [rad/s]."""
        return max((float(np.abs(it[-1][2]).max()) for it in self._states.values() if it), default=0.0)

    def disturb(self, arm: str, error: str, cut: float, wait: Wait) -> None:
        """Let an arm fail with `error` or, where that is empty, cut its connection for `cut` s. Raises StackError."""
        kind = DisturbRobot.Request.KIND_ERROR if error else DisturbRobot.Request.KIND_CUT
        request = DisturbRobot.Request(arm=arm, kind=kind, error=error, seconds=cut)
        client = self.create_client(DisturbRobot, "/clwm_sim/disturb")
        answer = self._call(client, request, wait)
        self.destroy_client(client)
        if not answer.accepted:
            raise StackError(f"the world refused to disturb the {arm} arm: {answer.message}")

    def move_hand(self, arm: str, width: float, wait: Wait) -> MoveGripper.Result:
        """Let a hand go to `width` [m] and return how that ended. Raises StackError when it takes no goal."""
        client = self._hands[SIDES.index(arm)]
        wait(client.server_is_ready, f"the {arm} hand's action")
        asked = client.send_goal_async(MoveGripper.Goal(width=width, max_effort=20.0))
        wait(asked.done, f"the {arm} hand's answer")
        if not asked.result().accepted:
            raise StackError(f"the {arm} hand refused to go to {width} m")
        ended = asked.result().get_result_async()
        wait(ended.done, f"the end of the {arm} hand's goal")
        return ended.result().result

    def _on_joints(self, side: str, message: JointState) -> None:
        stamp = from_stamp(message.header.stamp)
        self._states[side].append((stamp, np.array(message.position), np.array(message.velocity)))

    def _on_driver(self, message: DriverStatus) -> None:
        self.driver_faults[message.arm] = message.fault
        self.driver_said_at[message.arm] = from_stamp(message.stamp)
