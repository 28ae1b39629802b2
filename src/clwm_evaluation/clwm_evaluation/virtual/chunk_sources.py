"""Who answers chunk requests in a virtual stack: the model, or the scripted expert in its place."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import CHUNK_ROWS, ROW_DT
from clwm_common.messages import ActionChunk, ChunkRequest, DualArmState, FeatureFrame, SaiReport
from clwm_common.robot.description import RobotDescription
from clwm_policy.errors import EngineError
from clwm_policy.session import TRANSPORT
from clwm_sim.controllers.interpolation import between
from clwm_sim.experts.task_expert import Expert
from clwm_sim.world import World

if TYPE_CHECKING:
    from clwm_policy.engine.engine import Engine
    from clwm_policy.recording.episode_log import RecordedEngine

Pictures = Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class Answer:
    """A chunk with its report, if there is one, and the seconds of computing between the pictures and the chunk."""

    chunk: ActionChunk
    report: SaiReport | None
    seconds: float


class NoAnswer(RuntimeError):
    """The chunk asked for cannot be made from what was observed; the scheduler will ask again."""


class ChunkSource(Protocol):
    """Makes one chunk per request. It is told of time only by how long it may speculate."""

    def begin(self, world: World) -> None:
        """A new episode has begun in `world`, at time 0."""

    def request(self, request: ChunkRequest) -> None:
        """Begin with a chunk."""

    def cancel(self, chunk_id: int) -> None:
        """Drop it."""

    def speculate(self, budget: float) -> float:
        """Work ahead for at most `budget` seconds; a step begun is finished. Returns the seconds of computing used."""

    def answer(self, stamp: float, state: DualArmState, pictures: Pictures) -> Answer:
        """Finish the requested chunk on the pictures (cameras, height, width, 3) and the state measured at `stamp`.

        Raises NoAnswer.
        """

    def close(self) -> None:
        """The last episode is over."""


class ImageEncoder(Protocol):
    """What a clwm_perception Encoder offers."""

    encoder_id: str
    weights_hash: str

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float16]: ...


class ModelSource:
    """The engine behind the encoder, as the perception and policy nodes have them.

    stopwatch: seconds of a steady clock, for the durations. on_close: called after the last episode.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        engine: Engine | RecordedEngine,
        cameras: tuple[str, ...],
        stopwatch: Callable[[], float] = time.perf_counter,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._encoder = encoder
        self._engine = engine
        self._cameras = cameras
        self._stopwatch = stopwatch
        self._on_close = on_close

    def begin(self, world: World) -> None:
        self._engine.start_episode()

    def request(self, request: ChunkRequest) -> None:
        self._engine.request(request)

    def cancel(self, chunk_id: int) -> None:
        self._engine.cancel(chunk_id)

    def speculate(self, budget: float) -> float:
        used = 0.0
        while used < budget:
            before = self._stopwatch()
            if not self._engine.advance():
                break
            used += self._stopwatch() - before
        return used

    def answer(self, stamp: float, state: DualArmState, pictures: Pictures) -> Answer:
        images = pictures()
        before = self._stopwatch()
        frame = self._frame(stamp, images)
        frame = replace(frame, encode_seconds=self._stopwatch() - before)
        pending = self._engine.pending
        is_free = pending is None or pending.at_rest
        left = math.inf if is_free else pending.needed_by - stamp - frame.encode_seconds - TRANSPORT
        try:
            chunk = self._engine.finish(frame, state, time_left=left)
        except EngineError as error:
            raise NoAnswer(str(error)) from error
        seconds = self._stopwatch() - before
        return Answer(chunk, self._engine.report(), seconds)

    def close(self) -> None:
        self._on_close()

    def _frame(self, stamp: float, images: NDArray[np.uint8]) -> FeatureFrame:
        """Pictures (cameras, height, width, 3) as perception would hand them on."""
        return FeatureFrame(
            stamp, self._encoder(images), self._cameras, self._encoder.encoder_id, self._encoder.weights_hash
        )


class ForgetfulSource(ModelSource):
    """Begins every chunk with the memory of a new episode: what it then knows, the present observation told it."""

    def request(self, request: ChunkRequest) -> None:
        self._engine.memory.reset()
        super().request(request)


class ExpertSource:
    """The scripted expert as a chunk generator: it plans 16 rows ahead, open loop, in a copy of the world.

    It sees the true state, so what it fails at is lost between chunk and arm: by the executor, the controllers or the
    horizon. Steering a policy by hindsight of one horizon is as close to closed loop as any policy here can come.
    """

    def __init__(self, robot: RobotDescription) -> None:
        self._robot = robot
        self._copy: World | None = None

    def begin(self, world: World) -> None:
        self._world = world
        if self._copy is None:
            self._copy = World(world.task.name, 32, 0, self._robot)
            self._expert = Expert(self._copy)
        self._copy.become(world)
        self._expert.start()
        self._request: ChunkRequest | None = None
        self._velocities = [np.zeros((2, 6))] * CHUNK_ROWS

    def request(self, request: ChunkRequest) -> None:
        self._request = request

    def cancel(self, chunk_id: int) -> None:
        self._request = None

    def speculate(self, budget: float) -> float:
        return 0.0

    def answer(self, stamp: float, state: DualArmState, pictures: Pictures) -> Answer:
        request = self._request
        assert request is not None, "asked for an answer without a request"
        self._copy.become(self._world)
        rows = self._plan(request, request.observe_at - stamp)
        chunk = ActionChunk(
            chunk_id=request.chunk_id,
            task_epoch=request.task_epoch,
            stamp=request.observe_at,
            rows=rows,
            prefix_rows=len(request.committed_prefix),
            observation_stamp=stamp,
            policy_hash="expert",
            re_entry="expert",
        )
        return Answer(chunk, None, 0.0)

    def close(self) -> None:
        if self._copy is not None:
            self._copy.close()

    def _plan(self, request: ChunkRequest, until_row_zero: float) -> NDArray[np.float32]:
        """Rows (16, 30), the expert deciding row i + 1 from the copied world at row i's instant."""
        copy, prefix = self._copy, request.committed_prefix
        start = copy.time + until_row_zero
        # Row 0 is row 16 - p of the last plan, and the expert goes on with the velocity that it had there.
        self._expert.velocity = np.zeros((2, 6)) if request.at_rest else self._velocities[-len(prefix)]
        self._velocities = []
        rows = [prefix[0]]
        for index in range(CHUNK_ROWS - 1):
            instant = start + index * ROW_DT
            if instant > copy.time:
                copy.advance(instant, between(rows[max(index - 1, 0)], rows[index], instant - ROW_DT))
            self._velocities.append(self._expert.velocity)
            row = self._expert.next_row(rows[index])
            rows.append(prefix[index + 1] if index + 1 < len(prefix) else row)
        self._velocities.append(self._expert.velocity)
        return np.array(rows, dtype=np.float32)
