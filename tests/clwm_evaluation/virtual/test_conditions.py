"""Conditions change what they name, in every episode anew and alike for one seed, and nothing else."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from clwm_bringup import cli
from clwm_evaluation.measurements.controls import by_condition
from clwm_evaluation.success_rates.evaluation import EvaluationError, EvaluationSettings, build_stack, check_settings
from clwm_evaluation.virtual.chunk_sources import ForgetfulSource
from clwm_evaluation.virtual.conditions import CONDITIONS, KEEP_STILL, ConditionedWorld
from clwm_sim.shipped_tasks import task_named
from clwm_sim.world import World

SEED = 8_000_000


@pytest.fixture(scope="module")
def nominal():
    world = World("lift_tray", seed=SEED)
    yield world
    world.close()


@pytest.fixture
def world():
    """(condition) -> the world of its episode SEED."""
    made = []

    def make(name):
        made.append(ConditionedWorld("lift_tray", CONDITIONS[name]))
        made[-1].reset(SEED)
        return made[-1]

    yield make
    for each in made:
        each.close()


def pictures(world):
    return np.stack([world.render(camera) for camera in ("head", "left_wrist")]).astype(int)


@pytest.mark.parametrize("name", ["training-looks", "strong-looks", "random-colours", "cameras-off"])
def test_looks_change_the_pictures_and_not_the_scene(world, nominal, name):
    changed = world(name)
    first = pictures(changed)
    assert np.abs(first - pictures(nominal)).mean() > 2.0
    np.testing.assert_array_equal(changed.keypoint_array(), nominal.keypoint_array())
    changed.reset(SEED + 1)
    changed.reset(SEED)
    np.testing.assert_array_equal(pictures(changed), first)


@pytest.mark.parametrize("name", ["none", "other-task", "keep-still", "heavy", "no-memory"])
def test_what_is_not_about_looks_leaves_them(world, nominal, name):
    np.testing.assert_array_equal(pictures(world(name)), pictures(nominal))


def test_the_arms_keep_their_colour_when_objects_lose_theirs(world, nominal):
    changed = world("random-colours")
    bodies = nominal._model.geom_bodyid
    of_arm = np.array(["/" in nominal._model.body(body).name for body in bodies])
    same = (changed._model.geom_rgba == nominal._model.geom_rgba).all(axis=1)
    is_seen = nominal._model.geom_rgba[:, 3] > 0.0
    assert of_arm.any() and same[of_arm].all() and not same[~of_arm & is_seen].any()


def test_heavy_objects_weigh_three_times_as_much_and_so_in_the_next_episode(world, nominal):
    changed = world("heavy")
    for name in ("tray", "block"):
        for _ in range(2):
            assert changed._model.body(name).mass == pytest.approx(3.0 * nominal._model.body(name).mass)
            changed.reset(SEED + 1)


def test_the_policy_is_told_what_the_condition_says(world, nominal):
    assert world("none").instruction(SEED) == nominal.instruction(SEED)
    assert world("keep-still").instruction(SEED) == KEEP_STILL
    assert world("other-task").instruction(SEED) in task_named("place_block").instructions


def settings(**changes):
    return EvaluationSettings.of_model("nano", task="lift_tray", **changes)


def test_an_unknown_condition_is_refused_with_the_known_ones():
    with pytest.raises(EvaluationError, match="condition 'drunk' is unknown; expected one of none, other-task"):
        check_settings(settings(condition="drunk"))


def test_without_memory_every_chunk_begins_as_a_new_episode():
    stack = build_stack(settings(condition="no-memory"))
    assert isinstance(stack._source, ForgetfulSource)
    stack.close()


def test_episodes_of_both_tasks_are_summed_by_condition():
    rows = [("none", "a", 3), ("none", "b", 4), ("heavy", "a", 1), ("heavy", "b", 0)]
    found = by_condition([{"condition": c, "task": t, "episodes": 5, "successes": n} for c, t, n in rows])
    assert [found[name]["successes"] for name in ("none", "heavy")] == [7, 1]
    assert found["heavy"]["episodes"] == 10 and found["heavy"]["by_task"]["b"] == {"episodes": 5, "successes": 0}


def test_the_command_writes_its_report(tmp_path):
    file = tmp_path / "controls.json"
    options = ["--episodes", "1", "--condition", "none", "--json", str(file)]
    result = CliRunner().invoke(cli.app, ["bench", "controls", *options])
    assert result.exit_code == 0, result.output
    report = json.loads(file.read_text())
    assert report["by_condition"]["none"]["episodes"] == 2 and report["measurement"] == "controls"
    assert len(report["policy_hash"]) == 64


def test_an_unknown_condition_ends_the_command_with_one_sentence():
    result = CliRunner().invoke(cli.app, ["bench", "controls", "--condition", "drunk"])
    assert result.exit_code == 2 and "condition 'drunk' is unknown" in result.output
