"""Requests, chunks in time, late and never, and what the arms do about them."""

import dataclasses

import numpy as np
import pytest

from clwm_common.actions import JOINTS, ROW_DT
from clwm_common.messages import MemoryPolicy, Mode
from clwm_sai_executor import events
from clwm_sai_executor.scheduler import Phase


def test_first_request_commits_the_held_command_and_asks_for_a_present_observation(stack):
    request = stack.begin("lift the tray")
    assert request.at_rest and request.observe_at == stack.now
    np.testing.assert_allclose(request.committed_prefix[:, JOINTS], stack.robot.home[None], atol=1e-6)
    assert request.executed_rows.shape == (0, 30)
    assert request.instruction == "lift the tray" and request.task_epoch == 1


def test_chunk_at_rest_starts_at_most_a_row_and_a_lead_after_it_arrives_however_long_it_took(make_stack):
    for latency in (0.05, 0.7):
        stack = make_stack(lead=0.03)
        stack.begin()
        stack.answer(latency)
        record = stack.scheduler.timeline.records()[0]
        assert 0.03 - 1e-6 <= record.starts_at - stack.now < 0.03 + ROW_DT
        assert stack.scheduler.metrics.summary()["stalls"] == 0


@pytest.mark.parametrize("captured", [-0.023, 0.0, 0.0171])
def test_motion_from_rest_is_aligned_with_the_pictures_so_that_it_is_observed_when_one_is_taken(stack, captured):
    request = stack.begin()
    captured += request.observe_at
    stack.answer(observation_stamp=captured)
    pictures = (stack.requests[-1].observe_at - captured) / ROW_DT
    assert pictures == pytest.approx(round(pictures), abs=1e-3)


def test_held_command_begins_in_the_past_at_the_longest_lead(make_stack):
    stack = make_stack(lead=0.2, lead_max=0.2)
    stack.answer(observation_stamp=stack.begin().observe_at + 0.0499)
    assert all(command.stamp + command.times_from_start[0] < stack.now for command in stack.controller.last)


def test_next_request_goes_out_with_the_chunk_and_commits_its_tail(stack):
    stack.begin()
    stack.answer()
    request, path = stack.requests[-1], stack.scheduler.path
    row_zero = path.last_row - 15
    assert not request.at_rest
    assert request.observe_at == pytest.approx(path.time(row_zero + 12))
    assert request.needed_by == pytest.approx(path.time(path.last_row) - 0.02)
    np.testing.assert_allclose(
        request.committed_prefix[:, JOINTS], path.positions[row_zero + 12 : row_zero + 16], atol=1e-6
    )
    np.testing.assert_allclose(request.executed_rows[:, JOINTS], path.positions[row_zero : row_zero + 12], atol=1e-6)


def test_chunk_in_time_resends_the_committed_part_byte_for_byte_and_never_stops(stack):
    stack.begin()
    stack.answer()
    for _ in range(5):
        before = stack.controller.last
        stack.answer(latency=0.1)
        for old, new in zip(before, stack.controller.last, strict=True):
            assert old.stamp == new.stamp
            known = {time: index for index, time in enumerate(old.times_from_start)}
            committed = new.times_from_start <= stack.now + 0.02 + 0.03 - new.stamp
            for index in np.flatnonzero(committed):
                was = known[new.times_from_start[index]]
                assert new.positions[index].tobytes() == old.positions[was].tobytes()
                assert new.velocities[index].tobytes() == old.velocities[was].tobytes()
    summary = stack.scheduler.metrics.summary()
    assert summary["stalls"] == 0 and summary["chunks"] == 6
    assert summary["idle_fraction"] == pytest.approx(0.0, abs=0.02)
    assert summary["blocking_ms"]["p50"] == pytest.approx(100.0, abs=1.0)


def test_every_message_ends_at_rest(stack):
    stack.begin()
    for _ in range(4):
        stack.answer(latency=0.1)
    for message in stack.controller.messages:
        for command in message:
            assert not command.velocities[-1].any()
            assert command.times_from_start[-1] + command.stamp > stack.scheduler.timeline.records()[0].sent_at


def test_late_chunk_finds_the_arms_braking_and_moves_them_on_without_a_jump(stack):
    stack.begin()
    stack.answer(speed=0.8)
    rows_end = stack.scheduler.path.time(stack.scheduler.path.last_row)
    chunk = stack.chunk(speed=0.8)
    stack.run_until(rows_end + 0.03)
    assert stack.scheduler.phase is Phase.STALLED
    before = stack.controller.sample(stack.now)
    stack.do(events.ChunkArrived(chunk))
    after = stack.controller.sample(stack.now)
    np.testing.assert_allclose(after[0], before[0], atol=1e-9)
    np.testing.assert_allclose(after[1], before[1], atol=1e-9)
    record = stack.scheduler.timeline.get(chunk.chunk_id)
    assert record.stall == pytest.approx(record.starts_at - rows_end)
    assert stack.scheduler.metrics.summary()["stalls"] == 1


def test_late_chunk_after_rest_starts_with_the_first_row_not_yet_executed(stack):
    stack.begin()
    stack.answer(speed=0.4)
    request = stack.requests[-1]
    rest = stack.scheduler.path.knot(10**6)[0]
    chunk = stack.chunk(speed=0.4)
    stack.run_until(request.observe_at + 1.0)
    stack.do(events.ChunkArrived(chunk))
    path = stack.scheduler.path
    np.testing.assert_array_equal(path.positions[0], rest)
    assert path.last_row - 6 == 12, "six knots of rest, then the rows"
    stack.run_until(path.time(path.last_row))
    np.testing.assert_allclose(stack.controller.sample(stack.now)[0], chunk.rows[-1, JOINTS], atol=0.01)
    assert stack.requests[-1].observe_at == pytest.approx(path.time(path.last_row - 3))


def test_chunk_that_never_comes_is_cancelled_and_asked_for_again_from_rest(make_stack):
    stack = make_stack(chunk_timeout=0.5)
    first = stack.begin()
    stack.run_until(first.observe_at + 0.55)
    assert stack.cancelled == [first.chunk_id]
    assert stack.requests[-1].chunk_id == first.chunk_id + 1 and stack.requests[-1].at_rest
    assert stack.controller.messages == []
    assert stack.scheduler.metrics.summary()["timeouts"] == 1
    assert "is the policy alive" in stack.reports[-1].lower()


def test_policy_that_dies_while_the_arms_move_leaves_them_at_rest_and_asking(make_stack):
    stack = make_stack(chunk_timeout=0.5)
    stack.begin()
    stack.answer(speed=1.0)
    stack.run_until(stack.now + 5.0)
    assert not stack.controller.sample(stack.now)[1].any()
    assert stack.scheduler.phase is Phase.ASKED and stack.requests[-1].at_rest
    stack.answer()
    assert stack.scheduler.phase is Phase.MOVING


def test_horizon_of_all_rows_lets_the_arms_rest_between_chunks_without_a_stall(make_stack):
    stack = make_stack(execution_horizon=16)
    stack.begin()
    for _ in range(3):
        stack.answer(latency=0.2)
        request, path = stack.requests[-1], stack.scheduler.path
        assert request.at_rest and request.observe_at == pytest.approx(path.time(path.last))
        assert len(request.committed_prefix) == 1
    summary = stack.scheduler.metrics.summary()
    assert summary["stalls"] == 0
    assert summary["idle_fraction"] > 0.15


def test_setting_a_task_while_moving_runs_out_what_was_sent_then_asks_in_a_new_epoch(stack):
    stack.begin("lift the tray")
    stack.answer(speed=0.5)
    pending, sent = stack.requests[-1], len(stack.controller.messages)
    stack.run_until(stack.now + 0.2)
    stack.do(events.TaskSet("place the block", MemoryPolicy.RESET, 7))
    assert stack.cancelled == [pending.chunk_id]
    stack.do(events.ChunkArrived(stack.chunk(pending)))
    stack.run_until(stack.scheduler.path.time(stack.scheduler.path.last) + 0.02)
    request = stack.requests[-1]
    assert len(stack.controller.messages) == sent
    assert (request.task_epoch, request.instruction, request.episode_seed) == (2, "place the block", 7)
    assert request.memory_policy is MemoryPolicy.RESET and request.at_rest
    assert stack.scheduler.metrics.summary()["dropped"] == 1


def test_memory_reset_is_not_undone_by_a_task_that_keeps_it(stack):
    stack.begin()
    stack.do(events.EpisodeReset())
    stack.do(events.TaskSet("place the block", MemoryPolicy.KEEP))
    stack.run_until(stack.now + 0.05)
    assert stack.requests[-1].memory_policy is MemoryPolicy.RESET
    stack.answer()
    assert stack.requests[-1].memory_policy is MemoryPolicy.KEEP


def test_hold_brakes_at_once_and_policy_goes_on_from_there(stack):
    stack.begin()
    stack.answer(speed=1.0)
    stack.run_until(stack.now + 0.3)
    asked = len(stack.requests)
    stack.hold()
    stack.run_until(stack.now + 0.4)
    resting = stack.controller.sample(stack.now)
    assert not resting[1].any() and stack.scheduler.phase is Phase.IDLE
    stack.run_until(stack.now + 1.0)
    assert len(stack.requests) == asked
    stack.resume()
    assert stack.requests[-1].at_rest
    np.testing.assert_allclose(stack.requests[-1].committed_prefix[0, JOINTS], resting[0], atol=1e-6)


def test_hold_during_the_last_row_brakes_before_its_end(stack):
    stack.begin()
    stack.answer(speed=1.0)
    path = stack.scheduler.path
    stack.run_until(path.time(path.last_row) - 0.065)
    stack.hold()
    shorter = stack.scheduler.path
    assert shorter.time(shorter.last) < path.time(path.last) - 0.02
    assert np.abs(shorter.positions[-1] - path.positions[-1]).max() > 0.02


def test_estop_is_left_through_hold_only(stack):
    stack.begin()
    stack.do(events.ModeSet(Mode.ESTOP))
    refusal = [c for c in stack.resume() if isinstance(c, events.Report)]
    assert refusal[0].is_refusal and "set HOLD first" in refusal[0].text
    assert stack.scheduler.mode is Mode.ESTOP
    stack.hold()
    stack.resume()
    assert stack.scheduler.mode is Mode.POLICY


def test_grippers_move_when_their_row_is_due_and_only_on_change(stack):
    stack.begin()
    chunk = stack.chunk()
    rows = chunk.rows.copy()
    rows[:, 28:] += np.random.default_rng(0).normal(0.0, 5e-4, (16, 2))
    rows[6:, 28] = 0.002
    stack.run_until(stack.now + 0.1)
    stack.do(events.ChunkArrived(dataclasses.replace(chunk, rows=rows)))
    due = stack.scheduler.path.time(stack.scheduler.path.last_row - 15 + 6)
    stack.run_until(stack.now + 1.0)
    assert [(arm, width) for _, arm, width in stack.gripper_moves] == [("left", 0.0)]
    assert due - 1e-6 <= stack.gripper_moves[0][0] <= due + 0.011


def test_measured_states_are_published_with_mode_and_epoch(stack):
    stack.begin()
    stack.run_until(stack.now + 1.0)
    assert len(stack.states) >= 100
    state = stack.states[-1]
    assert state.stamp == stack.now and state.mode is Mode.POLICY and state.task_epoch == 1
    np.testing.assert_allclose(state.values[JOINTS], stack.robot.home, atol=1e-6)


@pytest.mark.parametrize("memory", MemoryPolicy)
def test_task_set_while_moving_cancels_the_branch_ends_within_a_chunk_and_carries_its_memory_policy(stack, memory):
    stack.begin()
    stack.answer(speed=0.3)
    branch, rows_end = stack.requests[-1], stack.scheduler.path.time(stack.scheduler.path.last_row)
    stack.run_until(stack.now + 0.2)
    sent = len(stack.controller.messages)
    stack.do(events.TaskSet("place the block", memory))
    assert stack.cancelled == [branch.chunk_id]
    stack.do(events.ChunkArrived(stack.chunk(branch)))
    stack.run_until(rows_end + 1.0)
    assert len(stack.controller.messages) == sent, "nothing of the old branch, and no stop in the middle"
    request = stack.requests[-1]
    assert request.at_rest and request.memory_policy is memory and request.task_epoch == 2
    assert request.observe_at < rows_end + 0.3
    stack.answer()
    assert stack.requests[-1].memory_policy is MemoryPolicy.KEEP
