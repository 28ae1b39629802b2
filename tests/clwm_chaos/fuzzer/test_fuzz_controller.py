"""The fuzzer's controller commands what the simulated joint_trajectory_controller does, and refuses what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_chaos.fuzzer.controller import KnotController
from clwm_common.control.joint_trajectory_controller import JointTrajectoryController, TrajectoryRefused
from clwm_common.control.trajectory import JointState, JointTrajectory
from clwm_sai_executor.events import SendTrajectory

NAMES = tuple(f"joint{index}" for index in range(7))
NOWHERE = JointState(np.zeros(7), np.zeros(7))


class Both:
    """The two controllers side by side."""

    def __init__(self):
        start = np.linspace(-1.0, 1.0, 7)
        self.knots, self.full = KnotController(start), JointTrajectoryController(NAMES, start)
        self._updated_at, self._set_by = 0.0, 0.0

    def receive(self, message, now):
        """Whether they take the message; they must agree."""
        full = JointTrajectory.from_arrays(
            NAMES, message.times_from_start, message.positions, message.velocities, stamp=message.stamp
        )
        taken = []
        for receive, what in ((self.knots.receive, message), (self.full.receive, full)):
            try:
                receive(what, now)
                taken.append(True)
            except TrajectoryRefused:
                taken.append(False)
        assert taken[0] == taken[1], taken
        self.compare(now)
        return taken[0]

    def set_clock(self, seconds):
        self.knots.set_clock(seconds)
        self._set_by += seconds

    def compare(self, now):
        steady = now - self._set_by
        late, self._updated_at = steady - self._updated_at, steady
        found, expected = self.knots.sample(now), self.full.update(now, 0.0, NOWHERE, late)
        np.testing.assert_allclose(found[0], expected.positions, atol=1e-11)
        np.testing.assert_allclose(found[1], expected.velocities, atol=1e-9)


def message(rng, now, count, ends_at_rest=True):
    times = np.cumsum(rng.uniform(0.02, 0.1, count))
    velocities = rng.uniform(-1.0, 1.0, (count, 7))
    if ends_at_rest:
        velocities[-1] = 0.0
    stamp = now - times[0] - rng.uniform(0.0, 0.2)
    return SendTrajectory("left", stamp, rng.uniform(-2.0, 2.0, (count, 7)), velocities, times)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), counts=st.lists(st.integers(1, 20), min_size=1, max_size=5))
def test_commands_are_those_of_the_joint_trajectory_controller(seed, counts):
    rng, both, now = np.random.default_rng(seed), Both(), 1000.0
    for count in counts:
        both.receive(message(rng, now, count, ends_at_rest=bool(rng.random() < 0.9)), now)
        for _ in range(6):
            now += rng.uniform(0.0, 0.3)
            both.compare(now)
        seconds = rng.uniform(-5.0, 5.0)
        both.set_clock(seconds)
        now += seconds
        both.compare(now)


@pytest.mark.parametrize("spoil", ["nan", "stamp", "times", "moving", "over"])
def test_what_the_joint_trajectory_controller_refuses_changes_nothing(spoil):
    both, rng = Both(), np.random.default_rng(1)
    good = message(rng, 10.0, 8)
    assert both.receive(good, 10.0)
    values = {name: np.array(getattr(good, name)) for name in ("positions", "velocities", "times_from_start")}
    stamp = good.stamp
    match spoil:
        case "nan":
            values["positions"][3, 2] = np.nan
        case "stamp":
            stamp = np.inf
        case "times":
            values["times_from_start"][3] = values["times_from_start"][2]
        case "moving":
            values["velocities"][-1, 0] = 0.1
        case "over":
            stamp -= 10.0
    assert not both.receive(SendTrajectory("left", stamp, **values), 10.05)
    both.compare(10.1)


def test_joints_at_rest_have_no_velocity_at_all():
    controller = KnotController(np.zeros(7))
    position = np.linspace(-1.0, 1.0, 7) / 3.0
    knots = np.repeat(position[None], 3, axis=0)
    controller.receive(SendTrajectory("left", 9.9, knots, np.zeros((3, 7)), np.array([0.0, 0.05, 0.3])), 10.0)
    assert not any(controller.sample(10.0 + at)[1].any() for at in np.linspace(0.0, 0.19, 50))


def test_message_that_begins_in_the_future_is_refused():
    knots = np.zeros((2, 7))
    with pytest.raises(TrajectoryRefused, match="begins 1.0000 s from now"):
        KnotController(np.zeros(7)).receive(SendTrajectory("left", 11.0, knots, knots, np.array([0.0, 0.1])), 10.0)
