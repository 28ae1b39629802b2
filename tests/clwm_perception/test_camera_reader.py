"""A camera's messages by what the robot's file says of it: topics in complaints, CameraInfo where it is used."""

import array

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from clwm_common.robot.camera_source import CameraSource, Crop
from clwm_perception.camera_reader import CameraReader
from clwm_perception.preprocess import ImageError
from tests.clwm_perception.pngs import with_wrong_pixels

HEIGHT, WIDTH = 96, 128
PICTURE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def reader(size=(32, 32), largest=1_000_000, reads_late=False, **source):
    given = {"topic": "/wrist/color/image_raw", "crop": "centre", "resize": "scale", **source}
    return CameraReader("wrist", CameraSource(**given).named("wrist"), size, largest, reads_late)


def png(damage=lambda data: data):
    data = damage(cv2.imencode(".png", PICTURE[..., ::-1])[1].tobytes())
    return CompressedImage(format="rgb8; png compressed bgr8", data=data)


def image(picture=PICTURE, encoding="rgb8", **fields):
    height, width, channels = picture.shape
    message = Image(height=height, width=width, step=channels * width, encoding=encoding, **fields)
    message.data = array.array("B", picture.tobytes())
    return message


def info(k1=0.0, model="plumb_bob", **fields):
    k = [100.0, 0.0, 63.5, 0.0, 100.0, 47.5, 0.0, 0.0, 1.0]
    d = [k1, 0.0, 0.0, 0.0] if model == "equidistant" else [k1, 0.0, 0.0, 0.0, 0.0]
    given = {"height": HEIGHT, "width": WIDTH, "distortion_model": model, "d": d, "k": k, **fields}
    return CameraInfo(**given)


def test_what_is_read_has_the_encoders_size_and_the_part_that_was_asked_for():
    picture = reader().read(image())
    expected = cv2.resize(PICTURE[:, 16:112], (32, 32), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(picture.pixels(), expected)
    assert picture.size == (HEIGHT, WIDTH)


def test_compressed_pictures_are_read_from_messages_of_their_own_kind():
    seen = reader(transport="compressed").read(png())
    np.testing.assert_array_equal(seen.whole(), PICTURE)


def test_a_late_reader_unpacks_no_png_that_nobody_looks_at(monkeypatch):
    unpack, unpacked = cv2.imdecode, []
    monkeypatch.setattr(cv2, "imdecode", lambda *given: (unpacked.append(1), unpack(*given))[1])
    late = reader(transport="compressed", reads_late=True)
    first, second = late.read(png()), late.read(png())
    assert first.size == (HEIGHT, WIDTH) and not unpacked
    np.testing.assert_array_equal(second.whole(), PICTURE)
    assert len(unpacked) == 1


def test_a_late_reader_that_is_told_of_a_png_that_was_none_unpacks_each_until_one_is_a_picture():
    late = reader(transport="compressed", reads_late=True)
    late.read(png(with_wrong_pixels))
    late.distrust()
    for _ in range(2):
        with pytest.raises(ImageError, match="^/wrist/color/image_raw: it cannot be unpacked"):
            late.read(png(with_wrong_pixels))
    np.testing.assert_array_equal(late.read(png()).whole(), PICTURE)
    late.read(png(with_wrong_pixels))


@pytest.mark.parametrize(
    ("source", "message", "said"),
    [
        ({}, image(encoding="8UC3"), "^/wrist/color/image_raw: encoding is '8UC3'; expected one of rgb8, bgr8"),
        ({"crop": "none"}, image(), "^/wrist/color/image_raw: they are 128 x 96; the encoder was trained on 32 x 32"),
        (
            {"transport": "compressed", "topic": "/wrist/compressed"},
            CompressedImage(format="h264", data=b"\0\0\0\1"),
            "^/wrist/compressed: format is 'h264' and its data begins with 00 00 00 01; expected a JPEG or a PNG",
        ),
        ({"rectify": True}, image(), "^/wrist/color/image_raw: no CameraInfo on /wrist/color/camera_info; start what"),
    ],
)
def test_a_complaint_names_the_topic_what_came_and_what_is_taken(source, message, said):
    with pytest.raises(ImageError, match=said):
        reader(**source).read(message)


@pytest.mark.parametrize("model", ["plumb_bob", "equidistant"])
def test_a_rectified_picture_shows_straight_what_the_lens_has_bent(model):
    # A vertical line in the world 0.4 to the side, as a camera with this lens sees it.
    camera = np.array([[100.0, 0.0, 63.5], [0.0, 100.0, 47.5], [0.0, 0.0, 1.0]])
    line = np.stack([np.full(400, -0.4), np.linspace(-0.45, 0.45, 400), np.ones(400)], axis=-1)
    lens = np.array([-0.3, 0.0, 0.0, 0.0])
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    points = project(line[:, None], np.zeros(3), np.zeros(3), camera, lens)[0].reshape(-1, 2)
    bent = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    cv2.polylines(bent, [points.round().astype(np.int32)[:, None]], False, (255, 255, 255), 2)
    seen = reader(rectify=True)
    seen.calibrate(info(k1=-0.3, model=model))
    straight = seen.read(image(bent)).whole()

    def spread(picture):
        rows = [np.average(np.arange(WIDTH), weights=row) for row in picture[10:-10, :, 0].astype(float) if row.any()]
        return np.ptp(rows)

    assert spread(bent) > 2.0 and spread(straight) < 1.3


def test_a_camera_info_without_distortion_changes_nothing():
    seen = reader(rectify=True)
    seen.calibrate(info())
    np.testing.assert_array_equal(seen.read(image()).whole(), PICTURE)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (info(k=[0.0] * 9), "no focal length"),
        (info(model="thin_prism"), "distortion_model 'thin_prism'; expected one of plumb_bob, rational_polynomial"),
        (info(d=[0.1, 0.2]), "2 coefficients d for 'plumb_bob'; expected 0 or 4 or 5"),
        (info(k1=0.1, binning_x=2), "of a binned picture or of a part of one"),
        (info(k1=0.1, height=480, width=640), "they are 128 x 96, and their CameraInfo is of 640 x 480"),
    ],
)
def test_a_camera_info_that_cannot_be_used_is_a_reason_until_a_good_one_comes(message, said):
    seen = reader(rectify=True)
    seen.calibrate(message)
    with pytest.raises(ImageError, match=said):
        seen.read(image())
    seen.calibrate(info(k1=0.1))
    assert seen.read(image()).pixels().shape == (32, 32, 3)


def test_what_is_made_of_a_picture_is_said_with_the_part_of_the_world_in_it():
    seen = reader(crop=Crop(left=14, top=0, width=100, height=96), resize="stretch")
    seen.calibrate(info(k1=-0.1))
    said = seen.describe(seen.read(image()))
    assert said == (
        "128 x 96, cropped to 100 x 96, resized to 32 x 32, field of view 53 x 51 degrees, not straight by its "
        "CameraInfo, see 'rectify'"
    )


def test_without_a_known_encoder_pictures_of_any_size_are_read():
    seen = reader(size=None)
    assert seen.describe(seen.read(image())) == "128 x 96"


@pytest.mark.parametrize(
    ("source", "topic", "info_topic"),
    [
        ({}, "/cameras/wrist/image_raw", "/cameras/wrist/camera_info"),
        ({"transport": "compressed"}, "/cameras/wrist/image_raw/compressed", "/cameras/wrist/camera_info"),
        ({"topic": "/d405/color/image_rect_raw"}, "/d405/color/image_rect_raw", "/d405/color/camera_info"),
        ({"topic": "/d405/image", "info_topic": "/info"}, "/d405/image", "/info"),
    ],
)
def test_topics_that_are_not_given_are_those_of_image_transport(source, topic, info_topic):
    named = CameraSource(**source).named("wrist")
    assert (named.topic, named.info_topic) == (topic, info_topic)
