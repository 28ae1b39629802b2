"""The state machine between policy and controllers: events come in, commands go out; no clock, no thread, no ROS."""

from __future__ import annotations

import math

from clwm_common.clock_watch import leap_text
from clwm_common.messages import ActionChunk, ChunkRefusal, MemoryPolicy, Mode, TeleopCommand, instruction_problem
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sai_executor import events
from clwm_sai_executor.checks.chunk_rules import ChunkRefused, ChunkStale
from clwm_sai_executor.checks.clearance import MarginsOf
from clwm_sai_executor.checks.following import Following
from clwm_sai_executor.checks.state_watch import StateQuality, StateWatch
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.events import Command, Event, Level, MeasuredArms, Report, TaskSet
from clwm_sai_executor.modes.announcements import Announcements
from clwm_sai_executor.modes.arbitration import Arbitration
from clwm_sai_executor.modes.teleop import Teleop
from clwm_sai_executor.path.motion import Motion, RowOf
from clwm_sai_executor.path.pose_solver import pose_solver
from clwm_sai_executor.path.splice import Path
from clwm_sai_executor.phase import Phase
from clwm_sai_executor.requests.chunk_exchange import ChunkExchange
from clwm_sai_executor.requests.next_request import NO_ROWS
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
        self._announcements = Announcements(robot, self._config.state_period, row_of)
        self._watch = StateWatch(robot.limit("velocity"), self._config.jump_distance, self._config.state_timeout)
        self._following = Following(self._config.following_error)
        self._motion = Motion(robot, self._config, row_of, margins)
        solver = pose_solver(robot, self._config, self._motion.limits)
        self._teleop = Teleop(robot, self._config, self._motion, solver)
        self._chunks = ChunkExchange(robot, self._config, self._motion, solver)
        self.arbitration = Arbitration(self._config.initial_mode, self._config.teleop_timeout, self._say)
        self.metrics, self.timeline = self._chunks.records.metrics, self._chunks.records.timeline
        self.phase = Phase.BLIND
        self.epoch = TaskEpoch(epoch)
        self._blindness = ""
        self._now = -math.inf
        self._must_hold_measured = False
        self._driver_faults: dict[str, str] = {}  # by arm
        self._commands: list[Command] = []

    @property
    def mode(self) -> Mode:
        """Who may move the arms."""
        return self.arbitration.mode

    @property
    def fault(self) -> str:
        """What is wrong now, or was when the arms were held for it; empty when all is well."""
        return self._unseen or self.arbitration.fault or self.epoch.denial

    @property
    def _unseen(self) -> str:
        return self.arbitration.clock_problem or self._blindness

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
        return self._chunks.pending_id

    @property
    def executing_id(self) -> int:
        """Id of the chunk that was sent to the arms last; 0 before the first."""
        return self._chunks.composer.executed_id

    @property
    def is_at_rest(self) -> bool:
        """Whether everything sent has been run out."""
        return self._now >= self._motion.end

    def step(self, now: float, event: Event) -> list[Command]:
        """Take in one event at `now` [s] and return what is to be done, in order."""
        self._commands = []
        if isinstance(event, events.ClockJumped):
            self._now = now
            self._reset(f"the clock {leap_text(event.seconds)}")
        before = self._accept_time(now)
        if isinstance(event, MeasuredArms):
            self._measure(event)
        elif isinstance(event, events.EpisodeReset):
            # Before the watchdogs look: what they send is of the old world, and would pull the arms back into it.
            self._reset("the episode was reset")
        self._run_from(before)
        match event:
            case events.ChunkArrived(chunk):
                self._take_chunk(chunk)
            case events.ChunkUnreadable(chunk_id, reason):
                if chunk_id == self.pending_id:
                    self._refuse(f"chunk {chunk_id} cannot be read: {reason}")
            case events.RefusalArrived(refusal):
                self._take_refusal(refusal)
            case events.TaskSet():
                self._set_task(event)
            case events.TaskEnded():
                self.epoch.end()
                self._cancel()
            case events.ModeSet(mode):
                self._set_mode(mode)
            case events.TeleopArrived(command):
                self._hear(command)
            case events.DriverSaid(arm, fault):
                self._hear_driver(arm, fault)
            case events.ReportArrived(report):
                self.timeline.merge(report)
            case events.Tick(lateness):
                self._chunks.records.ticked(lateness)
            case events.ClockStands(problem):
                self.arbitration.stand(self._now, problem)
                self._give_up_steering()
            case MeasuredArms() | events.EpisodeReset() | events.ClockJumped():
                pass
        if self.phase is Phase.IDLE and self.mode is Mode.POLICY and self.epoch.may_ask(self._now):
            self._request_at_rest()
        idleness = self.epoch.denial or self.waiting
        self._commands += self._announcements.mode(self.arbitration, self._unseen, idleness, self.task_epoch)
        return self._commands

    def _say(self, level: Level, text: str, is_refusal: bool = False) -> None:
        self._commands.append(Report(level, text, is_refusal))

    def _enter(self, phase: Phase) -> None:
        self.phase = self.phase.to(phase)

    def _enter_rest(self) -> None:
        """What was sent runs out, if it has not yet."""
        self._enter(Phase.IDLE if self.is_at_rest else Phase.STOPPING)

    def _accept_time(self, now: float) -> float:
        """Small steps back are two sources out of order; a large one is a clock that was set.

        Returns the instant from which time has passed until now.
        """
        if now < self._now - self._config.state_timeout:
            jump, self._now = self._now - now, now
            self._reset(f"the clock {leap_text(-jump)}")
        before, self._now = self._now, max(now, self._now)
        return before

    def _run_from(self, before: float) -> None:
        """Consume rows, account for idle time since `before` and look at the watchdogs."""
        now, motion, pending = self._now, self._motion, self._chunks.pending
        self._commands += motion.consume(now)
        if self.mode is Mode.POLICY and self.epoch.has_moved:
            self.metrics.elapse(before, now, self._chunks.busy_from, motion.rows_end)
        if self.phase is Phase.MOVING and pending is not None and now >= motion.rows_end:
            # A stall, unless the next chunk was meant to start from rest.
            self._enter(Phase.ASKED if pending.request.at_rest else Phase.STALLED)
            if self.phase is Phase.STALLED:
                self._chunks.records.ran_out(pending, motion.rows_end)
        if self.phase is Phase.STOPPING and self.is_at_rest:
            self._enter(Phase.IDLE)
        if silence := self._chunks.overdue(now):
            self.epoch.wait(silence)
            self._say("warning", silence)
            self._cancel("timed_out")
        if self.phase is not Phase.BLIND and self._watch.age(now) > self._config.state_timeout:
            self._go_blind()
        self.arbitration.look(now)
        self._give_up_steering()

    def _measure(self, arms: MeasuredArms) -> None:
        match self._watch.take(arms, self._now):
            case StateQuality.INVALID:
                return self.metrics.count("state_invalid")
            case StateQuality.REPEATED:
                return
            case StateQuality.JUMPED:
                return self._reset("the arms are not where they were one joint state ago")
            case StateQuality.GOOD:
                self.metrics.state_gap(self._watch.gap)
                if problem := self._following.astray(self._motion.path, arms):
                    self._lose(arms, problem)
        if self.phase is Phase.BLIND and self._watch.age(self._now) <= self._config.state_timeout:
            self._see(arms)
        self._commands += self._announcements.state(arms, self.arbitration, self.task_epoch)

    def _lose(self, arms: MeasuredArms, problem: str) -> None:
        """The arms are not on their path: a command from it would make them leap, so they stop from where they are."""
        self.metrics.count("astray")
        self.arbitration.fall(self._now, problem)
        self._cancel()
        self._motion.brake_from(self._now, arms)
        self._commands += self._motion.messages(self._now)
        self._enter(Phase.STOPPING)

    def _see(self, arms: MeasuredArms) -> None:
        """Joint states are back: what was sent before runs out first, then all may go on."""
        if self._blindness:
            self._blindness = ""
            self._say("info", "joint states are back")
        if self._must_hold_measured:
            self._must_hold_measured = False
            self._commands += self._motion.hold_measured(self._now, arms)
        self._enter_rest()

    def _go_blind(self) -> None:
        age = self._watch.age(self._now)
        self.metrics.count("state_stale")
        self._blindness = f"joint states are {age:.2f} s old; at most {self._config.state_timeout} s expected"
        self._say("error", f"{self._blindness}: braking, and holding until they return")
        self._cancel()
        self.arbitration.end_teleop(self._now, "joint states are silent")
        self._brake()
        self._enter(Phase.BLIND)

    def _request_at_rest(self) -> None:
        motion, arms = self._motion, self._watch.latest
        # Measured before they came to rest, or led on by somebody else: they are elsewhere by now.
        if arms is None or arms.stamp < motion.end or motion.is_led_by_others(arms):
            return
        if refusal := motion.start.refusal(arms):
            return self.arbitration.fall(self._now, refusal)
        executed = motion.executed() if self.epoch.has_moved or self.epoch.was_steered else NO_ROWS
        if astray := motion.settle(self._now, arms):
            self._say("warning", f"the arms rest {astray:.2f} rad from their command; holding them there")
        self._commands.append(self._chunks.ask_from_rest(self._now, self.epoch, executed))
        self._enter(Phase.ASKED)

    def _cancel(self, outcome: str = "cancelled") -> None:
        """Drop the branch in flight, if there is one; what was sent runs out."""
        if self._chunks.pending is not None:
            self._commands.append(self._chunks.cancel(outcome))
            self._enter_rest()

    def _close(self, outcome: str) -> None:
        """The request in flight is answered without moving the arms."""
        self._chunks.close(outcome)
        self._enter_rest()

    def _take_chunk(self, chunk: ActionChunk) -> None:
        if not self._chunks.awaits(chunk.chunk_id, chunk.task_epoch):
            self.metrics.count("dropped")
            awaited = "no chunk" if self.pending_id is None else f"chunk {self.pending_id}"
            text = f"chunk {chunk.chunk_id} of epoch {chunk.task_epoch} dropped"
            return self._say("info", f"{text}; {awaited} of epoch {self.task_epoch} is waited for")
        try:
            request = self._chunks.execute(self._now, chunk, self.epoch)
        except ChunkRefused as reason:
            self._refuse(str(reason))
        except ChunkStale as reason:
            self.metrics.count("stale_observations")
            self._chunks.observed()
            self._say("warning", f"{reason} Asking again from rest.")
            self._close("stale")
        else:
            self.epoch.has_moved = True
            self.epoch.forgive()
            self._enter(Phase.MOVING)
            self._commands += [*self._motion.messages(self._now), request]

    def _refuse(self, reason: str) -> None:
        # The policy has made this observation all the same.
        self._chunks.observed()
        self.arbitration.fall(self._now, reason)
        self._brake()
        self._close("refused")

    def _take_refusal(self, refusal: ChunkRefusal) -> None:
        """No chunk will come for the request in flight: what was sent runs out."""
        if not self._chunks.awaits(refusal.chunk_id, refusal.task_epoch):
            return self.metrics.count("dropped")
        self._close("declined")
        self._chunks.composer.declined(refusal.kind)
        self._commands += self.epoch.decline(self._now, refusal)

    def _brake(self) -> None:
        if self._motion.brake(self._now):
            self._commands += self._motion.messages(self._now)

    def _set_task(self, task: TaskSet) -> None:
        if problem := instruction_problem(task.instruction):
            return self._say("warning", f"task refused: {problem}", is_refusal=True)
        self.epoch.task = task
        self._start_epoch(task.memory_policy)
        self._say("info", f"epoch {self.task_epoch}: {task.instruction!r}")

    def _start_epoch(self, memory_policy: MemoryPolicy) -> None:
        self._cancel()
        self.epoch.begin(self._now)
        self._chunks.composer.start_epoch(memory_policy, self.task.instruction if self.task else "")

    def _hear_driver(self, arm: str, fault: str) -> None:
        """An arm that takes no commands has stopped by itself: the other one stops too, until an operator goes on."""
        if self._driver_faults.get(arm, "") == fault:
            return
        self._driver_faults[arm] = fault
        if not fault:
            return self._say("info", f"{arm} arm: takes commands again")
        self.metrics.count("driver_faults")
        self.arbitration.fall(self._now, fault)
        self._give_up_steering()
        self._cancel()
        self._brake()

    def _set_mode(self, mode: Mode) -> None:
        fault = next(filter(None, self._driver_faults.values()), "")
        if mode < Mode.HOLD and fault:
            return self._say("warning", f"mode {mode.name} refused: {fault}", is_refusal=True)
        if mode is Mode.POLICY:
            self.epoch.forgive()
        if not self.arbitration.order(self._now, mode, lambda: self._teleop.obstacle(self._now, self._watch.latest)):
            return
        self._give_up_steering()
        if mode is Mode.POLICY:
            return
        self._cancel()
        if mode is Mode.TELEOP:
            self._enter(Phase.STEERED)
            self._steer()
            self._give_up_steering()
        else:
            self._brake()

    def _hear(self, command: TeleopCommand) -> None:
        if self.arbitration.hear(self._now, command):
            self._teleop.hear(command)
            if self.phase is Phase.STEERED:
                self._steer()
        self._give_up_steering()

    def _steer(self) -> None:
        try:
            reaction = self._teleop.follow(self._now)
        except ChunkRefused as reason:
            self.metrics.count("refused")
            return self.arbitration.fall(self._now, str(reason))
        if reaction is not None:
            self.epoch.was_steered = True
            self.metrics.answered_human(reaction)
            self._commands += self._motion.messages(self._now)

    def _give_up_steering(self) -> None:
        """The human does not own the arms any more: brake at once."""
        if self.phase is Phase.STEERED and self.mode is not Mode.TELEOP:
            self._brake()
            self._enter_rest()

    def _reset(self, why: str) -> None:
        """What was sent has no meaning any more: forget it, and hold where the arms are measured next."""
        self.arbitration.end_teleop(self._now, why)
        self._start_epoch(MemoryPolicy.RESET)
        self._motion.drop()
        self._watch.forget(trusted_from=self._now)
        self._announcements.forget()
        self._must_hold_measured = True
        self._chunks.busy_from = math.inf
        self._enter(Phase.BLIND)
        self.metrics.count("resets")
        self._say("info", f"{why}: dropping what was sent, holding where the arms are")
