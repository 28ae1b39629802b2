"""A world plays any scene: it judges all its goals, asks for one of them, and goes from scene to scene."""

import numpy as np
import pytest

from clwm_common.messages import Judgement, Mode, TaskStatus
from clwm_common.robot.description import RobotDescription
from clwm_sim import stage
from clwm_sim.experts.goal_expert import GoalExpert
from clwm_sim.experts.playing import play
from clwm_sim.judging import TaskJudge
from clwm_sim.registry import scenes
from clwm_sim.shipped_tasks import TASKS, UnknownTask, table_task_named, task_named
from clwm_sim.world import World

ROBOT = RobotDescription.load("dual_fr3_mujoco")


@pytest.fixture(scope="module")
def world():
    world = World("switches", 64)
    yield world
    world.close()


def pursue(world, goal):
    for _ in play(world, GoalExpert(ROBOT), goal, world.layout):
        if world.succeeded() or world.failed():
            return


def test_every_goal_of_the_scene_is_judged_by_name_and_the_asked_one_decides(world):
    world.reset(0, "switches:turn_lever")
    asked = world.goal
    assert asked.kind == "turn_lever" and world.verdicts()[asked.name] == "open"
    pursue(world, asked)
    assert world.succeeded() and not world.failed()
    verdicts = world.verdicts()
    opposite = asked.name.replace(asked.way, {"up": "down", "down": "up"}[asked.way])
    # It was there, and held for its time, before the hand came.
    assert verdicts[opposite] == "achieved" and verdicts["keep_still"] == "lost" and len(verdicts) == 5


def test_another_goal_is_judged_from_its_asking_on_and_has_its_own_time(world):
    world.reset(0, "switches:turn_lever")
    first = world.goal
    pursue(world, first)
    still = next(goal for goal in world.goals if goal.kind == "keep_still")
    world.ask(still)
    assert not world.succeeded() and not world.failed() and world.verdicts()["keep_still"] == "open"
    pursue(world, still)
    assert world.succeeded()


def test_seed_decides_layout_goal_and_sentence(world):
    drawn = []
    for _ in range(2):
        world.reset(5, "switches")
        drawn.append((world.goal.name, world.instruction(5), world.situation().tcp.tolist()))
    assert drawn[0] == drawn[1]
    names = set()
    for seed in range(12):
        world.reset(seed, "switches")
        assert world.instruction(seed) in world.goal.sentences()
        names.add(world.goal.kind)
    assert names == {"turn_lever", "keep_still"}


def test_world_goes_from_scene_to_scene_and_back_to_the_same_pictures(world, monkeypatch):
    world.reset(3, "lift_tray")
    before = world.render("head")
    world.recolour(np.random.default_rng(0))
    world.reset(3, "pot")
    assert "pot" in world.situation().objects and not np.array_equal(before, world.render("head"))
    with pytest.raises(ValueError, match="task 'pot' plays in scene 'pot'"):
        world.keypoints()
    # It is not compiled again, which would hold up a running stack.
    monkeypatch.setattr(stage, "build_model", None)
    world.reset(3, "lift_tray")
    assert np.array_equal(before, world.render("head")) and world.keypoints()["left_handle"][2] > 0.0


def test_copy_of_a_world_in_another_scene_goes_on_as_the_original_does():
    original, copy = World("blocks", 32, seed=4), World("lift_tray", 32)
    goal = original.goal
    rows = play(original, GoalExpert(ROBOT), goal, original.layout)
    for _ in range(31):
        next(rows)
    copy.become(original)
    joints, widths = original.setpoint()
    for each in (original, copy):
        each.advance(2.5, lambda time: (joints + 0.05 * (time - 1.5), widths))
    for name, state in original.situation().objects.items():
        assert np.array_equal(state.position, copy.situation().objects[name].position)
    assert copy.verdicts() == original.verdicts() and copy.goal is goal
    assert np.array_equal(copy.render("head"), original.render("head"))


def test_judging_a_copy_does_not_judge_the_original():
    original, copy = World("pot:keep_still", 32), World("pot", 32)
    copy.become(original)
    copy.advance(5.0)
    assert copy.succeeded() and original.verdicts()["keep_still"] == "open"


@pytest.mark.parametrize("name", scenes())
def test_scene_is_a_task_of_its_name(name):
    assert task_named(name).scene is scenes()[name]


def test_unknown_goal_of_a_scene_and_unknown_task_are_answered_with_what_there_is():
    with pytest.raises(UnknownTask, match="'fly' is not offered in scene 'pot'; expected one of lift_pot, keep_still"):
        task_named("pot:fly")
    with pytest.raises(UnknownTask, match="'juggle' does not exist; expected one of lift_tray, .*, blocks, "):
        task_named("juggle")
    assert not set(TASKS) & set(scenes())


def test_what_needs_the_first_tasks_expert_refuses_a_scene():
    assert table_task_named("remember_side:20").delay == 20
    with pytest.raises(UnknownTask, match="'blocks' is a scene, .* expected one of lift_tray, place_block"):
        table_task_named("blocks")


def test_any_wording_of_any_goal_of_the_scene_is_judged_in_the_running_stack(world):
    world.reset(2, "switches")
    for goal in world.goals:
        for words in goal.sentences()[:2] + goal.sentences(held_out=True)[:1]:
            status = TaskStatus(0.0, Mode.POLICY, "ASKED", 1, 0.0, words, "", is_active=True)
            verdict = TaskJudge().begin(0.0, status, world.goals)
            assert (verdict.outcome, verdict.goal) == (Judgement.OPEN, goal.name)


def test_of_many_goals_one_of_each_kind_is_named_to_who_asks_for_something_else(world):
    world.reset(2, "switches")
    status = TaskStatus(0.0, Mode.POLICY, "ASKED", 1, 0.0, "dance", "", is_active=True)
    verdict = TaskJudge().begin(0.0, status, world.goals)
    assert verdict.outcome is Judgement.UNJUDGED
    lever = world.goals[0]
    first = f"it judges {lever.name}, for instance '{lever.sentences()[0]}'; keep_still, for instance 'keep still'"
    assert f"{first}; and 3 more of their kinds. Say" in verdict.reason


def test_a_goal_that_must_be_kept_is_judged_against_how_things_were_when_it_was_asked(world):
    world.reset(2, "switches")
    judge = TaskJudge()
    judge.begin(0.0, TaskStatus(0.0, Mode.POLICY, "ASKED", 1, 0.0, "keep still", "", is_active=True), world.goals)
    now = world.situation()
    found = [judge.look(0.02 * step, 0.02 * step, now) for step in range(300)]
    (verdict,) = [verdict for verdict in found if verdict]
    assert verdict.outcome is Judgement.SUCCEEDED and verdict.stamp == pytest.approx(4.8, abs=0.05)
