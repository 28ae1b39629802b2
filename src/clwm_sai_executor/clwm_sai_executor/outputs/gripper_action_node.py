"""A gripper behind an action; control_msgs is imported only when a robot's description asks for one of its types."""

from __future__ import annotations

import functools
from typing import Any

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.task import Future

from clwm_common.robot.gripper import Gripper
from clwm_common.ros.lifecycle import ClwmNode, NodeError
from clwm_msgs.action import MoveGripper
from clwm_sai_executor.outputs.gripper_goals import Goal, GripperGoals

GRACE = 2.0  # s that a goal may take on top of twice the time for the whole range at the gripper's speed


class GripperActionClient:
    """Sends goals when `poll` is called, at every tick of the node, so that no callback ever waits."""

    def __init__(self, node: ClwmNode, gripper: Gripper) -> None:
        """Raises NodeError when control_msgs is not installed."""
        self._node, self._gripper = node, gripper
        self._type = _action_type(gripper)
        travel = (gripper.opening_max - gripper.opening_min) / gripper.speed
        self._goals = GripperGoals(longest=2.0 * travel + GRACE)
        self._reported = ""
        self._client = ActionClient(node, self._type, gripper.command.name)

    @property
    def problem(self) -> str:
        """What the action server did wrong; empty when all is well."""
        return self._goals.problem and f"gripper {self._gripper.command.name}: {self._goals.problem}"

    def move(self, width: float) -> None:
        """Go to this opening [m]."""
        self._goals.want(width)
        self.poll(self._node.now())

    def poll(self, now: float) -> None:
        """Send what is due, and log a problem once."""
        if goal := self._goals.next(now, self._client.server_is_ready):
            asked = self._client.send_goal_async(self._message(goal.width))
            asked.add_done_callback(functools.partial(self._on_answer, goal))
        if self._goals.reason != self._reported:
            self._reported = self._goals.reason
            if self._reported:
                self._node.log("warning", self.problem)

    def destroy(self) -> None:
        self._client.destroy()

    def _message(self, width: float) -> Any:
        position, effort = width * self._gripper.command.scale, self._gripper.command.max_effort
        if self._gripper.command.type == "MoveGripper":
            return self._type.Goal(width=position, max_effort=effort)
        command = self._type.Goal().command
        if self._gripper.command.type == "GripperCommand":
            command.position, command.max_effort = position, effort
        else:
            command.name, command.position = [self._gripper.finger_joint], [position]
            command.effort = [effort] if effort > 0.0 else []
        return self._type.Goal(command=command)

    def _on_answer(self, goal: Goal, future: Future) -> None:
        handle = future.result()
        self._goals.answered(goal, is_accepted=handle.accepted)
        if handle.accepted:
            handle.get_result_async().add_done_callback(functools.partial(self._on_end, goal))

    def _on_end(self, goal: Goal, future: Future) -> None:
        answer = future.result()
        # Controllers abort a goal when the fingers stall, which is what a grasp is.
        is_done = answer.status == GoalStatus.STATUS_SUCCEEDED
        signs = ("is_holding",) if self._gripper.command.type == "MoveGripper" else ("stalled", "reached_goal")
        self._goals.ended(goal, is_done=is_done or any(getattr(answer.result, sign) for sign in signs))


def _action_type(gripper: Gripper) -> Any:
    if gripper.command.type == "MoveGripper":
        return MoveGripper
    try:
        from control_msgs import action
    except ImportError as error:
        raise NodeError(
            f"gripper {gripper.command.name} is commanded by an action of control_msgs, which cannot be imported "
            f"({error}); install ros-jazzy-control-msgs, or use 'type: MoveGripper' or 'kind: topic'"
        ) from None
    return getattr(action, gripper.command.type)
