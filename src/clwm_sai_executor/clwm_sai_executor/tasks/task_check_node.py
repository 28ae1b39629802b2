"""Asks the policy whether it takes a task, before anybody is told that it was accepted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

from rclpy.node import Node
from rclpy.task import Future

from clwm_msgs.srv import CheckTask
from clwm_sai_executor.events import TaskSet
from clwm_sai_executor.tasks.own_estimate import Terms

ANSWER_TIMEOUT = 2.0  # s
SERVICE = "/clwm/check_task"


class TaskAnswer(NamedTuple):
    """refusal: why the policy does not take the task; empty when it does. terms: on which its estimate may end it."""

    refusal: str
    terms: Terms | None = None


@dataclass
class _Question:
    """outcome: a TaskAnswer. answer: of the policy, once it could be asked."""

    task: TaskSet
    insist: bool
    accept_estimate: bool
    deadline: float
    outcome: Future
    answer: Future | None = None


class TaskCheck:
    """Never blocks: `poll` looks after the questions that are open."""

    def __init__(self, node: Node) -> None:
        self._client = node.create_client(CheckTask, SERVICE)
        self._open: list[_Question] = []

    def ask(self, task: TaskSet, insist: bool = False, accept_estimate: bool = False) -> Future:
        """A future of the policy's TaskAnswer.

        insist: it shall also take words unlike all that it was trained with. accept_estimate: its own estimate of
        success may end the task.
        """
        question = _Question(task, insist, accept_estimate, time.monotonic() + ANSWER_TIMEOUT, Future())
        self._open.append(question)
        self.poll()
        return question.outcome

    def poll(self) -> None:
        """Ask what could not be asked before, and end what is answered or has waited too long."""
        for question in list(self._open):
            if question.answer is None and self._client.service_is_ready():
                request = CheckTask.Request(
                    instruction=question.task.instruction,
                    memory_policy=int(question.task.memory_policy),
                    insist=question.insist,
                    accept_estimate=question.accept_estimate,
                )
                question.answer = self._client.call_async(request)
            if question.answer is not None and question.answer.done():
                self._close(question, _answer(question, question.answer.result()))
            elif time.monotonic() > question.deadline:
                self._close(question, TaskAnswer(self._silence(question)))

    def drop(self, reason: str) -> None:
        """Answer all open questions with this refusal."""
        for question in list(self._open):
            self._close(question, TaskAnswer(reason))

    def _close(self, question: _Question, answer: TaskAnswer) -> None:
        self._open.remove(question)
        if question.answer is not None and not question.answer.done():
            self._client.remove_pending_request(question.answer)
        question.outcome.set_result(answer)

    def _silence(self, question: _Question) -> str:
        what = "no policy offers" if question.answer is None else "the policy has not answered"
        return f"{what} {SERVICE} within {ANSWER_TIMEOUT:g} s; is it up and well? See `clwm watch`, or start `clwm up`"


def _answer(question: _Question, response: CheckTask.Response) -> TaskAnswer:
    if not response.accepted:
        return TaskAnswer(response.message or "the policy refuses this task")
    if not question.accept_estimate:
        return TaskAnswer("")
    return TaskAnswer("", Terms(response.success_threshold, max(response.success_chunks, 1), response.success_error))
