"""The simulation driven by joint commands, as the hardware of controllers that are not its own."""

import numpy as np
import pytest

from clwm_common.control.joint_trajectory_controller import JointTrajectoryController
from clwm_common.control.trajectory import JointState, JointTrajectory
from clwm_common.robot.description import RobotDescription
from clwm_sim.controllers.forward_controller import CommandRefused
from clwm_sim.controllers.joint_commands import ArmCommand, JointCommands
from clwm_sim.controllers.robot_control import RobotControl
from clwm_sim.world import World

ROBOT = RobotDescription.load("dual_fr3_ros2_control")
LEFT, FINGER = ROBOT.left.joint_names, ROBOT.left.gripper.finger_joint
PERIOD = 0.01  # s of the controller manager


@pytest.fixture
def commands():
    return JointCommands(ROBOT)


def test_joints_are_told_apart_by_name_in_any_order(commands):
    names = [FINGER, *reversed(LEFT)]
    (found,) = commands.read(names, [0.03, *map(float, range(7))])
    assert found == ArmCommand(0, [6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0], 0.06)


def test_both_arms_may_come_in_one_message_and_a_hand_alone(commands):
    both = list(commands.read(ROBOT.joint_names, [0.1] * 14))
    assert [(it.arm, it.opening) for it in both] == [(0, None), (1, None)]
    assert list(commands.read([ROBOT.right.gripper.finger_joint], [0.01])) == [ArmCommand(1, None, 0.02)]


@pytest.mark.parametrize(
    ("names", "positions", "reason"),
    [
        ([*LEFT, FINGER], [0.0] * 7, "8 names and 7 positions"),
        ([*LEFT[:6], LEFT[5]], [0.0] * 7, "a joint is named twice"),
        ([*LEFT, "elbow"], [0.0] * 8, "joint 'elbow' is not one of the robot's"),
        (LEFT[:6], [0.0] * 6, "joint 'left_fr3_joint7' is missing"),
    ],
)
def test_a_command_that_does_not_fit_is_refused_with_its_defect(commands, names, positions, reason):
    with pytest.raises(CommandRefused, match=reason):
        commands.read(names, positions)


def test_a_trajectory_controller_elsewhere_moves_the_arm_along_its_path(commands):
    """Executor, a controller manager of 100 Hz, its commands by name, and the simulation behind them."""
    world = World("lift_tray", robot=ROBOT)
    control = RobotControl(world, ROBOT, origin=100.0)
    start, _ = world.setpoint()
    controller = JointTrajectoryController(LEFT, start[:7])
    goal = start[:7] + [0.3, 0.0, 0.0, -0.2, 0.0, 0.0, 0.4]
    path = JointTrajectory.from_arrays(LEFT, [1.0], [goal], [np.zeros(7)], stamp=100.1)
    controller.receive(path, 100.0)
    behind = []
    for cycle in range(160):
        now = 100.0 + cycle * PERIOD
        measured = world.measured()
        command = controller.update(now, PERIOD, JointState(measured.positions[:7], measured.velocities[:7]))
        for each in commands.read(LEFT, command.positions.tolist()):
            control.receive_positions(each.arm, each.positions, now)
        control.advance(now + PERIOD)
        behind.append(np.abs(world.measured().positions[:7] - command.positions).max())
    np.testing.assert_allclose(world.measured().positions[:7], goal, atol=2e-3)
    # 20 ms of the drives and one cycle behind a motion of at most 0.6 rad/s.
    assert max(behind) < 0.03
