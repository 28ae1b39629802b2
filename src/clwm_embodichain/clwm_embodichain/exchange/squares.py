"""Pictures of any proportions as the square ones that an encoder takes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def middle_square(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """(size, size, 3) of the largest square in the middle of (height, width, 3)."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = picture[top : top + side, left : left + side]
    return middle if side == size else cv2.resize(middle, (size, size), interpolation=cv2.INTER_AREA)
