"""Pictures become JPEG without being unpacked by ROS; ROS reads them all the same."""

import cv2
import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image

from clwm_operator.recorder.pictures import compressed
from clwm_perception.preprocess import ImageError

COLOURS = {"rgb8": [200, 100, 10], "bgr8": [10, 100, 200], "rgba8": [200, 100, 10, 255], "bgra8": [10, 100, 200, 255]}


def image(encoding, pixel, frame="head_optical", padding=0):
    rows = np.zeros((20, 24 * len(pixel) + padding), np.uint8)
    rows[:, : 24 * len(pixel)] = np.tile(pixel, 24)
    message = Image(height=20, width=24, encoding=encoding, step=rows.shape[1], data=rows.tobytes())
    message.header.frame_id, message.header.stamp.sec, message.header.stamp.nanosec = frame, 7, 9
    return message


@pytest.mark.parametrize("frame", ["", "a", "ab", "abc", "head_optical"])
@pytest.mark.parametrize("encoding", COLOURS)
def test_a_picture_keeps_its_stamp_its_frame_and_its_colours(encoding, frame):
    message = image(encoding, COLOURS[encoding], frame, padding=5)
    found = deserialize_message(compressed(serialize_message(message), 95), CompressedImage)
    assert found.header == message.header and found.format == f"{encoding}; jpeg compressed bgr8"
    picture = cv2.imdecode(np.frombuffer(found.data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (20, 24, 3) and np.abs(picture.astype(int) - COLOURS["bgr8"]).max() < 6


def test_a_grey_picture_stays_grey():
    found = deserialize_message(compressed(serialize_message(image("mono8", [77])), 90), CompressedImage)
    picture = cv2.imdecode(np.frombuffer(found.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (20, 24) and np.abs(picture.astype(int) - 77).max() < 3
    assert found.format == "mono8; jpeg compressed mono8"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"encoding": "16UC1"}, "encoding is '16UC1'; expected one of rgb8"),
        ({"step": 10}, "step is 10 bytes; expected at least 72"),
        ({"height": 0}, "24 x 0 pixels; expected at least one"),
        ({"data": b"abc"}, "data has 3 bytes; expected height x step"),
    ],
)
def test_what_cannot_be_compressed_is_refused_with_its_reason(change, said):
    message = image("rgb8", [1, 2, 3])
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(ImageError, match=said):
        compressed(serialize_message(message), 90)


@pytest.mark.parametrize("length", [0, 3, 4, 12, 20, 30])
def test_bytes_that_are_no_image_are_refused(length):
    with pytest.raises(ImageError):
        compressed(serialize_message(image("rgb8", [1, 2, 3]))[:length], 90)


@pytest.mark.parametrize(
    ("encoding", "pixel", "seen"),
    [("mono16", [0, 128], [128] * 3), ("bayer_rggb8", [90], [90] * 3), ("yuv422", [128, 126], [128] * 3)],
)
def test_to_be_seen_any_encoding_becomes_a_picture_in_colour_and_recorded_it_stays_as_it_is(encoding, pixel, seen):
    message = serialize_message(image(encoding, pixel))
    found = deserialize_message(compressed(message, 95, is_to_be_seen=True), CompressedImage)
    picture = cv2.imdecode(np.frombuffer(found.data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (20, 24, 3) and np.abs(picture[10, 12].astype(int) - seen).max() < 6
    assert found.format == "rgb8; jpeg compressed bgr8"
    with pytest.raises(ImageError, match=f"encoding is '{encoding}'"):
        compressed(message, 95)


def test_to_be_seen_the_byte_order_of_the_message_counts():
    message = image("mono16", [128, 0])
    message.is_bigendian = 1
    found = deserialize_message(compressed(serialize_message(message), 95, is_to_be_seen=True), CompressedImage)
    assert abs(int(cv2.imdecode(np.frombuffer(found.data, np.uint8), cv2.IMREAD_COLOR)[10, 12, 0]) - 128) < 6
