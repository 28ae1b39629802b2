"""The state machine between policy and controllers: events come in, commands go out; no clock, no thread, no ROS."""

from __future__ import annotations

import math
from enum import Enum

import numpy as np

from clwm_common.messages import ActionChunk, DualArmState, MemoryPolicy, Mode
from clwm_common.robot import RobotDescription
from clwm_sai_executor.asking import NO_ROWS, Asking, Pending
from clwm_sai_executor.clearance import MarginsOf
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.events import (
    CancelChunk,
    ChunkArrived,
    ChunkUnreadable,
    Command,
    EpisodeReset,
    Event,
    MeasuredArms,
    ModeSet,
    PublishState,
    Report,
    ReportArrived,
    RequestChunk,
    TaskEnded,
    TaskSet,
    Tick,
)
from clwm_sai_executor.following import Following
from clwm_sai_executor.gate import Gate, Passed
from clwm_sai_executor.metrics import Metrics
from clwm_sai_executor.motion import Motion, RowOf
from clwm_sai_executor.rules import ChunkRefused, ChunkStale
from clwm_sai_executor.splice import Path
from clwm_sai_executor.timeline import ChunkRecord, Timeline
from clwm_sai_executor.watch import ArmWatch, Verdict


class Phase(Enum):
    """What the arms are doing and what they wait for."""

    BLIND = "no fresh joint state"
    IDLE = "at rest, nothing asked"
    ASKED = "at rest, waiting for a chunk"
    MOVING = "running a chunk, the next one asked"
    STALLED = "out of rows: braking or at rest, the next chunk late"
    STOPPING = "running out what was sent, nothing asked"


class Scheduler:
    """Decides what to ask of the policy and what to send to the arms.

    Mode says who may move the arms (ESTOP > HOLD > TELEOP > POLICY), phase what they are doing:

                joint state          POLICY and a task: request at rest
        BLIND ---------------> IDLE ------------------------------------> ASKED
          ^                     ^ <------------------------------------     |
          |                     |    time-out, cancel                       | chunk: row p-1 = held, at now + lead
          | joint states stale: | at rest                                   v
          | brake (any phase)   |        HOLD, ESTOP: brake now           MOVING <--+ chunk in time: splice,
          |                     |        SetTask: run out what was sent   | | |_____| request the next one
          |                     |        refused chunk: brake, HOLD       | |
          +-------------- STOPPING <--------------------------------------+ | rows end, no chunk: a stall
                                ^                                           v
                                +------------ time-out, cancel ---------- STALLED --chunk--> MOVING
                                                                          (into the braking tail, or from rest)

    EpisodeReset, a jump of the measured arms, a clock that jumped back: all is dropped; BLIND until measured again,
    then the arms are held where they are and the memory starts anew.

    Chunks count by consumed rows: one in time has its row p follow the committed row p-1; a late one has it follow the
    first knot that can still be changed. What was sent for an instant less than `lead` away is never changed.
    """

    def __init__(
        self,
        robot: RobotDescription,
        config: SchedulerConfig | None = None,
        row_of: RowOf | None = None,
        margins: MarginsOf | None = None,
    ) -> None:
        """row_of: joints (14,) and openings (2,) -> row (30,); by default from the robot's kinematics.

        margins: joints (n, 14) -> distances to what is forbidden (`clearance.margins_of`); None allows everything.
        """
        self._config = config or SchedulerConfig()
        if row_of is None:
            from clwm_common.kinematics import DualArmKinematics

            row_of = DualArmKinematics(robot).row
        self._row_of = row_of
        self._watch = ArmWatch(robot.limit("velocity"), self._config.jump_distance, self._config.state_timeout)
        self._following = Following(self._config.following_error)
        self._motion = Motion(robot, self._config, row_of, margins)
        self._gate = Gate(robot, self._config)
        self._asking = Asking(self._config, self._motion)
        self.metrics = Metrics()
        self.timeline = Timeline()
        self.mode = self._config.initial_mode
        self.phase = Phase.BLIND
        self.task_epoch = 0
        self.fault = ""
        self._task: TaskSet | None = None
        self._now = -math.inf
        self._published_at = -math.inf
        self._busy_from = math.inf
        self._epoch_has_moved = False
        self._must_hold_measured = False
        self._pending: Pending | None = None
        self._executing_id = 0

    @property
    def task(self) -> TaskSet | None:
        """The task as it was set."""
        return self._task

    @property
    def instruction(self) -> str:
        """The task in words; empty when there is none."""
        return self._task.instruction if self._task else ""

    @property
    def path(self) -> Path | None:
        """The motion as last sent."""
        return self._motion.path

    @property
    def pending_id(self) -> int | None:
        """Id of the chunk that is waited for."""
        return self._pending.request.chunk_id if self._pending else None

    @property
    def executing_id(self) -> int:
        """Id of the chunk that was sent to the arms last; 0 before the first."""
        return self._executing_id

    @property
    def is_at_rest(self) -> bool:
        """Whether everything sent has been run out."""
        return self._now >= self._motion.end

    def step(self, now: float, event: Event) -> list[Command]:
        """Take in one event at `now` [s] and return what is to be done, in order."""
        out: list[Command] = []
        now = self._accept_time(now, out)
        if isinstance(event, MeasuredArms):
            self._measure(now, event, out)
        self._run_to(now, out)
        match event:
            case ChunkArrived(chunk):
                self._take_chunk(now, chunk, out)
            case ChunkUnreadable(chunk_id, reason):
                if chunk_id == self.pending_id:
                    self._refuse(now, f"chunk {chunk_id} cannot be read: {reason}", out)
            case TaskSet():
                self._set_task(event, out)
            case TaskEnded():
                self._task = None
                self._cancel(out, "cancelled")
            case ModeSet(mode):
                self._set_mode(now, mode, out)
            case EpisodeReset():
                self._reset(now, out, "the episode was reset")
            case ReportArrived(report):
                self.timeline.merge(report)
            case MeasuredArms() | Tick():
                pass
        if self.phase is Phase.IDLE and self.mode is Mode.POLICY and self._task is not None:
            self._request_at_rest(now, out)
        return out

    def _accept_time(self, now: float, out: list[Command]) -> float:
        """Small steps back are two sources out of order; a large one is a clock that was set."""
        if now < self._now - self._config.state_timeout:
            jump, self._now = self._now - now, now
            self._reset(now, out, f"the clock jumped back by {jump:.2f} s")
        return max(now, self._now)

    def _run_to(self, now: float, out: list[Command]) -> None:
        """Consume rows, account for idle time and look at the watchdogs, up to `now`."""
        before, self._now = self._now, now
        motion, pending = self._motion, self._pending
        out.extend(motion.consume(now))
        if self.mode is Mode.POLICY and self._epoch_has_moved:
            self.metrics.elapse(before, now, self._busy_from, motion.rows_end)
        if self.phase is Phase.MOVING and pending is not None and now >= motion.rows_end:
            self._run_out_of_rows(pending)
        if self.phase is Phase.STOPPING and self.is_at_rest:
            self.phase = Phase.IDLE
        if pending is not None and now > pending.request.observe_at + self._config.chunk_timeout:
            self.metrics.count("timeouts")
            text = f"chunk {pending.request.chunk_id} has not come {self._config.chunk_timeout} s after its observation"
            out.append(Report("warning", f"{text}; asking again from rest. Is the policy alive?"))
            self._cancel(out, "timed_out")
        if self.phase is not Phase.BLIND and self._watch.age(now) > self._config.state_timeout:
            self._go_blind(now, out)

    def _run_out_of_rows(self, pending: Pending) -> None:
        """A stall, unless the next chunk was meant to start from rest."""
        if pending.request.at_rest:
            self.phase = Phase.ASKED
            return
        self.phase = Phase.STALLED
        pending.stalled_at = self._motion.rows_end
        self.metrics.count("stalls")

    def _measure(self, now: float, arms: MeasuredArms, out: list[Command]) -> None:
        match self._watch.take(arms, now):
            case Verdict.INVALID:
                self.metrics.count("state_invalid")
                return
            case Verdict.REPEATED:
                return
            case Verdict.JUMPED:
                self._reset(now, out, "the arms are not where they were one joint state ago")
                return
            case Verdict.GOOD:
                self.metrics.state_gap(self._watch.gap)
                if problem := self._following.astray(self._motion.path, arms):
                    self._lose(now, arms, problem, out)
        if self.phase is Phase.BLIND and self._watch.age(now) <= self._config.state_timeout:
            self._see(now, arms, out)
        if arms.stamp - self._published_at >= self._config.state_period - 1e-6:
            self._published_at = arms.stamp
            out.append(PublishState(self._state(arms)))

    def _lose(self, now: float, arms: MeasuredArms, problem: str, out: list[Command]) -> None:
        """The arms are not on their path: a command from it would make them leap, so they stop from where they are."""
        self.metrics.count("astray")
        self.mode, self.fault = max(self.mode, Mode.HOLD), problem
        out.append(Report("error", f"{problem} Holding until the mode is set to POLICY again"))
        self._cancel(out, "cancelled")
        self._motion.brake_from(now, arms.positions, arms.velocities)
        out.extend(self._motion.messages(now))
        self.phase = Phase.STOPPING

    def _state(self, arms: MeasuredArms) -> DualArmState:
        return DualArmState(
            stamp=arms.stamp,
            values=self._row_of(arms.positions, arms.widths),
            valid=np.ones(30, dtype=np.bool_),
            velocities=arms.velocities.astype(np.float32),
            mode=self.mode,
            task_epoch=self.task_epoch,
        )

    def _see(self, now: float, arms: MeasuredArms, out: list[Command]) -> None:
        """Joint states are back: what was sent before runs out first, then all may go on."""
        self.phase = Phase.IDLE if now >= self._motion.end else Phase.STOPPING
        if self.fault.startswith("joint states"):
            self.fault = ""
            out.append(Report("info", "joint states are back"))
        if self._must_hold_measured:
            self._must_hold_measured = False
            self._motion.hold(now, arms.positions, arms.widths)
            out.extend(self._motion.messages(now))

    def _go_blind(self, now: float, out: list[Command]) -> None:
        age = self._watch.age(now)
        self.metrics.count("state_stale")
        self.fault = f"joint states are {age:.2f} s old; at most {self._config.state_timeout} s expected"
        out.append(Report("error", f"{self.fault}: braking, and holding until they return"))
        self._cancel(out, "cancelled")
        self._brake(now, out)
        self.phase = Phase.BLIND

    def _request_at_rest(self, now: float, out: list[Command]) -> None:
        motion, arms = self._motion, self._watch.latest
        assert arms is not None
        if arms.stamp < motion.end:
            return  # measured before the arms came to rest: not where they are
        path, executed = motion.path, NO_ROWS
        if path is None:
            motion.hold(now, arms.positions, arms.widths)
        else:
            position, _, openings = path.knot(path.last)
            if self._epoch_has_moved:
                executed = motion.rows(motion.observed, path.last + 1)
            astray = float(np.abs(arms.positions - position).max())
            if astray > self._config.resync_distance:
                out.append(Report("warning", f"the arms rest {astray:.2f} rad from their command; holding them there"))
                motion.hold(now, arms.positions, openings)
        assert self._task is not None
        self._ask(now, self._asking.from_rest(self._task, self.task_epoch, now, executed), out)
        self.phase = Phase.ASKED

    def _ask(self, now: float, pending: Pending, out: list[Command]) -> None:
        self._pending = pending
        self.metrics.count("requests")
        self.timeline.open(ChunkRecord.of(pending.request, now))
        out.append(RequestChunk(pending.request))

    def _cancel(self, out: list[Command], outcome: str) -> None:
        """Drop the branch in flight; what was sent runs out."""
        if self._pending is None:
            return
        request = self._pending.request
        out.append(CancelChunk(request.chunk_id, request.task_epoch))
        self.metrics.count("cancelled")
        self._close(outcome)

    def _close(self, outcome: str) -> None:
        """The pending request is answered or dropped without moving the arms."""
        assert self._pending is not None
        record = self.timeline.get(self._pending.request.chunk_id)
        if record is not None:
            record.outcome = outcome
        self._pending = None
        if self.phase is not Phase.BLIND:
            self.phase = Phase.IDLE if self.is_at_rest else Phase.STOPPING

    def _take_chunk(self, now: float, chunk: ActionChunk, out: list[Command]) -> None:
        pending = self._pending
        if pending is None or chunk.chunk_id != pending.request.chunk_id or chunk.task_epoch != self.task_epoch:
            self.metrics.count("dropped")
            awaited = "no chunk" if pending is None else f"chunk {pending.request.chunk_id}"
            text = f"chunk {chunk.chunk_id} of epoch {chunk.task_epoch} dropped"
            out.append(Report("info", f"{text}; {awaited} of epoch {self.task_epoch} is waited for"))
            return
        try:
            self._execute(now, chunk, self._gate.check(now, chunk, pending.request), pending, out)
        except ChunkRefused as reason:
            self._refuse(now, str(reason), out)
        except ChunkStale as reason:
            self.metrics.count("stale_observations")
            out.append(Report("warning", f"{reason} Asking again from rest."))
            self._close("stale")

    def _refuse(self, now: float, reason: str, out: list[Command]) -> None:
        self.metrics.count("refused")
        self.mode, self.fault = Mode.HOLD, reason
        out.append(Report("error", f"{reason}; holding until the mode is set to POLICY again"))
        self._brake(now, out)
        self._close("refused")

    def _execute(self, now: float, chunk: ActionChunk, rows: Passed, pending: Pending, out: list[Command]) -> None:
        motion, request = self._motion, pending.request
        prefix = len(request.committed_prefix)
        motion.observed = pending.observed
        at, facts = motion.extend(now, pending.follows, rows.joints, rows.openings)
        path = motion.path
        assert path is not None
        is_late = not request.at_rest and at != pending.follows
        if is_late and math.isnan(pending.stalled_at):
            self.metrics.count("stalls")
            pending.stalled_at = now
        if is_late or request.at_rest:
            self._busy_from = path.time(at)
        record = self.timeline.get(request.chunk_id)
        if record is not None:
            record.execute(chunk, request, now, path.time(at), path.time(at + 1), path.time(path.last_row))
            record.stall = path.time(at) - pending.stalled_at if is_late else 0.0
            self.metrics.executed(record, facts)
        for what, count in rows.counts.items():
            self.metrics.count(what, count)
        self._pending = None
        self._executing_id = request.chunk_id
        self._epoch_has_moved = True
        self.phase = Phase.MOVING
        out.extend(motion.messages(now))
        self._asking.answered()
        assert self._task is not None
        self._ask(now, self._asking.after(at + 1 - prefix, self._task, self.task_epoch), out)

    def _brake(self, now: float, out: list[Command]) -> None:
        if self._motion.brake(now):
            out.extend(self._motion.messages(now))

    def _set_task(self, task: TaskSet, out: list[Command]) -> None:
        if not task.instruction.strip():
            out.append(Report("warning", "task refused: its instruction is empty; say what to do", is_refusal=True))
            return
        self._task = task
        self._start_epoch(task.memory_policy, out)
        out.append(Report("info", f"epoch {self.task_epoch}: {task.instruction!r}"))

    def _start_epoch(self, memory_policy: MemoryPolicy, out: list[Command]) -> None:
        self._cancel(out, "cancelled")
        self.task_epoch += 1
        self._asking.start_epoch(memory_policy)
        self._epoch_has_moved = False

    def _set_mode(self, now: float, mode: Mode, out: list[Command]) -> None:
        refusal = ""
        if mode is Mode.TELEOP:
            refusal = "no teleoperation source is configured; use POLICY or HOLD"
        elif mode is Mode.POLICY and self.mode is Mode.ESTOP:
            refusal = "ESTOP is latched; set HOLD first"
        if refusal:
            out.append(Report("warning", f"mode {mode.name} refused: {refusal}", is_refusal=True))
            return
        if mode is self.mode:
            return
        self.mode = mode
        out.append(Report("info", f"mode {mode.name}"))
        if mode is Mode.POLICY:
            self.fault = "" if self.phase is not Phase.BLIND else self.fault
            return
        self._cancel(out, "cancelled")
        self._brake(now, out)

    def _reset(self, now: float, out: list[Command], why: str) -> None:
        """What was sent has no meaning any more: forget it, and hold where the arms are measured next."""
        self._start_epoch(MemoryPolicy.RESET, out)
        self._motion.drop()
        self._watch.forget(trusted_from=now)
        self._must_hold_measured = True
        self._busy_from = math.inf
        self.phase = Phase.BLIND
        self.metrics.count("resets")
        out.append(Report("info", f"{why}: dropping what was sent, holding where the arms are"))
