"""The demo's course: bring the stack up, run the episodes, switch the task while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType

from clwm_bringup.supervisor import Supervisor
from clwm_common.ros.diagnostics import Health, Level
from clwm_common.ros.session import RosSession
from clwm_operator.demo.demo_node import DemoNode
from clwm_operator.operator_node import StackError
from clwm_operator.recording import Episode, Recording
from clwm_sim.shipped_tasks import longest_episode, task_named

START_TIMEOUT = 120.0  # s until all nodes must be active
ANSWER_TIMEOUT = 10.0  # s
STANDS = 20.0  # s after which a stack's clock that does not go is waited for no longer
LINGER = 0.7  # s of picture after an episode's end
SETTLE = 1.6  # s after the last episode, in which late reports arrive


@dataclass(frozen=True)
class EpisodePlan:
    task: str
    seed: int

    @classmethod
    def parse(cls, text: str, seed: int) -> EpisodePlan:
        """Of TASK, or of TASK@SEED in place of `seed`: goals of one scene at one seed begin in the same scene.

        Raises UnknownTask, ValueError for a seed that is none.
        """
        name, at, own = text.strip().partition("@")
        if at and not own.isdecimal():
            raise ValueError(f"'{text}': '{own}' is no seed; expected a whole number from 0 on, as in {name}@7")
        return cls(task_named(name).name, int(own) if at else seed)


class Demo(AbstractContextManager):
    """Runs in the supervisor's thread. on_step: called with what is going on, for people."""

    def __init__(
        self,
        supervisor: Supervisor,
        recording: Recording,
        on_step: Callable[[str], None],
        is_simulated_time: bool = False,
    ) -> None:
        """is_simulated_time: the stack lives by /clock, however slow that is."""
        self._supervisor = supervisor
        self._recording = recording
        self._on_step = on_step
        self._is_simulated_time = is_simulated_time

    def __enter__(self) -> Demo:
        self._ros = RosSession()
        self.node = self._ros.add(DemoNode(self._recording, is_simulated_time=self._is_simulated_time))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ros.close()

    def wait_until_active(self, names: Sequence[str]) -> None:
        """Until each of the nodes is active and reports no error; an active one may report an error that passes.

        Raises StackError naming the first node that refuses to become active or has died for good, or all that stay
        silent or in error.
        """
        waiting = list(names)

        def is_up() -> bool:
            for name in list(waiting):
                if self.node.is_active(name) and self.node.health[name].level is not Level.ERROR:
                    waiting.remove(name)
                    self._on_step(f"{name} is active" + (f", waiting for {', '.join(waiting)}" if waiting else ""))
            return not waiting

        try:
            self.wait(is_up, "all nodes to become active", START_TIMEOUT)
        except TimeoutError:
            said = [f"{name}: {self.node.health.get(name, Health(message='silent')).message}" for name in waiting]
            raise StackError(
                f"the stack did not come up within {START_TIMEOUT:.0f} s: {'; '.join(said)}; "
                "see the logs beside the report, and `clwm doctor`"
            ) from None

    def run_episode(self, plan: EpisodePlan) -> Episode:
        """Reset the world under the running stack, give the task, wait for the verdict or the task's time-out."""
        node = self.node
        self._on_step(f"{plan.task}, seed {plan.seed}: resetting the world")
        instruction = node.reset_world(plan.task, plan.seed, self.wait_for_answer)
        self.wait_for_answer(lambda: self._is_begun(plan), f"the episode {plan.task}, seed {plan.seed}")
        started_at = node.now() - node.episode.elapsed
        node.set_task(instruction, plan.seed, self.wait_for_answer)
        episode = Episode(plan.task, plan.seed, instruction, started_at)
        if not self._recording.episodes:
            self._recording.frames.clear()  # the film begins with the first episode, not with the wait for it
        self._recording.episodes.append(episode)
        timeout = longest_episode(plan.task, plan.seed)
        self._on_step(f"{plan.task}, seed {plan.seed}: “{instruction}”")
        try:
            self.wait(lambda: self._is_over(timeout), "the episode's end", 3.0 * timeout)
        except TimeoutError:
            raise StackError(
                f"episode {plan.task}, seed {plan.seed} did not end: the simulation is silent or slow"
            ) from None
        status = node.episode
        episode.outcome = "success" if status.succeeded else "failure" if status.failed else "timeout"
        episode.seconds = status.elapsed
        episode.ended_at = node.now()
        self._on_step(f"{plan.task}, seed {plan.seed}: {episode.outcome} after {episode.seconds:.1f} s")
        self.linger(LINGER)
        return episode

    def linger(self, seconds: float) -> None:
        """Keep recording for a while."""
        until = self.node.now() + seconds
        self.wait_for_answer(lambda: self.node.now() >= until, f"{seconds:g} s on the stack's clock")

    def _is_begun(self, plan: EpisodePlan) -> bool:
        episode = self.node.episode
        return episode is not None and (episode.task, episode.seed) == (plan.task, plan.seed) and episode.elapsed < 2.0

    def _is_over(self, timeout: float) -> bool:
        episode = self.node.episode
        return episode.succeeded or episode.failed or episode.elapsed >= timeout

    def wait_for_answer(self, condition: Callable[[], bool], what: str, timeout: float = ANSWER_TIMEOUT) -> None:
        """`wait` for a service: raises StackError when nothing comes."""
        try:
            self.wait(condition, what, timeout)
        except TimeoutError:
            raise StackError(f"{what} did not come within {timeout:.0f} s; see the nodes' logs") from None

    def wait(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        """Spin until `condition` holds. Raises TimeoutError, or StackError when a node is gone for good.

        timeout: s that pass on the machine's clock and on the stack's; STANDS where the latter does not go.
        """
        began, instant = time.monotonic(), self.node.now()
        moved_at, until = began, instant + timeout
        while not condition():
            steady, now = time.monotonic(), self.node.now()
            if now != instant:
                # The first /clock says nothing of how long it was waited for.
                until = until if instant else now + timeout
                moved_at, instant = steady, now
            if steady - began > timeout and (now > until or steady - moved_at > STANDS):
                raise TimeoutError(what)
            self.spin()
            if self._supervisor.given_up:
                name, reason = next(iter(self._supervisor.given_up.items()))
                raise StackError(f"{name} is gone: {reason}")

    def spin(self) -> None:
        """Serve topics and processes for a moment."""
        self._ros.spin_once(timeout_sec=0.05)
        self._supervisor.poll()
