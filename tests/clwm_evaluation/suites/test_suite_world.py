"""What each condition of a suite does to a world, to the sentence and to what is judged."""

from contextlib import closing

import numpy as np
import pytest

from clwm_evaluation.suites.conditions import CUE_DELAYS, NOMINAL_CONDITION, SUITES
from clwm_evaluation.suites.world import SuiteWorld
from clwm_sim.goals.keep_still import KeepStill
from clwm_sim.looks.looks import CameraLook
from clwm_sim.looks.views import head_sees
from clwm_sim.scenes.cue import CHUNK, SHOWN
from clwm_sim.shipped_tasks import TASKS

CONDITIONS = {condition.name: condition for suite in SUITES.values() for condition in suite}
SEED = 1_000_003


@pytest.fixture(scope="module")
def world():
    with closing(SuiteWorld("place_block")) as made:
        yield made


def begin(world, condition, task, seed=SEED):
    world.condition = CONDITIONS[condition]
    world.reset(seed, task)
    return world


def picture(world, condition, task):
    return begin(world, condition, task).render("head")


def test_every_suite_begins_with_what_its_conditions_are_compared_with():
    assert all(suite[0].name == NOMINAL_CONDITION.name for name, suite in SUITES.items() if name != "memory")
    assert all(len({condition.name for condition in suite}) == len(suite) for suite in SUITES.values())


@pytest.mark.parametrize("task", ["place_block", "blocks:place"])
@pytest.mark.parametrize("condition", ["random-colours", "cameras-off", "strong-looks", "distractors"])
def test_a_changed_look_is_seen_alike_in_the_same_episode_and_gone_in_the_next(world, condition, task):
    nominal, changed = picture(world, "nominal", task), picture(world, condition, task)
    assert np.abs(changed.astype(int) - nominal).max() > 20
    assert np.array_equal(picture(world, condition, task), changed)
    assert np.array_equal(picture(world, "nominal", task), nominal)


def test_distractors_stand_in_the_picture_and_apart_from_what_is_asked_for(world):
    for task in ("place_block", "lift_tray", "tray:load_tray"):
        obstacles = begin(world, "distractors", task).situation().obstacles
        assert len(obstacles) == 3
        for one in obstacles:
            assert head_sees([(*one.place, 0.02)], CameraLook(), world.scene.head_fovy)
            places = [state.position[:2] for state in world.situation().objects.values()]
            assert min(np.linalg.norm(place - one.place) for place in places) > one.extent + 0.02


def test_random_colours_leave_what_is_named_its_colour(world):
    begin(world, "nominal", "blocks:place")
    blocks = [world._model.geom(f"block{index}/{part.name}").id for index in range(3) for part in _parts(world, index)]
    before = world._model.geom_rgba[blocks].copy()
    begin(world, "random-colours", "blocks:place")
    assert np.array_equal(world._model.geom_rgba[blocks], before)


def _parts(world, index):
    return world.layout.things[f"block{index}"].parts


@pytest.mark.parametrize(("task", "name"), [("place_block", "block"), ("blocks:place", "block0")])
def test_other_physics_are_those_of_the_episode_alone(world, task, name):
    def found():
        model = world._model
        geoms = np.flatnonzero(model.geom_bodyid == model.body(name).id)
        return float(model.body(name).mass[0]), float(model.geom_friction[geoms, 0].max()), world.physics.latency

    begin(world, "nominal", task)
    mass, friction, _ = found()
    begin(world, "heavy", task)
    assert found() == pytest.approx((3.0 * mass, friction, 0.0))
    begin(world, "slippery", task)
    assert found() == pytest.approx((mass, 0.6 * friction, 0.0))
    # Of two surfaces that touch the larger friction counts.
    assert world._model.geom("table").friction[0] == pytest.approx(0.6)
    begin(world, "late", task)
    assert found() == pytest.approx((mass, friction, 0.05))


def test_held_out_wordings_are_those_that_no_training_sees(world):
    begin(world, "held-out", "place_block")
    said = {world.instruction(seed) for seed in range(20)}
    assert said <= set(TASKS["place_block"].held_out) and len(said) > 2


@pytest.mark.parametrize("task", ["place_block", "lift_tray", "blocks:place", "pot:lift_pot", "switches:turn_lever"])
def test_told_another_goal_the_first_one_is_judged(world, task):
    begin(world, "nominal", task)
    asked = world.goal.name
    begin(world, "another", task)
    assert world.goal.name == asked
    assert world.instruction(SEED) not in world.goal.sentences() + world.goal.sentences(held_out=True)


@pytest.mark.parametrize("task", ["lift_tray", "tray:lift_tray"])
def test_asked_to_keep_still_arms_that_stay_succeed_and_arms_that_move_fail(world, task):
    begin(world, "keep-still", task)
    assert world.instruction(SEED) in KeepStill.training
    positions, widths = world.setpoint()
    world.advance(5.0)
    assert world.succeeded() and world.reason("") == ""
    begin(world, "keep-still", task)
    world.advance(1.5, lambda time: (positions - 0.3 * time, widths))
    assert world.failed() and world.reason("") == "moved"


@pytest.mark.parametrize("task", ["lift_tray", "tray:lift_tray"])
def test_told_to_act_while_stillness_is_judged_the_sentence_is_the_goals_and_arms_that_move_fail(world, task):
    begin(world, "nominal", task)
    sentences = world.goal.sentences()
    begin(world, "not-told-still", task)
    assert world.instruction(SEED) in sentences
    positions, widths = world.setpoint()
    world.advance(1.5, lambda time: (positions - 0.3 * time, widths))
    assert world.failed() and world.reason("") == "moved"


@pytest.mark.parametrize("delay", CUE_DELAYS)
def test_the_cue_comes_back_after_the_chunks_of_its_condition(world, delay):
    begin(world, f"after-{delay}", "cue:recall_side")
    assert world.layout.changes[-1].at == pytest.approx(SHOWN + CHUNK * delay)
    assert world.goal.timeout > world.layout.changes[-1].at


def test_pictures_of_an_episode_are_there_once_something_was_seen(world):
    begin(world, "nominal", "place_block")
    assert world.first_picture() is None and world.strip() is None
    world.render("head")
    assert world.strip().startswith(b"\xff\xd8") and world.first_picture().startswith(b"\xff\xd8")
