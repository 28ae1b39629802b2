"""The course of `clwm chaos --all`: the stack runs a task, a fault is injected while the arms move, all is watched."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from clwm_bringup.graph import NodeSpec, environment
from clwm_bringup.restarts import Restarts
from clwm_bringup.supervisor import Line, Supervisor
from clwm_chaos.faults.beside import Beside
from clwm_chaos.faults.chaos_node import ChaosNode, SpinningNode
from clwm_chaos.faults.evidence import save_evidence
from clwm_chaos.faults.faults import (
    EmergencyStop,
    EndStack,
    Fault,
    KillSignal,
    Messages,
    Neighbour,
    Outcome,
    SecondExecutor,
    tampering,
)
from clwm_chaos.faults.plan import Planned
from clwm_chaos.faults.relay import Tampering
from clwm_chaos.faults.relay_node import with_relay
from clwm_chaos.faults.verdict import (
    HELD_AWAY,
    STANDSTILL_LIMIT,
    TRANSPORT,
    Injection,
    Observed,
    held_away,
    judge,
)
from clwm_chaos.motion_record import Rest, limit_shares
from clwm_common.messages import Mode
from clwm_common.robot.description import RobotDescription
from clwm_operator.operator_node import StackError
from clwm_sai_executor.config import SchedulerConfig

START_TIMEOUT = 120.0  # s until all nodes must be active
ANSWER_TIMEOUT = 10.0  # s
MOVES = 0.1  # rad/s: arms faster than this are moving
SETTLES = 0.2  # s that servos creep after the end of a motion
RUN_OUT = 2.0  # s; what is sent ahead takes at most 0.8 s and its braking tail
ATTEMPTS = 4  # more at an injection during which the simulation fell behind
LEAP = 0.05  # s between joint states of moving arms, from which on the simulation has fallen behind
CHUNKS_IN_A_ROW = 3  # that show that arms are led, even where they hold still
SLOWEST = 10.0  # times slower than real time, at which a simulation that makes the time is still waited for
WATCHED = 0.6  # s that a rest without a way out is watched for motion


class ChaosCourse:
    """A context manager around the stack with the fault relay in it. Use it from the main thread."""

    def __init__(
        self,
        specs: Sequence[NodeSpec],
        robot: RobotDescription,
        tasks: Sequence[str],
        on_line: Callable[[Line], None],
        evidence: Path | None = None,
    ) -> None:
        """tasks: those that the policy can do; a random one is under way at every injection.

        evidence: the folder for what was recorded of injections that were not as documented; None keeps nothing.
        """
        self._plain = {spec.name: spec for spec in specs}
        self._specs = with_relay(specs, robot.name)
        self._sim_time = any(spec.parameters.get("use_sim_time") for spec in specs)
        self._names = [spec.name for spec in self._specs]
        self._robot = robot
        self._tasks = sorted(tasks)
        self._on_line = on_line
        self._evidence = evidence
        self._deaths: list[str] = []
        self._identity = 0
        self._supervisor: Supervisor | None = None

    def __enter__(self) -> ChaosCourse:
        self._ros = SpinningNode(lambda: ChaosNode(self._robot, self._sim_time), self._sim_time)
        self._node: ChaosNode = self._ros.node
        self._beside = Beside(self._plain["executor"], self._robot.joint_states_topic, self._node, self._wait)
        try:
            self._start_stack()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._supervisor is not None:
            self._supervisor.stop()
        self._ros.close()

    def inject(self, fault: Fault, planned: Planned) -> Injection:
        """One episode with one fault at a random instant of motion. Raises StackError when the stack cannot go on.

        An injection that did not come about, during which the simulation fell behind, or after which the arms could not
        rest because they were pressed against something, says nothing about the executor and is done again.
        """
        begun = time.monotonic()
        for repeated in itertools.count():
            is_last = repeated == ATTEMPTS
            try:
                seen, task, episode_seed = self._attempt(fault, planned)
            except TimeoutError as error:
                if is_last:
                    raise StackError(f"{fault.name}: waited in vain for {error}; end other programs") from None
                continue
            rest, known, violations = judge(fault, seen, self._robot, SchedulerConfig().state_timeout)
            hindrance = _hindrance(fault, seen, rest, known)
            if hindrance and is_last:
                violations.append(hindrance)
            if is_last or not hindrance:
                break
        shares = limit_shares(seen.motion, self._robot)
        injection = Injection(
            fault=fault.name,
            number=planned.number,
            task=task,
            episode_seed=episode_seed,
            outcome=fault.outcome.value,
            known=fault.known.value,
            standstill_s=None if rest is None else max(0.0, rest.at - known),
            travel_rad=None if rest is None else rest.travel,
            from_injection_s=None if rest is None else rest.at - seen.began_at,
            velocity_share=shares.velocity,
            acceleration_share=shares.acceleration,
            longest_leap_s=seen.motion.longest_leap(),
            seconds=time.monotonic() - begun,
            repeated=repeated,
            violations=tuple(violations),
        )
        if violations and self._evidence is not None:
            save_evidence(self._evidence, injection, seen, self._robot)
        return injection

    def _attempt(self, fault: Fault, planned: Planned) -> tuple[Observed, str, int]:
        rng = np.random.default_rng(planned.seed)
        task, episode_seed = str(rng.choice(self._tasks)), int(rng.integers(1_000_000, 2_000_000))
        with self._beside.prepared(fault.means):
            self._begin_episode(task, episode_seed)
            self._wait_for_motion(float(rng.uniform(0.0, fault.into_task)))
            self._deaths.clear()
            seen = Observed(self._node.now())
            self._carry_out(fault, seen, int(rng.integers(1000)))
            self._collect(seen)
        return seen, task, episode_seed

    def _start_stack(self) -> None:
        self._node.health.clear()
        self._node.statuses.clear()
        # Here processes die by intent, which is no reason to wait longer and longer for the next one.
        self._supervisor = Supervisor(self._specs, environment(), self._hear, Restarts(lived_well=0.0))
        self._supervisor.__enter__()
        self._wait(
            lambda: all([self._node.is_active(name) for name in self._names]),
            "all nodes to become active",
            START_TIMEOUT,
        )

    def _hear(self, line: Line) -> None:
        if line.name == "clwm" or "Traceback" in line.text:
            self._deaths.append(f"{line.name}: {line.text}")
        self._on_line(line)

    def _begin_episode(self, task: str, seed: int) -> None:
        node = self._node
        if node.status.get("mode") != "POLICY":
            self._release()
        instruction = node.reset_world(task, seed, self._answer)
        self._answer(lambda: node.episode is not None and node.episode.seed == seed, f"the episode of seed {seed}")
        node.set_task(instruction, seed, self._answer)
        # What came before was of another world: arms leap when it is reset.
        node.clear()

    def _wait_for_motion(self, after: float) -> None:
        """Until the arms run a chunk, `after` seconds more, and until they move then."""
        node = self._node
        self._wait(lambda: self._is_running() and node.speed() > MOVES, "the arms to move", ANSWER_TIMEOUT)
        until = node.now() + after
        self._wait(lambda: node.now() >= until, "time to pass", after + 1.0)
        # A policy that has finished may hold still; the fault then comes at rest, which is an instant like any other.
        with contextlib.suppress(TimeoutError):
            self._wait(lambda: self._is_running() and node.speed() > MOVES, "the arms to move", 2.0)

    def _is_running(self) -> bool:
        status = self._node.status
        return status.get("mode") == "POLICY" and status.get("phase") == "MOVING"

    def _carry_out(self, fault: Fault, seen: Observed, pick: int) -> None:
        match fault.means:
            case KillSignal() as means:
                self._signal(means, seen)
            case Messages() as means:
                self._identity += 1
                self._tamper(tampering(means, self._identity, self._robot, pick), seen)
            case Neighbour() as means:
                self._beside.come_or_go(means, seen)
            case SecondExecutor():
                self._beside.start_second_executor(seen)
            case EmergencyStop():
                self._stop_by_hand(seen)
            case EndStack():
                self._end_stack(seen)
                return
        if fault.diagnosed is not None:
            self._wait_for_health(*fault.diagnosed, seen)
        self._watch_outcome(fault, seen)

    def _wait_for_health(self, name: str, text: str, seen: Observed) -> None:
        try:
            self._wait(
                lambda: self._node.has_said(name, text, seen.began_at), f"{name} to say '{text}'", ANSWER_TIMEOUT
            )
        except TimeoutError as error:
            seen.problems.append(f"the diagnostics never had it: waited in vain for {error}")

    def _signal(self, means: KillSignal, seen: Observed) -> None:
        process_id = self._supervisor.process_ids()[means.node]
        self._node.health.pop(means.node, None)
        seen.began_at = self._node.now()
        os.kill(process_id, means.number)
        if means.resume_after is not None:
            # By a clock that goes on when the process that is stopped makes the stack's.
            until = time.monotonic() + means.resume_after
            self._wait(lambda: time.monotonic() >= until, "time to pass", means.resume_after + 1.0)
            os.kill(process_id, signal.SIGCONT)
        else:
            self._wait(lambda: bool(self._deaths), f"{means.node} to end", ANSWER_TIMEOUT)
            self._deaths.pop(0)

    def _tamper(self, order: Tampering, seen: Observed) -> None:
        node = self._node
        node.tamper(order)
        try:
            self._wait(lambda: order.identity in node.applied, "the relay", order.seconds + 2.0)
        except TimeoutError:
            seen.problems.append(f"the relay had no message to {order.kind} within {order.seconds} s")
            return
        seen.began_at = node.applied[order.identity]
        if not order.count:
            until = seen.began_at + order.seconds
            self._wait(lambda: node.now() >= until, "time to pass", order.seconds + 1.0)

    def _stop_by_hand(self, seen: Observed) -> None:
        """ESTOP; then joint states fail and return, and POLICY is asked for: nothing of it may move the arms."""
        node = self._node
        seen.began_at = node.now()
        self._expect(node.set_mode(Mode.ESTOP, self._answer), "", seen)
        rest_from = node.now() + 0.5
        self._wait(lambda: node.now() >= rest_from, "time to pass", 1.5)
        self._identity += 1
        node.tamper(Tampering(self._identity, (self._robot.joint_states_topic,), "drop", seconds=0.4))
        until = rest_from + 0.4 + WATCHED
        self._wait(lambda: node.now() >= until, "time to pass", 2.0)
        self._expect(node.set_mode(Mode.POLICY, self._answer), "ESTOP is latched", seen)
        seen.estop = (rest_from, node.now())

    def _expect(self, refusal: str, expected: str, seen: Observed) -> None:
        if expected not in refusal or (refusal and not expected):
            seen.problems.append(f"SetMode answered '{refusal}'; expected '{expected}'")

    def _end_stack(self, seen: Observed) -> None:
        seen.began_at = self._node.now()
        self._supervisor.stop()
        # Joint states may be on their way still.
        time.sleep(0.2)
        self._collect(seen)
        seen.moved = not self._deaths
        seen.problems += self._deaths
        self._deaths.clear()
        self._start_stack()

    def _watch_outcome(self, fault: Fault, seen: Observed) -> None:
        """Wait until the stack has done what is documented, and note whether it has."""
        node = self._node
        seen.over_at = node.now()
        ahead = max((sent.end for sent in node.sent), default=seen.over_at)
        try:
            if fault.outcome in (Outcome.HOLD, Outcome.ESTOP):
                mode = fault.outcome.name
                self._wait(lambda: node.status.get("mode") == mode, f"mode {mode}", 2.0)
                until = node.now() + (WATCHED if fault.outcome is Outcome.HOLD else 0.0)
                self._wait(lambda: node.now() >= until, "time to pass", 2.0)
                if node.status.get("mode") != mode or node.speed() > MOVES:
                    return
                self._collect(seen)
                self._release()
            if fault.outcome is Outcome.RESTARTED:
                self._wait(lambda: node.is_active("executor"), "a new executor", fault.recovery)
                # It may be there before the arms have run out what the dead one had sent ahead.
                self._wait(lambda: node.now() >= ahead + SETTLES, "the arms to run out what was sent ahead", RUN_OUT)
                until = node.now() + WATCHED
                self._wait(lambda: node.now() >= until or node.speed() > MOVES, "time to pass", 2.0)
                if node.speed() > MOVES or node.has_task_since(seen.began_at + TRANSPORT):
                    seen.problems.append("the new executor moved the arms before it was given a task")
                node.set_task("lift the tray", 1, self._answer)
            since, asked = node.now(), len(node.requests)
            self._wait(
                lambda: (
                    self._is_running()
                    and len(node.requests) > asked
                    and (self._has_moved(since) or self._is_led(since))
                ),
                "the arms to move again",
                fault.recovery,
            )
            seen.moved = True
        except TimeoutError as error:
            seen.problems.append(f"waited in vain for {error}")
        seen.problems += self._deaths

    def _is_led(self, since: float) -> bool:
        """Whether chunks follow one another since: arms that a policy holds still are led as well as moving ones."""
        return sum(request.at > since and not request.at_rest for request in self._node.requests) > CHUNKS_IN_A_ROW

    def _has_moved(self, since: float) -> bool:
        """Whether the arms have rested or not, they must have gone somewhere since."""
        motion = self._node.motion().between(since, np.inf)
        return len(motion.times) > 0 and float(np.ptp(motion.positions, axis=0).max()) > 0.01

    def _release(self) -> None:
        """What an operator does who has understood the reason."""
        for mode in (Mode.HOLD, Mode.POLICY):
            self._node.set_mode(mode, self._answer)

    def _collect(self, seen: Observed) -> None:
        """Take over what was recorded, as far as nobody has done so."""
        node = self._node
        if seen.motion is None:
            seen.motion = node.motion()
            seen.requests, seen.sent, seen.statuses = list(node.requests), list(node.sent), list(node.statuses)
            seen.problems += node.broken_commands[:3]

    def _answer(self, condition: Callable[[], bool], what: str) -> None:
        try:
            self._wait(condition, what, ANSWER_TIMEOUT)
        except TimeoutError:
            raise StackError(f"{what} did not come within {ANSWER_TIMEOUT:.0f} s; see the nodes' logs") from None

    def _wait(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        """Serve the supervisor until `condition` holds. Raises TimeoutError, or StackError when a node is gone.

        timeout: s; more of them where a simulation makes the time, which may go slower.
        """
        until = time.monotonic() + timeout * (SLOWEST if self._sim_time else 1.0)
        while not condition():
            if time.monotonic() > until:
                raise TimeoutError(what)
            self._supervisor.poll(timeout=0.01)
            for name, reason in self._supervisor.given_up.items():
                raise StackError(f"{name} is gone: {reason}")


def _hindrance(fault: Fault, seen: Observed, rest: Rest | None, known: float) -> str:
    """Why what was seen says nothing about the executor; empty when it does."""
    leap = seen.motion.longest_leap()
    # What a neighbour must not cause is a gap that is too long for the executor.
    if leap > LEAP and not (isinstance(fault.means, Neighbour) and leap > SchedulerConfig().state_timeout):
        return f"the simulation fell behind by {leap:.2f} s; end other programs, and try again"
    if rest is None and fault.outcome is not Outcome.CONTINUES:
        away = held_away(seen, known + STANDSTILL_LIMIT)
        if away > HELD_AWAY:
            return f"something held an arm {away:.2f} rad away from where it was told to rest"
    return ""
