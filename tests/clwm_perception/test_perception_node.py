"""The perception node over DDS, in this process: one frame for each request, and what it says when it cannot."""

import array
import os
import shutil
import threading
import time

import cv2
import numpy as np
import pytest
import rclpy
import torch
import yaml
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from transformers import DINOv3ViTConfig, DINOv3ViTModel

from clwm_common.robot.description import config_directory
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_msg, to_stamp
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_msgs.msg import FeatureFrame, ObservationRequest
from clwm_perception.encoder import Encoder
from clwm_perception.node import NICENESS, PerceptionNode, own_cores
from tests.clwm_perception.pngs import with_wrong_pixels

CAMERAS = ("head", "left_wrist", "right_wrist")
SIDE = 32
ALLOWED = os.sched_getaffinity(0)


pytestmark = pytest.mark.usefixtures("ros_context")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    DINOv3ViTModel(
        DINOv3ViTConfig(
            patch_size=8,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=SIDE,
            num_register_tokens=4,
            initializer_range=0.2,
        )
    ).save_pretrained(folder)
    return folder


def new_node(**parameters):
    overrides = [Parameter(name, value=value) for name, value in {"backend": "torch", **parameters}.items()]
    return PerceptionNode(parameter_overrides=overrides)


class Rig:
    """The node under test, and a node that plays cameras and policy."""

    def __init__(self, folder, kind=Image, **parameters):
        self.node = new_node(encoder=str(folder), silent_after=1.0, **parameters)
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        self.other = rclpy.create_node("cameras_and_policy")
        self.frames = []
        self.other.create_subscription(FeatureFrame, "/clwm/feature_frame", self.frames.append, qos.CRITICAL)
        self._ask = self.other.create_publisher(ObservationRequest, "/clwm/observation_request", qos.CRITICAL)
        topic = "/cameras/{}/image_raw" if kind is Image else "/cameras/{}/image_raw/compressed"
        self._send = {camera: self.other.create_publisher(kind, topic.format(camera), qos.SENSOR) for camera in CAMERAS}
        publishers = [self._ask, *self._send.values()]
        self.spin_until(
            lambda: (
                all(p.get_subscription_count() for p in publishers)
                and self.other.count_publishers("/clwm/feature_frame")
            )
        )

    def close(self):
        self.node.trigger_shutdown()
        self.node.destroy_node()
        self.other.destroy_node()

    @property
    def waits(self):
        return "an observation request waits" in self.node.diagnose().message

    def ask(self, chunk_id, observe_at):
        self._ask.publish(ObservationRequest(chunk_id=chunk_id, observe_at=to_stamp(observe_at)))

    def send(self, camera, stamp, picture, encoding="rgb8"):
        height, width, _ = picture.shape
        message = Image(height=height, width=width, step=3 * width, encoding=encoding)
        message.header.stamp = to_stamp(stamp)
        message.data = array.array("B", picture.tobytes())
        self._send[camera].publish(message)

    def send_png(self, camera, stamp, picture, damage=lambda png: png):
        message = CompressedImage(format="rgb8; png compressed bgr8")
        message.header.stamp = to_stamp(stamp)
        message.data = array.array("B", damage(cv2.imencode(".png", picture[..., ::-1])[1].tobytes()))
        self._send[camera].publish(message)

    def spin_until(self, condition, meanwhile=lambda: None, seconds=20.0):
        """Both nodes work until `condition` holds; `meanwhile` is repeated, since sensor data may be lost."""
        executor = StaticSingleThreadedExecutor()
        executor.add_node(self.node)
        executor.add_node(self.other)
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            meanwhile()
            executor.spin_once(timeout_sec=0.05)
        executor.shutdown(timeout_sec=0.0)
        assert condition(), f"not within {seconds} s; health: {self.node.diagnose()}"


@pytest.fixture
def robot_with(tmp_path, monkeypatch):
    """Gives the name of a robot whose cameras all are as it is told."""

    def write(**source):
        shutil.copytree(config_directory(), tmp_path / "config")
        described = {"extends": "dual_fr3_mujoco", "driver": "external"}
        described |= {"camera_sources": dict.fromkeys(CAMERAS, source)}
        (tmp_path / "config" / "robots" / "other.yaml").write_text(yaml.safe_dump(described))
        monkeypatch.setenv("CLWM_CONFIG", str(tmp_path / "config"))
        return "other"

    return write


@pytest.fixture
def rig(folder):
    rig = Rig(folder)
    yield rig
    rig.close()


def test_a_request_brings_one_frame_with_the_features_of_its_instant(rig, folder):
    now = rig.node.now()
    pictures = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)

    def send_all():
        for camera, picture in zip(CAMERAS, pictures, strict=True):
            rig.send(camera, now, picture)

    rig.ask(5, now)
    rig.spin_until(lambda: rig.frames, send_all)
    frame = from_msg(rig.frames[0])
    encoder = Encoder.load(folder, backend="torch")
    assert frame.cameras == CAMERAS and frame.encoder_hash == encoder.weights_hash and frame.encode_seconds > 0.0
    assert frame.stamp == pytest.approx(now, abs=1e-6)
    np.testing.assert_array_equal(frame.features, encoder(pictures))


def test_encoder_threads_step_back_and_the_thread_that_carries_pictures_does_not(rig):
    niceness = rig.node._threads.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result()
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert niceness == min(own + NICENESS, 19)


def test_encoder_threads_have_a_core_each_only_where_all_cores_are_needed():
    assert own_cores(2, {0, 1, 2, 3}) == [{0, 1, 2, 3}]
    assert own_cores(2, {5, 3}) == [{3}, {5}]
    assert own_cores(3, {0, 1}) == [{0}, {1}]


def test_encoder_threads_keep_to_their_cores_and_the_thread_that_carries_pictures_to_none(rig):
    on_thread = rig.node._threads.submit(lambda: os.sched_getaffinity(0)).result()
    assert on_thread in own_cores(rig.node.params.encoder_threads, ALLOWED)
    assert os.sched_getaffinity(0) == ALLOWED


def test_a_missing_camera_is_named_in_the_diagnostics_and_nothing_is_published(rig):
    def send_two():
        for camera in CAMERAS[:2]:
            rig.send(camera, rig.node.now(), np.zeros((SIDE, SIDE, 3), np.uint8))

    rig.ask(1, rig.node.now())
    expected = "camera 'right_wrist' has sent no picture for"
    rig.spin_until(lambda: rig.node.diagnose().message.startswith(expected) and rig.waits, send_two)
    assert rig.node.diagnose().level == 2
    assert not rig.frames and rig.node.is_active


def test_a_picture_of_an_unknown_encoding_is_named_and_the_node_goes_on(rig):
    now = rig.node.now()
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    rig.spin_until(
        lambda: "/cameras/head/image_raw: encoding is '8UC3'; expected one of rgb8" in rig.node.diagnose().message,
        lambda: rig.send("head", now, picture, "8UC3"),
    )
    rig.ask(1, now)
    rig.spin_until(lambda: rig.frames, lambda: [rig.send(camera, now, picture) for camera in CAMERAS])
    assert "8UC3" not in rig.node.diagnose().message


def test_a_picture_of_another_size_is_refused_by_name_with_the_fields_of_the_robots_file(rig):
    wide = np.zeros((SIDE, 2 * SIDE, 3), np.uint8)
    rig.ask(1, rig.node.now())
    said = "the encoder was trained on 32 x 32: set the camera to that size, or 'crop' and 'resize' of 'head'"
    rig.spin_until(lambda: said in rig.node.diagnose().message, lambda: rig.send("head", rig.node.now(), wide))
    assert rig.node.diagnose().level == 2 and "64 x 32" in rig.node.diagnose().message and not rig.frames


def test_cameras_that_send_wide_pictures_as_png_are_cropped_as_the_robots_file_says(folder, robot_with):
    rig = Rig(folder, CompressedImage, robot=robot_with(transport="compressed", crop="centre"))
    try:
        now = rig.node.now()
        wide = np.random.default_rng(0).integers(0, 256, (3, SIDE, 2 * SIDE, 3), dtype=np.uint8)
        rig.ask(1, now)
        rig.spin_until(
            lambda: rig.frames, lambda: [rig.send_png(*each) for each in zip(CAMERAS, [now] * 3, wide, strict=True)]
        )
        expected = Encoder.load(folder, backend="torch")(wide[:, :, SIDE // 2 : -SIDE // 2])
        np.testing.assert_array_equal(from_msg(rig.frames[0]).features, expected)
    finally:
        rig.close()


def test_a_camera_whose_pngs_are_no_pictures_is_named_and_the_request_is_answered_once_they_are(folder, robot_with):
    rig = Rig(folder, CompressedImage, robot=robot_with(transport="compressed"))
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)

    def send(damage):
        now = rig.node.now()
        rig.send_png("left_wrist", now, picture, damage)
        rig.send_png("head", now, picture)
        rig.send_png("right_wrist", now, picture)

    try:
        rig.ask(1, rig.node.now())
        said = "'left_wrist' cannot be used"
        rig.spin_until(lambda: said in rig.node.diagnose().message, lambda: send(with_wrong_pixels))
        assert "/left_wrist/image_raw/compressed: it cannot be unpacked" in rig.node.diagnose().message
        assert rig.waits and not rig.frames
        rig.spin_until(lambda: rig.frames, lambda: send(lambda png: png))
        assert rig.node.diagnose().level == 0
    finally:
        rig.close()


def test_pictures_to_be_rectified_wait_for_the_cameras_info_and_say_so(folder, robot_with):
    rig = Rig(folder, robot=robot_with(rectify=True))
    try:
        now, picture = rig.node.now(), np.zeros((SIDE, SIDE, 3), np.uint8)

        def send_all():
            for camera in CAMERAS:
                rig.send(camera, rig.node.now(), picture)

        rig.ask(1, now)
        rig.spin_until(lambda: "no CameraInfo on /cameras/head/camera_info" in rig.node.diagnose().message, send_all)
        k = [30.0, 0.0, 15.5, 0.0, 30.0, 15.5, 0.0, 0.0, 1.0]
        info = CameraInfo(height=SIDE, width=SIDE, distortion_model="plumb_bob", d=[-0.1, 0.0, 0.0, 0.0, 0.0], k=k)
        infos = [rig.other.create_publisher(CameraInfo, f"/cameras/{it}/camera_info", qos.SENSOR) for it in CAMERAS]
        rig.spin_until(lambda: rig.frames, lambda: [send_all(), *(one.publish(info) for one in infos)])
    finally:
        rig.close()


def test_pictures_stamped_ahead_answer_nothing_and_are_named_until_the_clocks_agree(rig):
    picture, ahead = np.zeros((SIDE, SIDE, 3), np.uint8), [0.09]

    def send_all():
        for camera in CAMERAS:
            rig.send(camera, rig.node.now() + ahead[0], picture)

    rig.ask(1, rig.node.now())
    rig.spin_until(lambda: "ahead of this clock" in rig.node.diagnose().message and rig.waits, send_all)
    assert not rig.frames and rig.node.diagnose().message.startswith("pictures of 'head' cannot be used for")
    ahead[0] = 0.0
    rig.spin_until(lambda: rig.frames and rig.node.diagnose().level == 0, send_all)


def test_a_clock_that_was_set_forgets_the_request_and_the_pictures_of_before(rig):
    now, picture = rig.node.now(), np.zeros((SIDE, SIDE, 3), np.uint8)
    rig.ask(1, now + 5.0)
    rig.spin_until(lambda: rig.node._sets.is_waiting, lambda: rig.send("head", now, picture))
    rig.node.clock_jumped(-5.0)
    assert not rig.node._sets.is_waiting and not rig.node._sets.sets() and rig.node.diagnose().level == 0


def test_picture_beyond_image_bytes_is_named_with_camera_size_and_parameter(folder):
    rig = Rig(folder, image_bytes=1000)
    try:
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        said = "pictures of 'head' cannot be used"
        rig.spin_until(lambda: said in rig.node.diagnose().message, lambda: rig.send("head", rig.node.now(), picture))
        assert "raise perception's image_bytes (now 1000)" in rig.node.diagnose().message
    finally:
        rig.close()


def test_configuration_without_an_encoder_is_refused_with_the_reason(tmp_path):
    node = new_node(encoder=str(tmp_path / "nowhere"))
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "nowhere does not exist" in node.fault and not node.is_active
    node.destroy_node()
