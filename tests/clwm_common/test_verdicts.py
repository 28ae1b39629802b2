import pytest

from clwm_common.messages import Judgement, Verdict
from clwm_common.verdicts import OPERATOR, OWN_ESTIMATE, Verdicts, deciding


def said(outcome, judge="sim", epoch=3):
    return Verdict(10.5, epoch, judge, outcome)


YES, NO = Judgement.SUCCEEDED, Judgement.FAILED


@pytest.mark.parametrize(
    ("verdicts", "judge", "outcome"),
    [
        ([said(YES), said(NO, OPERATOR)], "sim", YES),
        ([said(YES, OPERATOR), said(NO)], "sim", NO),
        ([said(YES, OWN_ESTIMATE), said(NO, OPERATOR)], OPERATOR, NO),
        ([said(YES, OWN_ESTIMATE), said(NO)], "sim", NO),
        ([said(YES, OWN_ESTIMATE), said(Judgement.OPEN)], OWN_ESTIMATE, YES),
        ([said(YES, "sim"), said(NO, "a scale under the table")], "a scale under the table", NO),
    ],
)
def test_the_world_is_believed_before_an_operator_and_both_before_the_policy(verdicts, judge, outcome):
    for order in (verdicts, verdicts[::-1]):
        decided = deciding(order)
        assert (decided.judge, decided.outcome) == (judge, outcome)


def test_what_is_not_final_decides_nothing():
    assert deciding([said(Judgement.OPEN), said(Judgement.UNJUDGED, OPERATOR)]) is None and deciding([]) is None


def test_verdicts_count_for_their_own_epoch_and_a_judge_has_one_word():
    verdicts = Verdicts()
    for verdict in (said(Judgement.SUCCEEDED, epoch=2), said(Judgement.OPEN, epoch=3), said(Judgement.FAILED, "b", 2)):
        verdicts.add(verdict)
    assert [v.outcome for v in verdicts.of(3)] == [Judgement.OPEN]
    assert [v.judge for v in verdicts.of(2)] == ["b"]


def test_judges_without_end_take_no_memory_without_end():
    verdicts = Verdicts()
    for number in range(1000):
        verdicts.add(said(Judgement.OPEN, f"judge {number}"))
    assert len(verdicts.of(3)) == 16
