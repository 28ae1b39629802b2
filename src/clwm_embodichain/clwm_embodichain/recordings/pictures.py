"""Pictures that were taken at any instants, at the instants of rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clwm_common.recordings.names import recorded_pictures
from clwm_common.recordings.reader import Received, RecordingError, read_messages
from clwm_common.robot.description import RobotDescription
from clwm_embodichain.recordings.samples import nearest_of
from clwm_perception.camera_reader import CameraReader
from clwm_perception.preprocess import ImageError

_LARGEST = 64_000_000  # bytes of a picture's RGB

Read = Callable[[Collection[str]], Iterator[Received]]


@dataclass(frozen=True)
class CameraTopic:
    """Where a camera's pictures are, and what makes RGB (height, width, 3) of a message. Raises ImageError."""

    camera: str
    pixels: Callable[[Any], NDArray[np.uint8]]


class NearestPictures:
    """first, last: s between which every camera has some."""

    def __init__(
        self, place: Path, read: Read, topics: Mapping[str, CameraTopic], time_of: Callable[[Received], float]
    ) -> None:
        """place: for people. read: messages of topics; time_of: when a picture was taken [s].

        Raises RecordingError for a camera without pictures.
        """
        self._place, self._read, self._topics, self._time_of = place, read, topics, time_of
        self._stamps: dict[str, list[float]] = {it.camera: [] for it in topics.values()}
        for it in read(topics):
            self._stamps[topics[it.topic].camera].append(time_of(it))
        if missing := [camera for camera, stamps in self._stamps.items() if not stamps]:
            raise RecordingError(
                f"{place} has no pictures of {', '.join(missing)}; record with all cameras running, their pictures "
                "among the topics"
            )
        self.first = max(min(stamps) for stamps in self._stamps.values())
        self.last = min(max(stamps) for stamps in self._stamps.values())

    def at(self, wanted: NDArray[np.float64], longest_gap: float) -> NDArray[np.uint8]:
        """(n, cameras, height, width, 3): of each camera the picture that was taken nearest to each instant.

        Raises RecordingError when that is farther than half of `longest_gap` s, or a picture cannot be used.
        """
        cameras = list(self._stamps)
        chosen: dict[str, dict[float, list[int]]] = {}
        for camera, found in self._stamps.items():
            stamps = np.sort(found)
            nearest = stamps[nearest_of(stamps, wanted)]
            if (far := np.abs(nearest - wanted)).max() > longest_gap / 2.0:
                worst = int(far.argmax())
                raise RecordingError(
                    f"{self._place} has no picture of {camera} within {longest_gap / 2.0:g} s of "
                    f"{wanted[worst] - wanted[0]:.2f} s after its beginning; look at that camera's rate"
                )
            chosen[camera] = {}
            for index, stamp in enumerate(nearest.tolist()):
                chosen[camera].setdefault(stamp, []).append(index)
        pictures: dict[tuple[int, int], NDArray[np.uint8]] = {}
        for it in self._read(self._topics):
            camera = self._topics[it.topic].camera
            if indices := chosen[camera].pop(self._time_of(it), None):
                picture = self._pixels(it)
                pictures |= {(index, cameras.index(camera)): picture for index in indices}
        return np.stack(
            [np.stack([pictures[index, camera] for camera in range(len(cameras))]) for index in range(len(wanted))]
        )

    def _pixels(self, it: Received) -> NDArray[np.uint8]:
        try:
            return np.ascontiguousarray(self._topics[it.topic].pixels(it.message))
        except ImageError as error:
            raise RecordingError(f"{self._place}: topic {it.topic}: {error}") from None


def pictures_of(path: Path, robot: RobotDescription, size: int) -> NearestPictures:
    """Of a recording of `clwm record`, as the encoder would have been shown them: cropped and resized to `size` px
    as the robot's file says. Raises RecordingError.
    """
    topics: dict[str, CameraTopic] = {}
    for camera in robot.cameras:
        source = robot.camera_source(camera)
        compressed = source.model_copy(update={"transport": "compressed"})
        readers = {
            topic: CameraReader(camera, kind, (size, size), _LARGEST)
            for topic, kind in ((source.topic, source), (recorded_pictures(source), compressed))
        }
        topics |= {topic: CameraTopic(camera, _framed(reader)) for topic, reader in readers.items()}
        for it in read_messages(path, (source.info_topic,)) if source.rectify else ():
            for reader in readers.values():
                reader.calibrate(it.message)
    return NearestPictures(path, lambda names: read_messages(path, names), topics, captured)


def _framed(reader: CameraReader) -> Callable[[Any], NDArray[np.uint8]]:
    return lambda message: reader.read(message).pixels()


def captured(it: Received) -> float:
    """By the header of the message [s]."""
    return it.message.header.stamp.sec + 1e-9 * it.message.header.stamp.nanosec
