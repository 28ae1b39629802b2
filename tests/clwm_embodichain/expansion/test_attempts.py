"""Attempts: what is prepared, played and labelled, and that a seed says all of it."""

import numpy as np
import pytest

from clwm_embodichain.expansion.attempts import AttemptError, Attempts
from clwm_embodichain.expansion.parts import Expansion


@pytest.fixture(scope="module")
def attempts():
    return Attempts()


def test_attempt_of_one_seed_is_the_same_whatever_was_attempted_before(attempts):
    def rows():
        attempt = attempts.prepare("blocks", None, 3, Expansion.parse("recovery"), is_midway=True)
        return attempt.goal.name, np.stack([step.executed for step in attempt.play()])

    name, first = rows()
    attempts.prepare("switches", "turn_lever", 4)
    attempts.prepare("blocks", "stack", 5)
    again, second = rows()
    assert name == again and np.array_equal(first, second)


def test_step_shows_the_stage_as_its_command_was_decided_from(attempts):
    attempt = attempts.prepare("switches", "turn_lever", 0)
    for index, step in enumerate(attempt.play()):
        assert attempt.stage.time == pytest.approx(0.05 * index)
        assert np.array_equal(step.now.tcp, attempt.stage.situation().tcp)
    assert attempt.outcome == "achieved"


def test_attempt_goes_on_for_some_rows_when_its_goal_is_achieved(attempts):
    def outcomes(linger):
        attempt = attempts.prepare("switches", "turn_lever", 0)
        return [attempt.outcome for _ in attempt.play(linger)]

    assert outcomes(12) == outcomes(0) + ["achieved"] * 12


def test_label_of_a_disturbed_row_is_what_the_expert_answers_undisturbed(attempts):
    attempt = attempts.prepare("blocks", "place", 2, Expansion.parse("recovery"))
    steps = []
    for step in attempt.play():
        plan = attempt.plan(step, 16)
        assert np.array_equal(plan[0], step.row) and np.array_equal(plan[1], step.command)
        steps.append(step)
    assert any(not np.array_equal(step.command, step.executed) for step in steps)
    assert all(np.array_equal(later.row, step.executed) for step, later in zip(steps, steps[1:], strict=False))


def test_another_goal_may_be_asked_for_in_the_middle(attempts):
    attempt = attempts.prepare("switches", "turn_lever", 0)
    for _, _ in zip(range(15), attempt.play(), strict=False):
        pass
    asked = next(goal for goal in attempt.goals if goal.kind == "keep_still")
    attempt.ask(asked)
    assert {step.goal.name for step in attempt.play()} == {"keep_still"} and attempt.outcome == "achieved"


def test_goal_that_the_scene_does_not_offer_is_refused(attempts):
    with pytest.raises(AttemptError, match="scene 'pot' has no goal 'stack'"):
        attempts.prepare("pot", "stack", 0)
