"""Between messages and the engine: pairs requests, frames and states, asks for observations, stamps reports.

One thread calls it. What is to be sent is yielded as soon as it exists: a chunk leaves before the report about it is
worked out, so consume an answer to its end.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from clwm_common.clock_watch import leap_text
from clwm_common.messages import (
    ActionChunk,
    ChunkRefusal,
    ChunkRequest,
    DualArmState,
    FeatureFrame,
    MemoryPolicy,
    ObservationRequest,
    SaiReport,
)
from clwm_policy.engine.engine import Engine
from clwm_policy.engine.surprise_alarm import SurpriseAlarm
from clwm_policy.errors import BadState, EngineError, NoEstimate, NoFrame, StaleFrame, Stopped
from clwm_policy.model.success_head import SuccessFacts
from clwm_policy.success_estimate import SuccessEstimate

STATES_KEPT = 100  # 2 s of a 50 Hz stream
TRANSPORT = 0.01  # s from the engine to the executor that a deadline leaves free


class Severity(Enum):
    """How a notice is logged."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Notice:
    """Something an operator should know."""

    severity: Severity
    text: str


@dataclass(frozen=True)
class ClockJumped:
    """The stack's clock was set by `seconds`, back being negative."""

    seconds: float


Output = ObservationRequest | ActionChunk | ChunkRefusal | SaiReport | Notice


@dataclass(frozen=True)
class Patience:
    """How far stamps may be apart, and how long a frame is waited for [s].

    frame_early: a frame captured this much before `observe_at` still answers it. state_apart: largest distance between
    a frame and the measured state paired with it. frame_late: after this long without a frame the chunk is declined.
    """

    frame_early: float = 0.05
    state_apart: float = 0.1
    frame_late: float = 1.0


@dataclass
class _Times:
    """Stamps of the pending chunk on the stack's clock; 0 for what has not happened."""

    requested_at: float
    asked_at: float
    speculation_started_at: float = 0.0
    speculation_ended_at: float = 0.0


class Session:
    """Answers every request of the executor with one of the engine's chunks, or with a refusal.

    not_executed: chunks sent that were not the last to move the arms when the next one was asked for.
    clock: the stack's clock, for stamps. pace: s of it in one of the engine's stopwatch. alarm: told of every
    surrogate error; None when no limit is known. success: the policy's own estimate, or why it has none.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], float],
        patience: Patience | None = None,
        alarm: SurpriseAlarm | None = None,
        success: SuccessEstimate | str = "this session was given no success head",
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._patience = patience or Patience()
        self._alarm = alarm
        self._success = success
        self._states: deque[DualArmState] = deque(maxlen=STATES_KEPT)
        self._times: _Times | None = None
        self._sent_id = 0
        self.not_executed = 0
        self.pace = 1.0

    def advance(self) -> bool:
        """One step of idle-time work; False when there is none."""
        started = self._clock()
        if not self._engine.advance():
            return False
        if self._times is not None and not self._engine.was_evidence:
            self._times.speculation_started_at = self._times.speculation_started_at or started
            self._times.speculation_ended_at = self._clock()
        return True

    def on_request(self, request: ChunkRequest, arrived_at: float) -> Iterator[Output]:
        """Begin a chunk and ask for its observation, or drop one."""
        if request.cancel:
            if self._engine.cancel(request.chunk_id):
                self._times = None
                yield Notice(Severity.INFO, f"chunk {request.chunk_id} cancelled")
            return
        yield from self._account(request)
        try:
            self._engine.request(request)
        except EngineError as error:
            yield from self._decline(request, error)
            return
        self._times = _Times(requested_at=arrived_at, asked_at=arrived_at)
        yield ObservationRequest(request.chunk_id, request.observe_at)

    def on_state(self, state: DualArmState) -> None:
        """Remember a measured state."""
        self._states.append(state)

    def on_frame(self, frame: FeatureFrame, arrived_at: float) -> Iterator[Output]:
        """Finish the pending chunk; a frame that answers an earlier request, or none, is dropped."""
        request = self._engine.pending
        if request is None:
            yield Notice(Severity.INFO, f"frame of {frame.stamp:.3f} dropped: no chunk is being made")
            return
        early = request.observe_at - frame.stamp
        if early > self._patience.frame_early:
            yield Notice(
                Severity.INFO,
                f"frame of {frame.stamp:.3f} dropped: {early:.3f} s before what chunk {request.chunk_id} wants",
            )
            return
        try:
            # Arms at rest wait: nothing is gained by cutting steps.
            time_left = math.inf if request.at_rest else (request.needed_by - TRANSPORT - self._clock()) / self.pace
            chunk = self._engine.finish(frame, self._state_at(frame.stamp), time_left=time_left)
        except StaleFrame as error:
            # Two requests within one picture's time get the same picture; the next one is only a frame period away.
            yield Notice(Severity.WARNING, f"chunk {request.chunk_id}: {error}")
            yield self._ask_again(request)
            return
        except EngineError as error:
            yield from self._decline(request, error)
            return
        finished_at = self._clock()
        times, self._times = self._times, None
        self._sent_id = request.chunk_id
        yield chunk
        report = self._engine.report()
        yield from self._judged(report.surrogate_error)
        yield replace(
            report,
            out_of_distribution=self._alarm is not None and self._alarm.is_raised,
            success_estimate=self._estimated(frame, request),
            requested_at=times.requested_at,
            speculation_started_at=times.speculation_started_at,
            speculation_ended_at=times.speculation_ended_at,
            frame_arrived_at=arrived_at,
            finished_at=finished_at,
        )

    def on_tick(self) -> Iterator[Output]:
        """Decline the chunk whose frame does not come. Call a few times a second."""
        request, times = self._engine.pending, self._times
        if request is None or times is None:
            return
        waited = self._clock() - max(times.asked_at, request.observe_at)
        if waited <= self._patience.frame_late:
            return
        text = (
            f"no usable picture for {waited:.1f} s; what keeps it is in perception's health (clwm watch, /diagnostics)"
        )
        yield from self._decline(request, NoFrame(text))

    def on_clock_jumped(self, jump: ClockJumped) -> Iterator[Output]:
        """Decline the pending chunk, whose instants mean nothing now; the executor asks anew."""
        self._states.clear()
        if self._engine.pending is not None:
            yield from self._decline(self._engine.pending, NoFrame(f"the clock {leap_text(jump.seconds)}"))

    def check_task(self, instruction: str, memory_policy: MemoryPolicy, insist: bool = False) -> None:
        """Raises EngineError when the task could not be begun like this. May be called from another thread.

        insist: also when its words are unlike all that the policy was trained with.
        """
        self._engine.check_task(instruction, memory_policy, insist)

    def require_estimate(self, instruction: str) -> SuccessFacts:
        """What the policy's own estimate of success is known to be worth. Raises NoEstimate when it cannot tell.

        May be called from another thread.
        """
        if isinstance(self._success, str):
            raise NoEstimate(f"the policy cannot estimate its success: {self._success}")
        return self._success.require(instruction)

    def stop(self) -> Iterator[Output]:
        """Decline the pending chunk; the long-term memory stays for the next activation."""
        if self._engine.pending is not None:
            yield from self._decline(self._engine.pending, Stopped("the policy was deactivated; activate it again"))
        self._times = None
        self._states.clear()
        if self._alarm is not None:
            self._alarm.reset()

    def _account(self, request: ChunkRequest) -> Iterator[Notice]:
        """Notice when the chunk sent last is not the one that was executed last."""
        sent, self._sent_id = self._sent_id, 0
        # An executor that was started again counts from 1, and knows nothing of its predecessor's chunks.
        if sent and request.chunk_id > sent != request.executed_chunk_id:
            self.not_executed += 1
            last = request.executed_chunk_id
            yield Notice(Severity.INFO, f"chunk {sent} was not executed; the last that was is chunk {last}")

    def _decline(self, request: ChunkRequest, error: EngineError) -> Iterator[Output]:
        """Drop the request, and say so to whoever asked and to the operator."""
        self._engine.cancel(request.chunk_id)
        self._times = None
        yield ChunkRefusal(request.chunk_id, request.task_epoch, error.kind, str(error), error.may_pass)
        yield Notice(Severity.WARNING if error.may_pass else Severity.ERROR, f"no chunk {request.chunk_id}: {error}")

    def _estimated(self, frame: FeatureFrame, request: ChunkRequest) -> float:
        if isinstance(self._success, str):
            return math.nan
        return self._success.probability(frame.features, request.instruction)

    def _judged(self, surrogate_error: float) -> Iterator[Notice]:
        """Tell the alarm, and the operator when that changes it."""
        if self._alarm is None:
            return
        was_raised = self._alarm.is_raised
        is_raised = self._alarm.add(surrogate_error)
        if is_raised and not was_raised:
            yield Notice(
                Severity.WARNING,
                f"what is seen is not what was calibrated: surrogate error {surrogate_error:.3f}, and above "
                f"{self._alarm.limit:.3f} for several chunks; look at cameras, light and objects",
            )
        elif was_raised and not is_raised:
            yield Notice(Severity.INFO, f"surrogate errors are within {self._alarm.limit:.3f} again")

    def _ask_again(self, request: ChunkRequest) -> ObservationRequest:
        """Ask for what is seen now: what was to be seen at `observe_at` is lost."""
        self._times.asked_at = self._clock()
        return ObservationRequest(request.chunk_id, self._times.asked_at)

    def _state_at(self, stamp: float) -> DualArmState:
        """The measured state nearest to `stamp`. Raises BadState when none is near enough."""
        nearest = min(self._states, key=lambda state: abs(state.stamp - stamp), default=None)
        if nearest is None or abs(nearest.stamp - stamp) > self._patience.state_apart:
            known = "none has come; is the executor running?"
            if nearest is not None:
                known = (
                    f"the nearest is of {nearest.stamp:.3f}; look at the stamps in perception's and executor's health"
                )
            raise BadState(
                f"no measured state within {self._patience.state_apart} s of the frame of {stamp:.3f}: {known}"
            )
        return nearest
