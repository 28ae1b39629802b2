"""What is cut when a chunk is needed sooner than it can be made whole."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clwm_policy.engine.calibration import Calibration
from clwm_policy.engine.deadline import Course, StepTimes, course
from clwm_policy.engine.engine import CUTS_IN_A_ROW
from clwm_policy.engine.program import Step
from clwm_policy.engine.re_entry import START, Adaptive, Plan, Point
from clwm_policy.engine.refinement import refinements

PLAN = Plan(2, 4)
KEPT = tuple(refinements(PLAN))
COSTS = {Step.WRITE: 0.004, Step.ABSORB: 0.009, Step.VIDEO: 0.008, Step.PREVIEW: 0.01, Step.ACTION: 0.006}


def known_times() -> StepTimes:
    times = StepTimes(warm_up=0)
    for step, seconds in COSTS.items():
        times.add(step, seconds)
    return times


@pytest.fixture
def hurried_episode(make_episode):
    """An engine that trusts nothing but what a deadline forces upon it, and knows how long its steps take."""

    def make(bound=0.9):
        table = Calibration(PLAN, 0.95, (1e9,), ((bound,) * len(KEPT),), "tiny", "e" * 64)
        episode = make_episode("fixed:1")
        episode.engine._re_entry = Adaptive(calibration=table)
        episode.engine._times = known_times()
        return episode

    return make


def finish(episode, time_left, speculate=True):
    episode.engine.request(episode.next_request())
    while speculate and episode.engine.advance():
        pass
    chunk = episode.engine.finish(episode.frame(), episode.state(), time_left=time_left)
    episode.last = chunk
    return chunk, episode.engine.report()


def test_warm_up_calls_do_not_count_and_old_ones_are_forgotten():
    times = StepTimes(window=3, warm_up=2, quantile=1.0)
    for seconds in (9.0, 8.0):
        times.add(Step.ACTION, seconds)
    assert times.expected(Step.ACTION) == 0.0
    for seconds in (5.0, 1.0, 2.0, 3.0):
        times.add(Step.ACTION, seconds)
    assert times.expected(Step.ACTION) == 3.0


def test_with_time_enough_nothing_is_cut():
    for chosen in (START, *KEPT):
        way = course(chosen, PLAN, KEPT, known_times(), 1.0)
        assert (way.point, way.is_cut) == (chosen, False)


def test_a_verified_speculation_is_resumed_as_early_as_the_time_allows():
    # From the start takes 53 ms; refining the prediction and two steps of stage 2 take 34 ms, without it 12 ms.
    assert course(START, PLAN, KEPT, known_times(), 0.0345).point == Point(1, 0)
    assert course(START, PLAN, KEPT, known_times(), 0.0125).point == Point(2, 2)
    assert course(START, PLAN, KEPT, known_times(), 0.0065).point == Point(2, 3)
    assert course(START, PLAN, KEPT, known_times(), -1.0).point == Point(2, 4)


def test_without_a_speculation_fewer_and_larger_steps_are_taken():
    way = course(START, PLAN, (), known_times(), 0.0475)
    assert way.point == START and way.is_cut
    assert way.video_steps + way.action_steps == 5
    assert course(START, PLAN, (), known_times(), -1.0) == course(START, PLAN, (), known_times(), 0.0)
    assert (way.video_steps, way.action_steps) != (0, 0)


@given(st.floats(-0.1, 0.1), st.sampled_from((START, *KEPT)), st.booleans())
def test_a_course_fits_or_nothing_shorter_was_left_and_never_starts_before_what_was_chosen(left, chosen, speculated):
    times, kept = known_times(), KEPT if speculated else ()
    way = course(chosen, PLAN, kept, times, left)
    assert way.point >= chosen
    if way == Course(START):
        assert times.from_start(PLAN.video_steps, PLAN.action_steps) <= left
        return
    if way.point == START:
        assert way.video_steps >= 1 and way.action_steps >= 1
        needed = times.from_start(way.video_steps, way.action_steps)
        shortest = (way.video_steps, way.action_steps) == (1, 1)
    else:
        needed = times.of_refinement(refinements(PLAN)[way.point])
        shortest = way.point == KEPT[-1] or not kept
    assert needed <= left or shortest


def test_a_deadline_in_the_past_sends_the_corrected_speculation_and_says_that_no_bound_is_known(hurried_episode):
    episode = hurried_episode()
    episode.run(1)
    chunk, report = finish(episode, time_left=-3.0)
    assert np.isfinite(chunk.rows).all()
    assert (report.re_entry_s, report.uncalibrated, report.nfe_blocking) == (1.0, True, 2)
    assert report.expected_deviation == 0.9


def test_no_more_than_a_few_chunks_in_a_row_are_cut(hurried_episode):
    episode = hurried_episode()
    episode.run(1)
    cut = [finish(episode, time_left=-3.0)[1].uncalibrated for _ in range(2 * CUTS_IN_A_ROW + 2)]
    assert cut == ([True] * CUTS_IN_A_ROW + [False]) * 2


def test_steps_left_out_are_counted_and_no_deviation_is_claimed(hurried_episode):
    episode = hurried_episode()
    episode.run(1)
    chunk, report = finish(episode, time_left=-3.0, speculate=False)
    assert np.isfinite(chunk.rows).all()
    assert report.steps_cut == PLAN.video_steps + PLAN.action_steps - 2
    assert report.nfe_blocking == 1 + 1 + 1 + 1
    assert math.isnan(report.expected_deviation)


def test_a_deadline_changes_nothing_for_policies_that_do_not_keep_it(make_episode):
    whole, hurried = make_episode("sequential"), make_episode("sequential")
    hurried.engine._times = known_times()
    for episode, left in ((whole, math.inf), (hurried, -1.0)):
        finish(episode, left)
    np.testing.assert_array_equal(whole.last.rows, hurried.last.rows)
    assert hurried.engine.report().steps_cut == 0
