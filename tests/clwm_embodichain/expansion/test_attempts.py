"""Attempts: what is prepared, played and labelled, and that a seed says all of it."""

import numpy as np
import pytest

from clwm_common.actions import GRIPPERS, JOINTS, ROW_DT
from clwm_embodichain.expansion.attempts import RETREAT_ROWS, Attempt, AttemptError, Attempts, Retreat
from clwm_embodichain.expansion.parts import Expansion
from clwm_sim.experts.goal_expert import GoalExpert
from clwm_sim.goals.lift_pot import LiftPot
from clwm_sim.goals.turn_lever import TurnLever


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


def played_with_a_jammed_hand(attempts, scene, kind, replans):
    """The attempt at which hands do not close until the goal's time is over for the first time."""
    ready = attempts.prepare(scene, kind, 0)

    def jammed(command, now):
        if ready.stage.time < ready.goal.timeout:
            command = command.copy()
            command[GRIPPERS] = 0.08
        return command

    attempt = Attempt(ready.stage, GoalExpert(ready.stage.robot), ready.goals, ready.goal, jammed, replans)
    steps = list(attempt.play())
    return attempt, steps


@pytest.mark.parametrize(("scene", "goal"), [("switches", TurnLever), ("pot", LiftPot)])
def test_attempt_that_failed_is_tried_anew_from_where_things_are_and_ends_well(attempts, monkeypatch, scene, goal):
    monkeypatch.setattr(goal, "timeout", 6.0)
    kind = goal.kind
    without, _ = played_with_a_jammed_hand(attempts, scene, kind, 0)
    assert without.outcome == "open" and without.replans == 0
    attempt, steps = played_with_a_jammed_hand(attempts, scene, kind, 1)
    assert attempt.outcome == "achieved" and attempt.replans == 1
    retreat = [index for index, step in enumerate(steps) if isinstance(step.goal, Retreat)]
    assert retreat == list(range(retreat[0], retreat[0] + RETREAT_ROWS))
    assert retreat[0] * ROW_DT == pytest.approx(attempt.goal.timeout)
    # The hands have risen, and what follows goes on from there.
    assert (steps[retreat[-1]].now.tcp[:, 2] > 0.15).all()
    assert all(np.allclose(later.row, step.executed, atol=1e-5) for step, later in zip(steps, steps[1:], strict=False))


def test_hands_that_were_asked_to_keep_still_do_not_retreat(attempts):
    attempt = attempts.prepare("pot", "keep_still", 0, Expansion.parse("recovery"))
    start = attempt.stage.situation().tcp
    for index, step in enumerate(attempt.play()):
        assert np.abs(step.now.tcp - start).max() < 0.005
        if index == 40:
            attempt.stage.displace("pot", [0.05, 0.0])  # by somebody else: the attempt fails
    assert attempt.replans == 1 and attempt.outcome == "achieved"


def test_what_is_lost_for_good_is_not_tried_anew(attempts):
    attempt = attempts.prepare("pot", "lift_pot", 0, Expansion.parse("recovery"))
    for index, _ in enumerate(attempt.play()):
        if index == 10:
            attempt.stage.displace("pot", [0.8, 0.0])
    assert attempt.outcome == "lost" and attempt.replans == 0


def test_a_control_is_never_tried_anew(attempts):
    attempt = attempts.prepare("switches", "turn_lever", 0, Expansion.parse("recovery"), is_control=True)
    list(attempt.play())
    assert attempt.outcome != "achieved" and attempt.replans == 0


def test_disturbed_commands_of_a_stretched_arm_stay_within_its_joints_velocity_limits(attempts):
    attempt = attempts.prepare("handover", "hand_over", 10, Expansion.parse("reachability,recovery"))
    rows = np.stack([step.row for step in attempt.play()])
    speed = np.abs(np.diff(rows[:, JOINTS], axis=0)) / ROW_DT
    assert (speed <= attempt.stage.robot.limit("velocity")).all()


def test_nothing_goes_wrong_for_hands_that_keep_still_with_something_in_them(attempts):
    attempt = attempts.prepare("blocks", "keep_still", 57, Expansion.parse("all"), is_midway=True)
    assert attempt.stage.measured().widths.min() < 0.06
    assert all(np.array_equal(step.command, step.executed) for step in attempt.play())
    assert attempt.outcome == "achieved" and attempt.replans == 0
