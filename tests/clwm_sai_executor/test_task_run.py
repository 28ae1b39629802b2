import pytest

from clwm_common.messages import Mode
from clwm_sai_executor.task_run import Outcome, TaskRun, WorldVerdict

GOING = {"is_current": True, "mode": Mode.POLICY, "fault": ""}
RUN = TaskRun(started_at=10.0, timeout=5.0)


@pytest.mark.parametrize(
    ("now", "verdict", "changes", "outcome"),
    [
        (11.0, None, {}, None),
        (11.0, WorldVerdict(10.9, False, False), {}, None),
        (11.0, WorldVerdict(10.9, True, False), {}, Outcome.SUCCEEDED),
        (11.0, WorldVerdict(10.9, False, True), {}, Outcome.FAILED),
        (11.0, WorldVerdict(9.9, True, False), {}, None),
        (15.0, None, {}, Outcome.TIMED_OUT),
        (11.0, None, {"is_current": False}, Outcome.CANCELLED),
        (11.0, None, {"mode": Mode.HOLD}, None),
        (11.0, None, {"mode": Mode.HOLD, "fault": "chunk 3 is bad"}, Outcome.FAILED),
        (11.0, None, {"mode": Mode.ESTOP}, Outcome.CANCELLED),
    ],
)
def test_run_ends_when_and_as_the_table_says(now, verdict, changes, outcome):
    judged = RUN.judge(now, verdict, **{**GOING, **changes})
    assert (judged[0] if judged else None) is outcome
