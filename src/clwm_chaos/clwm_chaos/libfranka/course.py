"""Injects faults of arms and hands by libfranka into the running stack, one episode each."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import TracebackType

import numpy as np

from clwm_bringup import graph
from clwm_bringup.supervisor import Line, Supervisor
from clwm_chaos.faults.plan import Planned
from clwm_chaos.libfranka.faults import CUT, FAULTS, Injected, Kind, LibfrankaFault, judge_motion
from clwm_chaos.libfranka.watch_node import SIDES, WatchNode
from clwm_common.messages import Mode
from clwm_common.ros.session import RosSession
from clwm_operator.demo.course import Demo
from clwm_operator.operator_node import StackError
from clwm_operator.recording import Recording

TASK = "lift_tray"
FAST = 0.15  # rad/s from which on arms are in the middle of a motion
PATIENCE = 20.0  # s of the stack's time, or of real time many times that
STAYS = 1.0  # s for which nothing may recover by itself
FIRST_SEED = 9_200_000


class LibfrankaCourse(Demo):
    """The stack, its operator and the faults, in the supervisor's thread."""

    def __init__(self, options: graph.StackOptions, on_line: Callable[[Line], None]) -> None:
        self._options, self._specs = options, graph.build_graph(options)
        self._robot = graph.simulated_robot(options.robot)
        supervisor = Supervisor(self._specs, graph.environment(), on_line)
        super().__init__(supervisor, Recording(()), lambda text: on_line(Line("chaos", text)), options.rate > 0.0)

    def __enter__(self) -> LibfrankaCourse:
        self._supervisor.__enter__()
        try:
            self._ros = RosSession()
            self.node = self._ros.add(WatchNode(self._robot, self._options.rate > 0.0))
            self.wait_until_active([spec.name for spec in self._specs])
        except BaseException:
            self._supervisor.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ros.close()
        self._supervisor.stop()

    def inject(self, item: Planned) -> Injected:
        """Do it at a random instant of a motion, look, recover, and see that all goes on. Raises StackError."""
        fault, rng = FAULTS[item.fault], np.random.default_rng(item.seed)
        injected = Injected(item.fault, item.number, SIDES[int(rng.integers(2))])
        started = self.node.now()
        self._begin(FIRST_SEED + int(rng.integers(1000)), fault.kind is not Kind.EMPTY_GRASP)
        if fault.kind is Kind.EMPTY_GRASP:
            self._grasp_nothing(injected)
        else:
            self.linger(float(rng.uniform(0.0, 1.0)))
            self._until(lambda: self.node.speed() > FAST, "the arms to move")
            self._stop_and_recover(fault, injected)
        injected.seconds = round(self.node.now() - started, 2)
        return injected

    def _begin(self, seed: int, with_task: bool) -> None:
        node = self.node
        node.set_mode(Mode.POLICY if with_task else Mode.HOLD, self.wait_for_answer)
        instruction = node.reset_world(TASK, seed, self.wait_for_answer)
        self.linger(0.5)
        node.clear()
        if with_task:
            node.set_task(instruction, seed, self.wait_for_answer)
            self._until(lambda: node.speed() > FAST, "the arms to move")

    def _stop_and_recover(self, fault: LibfrankaFault, injected: Injected) -> None:
        node, arm = self.node, injected.arm
        began = node.now()
        match fault.kind:
            case Kind.KILL_DRIVER:
                os.kill(self._supervisor.process_ids()[f"{arm}_arm"], signal.SIGKILL)
            case Kind.REFLEX:
                node.disturb(arm, fault.error, 0.0, self.wait_for_answer)
            case Kind.CUT:
                node.disturb(arm, "", CUT, self.wait_for_answer)
        self._until(lambda: fault.said in node.mode.reason, f"the mode to say {fault.said}")
        # What the driver says comes on a topic of its own, and may be heard later than the mode.
        self._until(lambda: fault.said in node.driver_faults.get(arm, ""), f"the driver to say {fault.said}")
        injected.said = node.mode.reason
        if fault.kind is Kind.REFLEX:
            began = node.driver_said_at[arm]  # the world was asked for it before
        self.linger(STAYS)
        judge_motion(injected, began, node.courses())
        if node.mode.mode != Mode.HOLD or not node.driver_faults.get(arm):
            injected.violations.append(f"it went on by itself: mode {Mode(node.mode.mode).name}")
        try:
            node.set_mode(Mode.POLICY, self.wait_for_answer)
            injected.violations.append("POLICY was accepted before the arm was recovered")
        except StackError:
            pass  # as documented: the arm takes no commands
        node.recover(arm, self.wait_for_answer)
        self._until(lambda: not node.driver_faults.get(arm), "the driver to take commands again")
        self._begin(FIRST_SEED + 1000 + injected.number, with_task=True)

    def _grasp_nothing(self, injected: Injected) -> None:
        node, arm = self.node, injected.arm
        result = node.move_hand(arm, 0.0, self.wait_for_end)
        injected.said = result.message
        if result.is_holding or "on nothing" not in result.message:
            injected.violations.append(f"the goal ended with is_holding {result.is_holding}, '{result.message}'")
        self._until(lambda: "on nothing" in node.health[f"{arm}_hand"].message, "the hand's health to say it")
        result = node.move_hand(arm, 0.08, self.wait_for_end)
        if abs(result.width - 0.08) > 0.002:
            injected.violations.append(f"the hand opened to {result.width:.3f} m only")

    def wait_for_end(self, condition: Callable[[], bool], what: str) -> None:
        """`wait_for_answer` with the patience for a motion."""
        self.wait_for_answer(condition, what, PATIENCE)

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        self.wait_for_answer(condition, what, PATIENCE)
