"""Goals of a gripper's action: one request at a time, the newest wish wins, problems are told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clwm_sai_executor.outputs.gripper_goals import PATIENCE, GripperGoals

LONGEST = 3.6  # s


def there() -> bool:
    return True


def absent() -> bool:
    return False


@pytest.fixture
def goals():
    return GripperGoals(LONGEST)


def test_wish_is_sent_once(goals):
    goals.want(0.04)
    assert goals.next(0.0, there).width == 0.04
    assert goals.next(0.1, there) is None


def test_wishes_during_a_request_wait_and_only_the_newest_is_sent(goals):
    goals.want(0.08)
    first = goals.next(0.0, there)
    goals.want(0.04)
    goals.want(0.0)
    assert goals.next(0.1, there) is None
    goals.answered(first, is_accepted=True)
    assert goals.next(0.2, there).width == 0.0


def test_accepted_goal_is_overtaken_before_its_end(goals):
    goals.want(0.08)
    goals.answered(goals.next(0.0, there), is_accepted=True)
    goals.want(0.0)
    assert goals.next(0.1, there).width == 0.0


def test_end_of_a_goal_that_was_overtaken_is_no_problem(goals):
    goals.want(0.08)
    first = goals.next(0.0, there)
    goals.answered(first, is_accepted=True)
    goals.want(0.0)
    goals.answered(goals.next(0.1, there), is_accepted=True)
    goals.ended(first, is_done=False)
    assert goals.problem == ""


def test_refused_goal_is_told_and_not_sent_again(goals):
    goals.want(0.08)
    goals.answered(goals.next(0.0, there), is_accepted=False)
    assert "0.080 m was refused" in goals.problem
    assert goals.next(5.0, there) is None


def test_goal_that_was_given_up_is_told_until_another_is_accepted(goals):
    goals.want(0.08)
    goal = goals.next(0.0, there)
    goals.answered(goal, is_accepted=True)
    goals.ended(goal, is_done=False)
    assert "given up" in goals.problem
    goals.want(0.0)
    goals.answered(goals.next(1.0, there), is_accepted=True)
    assert goals.problem == ""


def test_server_that_appears_late_gets_the_newest_wish(goals):
    goals.want(0.08)
    assert goals.next(0.0, absent) is None and goals.problem == ""
    goals.want(0.0)
    assert goals.next(PATIENCE + 0.1, absent) is None and "not there" in goals.problem
    assert goals.next(PATIENCE + 0.2, there).width == 0.0


def test_request_without_an_answer_is_sent_again(goals):
    goals.want(0.08)
    lost = goals.next(0.0, there)
    again = goals.next(PATIENCE + 0.1, there)
    assert again.width == 0.08 and again != lost and "not answered" in goals.problem
    goals.answered(lost, is_accepted=False)  # its answer comes after all, and counts for nothing
    assert "not answered" in goals.problem


def test_wish_after_a_lost_request_replaces_it(goals):
    goals.want(0.08)
    goals.next(0.0, there)
    goals.want(0.0)
    assert goals.next(PATIENCE + 0.1, there).width == 0.0


def accepted(goals, width, now=0.0):
    goals.want(width)
    goal = goals.next(now, there)
    goals.answered(goal, is_accepted=True)
    return goal


def test_goal_that_is_accepted_and_never_ends_is_told_with_its_width_and_since_when(goals):
    goal = accepted(goals, 0.04)
    goals.next(LONGEST - 0.1, there)
    assert goals.problem == ""
    goals.next(LONGEST + 0.1, there)
    goals.next(LONGEST + 5.1, there)
    assert "goal 0.040 m was accepted and has not ended within 3.6 s; is the hand blocked" in goals.problem
    assert goals.problem.endswith("(for 5 s)")
    goals.ended(goal, is_done=True)
    assert goals.problem == ""


def test_server_that_accepts_every_goal_and_ends_none_cannot_hide_behind_new_ones(goals):
    for step in range(10):
        accepted(goals, 0.01 * (step % 8), now=float(step))
    goals.next(10.0, there)
    assert "has not ended within" in goals.problem


def test_server_that_drops_goals_for_newer_ones_is_alive(goals):
    last = accepted(goals, 0.08)
    for step in range(1, 10):
        now = float(step)
        newer = accepted(goals, 0.01 * (step % 8), now)
        goals.ended(last, is_done=False)
        last = newer
        goals.next(now + 0.5, there)
        assert goals.problem == ""


def test_server_that_dies_within_a_goal_is_told_and_gets_it_again_when_it_is_back(goals):
    accepted(goals, 0.04)
    goals.next(1.0, absent)
    goals.next(5.0, absent)
    assert "its action server went away during goal 0.040 m; start the gripper's driver again" in goals.problem
    assert goals.next(6.0, there).width == 0.04
    goals.answered(goals._asked, is_accepted=True)
    assert goals.problem == ""


def test_wish_while_a_server_is_away_replaces_the_goal_it_died_in(goals):
    accepted(goals, 0.04)
    goals.next(1.0, absent)
    goals.want(0.0)
    assert goals.next(2.0, there).width == 0.0


@given(st.lists(st.one_of(st.floats(0.0, 0.08), st.sampled_from(["yes", "no", "ready", "away", "later"])), max_size=40))
def test_whatever_happens_one_request_is_open_and_the_last_wish_is_sent_in_the_end(happenings):
    goals, now, is_ready, unanswered, sent, wish = GripperGoals(LONGEST), 0.0, True, [], [], None
    for happening in happenings:
        match happening:
            case float():
                wish = happening
                goals.want(wish)
            case "yes" | "no":
                if unanswered:
                    goals.answered(unanswered.pop(), is_accepted=happening == "yes")
            case "ready" | "away":
                is_ready = happening == "ready"
            case "later":
                now += 1.5 * PATIENCE
                unanswered.clear()
        if goal := goals.next(now, there if is_ready else absent):
            assert not unanswered
            unanswered.append(goal)
            sent.append(goal.width)
    if unanswered:
        goals.answered(unanswered.pop(), is_accepted=True)
    if goal := goals.next(now, there):
        sent.append(goal.width)
    assert wish is None or sent[-1] == wish
