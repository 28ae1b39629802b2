"""What is said of the stack's clock when use_sim_time is set: nothing came, it stands, it went back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_common.clock_watch import FASTEST, ClockWatch, LeapWatch, Pace
from clwm_common.stamps import stamp_problem


def look(instants, uses_sim_time=True):
    """The last word after looks at (steady, ros) instants."""
    watch, said = ClockWatch(0.0), ""
    for steady, ros in instants:
        said = watch.look(steady, ros, uses_sim_time)
    return said


@pytest.mark.parametrize(
    ("instants", "expected"),
    [
        ([(1.0, 0.0)], ""),
        ([(1.0, 0.0), (5.0, 0.0)], "use_sim_time is set and no /clock has come for 5 s; start"),
        ([(1.0, 7.0), (2.0, 8.0)], ""),
        ([(1.0, 7.0), (2.0, 7.3), (3.0, 7.6)], ""),
        ([(1.0, 7.0), (2.0, 7.0), (5.0, 7.0)], "/clock has stood at 7.00 s for 4 s; let the simulation go on"),
        ([(1.0, 7.0), (5.0, 7.0), (6.0, 7.1)], ""),
    ],
)
def test_clock_of_a_simulation_is_judged_by_a_steady_one(instants, expected):
    said = look(instants)
    assert expected in said and bool(said) == bool(expected)


def test_a_leap_of_the_clock_is_told_of_for_ten_seconds():
    watch = ClockWatch(0.0)
    watch.look(1.0, 7.0, True)
    watch.leapt(1.5, -5.0)
    assert "/clock went back by 5.00 s, 0 s ago; look whether two processes publish it" in watch.look(2.0, 2.0, True)
    watch.leapt(3.0, 4.0)
    assert "/clock went forward by 4.00 s at once, 1 s ago" in watch.look(4.0, 8.0, True)
    assert watch.look(14.0, 18.0, True) == ""


def test_a_clock_stands_once_it_has_not_moved_for_two_seconds_and_no_longer_when_it_has():
    watch, seen = ClockWatch(0.0), []
    for steady, ros in [(1.0, 5.0), (2.5, 5.0), (3.5, 5.0), (4.5, 5.1)]:
        watch.look(steady, ros, True)
        seen.append(watch.stands)
    assert seen == [False, False, True, False]


def leaps(readings):
    watch = LeapWatch()
    return [leap for reading in readings if (leap := watch.look(*reading))]


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([(1.0, 0.0), (1.01, 1.7e9)], []),  # the first /clock that comes
        ([(1.0, 5.0), (1.01, 10.01)], [5.01]),
        ([(1.0, 5.0), (1.01, 0.01)], [-4.99]),
        ([(1.0, 5.0), (9.0, 5.01), (9.01, 5.02)], []),  # paused
        ([(1.0, 5.0), (3.0, 7.0), (3.01, 7.01)], []),  # this process was stopped
        ([(1.0, 5.0), (1.01, 5.1), (1.011, 5.05)], []),  # out of order
        ([(1.0, 5.0), (1.01, 65.0), (2.0, 65.9), (2.01, 5.5)], [60.0, -60.4]),
    ],
)
def test_a_clock_that_was_set_is_told_from_one_that_goes_on_a_pause_and_a_stopped_process(readings, expected):
    assert leaps(readings) == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(
    pace=st.floats(0.01, 0.9 * FASTEST),
    gaps=st.lists(st.floats(0.001, 3.0), min_size=1, max_size=30),
    at=st.integers(0, 29),
    leap=st.floats(40.0, 100.0) | st.floats(-100.0, -40.0),
)
def test_at_any_pace_and_however_seldom_it_is_looked_at_only_a_leap_is_one(pace, gaps, at, leap):
    steady, ros, plain, set_once = 0.0, 1000.0, [(0.0, 1000.0)], [(0.0, 1000.0)]
    for index, gap in enumerate(gaps):
        steady, ros = steady + gap, ros + pace * gap
        plain.append((steady, ros))
        set_once.append((steady, ros + (leap if index >= at else 0.0)))
    assert leaps(plain) == []
    assert len(leaps(set_once)) == (at < len(gaps))


def test_the_pace_of_a_clock_is_that_of_the_last_two_seconds_whatever_was_before():
    pace = Pace()
    assert pace.look(0.0, 100.0) == 1.0
    found = [pace.look(0.1 * step, 100.0 + 0.03 * step) for step in range(1, 60)]
    assert found[0] == 1.0 and found[-1] == pytest.approx(0.3)
    faster = [pace.look(6.0 + 0.1 * step, 101.8 + 0.3 * step) for step in range(40)]
    assert faster[-1] == pytest.approx(3.0)
    assert pace.look(10.0, 5.0) == 1.0, "a clock that was set has no pace yet"


def test_a_clock_that_stands_has_the_pace_of_the_machine():
    pace = Pace()
    assert [pace.look(0.5 * step, 7.0) for step in range(10)] == [1.0] * 10


def test_clock_of_the_machine_is_not_judged():
    assert look([(1.0, 7.0), (9.0, 7.0)], uses_sim_time=False) == ""


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        (1.7e9, ""),
        (0.0, "stamps are 0"),
        (1234.5, "its stamp is 1234.500 s where this clock says 1700000000.000 s: another clock"),
        (1.7e9 + 0.4, "0.40 s ahead of this clock; at most 0.02 s expected; synchronise the clocks of both machines"),
        (1.7e9 - 0.4, "0.40 s old on arrival; at most 0.2 s expected"),
        (1.7e9 + 0.015, ""),
        (1.7e9 - 0.19, ""),
    ],
)
def test_stamps_are_judged_by_the_clock_of_who_receives_them(stamp, expected):
    said = stamp_problem(1.7e9, stamp, ahead=0.02, behind=0.2)
    assert expected in said and bool(said) == bool(expected)
