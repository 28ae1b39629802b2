"""A simulated gripper's action server: takes goals, drops a running one for a newer, and ends them by what it sees."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle

from clwm_common.robot.description import Gripper
from clwm_common.ros.lifecycle import ClwmNode
from clwm_msgs.action import MoveGripper
from clwm_sim.controllers.gripper_goal import GripperGoal


class GripperServer:
    """Nothing waits in a callback: goals are looked after in `look`, at every joint state."""

    def __init__(self, node: ClwmNode, gripper: Gripper, move: Callable[[float], bool]) -> None:
        """move(width [m]) -> whether the gripper takes it."""
        self._move, self._scale = move, gripper.command.scale
        self._running: tuple[ServerGoalHandle, GripperGoal] | None = None
        self._results: dict[bytes, tuple[str, MoveGripper.Result]] = {}
        self._server = ActionServer(
            node,
            MoveGripper,
            gripper.command.name,
            execute_callback=self._tell,
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
        )

    def destroy(self) -> None:
        """The node must still exist."""
        self._server.destroy()

    def look(self, now: float, width: float, speed: float) -> None:
        """Opening [m] and its speed [m/s] at `now` [s]."""
        if self._running is None:
            return
        handle, goal = self._running
        if handle.is_cancel_requested:
            self._end("canceled", width, message="cancelled by the client")
        elif ending := goal.look(now, width, speed):
            message = "the fingers stand on something" if ending.is_holding else ""
            self._end("succeed", width, is_holding=ending.is_holding, message=message)

    def _on_goal(self, goal: MoveGripper.Goal) -> GoalResponse:
        return GoalResponse.ACCEPT if self._move(goal.width / self._scale) else GoalResponse.REJECT

    def _on_accepted(self, handle: ServerGoalHandle) -> None:
        if self._running is not None:
            self._end("abort", self._running[1].width, message="another goal came")
        self._running = handle, GripperGoal(handle.request.width / self._scale)

    def _end(self, how: str, width: float, *, is_holding: bool = False, message: str) -> None:
        handle, _ = self._running
        self._running = None
        result = MoveGripper.Result(width=width * self._scale, is_holding=is_holding, message=message)
        self._results[bytes(handle.goal_id.uuid)] = how, result
        handle.execute()

    def _tell(self, handle: ServerGoalHandle) -> MoveGripper.Result:
        how, result = self._results.pop(bytes(handle.goal_id.uuid))
        getattr(handle, how)()
        return result
