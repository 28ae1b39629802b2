"""One run of the virtual-clock fuzzer: the executor's core among everything that can go wrong around it."""

from __future__ import annotations

import heapq
import itertools
import math
import time
from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from clwm_chaos.fuzzer.arms import FuzzedArms, random_joints, row_without_poses
from clwm_chaos.fuzzer.policy import Answer, RestlessPolicy
from clwm_chaos.fuzzer.refusals import Refusals
from clwm_chaos.fuzzer.result import RunResult
from clwm_chaos.fuzzer.stream import StreamedArms
from clwm_chaos.motion_checks import Violation
from clwm_common.actions import CHUNK_ROWS, ROW_DT
from clwm_common.messages import ChunkRefusal, ChunkRequest, Mode
from clwm_common.robot.description import RobotDescription
from clwm_sai_executor import events
from clwm_sai_executor.checks.clearance import margins_of
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.path.limits import stopping_steps
from clwm_sai_executor.scheduler import Phase, Scheduler

Array = NDArray[np.float64]

START = 1.8e9  # s, as clocks show it today: a float has 0.24 us there
LED_ON = 2.5  # s after the clock was set forward; joint states may be silent for 2 s of it
LONGEST_BRAKING = 0.6  # s from full speed
PATIENCE = 5.0  # s without a chunk executed and without a reason for it, on top of the policy's time-out
_CLEARANCE_SLACK = 2e-5  # m, of rounding

# How often a disturbance comes, per second.
DISTURBANCES = {
    "HOLD": 0.0675,
    "ESTOP": 0.0225,
    "TELEOP": 0.0225,
    "task": 0.09,
    "task without words": 0.01125,
    "task ended": 0.0225,
    "silence": 0.045,
    "invalid joint state": 0.09,
    "repeated joint state": 0.09,
    "late tick": 0.225,
    "reset": 0.0225,
    "clock forward": 0.009,
    "clock back": 0.009,
}
RATE = sum(DISTURBANCES.values())
_NAMES, _ENDS = tuple(DISTURBANCES), (np.cumsum(list(DISTURBANCES.values())) / RATE).tolist()


def random_config(rng: np.random.Generator) -> SchedulerConfig:
    """Settings anywhere an integrator might put them."""
    return SchedulerConfig(
        execution_horizon=int(rng.choice([4, 8, 11, 12, 12, 12, 13, 14, 15, 16])),
        lead=float(rng.choice([0.01, 0.02, 0.02, 0.05])),
        chunk_timeout=float(rng.choice([1.0, 2.0])),
        state_timeout=float(rng.choice([0.15, 0.2, 0.4])),
        velocity_scale=float(rng.choice([0.3, 1.0, 1.0])),
        acceleration_scale=float(rng.choice([0.3, 1.0, 1.0])),
        refuse_jerk=float(rng.choice([2.0, 100.0, 100.0])),
        refuse_step=float(rng.choice([0.1, 0.5, 1.0])),
        blend_rows=int(rng.choice([0, 2, 4, 4, 6])),
    )


def _says_reset(command: events.Command) -> bool:
    return isinstance(command, events.Report) and command.text.startswith("the arms are not where they were")


class FuzzRun:
    """Runs until so many chunks have been executed. Everything follows from `seed` and `run`."""

    def __init__(self, robot: RobotDescription, seed: int, run: int) -> None:
        self._rng = np.random.default_rng([seed, run])
        self._robot = robot
        self._open = np.array([arm.gripper.opening_max for arm in robot.arms])
        self._run = run
        self._config = random_config(self._rng)
        # Clearances cost as much as all the rest, so every tenth run has them.
        self._margins = margins_of(robot) if run % 10 == 9 else None
        self._scheduler = Scheduler(robot, self._config, row_without_poses, self._margins)
        self._policy = RestlessPolicy(robot, self._rng, self._config.refuse_step)
        is_streamed = robot.left.controller.kind == "forward"
        self._arms = (
            StreamedArms(robot, self._violate, np.random.default_rng([seed, run, 1]))
            if is_streamed
            else FuzzedArms(robot, self._violate)
        )
        self._result = RunResult()
        self._now = START
        self._queue: list[tuple[float, int, Answer]] = []
        self._serial = itertools.count()
        # Between joint states; a stream that is only just dense enough is the cheapest to run and the hardest to bear.
        self._state_gap = self._config.state_timeout * float(self._rng.choice([0.2, *[0.95] * 5]))
        self._measured_at = -math.inf
        self._silent_until = -math.inf
        # Instants of what comes next, besides the answers in the queue.
        self._state_at = START
        self._disturbance_at = START + float(self._rng.exponential(1.0 / RATE))
        self._change_at = math.inf
        self._look_at = math.inf
        # What the scheduler ought to be in, kept apart from it.
        self._mode = Mode.POLICY
        self._epoch = 0
        self._has_task = False
        self._wanted: ChunkRequest | None = None
        self._refusals = Refusals()
        self._may_jump = False
        self._led_on_until = -math.inf
        self._still_from = math.inf
        self._run_out_by = -math.inf
        self._waiting_since = START
        self._acceleration = robot.limit("acceleration") * self._config.acceleration_scale

    def run(self, chunks: int) -> RunResult:
        """Run until `chunks` were executed, or a dead-lock shows, and return what happened."""
        began = time.process_time()
        self._measure()
        self._put_right()
        while self._result.chunks < chunks and not self._result.deadlocks:
            self._next()
        self._result.virtual_seconds = self._now - START
        self._result.cpu_seconds = time.process_time() - began
        return self._result

    def _next(self) -> None:
        """Let time pass until something happens."""
        instants = (self._state_at, self._disturbance_at, self._change_at, self._look_at)
        earliest = min(instants)
        if self._queue and self._queue[0][0] <= earliest:
            at, _, answer = heapq.heappop(self._queue)
            self._now = max(self._now, at)
            self._hear(answer)
            return
        self._now = max(self._now, earliest)
        if earliest == self._state_at:
            self._state_at = self._now + float(self._rng.uniform(0.005, self._state_gap))
            self._show_joints()
        elif earliest == self._disturbance_at:
            self._disturbance_at = self._now + float(self._rng.exponential(1.0 / RATE))
            self._disturb()
        elif earliest == self._change_at:
            self._put_right()
        else:
            self._look_at = math.inf
            self._arms.deliver(self._now)
            self._require_rest(self._arms.sample(self._now)[1])

    def _hear(self, answer: Answer) -> None:
        scheduler, event, before = self._scheduler, answer.event, self._result.chunks
        executing = scheduler.executing_id
        wanted, mode = self._wanted, self._mode
        self._do(event)
        if scheduler.executing_id != executing:
            self._result.chunks = before + 1
            self._waiting_since = self._now
            self._check_clearance(wanted)
        chunk = getattr(event, "chunk", None) or getattr(event, "refusal", event)
        epoch = getattr(chunk, "task_epoch", self._epoch)
        is_wanted = wanted is not None and (chunk.chunk_id, epoch) == (wanted.chunk_id, self._epoch)
        if scheduler.executing_id != executing and not (is_wanted and answer.is_valid and mode is Mode.POLICY):
            self._violate("stale rows", f"chunk {chunk.chunk_id} of epoch {epoch} moves arms in epoch {self._epoch}")
        if is_wanted and not answer.is_valid and scheduler.mode is not Mode.HOLD and self._wanted is wanted:
            self._violate("not latched", f"chunk {chunk.chunk_id} is not valid, and the mode is {scheduler.mode.name}")

    def _check_clearance(self, request: ChunkRequest | None) -> None:
        """Where arms, table and box are looked at: from the chunk's first row on the path never comes nearer to them
        than it was before, where that is nearer than allowed."""
        path = self._scheduler.path
        if self._margins is None or path is None or request is None:
            return
        follows = path.last_row - (CHUNK_ROWS - len(request.committed_prefix))
        for name, left in vars(self._margins(path.positions[follows - path.first :])).items():
            excess = np.minimum(0.0, np.maximum.accumulate(left)) - left
            if excess.max() > _CLEARANCE_SLACK:
                knot = int(excess.argmax())
                self._violate("clearance", f"{name}: {left[knot]:.4f} m after {left[: knot + 1].max():.4f} m")

    def _do(self, event: events.Event, now: float | None = None) -> None:
        """One step of the scheduler; its commands are carried out."""
        now = self._now if now is None else now
        self._arms.deliver(self._now)
        wanted = self._wanted
        commands = self._scheduler.step(now, event)
        if isinstance(event, events.RefusalArrived):
            self._be_refused(event.refusal, wanted, commands)
        if self._now < self._led_on_until and any(_says_reset(command) for command in commands):
            self._led_on_until = -math.inf
            self._start_anew()
        if self._scheduler.mode is not self._mode:
            self._follow_mode()
        for command in commands:
            match command:
                case events.SendTrajectory():
                    # The lead counts from the instant that the executor took it for.
                    delay = float(self._rng.uniform(0.0, max(0.0, 0.9 * self._config.lead - (self._now - now))))
                    self._arms.send(command, self._now, delay, may_jump=self._may_jump)
                    self._may_jump = self._may_jump and command.arm == "left"
                    self._result.counts["messages"] += 1
                case events.RequestChunk(request):
                    self._request(request)
                case events.CancelChunk(chunk_id):
                    if self._wanted is not None and self._wanted.chunk_id == chunk_id:
                        self._wanted = None
                case events.Report(level, text):
                    self._note(level, text)
        if isinstance(event, events.ChunkArrived) and self._scheduler.pending_id is None:
            self._wanted = None

    def _be_refused(self, refusal: ChunkRefusal, wanted: ChunkRequest | None, commands: list[events.Command]) -> None:
        """Nothing may be asked for a while, unless the request was not waited for, or no longer at this instant."""
        was_dropped = any(isinstance(command, events.CancelChunk) for command in commands)
        if wanted is None or was_dropped or (refusal.chunk_id, refusal.task_epoch) != (wanted.chunk_id, self._epoch):
            return
        self._wanted = None
        self._refusals.take(refusal, self._now)
        if refusal.may_pass:
            self._excuse(self._refusals.asks_from)
        else:
            self._change_at = self._now + float(self._rng.uniform(0.05, 1.5))

    def _follow_mode(self) -> None:
        """The mode may change by an order, or to HOLD by a refusal; both mean standstill soon."""
        self._mode = self._scheduler.mode
        is_stopped = self._mode in (Mode.HOLD, Mode.ESTOP)
        self._expect_rest(min(self._still_from, self._rest_by()) if is_stopped else math.inf)
        if is_stopped:
            self._change_at = self._now + float(self._rng.uniform(0.05, 1.5))

    def _expect_rest(self, instant: float) -> None:
        """From `instant` on nothing may move; it is looked at then, and at every joint state after."""
        self._still_from = max(instant, self._run_out_by)
        self._look_at = self._still_from + 1e-6

    def _rest_by(self) -> float:
        """When arms that are told now to stop must rest: nothing changes for a lead and up to one row."""
        untouched = self._config.lead + ROW_DT
        fastest = np.abs(self._arms.sample(self._now)[1]) + self._acceleration * untouched
        braking = float(stopping_steps(fastest, self._acceleration, ROW_DT).max()) * ROW_DT
        return self._now + untouched + braking + self._arms.settling + 1e-3

    def _note(self, level: str, text: str) -> None:
        if level == "error":
            self._result.counts["joint states silent" if text.startswith("joint states") else "refused"] += 1

    def _request(self, request: ChunkRequest) -> None:
        self._result.counts["requests"] += 1
        if request.task_epoch != self._epoch:
            self._violate("epoch", f"chunk {request.chunk_id} is asked for epoch {request.task_epoch} of {self._epoch}")
        if self._mode is not Mode.POLICY or not self._has_task:
            self._violate("request", f"chunk {request.chunk_id} is asked for in {self._mode.name}")
        if problem := self._refusals.problem(self._now):
            self._violate("request", f"chunk {request.chunk_id} {problem}")
        self._wanted = request
        fate, answers = self._policy.answer(request, self._now, self._config.chunk_timeout)
        self._result.counts[f"answer {fate}"] += 1
        if fate in ("lost", "after the time-out", "gross", "unreadable"):
            self._excuse(max(self._now, request.observe_at) + self._config.chunk_timeout)
        for answer in answers:
            heapq.heappush(self._queue, (max(answer.at, self._now), next(self._serial), answer))

    def _excuse(self, until: float) -> None:
        """Up to `until` there is a reason why no chunk moves the arms."""
        self._waiting_since = max(self._waiting_since, until)

    def _show_joints(self) -> None:
        if self._now >= self._silent_until:
            self._measure()
        else:
            self._do(events.Tick())
        self._check_progress()

    def _measure(self) -> None:
        self._arms.deliver(self._now)
        self._measured_at = self._now
        position, velocity = self._arms.sample(self._now)
        if self._now > self._still_from:
            self._require_rest(velocity)
        self._do(events.MeasuredArms(self._now, position, velocity, self._open))

    def _require_rest(self, velocity: Array) -> None:
        if velocity.any():
            self._violate("motion", f"{np.abs(velocity).max():.4f} rad/s in {self._mode.name}")

    def _check_progress(self) -> None:
        scheduler, now = self._scheduler, self._now
        is_waiting = self._mode is Mode.POLICY and self._has_task and now >= self._silent_until
        is_waiting = is_waiting and not self._refusals.is_denied
        if not is_waiting:
            self._excuse(now)
        awaits = scheduler.phase in (Phase.ASKED, Phase.MOVING, Phase.STALLED)
        if awaits != (scheduler.pending_id is not None):
            self._lock(f"phase {scheduler.phase.name} with pending chunk {scheduler.pending_id}")
        if now > self._waiting_since + self._config.chunk_timeout + PATIENCE:
            self._lock(f"no chunk for {now - self._waiting_since:.1f} s; {scheduler.phase.name}, {scheduler.fault!r}")

    def _disturb(self) -> None:
        name = _NAMES[min(bisect_left(_ENDS, self._rng.random()), len(_NAMES) - 1)]
        self._result.counts[name] += 1
        match name:
            case "HOLD" | "ESTOP" | "TELEOP":
                self._do(events.ModeSet(Mode[name]))
            case "task":
                self._epoch += 1
                self._has_task = True
                self._refusals.forgive()
                self._excuse(self._now)
                self._do(events.TaskSet("another task"))
            case "task without words":
                self._do(events.TaskSet(" "))
            case "task ended":
                self._has_task = False
                self._refusals.forgive()
                self._change_at = min(self._change_at, self._now + float(self._rng.uniform(0.05, 1.5)))
                self._do(events.TaskEnded())
            case "silence":
                self._silent_until = self._now + float(self._rng.uniform(0.05, 2.0))
            case "invalid joint state":
                nothing = np.full(14, np.nan)
                self._do(events.MeasuredArms(self._now, nothing, nothing, np.zeros(2)))
            case "repeated joint state":
                old = self._measured_at - float(self._rng.choice([0.0, 0.01, 0.3]))
                self._do(events.MeasuredArms(old, self._robot.home, np.zeros(14), np.zeros(2)))
            case "late tick":
                self._do(events.Tick(), self._now - float(self._rng.uniform(0.0, 0.005)))
            case "reset":
                self._reset()
            case "clock forward" | "clock back":
                self._set_clock(float(self._rng.uniform(0.5, 30.0)) * (1 if name == "clock forward" else -1))

    def _put_right(self) -> None:
        """The operator comes: out of ESTOP or HOLD, and another task where there is none."""
        self._change_at = math.inf
        self._refusals.forgive()
        if self._mode is Mode.ESTOP:
            self._do(events.ModeSet(Mode.POLICY))
            if self._mode is not Mode.ESTOP:
                self._violate("latch", "ESTOP was left for POLICY without HOLD in between")
            self._do(events.ModeSet(Mode.HOLD))
        self._do(events.ModeSet(Mode.POLICY))
        if not self._has_task:
            self._epoch += 1
            self._has_task = True
            self._do(events.TaskSet("go on"))

    def _reset(self) -> None:
        """The world starts another episode: the arms are elsewhere at once, and nothing on the way reaches them."""
        self._arms.put(random_joints(self._robot, self._rng))
        self._start_anew()
        self._do(events.EpisodeReset())

    def _set_clock(self, seconds: float) -> None:
        """The stack's clock is set; the controllers go on by their own steady one."""
        # The executor ticks every 20 ms whatever the joint states do: it knows the time from just before.
        self._do(events.Tick())
        self._arms.set_clock(seconds)
        self._now += seconds
        path = self._scheduler.path
        if path is not None:
            # By the new clock their path is over, or not begun, while they are on it still.
            self._run_out_by = self._now + max(0.0, path.time(path.last) - self._now + seconds) + LONGEST_BRAKING
        self._silent_until += seconds
        self._state_at += seconds
        self._disturbance_at += seconds
        self._change_at += seconds
        self._expect_rest(self._still_from + seconds)
        self._queue = [(at + seconds, serial, answer) for at, serial, answer in self._queue]
        self._waiting_since = self._now + max(0.0, self._config.chunk_timeout)
        if seconds < 0.0:
            # Or a repetition of what was measured before would be news when the clock gets there again.
            self._measured_at += seconds
            self._start_anew()
        elif self._scheduler.path is not None:
            # What is sent next leads the held arms to where their path has got by this clock. Arms that go so far at
            # once are taken for reset, rightly: no arm moves like that.
            self._led_on_until = self._now + LED_ON
        self._may_jump = True
        self._do(events.Tick())

    def _start_anew(self) -> None:
        self._epoch += 1
        self._refusals.forgive()
        self._may_jump = True
        self._expect_rest(self._rest_by() if self._mode is not Mode.POLICY else math.inf)
        self._excuse(self._now)

    def _violate(self, rule: str, detail: str) -> None:
        self._result.violations.append(Violation(rule, detail, self._run, round(self._now, 4)))

    def _lock(self, detail: str) -> None:
        self._result.deadlocks.append(Violation("dead-lock", detail, self._run, round(self._now, 4)))
