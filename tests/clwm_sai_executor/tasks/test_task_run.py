import pytest

from clwm_common.messages import Judgement, Mode, Verdict
from clwm_sai_executor.tasks.task_run import Outcome, TaskRun, remark

GOING = {"is_current": True, "mode": Mode.POLICY}
RUN = TaskRun(started_at=10.0, timeout=5.0)


def said(outcome, judge="sim", epoch=3, reason=""):
    return Verdict(10.5, epoch, judge, outcome, "lift_tray", reason)


@pytest.mark.parametrize(
    ("now", "verdicts", "changes", "outcome"),
    [
        (11.0, [], {}, None),
        (11.0, [said(Judgement.OPEN)], {}, None),
        (11.0, [said(Judgement.UNJUDGED)], {}, None),
        (11.0, [said(Judgement.SUCCEEDED)], {}, Outcome.SUCCEEDED),
        (11.0, [said(Judgement.UNJUDGED), said(Judgement.SUCCEEDED, "operator")], {}, Outcome.SUCCEEDED),
        (11.0, [said(Judgement.FAILED)], {}, Outcome.FAILED),
        (11.0, [said(Judgement.SUCCEEDED), said(Judgement.FAILED, "operator")], {}, Outcome.SUCCEEDED),
        (11.0, [said(Judgement.SUCCEEDED, "operator"), said(Judgement.FAILED)], {}, Outcome.FAILED),
        (11.0, [said(Judgement.OPEN), said(Judgement.FAILED, "operator")], {}, Outcome.FAILED),
        (15.0, [], {}, Outcome.TIMED_OUT),
        (15.0, [said(Judgement.UNJUDGED)], {}, Outcome.TIMED_OUT),
        (11.0, [said(Judgement.SUCCEEDED)], {"is_current": False}, Outcome.CANCELLED),
        (11.0, [], {"mode": Mode.HOLD}, None),
        (11.0, [], {"mode": Mode.HOLD, "fault": "chunk 3 is bad"}, Outcome.FAILED),
        (11.0, [], {"denial": "no memory was kept"}, Outcome.FAILED),
        (11.0, [], {"mode": Mode.ESTOP}, Outcome.CANCELLED),
    ],
)
def test_run_ends_when_and_as_the_table_says(now, verdicts, changes, outcome):
    judged = RUN.judge(now, verdicts, **{**GOING, **changes})
    assert (judged[0] if judged else None) is outcome


def test_a_run_that_takes_too_long_says_what_it_waited_for_or_that_nobody_judged_it():
    assert "no usable picture" in RUN.judge(15.0, [said(Judgement.OPEN)], **GOING, waiting="no usable picture")[1]
    assert "nobody judged it" in RUN.judge(15.0, [], **GOING)[1]
    unjudged = [said(Judgement.UNJUDGED, reason="this world cannot judge 'dance'")]
    assert "this world cannot judge 'dance'" in RUN.judge(15.0, unjudged, **GOING)[1]
    assert RUN.judge(15.0, [said(Judgement.OPEN)], **GOING)[1] == "not finished after 5 s"


def test_a_task_is_remarked_on_as_unjudged_only_when_no_judge_follows_it():
    unjudged = said(Judgement.UNJUDGED, reason="which goal?")
    assert "which goal?" in remark([unjudged], "")
    assert remark([unjudged, said(Judgement.OPEN, "operator")], "") == ""
