"""Bad chunks, silent sensors, jumps: nothing moves unexpectedly, the reason is told, and good input goes on."""

import re

import numpy as np
import pytest

from clwm_common.actions import JOINTS
from clwm_common.messages import Mode
from clwm_sai_executor import events
from clwm_sai_executor.scheduler import Phase


def spoiled(chunk, row, channel, value):
    rows = chunk.rows.copy()
    rows[row, channel] = value
    return rows


BAD_CHUNKS = {
    "NaN": (lambda c: {"rows": spoiled(c, 9, 17, np.nan)}, r"\[9\] channel left_joint4 is nan"),
    "infinity in a pose": (lambda c: {"rows": spoiled(c, 9, 0, np.inf)}, r"\[9\] channel left_x is inf"),
    "29 columns": (lambda c: {"rows": c.rows[:, :29]}, r"shape \(16, 29\); expected \(16, 30\)"),
    "15 rows": (lambda c: {"rows": c.rows[:15]}, r"shape \(15, 30\); expected \(16, 30\)"),
    "another layout": (lambda c: {"layout_version": 2}, "layout version 2, 1 expected"),
    "another row time": (lambda c: {"dt": 0.1}, "0.1 s between rows; expected 0.05 s"),
    "another prefix length": (lambda c: {"prefix_rows": 9}, "repeats 9 committed rows"),
    "another start": (lambda c: {"rows": spoiled(c, 0, 20, 1.5)}, "rad from the committed rows"),
    "a jerk": (lambda c: {"rows": spoiled(c, slice(9, 16, 2), 14, c.rows[0, 14] + 0.48)}, "jerks joint 0"),
    "no rotation": (lambda c: {"rows": spoiled(c, 9, slice(3, 7), 0.0)}, "quaternion of length 0.000"),
    "millimetres": (lambda c: {"rows": spoiled(c, 9, 28, 40.0)}, "beyond its range"),
    "a leap": (lambda c: {"rows": spoiled(c, 8, 14, 2.0)}, r"row 8 is .* rad from the row before it"),
}


@pytest.mark.parametrize("spoil", BAD_CHUNKS)
def test_bad_chunk_is_refused_with_its_reason_and_the_arms_hold_until_an_operator_clears_it(stack, spoil):
    change, reason = BAD_CHUNKS[spoil]
    stack.begin()
    stack.answer(speed=0.3)
    request, sent = stack.requests[-1], len(stack.controller.messages)
    stack.run_until(request.observe_at + 0.05)
    good = stack.chunk(request)
    stack.do(events.ChunkArrived(stack.chunk(request, **change(good))))
    assert stack.scheduler.mode is Mode.HOLD
    assert re.search(reason, stack.scheduler.fault), stack.scheduler.fault
    stack.do(events.ChunkArrived(good))
    stack.run_until(stack.now + 3.0)
    assert len(stack.controller.messages) == sent + 1, "one message that brakes"
    assert len(stack.requests) == request.chunk_id
    assert not stack.controller.sample(stack.now)[1].any()
    stack.resume()
    assert stack.scheduler.fault == "" and stack.requests[-1].at_rest


@pytest.mark.parametrize("fields", [{"chunk_id": 99}, {"task_epoch": 0}, {"chunk_id": 1}])
def test_unknown_stale_or_repeated_chunk_is_dropped_and_the_wanted_one_still_counts(stack, fields):
    stack.begin()
    stack.answer()
    stack.run_until(stack.requests[-1].observe_at + 0.02)
    sent = len(stack.controller.messages)
    stack.do(events.ChunkArrived(stack.chunk(**fields)))
    assert len(stack.controller.messages) == sent and stack.scheduler.mode is Mode.POLICY
    assert stack.scheduler.metrics.summary()["dropped"] == 1
    stack.answer()
    assert len(stack.controller.messages) == sent + 1


def test_joint_state_from_before_the_arms_came_to_rest_is_not_held(make_stack):
    stack = make_stack(state_timeout=0.4, refuse_jerk=100.0)
    stack.begin()
    stack.answer(speed=1.0)
    stack.run_until(stack.scheduler.path.time(stack.scheduler.path.last) - 0.2)
    stack.do(events.TaskSet("another task"))
    measured = stack.now
    assert np.abs(stack.controller.sample(measured)[1]).max() > 0.5, "still moving when measured last"
    sent, asked = len(stack.controller.messages), len(stack.requests)
    stack.is_measured = False
    stack.run_until(measured + 0.35)
    assert stack.scheduler.is_at_rest and len(stack.controller.messages) == sent
    assert len(stack.requests) == asked, "asked once the arms are seen at rest"
    stack.is_measured = True
    stack.run_until(stack.now + 0.02)
    assert len(stack.requests) == asked + 1
    stack.answer(speed=0.1)
    seam = (
        stack.controller.sample(stack.now)[0]
        - stack.controller.sample(stack.now - 0.01, stack.controller.messages[-2])[0]
    )
    assert np.abs(seam).max() < 1e-6


def test_silent_joint_states_brake_the_arms_and_their_return_resumes_by_itself(stack):
    stack.begin()
    stack.answer(speed=1.0)
    stack.run_until(stack.now + 0.2)
    stack.is_measured = False
    silent_from = stack.now
    stack.run_until(silent_from + 0.22)
    assert stack.scheduler.phase is Phase.BLIND and "joint states are" in stack.scheduler.fault
    sent = len(stack.controller.messages)
    stack.run_until(silent_from + 2.0)
    assert len(stack.controller.messages) == sent
    assert not stack.controller.sample(silent_from + 0.22 + 0.3)[1].any()
    stack.is_measured = True
    stack.run_until(stack.now + 0.02)
    assert stack.scheduler.fault == "" and stack.scheduler.phase is Phase.ASKED


def test_joint_states_with_old_stamps_are_as_good_as_none(stack):
    stack.begin()
    stamp = stack.now
    for _ in range(30):
        stack.now += 0.01
        stack.do(events.MeasuredArms(stamp, stack.robot.home, np.zeros(14), stack.widths))
    assert stack.scheduler.phase is Phase.BLIND


def test_joint_state_that_comes_too_late_does_not_end_the_silence(stack):
    stack.begin()
    first = stack.now
    stack.now += 1.0
    stack.do(events.Tick())
    stack.do(events.MeasuredArms(first + 0.5, stack.robot.home, np.zeros(14), stack.widths))
    assert stack.scheduler.phase is Phase.BLIND
    stack.do(events.MeasuredArms(stack.now - 0.05, stack.robot.home, np.zeros(14), stack.widths))
    assert stack.scheduler.phase is Phase.ASKED


def test_nothing_is_asked_before_the_arms_are_measured(stack):
    stack.do(events.TaskSet("lift the tray"))
    stack.run_until(stack.now, 0.01)
    assert stack.requests == []
    stack.measure()
    assert len(stack.requests) == 1


def test_episode_reset_drops_all_and_holds_where_the_arms_are_measured_afterwards(stack):
    stack.begin()
    stack.answer(speed=1.0)
    stack.run_until(stack.now + 0.3)
    pending = stack.requests[-1]
    stack.do(events.EpisodeReset())
    stack.now += 0.01
    home = stack.robot.home
    stack.do(events.MeasuredArms(stack.now, home, np.zeros(14), stack.widths))
    assert pending.chunk_id in stack.cancelled
    np.testing.assert_array_equal(stack.controller.sample(stack.now)[0], home)
    request = stack.requests[-1]
    assert request.at_rest and request.task_epoch == 2 and len(request.executed_rows) == 0
    np.testing.assert_allclose(request.committed_prefix[0, JOINTS], home, atol=1e-6)


def test_joint_state_from_before_a_reset_is_not_held(stack):
    stack.begin()
    stack.answer(speed=1.0)
    stack.run_until(stack.now + 0.3)
    old = stack.now
    stack.now += 0.005
    stack.do(events.EpisodeReset())
    sent = len(stack.controller.messages)
    stack.do(events.MeasuredArms(old + 0.004, stack.controller.sample(old)[0], np.zeros(14), stack.widths))
    assert len(stack.controller.messages) == sent and stack.scheduler.phase is Phase.BLIND


def test_arms_that_jump_are_taken_for_reset_not_pulled_back(stack):
    stack.begin()
    stack.answer(speed=0.2)
    stack.run_until(stack.now + 0.3)
    epoch, moved = stack.scheduler.task_epoch, stack.robot.home + 0.6
    for _ in range(2):
        stack.now += 0.01
        stack.do(events.MeasuredArms(stack.now, moved, np.zeros(14), stack.widths))
    assert stack.scheduler.task_epoch == epoch + 1
    np.testing.assert_array_equal(stack.controller.sample(stack.now)[0], moved)


def test_clock_that_jumps_back_drops_all_and_goes_on(stack):
    stack.begin()
    stack.answer()
    stack.now -= 100.0
    stack.do(events.Tick())
    assert stack.scheduler.phase is Phase.BLIND and "the clock went back by 100.00 s" in stack.reports[-1]
    stack.do(events.MeasuredArms(stack.now, stack.robot.home, np.zeros(14), stack.widths))
    assert stack.scheduler.phase is Phase.ASKED and stack.requests[-1].observe_at == stack.now


@pytest.mark.parametrize("seconds", [5.0, -5.0])
def test_a_clock_that_is_set_while_the_arms_move_brings_them_to_rest_from_where_they_are(stack, seconds):
    stack.begin()
    stack.answer(speed=1.0)
    stack.run_until(stack.now + 0.3)
    epoch, (position, velocity, _) = stack.scheduler.task_epoch, stack.controller.sample(stack.now)
    stack.now += seconds
    stack.do(events.ClockJumped(seconds))
    assert stack.scheduler.phase is Phase.BLIND and stack.scheduler.task_epoch == epoch + 1
    words = "forward by 5.00 s at once" if seconds > 0.0 else "back by 5.00 s"
    assert f"the clock went {words}: dropping what was sent" in stack.reports[-1]
    stack.now += 0.01
    stack.do(events.MeasuredArms(stack.now, position, velocity, stack.widths))
    led = [stack.controller.sample(stack.now + after)[0] for after in np.arange(0.02, 1.5, 0.01)]
    assert np.abs(led[0] - position - 0.02 * velocity).max() < 1e-3, "from where the arms are"
    steps = np.abs(np.diff(led, axis=0)).max(axis=1)
    assert 0.0 < steps.max() < 0.013 and steps[-1] == 0.0, "no leap, and rest at the end"
    assert stack.scheduler.mode is Mode.POLICY


def test_a_clock_that_stands_is_a_fault_by_name_until_it_runs_and_changes_nothing_else(stack):
    stack.begin()
    stack.answer(speed=0.2)
    stack.run_until(stack.now + 0.3)
    before, phase = len(stack.controller.messages), stack.scheduler.phase
    for seconds in (2, 3):
        stack.do(events.ClockStands(f"/clock has stood at 7.00 s for {seconds} s"))
    assert (
        stack.scheduler.fault == "/clock has stood at 7.00 s for 3 s"
        and stack.modes[-1].reason == stack.scheduler.fault
    )
    assert stack.scheduler.mode is Mode.POLICY and stack.scheduler.phase is phase
    assert len(stack.controller.messages) == before
    assert sum("/clock has stood" in text for text in stack.reports) == 1
    stack.do(events.ClockStands(""))
    assert stack.scheduler.fault == "" and stack.modes[-1].reason == "" and "runs again" in stack.reports[-1]
    stack.run_until(stack.now + 1.0)
    assert not stack.scheduler.fault


def test_events_a_little_out_of_order_do_no_harm(stack):
    stack.begin()
    stack.answer()
    epoch = stack.scheduler.task_epoch
    stack.now -= 0.004
    stack.do(events.Tick())
    assert stack.scheduler.task_epoch == epoch and stack.scheduler.phase is Phase.MOVING


def test_arms_pushed_away_while_resting_are_held_where_they_are(stack):
    stack.begin()
    stack.hold()
    pushed = stack.robot.home + 0.15
    for _ in range(3):
        stack.now += 0.01
        stack.do(events.MeasuredArms(stack.now, pushed, np.zeros(14), stack.widths))
    stack.resume()
    np.testing.assert_allclose(stack.requests[-1].committed_prefix[0, JOINTS], pushed, atol=1e-6)
    assert "holding them there" in stack.reports[-1]


def test_joint_state_stamped_before_the_clock_was_set_back_hides_no_later_one(stack):
    stack.begin()
    stack.answer(speed=0.2)
    late = events.MeasuredArms(stack.now, *stack.controller.sample(stack.now)[:2], stack.widths)
    stack.now -= 50.0
    stack.do(events.Tick())
    stack.do(late)
    assert stack.scheduler.phase is Phase.BLIND
    stack.do(events.MeasuredArms(stack.now, stack.robot.home, np.zeros(14), stack.widths))
    assert stack.scheduler.phase is Phase.ASKED
    stack.is_measured = False
    stack.run_until(stack.now + 0.3)
    assert stack.scheduler.phase is Phase.BLIND


def test_chunk_made_from_old_pictures_is_dropped_and_asked_for_again(stack):
    stack.begin()
    stack.answer(speed=0.3)
    request, sent = stack.requests[-1], len(stack.controller.messages)
    stack.run_until(request.observe_at + 0.05)
    stack.do(events.ChunkArrived(stack.chunk(request, observation_stamp=request.observe_at - 0.6)))
    assert stack.scheduler.mode is Mode.POLICY and "0.60 s older" in stack.reports[-1]
    assert len(stack.controller.messages) == sent
    stack.run_until(stack.now + 1.0)
    assert stack.requests[-1].at_rest and stack.requests[-1].chunk_id == request.chunk_id + 1
    stack.answer()
    assert len(stack.controller.messages) == sent + 1 and stack.scheduler.fault == ""


def test_states_are_told_on_after_the_clock_was_set_back(stack):
    stack.begin()
    stack.now -= 100.0
    stack.do(events.Tick())
    told = len(stack.states)
    stack.run_until(stack.now + 0.1)
    assert len(stack.states) > told + 3


def test_latched_reason_outlives_a_silence_of_the_joint_states(stack):
    request = stack.begin()
    stack.do(events.ChunkUnreadable(request.chunk_id, "layout version 9"))
    stack.now += 0.5
    stack.do(events.Tick())
    assert stack.scheduler.fault.startswith("joint states")
    stack.measure()
    assert "layout version 9" in stack.scheduler.fault and stack.scheduler.mode is Mode.HOLD


def test_nothing_is_sent_when_the_episode_is_reset_while_joint_states_are_silent(stack):
    stack.begin()
    stack.answer()
    stack.now += 0.3
    before = len(stack.controller.messages)
    stack.do(events.EpisodeReset())
    assert len(stack.controller.messages) == before, "what is sent now would move the arms of the new episode"


def test_new_executor_asks_only_when_what_a_dead_one_sent_ahead_has_run_out(stack):
    position, velocity = stack.robot.home.copy(), np.full(14, 0.3)
    for _ in range(20):
        stack.now += 0.01
        position = position + 0.01 * velocity
        stack.do(events.MeasuredArms(stack.now, position, velocity, stack.widths))
        stack.do(events.TaskSet("lift the tray"))
    assert stack.requests == [] and stack.controller.messages == []
    stack.do(events.MeasuredArms(stack.now + 0.01, position, np.zeros(14), stack.widths))
    np.testing.assert_allclose(stack.requests[-1].committed_prefix[0, JOINTS], position, atol=1e-6)


def test_arms_in_motion_brake_from_where_they_are_when_the_clock_was_set_back(stack):
    stack.begin()
    stack.answer()
    stack.run_until(stack.now + 0.3)
    position, velocity, _ = stack.controller.sample(stack.now)
    assert np.abs(velocity).max() > 0.1
    stack.now -= 100.0
    stack.do(events.Tick())
    stack.now += 0.01
    stack.do(events.MeasuredArms(stack.now, position, velocity, stack.widths))
    found, speed, _ = stack.controller.sample(stack.now)
    np.testing.assert_allclose(found, position, atol=1e-3)
    np.testing.assert_allclose(speed, velocity, atol=1e-6)
    stack.run_until(stack.now + 0.4)
    assert not stack.controller.sample(stack.now)[1].any()


def test_arms_that_a_hand_leads_away_at_rest_are_asked_for_where_they_come_to_stand(make_stack):
    stack = make_stack(following_error=3.0)
    stack.measure()
    stack.hold()
    stack.do(events.TaskSet("lift the tray"))
    stack.resume()
    first = stack.requests[-1]
    stack.do(events.ChunkUnreadable(first.chunk_id, "nonsense"))
    position = stack.robot.home + 0.1
    asked = len(stack.requests)
    stack.now += 0.05
    stack.do(events.MeasuredArms(stack.now, position, np.full(14, 0.2), stack.widths))
    stack.resume()
    assert len(stack.requests) == asked, "asked for arms that somebody still moves"
    stack.now += 0.01
    stack.do(events.MeasuredArms(stack.now, position, np.zeros(14), stack.widths))
    np.testing.assert_allclose(stack.requests[-1].committed_prefix[0, JOINTS], position, atol=1e-6)


def test_an_arm_that_stops_by_itself_stops_the_other_and_holds_both_until_it_takes_commands_again(stack):
    fault = "left arm: stopped by joint_reflex (a joint met more torque than its collision threshold)"
    stack.begin()
    stack.answer(speed=0.5)
    stack.run_until(stack.now + 0.2)
    stack.do(events.DriverSaid("left", fault))
    assert stack.scheduler.mode is Mode.HOLD and stack.scheduler.fault == fault
    stopped_at = stack.now
    stack.run_until(stopped_at + 1.0)
    assert not stack.controller.sample(stopped_at + 0.4)[1].any()
    (refusal,) = [it for it in stack.do(events.ModeSet(Mode.POLICY)) if isinstance(it, events.Report)]
    assert refusal.is_refusal and refusal.text == f"mode POLICY refused: {fault}"
    stack.do(events.DriverSaid("left", ""))
    assert stack.scheduler.mode is Mode.HOLD, "an operator lets it go on, nobody else"
    stack.resume()
    assert stack.scheduler.fault == "" and stack.requests[-1].at_rest


def test_what_a_driver_says_twice_counts_once(stack):
    stack.begin()
    for _ in range(3):
        stack.do(events.DriverSaid("right", "right arm: stopped by cartesian_reflex"))
    assert stack.scheduler.metrics.summary()["driver_faults"] == 1
