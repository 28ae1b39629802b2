"""Verdicts on all goals of a scene in end states that somebody has meddled with, beside a judge who knows only what the
sentences ask for: he says yes or no where nobody could doubt it, and nothing where it is a matter of centimetres.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest

from clwm_common.robot.description import RobotDescription
from clwm_sim.experts.goal_expert import GoalExpert
from clwm_sim.experts.playing import play
from clwm_sim.goals.base import Goal
from clwm_sim.goals.judge import Judge
from clwm_sim.registry import goals_in, kinds_in, scene_named, scenes
from clwm_sim.scenes.things import Layout, Thing
from clwm_sim.situation import Situation
from clwm_sim.stage import Stage

ROBOT = RobotDescription.load("dual_fr3_mujoco")
PAIRS = [(name, kind.kind) for name in scenes() for kind in kinds_in(name)]
AWAY = np.array([[0.30, 0.40, 0.50], [0.30, -0.40, 0.50]])


@dataclass(frozen=True)
class End:
    layout: Layout
    goals: tuple[Goal, ...]
    achieved: Goal
    now: Situation


@pytest.fixture(scope="module")
def ends():
    """What the experts left behind, by scene and goal."""
    expert, found = GoalExpert(ROBOT), {}
    for name, kind in PAIRS:
        layout = scene_named(name).draw(np.random.default_rng(21))
        stage = Stage(scene_named(name), ROBOT, 32)
        stage.set_up(layout, np.random.default_rng(21))
        goals, start = goals_in(name, layout), stage.situation()
        goal = next(goal for goal in goals if goal.kind == kind and not (goal.moves and goal.is_achieved(start, start)))
        judge = Judge(goals, 0.0, start)
        expert.start()
        for _ in play(stage, expert, goal, layout, judge):
            if judge.verdicts[goal.name] != "open" or stage.time > goal.timeout:
                break
        assert judge.verdicts[goal.name] == "achieved"
        found[name, kind] = End(layout, goals, goal, stage.situation())
    return found


def verdicts(end, now):
    """By goal name, when things are as now for five seconds, having been as at the end while the arms came to rest."""
    found = {}
    for goal in end.goals:
        judge = Judge([goal], -goal.settling, end.now)
        if goal.settling:
            judge.look(-0.01, end.now)
        for step in range(11):
            judge.look(0.5 * step, now)
        found |= judge.verdicts
    return found


# What the sentences mean. Each returns True, False, or None where a person would have to measure.


def closed_on(now, thing):
    """Whether a hand's fingers are closed around a part of the thing."""
    grips = thing.grips
    for tcp, width in zip(now.tcp, now.widths, strict=True):
        state = now.objects[thing.name]
        local = state.rotation.T @ (tcp - state.position)
        reach = max((abs(grip.point[0]) for grip in grips), default=0.0) + 0.02
        inside = abs(local[0]) < reach and np.hypot(*local[1:]) < 0.025
        if inside and width < grips[0].width + 0.004:
            return True
    return False


def hands_near(now, thing):
    return min(np.linalg.norm(now.tcp - now.objects[thing.name].position, axis=1)) < 0.15


def lies(now, thing, under):
    """Whether it lies with its side down on what is `under` m over the table, at rest, let go of."""
    state = now.objects[thing.name]
    gap = state.position[2] - thing.height - under
    # Any of a cube's sides may be down; a bar lies along.
    level = state.tilt if len(thing.grips) > 1 else np.arccos(min(np.abs(state.rotation[2]).max(), 1.0))
    if closed_on(now, thing) or not -0.012 < gap < 0.012 or state.speed > 0.05:
        return False
    if abs(gap) < 0.004 and level < 0.05 and state.speed < 0.01 and not hands_near(now, thing):
        return True
    return None


def both(*answers):
    return False if False in answers else True if all(answers) else None


def within(value, surely, at_most):
    return True if value < surely else False if value > at_most else None


def on_pad(now, thing, pad, half, surely):
    off = np.abs(now.objects[thing.name].position[:2] - now.objects[pad.name].position[:2])
    inside = True if np.hypot(*off) < surely else False if (off > np.array(half) + 0.002).any() else None
    return both(lies(now, thing, 0.0), inside)


def place(goal, now, _):
    return on_pad(now, goal.block, goal.pad, (0.045, 0.045), 0.030)


def hand_over(goal, now, _):
    return on_pad(now, goal.block, goal.pad, (0.045, 0.085), 0.040)


def stack(goal, now, _):
    upper, lower = now.objects[goal.upper.name].position, now.objects[goal.lower.name].position
    aside = within(np.hypot(*(upper - lower)[:2]), 0.010, goal.lower.height)
    stands = within(abs(lower[2] - goal.lower.height), 0.004, 0.012)
    return both(aside, stands, lies(now, goal.upper, lower[2] + goal.lower.height))


def load_tray(goal, now, _):
    tray, block = now.objects["tray"], now.objects[goal.block.name]
    x, y, _z = np.abs(tray.rotation.T @ (block.position - tray.position))
    inside = both(within(x, 0.065, 0.092), within(y, 0.095, 0.132))
    on_table = True if tray.position[2] < 0.004 and tray.tilt < 0.02 else None
    return both(inside, on_table, lies(now, goal.block, tray.position[2] + 0.008))


def lifted(now, thing, surely):
    state = now.objects[thing.name]
    in_hand = []
    for tcp, width, grip in zip(now.tcp, now.widths, thing.grips, strict=True):
        away = np.linalg.norm(tcp - state.at(grip))
        in_hand.append(within(away, 0.02, 0.06))
        in_hand.append(within(width, grip.width + 0.003, grip.width + 0.03))
    high = True if state.position[2] > surely else False if state.position[2] < surely - 0.05 else None
    return both(high, within(state.tilt, 0.08, 0.21), *in_hand)


def lift_tray(goal, now, _):
    return lifted(now, goal.tray, 0.09)


def lift_pot(goal, now, _):
    return lifted(now, goal.pot, 0.11)


def turn_lever(goal, now, _):
    state, sign = now.objects[goal.lever.name], {"up": 1.0, "down": -1.0}[goal.way]
    share = sign * state.angle / goal.lever.hinge.range
    knob = state.at(goal.lever.grips[0])
    held = (np.linalg.norm(now.tcp - knob, axis=1) < 0.02) & (now.widths < goal.lever.grips[0].width + 0.01)
    free = False if held.any() else True if np.linalg.norm(now.tcp - knob, axis=1).min() > 0.08 else None
    return both(True if share > 0.9 else False if share < 0.6 else None, free)


def recall_side(goal, now, _):
    if "pad0" not in now.objects:
        return False
    pad = now.objects["pad0"].position
    flat = np.hypot(*(now.tcp - pad)[:, :2].T)
    right, wrong = flat[goal.asked_arm], flat[1 - goal.asked_arm]
    high = now.tcp[goal.asked_arm][2]
    central = True if abs(pad[1]) < 0.05 else False if abs(pad[1]) > 0.10 else None
    return both(
        central, within(right, 0.085, 0.12), within(abs(high - 0.14), 0.05, 0.12), True if wrong > 0.2 else None
    )


def keep_still(goal, now, before):
    moves = [np.linalg.norm(now.tcp - before.tcp, axis=1).max()]
    turns = [0.0]
    for name in goal.movable:
        one, other = before.objects[name], now.objects[name]
        moves.append(np.linalg.norm(other.position - one.position))
        turns.append(np.arccos(np.clip((np.trace(one.rotation.T @ other.rotation) - 1.0) / 2.0, -1.0, 1.0)))
    return both(within(max(moves), 0.005, 0.015), within(max(turns), 0.05, 0.12))


MEANING = {
    each.__name__: each
    for each in (place, hand_over, stack, load_tray, lift_tray, lift_pot, turn_lever, recall_side, keep_still)
}


# What somebody does to an end state.


def moved(now, thing, shift):
    state = now.objects[thing.name]
    return replace(now, objects={**now.objects, thing.name: replace(state, position=state.position + shift)})


def tipped(now, thing, angle):
    c, s = np.cos(angle), np.sin(angle)
    state = now.objects[thing.name]
    roll = np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    return replace(now, objects={**now.objects, thing.name: replace(state, rotation=state.rotation @ roll)})


def turned(now, thing, angle):
    state = now.objects[thing.name]
    c, s = np.cos(angle - state.angle), np.sin(angle - state.angle)
    about_y = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    changed = replace(state, angle=angle, rotation=state.rotation @ about_y)
    return replace(now, objects={**now.objects, thing.name: changed})


def hand_on(now, thing, arm, along, width):
    """One hand around the thing, `along` m from its grip; width: between its fingers."""
    state, grip = now.objects[thing.name], thing.grips[min(arm, len(thing.grips) - 1)]
    tcp, widths = now.tcp.copy(), now.widths.copy()
    tcp[arm] = state.at(grip) + state.rotation @ [along, 0.0, 0.0]
    widths[arm] = width
    return replace(now, tcp=tcp, widths=widths)


DOINGS = {
    "free": ["shift", "lift", "tip", "hold", "open", "leave", "push", "fall"],
    "hinged": ["turn", "hold", "leave"],
    "placed": ["shift", "leave"],
    "nothing": ["open", "leave"],
}


def meddle(rng: np.random.Generator, now: Situation, things: list[Thing]) -> tuple[str, Situation]:
    thing, arm = things[rng.integers(len(things))] if things else None, int(rng.integers(2))
    doing = rng.choice(DOINGS[thing.moves if thing else "nothing"])
    amount = rng.uniform(-1.0, 1.0)
    match doing:
        case "shift":
            now = moved(now, thing, [0.08 * amount, 0.08 * rng.uniform(-1.0, 1.0), 0.0])
        case "lift":
            now = moved(now, thing, [0.0, 0.0, 0.13 * abs(amount)])
        case "fall":
            now = moved(now, thing, [0.5, 0.0, -0.5])
        case "tip":
            now = tipped(now, thing, 1.5 * amount)
        case "turn":
            now = turned(now, thing, amount * thing.hinge.range)
        case "push":
            state = replace(now.objects[thing.name], speed=0.2)
            now = replace(now, objects={**now.objects, thing.name: state})
        case "hold":
            now = hand_on(now, thing, arm, 0.018 * amount, thing.grips[0].width)
        case "open":
            now = replace(now, widths=np.where(np.arange(2) == arm, 0.08, now.widths))
        case "leave":
            now = replace(now, tcp=np.where(np.arange(2)[:, None] == arm, AWAY, now.tcp))
    return f"{doing} {thing.name if thing else 'nothing'} {amount:.2f} by {arm}", now


@pytest.fixture(scope="module")
def clear():
    return Counter()


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_every_goal_of_the_scene_is_judged_as_its_sentence_means_it(ends, clear, name, kind):
    end = ends[name, kind]
    for seed in range(120):
        rng, now, doings = np.random.default_rng(seed), end.now, []
        for _ in range(rng.integers(3)):
            things = [thing for name, thing in end.layout.things.items() if name in now.objects]
            doing, now = meddle(rng, now, things)
            doings.append(doing)
        got = verdicts(end, now)
        for goal in end.goals:
            meant = MEANING[goal.kind](goal, now, end.now)
            is_achieved = got[goal.name] == "achieved"
            assert meant in (None, is_achieved), f"{goal.name} is {got[goal.name]}, means {meant}, after {doings}"
            clear[goal.kind, meant] += 1


def test_the_sentences_meaning_was_clear_both_ways_for_every_kind_of_goal(clear):
    for kind in MEANING:
        assert clear[kind, True] >= 5 and clear[kind, False] >= 20, (kind, clear[kind, True], clear[kind, False])
