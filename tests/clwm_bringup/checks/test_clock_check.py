"""What preflight says of /clock: missing, standing, leaping, and how fast it goes."""

import pytest

from clwm_bringup.checks.clock_check import ClockCheck
from clwm_bringup.checks.doctor import Outcome


def checked(readings):
    check = ClockCheck(0.0)
    begun = [check.has_begun(*reading) for reading in readings]
    return check.result(*readings[-1]), begun


@pytest.mark.parametrize("rate", [0.3, 1.0, 3.0])
def test_a_clock_that_runs_is_well_at_any_rate_which_is_said(rate):
    result, begun = checked([(0.0, 0.0)] + [(0.1 * step, 50.0 + 0.1 * step * rate) for step in range(1, 41)])
    assert result.outcome is Outcome.OK and f"goes {rate:.2f} times real time" in result.found
    assert begun == [False, True] + [False] * 39


def test_a_missing_clock_is_named_with_what_publishes_one():
    result, begun = checked([(0.1 * step, 0.0) for step in range(41)])
    assert result.outcome is Outcome.FAIL and result.found == "use_sim_time is set and no /clock has come for 4 s"
    assert "a simulation, or ros2 bag play --clock" in result.remedy and not any(begun)


def test_a_clock_that_has_come_and_stands_is_named_with_its_instant():
    result, _ = checked([(0.1 * step, min(0.1 * step, 1.0)) for step in range(41)])
    assert result.outcome is Outcome.FAIL and "/clock has stood at 1.00 s for 3 s" in result.found
    assert "let the simulation go on" in result.remedy
