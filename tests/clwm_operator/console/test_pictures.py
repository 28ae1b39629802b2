"""Pictures to JPEG."""

import cv2
import numpy as np
import pytest

from clwm_operator.console.pictures import WIDEST, as_jpeg
from clwm_perception.image_formats import ENCODINGS, from_raw

ORANGE = {"rgb8": (240, 160, 40), "bgr8": (40, 160, 240), "rgba8": (240, 160, 40, 255), "bgra8": (40, 160, 240, 255)}


def seen(jpeg):
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@pytest.mark.parametrize("encoding", ORANGE)
def test_colours_arrive_whatever_their_order(encoding):
    data = np.tile(np.array(ORANGE[encoding], np.uint8), 32 * 24).tobytes()
    picture = seen(as_jpeg(from_raw(encoding, 24, 32, len(data) // 24, data)))
    assert picture.shape == (24, 32, 3) and np.abs(picture.astype(int) - (240, 160, 40)).max() < 8


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_whatever_perception_takes_is_shown(encoding):
    rows = 36 if encoding in ("nv12", "nv21") else 24
    assert seen(as_jpeg(from_raw(encoding, 24, 32, 256, bytes(rows * 256)))).shape == (24, 32, 3)


def test_a_wide_picture_is_made_as_wide_as_it_is_shown():
    data = bytes(1280 * 960 * 3)
    assert seen(as_jpeg(from_raw("rgb8", 960, 1280, 3840, data))).shape == (WIDEST * 3 // 4, WIDEST, 3)


def test_a_picture_without_colours_is_shown():
    jpeg = as_jpeg(from_raw("mono8", 8, 8, 8, bytes([90] * 64)))
    assert np.abs(seen(jpeg).astype(int) - 90).max() < 4
