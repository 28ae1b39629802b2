"""Goals: how they are asked for, and that the verdict on each of a scene is right in end states of any of them."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clwm_sim.goals.base import Goal
from clwm_sim.goals.judge import Judge
from clwm_sim.registry import goal_kinds, goals_in, scene_named, scenes
from clwm_sim.scenes.things import PALETTE
from clwm_sim.situation import Situation

HOME = np.array([[0.31, 0.3, 0.48], [0.31, -0.3, 0.48]])
OPEN = np.array([0.08, 0.08])


def layout(name, seed):
    return scene_named(name).draw(np.random.default_rng(seed))


def turned(yaw=0.0, roll=0.0):
    c, s, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(roll), np.sin(roll)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])


def at_start(drawn):
    """The situation of a layout before anything moved."""
    return Situation.at_start(drawn, HOME, OPEN)


def about_y(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def moved(now, thing, **changes):
    return replace(now, objects={**now.objects, thing.name: replace(now.objects[thing.name], **changes)})


def verdicts(scene, drawn, before, after, seconds=6.0):
    """What is judged when things were as `before` at the asking, and then as `after` for some time."""
    judge = Judge(goals_in(scene, drawn), 10.0, before)
    judge.look(10.0, before)
    judge.look(10.9, before)
    for step in range(round(seconds / 0.02)):
        judge.look(11.0 + 0.02 * step, after)
    return judge.verdicts


def achieved(scene, drawn, after):
    return {name for name, verdict in verdicts(scene, drawn, at_start(drawn), after).items() if verdict == "achieved"}


def already(scene, drawn):
    """Goals that an episode's start happens to fulfil, keeping still apart."""
    now = at_start(drawn)
    return {goal.name for goal in goals_in(scene, drawn) if goal.kind != "keep_still" and goal.is_achieved(now, now)}


def off_limits(value, *limits):
    """No example where rounding would decide."""
    assume(all(abs(value - limit) > 1e-6 for limit in limits))


seeds = st.integers(0, 10_000)
offsets = st.tuples(st.floats(-0.08, 0.08), st.floats(-0.08, 0.08))


@settings(max_examples=25, deadline=None)
@given(seeds, st.sampled_from(range(3)), st.sampled_from(range(2)), offsets, st.booleans(), st.sampled_from([0.0, 0.1]))
def test_block_near_a_pad_is_placed_on_that_pad_alone_if_it_lies_there_let_go(seed, b, p, offset, closed, speed):
    drawn = layout("blocks", seed)
    block, pad = drawn.of_kind("block")[b], drawn.of_kind("pad")[p]
    place = np.array(pad.position) + [*offset, block.height]
    now = moved(at_start(drawn), block, position=place, speed=speed)
    if closed:
        now = replace(now, tcp=np.array([place, HOME[1]]), widths=np.array([0.04, 0.08]))
    off_limits(np.hypot(*offset), 0.035)
    near = [q for q in drawn.of_kind("pad") if np.hypot(*(place[:2] - q.position[:2])) < 0.035]
    expected = {f"place:{block.colour}:{q.colour}" for q in near if not closed and speed == 0.0}
    assert achieved("blocks", drawn, now) == expected | already("blocks", drawn)


@settings(max_examples=25, deadline=None)
@given(seeds, st.sampled_from(list(permutations(range(3), 2))), st.floats(0.0, 0.05), st.floats(0.0, 0.03))
def test_block_on_a_block_is_stacked_on_that_one_alone_if_it_rests_on_it(seed, pair, aside, gap):
    drawn = layout("blocks", seed)
    upper, lower = (drawn.of_kind("block")[index] for index in pair)
    off_limits(aside, 0.8 * min(upper.height, lower.height))
    off_limits(gap, 0.008)
    place = np.array(lower.position) + [aside, 0.0, lower.height + upper.height + gap]
    got = achieved("blocks", drawn, moved(at_start(drawn), upper, position=place))
    stands = aside < 0.8 * min(upper.height, lower.height) and gap < 0.008
    assert got == ({f"stack:{upper.colour}:{lower.colour}"} if stands else set())


@settings(max_examples=25, deadline=None)
@given(seeds, st.sampled_from(["tray", "pot"]), st.floats(0.0, 0.2), st.floats(0.0, 0.3), st.booleans())
def test_thing_with_two_handles_is_lifted_if_it_is_high_level_and_in_both_hands(seed, name, height, tilt, held):
    drawn = layout(name, seed)
    thing = drawn.things[name]
    off_limits(height, 0.08, 0.10)
    off_limits(tilt, np.radians(8.0))
    place = np.array([*thing.position[:2], height])
    now = moved(at_start(drawn), thing, position=place, rotation=turned(thing.yaw, tilt))
    grips = np.array([now.objects[name].at(grip) for grip in thing.grips])
    now = replace(now, tcp=grips if held else np.array([grips[0], HOME[1]]), widths=np.full(2, 0.016))
    is_lifted = held and tilt < np.radians(8.0) and height >= (0.08 if name == "tray" else 0.10)
    assert achieved(name, drawn, now) == ({f"lift_{name}"} if is_lifted else set())


@settings(max_examples=25, deadline=None)
@given(seeds, st.floats(-0.15, 0.15), st.floats(-0.15, 0.15), st.booleans())
def test_block_is_on_the_tray_if_it_rests_within_its_rims(seed, along, across, is_lying):
    drawn = layout("tray", seed)
    block, tray = drawn.things["block0"], drawn.things["tray"]
    off_limits(abs(along), 0.075)
    off_limits(abs(across), 0.105)
    place = np.array([along, across, (0.008 if is_lying else 0.03) + block.height])
    now = moved(at_start(drawn), block, position=turned(tray.yaw) @ place + tray.position)
    is_loaded = abs(along) < 0.075 and abs(across) < 0.105 and is_lying
    assert achieved("tray", drawn, now) == ({"load_tray"} if is_loaded else set())


@settings(max_examples=25, deadline=None)
@given(seeds, offsets, st.booleans())
def test_long_block_is_handed_over_if_it_rests_on_the_pad(seed, offset, is_closed):
    drawn = layout("handover", seed)
    bar, pad = drawn.things["bar"], drawn.things["pad0"]
    off_limits(np.hypot(*offset), 0.045)
    place = np.array(pad.position) + [*offset, bar.height]
    now = moved(at_start(drawn), bar, position=place)
    if is_closed:
        now = replace(now, tcp=np.array([HOME[0], place + [0.0, 0.06, 0.0]]), widths=np.array([0.08, 0.038]))
    is_there = np.hypot(*offset) < 0.045 and not is_closed
    assert achieved("handover", drawn, now) == ({"hand_over"} if is_there else set())


@settings(max_examples=25, deadline=None)
@given(seeds, st.sampled_from(range(2)), st.floats(-1.0, 1.0), st.booleans())
def test_lever_is_up_or_down_at_its_end_when_nobody_holds_it(seed, which, share, is_held):
    drawn = layout("switches", seed)
    lever, other = drawn.of_kind("lever")[which], drawn.of_kind("lever")[1 - which]
    off_limits(abs(share), 0.85)
    angle = share * lever.hinge.range
    level = moved(at_start(drawn), lever, angle=0.0, rotation=turned(lever.yaw))
    now = moved(level, lever, angle=angle, rotation=turned(lever.yaw) @ about_y(angle))
    if is_held:
        knob = now.objects[lever.name].at(lever.grips[0])
        now = replace(now, tcp=np.array([knob, HOME[1]]), widths=np.array([0.02, 0.08]))
    ways = [way for way, sign in (("up", 1.0), ("down", -1.0)) if sign * share > 0.85 and not is_held]
    expected = {f"turn_lever:{lever.colour}:{way}" for way in ways}
    expected.add(f"turn_lever:{other.colour}:{'up' if other.hinge.angle > 0.0 else 'down'}")
    got = verdicts("switches", drawn, level, now).items()
    assert {name for name, verdict in got if verdict == "achieved"} - {"keep_still"} == expected


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from(range(2)), st.floats(0.0, 0.2))
def test_the_hand_of_the_cue_s_side_over_the_pad_is_right_and_the_other_one_is_wrong(seed, arm, away):
    drawn = layout("cue", seed)
    start = at_start(drawn)
    pad = drawn.things["pad0"]
    place = np.array([*drawn.changes[-1].place, 0.0])
    tcp = HOME.copy()
    off_limits(away, 0.10)
    tcp[arm] = place + [0.0, away, 0.14]
    now = replace(moved(start, pad, position=place), tcp=tcp)
    verdict = verdicts("cue", drawn, start, now)["recall_side"]
    right = "achieved" if arm == drawn.asked_arm else "lost"
    assert verdict == (right if away < 0.10 else "open")


@settings(max_examples=25, deadline=None)
@given(seeds, st.sampled_from(sorted(scenes())), st.floats(0.0, 0.03), st.floats(0.0, 0.03), st.floats(0.0, 0.2))
def test_still_is_who_moves_neither_hands_nor_objects(seed, name, hand, shift, turn):
    drawn = layout(name, seed)
    start = at_start(drawn)
    thing = [*drawn.things.values()][-1 if name == "switches" else 0]
    is_marked = thing.moves == "placed"
    off_limits(hand, 0.010)
    off_limits(shift, 0.010)
    off_limits(turn, np.radians(5.0))
    state = start.objects[thing.name]
    now = moved(start, thing, position=state.position + [shift, 0, 0], rotation=state.rotation @ turned(turn))
    now = replace(now, tcp=start.tcp + [[0, 0, 0], [0, hand, 0]])
    verdict = verdicts(name, drawn, start, now)["keep_still"]
    rests = is_marked or (shift <= 0.010 and turn <= np.radians(5.0))
    assert verdict == ("achieved" if hand <= 0.010 and rests else "lost")


def test_what_is_not_held_for_its_time_is_not_achieved():
    drawn = layout("blocks", 0)
    block, pad = drawn.of_kind("block")[0], drawn.of_kind("pad")[0]
    there = moved(at_start(drawn), block, position=np.array(pad.position) + [0, 0, block.height])
    name = f"place:{block.colour}:{pad.colour}"
    assert verdicts("blocks", drawn, at_start(drawn), there, 0.2)[name] == "open"
    assert verdicts("blocks", drawn, at_start(drawn), there, 0.4)[name] == "achieved"


def test_a_verdict_stays_whatever_happens_afterwards():
    drawn = layout("blocks", 0)
    block, pad = drawn.of_kind("block")[0], drawn.of_kind("pad")[0]
    start = at_start(drawn)
    there = moved(start, block, position=np.array(pad.position) + [0, 0, block.height])
    judge = Judge(goals_in("blocks", drawn), 0.0, start)
    for step in range(30):
        judge.look(0.02 * step, there)
    judge.look(0.7, moved(start, block, position=np.array([0.5, 0.0, -1.0])))
    assert judge.verdicts[f"place:{block.colour}:{pad.colour}"] == "achieved"
    stacks = {verdict: name for name, verdict in judge.verdicts.items() if name.startswith("stack")}
    assert set(stacks) == {"lost", "open"} and block.colour in stacks["lost"] and block.colour not in stacks["open"]


def test_arms_that_were_moving_may_come_to_rest_before_stillness_is_judged():
    drawn = layout("pot", 0)
    start = at_start(drawn)
    judge = Judge(goals_in("pot", drawn), 0.0, start)
    rest = replace(start, tcp=start.tcp + 0.05)
    for step in range(300):
        time = 0.02 * step
        judge.look(time, replace(start, tcp=start.tcp + 0.05 * min(time / 0.6, 1.0)) if time < 0.6 else rest)
    assert judge.verdicts["keep_still"] == "achieved"


@pytest.mark.parametrize("kind", goal_kinds().values(), ids=lambda kind: kind.kind)
def test_goal_is_asked_for_in_ten_ways_and_in_five_that_no_training_sees(kind: type[Goal]):
    assert len(set(kind.training)) >= 10 and len(set(kind.held_out)) >= 5
    assert not set(kind.training) & set(kind.held_out)
    assert len(set(kind.training)) == len(kind.training)


@pytest.mark.parametrize("name", scenes())
def test_sentences_of_one_episode_tell_its_goals_apart_and_name_real_colours(name):
    for seed in range(5):
        goals = goals_in(name, layout(name, seed))
        assert len({goal.name for goal in goals}) == len(goals) >= 2
        for held_out in (False, True):
            sentences = [sentence for goal in goals for sentence in goal.sentences(held_out=held_out)]
            assert len(set(sentences)) == len(sentences) and not any("{" in sentence for sentence in sentences)
        colours = {value for goal in goals for slot, value in goal.slots.items() if slot != "way"}
        assert colours <= set(PALETTE)
