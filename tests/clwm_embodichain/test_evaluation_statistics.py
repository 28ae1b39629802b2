import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clwm_embodichain.statistics import mean, percentiles, wilson95


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (50, 100, 0.40383, 0.59617),
        (75, 100, 0.65696, 0.82455),
        (1, 20, 0.00888, 0.23613),
        (0, 20, 0.0, 0.16113),
        (10, 10, 0.72247, 1.0),
    ],
)
def test_wilson_interval_has_the_published_values(successes, trials, low, high):
    assert wilson95(successes, trials) == pytest.approx((low, high), abs=1e-5)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_rate_and_stays_within_zero_and_one(case):
    successes, trials = case
    low, high = wilson95(successes, trials)
    assert 0.0 <= low <= successes / trials <= high <= 1.0


def test_wilson_interval_of_no_trials_says_nothing():
    assert wilson95(0, 0) == (0.0, 1.0)


def test_more_successes_than_trials_are_refused():
    with pytest.raises(ValueError, match="3 successes in 2 trials"):
        wilson95(3, 2)


def test_percentiles_leave_out_what_is_not_finite():
    assert percentiles([1.0, math.nan, 3.0])["p50"] == 2.0
    assert percentiles([math.nan]) == {"p50": None, "p95": None, "p99": None, "max": None}


def test_mean_of_nothing_is_none():
    assert mean([math.nan]) is None
    assert mean([1.0, 2.0]) == 1.5
