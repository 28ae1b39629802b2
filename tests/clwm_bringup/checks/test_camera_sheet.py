"""The sheet of pictures that `clwm preflight` writes: what a camera sends, and beside it what is used of it."""

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image

from clwm_bringup.checks.camera_sheet import write_sheet
from clwm_common.robot.camera_source import CameraSource, Crop
from clwm_perception.camera_reader import CameraReader

RED, BLUE = (200, 30, 30), (30, 30, 200)
CROP = Crop(left=128, top=0, width=128, height=128)


def seen(size=(128, 128)):
    """A picture that is red, and blue where it is cropped."""
    picture = np.full((256, 256, 3), RED, np.uint8)
    picture[:128, 128:] = BLUE
    message = Image(height=256, width=256, step=768, encoding="rgb8", data=picture.tobytes())
    return CameraReader("head", CameraSource(crop=CROP).named("head"), size, 1_000_000).read(message)


def share(sheet, colour):
    return (np.abs(sheet.astype(int) - colour).max(axis=-1) < 40).mean()


def test_beside_the_whole_picture_is_the_part_that_is_used(tmp_path):
    write_sheet(tmp_path / "new" / "cameras.png", {"head": seen(), "wrist": seen()})
    sheet = cv2.imread(str(tmp_path / "new" / "cameras.png"))[..., ::-1]
    # Of each row a quarter of the whole picture is blue, and all of what is used, at the same height.
    assert share(sheet, BLUE) == pytest.approx(5 / 3 * share(sheet, RED), rel=0.1)
    half = sheet.shape[0] // 2
    np.testing.assert_array_equal(sheet[25:half], sheet[half + 25 :])


def test_where_no_encoder_is_known_only_the_whole_picture_is_shown(tmp_path):
    write_sheet(tmp_path / "cameras.png", {"head": seen(size=None)})
    sheet = cv2.imread(str(tmp_path / "cameras.png"))[..., ::-1]
    assert share(sheet, RED) == pytest.approx(3 * share(sheet, BLUE), rel=0.1)


def test_a_sheet_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        write_sheet(tmp_path / "file" / "cameras.png", {"head": seen()})
