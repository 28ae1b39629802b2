"""Which part of a picture is used, at what size, and which pictures are refused with what to write into the file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_common.robot.camera_source import CameraSource, Crop
from clwm_perception.framing import Framing, Window
from clwm_perception.preprocess import ImageError


def framing(size=(128, 128), **source):
    return Framing("head", CameraSource(**source), size)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"crop": "centre", "resize": "scale"}, Window(0, 80, 480, 480)),
        ({"crop": "centre", "resize": "scale", "size": (96, 160)}, Window(48, 0, 384, 640)),
        ({"crop": Crop(left=10, top=20, width=128, height=128)}, Window(20, 10, 128, 128)),
        ({"resize": "stretch"}, Window(0, 0, 480, 640)),
        ({"size": (480, 640)}, Window(0, 0, 480, 640)),
    ],
)
def test_the_part_that_the_file_says_is_used(given, expected):
    assert framing(**given).window(480, 640) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "they are 640 x 480; the encoder was trained on 128 x 128: set .* 'crop' and 'resize' of 'head' in 'cam"),
        ({"crop": "centre"}, "they are 640 x 480, cropped to 480 x 480; the encoder was trained on 128 x 128"),
        ({"resize": "scale"}, "trained on 128 x 128: set 'crop' of 'head' .* such as centre, or 'resize' to stretch"),
        (
            {"crop": Crop(left=600, top=0, width=128, height=128)},
            "they are 640 x 480; 'crop' of 'head' reaches to 728 x 128: correct it",
        ),
    ],
)
def test_a_picture_that_does_not_fit_is_refused_with_the_fields_to_set(given, said):
    with pytest.raises(ImageError, match=said):
        framing(**given).window(480, 640)


@settings(max_examples=60, deadline=None)
@given(height=st.integers(70, 700), width=st.integers(70, 700), rows=st.integers(1, 70), columns=st.integers(1, 70))
def test_the_middle_of_any_picture_can_be_scaled_to_any_size_that_it_has_room_for(height, width, rows, columns):
    used = framing((rows, columns), crop="centre", resize="scale").window(height, width)
    assert used.top + used.height <= height and used.left + used.width <= width
    assert used.height == height or used.width == width
    assert abs(used.width / used.height * rows / columns - 1.0) <= max(rows, columns) / min(used.width, used.height)


def test_a_smaller_picture_is_the_mean_of_what_each_of_its_pixels_covers():
    picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    got = framing((120, 120), crop="centre", resize="scale").apply(picture)
    means = picture[:, 80:560].reshape(120, 4, 120, 4, 3).mean(axis=(1, 3))
    assert np.abs(got - means).max() <= 0.5 + 1e-6


def test_a_picture_of_the_right_size_is_passed_on_as_it_is():
    picture = np.zeros((128, 128, 3), np.uint8)
    assert np.shares_memory(framing().apply(picture), picture)


def test_a_picture_that_is_too_small_is_enlarged_where_that_is_asked_for():
    picture = np.full((60, 80, 3), 90, np.uint8)
    got = framing(crop="centre", resize="scale").apply(picture)
    assert got.shape == (128, 128, 3) and (got == 90).all()
