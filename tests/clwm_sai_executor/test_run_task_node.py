"""The action /clwm/run_task over DDS: verdicts, refusals of the policy, and that every run ends."""

import pytest

from clwm_common.messages import Judgement, RefusalKind
from clwm_common.ros.lifecycle import ClwmNode
from clwm_common.verdicts import OPERATOR, OWN_ESTIMATE
from clwm_msgs.action import RunTask
from clwm_msgs.srv import SetMode, SetTask

pytestmark = pytest.mark.usefixtures("ros_context")


def test_run_task_ends_with_the_success_of_its_own_epoch_and_no_earlier_one(bench):
    bench.judge(Judgement.SUCCEEDED)
    run = bench.run()
    bench.judge(Judgement.SUCCEEDED, epoch=bench.executor_node.scheduler.task_epoch - 1, judge="late")
    bench.answer(bench.request())
    bench.wait_for(lambda: bench.status().get("phase") == "MOVING" and len(bench.feedback) > 1)
    assert not run.done()
    bench.judge(Judgement.SUCCEEDED)
    assert bench.result(run).outcome == RunTask.Result.SUCCEEDED
    assert bench.wait_for(lambda: bench.status()["instruction"] == "")


def test_what_the_world_says_of_its_own_episode_is_no_verdict_on_a_run(bench):
    run = bench.run(timeout=1.0)
    bench.request()
    bench.episode(3, succeeded=True)
    result = bench.result(run)
    assert result.outcome == RunTask.Result.TIMED_OUT and "nobody judged it" in result.message


def test_a_run_that_nobody_can_judge_ends_with_its_time_and_says_why(bench):
    run = bench.run("dance", timeout=1.5)
    bench.request()
    bench.judge(Judgement.UNJUDGED, reason="this world cannot judge 'dance'")
    bench.wait_for(lambda: any("cannot judge 'dance'" in feedback.note for feedback in bench.feedback))
    result = bench.result(run)
    assert result.outcome == RunTask.Result.TIMED_OUT
    assert result.message.endswith("nobody can judge this task: this world cannot judge 'dance'")


def test_a_verdict_on_the_world_before_its_reset_does_not_end_the_run(bench):
    bench.episode(3)
    run = bench.run()
    first = bench.request()
    bench.episode(4)
    bench.request(2)
    bench.judge(Judgement.FAILED, epoch=first.task_epoch)
    bench.wait_for(lambda: len(bench.feedback) > 2)
    assert not run.done()
    bench.judge(Judgement.SUCCEEDED)
    assert bench.result(run).outcome == RunTask.Result.SUCCEEDED


@pytest.mark.parametrize("goal", [{"instruction": ""}, {"timeout": 0.0}, {"timeout": float("inf")}])
def test_run_task_without_words_or_a_finite_time_is_refused_with_the_reason(bench, goal):
    result = bench.result(bench.run(**goal))
    assert result.outcome == RunTask.Result.REFUSED
    assert ("instruction is empty" if "instruction" in goal else "its timeout is") in result.message


def test_a_task_that_the_policy_does_not_take_is_refused_with_its_reason(bench):
    bench.objection = "no memory was kept for the task 'dance'"
    before = bench.executor_node.scheduler.task_epoch
    answer = bench.call(bench.set_task, SetTask.Request(instruction="dance", memory_policy=2))
    assert not answer.accepted and answer.message == bench.objection
    result = bench.result(bench.run("dance"))
    assert (result.outcome, result.message) == (RunTask.Result.REFUSED, bench.objection)
    assert bench.executor_node.scheduler.task_epoch == before and not bench.received["request"]


def test_whoever_insists_is_passed_on_to_the_policy(bench):
    bench.objection = "'dance' is unlike all that the policy was trained with"
    assert bench.call(bench.set_task, SetTask.Request(instruction="dance", insist=True)).accepted
    run = bench.run("dance", timeout=1.0, insist=True)
    assert bench.result(run).outcome == RunTask.Result.TIMED_OUT


def test_without_a_policy_a_task_is_refused_within_a_few_seconds_and_orders_are_heard_meanwhile(lonely_bench):
    bench = lonely_bench
    asked = bench.set_task.call_async(SetTask.Request(instruction="lift the tray"))
    run = bench.run()
    assert bench.call(bench.set_mode, SetMode.Request(mode=SetMode.Request.HOLD)).accepted
    assert not asked.done()
    bench.wait_for(asked.done)
    assert not asked.result().accepted and "no policy offers /clwm/check_task within 2 s" in asked.result().message
    assert bench.result(run).outcome == RunTask.Result.REFUSED


def test_a_refusal_of_the_policy_ends_the_run_with_its_reason_and_the_next_task_is_free(bench):
    run = bench.run()
    bench.refuse(bench.request(), RefusalKind.OBSERVATION, "features come from another encoder")
    result = bench.result(run)
    assert (result.outcome, result.message) == (RunTask.Result.FAILED, "features come from another encoder")
    bench.call(bench.set_task, SetTask.Request(instruction="lift the tray"))
    bench.request(2)
    bench.wait_for(lambda: bench.status()["fault"] == "")


def test_a_refusal_that_may_pass_is_shown_as_what_is_waited_for_until_a_chunk_comes(bench):
    bench.call(bench.set_task, SetTask.Request(instruction="lift the tray"))
    bench.refuse(bench.request(), RefusalKind.NO_OBSERVATION, "no usable picture", may_pass=True)
    bench.wait_for(lambda: bench.status()["waiting"] == "no usable picture")
    assert "no usable picture" in bench.executor_node.diagnose().message
    bench.answer(bench.request(2))
    bench.wait_for(lambda: bench.status()["waiting"] == "" and bench.status()["phase"] == "MOVING")


def test_deactivation_ends_a_run_with_the_reason(bench):
    run = bench.run()
    bench.request()
    bench.executor_node.trigger_deactivate()
    result = bench.result(run)
    assert (result.outcome, result.message) == (RunTask.Result.FAILED, "the executor was deactivated")
    assert bench.result(bench.run()).message == "the executor is not active; activate it first"


def test_deactivation_and_clean_up_end_what_the_policy_was_still_asked_about(lonely_bench):
    bench = lonely_bench
    run = bench.run()
    asked = bench.set_task.call_async(SetTask.Request(instruction="dance"))
    bench.wait_for(lambda: len(bench.executor_node.task_check._open) == 2)
    bench.executor_node.trigger_deactivate()
    assert bench.result(run).message == "the executor was deactivated"
    bench.wait_for(asked.done)
    assert not asked.result().accepted


def test_time_that_did_not_pass_does_not_end_a_run_and_a_clock_that_stands_is_told_to_who_waits(bench):
    run = bench.run(timeout=60.0)
    bench.request()
    node = bench.executor_node
    for seconds in (1000.0, -1000.0):
        node.now = lambda ahead=seconds: ClwmNode.now(node) + ahead
        node.clock_jumped(seconds)
        del node.now
        node.clock_jumped(-seconds)
    bench.wait_for(lambda: len(bench.feedback) > 2)
    assert not run.done()
    node.clock_stands("/clock has stood at 7.00 s for 3 s")
    bench.wait_for(lambda: bench.status()["fault"] == "/clock has stood at 7.00 s for 3 s")
    bench.wait_for(lambda: bench.received["mode"][-1].reason == "/clock has stood at 7.00 s for 3 s")
    node.clock_stands("")
    bench.wait_for(lambda: bench.status()["fault"] == "")
    bench.judge(Judgement.SUCCEEDED)
    assert bench.result(run).outcome == RunTask.Result.SUCCEEDED


@pytest.mark.parametrize(("said", "outcome"), [(Judgement.SUCCEEDED, 0), (Judgement.FAILED, 1)])
def test_an_operators_word_ends_a_run_also_where_the_world_has_not_judged_it_yet(bench, said, outcome):
    run = bench.run()
    bench.request()
    bench.judge(Judgement.OPEN, judge="sim")
    bench.judge(said, judge=OPERATOR, reason="seen by eye")
    result = bench.result(run)
    assert (result.outcome, result.message) == (outcome, "operator: seen by eye")


def test_an_operators_word_ends_a_task_that_nobody_waits_for_and_the_worlds_does_not(bench):
    assert bench.call(bench.set_task, SetTask.Request(instruction="lift the tray")).accepted
    bench.request()
    bench.judge(Judgement.SUCCEEDED, judge="sim")
    bench.judge(Judgement.SUCCEEDED, judge=OPERATOR, epoch=bench.executor_node.scheduler.task_epoch - 1)
    bench.wait_for(lambda: len(bench.executor_node.verdicts.of(bench.executor_node.scheduler.task_epoch - 1)) == 1)
    assert bench.status()["instruction"] == "lift the tray"
    bench.judge(Judgement.SUCCEEDED, judge=OPERATOR)
    bench.wait_for(lambda: bench.status()["instruction"] == "")


def test_an_estimate_that_was_asked_for_ends_a_run_that_nobody_judges_and_is_named_as_one(bench):
    run = bench.run(accept_estimate=True)
    bench.request()
    bench.judge(Judgement.UNJUDGED, judge="sim", reason="what is a tray?")
    bench.wait_for(lambda: any("own estimate may end it" in feedback.note for feedback in bench.feedback))
    bench.estimate(0.95, 0.5, 0.95, 0.97)
    result = bench.result(run)
    assert result.outcome == RunTask.Result.SUCCEEDED
    assert result.message.startswith("the policy's own estimate: 0.97, and at least 0.90 in 2 chunks in a row")
    assert result.message.endswith("Known error: wrong 1 of 9")
    assert bench.wait_for(lambda: [it for it in bench.verdicts if it.judge == OWN_ESTIMATE])


def test_an_estimate_ends_a_task_that_nobody_waits_for_where_that_was_accepted(bench):
    assert bench.call(bench.set_task, SetTask.Request(instruction="lift the tray", accept_estimate=True)).accepted
    bench.request()
    bench.estimate(0.95, 0.95)
    bench.wait_for(lambda: bench.status()["instruction"] == "")


@pytest.mark.parametrize("accepts", [False, True])
def test_an_estimate_ends_nothing_that_the_world_judges_or_that_nobody_has_offered_it(bench, accepts):
    run = bench.run(accept_estimate=accepts)
    bench.request()
    if accepts:
        bench.judge(Judgement.OPEN, judge="sim")
        bench.wait_for(lambda: bench.executor_node.verdicts.of(bench.executor_node.scheduler.task_epoch))
    bench.estimate(*[0.99] * 9)
    bench.judge(Judgement.FAILED, judge="sim", reason="the tray fell")
    result = bench.result(run)
    assert (result.outcome, result.message) == (RunTask.Result.FAILED, "sim: the tray fell")
    assert not [it for it in bench.verdicts if it.judge == OWN_ESTIMATE]


def test_the_estimate_of_one_task_ends_no_later_one(bench):
    bench.call(bench.set_task, SetTask.Request(instruction="lift the tray", accept_estimate=True))
    bench.request()
    bench.call(bench.set_task, SetTask.Request(instruction="put the block on the pad"))
    bench.estimate(*[0.99] * 9)
    run = bench.run(timeout=1.0)
    assert bench.result(run).outcome == RunTask.Result.TIMED_OUT
    assert not [it for it in bench.verdicts if it.judge == OWN_ESTIMATE]
