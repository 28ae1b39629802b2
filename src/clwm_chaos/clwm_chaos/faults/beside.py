"""Faults that come from processes beside the stack: neighbours that join and end, and a second executor."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator

from clwm_bringup.graph import NodeSpec, environment
from clwm_chaos.faults import neighbour_node
from clwm_chaos.faults.chaos_node import ChaosNode
from clwm_chaos.faults.faults import Neighbour
from clwm_chaos.faults.side_process import SideProcess
from clwm_chaos.faults.verdict import Observed

# Serves the supervisor until a condition holds; raises TimeoutError with what was waited for.
Wait = Callable[[Callable[[], bool], str, float], None]
START_TIMEOUT = 60.0  # s for a process to begin, on a busy machine
JOIN_TIMEOUT = 10.0  # s
WATCHED = 1.0  # s after a neighbour has come or gone: what it holds up, it holds up within that time
REFUSED, TOLD = "another executor has", "another executor was refused"


class Beside:
    """Carries out such faults on a running stack."""

    def __init__(self, executor: NodeSpec, topic: str, node: ChaosNode, wait: Wait) -> None:
        """executor: as `clwm up` starts it. topic: of the joint states, which neighbours listen to."""
        self._executor, self._topic, self._node, self._wait = executor, topic, node, wait
        self._neighbour: SideProcess | None = None

    @contextlib.contextmanager
    def prepared(self, means: object) -> Iterator[None]:
        """For a Neighbour: with a process that is ready to join or, when it shall end, has joined."""
        if not isinstance(means, Neighbour):
            yield
            return
        with SideProcess([sys.executable, "-m", neighbour_node.__name__, self._topic], environment()) as process:
            self._wait(lambda: process.has_said(neighbour_node.READY), "a neighbour", START_TIMEOUT)
            if means.ends is not None:
                self._join(process)
            self._neighbour = process
            yield

    def come_or_go(self, means: Neighbour, seen: Observed) -> None:
        """The neighbour does what it was prepared for."""
        seen.began_at = self._node.now()
        if means.ends is not None:
            self._neighbour.end(means.ends)
        else:
            self._join(self._neighbour)
        until = self._node.now() + WATCHED
        self._wait(lambda: self._node.now() >= until, "time to pass", WATCHED + 1.0)

    def start_second_executor(self, seen: Observed) -> None:
        """It must refuse, and the first one must say so."""
        seen.began_at = self._node.now()
        # Seconds of imports would stop a simulated robot on two cores, which says nothing about executors.
        with SideProcess(["nice", "-n", "5", *self._executor.command()], environment()) as second:
            self._wait(lambda: second.has_said("configure"), "the second executor's word", START_TIMEOUT)
            if not second.has_said(REFUSED):
                seen.problems.append(f"the second executor did not say '{REFUSED}' but: {second.text[-300:]}")
            try:
                self._wait(self._is_told, f"the first executor to say '{TOLD}'", 5.0)
            except TimeoutError as error:
                seen.problems.append(f"waited in vain for {error}")
            second.end(signal.SIGTERM)

    def _is_told(self) -> bool:
        health = self._node.health.get("executor")
        return health is not None and TOLD in health.message

    def _join(self, process: SideProcess) -> None:
        process.go_on()
        self._wait(lambda: process.has_said(neighbour_node.JOINED), "a neighbour to join", JOIN_TIMEOUT)
