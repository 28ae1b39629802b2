"""A gripper's action server: takes goals, drops a running one for a newer, and ends them as its judge says."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle

from clwm_common.control.gripper_goal import GoalJudge
from clwm_common.robot.gripper import Gripper
from clwm_common.ros.lifecycle import ClwmNode
from clwm_msgs.action import MoveGripper


class GripperServer:
    """Nothing waits in a callback: goals are looked after in `look`, at every joint state."""

    def __init__(
        self,
        node: ClwmNode,
        gripper: Gripper,
        move: Callable[[float, float], bool],
        judge: Callable[[float], GoalJudge],
    ) -> None:
        """move(width [m], max_effort [N]) -> whether the gripper takes it. judge(width [m]): who judges that goal."""
        self._move, self._judge, self._scale = move, judge, gripper.command.scale
        self._running: tuple[ServerGoalHandle, GoalJudge] | None = None
        self._width = 0.0
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
        self._width = width
        if self._running is None:
            return
        handle, goal = self._running
        if handle.is_cancel_requested:
            self._end("canceled", width, message="cancelled by the client")
        elif ending := goal.look(now, width, speed):
            how = "abort" if ending.problem else "succeed"
            self._end(how, ending.width, is_holding=ending.is_holding, message=ending.problem or ending.note)

    def _on_goal(self, goal: MoveGripper.Goal) -> GoalResponse:
        is_taken = self._move(goal.width / self._scale, goal.max_effort)
        return GoalResponse.ACCEPT if is_taken else GoalResponse.REJECT

    def _on_accepted(self, handle: ServerGoalHandle) -> None:
        if self._running is not None:
            self._end("abort", self._width, message="another goal came")
        self._running = handle, self._judge(handle.request.width / self._scale)

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
