"""The robot description: what is wrong in a file is named with its field, and the shipped one is complete."""

import numpy as np
import pytest
import yaml

from clwm_common.kinematics import DualArmKinematics
from clwm_common.robot import RobotDescription, RobotError, config_directory, known_robots

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
        assert sorted(places) == list(range(16))


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


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("limits", "velocity", [1.0] * 6), r"'limits\.velocity': .* at least 7"),
        (("limits", "velocity", [1.0] * 6 + [0.0]), "velocity must be positive"),
        (("limits", "position_lower", [9.0] * 7), "position_lower must be below position_upper"),
        (("left", "joint_names", None), r"'left\.joint_names': Field required"),
        (("left", "colour", "red"), r"'left\.colour': Extra inputs are not permitted \(got 'red'\)"),
        (("right", "gripper", "speed", -1.0), r"'right\.gripper\.speed'"),
        (("left", "controller", None), r"'left\.controller': Field required"),
        (("left", "controller", "kind", "effort"), r"'left\.controller': Input tag 'effort' .* 'jtc', 'forward'"),
        (("left", "controller", "topic", "commands"), r"'left\.controller\.jtc\.topic': String should match"),
        (("left", "controller", {"kind": "forward", "topic": "/a/b", "rate": 5.0}), r"rate': .* equal to 20"),
        (("left", "gripper", "command", {"kind": "action"}), r"'left\.gripper\.command\.action\.name': Field required"),
        (("left", "gripper", "command", {"kind": "action", "name": "/g", "type": "Grasp"}), "'GripperCommand' or"),
    ],
)
def test_a_wrong_field_is_named_with_its_path(tmp_path, change, reason):
    with pytest.raises(RobotError, match=reason):
        RobotDescription.from_yaml(changed(tmp_path, *change))


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
