"""The robot description: what is wrong in a file is named with its field, and the shipped one is complete."""

import math

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_common.robot.description import RobotDescription, RobotError, config_directory, known_robots
from clwm_common.robot.kinematics import DualArmKinematics

SHIPPED = config_directory() / "robots" / "dual_fr3_mujoco.yaml"


def changed(tmp_path, *path_and_value):
    """The shipped description with one field changed, or removed when the value is None."""
    *path, value = path_and_value
    data = yaml.safe_load(SHIPPED.read_text())
    place = data
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    file = tmp_path / "robot.yaml"
    file.write_text(yaml.safe_dump(data))
    return file


def test_every_shipped_robot_loads():
    assert "dual_fr3_mujoco" in known_robots()
    for name in known_robots():
        robot = RobotDescription.load(name)
        assert robot.urdf_path().exists()
        places = [place for source in robot.joint_sources() for place in source.places]
        assert sorted(places) == [*robot.channels, 14, 15]
        assert DualArmKinematics(robot).poses(robot.home).shape == (2, 7)


def test_joints_of_one_topic_are_in_the_order_of_the_arms():
    (source,) = RobotDescription.load("dual_fr3_mujoco").joint_sources()
    assert source.places == tuple(range(16)) and source.has_arm
    assert source.names[7] == "right_fr3_joint1" and source.names[14:] == (
        "left_fr3_finger_joint1",
        "right_fr3_finger_joint1",
    )


def test_arms_in_namespaces_have_topics_of_their_own():
    robot = RobotDescription.load("dual_fr3_franka")
    sources = {source.topic: source for source in robot.joint_sources()}
    assert robot.driver == "external"
    assert sources["/right/franka/joint_states"].places == tuple(range(7, 14))
    assert sources["/right/franka_gripper/joint_states"].places == (15,)
    assert [source.has_arm for source in sources.values()] == [True, False, True, False]


def test_names_that_are_alike_on_one_topic_are_refused(tmp_path):
    names = RobotDescription.load("dual_fr3_mujoco").left.joint_names
    with pytest.raises(RobotError, match=r"/joint_states is to carry left_fr3_joint1, .* twice; give the arms"):
        RobotDescription.from_yaml(changed(tmp_path, "right", "joint_names", names))


def test_a_simulated_robot_with_several_topics_is_refused(tmp_path):
    with pytest.raises(RobotError, match="clwm_sim publishes all joints on one topic"):
        RobotDescription.from_yaml(changed(tmp_path, "right", "joint_states_topic", "/right/joint_states"))


def test_home_is_within_the_limits():
    robot = RobotDescription.load("dual_fr3_mujoco")
    assert (robot.limit("position_lower") < robot.home).all() and (robot.home < robot.limit("position_upper")).all()


def test_a_file_that_is_not_utf8_is_refused_with_the_byte_and_its_place(tmp_path):
    file = tmp_path / "robot.yaml"
    file.write_bytes(SHIPPED.read_bytes() + b"# gr\xfcn\n")
    place = len(SHIPPED.read_bytes()) + 4
    with pytest.raises(RobotError, match=rf"robot.yaml is not UTF-8: byte 0xFC at position {place}, line \d+; save"):
        RobotDescription.from_yaml(file)


@pytest.mark.parametrize("text", ["", "[]", "3", "name"])
def test_a_file_that_holds_no_names_and_values_is_refused(tmp_path, text):
    (tmp_path / "robot.yaml").write_text(text)
    with pytest.raises(RobotError, match="expected names and values"):
        RobotDescription.from_yaml(tmp_path / "robot.yaml")


def test_a_file_that_extends_another_needs_not_say_how_the_cameras_are_that_it_leaves_out(tmp_path):
    (tmp_path / "dual_fr3_mujoco.yaml").write_text(SHIPPED.read_text())
    path = tmp_path / "one_eyed.yaml"
    path.write_text("extends: dual_fr3_mujoco\ncameras: [head]\ncamera_sources: {head: {crop: centre}}\n")
    robot = RobotDescription.from_yaml(path)
    assert list(robot.camera_sources) == ["head"]
    assert robot.camera_source("head").crop == "centre" and robot.camera_source("head").mounting.parent == "world"


def test_a_field_that_is_given_twice_is_refused(tmp_path):
    (tmp_path / "robot.yaml").write_text(SHIPPED.read_text() + "cameras: [head]\n")
    with pytest.raises(RobotError, match="'cameras' is given twice"):
        RobotDescription.from_yaml(tmp_path / "robot.yaml")


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    with pytest.raises(RobotError, match="cannot be read .Is a directory"):
        RobotDescription.from_yaml(tmp_path)


@settings(max_examples=20, deadline=None)
@given(st.floats().filter(lambda yaw: not abs(yaw) <= 2 * math.pi))
def test_no_base_is_turned_by_more_than_a_whole_turn(tmp_path_factory, yaw):
    with pytest.raises(RobotError, match="base_yaw"):
        RobotDescription.from_yaml(changed(tmp_path_factory.mktemp("yaw"), "left", "base_yaw", yaw))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("limits", "velocity", [1.0] * 6), "position_upper 7, velocity 6, .* one of each for every joint of an arm"),
        (("limits", "velocity", [1.0] * 6 + [0.0]), "velocity must be positive"),
        (("limits", "position_lower", [9.0] * 7), "joint 1: position_lower 9 must be below position_upper"),
        (("left", "joint_names", None), r"'left\.joint_names': Field required"),
        (("left", "colour", "red"), r"'left\.colour': no such field; expected one of base_pitch, "),
        (("left", "controler", "red"), r"'left\.controler': no such field; did you mean 'controller'\?"),
        (
            ("left", "controller", "topics", "/a/b"),
            r"'left\.controller\.jtc\.topics': no such field; did you mean 'topic'",
        ),
        (("left", "gripper", "speeed", 0.1), r"'left\.gripper\.speeed': no such field; did you mean 'speed'\?"),
        (("safety", "capsules", 0, "radios", 0.1), r"'safety\.capsules\.0\.radios': .* did you mean 'radius'"),
        (("cameras", ["head", "head"]), "cameras has head twice"),
        (("cameras", []), "'cameras': .* at least 1 item"),
        (("cameras", [""]), r"'cameras\.0': '' is no name of a camera"),
        (("cameras", ["left wrist"]), r"'left wrist' is no name of a camera; expected letters, digits"),
        (("cameras", ["3d"]), "'3d' is no name of a camera"),
        (("camera_sources", {"chest": {}}), "camera_sources has 'chest'; expected names in cameras: head, left_wrist"),
        (
            ("camera_sources", {"head": {"transport": "compressed"}}),
            "clwm_sim sends raw pictures on /cameras/head/image_raw; leave topic",
        ),
        (
            ("camera_sources", {"head": {"topic": "/cameras/left_wrist/image_raw"}}),
            "/cameras/left_wrist/image_raw is the topic of two cameras",
        ),
        (("camera_sources", {"head": {"crop": "middle"}}), r"'camera_sources\.head\.crop"),
        (("camera_sources", {"head": {"topic": "color"}}), "'color' is no name of a topic"),
        (
            (
                "camera_sources",
                {"head": {"mounting": {"parent": "world", "position": [0.0] * 3, "orientation": [1.0] * 4}}},
            ),
            "has length 2.0000; expected a unit quaternion xyzw",
        ),
        (("cameras", ["head", 3]), r"'cameras\.1': .* valid string \(got 3\)"),
        (("joint_states_topic", "joint states"), "'joint states' is no name of a topic"),
        (("joint_states_topic", ""), "'' is no name of a topic"),
        (("left", "joint_states_topic", "/left//joints"), "'/left//joints' is no name of a topic"),
        (("left", "joint_names", [f"j{n}" for n in (1, 2, 3, 4, 5, 6, 6)]), "/joint_states is to carry j6 twice"),
        (("left", "joint_names", ["", *"abcdef"]), r"'left\.joint_names\.0': .* at least 1 character"),
        (("left", "gripper", "finger_joint", "right_fr3_finger_joint1"), "is to carry right_fr3_finger_joint1 twice"),
        (("limits", "velocity", [math.nan] + [1.0] * 6), r"'limits\.velocity\.0': .* finite number \(got nan\)"),
        (("limits", "acceleration", [math.inf] * 7), r"'limits\.acceleration\.0': .* finite number \(got inf\)"),
        (("limits", "jerk", [-1.0] * 7), "jerk must be positive"),
        (("limits", "velocity", [True] * 7), r"'limits\.velocity\.0': .* valid number \(got True\)"),
        (("limits", "velocity", ["1.0"] * 7), r"'limits\.velocity\.0': .* valid number \(got '1.0'\)"),
        (("limits", "position_upper", [166.0] * 7), "position_upper is .* expected rad, and these can only be degrees"),
        (
            ("left", "home", [0.0, -45.0, 0.0, -2.4, 0.0, 1.6, 0.8]),
            r"home of the left joint 2 is -45.0 rad; its limits",
        ),
        (("right", "home", [0.0] * 7), "home of the right joint 4 is 0.0 rad; its limits are"),
        (("left", "home", [math.nan] * 7), r"'left\.home\.0': .* finite number"),
        (("left", "base_yaw", 90), r"base_yaw is 90; expected rad, .* as degrees it is 1.5708 rad"),
        (("left", "base_yaw", -6.3), "base_yaw is -6.3; expected rad"),
        (("left", "base_yaw", math.nan), r"'left\.base_yaw': .* finite number"),
        (("left", "base_position", [0.0, 0.3]), r"'left\.base_position': .* at least 3"),
        (("left", "base_position", [0.0, 300.0, 0.0]), r"'left\.base_position\.1': .* less than or equal to 100"),
        (("left", "base_position", [0.0, -0.3, 0.0]), "they cannot stand in one place"),
        (("left", "controller", {"kind": "jtc", "topic": "/commands"}), "below the controller's name"),
        (("left", "controller", "topic", "/right_arm_controller/joint_trajectory"), "takes commands for two parts"),
        (("left", "gripper", "command", "name", "/right_gripper/command"), "takes commands for two parts"),
        (("left", "gripper", "command", "name", "left gripper"), "'left gripper' is no name of a topic"),
        (("left", "gripper", "opening_min", 0.09), "opening_min is 0.09 m; expected less than opening_max, 0.08 m"),
        (("left", "gripper", "opening_min", -0.01), r"'left\.gripper\.opening_min': .* greater than or equal to 0"),
        (("left", "gripper", "opening_max", 80), r"'left\.gripper\.opening_max': .* less than or equal to 1"),
        (("left", "controller", {"kind": "forward", "topic": "/a/b", "rate": -100.0}), r"rate': .* equal to 20"),
        (("safety", "capsules", 0, "radius", 0.0), r"'safety\.capsules\.0\.radius': .* greater than 0"),
        (("safety", "capsules", 0, "end", [0.0, math.inf, 0.0]), r"capsules\.0\.end\.1': .* finite number"),
        (("safety", "workspace_upper", [0.1, 0.7, 0.9]), "workspace_lower must be below workspace_upper"),
        (("safety", "gross", math.nan), r"'safety\.gross': .* finite number"),
        (("name", ""), r"'name': .* at least 1 character"),
        (("right", "gripper", "speed", -1.0), r"'right\.gripper\.speed'"),
        (("left", "controller", None), r"'left\.controller': Field required"),
        (("left", "controller", "kind", "effort"), r"'left\.controller': Input tag 'effort' .* 'jtc', 'forward'"),
        (
            ("left", "controller", "topic", "commands"),
            r"'left\.controller\.jtc\.topic': 'commands' is no name of a topic",
        ),
        (("left", "controller", {"kind": "forward", "topic": "/a/b", "rate": 5.0}), r"rate': .* equal to 20"),
        (("left", "gripper", "command", {"kind": "action"}), r"'left\.gripper\.command\.action\.name': Field required"),
        (
            ("left", "gripper", "command", {"kind": "action", "name": "/g", "type": "Grasp"}),
            "'ParallelGripperCommand' or 'MoveGripper'",
        ),
    ],
)
def test_a_wrong_field_is_named_with_its_path(tmp_path, change, reason):
    with pytest.raises(RobotError, match=reason):
        RobotDescription.from_yaml(changed(tmp_path, *change))


def test_a_field_that_must_be_there_and_is_misspelt_is_shown_as_it_was_written(tmp_path):
    (tmp_path / "robot.yaml").write_text(SHIPPED.read_text().replace("eef_frame:", "eef_fram:"))
    with pytest.raises(RobotError, match="field 'eef_fram': no such field; did you mean 'eef_frame'?"):
        RobotDescription.from_yaml(tmp_path / "robot.yaml")


def test_an_unknown_robot_is_refused_with_the_known_ones():
    with pytest.raises(RobotError, match="known robots: .*dual_fr3_mujoco"):
        RobotDescription.load("nobody")


def test_a_file_that_is_not_yaml_is_refused(tmp_path):
    file = tmp_path / "robot.yaml"
    file.write_text("left: [")
    with pytest.raises(RobotError, match="is not YAML"):
        RobotDescription.from_yaml(file)


def test_a_missing_urdf_is_refused_with_a_remedy(tmp_path):
    robot = RobotDescription.from_yaml(changed(tmp_path, "urdf", "/nowhere/arm.urdf"))
    with pytest.raises(RobotError, match="/nowhere/arm.urdf .* does not exist; install"):
        DualArmKinematics(robot)


def test_a_urdf_of_a_package_that_is_not_installed_is_refused(tmp_path):
    robot = RobotDescription.from_yaml(changed(tmp_path, "urdf", "python://no_such_package/arm.urdf"))
    with pytest.raises(RobotError, match="no package 'no_such_package'; install it"):
        robot.urdf_path()


def test_the_arms_are_mirrored_across_the_table():
    robot = RobotDescription.load("dual_fr3_mujoco")
    left, right = DualArmKinematics(robot).poses(robot.home)
    np.testing.assert_allclose(left[:3] - robot.left.base_position, right[:3] - robot.right.base_position, atol=1e-12)


def test_robot_that_extends_another_differs_in_what_it_says_only():
    whole, other = (RobotDescription.load(name) for name in ("dual_fr3_mujoco", "dual_fr3_forward"))
    assert other.left.controller.kind == other.right.controller.kind == "forward"
    assert other.left.controller.node == "/left_arm_position_controller"

    def rest(robot):
        return robot.model_dump(exclude={"name": True, "left": {"controller"}, "right": {"controller"}})

    assert rest(whole) == rest(other)


def extending(tmp_path, text):
    changed(tmp_path, "left", "controller", {"kind": "forward", "topic": "/left/commands", "rate": 50.0})
    file = tmp_path / "other.yaml"
    file.write_text(text)
    return file


def test_section_of_another_kind_replaces_the_whole_section(tmp_path):
    text = "{extends: robot, left: {controller: {kind: jtc, topic: /left/joint_trajectory}}}"
    assert RobotDescription.from_yaml(extending(tmp_path, text)).left.controller.kind == "jtc"


def test_section_without_a_kind_changes_only_what_it_names(tmp_path):
    controller = RobotDescription.from_yaml(
        extending(tmp_path, "{extends: robot, left: {controller: {rate: 200.0}}}")
    ).left.controller
    assert (controller.kind, controller.topic, controller.rate) == ("forward", "/left/commands", 200.0)


def test_robot_that_extends_nothing_known_is_refused(tmp_path):
    with pytest.raises(RobotError, match=r"nobody\.yaml does not exist"):
        RobotDescription.from_yaml(extending(tmp_path, "extends: nobody"))


def test_robot_that_extends_one_that_extends_is_refused(tmp_path):
    with pytest.raises(RobotError, match="'extends' must name a whole description"):
        RobotDescription.from_yaml(extending(tmp_path, "extends: other"))
