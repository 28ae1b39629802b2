"""How arms are reached by libfranka, as their robot's file says it."""

import pytest
import yaml

from clwm_common.robot.description import RobotDescription, RobotError, config_directory
from clwm_common.robot.libfranka import Libfranka

ROBOTS = config_directory() / "robots"


@pytest.fixture
def robot_with(tmp_path):
    def robot_with(*path_and_value):
        *path, last, value = path_and_value
        data = yaml.safe_load((ROBOTS / "dual_fr3_libfranka.yaml").read_text())
        place = data
        for key in path:
            place = place[key]
        place[last] = value
        (tmp_path / "dual_fr3_mujoco.yaml").write_text((ROBOTS / "dual_fr3_mujoco.yaml").read_text())
        (tmp_path / "robot.yaml").write_text(yaml.safe_dump(data))
        return RobotDescription.from_yaml(tmp_path / "robot.yaml")

    return robot_with


def test_the_shipped_one_is_simulated_and_each_part_has_a_topic_of_its_own():
    robot = RobotDescription.load("dual_fr3_libfranka")
    assert robot.is_simulated and len(robot.joint_sources()) == 4


@pytest.mark.parametrize(
    ("address", "is_simulated"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("localhost", True), ("172.16.0.2", False), ("arm.lab", False)],
)
def test_only_an_address_of_this_machine_is_a_simulations(address, is_simulated):
    assert Libfranka(address=address).is_simulated is is_simulated


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("left", "libfranka", "address", "127.0.0.2"), "address of both arms is 127.0.0.2; expected one for each"),
        (("left", "libfranka", "address", "172.16.0.2"), "both arms are real, or neither"),
        (("left", "libfranka", None), "left has no libfranka; give its address"),
        (("right", "joint_states_topic", ""), "give the right arm and its gripper a joint_states_topic each"),
        (("left", "gripper", "command", {"kind": "topic", "name": "/left_hand/opening"}), "type: MoveGripper"),
        (("left", "controller", {"kind": "forward", "topic": "/left_arm/commands"}), "takes trajectories"),
        (("left", "libfranka", "collision", {"torque": [0.0] * 7}), "greater than 0"),
        (("left", "libfranka", "payload", {"mass": 30.0}), "less than or equal to 3"),
    ],
)
def test_what_libfranka_could_not_move_is_refused_with_the_field(robot_with, change, reason):
    with pytest.raises(RobotError, match=reason):
        robot_with(*change)
