"""One test per rule of the forward_command_controller's topic."""

import numpy as np
import pytest

from clwm_common.control.joint_trajectory_controller import TrajectoryRefused
from clwm_common.control.trajectory import JointState, JointTrajectory
from clwm_common.robot.description import RobotDescription
from clwm_sim.controllers.drive import StreamDrive
from clwm_sim.controllers.forward_controller import CommandRefused, ForwardCommandController
from clwm_sim.controllers.robot_control import RobotControl
from clwm_sim.world import World

MEASURED = JointState(np.full(3, 9.0), np.zeros(3))


@pytest.fixture
def controller():
    return ForwardCommandController(np.array([1.0, 2.0, 3.0]))


def commanded(controller, now=0.0):
    return controller.update(now, 0.001, MEASURED).positions.tolist()


def test_before_the_first_command_the_position_is_held(controller):
    assert commanded(controller) == [1.0, 2.0, 3.0]


def test_last_command_wins_at_once_and_is_held_for_ever(controller):
    controller.receive([4.0, 5.0, 6.0], 0.0)
    controller.receive([7.0, 8.0, 9.0], 0.0)
    assert commanded(controller) == commanded(controller, 1e6) == [7.0, 8.0, 9.0]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ([1.0] * 2, "2 positions for 3 joints"),
        ([], "0 positions for 3 joints"),
        ([0.0, np.nan, 0.0], "finite"),
        ([0.0, 0.0, -np.inf], "finite"),
    ],
)
def test_refused_command_changes_nothing(controller, command, reason):
    controller.receive([4.0, 5.0, 6.0], 0.0)
    with pytest.raises(CommandRefused, match=reason):
        controller.receive(command, 0.0)
    assert commanded(controller) == [4.0, 5.0, 6.0]


def test_command_is_acted_upon_when_it_has_arrived_and_not_before(controller):
    controller.receive([4.0, 5.0, 6.0], 1.0)
    controller.receive([7.0, 8.0, 9.0], 1.01)
    assert commanded(controller, 0.999) == [1.0, 2.0, 3.0]
    assert commanded(controller, 1.005) == [4.0, 5.0, 6.0]
    assert commanded(controller, 1.01) == [7.0, 8.0, 9.0]


def test_reset_drops_the_command(controller):
    controller.receive([4.0, 5.0, 6.0], 0.0)
    controller.reset(np.zeros(3))
    assert commanded(controller) == [0.0, 0.0, 0.0]


def test_command_is_a_copy(controller):
    command = [4.0, 5.0, 6.0]
    controller.receive(command, 0.0)
    command[0] = 99.0
    assert commanded(controller) == [4.0, 5.0, 6.0]


@pytest.fixture(scope="module")
def control():
    robot = RobotDescription.load("dual_fr3_forward")
    world = World("lift_tray", 32, 0, robot)
    yield RobotControl(world, robot, origin=100.0)
    world.close()


def test_arms_go_where_they_are_told_and_stay_there(control):
    goal = control._world.setpoint()[0][:7] + 0.02
    control.receive_positions(0, goal.tolist(), control.now)
    control.advance(101.0)
    np.testing.assert_allclose(control._world.measured().positions[:7], goal, atol=0.01)


def test_leap_is_refused_by_the_drives_and_the_arm_stays(control):
    before = control._world.measured().positions[7:].copy()
    with pytest.raises(CommandRefused, match=r"0\.50 rad from those before"):
        control.receive_positions(1, (control._world.setpoint()[0][7:] + 0.5).tolist(), control.now)
    control.advance(control.now + 0.2)
    np.testing.assert_allclose(control._world.measured().positions[7:], before, atol=0.005)


def test_positions_for_an_arm_that_takes_trajectories_are_refused():
    robot = RobotDescription.load("dual_fr3_mujoco")
    world = World("lift_tray", 32, 0, robot)
    with pytest.raises(CommandRefused, match="right arm takes trajectories"):
        RobotControl(world, robot).receive_positions(1, [0.0] * 7, 0.0)
    world.close()


def test_steps_become_a_smooth_motion_that_follows_20_ms_behind_and_does_not_overshoot():
    drive, position = StreamDrive(np.zeros(1)), []
    for step in range(800):
        command = min(step // 4 * 0.01, 1.0)  # a step of 10 mrad every 10 ms, up to 1 rad
        position.append(float(drive.update(np.array([command]), 0.0025)[0]))
    speed = np.diff(position) / 0.0025
    assert max(position) <= 1.0 + 1e-9 and position[-1] == pytest.approx(1.0, abs=1e-6)
    assert speed[100:390] == pytest.approx(1.0, abs=0.15)
    assert position[300] == pytest.approx(300 * 0.0025 - 0.02, abs=0.006)


def test_trajectory_for_an_arm_that_takes_positions_is_refused(control):
    with pytest.raises(TrajectoryRefused, match="left arm takes positions"):
        control.receive_trajectory(0, JointTrajectory((), ()))
