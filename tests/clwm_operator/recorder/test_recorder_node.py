"""The recorder on real topics, and what is read back from its files."""

import json
import time

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image, JointState
from typer.testing import CliRunner

from clwm_bringup.cli import app
from clwm_common.messages import Mode, ModeStatus, TaskStatus
from clwm_common.recordings.corrections import CorrectionLabel
from clwm_common.recordings.labels import Labels
from clwm_common.recordings.reader import RecordingError, read_messages, read_recording
from clwm_common.robot.description import RobotDescription
from clwm_common.ros import qos
from clwm_common.ros.conversions import to_msg, to_stamp
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_common.verdicts import OWN_ESTIMATE
from clwm_msgs import msg
from clwm_msgs.srv import LabelCorrection
from clwm_operator.recorder.episode_recorder import EpisodeRecorder
from clwm_operator.recorder.recorder_node import RecorderNode, given_topics, recorded_topics
from clwm_operator.recorder.span import LATE

pytestmark = pytest.mark.usefixtures("ros_context")
EPOCH = 12


class Stack(Node):
    """What speaks to the recorder."""

    def __init__(self):
        super().__init__("stack")
        self.pictures = self.create_publisher(Image, "/cameras/head/image_raw", qos.SENSOR)
        self.joints = self.create_publisher(JointState, "/joint_states", qos.SENSOR)
        self.task = self.create_publisher(msg.TaskStatus, "/clwm/task_status", qos.LATCHED)
        self.mode = self.create_publisher(msg.ModeStatus, "/clwm/mode", qos.LATCHED)
        self.verdict = self.create_publisher(msg.Verdict, "/clwm/verdict", qos.VERDICT)

    def give(self, instruction, epoch):
        self.task.publish(to_msg(TaskStatus(1.0, Mode.POLICY, "IDLE", epoch, instruction=instruction, goal="lift")))


@pytest.fixture
def run(tmp_path):
    """(stack, recorder, notes, wait), where wait spins until a condition holds."""
    robot = RobotDescription.load("dual_fr3_mujoco")
    topics = given_topics(robot)
    facts = {"robot": robot.name, "cameras": "head"}
    recorder = EpisodeRecorder(tmp_path, recorded_topics(topics), facts, (), keep_free=0, free_bytes=lambda: 1 << 40)
    notes = []
    stack, node = Stack(), RecorderNode(recorder, topics, 90, notes.append)
    executor = StaticSingleThreadedExecutor()
    executor.add_node(node)

    def wait(condition, act=lambda: None):
        until = time.monotonic() + 30.0
        while not condition():
            assert time.monotonic() < until, f"nothing came; {recorder.current}"
            act()
            executor.spin_once(timeout_sec=0.05)

    yield stack, recorder, notes, wait
    executor.shutdown(timeout_sec=1.0)
    node.destroy_node()
    stack.destroy_node()


def has(recorder, topic):
    return lambda: recorder.current is not None and topic in recorder.current.counts


def test_an_episode_is_recorded_with_pictures_human_and_verdict_and_comes_back(run):
    stack, recorder, notes, wait = run
    stack.mode.publish(to_msg(ModeStatus(1.0, Mode.POLICY, "nano")))
    stack.give("lift the tray", EPOCH)
    wait(lambda: recorder.current is not None)
    picture = Image(height=16, width=16, encoding="rgb8", step=48, data=bytes([200, 60, 20] * 256))
    joints = JointState(name=["a"], position=[0.25])

    def act():
        stack.pictures.publish(picture)
        stack.joints.publish(joints)

    wait(has(recorder, "/cameras/head/image_raw/compressed"), act)
    wait(has(recorder, "/joint_states"), act)
    stack.mode.publish(to_msg(ModeStatus(2.0, Mode.TELEOP, "keyboard")))
    wait(lambda: recorder._human_since is not None)
    stack.mode.publish(to_msg(ModeStatus(3.0, Mode.POLICY, "nano")))
    wait(lambda: recorder._human_since is None)
    wait(lambda: recorder.current.seconds > LATE, act)  # a verdict before counts as one of before the recording
    stamp = to_stamp(stack.get_clock().now().nanoseconds * 1e-9)
    for judge in ("sim", OWN_ESTIMATE):  # the last one is what the policy believes, which is no label
        stack.verdict.publish(msg.Verdict(stamp=stamp, task_epoch=EPOCH, judge=judge, outcome=msg.Verdict.SUCCEEDED))
    wait(lambda: recorder.done)
    path = recorder.done[0].file.path
    found = read_recording(path)
    assert (found.verdict, found.judge, found.interventions, found.epoch) == ("success", "sim", 1, EPOCH)
    assert found.has_index and found.instruction == "lift the tray" and found.facts["goal"] == "lift"
    by_topic = {it.topic: it.message for it in read_messages(path, recorder.done[0].counts)}
    jpeg = by_topic["/cameras/head/image_raw/compressed"]
    pixels = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(pixels.astype(int) - [20, 60, 200]).max() < 6 and jpeg.format.startswith("rgb8; jpeg")
    assert by_topic["/joint_states"].position == [0.25] and by_topic["/clwm/task_status"].task_epoch == EPOCH
    assert notes == []


def test_a_picture_that_jpeg_cannot_hold_is_recorded_as_it_is_and_said_once(run):
    stack, recorder, notes, wait = run
    stack.give("look", EPOCH)
    wait(lambda: recorder.current is not None)
    depth = Image(height=2, width=2, encoding="16UC1", step=4, data=bytes(8))
    topic = "/cameras/head/image_raw"
    wait(has(recorder, topic), lambda: stack.pictures.publish(depth))
    wait(lambda: recorder.current.counts[topic].messages > 3, lambda: stack.pictures.publish(depth))
    (note,) = notes
    assert note.startswith(f"pictures on {topic} are recorded without compression: encoding is '16UC1'")


def test_a_driver_that_compresses_itself_is_recorded_as_it_does(run):
    stack, recorder, _, wait = run
    own = stack.create_publisher(CompressedImage, "/cameras/head/image_raw/compressed", qos.SENSOR)
    stack.give("look", EPOCH)
    wait(lambda: recorder.current is not None)
    topic = "/cameras/head/image_raw/compressed"
    wait(has(recorder, topic), lambda: own.publish(CompressedImage(format="png", data=b"png")))
    before = recorder.current.counts[topic].messages
    sent = 0

    def raw():
        nonlocal sent
        sent += 1
        stack.pictures.publish(Image(height=1, width=1, encoding="rgb8", step=3, data=bytes(3)))

    wait(lambda: sent > 10, raw)
    assert recorder.current.counts[topic].messages == before


def test_a_topic_that_is_faster_than_the_recorder_turns_loses_nothing(run):
    stack, recorder, _, wait = run
    stack.give("look", EPOCH)
    wait(lambda: recorder.current is not None)
    joints = JointState(name=["a"], position=[0.25])
    wait(has(recorder, "/joint_states"), lambda: stack.joints.publish(joints))
    before, turns = recorder.current.counts["/joint_states"].messages, 0
    for _ in range(300):
        stack.joints.publish(joints)

    def turn():
        nonlocal turns
        turns += 1
        time.sleep(0.02)  # as long as a picture of a busy machine takes

    wait(lambda: recorder.current.counts["/joint_states"].messages >= before + 300, turn)
    assert turns < 150


def test_the_page_labels_the_last_correction_and_is_told_which_or_why_not(run):
    stack, recorder, _, wait = run
    client = stack.create_client(LabelCorrection, "/clwm/label_correction")
    wait(client.service_is_ready)

    def say(label):
        answer = client.call_async(LabelCorrection.Request(label=label))
        wait(answer.done, lambda: rclpy.spin_once(stack, timeout_sec=0.02))
        return answer.result()

    assert "there is nothing to label" in say(LabelCorrection.Request.DISCARDED).message
    stack.give("lift the tray", EPOCH)
    wait(lambda: recorder.current is not None)
    stack.mode.publish(to_msg(ModeStatus(2.0, Mode.TELEOP, "keyboard")))
    wait(lambda: recorder._human_since is not None)
    said = say(LabelCorrection.Request.RECOVERY)
    assert said.accepted and said.message == "the last correction, which goes on: a recovery"
    said = say(9)
    assert not said.accepted and "9 is not a valid CorrectionLabel" in said.message
    (correction,) = Labels.of(recorder.current.file.path).corrections
    assert correction.label is CorrectionLabel.RECOVERY


@pytest.fixture
def recording(run):
    """A recording without a verdict, whose recorder was killed."""
    stack, recorder, _, wait = run
    stack.give("lift the tray", EPOCH)
    wait(lambda: recorder.current is not None)
    stack.mode.publish(to_msg(ModeStatus(2.0, Mode.TELEOP, "keyboard")))
    wait(has(recorder, "/clwm/mode"))
    wait(lambda: recorder._human_since is not None)
    stack.mode.publish(to_msg(ModeStatus(2.0, Mode.POLICY, "nano")))
    wait(lambda: recorder._human_since is None)
    stack.joints.publish(JointState(name=["a"], position=[0.25]))
    wait(has(recorder, "/joint_states"), lambda: stack.joints.publish(JointState(name=["a"], position=[0.25])))
    recorder.current.file.flush()
    return recorder.current.file.path


def clwm(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def test_a_recording_without_its_end_is_listed_with_what_can_be_seen_of_it(recording):
    found = read_recording(recording)
    assert not found.has_index and found.verdict == "" and found.interventions == 1 and found.human_seconds >= 0.0
    answer = clwm("recordings", recording.parent)
    assert answer.exit_code == 0, answer.output
    assert "“lift the tray”, not judged, 1 intervention of 0.0 s, its recorder was killed" in answer.output


def test_labels_are_kept_beside_a_recording_which_stays_as_it_was(recording):
    before = recording.read_bytes()
    assert clwm("label", recording, "--success", "--tag", "slow", "--note", "the tray slipped").exit_code == 0
    assert clwm("label", recording, "--failure", "--tag", "again").exit_code == 0
    assert Labels.of(recording) == Labels(False, ("again", "slow"), ("the tray slipped",))
    assert recording.read_bytes() == before
    assert json.loads(recording.with_suffix(".labels.json").read_text())["success"] is False
    assert "1 intervention of 0.0 s, its recorder was killed [failure, again, slow, “the tray slipped”]" in (
        clwm("recordings", recording).output
    )
    assert clwm("label", recording, "--clear").exit_code == 0 and Labels.of(recording) == Labels()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "must have success, tags and notes"),
        ('{"success": "yes", "tags": [], "notes": []}', "success is 'yes'; expected true, false or null"),
        ('{"success": null, "tags": [1], "notes": []}', "texts in tags and notes"),
        (
            '{"success": null, "tags": [], "notes": [], "corrections": [{"label": "good", "begin": 1, "end": 2}]}',
            "expected a list of label .discarded or recovery., begin and end",
        ),
        ('{"success": null, "tags": [], "notes": [], "corrections": 3}', "expected a list of label"),
    ],
)
def test_labels_that_say_nothing_are_refused(tmp_path, text, said):
    (tmp_path / "a.labels.json").write_text(text)
    with pytest.raises(RecordingError, match=said):
        Labels.of(tmp_path / "a.mcap")


def test_corrections_are_labelled_afterwards_by_their_number(recording):
    assert clwm("label", recording, "--discard", 1).exit_code == 0
    (correction,) = Labels.of(recording).corrections
    assert correction.label is CorrectionLabel.DISCARDED
    assert "[1 discarded]" in clwm("recordings", recording).output
    assert clwm("label", recording, "--recovery", 1, "--tag", "slow").exit_code == 0
    assert "[1 recovery, slow]" in clwm("recordings", recording).output
    answer = clwm("label", recording, "--discard", 2)
    assert answer.exit_code == 2 and "has 1 corrections, and 2 was named" in answer.output
    assert clwm("label", recording, "--discard", 1, "--recovery", 1).exit_code == 2
    assert [it.label for it in Labels.of(recording).corrections] == [CorrectionLabel.RECOVERY]


def test_what_is_no_recording_is_named_and_labels_nothing(recording, tmp_path):
    other = tmp_path / "z.mcap"
    other.write_bytes(recording.read_bytes()[:300])
    answer = clwm("label", recording, other, "--success")
    assert answer.exit_code == 2 and "z.mcap" in answer.output and Labels.of(recording) == Labels()
    answer = clwm("recordings", tmp_path)
    assert answer.exit_code == 1 and "cut short or damaged" in " ".join(answer.output.split())
    answer = clwm("recordings", tmp_path / "none")
    assert answer.exit_code == 2 and "make some with `clwm record`" in " ".join(answer.output.split())
    assert clwm("label", recording).exit_code == 2
