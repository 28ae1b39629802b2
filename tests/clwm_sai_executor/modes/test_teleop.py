"""A human takes the arms over, steers them, and gives them back."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clwm_common.actions import GRIPPERS, JOINTS
from clwm_common.messages import MemoryPolicy, Mode
from clwm_sai_executor import events
from clwm_sai_executor.checks.clearance import margins_of
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.modes.steering import DELAY
from clwm_sai_executor.phase import Phase
from clwm_sai_executor.scheduler import Scheduler


def wave(stack, size=0.15, seconds=2.0):
    """A smooth motion of all joints that begins where they are."""
    start = stack.controller.sample(stack.now)[0]
    return lambda time: start + size * (1.0 - np.cos(2.0 * np.pi * time / seconds))


class Watched:
    """Commands of the controllers every 5 ms, also across messages that replace one another."""

    def __init__(self, stack):
        self.stack, self.samples = stack, []
        measure = stack.measure

        def measure_and_keep():
            self.samples.append((stack.now, *stack.controller.sample(stack.now)))
            return measure()

        stack.measure = measure_and_keep

    def check(self, limits):
        instants, q, v, a = (np.array(part) for part in zip(*self.samples, strict=True))
        step = np.diff(instants)[:, None]
        assert (np.abs(v) <= limits.velocity + 1e-6).all()
        assert (np.abs(a) <= limits.acceleration + 1e-6).all()
        assert (q >= limits.lower - 1e-9).all() and (q <= limits.upper + 1e-9).all()
        jumps = np.abs(np.diff(q, axis=0)) - (np.abs(v[:-1]) * step + limits.acceleration * step**2)
        assert jumps.max() < 1e-6, "position jumps where a message replaces another"
        assert (np.abs(np.diff(v, axis=0)) <= limits.acceleration * step + 1e-6).all()


def test_human_takes_moving_arms_over_without_a_jump_and_the_branch_in_flight_is_dropped(stack, limits):
    stack.begin()
    stack.answer(speed=0.4)
    watched = Watched(stack)
    stack.run_until(stack.now + 0.3)
    pending = stack.requests[-1]
    stack.take_over()
    assert stack.cancelled == [pending.chunk_id]
    stack.steer(wave(stack), 1.0)
    assert stack.scheduler.phase is Phase.STEERED and len(stack.requests) == pending.chunk_id
    watched.check(limits)


@pytest.mark.parametrize("period", [0.005, 0.02, 0.05])
def test_arms_follow_the_hand_at_any_rate_a_tenth_of_a_second_behind(stack, limits, period):
    stack.begin()
    stack.take_over()
    start, hand = stack.now, wave(stack)
    watched = Watched(stack)
    stack.steer(hand, 2.5, period)
    watched.check(limits)
    instants, q, _, a = (np.array(part) for part in zip(*watched.samples, strict=True))
    later = instants > start + 0.5
    wanted = np.array([hand(instant - start - DELAY) for instant in instants[later]])
    assert np.abs(q[later] - wanted).max() < 0.02, "at a speed of up to 0.47 rad/s"
    assert np.abs(a[later]).max() < 4.0, "the hand itself has 1.5 rad/s^2"


@pytest.mark.parametrize("end", ["release", "silence", "another order"])
def test_arms_brake_at_once_and_hold_when_the_human_is_gone(stack, limits, end):
    stack.begin()
    stack.take_over()
    watched = Watched(stack)
    start = stack.robot.home
    stack.steer(lambda time: start + 1.0 * time, 0.6)
    assert stack.controller.sample(stack.now)[1].max() > 0.9
    gone_at, at = stack.now, stack.controller.sample(stack.now)[0]
    if end == "release":
        stack.ask(dead_man=False)
    elif end == "another order":
        stack.hold()
    else:
        stack.run_until(gone_at + 0.18, 0.005)
        assert stack.scheduler.mode is Mode.TELEOP
        stack.run_until(gone_at + 0.2, 0.005)
        assert stack.scheduler.mode is Mode.HOLD
        gone_at, at = stack.now, stack.controller.sample(stack.now)[0]
    while stack.controller.sample(stack.now)[1].any():
        stack.run_until(stack.now + 0.005, 0.005)
    assert stack.now - gone_at < 0.4 and np.abs(stack.controller.sample(stack.now)[0] - at).max() < 0.15
    stack.run_until(stack.now + 0.5, 0.005)
    watched.check(limits)
    status = stack.modes[-1]
    assert status.mode is Mode.HOLD and status.owner == "" and status.reason
    stack.ask()
    assert stack.scheduler.phase is Phase.IDLE, "holding the switch again is not enough"


def test_policy_goes_on_from_where_the_human_left_the_arms_and_learns_how_they_got_there(stack):
    stack.measure()
    stack.do(events.TaskSet("lift the tray", episode_seed=7))
    stack.answer(speed=0.3)
    epoch = stack.scheduler.task_epoch
    stack.run_until(stack.now + 0.2)
    stack.take_over()
    stack.steer(wave(stack), 1.2)
    path = stack.scheduler.path
    stack.resume()
    assert stack.scheduler.phase is Phase.STOPPING
    stack.run_until(stack.now + 1.0)
    request = stack.requests[-1]
    assert stack.scheduler.phase is Phase.ASKED and request.at_rest
    assert (request.task_epoch, request.episode_seed, request.memory_policy) == (epoch, 7, MemoryPolicy.KEEP)
    left = stack.controller.sample(stack.now)[0]
    np.testing.assert_allclose(request.committed_prefix[:, JOINTS], left[None], atol=1e-6)
    assert request.executed_rows.shape == (12, 30)
    np.testing.assert_allclose(request.executed_rows[-1, JOINTS], left, atol=1e-6)
    steered = np.array([position for position in path.positions], dtype=np.float32)
    for row in request.executed_rows[:3, JOINTS]:
        assert np.abs(steered - row).max(axis=1).min() < 1e-6
    stack.answer(speed=0.2)
    assert stack.scheduler.phase is Phase.MOVING
    assert len(stack.requests[-1].executed_rows) <= 12


def test_steering_with_a_rest_in_between_is_told_to_the_policy_as_one(stack):
    stack.begin()
    stack.answer(speed=0.3)
    stack.run_until(stack.now + 0.2)
    stack.take_over()
    stack.steer(wave(stack), 0.5)
    still = stack.controller.sample(stack.now)[0]
    stack.steer(lambda time: still, 1.0)
    resting = stack.controller.sample(stack.now)[0]
    stack.steer(lambda time: still + min(0.1 * time, 0.02), 0.3)
    stack.resume()
    stack.run_until(stack.now + 1.0)
    rows = stack.requests[-1].executed_rows
    assert len(rows) == 12
    gaps = np.abs(rows[:, JOINTS] - resting).max(axis=1)
    assert gaps[0] < 1e-3 < gaps[-1], "the rest, and what came after it"


def test_task_set_while_a_human_steers_waits_for_the_hand_back(stack):
    stack.begin()
    stack.take_over()
    stack.steer(wave(stack), 0.3)
    stack.do(events.TaskSet("place the block", MemoryPolicy.RESTORE))
    assert stack.scheduler.phase is Phase.STEERED and len(stack.requests) == 1
    stack.resume()
    stack.run_until(stack.now + 1.0)
    request = stack.requests[-1]
    assert (request.task_epoch, request.instruction) == (2, "place the block")
    assert request.memory_policy is MemoryPolicy.RESTORE and len(request.executed_rows) == 0


def test_source_that_is_not_where_the_arms_are_gets_them_only_when_it_is(stack):
    stack.begin()
    stack.ask(stack.robot.home + 0.7)
    stack.do(events.ModeSet(Mode.TELEOP))
    assert stack.scheduler.mode is Mode.POLICY and "bring the source to where the arms are" in stack.reports[-1]
    stack.now += 0.02
    stack.take_over()
    assert stack.scheduler.mode is Mode.TELEOP


BROKEN = {
    "NaN": (lambda q: {"joints": q * np.nan}, "not finite"),
    "a leap": (lambda q: {"joints": q + 0.6}, "rad from the arms or the target before it"),
    "another layout": (lambda q: {"layout_version": 2}, "layout version 2"),
    "nothing asked": (lambda q: {"valid": np.zeros(30, np.bool_)}, "asks for 0 joints"),
    "half an arm": (lambda q: {"valid": np.arange(30) == 16}, "asks for 1 joints"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_target_stops_the_arms_and_the_reason_is_latched(stack, what):
    change, reason = BROKEN[what]
    stack.begin()
    stack.take_over()
    stack.steer(wave(stack), 0.4)
    stack.ask(**change(stack.controller.sample(stack.now)[0]))
    assert stack.scheduler.mode is Mode.HOLD and reason in stack.scheduler.fault
    stack.run_until(stack.now + 1.0)
    assert not stack.controller.sample(stack.now)[1].any()
    stack.resume()
    assert stack.scheduler.fault == ""


def test_grippers_follow_the_human_and_stay_when_they_are_not_asked_for(stack):
    stack.begin()
    stack.take_over()
    home = stack.robot.home
    valid = np.zeros(30, np.bool_)
    valid[GRIPPERS] = True
    target = np.zeros(30, np.float32)
    target[GRIPPERS] = [0.0, 0.05]
    for _ in range(20):
        stack.run_until(stack.now + 0.02)
        stack.ask(target=target, valid=valid)
    for _ in range(20):
        stack.run_until(stack.now + 0.02)
        stack.ask(home)
    assert [(arm, width) for _, arm, width in stack.gripper_moves] == [("left", 0.0), ("right", pytest.approx(0.05))]
    assert np.abs(stack.controller.sample(stack.now)[1]).max() < 1e-9


def test_arm_that_is_not_asked_for_comes_to_rest_while_the_other_follows(stack):
    stack.begin()
    stack.answer(speed=0.5)
    stack.run_until(stack.now + 0.3)
    valid = np.zeros(30, np.bool_)
    valid[14:21] = True
    stack.ask(valid=valid)
    stack.do(events.ModeSet(Mode.TELEOP))
    start = stack.controller.sample(stack.now)[0]
    for index in range(50):
        stack.run_until(stack.now + 0.02)
        stack.ask(start + 0.006 * index, valid=valid)
    position, velocity, _ = stack.controller.sample(stack.now)
    assert velocity[:7].min() > 0.25 and np.abs(velocity[7:]).max() < 1e-4
    assert np.abs(position[7:] - start[7:]).max() < 0.05


def test_human_who_reaches_too_far_finds_the_arms_stopped_before_it(stack, robot):
    margins = margins_of(robot)
    stack.scheduler = Scheduler(robot, SchedulerConfig(), margins=margins)
    stack.begin()
    stack.take_over()
    start = robot.home
    down = np.tile([0.0, 0.45, 0.0, -0.2, 0.0, 0.0, 0.0], 2)
    stack.steer(lambda time: start + down * time, 4.0)
    assert stack.scheduler.mode is Mode.TELEOP
    for instant in (stack.now, stack.now + 5.0):
        left = min(values[0] for values in vars(margins(stack.controller.sample(instant)[0][None])).values())
        assert -1e-4 <= left < 0.05, "as far as the arms may go, and not farther"


def test_mode_is_told_once_for_every_change_with_owner_reason_and_instant(stack):
    stack.begin()
    stack.run_until(stack.now + 0.1)
    stack.take_over()
    taken_at = stack.now
    stack.steer(wave(stack), 0.2)
    stack.ask(dead_man=False)
    stack.run_until(stack.now + 0.5)
    told = [(status.mode, status.owner, status.task_epoch) for status in stack.modes]
    assert told == [
        (Mode.POLICY, "policy", 0),
        (Mode.POLICY, "policy", 1),
        (Mode.TELEOP, "leader", 1),
        (Mode.HOLD, "", 1),
    ]
    assert stack.modes[2].stamp == taken_at and "let go" in stack.modes[3].reason


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1))
def test_no_hand_however_wild_moves_the_arms_beyond_their_limits(robot, make_stack, limits, seed):
    rng = np.random.default_rng(seed)
    stack = make_stack()
    stack.begin()
    stack.take_over()
    watched = Watched(stack)
    wish = robot.home.copy()
    for _ in range(60):
        for _ in range(rng.integers(1, 12)):
            stack.now += 0.005
            stack.measure()
        wish = wish + rng.normal(0.0, 0.12, 14).clip(-0.45, 0.45)
        wish = np.clip(wish, limits.lower + 0.01, limits.upper - 0.01)
        stack.ask(wish, stamp=stack.now - rng.uniform(0.0, 0.05))
    watched.check(limits)
