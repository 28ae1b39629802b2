"""What a report shows of an episode: pictures of one camera as JPEGs."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

STRIP = (2, 6)  # rows and columns of pictures


def strip(seen: Sequence[NDArray[np.uint8]]) -> bytes | None:
    """Pictures from the episode's beginning to its end as one JPEG; None when none was taken."""
    if not seen:
        return None
    rows, columns = STRIP
    shown = [seen[index] for index in np.linspace(0, len(seen) - 1, rows * columns).round().astype(int)]
    lines = [np.concatenate(shown[row * columns : (row + 1) * columns], axis=1) for row in range(rows)]
    return jpeg(np.concatenate(lines))


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """An RGB picture (height, width, 3) as a JPEG."""
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
