"""What a process at the operator's side sees of the running stack, and can order: its only contact with ROS."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.action import ActionClient
from rclpy.node import Node, NodeNameNonExistentError
from std_srvs.srv import Trigger

from clwm_common.messages import Judgement, MemoryPolicy, Mode, Verdict
from clwm_common.ros import qos
from clwm_common.ros.claiming import ClaimListener
from clwm_common.ros.conversions import from_msg, to_msg
from clwm_common.ros.diagnostics import Health, Level, from_status
from clwm_common.verdicts import OPERATOR
from clwm_msgs import msg
from clwm_msgs.action import RunTask
from clwm_msgs.msg import ChunkTimeline, EpisodeStatus, ModeStatus, TaskStatus
from clwm_msgs.srv import ResetWorld, SetMode, SetTask
from clwm_operator.recording import Chunk

# Spins until a condition holds; raises StackError, naming what was waited for, when that lasts too long.
Wait = Callable[[Callable[[], bool], str], None]
RUN_OUTCOMES = {
    RunTask.Result.SUCCEEDED: "succeeded",
    RunTask.Result.FAILED: "failed",
    RunTask.Result.TIMED_OUT: "timed out",
    RunTask.Result.CANCELLED: "cancelled",
}
SILENCE = 3.0  # s without feedback, which comes every half second, after which the executor counts as dead
LONGEST_SPIN = 0.2  # s
_CHUNKS_KEPT = 50
_ORDERS = "/clwm/set_mode"


def problem_with_masters(node: Node, claims: ClaimListener) -> str:
    """Why an order of `node` would reach more than one executor; empty when it reaches one or none.

    For a process that has just started: to an old one, an executor that was killed lives on for some seconds.
    """
    count = max(node.count_services(_ORDERS), len(holders := claims.holders("executor")))
    if count < 2:
        return ""
    names = {holder.node for holder in holders}
    silent = [f"node '{name}', which makes no claim" for name in _servers(node, _ORDERS) if name not in names]
    return (
        f"{count} executors serve {_ORDERS}, and an order reaches all: {'; '.join([*map(str, holders), *silent])}; "
        "end all but one, or give each a ROS_DOMAIN_ID of its own"
    )


def _servers(node: Node, service: str) -> list[str]:
    found = []
    for name, namespace in node.get_node_names_and_namespaces():
        with contextlib.suppress(NodeNameNonExistentError):  # gone meanwhile
            if service in dict(node.get_service_names_and_types_by_node(name, namespace)):
                found.append(f"{namespace.rstrip('/')}/{name}")
    return sorted(found)


class StackError(RuntimeError):
    """The stack does not do what is asked; the message says which part, why, and what to look at."""


class Pulse:
    """Signs of life of a task that runs. silence: s that were waited since the last one.

    on_note: told the note that comes with one, when it is another than before.
    """

    def __init__(self, on_note: Callable[[str], None]) -> None:
        self.silence = 0.0
        self._is_heard = False
        self._on_note = on_note
        self._note = ""

    def hear(self, note: str) -> None:
        """A sign of life."""
        self._is_heard = True
        if note != self._note:
            self._note = note
            self._on_note(note)

    def spin(self, spin: Callable[[], None]) -> None:
        """Wait for the next sign. Whoever was stopped itself has not listened meanwhile."""
        began, self._is_heard = time.monotonic(), False
        spin()
        self.silence = 0.0 if self._is_heard else self.silence + min(time.monotonic() - began, LONGEST_SPIN)


class OperatorNode(Node):
    """`health` has the last diagnostics by node name, `episode` the world's last word, `status` the executor's, `mode`
    who moves the arms, `chunks` the stories of the last ones.
    """

    def __init__(self, name: str = "clwm_operator", **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.health: dict[str, Health] = {}
        self.episode: EpisodeStatus | None = None
        self.status: dict[str, Any] = {}
        self.mode: ModeStatus | None = None
        self.chunks: deque[Chunk] = deque(maxlen=_CHUNKS_KEPT)
        self.create_subscription(ChunkTimeline, "/clwm/chunk_timeline", self._on_chunk, qos.REPORT)
        self.create_subscription(ModeStatus, "/clwm/mode", self._on_mode, qos.LATCHED)
        self.create_subscription(TaskStatus, "/clwm/task_status", self._on_status, qos.LATCHED)
        self.create_subscription(EpisodeStatus, "/clwm_sim/episode", self._on_episode, qos.REPORT)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.REPORT)
        self._claims = ClaimListener(self)
        self._reset = self.create_client(ResetWorld, "/clwm_sim/reset")
        self._set_task = self.create_client(SetTask, "/clwm/set_task")
        self._verdicts = self.create_publisher(msg.Verdict, "/clwm/verdict", qos.VERDICT)

    def now(self) -> float:
        """Seconds on the stack's clock."""
        return self.get_clock().now().nanoseconds * 1e-9

    def is_active(self, name: str) -> bool:
        """Whether node `name` works. Raises StackError with its reason when it refused to, or stopped."""
        health = self.health.get(name)
        if health is not None and not health.is_active and health.level is Level.ERROR:
            raise StackError(f"the stack did not come up: {name}: {health.message}")
        return health is not None and health.is_active

    def reset_world(self, task: str, seed: int, wait: Wait) -> str:
        """Begin an episode of the simulated world; return its instruction."""
        response = self._call(self._reset, ResetWorld.Request(task=task, seed=seed), wait)
        if not response.accepted:
            raise StackError(f"the world refused to be reset to {task}, seed {seed}: {response.message}")
        return response.instruction

    def set_task(
        self,
        instruction: str,
        seed: int,
        wait: Wait,
        memory: MemoryPolicy = MemoryPolicy.RESET,
        goal: str = "",
        insist: bool = False,
        accept_estimate: bool = False,
    ) -> None:
        """Give the arms a task, with a fresh memory unless told otherwise. Raises StackError when it is refused.

        insist: on words that are unlike all that the policy was trained with. accept_estimate: where nobody else judges
        it, the policy's own estimate of success may end it.
        """
        request = SetTask.Request(
            instruction=instruction,
            memory_policy=int(memory),
            episode_seed=seed,
            goal=goal,
            insist=insist,
            accept_estimate=accept_estimate,
        )
        response = self._call(self._set_task, request, wait)
        if not response.accepted:
            raise StackError(f"the executor refused the task '{instruction}': {response.message}")

    def run_task(
        self,
        goal: RunTask.Goal,
        wait: Wait,
        spin: Callable[[], None],
        on_note: Callable[[str], None] = lambda note: None,
    ) -> tuple[str, float, str]:
        """Have a task run until it succeeds, fails or takes too long: (outcome, seconds, message).

        spin: serves ROS for a moment; KeyboardInterrupt out of it cancels the task, and the arms hold. on_note: told
        what an operator should know meanwhile, when it changes. Raises StackError when the task is refused, or the
        executor falls silent.
        """
        pulse = Pulse(on_note)
        client = ActionClient(self, RunTask, "/clwm/run_task")
        try:
            wait(client.server_is_ready, "the action /clwm/run_task")
            sent = client.send_goal_async(goal, lambda message: pulse.hear(message.feedback.note))
            wait(sent.done, "the answer of /clwm/run_task")
            handle = sent.result()
            over = handle.get_result_async()
            try:
                while not over.done():
                    pulse.spin(spin)
                    if pulse.silence > SILENCE:
                        raise StackError(
                            f"the executor has been silent for {SILENCE:g} s while it ran '{goal.instruction}'. It has "
                            "died or hangs: the arms run out what was sent and rest; see `clwm watch` and its log"
                        )
            except KeyboardInterrupt:
                handle.cancel_goal_async()
                wait(over.done, "the end of the cancelled task")
            result = over.result().result
        finally:
            client.destroy()
        if result.outcome == RunTask.Result.REFUSED:
            raise StackError(f"the executor refused the task '{goal.instruction}': {result.message}")
        return RUN_OUTCOMES[result.outcome], result.elapsed, result.message

    @property
    def has_task(self) -> bool:
        """Whether anything is asked of the arms."""
        return bool(self.status.get("instruction"))

    def say(self, outcome: Judgement, reason: str) -> None:
        """An operator's verdict on the present task, which ends it."""
        epoch, goal = self.status["task_epoch"], self.status["goal"]
        self._verdicts.publish(to_msg(Verdict(self.now(), epoch, OPERATOR, outcome, goal, reason)))

    def judge(self, outcome: Judgement, reason: str, wait: Wait) -> str:
        """`say`, and wait until the task is over. Returns its instruction. Raises StackError where there is none."""
        wait(lambda: bool(self.status) and self._verdicts.get_subscription_count() > 0, "the executor")
        if not self.has_task:
            raise StackError("there is no task to judge: nothing is asked of the arms; see `clwm watch`")
        epoch, instruction = self.status["task_epoch"], self.status["instruction"]
        self.say(outcome, reason)
        wait(lambda: not self.has_task or self.status["task_epoch"] != epoch, f"the end of “{instruction}”")
        return instruction

    def require_one_executor(self, wait: Wait) -> None:
        """Raises StackError, naming them, when an order would reach more than one executor."""
        wait(lambda: self._claims.has_listened and self.count_services(_ORDERS) > 0, f"service {_ORDERS}")
        if problem := problem_with_masters(self, self._claims):
            raise StackError(problem)

    def stop(self, mode: Mode, wait: Wait) -> None:
        """Order HOLD or ESTOP at once, to all executors. Raises StackError when there is more than one, after that."""
        self.set_mode(mode, wait)
        try:
            self.require_one_executor(wait)
        except StackError:
            # To those who had not been discovered yet.
            self.set_mode(mode, wait)
            raise

    def set_mode(self, mode: Mode, wait: Wait) -> None:
        """Choose who moves the arms."""
        client = self.create_client(SetMode, "/clwm/set_mode")
        response = self._call(client, SetMode.Request(mode=int(mode)), wait)
        self.destroy_client(client)
        if not response.accepted:
            raise StackError(f"the executor refused the mode {mode.name}: {response.message}")

    def recover(self, arm: str, wait: Wait) -> None:
        """Let the driver of the `left` or `right` arm recover from the error that has stopped it. Raises StackError."""
        answer = self._call(self.create_client(Trigger, f"/{arm}_arm/recover"), Trigger.Request(), wait)
        if not answer.success:
            raise StackError(answer.message)

    def _call(self, client: Any, request: Any, wait: Wait) -> Any:
        wait(client.service_is_ready, f"service {client.srv_name}")
        future = client.call_async(request)
        wait(future.done, f"the answer of {client.srv_name}")
        return future.result()

    def _on_chunk(self, message: ChunkTimeline) -> None:
        self.chunks.append(Chunk.from_timeline(from_msg(message)))

    def _on_mode(self, message: ModeStatus) -> None:
        self.mode = message

    def _on_status(self, message: TaskStatus) -> None:
        status = from_msg(message)
        self.status = {**vars(status), "mode": status.mode.name}

    def _on_episode(self, message: EpisodeStatus) -> None:
        self.episode = message

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.health[status.name] = from_status(status)
