"""A user's own bag, in MCAP or SQLite, by a map of its topics."""

import sqlite3

import cv2
import numpy as np
import pytest
import yaml
from geometry_msgs.msg import PoseStamped
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float64, Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from typer.testing import CliRunner

from clwm_common.actions import GRIPPERS, JOINTS, LEFT_EEF, POSES, canonical_quaternion
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_common.ros.conversions import to_stamp
from clwm_common.ros.message_log import definition, type_name
from clwm_embodichain.commands import app
from clwm_embodichain.episodes.storage import Episode, episode_files
from clwm_operator.recorder.mcap_file import McapFile

START, ROWS = 1_700_000_000.0, 40
NAMES = {side: [f"{side}_{number}" for number in range(7)] for side in ("left", "right")}
MAP = {
    "state": [
        {
            "topic": "/joint_states",
            "left_joints": NAMES["left"],
            "right_joints": NAMES["right"],
            "left_gripper": ["finger"],
        },
        {"topic": "/hand/width", "right_gripper": [0]},
    ],
    "cameras": {"head": "/head/raw", "wrist": "/wrist/compressed"},
    "instruction": "stack the cups",
    "picture_size": 16,
    "scene": "kitchen",
    "goal": "stack",
}
ACTION = [
    {"topic": "/arms/joint_trajectory", "left_joints": NAMES["left"], "right_joints": NAMES["right"]},
    {"topic": "/hands/commands", "left_gripper": [1], "right_gripper": [0]},
]


def joints(row):
    return 0.1 * np.sin(0.1 * row + np.arange(14))


def stamped(message, at):
    message.header.stamp = to_stamp(at)
    return message


def content(rows=ROWS):
    """(received, topic, message) with rows of 0.05 s, states twice as often and commands at their own times."""
    yield START, "/task", String(data="as said on the topic")
    for half in range(2 * rows):
        at = START + 0.025 * half
        position = [*joints(half / 2.0), 0.02 + 0.001 * half]
        state = JointState(name=[*NAMES["left"], *NAMES["right"], "finger"], position=position)
        yield at + 0.001, "/joint_states", stamped(state, at)
        yield at, "/hand/width", Float64(data=0.05 - 0.0005 * half)
        pose = PoseStamped()
        pose.pose.position.x, pose.pose.orientation.w = 0.01 * half, 1.0
        yield at + 0.001, "/tool", stamped(pose, at)
    for row in range(rows):
        at = START + 0.05 * row
        pixels = np.full((24, 32, 3), [10, 5 * row, 200], np.uint8)
        image = Image(height=24, width=32, step=96, encoding="rgb8", data=pixels.tobytes())
        yield at + 0.004, "/head/raw", stamped(image, at)
        jpeg = cv2.imencode(".jpg", pixels[..., ::-1])[1].tobytes()
        yield at + 0.004, "/wrist/compressed", stamped(CompressedImage(format="jpeg", data=jpeg), at)
        yield at, "/hands/commands", Float64MultiArray(data=[0.03, 0.01 + 0.001 * row])
    motion = JointTrajectory(joint_names=[*NAMES["left"], *NAMES["right"]])
    for row in range(rows):
        point = JointTrajectoryPoint(positions=joints(row + 1.0).tolist())
        point.time_from_start.sec, point.time_from_start.nanosec = divmod(50_000_000 * row, 1_000_000_000)
        motion.points.append(point)
    yield START, "/arms/joint_trajectory", stamped(motion, START)


def as_mcap(folder, items):
    folder.mkdir(parents=True)
    file, channels = McapFile(folder / "bag_0.mcap", "test"), {}
    for at, topic, message in items:
        kind = type_name(type(message))
        if topic not in channels:
            channels[topic] = file.add_channel(topic, kind, definition(kind), {})
        file.add(channels[topic], round(at * 1e9), round(at * 1e9), 0, serialize_message(message))
    file.close()
    about(folder, "mcap", ["bag_0.mcap"])


def as_sqlite(folder, items, *, has_definitions=True, parts=1):
    folder.mkdir(parents=True)
    each = -(-len(items) // parts)
    for part in range(parts):
        with sqlite3.connect(folder / f"bag_{part}.db3") as base:
            base.execute("CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT)")
            base.execute("CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data)")
            if has_definitions:
                base.execute(
                    "CREATE TABLE message_definitions(id INTEGER PRIMARY KEY, topic_type TEXT, encoding TEXT, "
                    "encoded_message_definition TEXT, type_description_hash TEXT)"
                )
            kinds = {topic: type_name(type(message)) for _, topic, message in items}
            for number, (topic, kind) in enumerate(kinds.items()):
                base.execute("INSERT INTO topics VALUES(?, ?, ?, 'cdr')", (number, topic, kind))
                if has_definitions:
                    values = (number, kind, "ros2msg", definition(kind), "")
                    base.execute("INSERT INTO message_definitions VALUES(?, ?, ?, ?, ?)", values)
            numbers = {topic: number for number, topic in enumerate(kinds)}
            for at, topic, message in items[part * each : (part + 1) * each]:
                values = (numbers[topic], round(at * 1e9), serialize_message(message))
                base.execute("INSERT INTO messages(topic_id, timestamp, data) VALUES(?, ?, ?)", values)
    about(folder, "sqlite3", [f"bag_{part}.db3" for part in range(parts)])


def about(folder, storage, files, **more):
    information = {"version": 9, "storage_identifier": storage, "relative_file_paths": files, **more}
    (folder / "metadata.yaml").write_text(yaml.safe_dump({"rosbag2_bagfile_information": information}))


@pytest.fixture
def items():
    return sorted(content(), key=lambda it: it[0])


@pytest.fixture
def bring(tmp_path):
    """(map, place) -> (episodes, what was said, exit code)."""

    def bring(mapping, place=tmp_path / "bag", *more):
        (tmp_path / "map.yaml").write_text(yaml.safe_dump(mapping))
        words = ["import", place, "--from", "rosbag", "--map", tmp_path / "map.yaml", "--out", tmp_path / "out", *more]
        answer = CliRunner().invoke(app, list(map(str, words)))
        found = list((tmp_path / "out").rglob("*.npz"))
        files = episode_files(tmp_path / "out") if found else []
        return [Episode.load(file) for file in files], " ".join(answer.output.split()), answer.exit_code

    return bring


def written(kind, folder, items):
    match kind:
        case "mcap":
            as_mcap(folder, items)
        case "sqlite":
            as_sqlite(folder, items)
        case "old sqlite in three files":
            as_sqlite(folder, items, has_definitions=False, parts=3)


@pytest.mark.parametrize("kind", ["mcap", "sqlite", "old sqlite in three files"])
def test_every_number_of_a_bag_comes_back_on_the_grid_of_rows(kind, tmp_path, items, bring):
    written(kind, tmp_path / "bag", items)
    (episode,), said, code = bring(MAP | {"action": ACTION})
    assert code == 0, said
    rows = np.arange(len(episode.states))
    assert len(rows) == ROWS and (episode.scene, episode.goals) == ("kitchen", ("stack",))
    assert np.array_equal(episode.states[:, JOINTS], np.stack([joints(row) for row in rows]).astype(np.float32))
    assert np.allclose(episode.states[:, GRIPPERS], np.stack([0.02 + 0.002 * rows, 0.05 - 0.001 * rows], axis=1))
    assert np.allclose(episode.executed[:, JOINTS], np.stack([joints(row + 1) for row in rows]), atol=1e-6)
    assert np.allclose(episode.executed[:, GRIPPERS], np.stack([0.01 + 0.001 * rows, 0.03 + 0 * rows], axis=1))
    assert not episode.channels[POSES].any() and episode.channels[14:].all()
    colours = np.stack([np.full(len(episode.image_rows), 10), 5 * episode.image_rows, [200] * len(episode.image_rows)])
    assert np.array_equal(episode.images[:, 0, 8, 8].T, colours)
    assert np.abs(episode.images[:, 1, 8, 8].T.astype(int) - colours).max() < 8
    assert episode.images.shape[1:] == (2, 16, 16, 3) and episode.instructions == ("stack the cups",)


def test_without_commands_what_was_measured_a_row_later_stands_for_them(tmp_path, items, bring):
    as_mcap(tmp_path / "bag", items)
    (episode,), _, _ = bring(MAP)
    assert np.array_equal(episode.executed[:-1], episode.states[1:])


def test_tool_poses_come_from_a_topic_or_from_the_robots_joints(tmp_path, items, bring):
    as_mcap(tmp_path / "bag", items)
    tool = [{"topic": "/tool", "left_eef": list(range(7))}]
    (episode,), said, _ = bring(MAP | {"state": MAP["state"] + tool})
    assert np.allclose(episode.states[:, 0], 0.02 * np.arange(ROWS)) and episode.channels[LEFT_EEF].all(), said
    (episode,), _, _ = bring(MAP | {"robot": "dual_fr3_mujoco"}, tmp_path / "bag", "--force")
    poses = DualArmKinematics(RobotDescription.load("dual_fr3_mujoco")).poses(joints(7.0))
    assert np.allclose(episode.states[7, POSES].reshape(2, 7)[:, :3], poses[:, :3], atol=1e-6)
    found = canonical_quaternion(episode.states[7, POSES].reshape(2, 7)[:, 3:])
    assert np.allclose(found, canonical_quaternion(poses[:, 3:]), atol=1e-6)
    assert episode.channels.all()


def test_degrees_and_a_gripper_of_its_own_scale_become_radians_and_metres(tmp_path, items, bring):
    as_mcap(tmp_path / "bag", items)
    (episode,), _, _ = bring(MAP | {"angles": "deg", "gripper": {"closed": 0.0, "open": 0.1, "opening": 0.05}})
    assert np.allclose(episode.states[3, JOINTS], np.radians(joints(3)), atol=1e-7)
    assert np.allclose(episode.states[3, GRIPPERS], [0.5 * 0.026, 0.5 * 0.047])


def test_the_instruction_may_be_on_a_topic_and_folders_of_bags_are_read_whole(tmp_path, items, bring):
    for name in ("first", "second"):
        as_mcap(tmp_path / "bags" / name, items)
    mapping = {name: value for name, value in MAP.items() if name != "instruction"} | {"instruction_topic": "/task"}
    episodes, said, code = bring(mapping, tmp_path / "bags")
    assert code == 0 and len(episodes) == 2, said
    assert episodes[1].instructions == ("as said on the topic",) and [it.seed for it in episodes] == [0, 1]


def without(items, topic):
    return [it for it in items if it[1] != topic]


def test_a_clock_that_goes_back_is_named_with_topic_and_message(tmp_path, items, bring):
    back = [
        (at, topic, stamped(message, at - 1.0) if topic == "/joint_states" and at > START + 1.0 else message)
        for at, topic, message in items
    ]
    as_mcap(tmp_path / "bag", back)
    _, said, code = bring(MAP)
    assert code == 2 and "the clock of /joint_states goes back by 0.9" in said and "cut the bag there" in said
    (episode,), said, code = bring(MAP | {"clock": "received"})
    assert code == 0, said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda items: without(items, "/head/raw"), "has no topic /head/raw; it has /arms/joint_trajectory"),
        (lambda items: [it for it in items if it[1] != "/joint_states" or not 0.3 < it[0] - START < 1.2],
         "has no message on /joint_states for 0.9"),
        (lambda items: [it for it in items if it[1] != "/wrist/compressed" or not 0.3 < it[0] - START < 1.2],
         "has no picture of wrist within 0.25 s"),
        (lambda items: [it for it in items if it[0] < START + 0.2], "expected at least 0.8 s"),
        (lambda items: [(at, topic, Image(height=2, width=2, step=4, encoding="16SC1", data=bytes(8), header=m.header)
                         if topic == "/head/raw" else m) for at, topic, m in items],
         "topic /head/raw: encoding is '16SC1'; expected one of"),
        (lambda items: [(at, topic, JointState(name=["a"], position=[0.0], header=m.header)
                         if topic == "/joint_states" else m) for at, topic, m in items],
         "topic /joint_states has no 'left_0'; it has a"),
        (lambda items: [(at, topic, Float64(data=float("nan")) if topic == "/hand/width" else m)
                        for at, topic, m in items],
         "topic /hand/width: '0' is nan; expected finite numbers"),
    ],
)  # fmt: skip
def test_a_bag_that_cannot_be_used_says_what_is_wrong_with_it(change, said, tmp_path, items, bring):
    as_mcap(tmp_path / "bag", change(items))
    episodes, found, code = bring(MAP)
    assert code == 2 and said in found and episodes == [], found


def test_a_bag_that_is_cut_short_is_named(tmp_path, items, bring):
    as_mcap(tmp_path / "bag", items)
    file = tmp_path / "bag" / "bag_0.mcap"
    file.write_bytes(file.read_bytes()[: -(file.stat().st_size // 3)])
    _, said, code = bring(MAP)
    assert code == 2 and "bag_0.mcap is no MCAP file, or is cut short or damaged" in said
    as_sqlite(tmp_path / "other", items)
    file = tmp_path / "other" / "bag_0.db3"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    _, said, code = bring(MAP, tmp_path / "other")
    assert code == 2 and "bag_0.db3 is no rosbag2 file, or is cut short or damaged" in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"compression_mode": "FILE"}, "is compressed by rosbag2 (compression_mode FILE)"),
        ({"relative_file_paths": ["bag_1.mcap"]}, "bag_1.mcap does not exist, and metadata.yaml lists it"),
    ],
)
def test_a_bag_whose_files_cannot_be_read_says_what_to_do(more, said, tmp_path, items, bring):
    as_mcap(tmp_path / "bag", items)
    about(tmp_path / "bag", **({"storage": "mcap", "files": ["bag_0.mcap"]} | more))
    _, found, code = bring(MAP)
    assert code == 2 and said in found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"state": []}, "field 'state'"),
        ({"instruction_topic": "/task"}, "either instruction or instruction_topic"),
        ({"state": [{"topic": "/a", "left_eef": [0]}]}, "left_eef has 1 numbers; expected 7"),
        ({"action": ACTION[:1]}, "state and action fill different channels"),
        ({"state": MAP["state"] + MAP["state"][1:]}, "state fills a channel of the layout twice"),
        ({"cameras": {"a": "/x", "b": "/x"}}, "/x is named twice"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_map_that_makes_no_sense_names_the_field(change, said, tmp_path, items, bring):
    _, found, code = bring(MAP | change)
    assert code == 2 and said in found


def test_without_a_map_or_a_bag_the_command_says_what_is_missing(tmp_path, bring):
    answer = CliRunner().invoke(app, ["import", str(tmp_path), "--from", "rosbag"])
    assert answer.exit_code == 2 and "write a map (docs/data.md): --map" in " ".join(answer.output.split())
    _, said, code = bring(MAP, tmp_path / "none")
    assert code == 2 and "does not exist; expected a folder with metadata.yaml" in said
