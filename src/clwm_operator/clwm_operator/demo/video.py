"""video.mp4: the three cameras side by side with mode and instruction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import imageio.v2 as imageio
import numpy as np
from numpy.typing import NDArray

from clwm_operator.recording import Episode, Frame, Recording

SIDE = 320  # px of one picture
BAR = 56  # px of the bar above them
GAP = 8  # px between two pictures
_WHITE, _GREY = (255, 255, 255), (170, 170, 170)
_MODE_COLOURS = {"POLICY": (120, 220, 120), "HOLD": (240, 200, 80), "TELEOP": (120, 180, 255), "ESTOP": (255, 90, 90)}


def write_video(
    recording: Recording, path: Path, frames_per_second: float, on_progress: Callable[[int], None] = lambda done: None
) -> None:
    """Encode all frames as H.264. on_progress: called with the number of frames done."""
    with imageio.get_writer(path, fps=frames_per_second, macro_block_size=8, quality=7) as film:
        for done, frame in enumerate(recording.frames, start=1):
            film.append_data(compose(frame, recording.cameras, _episode_at(recording, frame.stamp)))
            on_progress(done)


def compose(frame: Frame, cameras: tuple[str, ...], episode: Episode | None) -> NDArray[np.uint8]:
    """One picture (BAR + SIDE, cameras * SIDE and gaps, 3): text above, cameras below."""
    image = np.zeros((BAR + SIDE, (SIDE + GAP) * len(cameras) - GAP, 3), dtype=np.uint8)
    for index, (name, picture) in enumerate(zip(cameras, frame.pictures, strict=True)):
        left = (SIDE + GAP) * index
        image[BAR:, left : left + SIDE] = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        _write(image, name, (left + 8, BAR + SIDE - 10), _WHITE, 0.45)
    _write(image, frame.mode or "-", (10, 23), _MODE_COLOURS.get(frame.mode, _WHITE), 0.6)
    _write(image, frame.instruction or "no task", (110, 23), _WHITE, 0.6)
    if episode is not None:
        elapsed = frame.stamp - episode.started_at
        state = episode.outcome if frame.stamp >= episode.started_at + episode.seconds else frame.phase.lower()
        _write(image, f"{episode.task}  seed {episode.seed}  {elapsed:5.1f} s  {state}", (110, 46), _GREY, 0.5)
    return image


def _episode_at(recording: Recording, stamp: float) -> Episode | None:
    current = [episode for episode in recording.episodes if episode.started_at <= stamp]
    return current[-1] if current else None


def _write(
    image: NDArray[np.uint8], text: str, place: tuple[int, int], colour: tuple[int, int, int], size: float
) -> None:
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
