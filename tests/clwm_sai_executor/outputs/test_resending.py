"""A message that is lost is sent again before it matters, and a repetition never moves an arm by itself."""

import math

import numpy as np
import pytest

from clwm_common.control.joint_trajectory_controller import JointTrajectoryController, TrajectoryRefused
from clwm_common.control.trajectory import JointState, JointTrajectory
from clwm_sai_executor.outputs.resending import Resending
from clwm_sai_executor.path.splice import Path, splice, stop_at

START, STEADY = 1.79e9, 500.0
LEAD, SOON = 0.02, 0.005
TRANSPORT = 0.002
PERIOD = 0.002
TICK = 0.01  # joint states at 100 Hz
NAMES = tuple(f"joint{number}" for number in range(14))


def instants(repeats, seconds, tick=0.001, set_by=lambda steady: 0.0):
    """Seconds after the message at which it is due."""
    steps = tick * np.arange(1, round(seconds / tick) + 1)
    return [round(step, 6) for step in steps if repeats.is_due(START + step + set_by(step), STEADY + step)]


def test_repetitions_come_soon_and_then_ever_more_rarely_until_the_end():
    repeats = Resending(SOON)
    repeats.sent(START, STEADY, START + 1.0)
    found = instants(repeats, 3.0)
    np.testing.assert_allclose(found, [0.005, 0.015, 0.035, 0.075, 0.155, 0.315, 0.635], atol=0.007)
    assert len(found) <= math.log2(1.0 + 1.0 / SOON) and instants(repeats, 3.0) == []


def test_after_a_pause_there_is_one_repetition_and_no_burst():
    repeats = Resending(SOON)
    repeats.sent(START, STEADY, START + 1.0)
    assert repeats.is_due(START + 0.5, STEADY + 0.5) and not repeats.is_due(START + 0.501, STEADY + 0.501)


def test_newer_message_is_repeated_in_place_of_the_one_before():
    repeats = Resending(SOON)
    repeats.sent(START - 0.5, STEADY - 0.5, START + 0.5)
    repeats.sent(START, STEADY, START + 0.02)
    assert len(instants(repeats, 1.0)) == 2


def test_what_was_dropped_or_never_sent_is_not_repeated():
    repeats = Resending(0.0)
    assert instants(repeats, 1.0) == []
    repeats.sent(START, STEADY, START + 1.0)
    repeats.drop()
    assert instants(repeats, 1.0) == []


@pytest.mark.parametrize("seconds", [-0.3, 0.3, 5.0])
def test_nothing_is_repeated_once_the_clock_was_set(seconds):
    """A controller takes a repetition as of the new clock, and would leap from where a steady clock has led it."""
    repeats = Resending(SOON)
    repeats.sent(START, STEADY, START + 1.0)
    found = instants(repeats, 2.0, set_by=lambda step: seconds if step > 0.1 else 0.0)
    assert found and max(found) <= 0.1


class Link:
    """What reaches a controller of both arms: every message after a while, or only its repetitions."""

    def __init__(self, position, is_lossy, is_repeated=True):
        self._controller = JointTrajectoryController(NAMES, position)
        self._state = JointState(position, np.zeros(14))
        self._is_lossy, self._is_repeated = is_lossy, is_repeated
        self._repeats, self._on_the_way = Resending(SOON), []

    def send(self, now, path):
        times, positions, velocities = path.message(now)
        self._message = JointTrajectory.from_arrays(NAMES, times, positions, velocities, stamp=path.origin)
        self._repeats.sent(now, now, path.time(path.last))
        if not self._is_lossy:
            self._on_the_way.append(now + TRANSPORT)

    def tick(self, now):
        if self._is_repeated and self._repeats.is_due(now, now):
            self._on_the_way.append(now + TRANSPORT)

    def command(self, now):
        while self._on_the_way and self._on_the_way[0] <= now:
            self._on_the_way.pop(0)
            try:
                self._controller.receive(self._message, now)
            except TrajectoryRefused as reason:
                assert "ended at" in str(reason)
        self._state = self._controller.update(now, PERIOD, JointState(self._state.positions, np.zeros(14)))
        return self._state.positions


def commands(robot, limits, links, phase):
    """What every link's controller commands (links, n, 14): a motion, a chunk that goes elsewhere, and a stop."""
    rng = np.random.default_rng(7)
    home, openings = robot.home, np.full((12, 2), 0.04)
    sway = np.cumsum(rng.uniform(-0.04, 0.04, (12, 14)), axis=0)
    path, _ = splice(Path.at_rest(home, openings[0], START + LEAD, 0.05), 6, home + sway, openings, limits)
    paths = [(0.0, path)]
    path, _ = splice(path, path.index_from(START + 0.4 + LEAD), home - sway, openings, limits)
    paths.append((0.4, path))
    paths.append((0.7, stop_at(path, START + 0.7 + LEAD, limits)))
    out = []
    for index in range(round(1.4 / PERIOD)):
        now = START + index * PERIOD
        while paths and now >= START + paths[0][0]:
            for link in links:
                link.send(now, paths[0][1])
            paths.pop(0)
        if index % round(TICK / PERIOD) == phase:
            for link in links:
                link.tick(now)
        out.append([link.command(now) for link in links])
    return np.swapaxes(out, 0, 1)


@pytest.mark.parametrize("phase", range(5))
def test_controller_that_gets_only_repetitions_commands_what_one_does_that_gets_all(robot, limits, phase):
    links = [Link(robot.home, is_lossy) for is_lossy in (False, True)]
    whole, lossy = commands(robot, limits, links, phase)
    assert np.abs(whole - lossy).max() < 1e-3
    assert np.abs(np.diff(lossy, axis=0)).max() < 1.05 * np.abs(np.diff(whole, axis=0)).max()


def test_repetitions_of_a_message_that_arrived_change_no_command(robot, limits):
    links = [Link(robot.home, False, is_repeated) for is_repeated in (False, True)]
    once, again = commands(robot, limits, links, 0)
    assert np.abs(once - again).max() < 1e-6


def test_without_repetitions_a_lost_message_makes_the_command_jump(robot, limits):
    """The fault that repetitions are against: the controller brakes, and leaps when the next message comes."""
    lost = Link(robot.home, False, is_repeated=False)
    whole = Link(robot.home, False, is_repeated=False)
    send, sent = lost.send, []

    def lose_the_second(now, path):
        sent.append(now)
        if len(sent) != 2:
            send(now, path)

    lost.send = lose_the_second
    expected, found = commands(robot, limits, [whole, lost], 0)
    assert np.abs(np.diff(found, axis=0)).max() > 0.05 > 5.0 * np.abs(np.diff(expected, axis=0)).max()
