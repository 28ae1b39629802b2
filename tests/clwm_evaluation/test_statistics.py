import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clwm_evaluation.statistics import (
    compare_pairs,
    mcnemar_exact,
    mean,
    paired_difference95,
    percentiles,
    ratio_of_medians,
    wilson95,
)


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


def test_the_exact_mcnemar_test_is_the_binomial_one_of_the_discordant_pairs():
    assert mcnemar_exact(0, 0) == 1.0 and mcnemar_exact(4, 4) == 1.0
    assert mcnemar_exact(0, 6) == pytest.approx(2 / 64)
    assert mcnemar_exact(1, 7) == pytest.approx(2 * (1 + 8) / 256)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_a_probability_and_knows_no_first_and_second(first, second):
    value = mcnemar_exact(first, second)
    assert 0.0 < value <= 1.0 and value == mcnemar_exact(second, first)


def test_negative_counts_of_pairs_are_refused():
    with pytest.raises(ValueError, match="-1 and 3 discordant"):
        mcnemar_exact(-1, 3)
    with pytest.raises(ValueError, match="expected counts"):
        paired_difference95(0, 0, 0, 0)


def test_the_paired_interval_is_newcombes():
    # Newcombe (1998), table III, method 10: 36 / 12 / 2 / 0 pairs.
    assert paired_difference95(36, 12, 2, 0) == pytest.approx((0.2, 0.0569, 0.3404), abs=2e-4)


@given(*[st.integers(0, 40)] * 4)
def test_the_paired_interval_holds_the_difference_and_turns_with_the_pair(both, first, second, neither):
    if both + first + second + neither:
        difference, low, high = paired_difference95(both, first, second, neither)
        assert -1.0 - 1e-9 <= low <= difference + 1e-9 and difference - 1e-9 <= high <= 1.0 + 1e-9
        turned = paired_difference95(both, second, first, neither)
        assert turned == pytest.approx((-difference, -high, -low), abs=1e-9)


def test_a_ratio_of_medians_has_an_interval_that_more_episodes_narrow():
    rng = np.random.default_rng(0)
    few, many = ([list(rng.lognormal(0.0, 0.3, 6)) for _ in range(n)] for n in (6, 200))
    wide, narrow = (ratio_of_medians([[0.5 * v for v in g] for g in groups], groups[::-1]) for groups in (few, many))
    assert narrow["low95"] <= 0.5 <= narrow["high95"]
    assert narrow["high95"] - narrow["low95"] < 0.5 * (wide["high95"] - wide["low95"])


def test_a_ratio_needs_the_same_episodes_on_both_sides_and_a_value_on_each():
    assert ratio_of_medians([[], []], [[1.0], [2.0]]) is None
    with pytest.raises(ValueError, match="1 and 2 groups"):
        ratio_of_medians([[1.0]], [[1.0], [2.0]])


def test_a_tiny_p_value_is_not_rounded_to_nothing():
    found = compare_pairs([(True, False)] * 60 + [(True, True)] * 40)
    assert found["mcnemar_exact_p"] == pytest.approx(2.0**-59, rel=1e-5)
    assert (found["pairs"], found["only_this"], found["difference"]) == (100, 60, 0.6)
