"""The path keeps clear: it is cut where it would come too near, refused where it goes grossly too far."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_common.messages import Mode
from clwm_sai_executor import events
from clwm_sai_executor.checks.chunk_rules import ChunkRefused
from clwm_sai_executor.checks.clearance import ArmShapes, Margins
from clwm_sai_executor.checks.path_check import PathCheck
from clwm_sai_executor.path.splice import Path, splice, stop
from clwm_sai_executor.scheduler import Scheduler

WALL = 0.5  # rad, of joint 0


def wall(joints):
    """A world in which joint 0 must stay below WALL."""
    free = np.full(len(joints), 1.0)
    return Margins(free, WALL - joints[:, 0], free)


@pytest.fixture
def check():
    return PathCheck(wall, gross=0.2)


def at_rest(robot, joint_0=0.0):
    position = robot.home
    position[0] = joint_0
    return Path.at_rest(position, np.full(2, 0.08), 10.0, 0.05)


def rows_to(path, goal, count=15):
    rows = np.repeat(path.positions[-1:], count, axis=0)
    rows[:, 0] = np.linspace(rows[0, 0], goal, count + 1)[1:]
    return rows, np.full((count, 2), 0.08)


def test_clear_path_is_the_plain_splice(check, robot, limits):
    path = at_rest(robot)
    spliced, facts = check.splice(path, 1, *rows_to(path, 0.4), limits)
    assert facts.cut == 0 and spliced.knot(spliced.last_row)[0][0] == pytest.approx(0.4)


@settings(max_examples=30, deadline=None)
@given(start=st.floats(-0.2, 0.5), beyond=st.floats(0.02, 0.15))
def test_path_that_comes_too_near_stops_before(robot, limits, start, beyond):
    path = at_rest(robot, start)
    spliced, facts = PathCheck(wall, gross=0.2).splice(path, 1, *rows_to(path, WALL + beyond), limits)
    assert facts.cut > 0 or spliced.positions[spliced.last_row - spliced.first, 0] <= WALL
    assert spliced.positions[:, 0].max() <= max(WALL, start + 1e-3) + 1e-9
    assert spliced.last_row == 16 and not spliced.velocities[-1].any()


def test_path_that_goes_grossly_too_far_is_refused(check, robot, limits):
    path = at_rest(robot)
    with pytest.raises(ChunkRefused, match="reaches into the table: 0.[34].* m too far"):
        check.splice(path, 1, *rows_to(path, WALL + 0.3), limits)


def test_arms_found_too_near_may_go_away_but_not_nearer(check, robot, limits):
    path = at_rest(robot, WALL + 0.1)
    away, facts = check.splice(path, 1, *rows_to(path, 0.4), limits)
    assert facts.cut == 0 and away.positions[-1, 0] < WALL
    nearer, facts = check.splice(path, 1, *rows_to(path, WALL + 0.15), limits)
    assert facts.cut > 0 and nearer.positions[:, 0].max() <= WALL + 0.1 + 2e-3


def test_arms_that_came_out_may_not_go_back_in_as_far_as_they_were(check, robot, limits):
    path = at_rest(robot, WALL + 0.2)
    rows, openings = rows_to(path, WALL + 0.2)
    rows[:, 0] -= 0.08 * np.sin(np.linspace(0.0, np.pi, 16)[1:])
    there_and_back, facts = check.splice(path, 1, rows, openings, limits)
    nearer = np.maximum.accumulate(-there_and_back.positions[:, 0]) + there_and_back.positions[:, 0]
    assert facts.cut > 0 and nearer.max() <= 1e-4


def test_arms_that_can_follow_no_row_end_as_they_would_have_ended_without_the_chunk(robot, limits):
    path = at_rest(robot)
    path, _ = splice(path, 1, *rows_to(path, 0.6), limits)
    ended = path.positions[path.last_row - path.first :]
    end = ended[:, 0].max() + 1e-6
    check = PathCheck(lambda joints: Margins(np.ones(len(joints)), end - joints[:, 0], np.ones(len(joints))), gross=9.0)
    rows = np.repeat(ended[:1], 12, axis=0)
    rows[:, 0] += 0.06 * np.arange(1, 13)
    held, facts = check.splice(path, path.last_row, rows, np.full((12, 2), 0.08), limits)
    assert facts.cut == 12 and held.last_row == path.last_row + 12 and not held.velocities[-1].any()
    np.testing.assert_array_equal(held.positions[path.last_row - held.first :][: len(ended)], ended)


def test_arms_in_a_braking_tail_that_can_follow_no_row_stay_on_it_where_joints_brake_apart(robot, limits):
    # Joint 4 takes six rows to stop, and joint 0 would run into its position limit if it took as long.
    start = robot.home
    start[0] = limits.upper[0] - 0.13
    velocity = np.zeros(14)
    velocity[[0, 4]] = 1.0, 3.0
    moving = Path(
        10.0, 0.05, 0, np.array([0.0, 0.05]), np.stack([start - 0.05 * velocity, start]),
        np.stack([velocity, velocity]), np.full((2, 2), 0.08), 1,
    )  # fmt: skip
    path = stop(moving, 1, limits)
    end = path.positions[-1, 0] + 1e-6
    assert stop(path, 2, limits).positions[-1, 0] > end, "a stop made anew ends elsewhere, or this shows nothing"
    check = PathCheck(lambda joints: Margins(np.ones(len(joints)), end - joints[:, 0], np.ones(len(joints))), gross=9.0)
    rows = np.repeat(path.positions[-1:], 12, axis=0)
    rows[:, 0] += 0.06 * np.arange(1, 13)
    held, facts = check.splice(path, 2, rows, np.full((12, 2), 0.08), limits)
    assert facts.cut == 12 and held.last_row == 14
    np.testing.assert_array_equal(held.positions[: len(path.positions)], path.positions)


def test_bad_knot_in_the_braking_tail_costs_rows_and_not_the_whole_chunk(robot, limits):
    path = at_rest(robot)
    rows, openings = rows_to(path, 0.6)
    free, _ = splice(path, 1, rows, openings, limits)
    end = (rows[-1, 0] + free.positions[-1, 0]) / 2.0
    check = PathCheck(lambda joints: Margins(np.ones(len(joints)), end - joints[:, 0], np.ones(len(joints))), gross=9.0)
    spliced, facts = check.splice(path, 1, rows, openings, limits)
    assert 0 < facts.cut <= 8 and spliced.positions[:, 0].max() <= end + 1e-4


@pytest.fixture
def guarded(make_stack, robot):
    stack = make_stack()
    stack.scheduler = Scheduler(robot, margins=ArmShapes(robot, robot.safety).margins)
    return stack


def towards_each_other(stack, speed):
    """A chunk in which the arms turn in at their bases."""
    request = stack.requests[-1]
    chunk = stack.chunk(request, speed=0.0)
    prefix = len(request.committed_prefix)
    way = speed * 0.05 * np.arange(1, 17 - prefix)
    chunk.rows[prefix:, 14] -= way
    chunk.rows[prefix:, 21] += way
    return chunk


def test_arms_sent_towards_each_other_stop_apart_and_the_stack_goes_on(guarded, robot):
    guarded.begin()
    for speed in [0.35, 0.35, *[0.06] * 10]:
        guarded.run_until(max(guarded.now, guarded.requests[-1].observe_at) + 0.05)
        guarded.do(events.ChunkArrived(towards_each_other(guarded, speed)))
    guarded.run_until(guarded.now + 3.0)
    assert guarded.scheduler.mode is Mode.POLICY
    assert guarded.scheduler.metrics.summary()["cut_rows"] > 0
    margins = ArmShapes(robot, robot.safety).margins(guarded.controller.sample(guarded.now)[0][None])
    assert -1e-3 <= margins.arms[0] < 0.1


def test_chunk_that_drives_the_arms_through_each_other_is_refused_and_latched(guarded):
    guarded.begin()
    guarded.run_until(guarded.now + 0.05)
    sent = len(guarded.controller.messages)
    guarded.do(events.ChunkArrived(towards_each_other(guarded, 2.5)))
    assert guarded.scheduler.mode is Mode.HOLD and "brings the arms together" in guarded.scheduler.fault
    assert len(guarded.controller.messages) == sent
