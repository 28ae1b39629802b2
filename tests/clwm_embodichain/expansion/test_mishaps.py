"""Mishaps: an object is nudged where that is fair, a hand slips while it holds, each at most once an episode."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_embodichain.expansion.attempts import Attempts
from clwm_embodichain.expansion.mishaps import HANDS_AWAY, NUDGE_SIZE, SLIP_HEIGHT, SLIP_ROWS, Mishaps
from clwm_embodichain.expansion.parts import Expansion, generator
from clwm_sim.registry import scene_named
from clwm_sim.situation import Obstacle, Situation, State

BASES = np.array([[0.0, 0.3], [0.0, -0.3]])
HOME = np.array([[0.31, 0.3, 0.48], [0.31, -0.3, 0.48]])
OPEN = np.full(2, 0.08)
seeds = st.integers(0, 10**6)


def at_start(layout):
    return Situation.at_start(layout, HOME, OPEN)


def nudges(mishaps, now, layout, moves=True):
    return [each for each in (mishaps.nudge(now, layout, moves) for _ in range(120)) if each is not None]


def mishaps_of(seed):
    return Mishaps(generator(seed, "recovery"), BASES)


@settings(max_examples=60, deadline=None)
@given(seeds, st.sampled_from(["blocks", "tray", "handover", "switches", "pot", "cue"]))
def test_nudge_shifts_one_free_object_by_one_to_four_centimetres_and_leaves_it_within_the_same_reach(seed, name):
    layout = scene_named(name).draw(np.random.default_rng(seed))
    made = nudges(mishaps_of(seed), at_start(layout), layout)
    if not made:
        return
    assert {each.name for each in made} == {made[0].name}
    thing, shift = layout.things[made[0].name], sum(each.shift for each in made)
    assert thing.moves == "free" and NUDGE_SIZE[0] <= np.hypot(*shift) <= NUDGE_SIZE[1]
    for grip in thing.grips:
        point = at_start(layout).objects[thing.name].at(grip)[:2]
        reached = [np.linalg.norm(at - BASES, axis=1) < 0.785 for at in (point, point + shift)]
        assert np.array_equal(*reached)


def test_share_of_episodes_is_nudged_and_most_are_not():
    layout = scene_named("blocks").draw(np.random.default_rng(0))
    count = sum(bool(nudges(mishaps_of(seed), at_start(layout), layout)) for seed in range(200))
    assert 40 < count < 90


@pytest.mark.parametrize("what", ["a hand is near", "it moves", "it is in the air", "the moment tolerates none"])
def test_object_is_not_nudged_while(what):
    layout = scene_named("pot").draw(np.random.default_rng(1))
    now = at_start(layout)
    seed = next(seed for seed in range(100) if nudges(mishaps_of(seed), now, layout))
    pot = now.objects["pot"]
    if what == "a hand is near":
        edge = pot.position + [0.0, layout.things["pot"].extent + 0.5 * HANDS_AWAY, 0.0]
        now = Situation(now.objects, np.array([edge, HOME[1]]), OPEN)
    elif what == "it moves":
        now = Situation({"pot": State(pot.position, pot.rotation, speed=0.1)}, HOME, OPEN)
    elif what == "it is in the air":
        now = Situation({"pot": State(pot.position + [0, 0, 0.05], pot.rotation)}, HOME, OPEN)
    assert not nudges(mishaps_of(seed), now, layout, moves=what != "the moment tolerates none")


def test_object_is_not_nudged_into_a_distractor():
    layout = scene_named("pot").draw(np.random.default_rng(1))
    now = at_start(layout)
    seed = next(seed for seed in range(100) if nudges(mishaps_of(seed), now, layout))
    shift = sum(each.shift for each in nudges(mishaps_of(seed), now, layout))
    pot = layout.things["pot"]
    beside = np.array(pot.position[:2]) + shift / np.linalg.norm(shift) * (pot.extent + 0.03)
    assert not nudges(mishaps_of(seed), replace(now, obstacles=(Obstacle(beside, 0.02),)), layout)


def slips(mishaps, now, held, rows=60):
    return np.array([mishaps.slips(now, held) for _ in range(rows)])


def test_hand_that_holds_slips_once_for_a_few_rows_and_the_other_does_not():
    layout = scene_named("blocks").draw(np.random.default_rng(0))
    block, now = layout.things["block0"], at_start(layout)
    made = [slips(mishaps_of(seed), now, [None, block]) for seed in range(200)]
    counts = [each[:, 1].sum() for each in made if each.any()]
    assert 30 < len(counts) < 75 and set(counts) == set(range(*SLIP_ROWS))
    assert not any(each[:, 0].any() for each in made)
    for each in made:
        rows = np.flatnonzero(each[:, 1])
        assert np.array_equal(rows, np.arange(len(rows)) + (rows[0] if len(rows) else 0))


@pytest.mark.parametrize(("raised", "may"), [(0.0, False), (SLIP_HEIGHT[1] - 1e-3, True), (0.06, False)])
def test_what_two_hands_lift_slips_from_both_and_only_low_over_the_table(raised, may):
    layout = scene_named("pot").draw(np.random.default_rng(0))
    pot, now = layout.things["pot"], at_start(layout)
    now.objects["pot"].position[2] += raised
    made = [slips(mishaps_of(seed), now, [pot, pot]) for seed in range(60)]
    assert any(each.any() for each in made) == may
    assert all(np.array_equal(each[:, 0], each[:, 1]) for each in made)


def test_object_that_is_nudged_in_an_attempt_moves_and_is_taken_where_it_then_lies():
    attempt = Attempts().prepare("pot", "lift_pot", 12, Expansion.parse("recovery"))
    before = attempt.stage.situation().objects["pot"].position.copy()
    nudged = False
    for step in attempt.play():
        moved = step.now.objects["pot"].position - before
        nudged |= bool(np.hypot(*moved[:2]) > 0.009 and (np.linalg.norm(step.now.tcp - before, axis=1) > 0.15).all())
    assert nudged and attempt.outcome == "achieved"
