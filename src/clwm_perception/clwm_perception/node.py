"""The perception node: camera pictures and observation requests in, one FeatureFrame for each request out."""

from __future__ import annotations

import functools
import itertools
import os
import sys
import time
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from clwm_common.messages import FeatureFrame
from clwm_common.robot.description import RobotDescription, RobotError
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_msg, from_stamp, to_msg
from clwm_common.ros.diagnostics import Health, Level
from clwm_common.ros.lifecycle import ClwmNode, NodeError, run
from clwm_common.ros.parameters import Parameter
from clwm_msgs.msg import FeatureFrame as FeatureFrameMsg
from clwm_msgs.msg import ObservationRequest as ObservationRequestMsg
from clwm_perception.camera_reader import CameraPicture, CameraReader
from clwm_perception.checkpoint import POOL
from clwm_perception.encoder import BACKENDS, Encoder
from clwm_perception.image_sets import Answer, Synchroniser, SynchroniserConfig
from clwm_perception.picture import Picture
from clwm_perception.picture_watch import HEADER_BYTES, IMAGE_BYTES, PictureWatch
from clwm_perception.preprocess import ImageError

INFO_BYTES = 4096  # of a CameraInfo at most
NICENESS = 5  # of encoder threads: below camera drivers and the executor, not below everything


class PerceptionNode(ClwmNode):
    """Encodes only what was asked for: between two requests pictures are kept, not looked at.

    A picture that may be part of the answer is encoded as soon as it is there, on a thread, while the others come.
    """

    ROLE = "perception"
    PARAMETERS = (
        Parameter("robot", "dual_fr3_mujoco", "name of the robot description in config/robots, which has the cameras"),
        Parameter("encoder", "models/nano/encoder", "Hugging Face folder of a DINOv3 ViT or ConvNeXt"),
        Parameter("backend", "auto", "what runs the encoder", choices=BACKENDS),
        Parameter("pool", POOL, "side of the square of patch tokens averaged into one feature", minimum=1, maximum=16),
        Parameter("encoder_threads", 2, "pictures that are encoded at a time", minimum=1, maximum=16),
        Parameter(
            "image_bytes", IMAGE_BYTES, "a picture that is, or unpacks to, more is refused", "bytes", 1_000, 100_000_000
        ),
        Parameter("frame_period", 0.05, "time between two pictures of a camera", "s", minimum=0.001, maximum=10.0),
        Parameter("skew_limit", 0.02, "largest spread of stamps within one set", "s", minimum=0.0001, maximum=10.0),
        Parameter(
            "silent_after", 1.0, "silence after which a camera counts as missing", "s", minimum=0.01, maximum=60.0
        ),
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("perception", **kwargs)
        self._threads: ThreadPoolExecutor | None = None

    def sole_names(self) -> tuple[str, ...]:
        return ("/clwm/feature_frame",)

    def configure(self) -> None:
        torch.set_num_threads(1)
        try:
            robot = RobotDescription.load(self.params.robot)
        except RobotError as error:
            raise NodeError(str(error)) from error
        cameras = tuple(robot.cameras)
        self._sets = Synchroniser(
            SynchroniserConfig(cameras, self.params.frame_period, self.params.skew_limit, self.params.silent_after)
        )
        self._watch = PictureWatch(self._sets.config)
        self._encoder = Encoder.load(self.params.encoder, self.params.backend, self.params.pool)
        cores = itertools.cycle(own_cores(self.params.encoder_threads, os.sched_getaffinity(0)))
        self._threads = ThreadPoolExecutor(self.params.encoder_threads, "encoder", _begin_thread, (cores,))
        size = self._encoder.checkpoint.preprocessing.size
        self._encoder(np.zeros((1, *size, 3), dtype=np.uint8))
        self._answered = 0
        self._encode_seconds = 0.0
        self._frames = self.create_lifecycle_publisher(FeatureFrameMsg, "/clwm/feature_frame", qos.CRITICAL)
        self._readers = {
            camera: CameraReader(camera, robot.camera_source(camera), size, self.params.image_bytes, reads_late=True)
            for camera in cameras
        }
        for camera, reader in self._readers.items():
            self._listen(camera, reader)
        self.create_subscription(ObservationRequestMsg, "/clwm/observation_request", self._on_request, qos.CRITICAL)
        self.get_logger().info(
            f"encoder {self._encoder.encoder_id} {self._encoder.weights_hash[:12]} runs on {self._encoder.backend_note}"
        )

    def activate(self) -> None:
        self._sets.clear()
        self._watch.start(self.now())

    def clock_jumped(self, seconds: float) -> None:
        if self.is_active:
            self.activate()

    def cleanup(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        self._threads = None

    def diagnose(self) -> Health:
        values = {
            "encoder": self._encoder.encoder_id,
            "encoder_hash": self._encoder.weights_hash,
            "backend": self._encoder.backend_note,
            "frames": self._answered,
            "encode_seconds": self._encode_seconds,
            "ignored_pictures": self._sets.ignored,
        }
        problems = self._watch.problems(self.now())
        if not problems and (apart := self._sets.diagnose()):
            problems = [apart]
        if problems:
            problems += ["an observation request waits"] if self._sets.is_waiting else []
            return Health(Level.ERROR, "; ".join(problems), values)
        changes = self._watch.changes()
        return Health(Level.WARN if changes else Level.OK, "; ".join(changes), values)

    def _listen(self, camera: str, reader: CameraReader) -> None:
        source = reader.source
        self.create_subscription(
            Image if source.transport == "raw" else CompressedImage,
            source.topic,
            functools.partial(self._on_image, camera),
            qos.SENSOR_BUFFERED,
            max_bytes=self.params.image_bytes + HEADER_BYTES,
            on_refused=functools.partial(self._on_refused, camera),
        )
        if source.rectify:
            self.create_subscription(CameraInfo, source.info_topic, reader.calibrate, qos.SENSOR, max_bytes=INFO_BYTES)

    def _on_refused(self, camera: str, reason: str) -> None:
        self._watch.refuse_bytes(self.now(), camera, reason, self.params.image_bytes)

    def _on_image(self, camera: str, msg: Image | CompressedImage) -> None:
        if not self.is_active:
            return
        try:
            seen = self._readers[camera].read(msg)
        except ImageError as error:
            self._watch.refuse(self.now(), camera, str(error))
            return
        stamp = from_stamp(msg.header.stamp)
        if not self._watch.hear(self.now(), camera, stamp, seen.size):
            return
        picture = Picture(functools.partial(self._encode, seen), self._threads)
        if self._sets.may_answer(stamp):
            picture.start()
        self._publish(self._sets.add(camera, stamp, picture))

    def _encode(self, seen: CameraPicture) -> NDArray[np.float16]:
        return self._encoder(seen.pixels()[None])[0]

    def _on_request(self, msg: ObservationRequestMsg) -> None:
        if self.is_active:
            request = from_msg(msg)
            self._publish(self._sets.request(request.chunk_id, request.observe_at))

    def _publish(self, answer: Answer | None) -> None:
        if answer is None:
            return
        started = time.perf_counter()
        for picture in answer.images.pictures:
            picture.start()
        features = []
        for camera, picture in zip(self._sets.config.cameras, answer.images.pictures, strict=True):
            try:
                features.append(picture.features())
            except ImageError as error:
                self._readers[camera].distrust()
                self._watch.refuse(self.now(), camera, f"{self._readers[camera].source.topic}: {error}")
                self._publish(self._sets.without(answer, camera))
                return
        self._encode_seconds = time.perf_counter() - started
        self._answered += 1
        self._frames.publish(
            to_msg(
                FeatureFrame(
                    stamp=answer.images.stamp,
                    features=np.stack(features),
                    cameras=self._sets.config.cameras,
                    encoder_id=self._encoder.encoder_id,
                    encoder_hash=self._encoder.weights_hash,
                    encode_seconds=self._encode_seconds,
                )
            )
        )


def own_cores(threads: int, cores: Set[int]) -> list[Set[int]]:
    """The cores that each of the encoder threads may use, in turn: one of its own where all are needed.

    Left to itself, Linux keeps two threads that were woken together on one core, and another idle, for milliseconds.
    """
    return [cores] if threads < len(cores) else [{core} for core in sorted(cores)]


def _begin_thread(cores: Iterator[Set[int]]) -> None:
    # Linux has a niceness and an affinity for each thread; what carries pictures and commands may interrupt this one.
    os.nice(NICENESS)
    os.sched_setaffinity(0, next(cores))


def main() -> None:
    sys.exit(run(PerceptionNode))


if __name__ == "__main__":
    main()
