"""Re-entry policies: what they accept, and where they resume."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clwm_policy.engine.re_entry import START, Fixed, Plan, Point, ReEntryError, Sequential, parse_re_entry

plans = st.builds(Plan, st.integers(1, 20), st.integers(1, 20))


def points(plan: Plan):
    before_stage_2 = st.builds(Point, st.integers(0, plan.video_steps))
    in_stage_2 = st.builds(Point, st.just(plan.video_steps), st.integers(0, plan.action_steps))
    return st.one_of(before_stage_2, in_stage_2)


@given(st.data(), plans, st.floats(0.0, 1.0))
def test_a_choice_is_never_past_what_was_reached_nor_past_s_mid(data, plan, s_mid):
    reached = data.draw(points(plan))
    chosen = Fixed(s_mid).choose(reached, plan)
    assert chosen <= reached
    assert chosen.action / plan.action_steps <= s_mid + 1e-9


@given(plans)
def test_fixed_with_a_finished_speculation_resumes_at_its_goal(plan):
    reached = Point(plan.video_steps, plan.action_steps)
    assert Fixed(0.5).choose(reached, plan) == Point(plan.video_steps, plan.action_steps // 2)


@given(st.integers(1, 1000), st.data())
def test_a_stated_multiple_of_a_step_is_not_rounded_down(steps, data):
    index = data.draw(st.integers(0, steps))
    assert Fixed(index / steps).goal(Plan(2, steps)).action == index


def test_fixed_with_nothing_stored_starts_from_the_start():
    assert Fixed(0.5).choose(START, Plan(2, 4)) == START


def test_sequential_keeps_nothing_of_a_finished_speculation():
    assert Sequential().choose(Point(2, 8), Plan(2, 8)) == START
    assert not Sequential().speculates


@pytest.mark.parametrize("text", ["sequential", "fixed:0.5", "fixed:0", "fixed:1"])
def test_a_policy_is_named_as_it_is_written(text):
    assert parse_re_entry(text).name == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("adaptve", "'adaptve' is unknown"),
        ("", "'' is unknown"),
        ("fixed", "expected a number between 0 and 1"),
        ("fixed:half", "'half'"),
        ("fixed:1.5", "1.5"),
        ("fixed:-0.1", "-0.1"),
        ("fixed:nan", "nan"),
        ("sequential:0.5", "takes no argument"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_what_was_expected(text, said):
    with pytest.raises(ReEntryError, match=said):
        parse_re_entry(text)


@pytest.mark.parametrize("steps", [0, -1, 2.0, True, 100_000])
def test_a_plan_without_a_whole_positive_number_of_steps_is_refused(steps):
    with pytest.raises(ReEntryError, match="action_steps"):
        Plan(2, steps)
