"""Execution horizon and lead follow what chunks and ticks cost, within their bounds."""

import pytest

from clwm_sai_executor.config import ConfigError, SchedulerConfig
from clwm_sai_executor.requests.horizon import AdaptiveHorizon


def adapted(rows, **settings):
    horizon = AdaptiveHorizon(SchedulerConfig(adapt_pace=True, **settings))
    for count in [1] * 5 + list(rows):
        horizon.answered(count)
    return horizon


@pytest.mark.parametrize(("rows", "horizon"), [(1, 12), (3, 12), (4, 11), (5, 10), (9, 10)])
def test_horizon_leaves_as_many_committed_rows_as_chunks_cost_within_the_bounds(rows, horizon):
    assert adapted([rows] * 50).rows == horizon


def test_wider_bounds_let_fast_chunks_be_observed_later():
    assert adapted([1] * 50, execution_horizon=15).rows == 14


def test_one_late_chunk_in_two_hundred_does_not_move_the_horizon_and_three_do():
    assert adapted([3] * 199 + [5]).rows == 12
    assert adapted([3] * 197 + [5] * 3).rows == 10


def test_chunks_of_long_ago_are_forgotten():
    assert adapted([5] * 50 + [2] * 200).rows == 12


def test_warm_up_calls_do_not_count_at_the_start_nor_after_the_policy_was_away():
    horizon = AdaptiveHorizon(SchedulerConfig(adapt_pace=True))
    for rows in [9] * 5 + [2] * 50:
        horizon.answered(rows)
    assert horizon.rows == 12
    horizon.restart()
    for rows in [9] * 5:
        horizon.answered(rows)
    assert horizon.rows == 12
    for rows in [9] * 5:
        horizon.answered(rows)
    assert horizon.rows == 10


def test_few_samples_change_nothing():
    assert adapted([9] * 19).rows == 12


def test_lead_grows_with_the_lateness_of_ticks_up_to_its_bound():
    horizon = adapted([])
    for _ in range(30):
        horizon.ticked(0.004)
    horizon.ticked(float("nan"))
    assert horizon.lead == pytest.approx(0.024)
    for _ in range(30):
        horizon.ticked(0.5)
    assert horizon.lead == 0.04


def test_nothing_is_chosen_unless_it_is_asked_for():
    horizon = AdaptiveHorizon(SchedulerConfig())
    for _ in range(100):
        horizon.answered(9)
        horizon.ticked(0.5)
    assert (horizon.rows, horizon.lead) == (12, 0.02)


def test_horizon_of_all_rows_is_the_papers_mode_and_stays_it():
    assert adapted([1] * 50, execution_horizon=16).rows == 16


@pytest.mark.parametrize("wrong", [{"execution_horizon_min": 13}, {"lead": 0.05}])
def test_bounds_in_the_wrong_order_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match="execution_horizon_min is 13|lead_max is 0.04"):
        SchedulerConfig(adapt_pace=True, **wrong)


@pytest.mark.parametrize(("rows", "horizon"), [(1, 12), (3, 12), (4, 10), (6, 8), (9, 8)])
def test_only_horizons_that_the_policy_knows_are_chosen(rows, horizon):
    known = (4, 8, 10, 12, 16)
    assert adapted([rows] * 50, execution_horizon_min=8, known_horizons=known).rows == horizon


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"execution_horizon": 8}, "execution_horizon is 8; the policy was trained for 12 or 16: set it so"),
        ({"execution_horizon": 14}, "execution_horizon is 14; the policy was trained for 12 or 16"),
        ({"adapt_pace": True}, "execution_horizon_min is 10; the policy was trained for 12 or 16"),
    ],
)
def test_a_horizon_that_the_policy_does_not_know_is_refused(settings, said):
    SchedulerConfig(known_horizons=(12, 16))
    with pytest.raises(ConfigError, match=said):
        SchedulerConfig(known_horizons=(12, 16), **settings)


def test_change_of_the_horizon_shows_in_the_next_request_only(make_stack):
    stack = make_stack(adapt_pace=True)
    stack.begin()
    stack.answer()
    for _ in range(30):
        stack.answer(latency=0.16)
    first = next(index for index, request in enumerate(stack.requests) if len(request.committed_prefix) == 5)
    assert {len(request.committed_prefix) for request in stack.requests[1:first]} == {4}
    assert first > 20 and len(stack.requests[-1].committed_prefix) in (5, 6)
    stalls = stack.scheduler.metrics.counted("stalls")
    for _ in range(10):
        stack.answer(latency=0.16)
    assert stalls >= 20 and stack.scheduler.metrics.counted("stalls") == stalls, "late before, in time after"
