"""The state machine between policy and controllers: events come in, commands go out; no clock, no thread, no ROS."""

from __future__ import annotations

import math

from clwm_common.messages import ActionChunk, ChunkRefusal, MemoryPolicy, Mode, TeleopCommand, instruction_problem
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sai_executor import events
from clwm_sai_executor.checks.chunk_check import CheckedRows, ChunkCheck
from clwm_sai_executor.checks.chunk_rules import ChunkRefused, ChunkStale
from clwm_sai_executor.checks.clearance import MarginsOf
from clwm_sai_executor.checks.following import Following
from clwm_sai_executor.checks.state_watch import StateQuality, StateWatch
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.events import Command, Event, MeasuredArms, Report, TaskSet
from clwm_sai_executor.modes.announcements import Announcements
from clwm_sai_executor.modes.arbitration import Arbitration
from clwm_sai_executor.modes.teleop import Teleop
from clwm_sai_executor.path.motion import Motion, RowOf
from clwm_sai_executor.path.pose_solver import pose_solver
from clwm_sai_executor.path.splice import Path
from clwm_sai_executor.phase import Phase
from clwm_sai_executor.requests.chunk_records import ChunkRecords
from clwm_sai_executor.requests.next_request import NO_ROWS, Pending, RequestComposer
from clwm_sai_executor.tasks.task_epoch import TaskEpoch


class Scheduler:
    """Decides what to ask of the policy and what to send to the arms.

    Mode says who may move the arms (ESTOP > HOLD > TELEOP > POLICY, see `arbitration.py`), phase what they are doing
    (see the chart in `phase.py`), epoch what is asked of the policy (see `task_epoch.py`).

    Chunks count by consumed rows: one in time has its row p follow the committed row p-1; a late one has it follow the
    first knot that can still be changed. What was sent for an instant less than `lead` away is never changed.
    """

    def __init__(
        self,
        robot: RobotDescription,
        config: SchedulerConfig | None = None,
        row_of: RowOf | None = None,
        margins: MarginsOf | None = None,
        epoch: int = 0,
    ) -> None:
        """row_of: joints (14,) and openings (2,) -> row (30,); by default from the robot's kinematics. margins: joints
        (n, 14) -> distances to what is forbidden (`clearance.margins_of`); None allows all. epoch: the one before the
        first task's."""
        self._config = config or SchedulerConfig()
        row_of = row_of or DualArmKinematics(robot).row
        self._announcements = Announcements(self._config.state_period, row_of)
        self._watch = StateWatch(robot.limit("velocity"), self._config.jump_distance, self._config.state_timeout)
        self._following = Following(self._config.following_error)
        self._motion = Motion(robot, self._config, row_of, margins)
        solver = pose_solver(robot, self._config, self._motion.limits)
        self._teleop = Teleop(robot, self._config, self._motion, solver)
        self._chunk_check = ChunkCheck(robot, self._config, solver)
        self._chunks = ChunkRecords(self._config)
        self._composer = RequestComposer(self._chunks.horizon, self._config, self._motion)
        self.arbitration = Arbitration(self._config.initial_mode, self._config.teleop_timeout)
        self.metrics, self.timeline = self._chunks.metrics, self._chunks.timeline
        self.phase = Phase.BLIND
        self.epoch = TaskEpoch(epoch)
        self._blindness = ""
        self._now = -math.inf
        self._busy_from = math.inf
        self._must_hold_measured = False
        self._pending: Pending | None = None

    @property
    def mode(self) -> Mode:
        """Who may move the arms."""
        return self.arbitration.mode

    @property
    def fault(self) -> str:
        """What is wrong now, or was when the arms were held for it; empty when all is well."""
        return self._blindness or self.arbitration.fault or self.epoch.denial

    @property
    def waiting(self) -> str:
        """Why the policy's next chunk is not there; empty when it may be expected, or nobody waits for it."""
        return self.epoch.waiting if self.mode is Mode.POLICY else ""

    @property
    def task_epoch(self) -> int:
        """The present epoch's number."""
        return self.epoch.number

    @property
    def task(self) -> TaskSet | None:
        """The task as it was set."""
        return self.epoch.task

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
        return self._composer.executed_id

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
        elif isinstance(event, events.EpisodeReset):
            # Before the watchdogs look: what they send is of the old world, and would pull the arms back into it.
            self._reset(now, out, "the episode was reset")
        self._run_to(now, out)
        match event:
            case events.ChunkArrived(chunk):
                self._take_chunk(now, chunk, out)
            case events.ChunkUnreadable(chunk_id, reason):
                if chunk_id == self.pending_id:
                    self._refuse(now, f"chunk {chunk_id} cannot be read: {reason}", out)
            case events.RefusalArrived(refusal):
                self._take_refusal(now, refusal, out)
            case events.TaskSet():
                self._set_task(now, event, out)
            case events.TaskEnded():
                self.epoch.end()
                self._cancel(out, "cancelled")
            case events.ModeSet(mode):
                self._set_mode(now, mode, out)
            case events.TeleopArrived(command):
                self._hear(now, command, out)
            case events.ReportArrived(report):
                self.timeline.merge(report)
            case events.Tick(lateness):
                self._chunks.ticked(lateness)
            case MeasuredArms() | events.EpisodeReset():
                pass
        if self.phase is Phase.IDLE and self.mode is Mode.POLICY and self.epoch.may_ask(now):
            self._request_at_rest(now, out)
        idleness = self.epoch.denial or self.waiting
        out.extend(self._announcements.mode(self.arbitration, self._blindness, idleness, self.task_epoch))
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
        if self.mode is Mode.POLICY and self.epoch.has_moved:
            self.metrics.elapse(before, now, self._busy_from, motion.rows_end)
        if self.phase is Phase.MOVING and pending is not None and now >= motion.rows_end:
            self._run_out_of_rows(pending)
        if self.phase is Phase.STOPPING and self.is_at_rest:
            self.phase = Phase.IDLE
        if pending is not None and now > pending.request.observe_at + self._config.chunk_timeout:
            text = f"chunk {pending.request.chunk_id} has not come {self._config.chunk_timeout} s after its observation"
            self.epoch.wait(f"{text}; asking again from rest. Is the policy alive?")
            out.append(Report("warning", self.epoch.waiting))
            self._cancel(out, "timed_out")
        if self.phase is not Phase.BLIND and self._watch.age(now) > self._config.state_timeout:
            self._go_blind(now, out)
        self.arbitration.look(now, out)
        self._give_up_steering(now, out)

    def _run_out_of_rows(self, pending: Pending) -> None:
        """A stall, unless the next chunk was meant to start from rest."""
        if pending.request.at_rest:
            self.phase = Phase.ASKED
            return
        self.phase = Phase.STALLED
        self._chunks.ran_out(pending, self._motion.rows_end)

    def _measure(self, now: float, arms: MeasuredArms, out: list[Command]) -> None:
        match self._watch.take(arms, now):
            case StateQuality.INVALID:
                self.metrics.count("state_invalid")
                return
            case StateQuality.REPEATED:
                return
            case StateQuality.JUMPED:
                return self._reset(now, out, "the arms are not where they were one joint state ago")
            case StateQuality.GOOD:
                self.metrics.state_gap(self._watch.gap)
                if problem := self._following.astray(self._motion.path, arms):
                    self._lose(now, arms, problem, out)
        if self.phase is Phase.BLIND and self._watch.age(now) <= self._config.state_timeout:
            self._see(now, arms, out)
        out.extend(self._announcements.state(arms, self.arbitration, self.task_epoch))

    def _lose(self, now: float, arms: MeasuredArms, problem: str, out: list[Command]) -> None:
        """The arms are not on their path: a command from it would make them leap, so they stop from where they are."""
        self.metrics.count("astray")
        self.arbitration.fall(now, problem, out)
        self._cancel(out, "cancelled")
        self._motion.brake_from(now, arms)
        out.extend(self._motion.messages(now))
        self.phase = Phase.STOPPING

    def _see(self, now: float, arms: MeasuredArms, out: list[Command]) -> None:
        """Joint states are back: what was sent before runs out first, then all may go on."""
        if self._blindness:
            self._blindness = ""
            out.append(Report("info", "joint states are back"))
        if self._must_hold_measured:
            self._must_hold_measured = False
            out.extend(self._motion.hold_measured(now, arms))
        self.phase = Phase.IDLE if now >= self._motion.end else Phase.STOPPING

    def _go_blind(self, now: float, out: list[Command]) -> None:
        age = self._watch.age(now)
        self.metrics.count("state_stale")
        self._blindness = f"joint states are {age:.2f} s old; at most {self._config.state_timeout} s expected"
        out.append(Report("error", f"{self._blindness}: braking, and holding until they return"))
        self._cancel(out, "cancelled")
        self.arbitration.end_teleop(now, "joint states are silent", out)
        self._brake(now, out)
        self.phase = Phase.BLIND

    def _request_at_rest(self, now: float, out: list[Command]) -> None:
        motion, arms = self._motion, self._watch.latest
        # Measured before they came to rest, or led on by somebody else: they are elsewhere by now.
        if arms is None or arms.stamp < motion.end or motion.is_led_by_others(arms):
            return
        if refusal := motion.start.refusal(arms):
            return self.arbitration.fall(now, refusal, out)
        executed = motion.executed() if self.epoch.has_moved or self.epoch.was_steered else NO_ROWS
        if astray := motion.settle(now, arms):
            out.append(Report("warning", f"the arms rest {astray:.2f} rad from their command; holding them there"))
        assert self.task is not None
        self._ask(now, self._composer.from_rest(self.task, self.task_epoch, now, executed), out)
        self.phase = Phase.ASKED

    def _ask(self, now: float, pending: Pending, out: list[Command]) -> None:
        self._pending = pending
        self._motion.lead = self._chunks.horizon.lead
        self._chunks.asked(now, pending.request)
        out.append(events.RequestChunk(pending.request))

    def _cancel(self, out: list[Command], outcome: str) -> None:
        """Drop the branch in flight; what was sent runs out."""
        if self._pending is None:
            return
        out.append(events.CancelChunk(self._pending.request.chunk_id, self._pending.request.task_epoch))
        self._close(outcome)

    def _close(self, outcome: str) -> None:
        """The pending request is answered or dropped without moving the arms."""
        assert self._pending is not None
        self._chunks.closed(self._pending.request, outcome)
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
            self._execute(now, chunk, self._chunk_check.check(now, chunk, pending.request), pending, out)
        except ChunkRefused as reason:
            self._refuse(now, str(reason), out)
        except ChunkStale as reason:
            self.metrics.count("stale_observations")
            self._motion.observe(pending.observed)
            out.append(Report("warning", f"{reason} RequestComposer again from rest."))
            self._close("stale")

    def _refuse(self, now: float, reason: str, out: list[Command]) -> None:
        assert self._pending is not None
        # The policy has made this observation all the same: what it must be told is what was executed since.
        self._motion.observe(self._pending.observed)
        self.arbitration.fall(now, reason, out)
        self._brake(now, out)
        self._close("refused")

    def _execute(self, now: float, chunk: ActionChunk, rows: CheckedRows, pending: Pending, out: list[Command]) -> None:
        motion, request = self._motion, pending.request
        path = motion.path
        assert path is not None
        if not request.at_rest:
            self._chunks.horizon.answered(path.index_from(now + motion.lead) - pending.observed)
        motion.observe(pending.observed)
        if chunk.observation_stamp:
            motion.align(chunk.observation_stamp)
        at, facts = motion.extend(now, pending.follows, rows.joints, rows.openings)
        self._chunks.executed(now, chunk, pending, motion.path, at, facts, rows.counts)
        if request.at_rest or at != pending.follows:
            self._busy_from = motion.path.time(at)
        self._pending = None
        self.epoch.has_moved = True
        self.epoch.forgive()
        self.phase = Phase.MOVING
        out.extend(motion.messages(now))
        self._composer.executed(request.chunk_id)
        assert self.task is not None
        self._ask(now, self._composer.after(at + 1 - len(request.committed_prefix), self.task, self.task_epoch), out)

    def _take_refusal(self, now: float, refusal: ChunkRefusal, out: list[Command]) -> None:
        """No chunk will come for the request in flight: what was sent runs out."""
        pending = self._pending
        if pending is None or (refusal.chunk_id, refusal.task_epoch) != (pending.request.chunk_id, self.task_epoch):
            self.metrics.count("dropped")
            return
        self._close("declined")
        self._composer.declined(refusal.kind)
        out.extend(self.epoch.decline(now, refusal))

    def _brake(self, now: float, out: list[Command]) -> None:
        if self._motion.brake(now):
            out.extend(self._motion.messages(now))

    def _set_task(self, now: float, task: TaskSet, out: list[Command]) -> None:
        if problem := instruction_problem(task.instruction):
            out.append(Report("warning", f"task refused: {problem}", is_refusal=True))
            return
        self.epoch.task = task
        self._start_epoch(now, task.memory_policy, out)
        out.append(Report("info", f"epoch {self.task_epoch}: {task.instruction!r}"))

    def _start_epoch(self, now: float, memory_policy: MemoryPolicy, out: list[Command]) -> None:
        self._cancel(out, "cancelled")
        self.epoch.begin(now)
        self._composer.start_epoch(memory_policy, self.task.instruction if self.task else "")

    def _set_mode(self, now: float, mode: Mode, out: list[Command]) -> None:
        if mode is Mode.POLICY:
            self.epoch.forgive()
        if not self.arbitration.order(now, mode, lambda: self._teleop.obstacle(now, self._watch.latest), out):
            return
        self._give_up_steering(now, out)
        if mode is Mode.POLICY:
            return
        self._cancel(out, "cancelled")
        if mode is Mode.TELEOP:
            self.phase = Phase.STEERED
            self._steer(now, out)
            self._give_up_steering(now, out)
        else:
            self._brake(now, out)

    def _hear(self, now: float, command: TeleopCommand, out: list[Command]) -> None:
        if self.arbitration.hear(now, command, out):
            self._teleop.hear(command)
            if self.phase is Phase.STEERED:
                self._steer(now, out)
        self._give_up_steering(now, out)

    def _steer(self, now: float, out: list[Command]) -> None:
        try:
            reaction = self._teleop.follow(now)
        except ChunkRefused as reason:
            self.metrics.count("refused")
            self.arbitration.fall(now, str(reason), out)
            return
        if reaction is not None:
            self.epoch.was_steered = True
            self.metrics.answered_human(reaction)
            out.extend(self._motion.messages(now))

    def _give_up_steering(self, now: float, out: list[Command]) -> None:
        """The human does not own the arms any more: brake at once."""
        if self.phase is Phase.STEERED and self.mode is not Mode.TELEOP:
            self._brake(now, out)
            self.phase = Phase.IDLE if self.is_at_rest else Phase.STOPPING

    def _reset(self, now: float, out: list[Command], why: str) -> None:
        """What was sent has no meaning any more: forget it, and hold where the arms are measured next."""
        self.arbitration.end_teleop(now, why, out)
        self._start_epoch(now, MemoryPolicy.RESET, out)
        self._motion.drop()
        self._watch.forget(trusted_from=now)
        self._announcements.forget()
        self._must_hold_measured = True
        self._busy_from = math.inf
        self.phase = Phase.BLIND
        self.metrics.count("resets")
        out.append(Report("info", f"{why}: dropping what was sent, holding where the arms are"))
