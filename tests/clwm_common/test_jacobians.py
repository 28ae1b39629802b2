"""The arms' Jacobians against finite differences of their forward kinematics."""

import numpy as np
import pytest

from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics


@pytest.fixture(scope="module")
def arms():
    robot = RobotDescription.load("dual_fr3_mujoco")
    return DualArmKinematics(robot), robot.home


def test_linear_part_is_the_derivative_of_the_position_in_the_world(arms):
    kinematics, home = arms
    jacobian, step = kinematics.jacobians(home), 1e-6
    for joint in range(14):
        moved = home + step * np.eye(14)[joint]
        numeric = (kinematics.poses(moved)[:, :3] - kinematics.poses(home)[:, :3]) / step
        np.testing.assert_allclose(jacobian[joint // 7, :3, joint % 7], numeric[joint // 7], atol=1e-5)
        assert np.abs(numeric[1 - joint // 7]).max() == 0.0


def test_angular_part_turns_the_tool_about_the_last_joints_axis(arms):
    kinematics, home = arms
    # The last axis of a hand that points straight down is the world's downward vertical.
    np.testing.assert_allclose(kinematics.jacobians(home)[0, 3:, 6], [0.0, 0.0, -1.0], atol=0.02)
