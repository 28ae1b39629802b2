"""Pictures of a recording, as the encoder would have been shown them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clwm_common.recordings.names import recorded_pictures
from clwm_common.recordings.reader import RecordingError, read_messages
from clwm_common.robot.description import RobotDescription
from clwm_embodichain.recordings.samples import nearest_of
from clwm_perception.camera_reader import CameraReader
from clwm_perception.preprocess import ImageError

_LARGEST = 64_000_000  # bytes of a picture's RGB


class RecordedPictures:
    """Of all cameras of a robot; first, last: s between which every camera has some."""

    def __init__(self, path: Path, robot: RobotDescription, size: int) -> None:
        """size: px of the square pictures that are wanted. Raises RecordingError for a camera without pictures."""
        self._path = path
        self._readers: dict[str, CameraReader] = {}
        self._camera_of: dict[str, str] = {}
        self._stamps: dict[str, list[float]] = {camera: [] for camera in robot.cameras}
        for camera in robot.cameras:
            source = robot.camera_source(camera)
            compressed = source.model_copy(update={"transport": "compressed"})
            for topic, kind in ((recorded_pictures(source), compressed), (source.topic, source)):
                self._readers.setdefault(topic, CameraReader(camera, kind, (size, size), _LARGEST))
                self._camera_of.setdefault(topic, camera)
        infos = {robot.camera_source(camera).info_topic: camera for camera in robot.cameras}
        for it in read_messages(path, (*self._readers, *infos)):
            if it.topic in self._camera_of:
                self._stamps[self._camera_of[it.topic]].append(_captured(it.message))
            else:
                for topic, reader in self._readers.items():
                    if self._camera_of[topic] == infos[it.topic]:
                        reader.calibrate(it.message)
        if missing := [camera for camera, stamps in self._stamps.items() if not stamps]:
            raise RecordingError(
                f"{path} has no pictures of {', '.join(missing)}; record with all cameras of the robot running"
            )
        self.first = max(min(stamps) for stamps in self._stamps.values())
        self.last = min(max(stamps) for stamps in self._stamps.values())

    def at(self, wanted: NDArray[np.float64], longest_gap: float) -> NDArray[np.uint8]:
        """(n, cameras, size, size, 3): of each camera the picture that was taken nearest to each instant.

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
                    f"{self._path} has no picture of {camera} within {longest_gap / 2.0:g} s of "
                    f"{wanted[worst] - wanted[0]:.2f} s after its beginning; look at that camera's rate"
                )
            chosen[camera] = {}
            for index, stamp in enumerate(nearest.tolist()):
                chosen[camera].setdefault(stamp, []).append(index)
        pictures: dict[tuple[int, int], NDArray[np.uint8]] = {}
        for it in read_messages(self._path, self._readers):
            camera = self._camera_of[it.topic]
            if indices := chosen[camera].pop(_captured(it.message), None):
                picture = self._pixels(it.topic, it.message)
                pictures |= {(index, cameras.index(camera)): picture for index in indices}
        return np.stack(
            [np.stack([pictures[index, camera] for camera in range(len(cameras))]) for index in range(len(wanted))]
        )

    def _pixels(self, topic: str, message: Any) -> NDArray[np.uint8]:
        try:
            return np.ascontiguousarray(self._readers[topic].read(message).pixels())
        except ImageError as error:
            raise RecordingError(f"{self._path}: {error}") from None


def _captured(message: Any) -> float:
    return message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec
