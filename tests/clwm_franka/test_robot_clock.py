"""A robot's instants on the stack's clock."""

import numpy as np
import pytest

from clwm_franka.robot_clock import LEAP, RobotClock


def test_how_late_single_states_come_hardly_moves_their_instants():
    clock, late = RobotClock(), np.random.default_rng(0).uniform(0.0, 0.01, 2000)
    instants = [clock.at(0.001 * n, 100.0 + 0.001 * n + late[n]) for n in range(2000)]
    assert np.abs(np.diff(instants) - 0.001).max() < 1e-4
    assert instants[-1] == pytest.approx(102.0, abs=0.01)


def test_a_clock_that_was_set_or_a_robot_that_stood_still_counts_at_once():
    clock = RobotClock()
    clock.at(1.0, 101.0)
    assert clock.at(1.001, 101.001 + 2.0 * LEAP) == pytest.approx(101.001 + 2.0 * LEAP)


def test_a_robot_that_counts_from_zero_again_does_not_take_the_stack_back():
    clock = RobotClock()
    clock.at(50.0, 150.0)
    assert clock.at(0.001, 150.5) == pytest.approx(150.5)
