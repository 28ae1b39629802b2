"""A gripper's action on its way through the fault relay: goals are passed on, or taken and never finished."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient, ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.task import Future

from clwm_common.ros.lifecycle import ClwmNode
from clwm_msgs.action import MoveGripper

_ACTION_PARTS = ("send_goal", "cancel_goal", "get_result", "feedback", "status")


def action_remappings(name: str, upstream: str) -> dict[str, str]:
    """The topics and services below an action's name, and what they are called where its true server is."""
    return {f"{name}/_action/{part}": f"{upstream}{name}/_action/{part}" for part in _ACTION_PARTS}


class GripperRelay:
    """Serves the action `name` for whoever really moves the gripper."""

    def __init__(self, node: ClwmNode, name: str, upstream: str, on_goal: Callable[[ServerGoalHandle], None]) -> None:
        """on_goal: told of every goal that was accepted; it calls `forward`, now, later or never."""
        self._results: dict[bytes, tuple[str, MoveGripper.Result]] = {}
        self._client = ActionClient(node, MoveGripper, f"{upstream}{name}")
        self._server = ActionServer(
            node,
            MoveGripper,
            name,
            execute_callback=self._tell,
            goal_callback=lambda goal: GoalResponse.ACCEPT if self._client.server_is_ready() else GoalResponse.REJECT,
            handle_accepted_callback=on_goal,
            cancel_callback=lambda handle: CancelResponse.REJECT,
        )

    def forward(self, handle: ServerGoalHandle) -> None:
        """Hand the goal to the true server; its outcome becomes this one's."""
        asked = self._client.send_goal_async(handle.request)
        asked.add_done_callback(functools.partial(self._on_answer, handle))

    def destroy(self) -> None:
        """The node must still exist."""
        self._server.destroy()
        self._client.destroy()

    def _on_answer(self, handle: ServerGoalHandle, future: Future) -> None:
        if future.result().accepted:
            future.result().get_result_async().add_done_callback(functools.partial(self._on_end, handle))
        else:
            self._finish(handle, "abort", MoveGripper.Result(message="refused by the gripper"))

    def _on_end(self, handle: ServerGoalHandle, future: Future) -> None:
        answer: Any = future.result()
        self._finish(handle, "succeed" if answer.status == GoalStatus.STATUS_SUCCEEDED else "abort", answer.result)

    def _finish(self, handle: ServerGoalHandle, how: str, result: MoveGripper.Result) -> None:
        self._results[bytes(handle.goal_id.uuid)] = how, result
        handle.execute()

    def _tell(self, handle: ServerGoalHandle) -> MoveGripper.Result:
        how, result = self._results.pop(bytes(handle.goal_id.uuid))
        getattr(handle, how)()
        return result
