"""What is seen in the world as the messages of real sensors."""

from __future__ import annotations

import array

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, JointState

from clwm_msgs.msg import EpisodeStatus
from clwm_sim.cameras import CameraIntrinsics
from clwm_sim.pacing import EpisodeSeen, JointsSeen, PictureTaken


def joint_state(stamp: Time, names: list[str], channels: NDArray[np.intp], seen: JointsSeen) -> JointState:
    """Arms, whose joints are in these `channels`, then one finger joint per hand.

    A finger moves half of what the hand opens.
    """
    message = JointState(name=names)
    message.header.stamp = stamp
    message.position = np.concatenate([seen.arms.positions[channels], seen.arms.widths / 2.0]).tolist()
    message.velocity = np.concatenate([seen.arms.velocities[channels], seen.opening_speeds / 2.0]).tolist()
    return message


def image(stamp: Time, seen: PictureTaken) -> Image:
    """An rgb8 image of a picture."""
    height, width, _ = seen.picture.shape
    message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
    message.header.stamp = stamp
    message.header.frame_id = f"{seen.camera}_optical_frame"
    # Assigning bytes would be checked element by element, which takes milliseconds.
    message.data = array.array("B")
    message.data.frombytes(memoryview(np.ascontiguousarray(seen.picture)).cast("B"))
    return message


def camera_info(camera: str, intrinsics: CameraIntrinsics) -> CameraInfo:
    """Calibration of an undistorted camera; the stamp is left to the caller."""
    message = CameraInfo(width=intrinsics.width, height=intrinsics.height, distortion_model="plumb_bob", d=[0.0] * 5)
    message.header.frame_id = f"{camera}_optical_frame"
    message.k = np.asarray(intrinsics.matrix, dtype=np.float64).ravel()
    message.r = np.eye(3).ravel()
    message.p = np.hstack([intrinsics.matrix, np.zeros((3, 1))]).ravel()
    return message


def episode_status(stamp: Time, seen: EpisodeSeen) -> EpisodeStatus:
    """The ROS form of an episode's status."""
    return EpisodeStatus(
        stamp=stamp,
        task=seen.task,
        seed=seen.seed,
        episode=seen.episode,
        elapsed=seen.elapsed,
        succeeded=seen.succeeded,
        failed=seen.failed,
        instruction=seen.instruction,
    )
