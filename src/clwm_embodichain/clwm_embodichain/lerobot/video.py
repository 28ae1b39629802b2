"""The pictures of many episodes end to end in one file, one stream of one camera."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from clwm_embodichain.lerobot.layout import DataSetError

TOLERANCE = 1e-4  # s between the time of a frame and that of its picture
_QUALITY = {"crf": "18", "preset": "veryfast", "tune": "zerolatency"}


class VideoWriter:
    """H.264, 4:2:0. key_frame_every: pictures; a reader that wants one decodes at most so many.

    frames, size: what was encoded so far, the latter in bytes.
    """

    def __init__(self, path: Path, fps: int, height: int, width: int, key_frame_every: int) -> None:
        """Raises DataSetError for pictures whose sides are odd, which 4:2:0 does not have."""
        if height % 2 or width % 2:
            raise DataSetError(f"pictures of {width} x {height} cannot be encoded; expected even sides")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.frames = self.size = 0
        self._fps = fps
        self._container = av.open(str(path), "w")
        keys = {"g": str(key_frame_every), "keyint_min": str(key_frame_every), "sc_threshold": "0"}
        self._stream = self._container.add_stream("libx264", rate=fps, options=_QUALITY | keys)
        self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, "yuv420p"
        self._stream.codec_context.thread_count = 1
        self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, fps)

    @property
    def seconds(self) -> float:
        """Written so far."""
        return self.frames / self._fps

    def add(self, pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], repeats: int, count: int) -> None:
        """`count` frames, each of the RGB pictures (height, width, 3) shown `repeats` times."""
        frame = None
        for index in range(count):
            if index % repeats == 0:
                frame = av.VideoFrame.from_ndarray(pictures[index // repeats], format="rgb24").reformat(
                    format="yuv420p"
                )
            frame.pts = self.frames
            self._mux(frame)
            self.frames += 1

    def close(self) -> None:
        """Write what the encoder still holds, and the index of the file."""
        self._mux(None)
        self._container.close()

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            self.size += packet.size
            self._container.mux(packet)


def read_pictures(path: Path, start: float, times: NDArray[np.float64], fps: int) -> Iterator[NDArray[np.uint8]]:
    """RGB pictures (height, width, 3) at `start` + times s, in rising order.

    Raises DataSetError: no such file, no video, none at one of these times within 0.1 ms of a frame's.
    """
    if not path.is_file():
        raise DataSetError(
            f"{path} does not exist, and episodes have their pictures in it; fetch it, or leave them out"
        )
    try:
        with av.open(str(path)) as container:
            yield from _pictures(container, path, start + times, fps)
    except (av.FFmpegError, IndexError) as error:
        raise DataSetError(f"{path} cannot be decoded ({error}); fetch it again, or leave its episodes out") from None


def _pictures(container: av.container.InputContainer, path: Path, times: NDArray, fps: int) -> Iterator[NDArray]:
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    container.seek(max(0, int((times[0] - 1.0 / fps) / stream.time_base)), stream=stream)
    wanted = iter(times)
    time = next(wanted)
    for frame in container.decode(stream):
        if frame.time > time + TOLERANCE:
            raise DataSetError(f"{path} has no picture at {time:.4f} s, the next one is at {frame.time:.4f} s")
        if frame.time < time - TOLERANCE:
            continue
        picture = frame.to_ndarray(format="rgb24")
        while abs(frame.time - time) <= TOLERANCE:
            yield picture
            time = next(wanted, None)
            if time is None:
                return
    raise DataSetError(f"{path} ends before {time:.4f} s, where an episode has a picture; it was cut short")
