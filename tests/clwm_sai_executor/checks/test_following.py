"""Arms that do not go where they are sent are noticed, held where they are, and not pulled along afterwards."""

import numpy as np
import pytest

from clwm_common.messages import Mode
from clwm_sai_executor import events
from clwm_sai_executor.checks.following import PATIENCE, Following
from clwm_sai_executor.path.splice import Path


def moving_path(speed=1.0):
    positions = np.zeros((41, 14))
    positions[:, 3] = speed * 0.05 * np.arange(41)
    velocities = np.zeros((41, 14))
    velocities[:, 3] = speed
    return Path(100.0, 0.05, 0, 0.05 * np.arange(41), positions, velocities, np.zeros((41, 2)), 40)


def arms_at(stamp, error):
    positions = np.zeros(14)
    positions[3] = stamp - 100.0 + error
    return events.MeasuredArms(stamp, positions, np.zeros(14), np.zeros(2))


@pytest.mark.parametrize(("error", "is_astray"), [(0.099, False), (-0.099, False), (0.101, True), (-0.101, True)])
def test_arms_farther_from_their_command_than_allowed_are_astray(error, is_astray):
    following = Following(0.1)
    assert following.astray(moving_path(), arms_at(100.5, error)) == "", "a moment is no failure"
    text = following.astray(moving_path(), arms_at(100.51 + PATIENCE, error))
    assert bool(text) is is_astray
    assert not is_astray or "joint 3 is 0.10 rad from its command" in text


def test_arms_that_come_back_in_time_are_not_astray():
    following = Following(0.1)
    for stamp, error in ((100.5, 0.2), (100.52, 0.05), (100.6, 0.2)):
        assert following.astray(moving_path(), arms_at(stamp, error)) == ""


def test_arms_that_are_to_rest_may_be_elsewhere():
    following = Following(0.1)
    for stamp in (102.1, 102.3):
        assert following.astray(moving_path(), arms_at(stamp, 0.5)) == ""
    assert following.astray(None, arms_at(102.5, 0.5)) == ""


def run_deaf(stack, seconds):
    """The controllers hear nothing new: the arms run out the message that they have."""
    heard = stack.controller.last
    end = stack.now + seconds
    while stack.now < end:
        stack.now += 0.01
        position, velocity, _ = stack.controller.sample(stack.now, heard)
        stack.do(events.MeasuredArms(stack.now, position, velocity, stack.widths))
        if stack.requests and stack.scheduler.pending_id and stack.now > stack.requests[-1].observe_at + 0.1:
            stack.do(events.ChunkArrived(stack.chunk(speed=0.5)))
    return position


def test_a_controller_that_ignores_its_commands_ends_in_hold_with_the_reason(stack):
    stack.begin()
    stack.answer(speed=0.5)
    stack.run_until(stack.requests[-1].observe_at)
    run_deaf(stack, 3.0)
    assert stack.scheduler.mode is Mode.HOLD
    assert "do not follow" in stack.scheduler.fault
    assert stack.scheduler.metrics.counted("astray") == 1
    asked = len(stack.requests)
    run_deaf(stack, 3.0)
    assert len(stack.requests) == asked, "HOLD is latched"


def test_a_controller_that_hears_again_is_commanded_from_where_the_arms_are(stack):
    stack.begin()
    stack.answer(speed=0.5)
    stack.run_until(stack.requests[-1].observe_at)
    stuck = run_deaf(stack, 3.0)
    for instant in np.arange(stack.now, stack.now + 1.0, 0.01):
        position, velocity, _ = stack.controller.sample(instant)
        assert np.abs(position - stuck).max() < 0.02 and np.abs(velocity).max() < 0.2
    stack.run_until(stack.now + 0.1)
    stack.resume()
    stack.answer(speed=0.2)
    first = stack.controller.last[0].positions[0]
    assert np.abs(first - stuck[:7]).max() < 0.02


def test_arms_that_are_held_back_while_they_move_stop_without_a_jump_of_their_speed(stack):
    """A contact slows the arms down: the command goes on from their measured speed, and brakes."""
    stack.begin()
    stack.answer(speed=1.0)
    messages = len(stack.controller.messages)
    origin = None
    while stack.scheduler.mode is Mode.POLICY:
        stack.now += 0.01
        position, velocity, _ = stack.controller.sample(stack.now)
        origin = position if origin is None else origin
        slow = origin + (position - origin) * 0.5
        stack.do(events.MeasuredArms(stack.now, slow, velocity * 0.5, stack.widths))
    assert len(stack.controller.messages) == messages + 1
    at, speed, force = stack.controller.sample(stack.now + 0.02)
    assert np.allclose(speed, velocity * 0.5, atol=0.15) and np.abs(at - slow).max() < 0.03
    assert np.abs(force).max() <= 10.0 + 1e-6
    assert not stack.controller.sample(stack.now + 1.0)[1].any()


def test_arms_that_go_astray_do_not_leave_an_emergency_stop(stack):
    stack.begin()
    stack.answer(speed=1.0)
    stack.run_until(stack.now + 0.3)
    stack.do(events.ModeSet(Mode.ESTOP))
    for _ in range(10):
        stack.now += 0.01
        position = stack.controller.sample(stack.now)[0] + 0.15
        stack.do(events.MeasuredArms(stack.now, position, np.zeros(14), stack.widths))
    assert stack.scheduler.mode is Mode.ESTOP
