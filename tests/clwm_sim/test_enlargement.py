"""Pictures enlarged to a camera's size: perception has the rendered ones again, and calibration follows."""

import numpy as np
import pytest
from builtin_interfaces.msg import Time

from clwm_common.robot.camera_source import CameraSource, Crop
from clwm_common.robot.description import RobotDescription
from clwm_perception.camera_reader import CameraReader
from clwm_sim.cameras import CameraIntrinsics, project
from clwm_sim.enlargement import Enlargement, EnlargementError
from clwm_sim.pacing import PictureTaken
from clwm_sim.sensor_messages import camera_info, image

LARGE = RobotDescription.load("dual_fr3_640x480")
SIZE = 128


@pytest.fixture
def rendered():
    return np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("camera", LARGE.cameras)
def test_perception_cuts_out_and_shrinks_the_very_picture_that_was_rendered(rendered, camera):
    source = LARGE.camera_source(camera)
    sent = image(Time(), PictureTaken(0.0, camera, Enlargement.of(camera, source, SIZE).picture(rendered)))
    assert (sent.width, sent.height, len(sent.data)) == (640, 480, 640 * 480 * 3)
    seen = CameraReader(camera, source, (SIZE, SIZE), len(sent.data)).read(sent).pixels()
    np.testing.assert_array_equal(seen, rendered)


@pytest.mark.parametrize("factor", [1, 2, 3, 5, 7])
def test_whatever_the_factor_and_place_the_rendered_picture_is_found_again(rendered, factor):
    side = factor * SIZE
    crop = Crop(left=3, top=11, width=side, height=side)
    source = CameraSource(crop=crop, resize="scale", simulated_size=[side + 40, side + 11])
    sent = image(Time(), PictureTaken(0.0, "head", Enlargement.of("head", source, SIZE).picture(rendered)))
    seen = CameraReader("head", source.named("head"), (SIZE, SIZE), len(sent.data)).read(sent).pixels()
    np.testing.assert_array_equal(seen, rendered)


def test_a_camera_of_no_stated_size_sends_what_was_rendered(rendered):
    enlargement = Enlargement.of("head", CameraSource(crop="centre", resize="scale"), SIZE)
    assert enlargement.picture(rendered) is rendered
    intrinsics = CameraIntrinsics(SIZE, SIZE, 100.0, 100.0, 63.5, 63.5)
    assert enlargement.intrinsics(intrinsics) == intrinsics


def test_a_point_is_in_the_enlarged_picture_where_its_pixel_is(rendered):
    enlargement = Enlargement.of("head", LARGE.camera_source("head"), SIZE)
    small = CameraIntrinsics(SIZE, SIZE, 150.0, 150.0, 63.5, 63.5)
    large = enlargement.intrinsics(small)
    point, eye = [[0.1, -0.2, 1.0]], np.eye(4)
    column, row = np.rint(project(point, small, eye)[0]).astype(int)
    at = np.rint(project(point, large, eye)[0]).astype(int)
    np.testing.assert_array_equal(enlargement.picture(rendered)[at[1], at[0]], rendered[row, column])
    info = camera_info("head", large)
    assert (info.width, info.height) == (640, 480)


def test_what_is_rendered_must_fit_the_crop_a_whole_number_of_times():
    with pytest.raises(EnlargementError, match="'crop' of camera 'head' is 384 px wide .* with 100; .* such as 300"):
        Enlargement.of("head", LARGE.camera_source("head"), 100)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "crop is none; simulated_size needs left, top, width, height"),
        ({"crop": "centre"}, "crop is centre; simulated_size needs left"),
        ({"crop": Crop(left=0, top=0, width=384, height=380)}, "as wide as high"),
        ({"crop": Crop(left=300, top=0, width=384, height=384)}, "reaches to 684 x 384; simulated_size is 640 x 480"),
        ({"crop": Crop(left=0, top=0, width=128, height=128), "simulated_size": [0, 480]}, "greater than 0"),
    ],
)  # fmt: skip
def test_a_size_that_has_no_place_for_what_is_rendered_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        CameraSource(**{"simulated_size": [640, 480], **given})
