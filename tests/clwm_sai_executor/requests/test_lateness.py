"""Lateness of a periodic callback against the instants at which it is due."""

import pytest

from clwm_sai_executor.requests.lateness import Lateness


def run(instants, period=0.02):
    lateness = Lateness(period)
    return [lateness.of(100.0 + instant) for instant in instants][1:]


def test_punctual_ticks_are_not_late():
    assert run([0.0, 0.02, 0.04, 0.06]) == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)


def test_one_late_tick_does_not_make_the_next_one_late():
    assert run([0.0, 0.027, 0.04]) == pytest.approx([0.007, 0.0], abs=1e-9)


def test_ticks_that_were_missed_are_dropped_and_the_gap_is_told():
    assert run([0.0, 0.095, 0.1, 0.12]) == pytest.approx([0.075, 0.0, 0.0], abs=1e-9)


def test_late_first_tick_does_not_hide_the_lateness_of_others():
    assert run([0.006, 0.02, 0.043, 0.06]) == pytest.approx([0.0, 0.003, 0.0], abs=1e-9)
