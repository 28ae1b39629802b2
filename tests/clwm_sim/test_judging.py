"""Verdicts belong to the epoch that asked, and to a goal that the world can judge."""

from dataclasses import dataclass

import pytest

from clwm_common.messages import Judgement, Mode, TaskStatus
from clwm_common.robot.description import RobotDescription
from clwm_sim.judging import TaskJudge, normalised
from clwm_sim.pacing import EpisodeSeen, PacedSimulation, Verdict
from clwm_sim.shipped_tasks import TASKS
from clwm_sim.world import World

NOW = 1_700_000_000.0


@dataclass
class Goal:
    """A goal whose situation is a word."""

    name: str = "greet"
    hold_time: float = 0.3
    settling: float = 0.0
    loss: str = "the guest has left"

    def sentences(self, *, held_out=False):
        return ("greet the guest",) if held_out else ("say hello",)

    def is_achieved(self, now, start):
        return now == "greeted"

    def is_lost(self, now, start):
        return now == "left"


def asked(epoch=1, instruction="say hello", goal=""):
    return TaskStatus(NOW, Mode.POLICY, "ASKED", epoch, NOW, instruction, goal, is_active=True)


@pytest.fixture
def judge():
    judge = TaskJudge()
    judge.begin(NOW, asked(), [Goal()])
    return judge


def outcomes(judge, situations, start=5.0):
    """(s of simulated time, outcome) of the verdicts on situations 20 ms apart."""
    found = []
    for step, situation in enumerate(situations):
        elapsed = start + 0.02 * step
        if verdict := judge.look(NOW + elapsed, elapsed, situation):
            found.append((round(elapsed - start, 2), verdict.outcome))
    return found


def test_a_sentence_is_known_whatever_its_case_white_space_and_end():
    assert normalised("  Put the\tBlock on the pad!! ") == normalised("put the block on the pad.")


@pytest.mark.parametrize("sentence", ["say hello", "Greet  the guest."])
def test_a_known_sentence_is_judged_by_its_goal(sentence):
    verdict = TaskJudge().begin(NOW, asked(4, sentence), [Goal()])
    assert (verdict.outcome, verdict.goal, verdict.task_epoch) == (Judgement.OPEN, "greet", 4)


@pytest.mark.parametrize("wanted", [asked(instruction="dance"), asked(goal="bow")])
def test_what_cannot_be_judged_is_said_to_be_unjudged_with_what_can_and_never_succeeds(wanted):
    judge = TaskJudge()
    verdict = judge.begin(NOW, wanted, [Goal()])
    assert verdict.outcome is Judgement.UNJUDGED and verdict.goal == ""
    assert "it judges greet, for instance 'say hello'" in verdict.reason
    assert outcomes(judge, ["greeted"] * 50 + ["left"]) == []


def test_a_goal_named_with_the_task_is_judged_whatever_the_words():
    assert TaskJudge().begin(NOW, asked(instruction="los", goal="greet"), [Goal()]).outcome is Judgement.OPEN


def test_success_needs_the_hold_time_after_the_epoch_began_even_if_it_held_before(judge):
    assert outcomes(judge, ["greeted"] * 20) == [(0.3, Judgement.SUCCEEDED)]
    assert judge.begin(NOW, asked(2), [Goal()]).outcome is Judgement.OPEN
    assert outcomes(judge, ["greeted"] * 20, start=9.0) == [(0.3, Judgement.SUCCEEDED)]


def test_a_predicate_that_flickers_is_no_success(judge):
    assert outcomes(judge, (["greeted"] * 10 + ["waiting"]) * 5) == []


def test_a_goal_lost_for_good_is_a_failure_in_words_and_final(judge):
    verdict = judge.look(NOW, 5.0, "left")
    assert (verdict.outcome, verdict.reason) == (Judgement.FAILED, "the guest has left")
    assert outcomes(judge, ["greeted"] * 50) == []


def test_time_alone_fails_nothing(judge):
    assert outcomes(judge, ["waiting"] * 10_000) == []


def test_the_same_task_again_in_the_status_begins_nothing_anew(judge):
    assert outcomes(judge, ["greeted"] * 10) == []
    assert judge.begin(NOW, asked(), [Goal()]) is None
    assert outcomes(judge, ["greeted"] * 10, start=5.2) == [(0.1, Judgement.SUCCEEDED)]


def test_after_a_reset_nothing_is_judged_until_another_epoch_asks(judge):
    judge.drop()
    assert judge.begin(NOW, asked(), [Goal()]) is None
    assert outcomes(judge, ["greeted"] * 50) == []
    assert judge.begin(NOW, asked(2), [Goal()]).task_epoch == 2


def test_without_a_task_nothing_is_judged(judge):
    assert judge.begin(NOW, asked(1, ""), [Goal()]) is None
    assert outcomes(judge, ["greeted"] * 50) == []


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_task_can_say_how_it_is_lost(task):
    assert task.loss


def test_a_task_asked_for_after_the_worlds_own_time_is_open_and_a_reset_counts_as_another_episode():
    robot = RobotDescription.load("dual_fr3_mujoco")
    world = World("lift_tray", image_size=32, robot=robot)
    world.task = type("Hurried", (type(world.task),), {"timeout": 0.05})()
    simulation = PacedSimulation(world, robot, seed=3, now=NOW, steady=0.0, episodes=7)
    seen = [item for step in range(30) for item in simulation.run(NOW + 0.01 * step, 0.01 * step)]
    assert [item.failed for item in seen if isinstance(item, EpisodeSeen)][-1]
    assert simulation.judge(asked(instruction="grasp the tray by its handles and raise it")).outcome is Judgement.OPEN
    seen = [item for step in range(30, 60) for item in simulation.run(NOW + 0.01 * step, 0.01 * step)]
    assert not any(isinstance(item, Verdict) for item in seen)
    simulation.reset(4, "place_block")
    seen = [item for item in simulation.run(NOW + 0.7, 0.7) if isinstance(item, EpisodeSeen)]
    assert seen[0].episode == 9
    assert simulation.judge(asked(2, "put the block on the pad")).goal == "place_block"
    world.close()
