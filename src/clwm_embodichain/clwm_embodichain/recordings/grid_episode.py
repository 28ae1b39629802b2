"""What was sampled on a grid of rows, as an episode."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import CHUNK_ROWS
from clwm_embodichain.episodes.storage import IMAGE_STRIDE, Episode
from clwm_embodichain.recordings.pictures import NearestPictures

LONGEST_GAP = 0.5  # s without a measured state or a picture


def episode_on_grid(
    times: NDArray[np.float64],
    pictures: NearestPictures,
    states: NDArray[np.float32],
    executed: NDArray[np.float32],
    **facts: Any,
) -> Episode:
    """The episode of one goal whose plan is what was carried out.

    times: (n,) s, a row apart; states, executed: (n, 30); facts: all else that an Episode has. Raises RecordingError
    where a picture is missing for LONGEST_GAP.
    """
    images = pictures.at(times[::IMAGE_STRIDE], LONGEST_GAP)
    return episode_of_rows(images, states, executed, **facts)


def episode_of_rows(
    images: NDArray[np.uint8], states: NDArray[np.float32], executed: NDArray[np.float32], **facts: Any
) -> Episode:
    """As `episode_on_grid`; images: (n / 4, cameras, height, width, 3), at every fourth row."""
    image_rows = np.arange(0, len(executed), IMAGE_STRIDE)
    chunks = np.minimum(image_rows[:, None] + np.arange(CHUNK_ROWS), len(executed) - 1)
    return Episode(
        images=images,
        image_rows=image_rows,
        plans=executed[chunks],
        commands=executed,
        executed=executed,
        states=states,
        asked=np.zeros(len(image_rows), np.int64),
        expansion="none",
        **facts,
    )
