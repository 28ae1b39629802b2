"""The action /clwm/run_task: one instruction until success, failure, time-out or cancellation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle

from clwm_common.messages import MemoryPolicy, instruction_problem
from clwm_msgs.action import RunTask
from clwm_sai_executor.events import TaskEnded, TaskSet
from clwm_sai_executor.task_run import Outcome, TaskRun

if TYPE_CHECKING:
    from clwm_sai_executor.node import ExecutorNode

FEEDBACK_PERIOD = 0.5  # s


@dataclass
class _Goal:
    handle: ServerGoalHandle
    run: TaskRun
    task: TaskSet
    feedback_at: float


class RunTaskServer:
    """Runs are looked after in `poll`, which the node calls at every tick, so that no callback ever waits.

    A goal is accepted at once and stays so; its execution is only the moment in which the outcome is told.
    """

    def __init__(self, node: ExecutorNode) -> None:
        self._node = node
        self._goals: list[_Goal] = []
        self._server = ActionServer(
            node,
            RunTask,
            "/clwm/run_task",
            execute_callback=lambda handle: RunTask.Result(),
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
        )

    def destroy(self) -> None:
        """Stop serving; the node must still exist."""
        self._server.destroy()

    def poll(self, now: float) -> None:
        """Give feedback on runs and end those that are over."""
        for goal in list(self._goals):
            scheduler = self._node.scheduler
            is_current = scheduler.task is goal.task
            verdict = goal.run.judge(
                now, self._node.verdict, is_current=is_current, mode=scheduler.mode, fault=scheduler.fault
            )
            if goal.handle.is_cancel_requested:
                verdict = Outcome.CANCELLED, "cancelled by the client"
            if verdict is None:
                self._give_feedback(goal, now)
                continue
            self._goals.remove(goal)
            if is_current:
                self._node.perform(TaskEnded())
            self._finish(goal, now, *verdict)

    def _on_goal(self, request: RunTask.Goal) -> GoalResponse:
        reasons = []
        if not self._node.is_active:
            reasons.append("the executor is not active")
        if problem := instruction_problem(request.instruction):
            reasons.append(problem)
        if not (math.isfinite(request.timeout) and request.timeout > 0.0):
            reasons.append(f"its timeout is {request.timeout} s; expected more than 0 s")
        if request.memory_policy not in list(MemoryPolicy):
            reasons.append(f"its memory_policy is {request.memory_policy}; expected 0, 1 or 2")
        if reasons:
            self._node.get_logger().warning(f"run of {request.instruction[:80]!r} refused: {'; '.join(reasons)}")
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _on_accepted(self, handle: ServerGoalHandle) -> None:
        now = self._node.now()
        task = TaskSet(handle.request.instruction, MemoryPolicy(handle.request.memory_policy))
        self._node.perform(task)
        self._goals.append(_Goal(handle, TaskRun(now, handle.request.timeout), task, now))

    def _give_feedback(self, goal: _Goal, now: float) -> None:
        if now < goal.feedback_at:
            return
        goal.feedback_at = now + FEEDBACK_PERIOD
        feedback = RunTask.Feedback()
        feedback.elapsed = now - goal.run.started_at
        feedback.chunk_id = self._node.scheduler.executing_id
        feedback.mode = int(self._node.scheduler.mode)
        goal.handle.publish_feedback(feedback)

    def _finish(self, goal: _Goal, now: float, outcome: Outcome, message: str) -> None:
        result = RunTask.Result()
        result.outcome, result.elapsed, result.message = int(outcome), now - goal.run.started_at, message

        def tell(handle: ServerGoalHandle) -> RunTask.Result:
            if outcome is Outcome.SUCCEEDED:
                handle.succeed()
            elif handle.is_cancel_requested:
                handle.canceled()
            else:
                handle.abort()
            return result

        goal.handle.execute(tell)
