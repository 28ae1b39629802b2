"""Arms that stand outside their limits are not moved: the first command would be clipped, and they would leap."""

import numpy as np
import pytest

from clwm_common.messages import Mode
from clwm_sai_executor import events
from clwm_sai_executor.checks.clearance import margins_of
from clwm_sai_executor.checks.start import JOINT_TOLERANCE, StartCheck
from clwm_sai_executor.events import MeasuredArms

OPEN = np.array([0.08, 0.08])


def arms_at(positions, widths=OPEN, stamp=1000.0):
    return MeasuredArms(stamp, np.array(positions), np.zeros(14), np.array(widths))


def beyond(robot, place, by):
    positions = robot.home.copy()
    positions[place] = robot.limit("position_upper")[place] + by
    return positions


@pytest.mark.parametrize(("place", "name"), [(3, "left left_fr3_joint4"), (7, "right right_fr3_joint1")])
def test_joint_outside_its_limits_is_named_with_value_limits_and_remedy(robot, place, name):
    said = StartCheck(robot).refusal(arms_at(beyond(robot, place, 0.3)))
    upper = robot.limit("position_upper")[place]
    assert said.startswith(f"joint {name} is at {upper + 0.3:.3f} rad, outside its limits")
    assert f"{upper:.3f} rad" in said and "move it back with the robot's own tools" in said


def test_noise_of_an_encoder_at_a_limit_is_no_refusal(robot):
    assert StartCheck(robot).refusal(arms_at(beyond(robot, 3, 0.9 * JOINT_TOLERANCE))) == ""
    assert StartCheck(robot).refusal(arms_at(beyond(robot, 3, 1.1 * JOINT_TOLERANCE)))


@pytest.mark.parametrize("width", [0.2, -0.02])
def test_gripper_outside_its_range_is_named(robot, width):
    said = StartCheck(robot).refusal(arms_at(robot.home, [0.04, width]))
    assert f"the right gripper is {width:.3f} m open, outside its range 0.000 to 0.080 m" in said


def test_arms_that_start_too_near_or_outside_the_workspace_are_warned_of(robot):
    check = StartCheck(robot, margins_of(robot))
    assert check.warnings(arms_at(robot.home)) == []
    aside = robot.home.copy()
    aside[[0, 3]] = [1.5, -1.2]
    assert any("a tool is" in each and "outside the workspace" in each for each in check.warnings(arms_at(aside)))


@pytest.mark.parametrize("side", [1, -1])
def test_arms_outside_their_limits_are_not_moved_and_the_reason_is_latched(stack, side):
    limits = stack.robot.limit("position_upper" if side > 0 else "position_lower")
    stack.controller.held[3] = limits[3] + side * 0.3
    stack.measure()
    stack.do(events.TaskSet("lift the tray"))
    assert not stack.requests and not stack.controller.messages
    assert stack.scheduler.mode is Mode.HOLD and "joint left left_fr3_joint4 is at" in stack.scheduler.fault
    stack.resume()
    stack.run_until(stack.now + 0.1)
    assert not stack.requests and stack.scheduler.mode is Mode.HOLD
    stack.controller.held[3] = limits[3] - side * 0.1  # moved back, slowly
    stack.run_until(stack.now + 0.05)
    stack.resume()
    stack.run_until(stack.now + 0.1)
    assert stack.requests and stack.scheduler.fault == ""


def test_arms_that_a_reset_leaves_outside_are_not_pulled_back(stack):
    stack.begin()
    stack.answer()
    stack.do(events.EpisodeReset())
    sent = len(stack.controller.messages)
    outside = arms_at(beyond(stack.robot, 3, 0.3), stamp=stack.now + 0.01)
    stack.now += 0.01
    stack.do(outside)
    assert len(stack.controller.messages) == sent


def test_human_cannot_take_over_arms_outside_their_limits(stack):
    stack.controller.held[3] = stack.robot.limit("position_upper")[3] + 0.3
    stack.measure()
    stack.take_over()
    assert stack.scheduler.mode is not Mode.TELEOP and any("outside its limits" in each for each in stack.reports)


def test_joint_that_keeps_a_motion_from_beginning_is_named_with_its_speed(robot):
    arms = arms_at(robot.home)
    arms.velocities[8] = -0.2
    said = StartCheck(robot).unrest(arms)
    assert said.startswith("waits until the arms stand: joint right right_fr3_joint2 moves at -0.20 rad/s, at most")
    assert StartCheck(robot).unrest(arms_at(robot.home)) == ""
