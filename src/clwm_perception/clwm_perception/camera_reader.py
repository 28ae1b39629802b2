"""A camera's messages to what the encoder takes. Perception and `clwm preflight` read pictures by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.camera_source import CameraSource
from clwm_perception.framing import Framing, Window
from clwm_perception.image_formats import PackedPicture, RawPicture, from_compressed, from_raw
from clwm_perception.preprocess import ImageError
from clwm_perception.rectification import Calibration, Rectifier


@dataclass(frozen=True)
class CameraPicture:
    """A picture that can be used, not yet converted: most are never looked at."""

    raw: RawPicture | PackedPicture
    framing: Framing | None
    window: Window
    rectify: Rectifier | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) as it was sent."""
        return self.raw.height, self.raw.width

    def whole(self) -> NDArray[np.uint8]:
        """RGB (height, width, 3), rectified if the robot's file says so. Raises ImageError where it was read late."""
        picture = self.raw.rgb()
        return picture if self.rectify is None else self.rectify(picture)

    def pixels(self) -> NDArray[np.uint8]:
        """RGB of the encoder's size. Raises ImageError when nobody has said it, and as `whole`."""
        if self.framing is None:
            raise ImageError("the size of the encoder's pictures is not known; name a model")
        return self.framing.apply(self.whole())


class CameraReader:
    """Knows what a robot's file says of one camera."""

    def __init__(
        self, camera: str, source: CameraSource, size: tuple[int, int] | None, largest: int, reads_late: bool = False
    ) -> None:
        """source: with its topics. size: (height, width) that the encoder takes; None where no encoder is known, and
        pictures of any size will do. largest: bytes of a picture's RGB. reads_late: what has checksums is unpacked when
        it is looked at, for whoever looks at few pictures.
        """
        self.source = source
        self.calibration: Calibration | None = None
        self._framing = None if size is None else Framing(camera, source, size)
        self._largest = largest
        self._reads_late, self._is_trusted = reads_late, True
        self._rectifier: Rectifier | None = None
        self._problem = f"no CameraInfo on {source.info_topic}; start what publishes it, or set 'rectify' to false"

    def calibrate(self, message: Any) -> None:
        """Take in a sensor_msgs/CameraInfo. What is wrong with it is said of the pictures that it is needed for."""
        try:
            calibration = Calibration.from_info(message)
            if calibration != self.calibration:
                self.calibration = calibration
                self._rectifier = None if calibration.is_straight else Rectifier(calibration)
            self._problem = ""
        except ImageError as error:
            self._problem = str(error)

    def distrust(self) -> None:
        """A picture that was read late was none: unpack all that come, until one is a picture again."""
        self._is_trusted = False

    def read(self, message: Any) -> CameraPicture:
        """Of a sensor_msgs/Image or, by the source's transport, CompressedImage.

        Raises ImageError, naming the topic, for a picture that cannot become the encoder's.
        """
        try:
            return self._read(message)
        except ImageError as error:
            raise ImageError(f"{self.source.topic}: {error}") from None

    def _read(self, message: Any) -> CameraPicture:
        bits = self.source.significant_bits
        if self.source.transport == "compressed":
            late = self._reads_late and self._is_trusted
            raw = from_compressed(message.format, bytes(message.data), self._largest, bits, late)
            self._is_trusted = True
        else:
            big, data = bool(message.is_bigendian), message.data
            raw = from_raw(message.encoding, message.height, message.width, message.step, data, big, bits)
        rectifier = None
        if self.source.rectify:
            if self._problem:
                raise ImageError(self._problem)
            rectifier = self._rectifier
            if rectifier is not None:
                rectifier.check(raw.height, raw.width)
        whole = Window(0, 0, raw.height, raw.width)
        window = whole if self._framing is None else self._framing.window(raw.height, raw.width)
        return CameraPicture(raw, self._framing, window, rectifier)

    def describe(self, picture: CameraPicture) -> str:
        """What was sent, what is made of it, and how much of the world is in it, as far as that is known."""
        (height, width), window = picture.size, picture.window
        words = [f"{width} x {height}"]
        if picture.rectify is not None:
            words.append("rectified")
        if (window.height, window.width) != picture.size:
            words.append(f"cropped to {window.width} x {window.height}")
        if picture.framing is not None and picture.framing.size != (window.height, window.width):
            words.append(f"resized to {picture.framing.size[1]} x {picture.framing.size[0]}")
        if self.calibration is not None and (self.calibration.height, self.calibration.width) == picture.size:
            view = self.calibration.field_of_view(window, is_rectified=self.source.rectify)
            words.append("field of view {:.0f} x {:.0f} degrees".format(*np.degrees(view)))
            if not self.calibration.is_straight and not self.source.rectify:
                words.append("not straight by its CameraInfo, see 'rectify'")
        return ", ".join(words)
