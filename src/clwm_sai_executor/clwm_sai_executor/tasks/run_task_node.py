"""The action /clwm/run_task: one instruction until success, failure, time-out or cancellation."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any, Protocol

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.task import Future

from clwm_common.messages import MemoryPolicy
from clwm_common.ros.conversions import cut_text
from clwm_common.verdicts import Verdicts
from clwm_msgs.action import RunTask
from clwm_sai_executor.events import TaskSet
from clwm_sai_executor.scheduler import Scheduler
from clwm_sai_executor.tasks.own_estimate import OwnEstimate
from clwm_sai_executor.tasks.task_check_node import TaskAnswer, TaskCheck
from clwm_sai_executor.tasks.task_run import Outcome, TaskRun, remark

FEEDBACK_PERIOD = 0.5  # s; a client takes a longer silence for the executor's end


@dataclass
class _Goal:
    """run: None while the policy is asked whether it takes the task. answer: the policy's, or ours at once."""

    handle: ServerGoalHandle
    task: TaskSet
    answer: Future
    accepted_at: float
    run: TaskRun | None = None
    feedback_at: float = -math.inf


class TaskTaker(Protocol):
    """The node that serves the action, and carries out what is asked with it."""

    scheduler: Scheduler
    task_check: TaskCheck
    verdicts: Verdicts
    estimate: OwnEstimate | None

    def now(self) -> float:
        """Seconds on the stack's clock."""

    def problem_with(self, instruction: str, memory_policy: int, goal: str) -> str:
        """Why such a task cannot even be tried; empty when the policy may be asked."""

    def begin_task(self, task: TaskSet, answer: TaskAnswer) -> str:
        """Have it done, as far as the policy takes it. Returns the reason when it is refused, else an empty text."""

    def end_task(self) -> None:
        """Nothing more is asked of the policy."""

    def get_logger(self) -> Any:
        """As of any node."""


class RunTaskServer:
    """Runs are looked after in `poll`, which the node calls at every tick, so that no callback ever waits.

    A goal is taken at once, also one that is refused: only a result can carry the reason. Its execution is only the
    moment in which the outcome is told.
    """

    def __init__(self, node: TaskTaker) -> None:
        self._node = node
        self._goals: list[_Goal] = []
        self._server = ActionServer(
            node,
            RunTask,
            "/clwm/run_task",
            execute_callback=lambda handle: RunTask.Result(),
            goal_callback=lambda request: GoalResponse.ACCEPT,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
        )

    def destroy(self) -> None:
        """Stop serving; the node must still exist."""
        self._server.destroy()

    def abort(self, reason: str) -> None:
        """End all runs: nobody looks after them any more."""
        for goal in list(self._goals):
            self._end(goal, Outcome.FAILED, reason)

    def shift(self, seconds: float) -> None:
        """The stack's clock was set by `seconds`: no time of any run has passed by it."""
        for goal in self._goals:
            goal.accepted_at += seconds
            if goal.run is not None:
                goal.run = replace(goal.run, started_at=goal.run.started_at + seconds)

    def poll(self, now: float) -> None:
        """Begin runs that the policy takes, give feedback on them and end those that are over."""
        for goal in list(self._goals):
            if goal.handle.is_cancel_requested:
                self._end(goal, Outcome.CANCELLED, "cancelled by the client")
            elif goal.run is None and goal.answer.done():
                self._begin(goal, now)
            elif goal.run is not None and (verdict := self._judge(goal, now)) is not None:
                self._end(goal, *verdict)
            else:
                self._give_feedback(goal, now)

    def _begin(self, goal: _Goal, now: float) -> None:
        refusal = self._node.begin_task(goal.task, goal.answer.result())
        if refusal:
            self._end(goal, Outcome.REFUSED, refusal)
        else:
            goal.run = TaskRun(now, goal.handle.request.timeout)

    def _judge(self, goal: _Goal, now: float) -> tuple[Outcome, str] | None:
        scheduler = self._node.scheduler
        return goal.run.judge(
            now,
            self._node.verdicts.of(scheduler.task_epoch),
            is_current=scheduler.task is goal.task,
            mode=scheduler.mode,
            fault=scheduler.fault,
            denial=scheduler.epoch.denial,
            waiting=scheduler.waiting,
            estimate=self._node.estimate,
        )

    def _on_accepted(self, handle: ServerGoalHandle) -> None:
        request, answer = handle.request, Future()
        task = TaskSet(request.instruction, goal=request.goal)
        reason = self._node.problem_with(request.instruction, request.memory_policy, request.goal)
        if not reason and not (math.isfinite(request.timeout) and request.timeout > 0.0):
            reason = f"its timeout is {request.timeout} s; expected a finite one of more than 0 s"
        if reason:
            answer.set_result(TaskAnswer(reason))
        else:
            task = TaskSet(request.instruction, MemoryPolicy(request.memory_policy), goal=request.goal)
            answer = self._node.task_check.ask(task, request.insist, request.accept_estimate)
        goal = _Goal(handle, task, answer, self._node.now())
        self._goals.append(goal)
        if reason:
            self._node.get_logger().warning(f"run of {request.instruction[:80]!r} refused: {reason}")
            self._end(goal, Outcome.REFUSED, reason)

    def _give_feedback(self, goal: _Goal, now: float) -> None:
        # By a clock that never stands still: whoever waits takes silence for the executor's end.
        if time.monotonic() < goal.feedback_at:
            return
        goal.feedback_at = time.monotonic() + FEEDBACK_PERIOD
        scheduler = self._node.scheduler
        feedback = RunTask.Feedback(chunk_id=scheduler.executing_id, mode=int(scheduler.mode))
        if goal.run is not None:
            feedback.elapsed = now - goal.run.started_at
            note = remark(self._node.verdicts.of(scheduler.task_epoch), scheduler.waiting, self._node.estimate)
            feedback.note = cut_text(note, RunTask.Feedback, "note")
        goal.handle.publish_feedback(feedback)

    def _end(self, goal: _Goal, outcome: Outcome, message: str) -> None:
        self._goals.remove(goal)
        if goal.run is not None and self._node.scheduler.task is goal.task:
            self._node.end_task()
        started_at = goal.accepted_at if goal.run is None else goal.run.started_at
        result = RunTask.Result(outcome=int(outcome), elapsed=self._node.now() - started_at, message=message)

        def tell(handle: ServerGoalHandle) -> RunTask.Result:
            if outcome is Outcome.SUCCEEDED:
                handle.succeed()
            elif handle.is_cancel_requested:
                handle.canceled()
            else:
                handle.abort()
            return result

        goal.handle.execute(tell)
