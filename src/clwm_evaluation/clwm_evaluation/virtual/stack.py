"""The whole stack in one process on a virtual clock: world, controllers, scheduler and a source of chunks; no ROS.

Events are handled in order of their virtual time. Computing costs no virtual time except where the latency says so:

- `measured`: the chunk arrives as long after the pictures were taken as encoding and finishing it really took, and
  speculation gets as many steps as fit between request and pictures. Results then vary as the machine does.
- a fixed number of seconds: the chunk arrives so long after the pictures. Speculation counts as complete by then,
  except for a chunk asked for at rest, between whose request and pictures there is no time. Same seed, same result.

Transport between processes is not part of either; over DDS it adds a few milliseconds.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from clwm_common.control.joint_trajectory_controller import TrajectoryRefused
from clwm_common.control.trajectory import JointTrajectory
from clwm_common.messages import ActionChunk, ChunkRequest, DualArmState, MemoryPolicy, Mode, SaiReport
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_evaluation.virtual.chunk_sources import ChunkSource, NoAnswer
from clwm_evaluation.virtual.surprises import draw_event
from clwm_sai_executor.checks.clearance import margins_of
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.events import (
    CancelChunk,
    ChunkArrived,
    EpisodeReset,
    Event,
    MeasuredArms,
    MoveGripper,
    PublishState,
    Report,
    ReportArrived,
    RequestChunk,
    SendTrajectory,
    TaskSet,
)
from clwm_sai_executor.path.splice import Path
from clwm_sai_executor.scheduler import Scheduler
from clwm_sim.controllers.robot_control import RobotControl
from clwm_sim.pacing import TICK, TICKS_PER_FRAME
from clwm_sim.world import World

# A stamp of 0 means "start now" to a controller, so episodes begin at another time.
EPISODE_START = 1000.0
FRAME_PERIOD = TICK * TICKS_PER_FRAME
EVENT_TIMES = (0.3, 1.2)  # s: after the first chunk began, and before the hands are usually at the objects
EVENT_LATEST = 4.0  # s: until then it is tried again whether something has become free
_EVENT_STREAM = 5
_SIDES = ("left", "right")
OnTick = Callable[[float, Mode], Iterable[Event]]  # now, and who moves the arms


def stands_still() -> float:
    """A stopwatch under which computing takes no time, and no deadline is at risk by it."""
    return 0.0


class LatencyError(ValueError):
    """A latency that cannot be understood; the message says what was expected."""


@dataclass(frozen=True)
class Latency:
    """Virtual delay from pictures to chunk: `seconds`, or as measured when None."""

    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> Latency:
        """Read `measured` or a number of milliseconds. Raises LatencyError."""
        if text.strip() == "measured":
            return cls()
        try:
            seconds = float(text) / 1e3
        except ValueError:
            raise LatencyError(f"latency '{text}'; expected 'measured' or milliseconds, such as 80") from None
        if not 0.0 <= seconds <= 60.0:
            raise LatencyError(f"latency {text} ms; expected 0 to 60000 ms")
        return cls(seconds)


@dataclass(frozen=True)
class EpisodeResult:
    """One episode. outcome: `success`, `failure` or `timeout`. Times in s.

    blocking, surrogate_errors and copy_errors are per chunk, NaN left out. disturbed_at: when an object was moved.
    fault: why the executor did not go on, if it did not.
    """

    seed: int
    outcome: str
    seconds: float
    chunks: int
    stalls: int
    active_seconds: float
    idle_fraction: float
    blocking: tuple[float, ...]
    surrogate_errors: tuple[float, ...]
    copy_errors: tuple[float, ...]
    refusals: tuple[str, ...]
    disturbed_at: float | None = None
    fault: str = ""

    @property
    def succeeded(self) -> bool:
        return self.outcome == "success"


class _Order(IntEnum):
    """Which of two events at the same instant comes first."""

    TICK = 0
    CAPTURE = 1
    CHUNK = 2


class VirtualStack:
    """Runs episodes of one world. source None: nobody answers, and the arms hold.

    on_frame: called at every camera instant with the elapsed time [s], for a recording. disturb: m by which one object
    is moved over the table, once per episode, at an instant drawn with it; 0 moves nothing.
    """

    def __init__(
        self,
        world: World,
        source: ChunkSource | None,
        latency: Latency,
        config: SchedulerConfig | None = None,
        on_frame: Callable[[float], None] | None = None,
        disturb: float = 0.0,
    ) -> None:
        self._world = world
        self._disturb = disturb
        self._robot: RobotDescription = world.robot
        self._source = source
        self._latency = latency
        self._config = config
        self._on_frame = on_frame
        self._row_of = DualArmKinematics(world.robot).row
        self._margins = margins_of(world.robot)
        # Called for every chunk that came in time while the one before moved the arms: now, paths before and after it.
        self.on_seam: Callable[[float, Path, Path, ActionChunk], None] | None = None
        # Called at every tick, once the arms were measured; the executor is told what it returns.
        self.on_tick: OnTick | None = None
        # Called for every trajectory that an arm's controller is sent: now, the arm's number, the trajectory.
        self.on_sent: Callable[[float, int, JointTrajectory], None] | None = None

    def instruction(self, seed: int) -> str:
        """The sentence that the episode of `seed` is asked for with."""
        return self._world.instruction(seed)

    def run(self, seed: int) -> EpisodeResult:
        """Run one episode to its success, failure or time-out."""
        self._world.reset(seed)
        self._control = RobotControl(self._world, self._robot, origin=EPISODE_START)
        self._scheduler = Scheduler(self._robot, self._config, self._row_of, self._margins)
        self._queue: list[tuple[float, _Order, int, Callable[[float], None]]] = []
        self._serial = itertools.count()
        # Over ROS nothing ties the cameras to the episode, so their phase is drawn with it.
        self._camera_phase = seed % TICKS_PER_FRAME
        self._ticks = 0
        self._wanted: ChunkRequest | None = None
        self._requested_at = self._policy_free_at = EPISODE_START
        self._state: DualArmState | None = None
        self._refusals: list[str] = []
        self._disturbed_at: float | None = None
        if self._disturb:
            self._events = np.random.default_rng([seed, _EVENT_STREAM])
            self._schedule(EPISODE_START + self._events.uniform(*EVENT_TIMES), _Order.TICK, self._move_something)
        if self._source is not None:
            self._source.begin(self._world)
        self._step(EPISODE_START, EpisodeReset())
        if self._source is not None:
            task = TaskSet(self._world.instruction(seed), MemoryPolicy.RESET, episode_seed=seed)
            self._step(EPISODE_START, task)
        self._schedule(EPISODE_START, _Order.TICK, self._tick)
        while not (self._world.succeeded() or self._world.failed()):
            instant, _, _, action = heapq.heappop(self._queue)
            self._control.advance(instant)
            action(instant)
        return self._result(seed)

    def close(self) -> None:
        """Free the world's GL context, and end what the source does."""
        if self._source is not None:
            self._source.close()
        self._world.close()

    def _result(self, seed: int) -> EpisodeResult:
        world, summary = self._world, self._scheduler.metrics.summary()
        records = self._scheduler.timeline.records()
        reports = [record.report for record in records if record.report is not None]
        is_over_time = world.time >= world.goal.timeout
        return EpisodeResult(
            seed=seed,
            outcome="success" if world.succeeded() else "timeout" if is_over_time else "failure",
            seconds=round(world.time, 4),
            chunks=summary["chunks"],
            stalls=summary["stalls"],
            active_seconds=summary["active_seconds"],
            idle_fraction=summary["idle_fraction"],
            blocking=tuple(record.blocking for record in records if record.outcome == "executed"),
            surrogate_errors=_finite(report.surrogate_error for report in reports),
            copy_errors=_finite(report.copy_error for report in reports),
            refusals=tuple(self._refusals),
            disturbed_at=self._disturbed_at,
            fault=self._scheduler.fault,
        )

    def _schedule(self, instant: float, order: _Order, action: Callable[[float], None]) -> None:
        heapq.heappush(self._queue, (instant, order, next(self._serial), action))

    def _step(self, now: float, event: Event) -> None:
        for command in self._scheduler.step(now, event):
            match command:
                case RequestChunk(request):
                    self._request(now, request)
                case CancelChunk(chunk_id):
                    self._wanted = None
                    self._source.cancel(chunk_id)
                case SendTrajectory():
                    self._send(command)
                case MoveGripper(arm, width):
                    self._control.receive_opening(_SIDES.index(arm), width)
                case PublishState(state):
                    self._state = state
                case Report(level, text) if level != "info":
                    self._refusals.append(text)

    def _send(self, command: SendTrajectory) -> None:
        arm = _SIDES.index(command.arm)
        message = JointTrajectory.from_arrays(
            self._robot.arms[arm].joint_names,
            command.times_from_start,
            command.positions,
            command.velocities,
            stamp=command.stamp,
        )
        if self.on_sent is not None:
            self.on_sent(self._control.now, arm, message)
        try:
            self._control.receive_trajectory(arm, message)
        except TrajectoryRefused as error:
            self._refusals.append(f"{command.arm} controller: {error}")

    def _tick(self, now: float) -> None:
        measured = self._world.measured()
        self._step(now, MeasuredArms(now, measured.positions, measured.velocities, measured.widths))
        if self._on_frame is not None and self._ticks % TICKS_PER_FRAME == 0:
            self._on_frame(self._world.time)
        if self.on_tick is not None:
            for event in self.on_tick(now, self._scheduler.mode):
                self._step(now, event)
        self._ticks += 1
        self._schedule(EPISODE_START + self._ticks * TICK, _Order.TICK, self._tick)

    def _move_something(self, now: float) -> None:
        event = draw_event(self._world, self._events, self._disturb)
        if event is not None:
            self._world.displace(event.name, event.shift)
            self._disturbed_at = round(self._world.time, 4)
        elif self._world.time < EVENT_LATEST:
            # Something is in or near a hand; a moment later it may not be.
            self._schedule(now + FRAME_PERIOD, _Order.TICK, self._move_something)

    def _request(self, now: float, request: ChunkRequest) -> None:
        self._wanted, self._requested_at = request, now
        self._source.request(request)
        instant = EPISODE_START + self._frame_tick(now, request.observe_at) * TICK
        self._schedule(instant, _Order.CAPTURE, lambda at: self._capture(at, request))

    def _frame_tick(self, now: float, observe_at: float) -> int:
        """Tick of the pictures taken nearest to `observe_at`, or of the next ones when those are past."""
        nearest = round(((observe_at - EPISODE_START) / TICK - self._camera_phase) / TICKS_PER_FRAME)
        coming = math.ceil(((now - EPISODE_START) / TICK - self._camera_phase) / TICKS_PER_FRAME - 1e-6)
        return self._camera_phase + max(nearest, coming) * TICKS_PER_FRAME

    def _capture(self, now: float, request: ChunkRequest) -> None:
        if self._wanted is not request:
            return
        began = max(self._requested_at, self._policy_free_at)
        ready = now
        if self._latency.seconds is None:
            ready = max(now, began + self._source.speculate(max(0.0, now - began)))
        elif not request.at_rest:
            self._source.speculate(math.inf)
        try:
            answer = self._source.answer(now, self._state, self._pictures)
        except NoAnswer as reason:
            self._refusals.append(f"chunk {request.chunk_id}: {reason}")
            return
        finished = ready + (answer.seconds if self._latency.seconds is None else self._latency.seconds)
        self._policy_free_at = finished
        report = answer.report
        if report is not None:
            report = replace(report, requested_at=self._requested_at, frame_arrived_at=now, finished_at=finished)
        self._schedule(finished, _Order.CHUNK, lambda at: self._deliver(at, answer.chunk, report))

    def _deliver(self, now: float, chunk: ActionChunk, report: SaiReport | None) -> None:
        before = self._scheduler.path
        self._step(now, ChunkArrived(chunk))
        record = self._scheduler.timeline.get(chunk.chunk_id)
        is_seam = record is not None and record.outcome == "executed" and not record.at_rest and record.stall == 0.0
        if self.on_seam is not None and is_seam:
            self.on_seam(now, before, self._scheduler.path, chunk)
        if report is not None:
            self._step(now, ReportArrived(report))

    def _pictures(self) -> NDArray[np.uint8]:
        return np.stack([self._world.render(camera) for camera in self._robot.cameras])


def _finite(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values if math.isfinite(value))
