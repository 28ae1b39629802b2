"""The memory task: what is seen when, that nothing but the cue tells the side, and what counts as a right choice."""

from dataclasses import replace

import numpy as np
import pytest

from clwm_sim.cameras import CAMERAS
from clwm_sim.experts.expert_check import run_expert
from clwm_sim.experts.task_expert import Expert
from clwm_sim.shipped_tasks import RememberSide, TableSituation, UnknownTask, task_named
from clwm_sim.shipped_tasks.remember_side import CHUNK, DELAYS, HOVER, SHOWN
from clwm_sim.world import World

DELAY = 2
DURING_CUE, WAITING, CHOOSING = 0.5, SHOWN + 0.5 * CHUNK, SHOWN + CHUNK * DELAY + 0.1


@pytest.fixture(scope="module")
def compiled():
    return [World("remember_side", 64) for _ in range(2)]


@pytest.fixture
def worlds(compiled):
    """The same episode asked for with the left and with the right hand, while the arms are held where they are."""
    for arm, world in enumerate(compiled):
        world.task = RememberSide(DELAY, asked_arm=arm)
    return compiled


def seen(world, at):
    world.reset(3)
    world.advance(at)
    arms = world.measured()
    return [world.render(camera) for camera in CAMERAS], [arms.positions, arms.velocities, arms.widths]


def test_cue_is_seen_and_tells_the_side(worlds):
    (left, _), (right, _) = (seen(world, DURING_CUE) for world in worlds)
    assert not np.array_equal(left[0], right[0])
    assert worlds[0].table().pad_position[1] > 0.05 > -0.05 > worlds[1].table().pad_position[1]


@pytest.mark.parametrize("at", [SHOWN + 0.01, WAITING, CHOOSING], ids=["cue gone", "waiting", "choice"])
def test_after_the_cue_pictures_and_proprioception_are_the_same_for_both_sides(worlds, at):
    (left, left_arms), (right, right_arms) = (seen(world, at) for world in worlds)
    for one, other in zip(left + left_arms, right + right_arms, strict=True):
        assert np.array_equal(one, other)
    assert worlds[0].table().asked_arm != worlds[1].table().asked_arm


def test_pad_is_gone_for_exactly_the_delay(worlds):
    world = worlds[0]
    world.reset(0)
    there = {at: (world.advance(at), world.takes_part("pad"))[1] for at in (0.99, 1.0, 2.19, 2.2)}
    assert there == {0.99: True, 1.0: False, 2.19: False, 2.2: True}


def test_reset_forgets_what_was_still_to_happen(worlds):
    world = worlds[0]
    world.reset(0)
    world.reset(0, "place_block")
    world.advance(SHOWN + CHUNK * DELAY + 0.5)
    assert world.takes_part("pad") and world.table().asked_arm is None


def test_copied_world_goes_through_the_same_changes(worlds):
    original, copy = worlds[0], World("lift_tray", 32)
    original.reset(7)
    original.advance(0.5)
    copy.become(original)
    for world in (original, copy):
        world.advance(SHOWN + CHUNK * DELAY)
    assert np.array_equal(copy.table().pad_position, original.table().pad_position)
    assert copy.table().asked_arm == original.table().asked_arm


@pytest.mark.parametrize("arm", [0, 1], ids=["left", "right"])
def test_expert_waits_and_then_reaches_with_the_asked_hand(worlds, arm):
    world = worlds[arm]
    rows = list(run_expert(world, Expert(world), 5))
    assert world.succeeded() and not world.failed()
    choice = round((SHOWN + CHUNK * DELAY) / 0.05)
    assert np.abs(np.diff(np.stack(rows[20:choice])[:, :14], axis=0)).max() < 0.001
    assert len(rows) < choice + 50


@pytest.fixture
def reached():
    """The left hand over the pad in the middle, as asked."""
    pad = np.array([0.47, 0.01, 0.0])
    nothing = np.array([0.0, 0.0, -2.0])
    return TableSituation(
        tray_position=nothing,
        tray_rotation=np.eye(3),
        block_position=nothing,
        block_rotation=np.eye(3),
        block_speed=0.0,
        pad_position=pad,
        handles=np.zeros((2, 3)),
        tcp=np.array([pad + [0.0, 0.02, HOVER], [0.31, -0.3, 0.48]]),
        widths=np.array([0.08, 0.08]),
        asked_arm=0,
    )


def test_asked_hand_over_the_pad_is_right(reached):
    task = task_named("remember_side")
    assert task.is_achieved(reached) and not task.is_lost(reached)


def test_other_hand_over_the_pad_is_wrong(reached):
    task = task_named("remember_side")
    wrong = replace(reached, asked_arm=1)
    assert task.is_lost(wrong) and not task.is_achieved(wrong)


def test_hand_over_the_cue_is_neither(reached):
    task = task_named("remember_side")
    early = replace(reached, pad_position=np.array([0.47, 0.15, 0.0]))
    assert not task.is_achieved(early) and not task.is_lost(early)


def test_sides_and_delays_of_many_seeds_are_spread_evenly():
    placements = [RememberSide().place(np.random.default_rng([seed, 1])) for seed in range(400)]
    assert 160 < sum(placement.asked_arm for placement in placements) < 240
    delays = [round((placement.changes[1].at - SHOWN) / CHUNK) for placement in placements]
    assert (min(delays), max(delays)) == DELAYS


@pytest.mark.parametrize("variant", ["", "zero", "0", "601", "-3", "2.5"])
def test_delay_that_makes_no_sense_is_refused_with_an_example(variant):
    with pytest.raises(UnknownTask, match="remember_side:20"):
        task_named(f"remember_side:{variant}")


def test_variant_of_another_task_is_unknown():
    with pytest.raises(UnknownTask, match="lift_tray:3"):
        task_named("lift_tray:3")
