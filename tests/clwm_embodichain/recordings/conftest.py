"""Recordings as the recorder makes them, of arms that move as the test says."""

from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
import yaml
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from clwm_common import messages as core
from clwm_common.actions import ROW_DT, pack
from clwm_common.recordings import names
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_common.ros.conversions import to_msg, to_stamp
from clwm_msgs import msg
from clwm_operator.recorder.episode_recorder import Attached, EpisodeRecorder
from clwm_operator.recorder.messages import Message
from clwm_operator.recorder.recorder_node import given_topics, recorded_topics
from clwm_operator.recorder.span import TaskHeard, VerdictHeard

EPOCH, START, HORIZON = 7, 1_796_000_000.0, 12


@dataclass
class Course:
    """An episode of `chunks` horizons, at `START`; rows are what is commanded at START + i * 0.05 s.

    human: rows that a human commands; held: in which nobody does. replaced_at: row at which another trajectory is sent.
    judged: the world's verdict, None for none. skip: topics that are left out.
    """

    chunks: int = 4
    human: range = range(0)
    held: range = range(0)
    judged: bool | None = True
    skip: tuple[str, ...] = ()
    size: tuple[int, int] = (32, 32)
    state_gap: range = range(0)
    replaced_at: int | None = None
    pictures: dict = field(default_factory=dict)


ROBOT = RobotDescription.load("dual_fr3_mujoco")
TOPICS = given_topics(ROBOT)


def commanded(count):
    """(joints, openings, rows) of a smooth motion."""
    phase = 0.02 * np.arange(count)[:, None]
    joints = ROBOT.home + 0.2 * np.sin(phase + np.arange(14) / 5.0) - 0.2 * np.sin(np.arange(14) / 5.0)
    openings = np.stack([np.linspace(0.08, 0.0, count), np.linspace(0.01, 0.05, count)], axis=1)
    kinematics = DualArmKinematics(ROBOT)
    poses = np.stack([kinematics.poses(row) for row in joints])
    return joints, openings, pack(poses[:, 0], poses[:, 1], joints, openings)


def trajectory(joints, at):
    message = JointTrajectory()
    message.header.stamp = to_stamp(at)
    for index, row in enumerate(joints):
        point = JointTrajectoryPoint(positions=row.tolist(), velocities=[0.0] * 7)
        point.time_from_start.nanosec = round(index * ROW_DT * 1e9) % 1_000_000_000
        point.time_from_start.sec = round(index * ROW_DT * 1e9) // 1_000_000_000
        message.points.append(point)
    return message


def picture(index, camera, size):
    rng = np.random.default_rng([index, len(camera)])
    return np.broadcast_to(rng.integers(0, 255, 3, dtype=np.uint8), (*size, 3))


def messages(course):
    """(instant, topic, message) of the whole course."""
    count = course.chunks * HORIZON + 4
    joints, _, rows = commanded(count + 4)
    for chunk in range(course.chunks):
        at = START + chunk * HORIZON * ROW_DT
        before = rows[max(0, chunk - 1) * HORIZON : chunk * HORIZON]
        prefix = rows[chunk * HORIZON : chunk * HORIZON + (4 if chunk else 1)]
        request = core.ChunkRequest(chunk + 1, EPOCH, at, at + 0.2, prefix, before, "lift the tray", at_rest=chunk == 0)
        yield at - 0.1, names.REQUEST, to_msg(request)
    ends = START + (count - 1) * ROW_DT
    for side, arm in enumerate(ROBOT.arms):
        own = joints[:, 7 * side : 7 * side + 7]
        yield START - 0.01, arm.controller.topic, trajectory(own, START)
        if course.replaced_at is not None:
            again = START + course.replaced_at * ROW_DT
            yield again, arm.controller.topic, trajectory(own + 0.3, again)
    for index in range(count):
        at = START + index * ROW_DT
        is_human = index in course.human
        mode = core.Mode.TELEOP if is_human else core.Mode.HOLD if index in course.held else core.Mode.POLICY
        values = rows[index] + np.float32(0.001)
        state = core.DualArmState(at, values, np.ones(30, bool), mode=mode, task_epoch=EPOCH)
        if index not in course.state_gap:
            yield at + 0.002, names.STATE, to_msg(state)
        if is_human:
            target = core.TeleopCommand(at, "keyboard", True, rows[index], np.ones(30, bool))
            yield at, names.TELEOP, to_msg(target)
        for camera in ROBOT.cameras:
            encoded = cv2.imencode(".jpg", picture(index, camera, course.size)[..., ::-1])[1].tobytes()
            message = CompressedImage(format="rgb8; jpeg compressed bgr8", data=course.pictures.get(index, encoded))
            message.header.stamp = to_stamp(at)
            yield at + 0.01, f"/cameras/{camera}/image_raw/compressed", message
    if course.judged is not None:
        outcome = msg.Verdict.SUCCEEDED if course.judged else msg.Verdict.FAILED
        verdict = msg.Verdict(
            stamp=to_stamp(ends), task_epoch=EPOCH, goal="lift_tray", judge="sim", outcome=outcome, reason=""
        )
        yield ends, names.VERDICT, verdict
    yield START, names.EPISODE, msg.EpisodeStatus(task="lift_tray", seed=3)


@pytest.fixture
def record(tmp_path):
    """course -> path of its recording, in a folder of its own."""

    def record(course, name="recordings", is_closed=True, received_later=0.0):
        robot = Attached(names.ROBOT_FILE, "application/yaml", yaml.safe_dump(ROBOT.model_dump(mode="json")).encode())
        recorder = EpisodeRecorder(
            tmp_path / name, recorded_topics(TOPICS), {"robot": ROBOT.name}, (robot,), keep_free=0, free_bytes=lambda: 1
        )
        began = round((START - 0.05 + received_later) * 1e9)
        has_begun = False
        for at, topic, message in sorted(messages(course), key=lambda it: it[0]):
            if topic in course.skip:
                continue
            now = round((at + received_later) * 1e9)
            if not has_begun and now >= began:
                recorder.hear(began, TaskHeard(EPOCH, "lift the tray", ""))
                has_begun = True
            recorder.take(Message(topic, now, now, None, serialize_message(message)))
            if topic == names.VERDICT:
                recorder.hear(now, VerdictHeard(EPOCH, bool(course.judged), "sim"))
        path = recorder.current.file.path
        if is_closed:
            recorder.stop(now)
        else:
            recorder.current.file.flush()
        return path

    return record
