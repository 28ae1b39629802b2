"""What is said of the stack's clock when use_sim_time is set: nothing came, it stands, it went back."""

import pytest

from clwm_common.clock_watch import ClockWatch
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
        ([(1.0, 7.0), (2.0, 2.0)], "/clock went back by 5.00 s, 0 s ago; look whether two processes publish it"),
        ([(1.0, 7.0), (2.0, 2.0), *((t, t) for t in range(3, 20))], ""),
    ],
)
def test_clock_of_a_simulation_is_judged_by_a_steady_one(instants, expected):
    said = look(instants)
    assert expected in said and bool(said) == bool(expected)


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
