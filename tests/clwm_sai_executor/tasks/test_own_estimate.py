"""The policy's own estimate ends a task only where nobody else judges it, and only when it is sure for long enough."""

import math

import pytest

from clwm_common.messages import Judgement, Mode, SaiReport, Verdict
from clwm_common.verdicts import OPERATOR, OWN_ESTIMATE
from clwm_sai_executor.tasks.own_estimate import OwnEstimate, Terms
from clwm_sai_executor.tasks.task_run import Outcome, TaskRun, remark

TERMS = Terms(0.9, 3, "wrongly done 2 of 80")


def hear(values, verdicts=(), epoch=5, estimate=None, **changes):
    """The verdict after chunks with these estimates."""
    estimate = estimate or OwnEstimate(TERMS)
    said = None
    for number, value in enumerate(values):
        report = SaiReport(number, changes.get("of", epoch), "adaptive", success_estimate=value)
        said = said or estimate.hear(report, 20.0, epoch, verdicts)
    return said


def test_enough_sure_chunks_in_a_row_end_a_task_and_the_message_names_whose_word_it_is_and_its_known_error():
    said = hear([0.1, 0.95, 0.9, 0.97])
    assert (said.judge, said.outcome, said.task_epoch) == (OWN_ESTIMATE, Judgement.SUCCEEDED, 5)
    assert "0.97, and at least 0.90 in 3 chunks in a row" in said.reason and "wrongly done 2 of 80" in said.reason


@pytest.mark.parametrize(
    "values",
    [[0.99, 0.99], [0.99, 0.99, 0.89, 0.99, 0.99], [0.99, 0.99, math.nan, 0.99, 0.99], [math.nan] * 9, [0.899] * 9],
)
def test_doubt_between_sure_chunks_starts_the_count_anew(values):
    assert hear(values) is None


def test_chunks_of_another_epoch_do_not_count():
    assert hear([0.99] * 9, of=4) is None
    estimate = OwnEstimate(TERMS)
    assert hear([0.99, 0.99], epoch=5, estimate=estimate) is None
    assert hear([0.99, 0.99], epoch=6, estimate=estimate) is None
    assert hear([0.99], epoch=6, estimate=estimate) is not None


def test_a_world_unlike_the_one_of_the_calibration_is_not_judged_by_the_estimate():
    estimate = OwnEstimate(TERMS)
    for number in range(9):
        report = SaiReport(number, 5, "adaptive", success_estimate=0.99, out_of_distribution=True)
        assert estimate.hear(report, 20.0, 5, ()) is None


@pytest.mark.parametrize(
    ("outcome", "judge", "is_heard"),
    [
        (Judgement.OPEN, "sim", False),
        (Judgement.FAILED, "sim", False),
        (Judgement.SUCCEEDED, "sim", False),
        (Judgement.FAILED, OPERATOR, False),
        (Judgement.UNJUDGED, "sim", True),
    ],
)
def test_where_somebody_else_judges_the_estimate_says_nothing(outcome, judge, is_heard):
    said = hear([0.99] * 9, [Verdict(1.0, 5, judge, outcome, "lift_tray")])
    assert (said is not None) is is_heard


def test_a_run_that_the_estimate_may_end_says_so_and_when_its_time_is_over_what_was_estimated_last():
    estimate, unjudged = OwnEstimate(TERMS), [Verdict(1.0, 5, "sim", Judgement.UNJUDGED, reason="what is a tray?")]
    assert "own estimate may end it" in remark(unjudged, "", estimate)
    assert remark([Verdict(1.0, 5, "sim", Judgement.OPEN)], "", estimate) == ""
    hear([0.3, 0.42], estimate=estimate)
    outcome, message = TaskRun(0.0, 5.0).judge(6.0, unjudged, is_current=True, mode=Mode.POLICY, estimate=estimate)
    assert outcome is Outcome.TIMED_OUT
    assert "what is a tray?" in message and "last estimate was 0.42, it says done from 0.90 on" in message
