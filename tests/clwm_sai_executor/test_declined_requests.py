"""Negative answers of the policy, and chunks that were made and never executed."""

import numpy as np
import pytest

from clwm_common.messages import ChunkRefusal, MemoryPolicy, Mode, RefusalKind
from clwm_sai_executor import events
from clwm_sai_executor.scheduler import Phase


def refuse(stack, request=None, kind=RefusalKind.OBSERVATION, reason="features of another encoder", **changes):
    request = request or stack.requests[-1]
    fields = {"chunk_id": request.chunk_id, "task_epoch": request.task_epoch, "kind": kind, "reason": reason}
    return stack.do(events.RefusalArrived(ChunkRefusal(**{**fields, **changes})))


def test_after_a_final_refusal_nothing_is_asked_in_this_epoch_and_the_reason_is_shown(stack):
    stack.begin()
    stack.answer(speed=0.3)
    asked, sent = len(stack.requests), len(stack.controller.messages)
    refuse(stack)
    stack.run_until(stack.now + 5.0)
    assert stack.scheduler.phase is Phase.IDLE and stack.scheduler.mode is Mode.POLICY
    assert len(stack.requests) == asked
    assert len(stack.controller.messages) == sent, "what was sent runs out"
    assert stack.scheduler.fault == stack.modes[-1].reason == "features of another encoder"


@pytest.mark.parametrize("go_on", [events.TaskSet("place the block"), events.ModeSet(Mode.POLICY)])
def test_a_refusal_ends_with_its_epoch_or_with_an_order_to_go_on(stack, go_on):
    stack.begin()
    refuse(stack)
    stack.do(go_on)
    assert len(stack.requests) == 2 and stack.scheduler.fault == "" and stack.modes[-1].reason == ""


def test_a_refusal_that_may_pass_is_asked_again_twice_a_second_and_logged_once(stack):
    stack.begin()
    for _ in range(6):
        refuse(stack, reason=f"no state near {stack.now:.1f}", may_pass=True)
        assert stack.scheduler.waiting == f"no state near {stack.now:.1f}" and stack.scheduler.fault == ""
        count = len(stack.requests)
        stack.run_until(stack.now + 0.45)
        assert len(stack.requests) == count
        stack.run_until(stack.now + 0.1)
        assert len(stack.requests) == count + 1
    assert sum("makes no chunk yet" in text for text in stack.reports) == 1
    stack.answer()
    assert stack.scheduler.waiting == "" and stack.modes[-1].reason == ""


def test_silence_of_the_policy_is_shown_as_what_is_waited_for(make_stack):
    stack = make_stack(chunk_timeout=0.5)
    stack.begin()
    stack.run_until(stack.now + 0.6)
    assert "Is the policy alive?" in stack.scheduler.waiting
    stack.hold()
    assert stack.scheduler.waiting == ""


@pytest.mark.parametrize("changes", [{"chunk_id": 99}, {"task_epoch": 0}])
def test_a_refusal_of_another_request_changes_nothing(stack, changes):
    stack.begin()
    refuse(stack, **changes)
    assert stack.scheduler.phase is Phase.ASKED and stack.scheduler.fault == ""
    stack.answer()
    assert stack.scheduler.phase is Phase.MOVING


def test_a_refusal_that_comes_after_another_task_was_set_does_not_touch_that_one(stack):
    first = stack.begin()
    stack.do(events.TaskSet("place the block"))
    refuse(stack, first)
    assert stack.scheduler.phase is Phase.ASKED and stack.scheduler.fault == ""


def test_in_another_mode_no_refusal_makes_the_arms_ask(stack):
    stack.begin()
    refuse(stack, may_pass=True)
    stack.hold()
    stack.run_until(stack.now + 2.0)
    assert len(stack.requests) == 1
    stack.resume()
    assert len(stack.requests) == 2


def ask_for(stack, instruction, memory):
    stack.do(events.TaskSet(instruction, memory))
    stack.run_until(stack.now + 0.05)
    return stack.requests[-1].memory_policy


def test_a_restore_that_was_refused_is_not_asked_again_by_a_task_that_keeps_or_by_the_next(stack):
    stack.measure()
    assert ask_for(stack, "dance", MemoryPolicy.RESTORE) is MemoryPolicy.RESTORE
    refuse(stack, kind=RefusalKind.SNAPSHOT)
    assert ask_for(stack, "dance", MemoryPolicy.KEEP) is MemoryPolicy.KEEP
    assert ask_for(stack, "lift the tray", MemoryPolicy.KEEP) is MemoryPolicy.KEEP


def test_what_the_policy_was_owed_before_a_refused_restore_it_is_owed_again(stack):
    stack.measure()
    stack.do(events.EpisodeReset())
    stack.now += 0.01
    stack.measure()
    assert ask_for(stack, "dance", MemoryPolicy.RESTORE) is MemoryPolicy.RESTORE
    refuse(stack, kind=RefusalKind.SNAPSHOT)
    assert ask_for(stack, "dance", MemoryPolicy.KEEP) is MemoryPolicy.RESET


def test_a_restore_without_an_answer_is_asked_again_for_its_own_task_only(stack):
    stack.measure()
    assert ask_for(stack, "dance", MemoryPolicy.RESTORE) is MemoryPolicy.RESTORE
    assert ask_for(stack, "dance", MemoryPolicy.KEEP) is MemoryPolicy.RESTORE
    assert ask_for(stack, "lift the tray", MemoryPolicy.KEEP) is MemoryPolicy.KEEP


def test_a_refusal_of_the_pictures_does_not_forget_that_the_memory_was_to_be_reset(stack):
    stack.measure()
    assert ask_for(stack, "dance", MemoryPolicy.RESET) is MemoryPolicy.RESET
    refuse(stack)
    assert ask_for(stack, "dance", MemoryPolicy.KEEP) is MemoryPolicy.RESET


@pytest.mark.parametrize("fate", ["refused", "unreadable", "stale", "never came"])
def test_a_chunk_that_moved_nothing_is_not_taken_for_executed(make_stack, fate):
    """The next request names the chunk before it, and of the rows those that ran since the policy looked last."""
    stack = make_stack(chunk_timeout=1.0)
    stack.begin()
    stack.answer(speed=0.3)
    good, missing = stack.requests[-1], stack.requests[-1].chunk_id
    assert good.executed_chunk_id == missing - 1
    stack.run_until(good.observe_at + 0.05)
    chunk = stack.chunk(good)
    broken = chunk.rows.copy()
    broken[8, 14] += 2.0
    match fate:
        case "refused":
            stack.do(events.ChunkArrived(stack.chunk(good, rows=broken)))
        case "unreadable":
            stack.do(events.ChunkUnreadable(missing, "layout version 9"))
        case "stale":
            stack.do(events.ChunkArrived(stack.chunk(good, observation_stamp=good.observe_at - 0.7)))
    stack.resume()
    stack.run_until(stack.now + 3.0)
    request = next(each for each in stack.requests if each.chunk_id > missing)
    assert request.at_rest and request.executed_chunk_id == missing - 1
    path = stack.scheduler.path
    told = request.executed_rows[:, 14:28]
    if fate == "never came":
        assert len(told) == 12
    else:
        observed = path.index_until(good.observe_at + 1e-6)
        assert len(told) == path.last - observed + 1 < 12
    np.testing.assert_allclose(told[-1], path.positions[-1], atol=1e-6)
