"""The node `policy`: moves messages in and out of a session, whose engine works on a thread of its own."""

from __future__ import annotations

import gc
import time
import traceback
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from clwm_common import messages as core
from clwm_common.actions import LayoutError
from clwm_common.clock_watch import Pace
from clwm_common.files.model_files import output_folder
from clwm_common.messages import RefusalKind
from clwm_common.ros import qos
from clwm_common.ros.conversions import ConversionError, cut_text, from_msg, to_msg
from clwm_common.ros.diagnostics import Health, Level
from clwm_common.ros.lifecycle import ClwmNode, NodeError, run
from clwm_common.ros.parameters import Parameter
from clwm_msgs.msg import (
    ActionChunk,
    ChunkRefusal,
    ChunkRequest,
    DualArmState,
    FeatureFrame,
    ObservationRequest,
    SaiReport,
)
from clwm_msgs.srv import CheckTask, PolicyMemory
from clwm_policy.backends.choice import KNOWN, TORCH, Choice
from clwm_policy.backends.errors import BackendError
from clwm_policy.engine.evidence import FRACTION, Tally
from clwm_policy.engine.re_entry import ReEntryError
from clwm_policy.engine.surprise_alarm import calibrated_alarm
from clwm_policy.engine_thread import EngineThread
from clwm_policy.errors import BadSnapshot, EngineError
from clwm_policy.loading import PolicySettings, load_engine
from clwm_policy.memory.named_memories import NamedMemories
from clwm_policy.model.checkpoint import CheckpointError
from clwm_policy.model.language import LanguageError
from clwm_policy.recording.episode_log import RecordedEngine, RecordingError
from clwm_policy.session import ClockJumped, Notice, Output, Patience, Session, Severity
from clwm_policy.success_estimate import load_success_estimate

TICK_PERIOD = 0.25  # s between two looks for a frame that is late
MEMORY_TIMEOUT = 2.0  # s that whoever saves or restores a memory waits for the engine
JOIN_TIMEOUT = 5.0  # s; a step of the engine takes milliseconds
NOTICE_SHOWN = 10.0  # s for which the last warning stays in the diagnostics
FRAME_BYTES = 4 * 1024**2  # three cameras' whole patch grids of a ViT-L at 224 pixels take a quarter
WINDOW = 200  # chunks that the latencies in the diagnostics cover


class PolicyNode(ClwmNode):
    """Asks perception for observations and answers the executor's requests with chunks.

    Callbacks only convert and queue; the engine steps and publishes on the worker thread, which sleeps when nothing is
    to do.
    """

    ROLE = "policy"
    PARAMETERS = (
        Parameter("checkpoint", "models/nano/policy.safetensors", "weights of the policy; the .json is beside them"),
        Parameter("sai", "adaptive", "re-entry policy: sequential, fixed:<s_mid> or adaptive", reconfigurable=True),
        Parameter("backends", [TORCH], "what may run the model; the first that can is used", choices=tuple(KNOWN)),
        Parameter("video_steps", 10, "flow steps of stage 1", minimum=1, maximum=100),
        Parameter("action_steps", 10, "flow steps of stage 2", minimum=1, maximum=100),
        Parameter(
            "encoder_hash", "", "SHA-256 of the encoder in use, to be checked at once; empty: the first frame tells"
        ),
        Parameter(
            "untrained_seed", -1, "random weights from this seed instead of the trained ones; -1: trained", minimum=-1
        ),
        Parameter(
            "evidence_fraction", FRACTION, "share of the chunks made again on idle time, as evidence", "", 0.0, 1.0
        ),
        Parameter("memories", "", "folder of memories that operators save; empty: out/memories"),
        Parameter("record", "", "MCAP file for all that decides the chunks, for `clwm replay`; empty: none"),
        Parameter("frame_early", 0.05, "a frame may be this much older than the instant asked for", "s", 0.0, 10.0),
        Parameter(
            "state_apart", 0.1, "largest distance between a frame and the measured state with it", "s", 0.0, 10.0
        ),
        Parameter("frame_late", 1.0, "a chunk whose frame has not come after this is declined", "s", 0.05, 60.0),
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("policy", **kwargs)
        self._session: Session | None = None
        self._recording: RecordedEngine | None = None
        self._worker: EngineThread | None = None
        self._stuck: EngineThread | None = None

    def sole_names(self) -> tuple[str, ...]:
        return ("/clwm/sai_report",)

    def configure(self) -> None:
        if self._stuck is not None and self._stuck.is_alive:
            raise NodeError(
                "the engine is still in a step that it did not end when it was stopped; end this process: "
                "`clwm up` starts a new one, started by hand it has to be started again"
            )
        self._stuck = None
        params = self.params
        settings = PolicySettings(
            checkpoint=Path(params.checkpoint),
            sai=params.sai,
            video_steps=params.video_steps,
            action_steps=params.action_steps,
            encoder_hash=params.encoder_hash or None,
            untrained_seed=None if params.untrained_seed < 0 else params.untrained_seed,
            backends=tuple(params.backends),
            evidence_fraction=params.evidence_fraction,
        )
        try:
            engine = self._recorded(settings) if params.record else load_engine(settings, on_choice=self._on_choice)
        except (BackendError, CheckpointError, LanguageError, RecordingError, ReEntryError) as error:
            raise NodeError(str(error)) from error
        engine.known_sentences.prepare()
        # A full collection over everything that the libraries made at import would stop the engine for tens of ms.
        gc.unfreeze()  # what an earlier configuration left
        gc.collect()
        gc.freeze()
        patience = Patience(params.frame_early, params.state_apart, params.frame_late)
        self._calibration = getattr(engine.re_entry, "calibration", None)
        self._alarm = calibrated_alarm(engine.re_entry)
        self.log("info", f"alarm for a world out of distribution: {self._alarm_text()}")
        self._pace = Pace()
        try:
            success = load_success_estimate(settings.checkpoint, engine.encoder_hash, engine.known_sentences)
        except CheckpointError as error:  # the policy is as good without
            success = str(error)
            self.log("info", f"no estimate of success: {error}")
        self._session = Session(engine, self.now, patience, self._alarm, success)
        self._evidence = Tally()
        self._chunks = 0
        self._blocking: deque[float] = deque(maxlen=WINDOW)
        self._surrogate_errors: deque[float] = deque(maxlen=WINDOW)
        self._noticed: tuple[float, Notice] | None = None
        self._outputs = {
            core.ObservationRequest: self.create_lifecycle_publisher(
                ObservationRequest, "/clwm/observation_request", qos.CRITICAL
            ),
            core.ActionChunk: self.create_lifecycle_publisher(ActionChunk, "/clwm/action_chunk", qos.CRITICAL),
            core.SaiReport: self.create_lifecycle_publisher(SaiReport, "/clwm/sai_report", qos.REPORT),
            # Not a lifecycle publisher: an inactive policy has to say that it is.
            core.ChunkRefusal: self.create_publisher(ChunkRefusal, "/clwm/chunk_refusal", qos.CRITICAL),
        }
        self.create_service(CheckTask, "/clwm/check_task", self._on_check_task)
        self._memories = NamedMemories(
            Path(params.memories) if params.memories else output_folder() / "memories", engine
        )
        self.create_service(PolicyMemory, "/clwm/policy_memory", self._on_memory)
        self.create_subscription(ChunkRequest, "/clwm/chunk_request", self._queue, qos.CRITICAL)
        self.create_subscription(FeatureFrame, "/clwm/feature_frame", self._queue, qos.CRITICAL, max_bytes=FRAME_BYTES)
        self.create_subscription(DualArmState, "/clwm/state", self._queue, qos.STATE)
        self.create_timer(TICK_PERIOD, self._tick)

    def activate(self) -> None:
        self._worker = EngineThread(self._session, self._send, self._on_failure)

    def deactivate(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None and not worker.stop(JOIN_TIMEOUT):
            self._stuck = worker
            raise NodeError(f"the engine did not stop within {JOIN_TIMEOUT} s; end this process")
        for output in self._session.stop():
            self._send(output)

    def cleanup(self) -> None:
        self._session = None
        recorded, self._recording = self._recording, None
        if recorded is not None:
            recorded.close()

    def diagnose(self) -> Health:
        values: dict[str, Any] = {"chunks": self._chunks, "not_executed": self._session.not_executed}
        values |= {"sai": self.params.sai, "backend": self._choice.name}
        if self._choice.refused:
            values["backends_refused"] = "; ".join(self._choice.refused)
        if self._blocking:
            p50, p95 = np.quantile(self._blocking, [0.5, 0.95])
            values |= {"finish_ms_p50": 1e3 * float(p50), "finish_ms_p95": 1e3 * float(p95)}
        if self._surrogate_errors:
            values["surrogate_error_median"] = float(np.median(self._surrogate_errors))
        values |= self._evidence.values(None if self._calibration is None else self._calibration.coverage)
        values["out_of_distribution_alarm"] = self._alarm_text()
        if self._alarm is not None:
            values["surrogate_error_limit"] = self._alarm.limit
        if self._noticed is not None and self.now() - self._noticed[0] < NOTICE_SHOWN:
            notice = self._noticed[1]
            return Health(Level.ERROR if notice.severity is Severity.ERROR else Level.WARN, notice.text, values)
        if self._alarm is not None and self._alarm.is_raised:
            return Health(
                Level.WARN, "what is seen is not what was calibrated; look at cameras, light, objects", values
            )
        return Health(Level.OK, "working", values)

    def _alarm_text(self) -> str:
        if self._alarm is not None:
            return f"above a surrogate error of {self._alarm.limit:.3f}"
        if self._calibration is None:
            return f"off: '{self.params.sai}' uses no calibration; only 'adaptive' does"
        return "off: the calibration has no surrogate_error_limit; run `clwm calibrate`"

    def _recorded(self, settings: PolicySettings) -> RecordedEngine:
        from clwm_policy.recording.episode_file import (  # brings the MCAP library with it
            free_path,
            load_recorded_engine,
        )

        # A node that is started again must not write over what it recorded before.
        path = free_path(Path(self.params.record))
        self._recording = load_recorded_engine(settings, path, self._on_choice)
        self.log("info", f"recording to {path}")
        return self._recording

    def _on_choice(self, choice: Choice) -> None:
        self._choice = choice
        self.log("warning" if choice.refused else "info", str(choice))

    def _queue(self, msg: ChunkRequest | FeatureFrame | DualArmState) -> None:
        arrived_at = self.now()
        if not self.is_active:
            self._decline(msg, self._inactivity(), RefusalKind.INACTIVE)
            return
        try:
            self._worker.put(from_msg(msg), arrived_at)
        except (ConversionError, LayoutError) as error:
            self._note(Notice(Severity.ERROR, f"{type(msg).__name__} dropped: {error}"))
            self._decline(msg, str(error), RefusalKind.REQUEST)

    def _inactivity(self) -> str:
        return f"the policy is not active: {self.fault or 'activate it first'}"

    def _decline(self, msg: ChunkRequest | FeatureFrame | DualArmState, reason: str, kind: RefusalKind) -> None:
        """Answer what asks for a chunk and cannot be given to the session."""
        if isinstance(msg, ChunkRequest) and msg.kind != ChunkRequest.CANCEL:
            may_pass = kind is RefusalKind.INACTIVE
            self._send(core.ChunkRefusal(msg.chunk_id, msg.task_epoch, kind, reason, may_pass))

    def _on_check_task(self, request: CheckTask.Request, response: CheckTask.Response) -> CheckTask.Response:
        if not self.is_active:
            response.message = cut_text(self._inactivity(), CheckTask.Response, "message")
            return response
        response.success_threshold = np.nan
        try:
            self._session.check_task(request.instruction, core.MemoryPolicy(request.memory_policy), request.insist)
            if request.accept_estimate:
                facts = self._session.require_estimate(request.instruction)
                response.success_threshold, response.success_chunks = facts.threshold, facts.chunks
                response.success_error = cut_text(facts.known_error(), CheckTask.Response, "success_error")
        except (EngineError, ValueError) as error:
            response.message = cut_text(str(error), CheckTask.Response, "message")
            return response
        response.accepted = True
        return response

    def _on_memory(self, request: PolicyMemory.Request, response: PolicyMemory.Response) -> PolicyMemory.Response:
        try:
            response.message = cut_text(self._remember(request), PolicyMemory.Response, "message")
            response.accepted = True
        except EngineError as error:
            response.message = cut_text(str(error), PolicyMemory.Response, "message")
        except TimeoutError:
            response.message = f"the engine was busy for {MEMORY_TIMEOUT:g} s; HOLD the arms, and try again"
        response.names = self._memories.names()
        return response

    def _remember(self, request: PolicyMemory.Request) -> str:
        acts = {PolicyMemory.Request.SAVE: self._memories.save, PolicyMemory.Request.RESTORE: self._memories.restore}
        if request.act == PolicyMemory.Request.LIST:
            return ""
        if (act := acts.get(request.act)) is None:
            raise BadSnapshot(f"act {request.act} is unknown; expected LIST, SAVE or RESTORE")
        if not self.is_active:
            raise BadSnapshot(self._inactivity())
        asked = self._worker.do(lambda: act(request.name))
        try:
            message = asked.result(MEMORY_TIMEOUT)
        finally:
            asked.cancel()  # what was given up must not happen later
        self.log("info", message)
        return message

    def _tick(self) -> None:
        if self.uses_sim_time:
            self._session.pace = self._pace.look(time.monotonic(), self.now())
        if self.is_active:
            self._worker.put(None, self.now())

    def clock_jumped(self, seconds: float) -> None:
        if self.is_active:
            self._worker.put(ClockJumped(seconds), self.now())

    def _on_failure(self, error: Exception) -> None:
        # Lifecycle transitions belong to the executor's thread, and the engine's must have ended by then.
        self.get_logger().error("".join(traceback.format_exception(error)))
        self.executor.create_task(self.fail, f"stopped: the engine failed: {type(error).__name__}: {error}")

    def _send(self, output: Output) -> None:
        if isinstance(output, Notice):
            self._note(output)
            return
        self._outputs[type(output)].publish(to_msg(output))
        if isinstance(output, core.SaiReport):
            self._chunks += 1
            self._evidence.add(output)
            self._blocking.append(output.finished_at - output.frame_arrived_at)
            if np.isfinite(output.surrogate_error):
                self._surrogate_errors.append(output.surrogate_error)

    def _note(self, notice: Notice) -> None:
        self.log(notice.severity.value, notice.text)
        if notice.severity is not Severity.INFO:
            self._noticed = (self.now(), notice)


def main() -> int:
    """Entry point of `policy_node`."""
    return run(PolicyNode)


if __name__ == "__main__":
    raise SystemExit(main())
