"""One arm's cycles: trajectories as the controller follows them, by the robot's own milliseconds."""

import numpy as np
import pytest

from clwm_common.control.joint_trajectory_controller import TrajectoryRefused
from clwm_common.control.trajectory import JointTrajectory
from clwm_common.robot.description import RobotDescription
from clwm_franka.arm_control import ELSEWHERE_FOR, ArmControl

ROBOT = RobotDescription.load("dual_fr3_mujoco")
NAMES, HOME = ROBOT.left.joint_names, np.array(ROBOT.left.home)
GOAL = HOME + 0.1


@pytest.fixture
def control():
    return ArmControl(NAMES, ROBOT.limits, HOME)


def trajectory(positions=GOAL, seconds=1.0, stamp=0.0):
    return JointTrajectory.from_arrays(NAMES, [seconds], [positions], np.zeros((1, 7)), stamp=stamp)


def run(control, cycles, start=0, since=1, follows=True, set_point=HOME):
    for cycle in range(start, start + cycles):
        set_point_before = set_point
        set_point = control.cycle(0.001 * since * (cycle + 1), since, set_point_before if follows else HOME)
    return set_point


def test_a_trajectory_is_followed_to_its_end_and_held(control):
    control.receive(trajectory(), 0.0)
    assert not control.is_at_rest or run(control, 500) is not None
    np.testing.assert_allclose(run(control, 1500), GOAL, atol=1e-4)
    assert control.is_at_rest and control.missed == 0


def test_missed_cycles_are_counted_and_made_up_for(control):
    control.receive(trajectory(), 0.0)
    np.testing.assert_allclose(run(control, 300, since=5), GOAL, atol=1e-3)
    assert control.missed == 300 * 4 and control.cycles == 1500


def test_commands_are_the_same_whether_cycles_were_missed_or_not(control):
    other = ArmControl(NAMES, ROBOT.limits, HOME)
    for each in (control, other):
        each.receive(trajectory(), 0.0)
    np.testing.assert_allclose(run(control, 400), run(other, 100, since=4), atol=2e-3)


def test_what_the_controller_refuses_changes_nothing(control):
    with pytest.raises(TrajectoryRefused, match="expected finite numbers"):
        control.receive(trajectory(positions=np.full(7, np.nan)), 0.0)
    np.testing.assert_array_equal(run(control, 10), HOME)


def test_an_arm_that_something_else_leads_is_followed_and_its_trajectory_dropped(control):
    control.receive(trajectory(), 0.0)
    elsewhere = HOME - 0.3
    for cycle in range(round(ELSEWHERE_FOR / 0.001) + 5):
        command = control.cycle(0.001 * (cycle + 1), 1, elsewhere)
    assert control.taken_over == 1
    np.testing.assert_allclose(command, elsewhere, atol=1e-6)


def test_a_trajectory_that_came_after_the_arm_was_led_elsewhere_is_kept(control):
    elsewhere = HOME - 0.3
    for cycle in range(20):
        control.cycle(0.001 * (cycle + 1), 1, elsewhere)
    control.receive(trajectory(positions=elsewhere + 0.05), 0.02)
    command = elsewhere
    for cycle in range(20, 2000):
        command = control.cycle(0.001 * (cycle + 1), 1, elsewhere if cycle < 80 else command)
    np.testing.assert_allclose(command, elsewhere + 0.05, atol=1e-3)


def test_a_set_point_that_is_a_few_cycles_old_is_not_taken_for_being_led(control):
    control.receive(trajectory(positions=HOME + 1.0, seconds=1.0), 0.0)
    history = [HOME] * 5
    for cycle in range(1500):
        history.append(control.cycle(0.001 * (cycle + 1), 1, history[-5]))
    assert control.taken_over == 0
