"""Raw pictures to JPEG."""

import cv2
import numpy as np
import pytest

from clwm_operator.console.pictures import WIDEST, PictureError, as_jpeg

ORANGE = {"rgb8": (240, 160, 40), "bgr8": (40, 160, 240), "rgba8": (240, 160, 40, 255), "bgra8": (40, 160, 240, 255)}


def seen(jpeg):
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@pytest.mark.parametrize("encoding", ORANGE)
@pytest.mark.parametrize("padding", [0, 5])
def test_colours_arrive_whatever_their_order_and_the_length_of_rows(encoding, padding):
    row = np.tile(np.array(ORANGE[encoding], np.uint8), 32)
    data = np.tile(np.concatenate([row, np.zeros(padding, np.uint8)]), 24)
    picture = seen(as_jpeg(data, encoding, 24, 32, len(row) + padding))
    assert picture.shape == (24, 32, 3) and np.abs(picture.astype(int) - (240, 160, 40)).max() < 8


def test_a_wide_picture_is_made_as_wide_as_it_is_shown():
    data = np.zeros(1280 * 960 * 3, np.uint8)
    assert seen(as_jpeg(data, "rgb8", 960, 1280, 3840)).shape == (WIDEST * 3 // 4, WIDEST, 3)


def test_a_picture_without_colours_is_shown():
    assert np.abs(seen(as_jpeg(np.full(64, 90, np.uint8), "mono8", 8, 8, 8)).astype(int) - 90).max() < 4


@pytest.mark.parametrize(
    ("encoding", "height", "width", "step", "problem"),
    [
        ("16UC1", 8, 8, 16, "its encoding is '16UC1'"),
        ("rgb8", 8, 8, 23, "in rows of 23"),
        ("rgb8", 9, 8, 24, "192 bytes for 8 x 9"),
        ("rgb8", 0, 8, 24, "8 x 0"),
    ],
)
def test_a_picture_that_cannot_be_shown_says_why(encoding, height, width, step, problem):
    with pytest.raises(PictureError, match=problem):
        as_jpeg(np.zeros(192, np.uint8), encoding, height, width, step)
