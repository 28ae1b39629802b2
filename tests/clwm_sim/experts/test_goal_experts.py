"""Experts: each goal is achieved, from its start and from the middle, without arms that touch or jump."""

import itertools
from dataclasses import replace

import mink
import numpy as np
import pytest

from clwm_common.actions import GRIPPERS, JOINTS, ROW_DT
from clwm_common.robot.description import RobotDescription
from clwm_sim.experts.carrying import free_place
from clwm_sim.experts.clearing import aside
from clwm_sim.experts.goal_expert import GoalExpert
from clwm_sim.experts.grasping import hand_yaw, leave, take
from clwm_sim.experts.inverse_kinematics import ArmInverseKinematics
from clwm_sim.experts.motion import CLOSED, OPEN, View, fingers_down
from clwm_sim.experts.playing import play
from clwm_sim.goals.judge import Judge
from clwm_sim.registry import goals_in, kinds_in, scene_named, scenes
from clwm_sim.situation import Obstacle
from clwm_sim.stage import Stage

ROBOT = RobotDescription.load("dual_fr3_mujoco")
ALL = [(name, kind.kind) for name in scenes() for kind in kinds_in(name) if name != "cue"]


@pytest.fixture(scope="module")
def expert():
    return GoalExpert(ROBOT)


@pytest.fixture(scope="module")
def prepare():
    """(scene, seed) -> its stage set up anew, its layout, and its goals."""
    stages = {}

    def prepare(name, seed):
        scene = scene_named(name)
        layout = scene.draw(np.random.default_rng(seed))
        if name not in stages:
            stages[name] = Stage(scene, ROBOT, 32)
        stages[name].set_up(layout, np.random.default_rng(seed))
        return stages[name], layout, goals_in(name, layout)

    return prepare


def pursue(stage, expert, goal, layout, goals):
    """Rows (T, 30) until the verdict on the goal, and all verdicts."""
    judge = Judge(goals, stage.time, stage.situation())
    rows, asked_at = [], stage.time
    for step in play(stage, expert, goal, layout, judge):
        assert not stage.arms_touch(), f"arms touch at {stage.time:.2f} s"
        rows.append(step.row)
        if judge.verdicts[goal.name] != "open" or stage.time - asked_at > goal.timeout:
            return np.stack(rows), judge.verdicts


def wanted(goals, kind, stage):
    now = stage.situation()
    return next(g for g in goals if g.kind == kind and (g.settling > 0.0 or not g.is_achieved(now, now)))


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_expert_achieves_the_goal_it_is_asked_for_and_no_other_one_of_its_kind(prepare, expert, name, kind):
    stage, layout, goals = prepare(name, 7)
    goal = wanted(goals, kind, stage)
    now = stage.situation()
    before = {other.name for other in goals if other.is_achieved(now, now)}
    expert.start()
    rows, verdicts = pursue(stage, expert, goal, layout, goals)
    assert verdicts[goal.name] == "achieved", f"{goal.name} after {stage.time:.1f} s: {verdicts}"
    done = {other for other, verdict in verdicts.items() if verdict == "achieved"}
    assert done - before <= {goal.name}
    speed = np.abs(np.diff(rows[:, JOINTS], axis=0)) / ROW_DT
    assert (speed < 0.8 * ROBOT.limit("velocity")).all()


@pytest.mark.parametrize(("name", "kind"), [pair for pair in ALL if pair[1] != "keep_still"])
def test_plan_foresees_what_the_expert_then_does(prepare, expert, name, kind):
    stage, layout, goals = prepare(name, 9)
    goal = wanted(goals, kind, stage)
    expert.start()
    rows, plans = [], []
    for step in itertools.islice(play(stage, expert, goal, layout), 160):
        rows.append(step.row)
        if len(rows) % 11 == 0:
            plan = expert.plan(step.row, goal, layout, step.now, step.velocity, 16)
            assert plan.shape == (16, 30) and np.array_equal(plan[0], step.row)
            plans.append((len(rows) - 1, plan))
    rows = np.stack(rows)
    errors = []
    for start, plan in plans:
        length = min(16, len(rows) - start)
        errors.append(np.abs(plan[:length] - rows[start : start + length])[:, [0, 1, 2, 7, 8, 9]].max())
    assert np.median(errors) < 0.002 and np.quantile(errors, 0.9) < 0.03, np.round(errors, 3)


@pytest.mark.parametrize(("name", "kind"), [("blocks", "stack"), ("tray", "lift_tray"), ("tray", "load_tray")])
def test_another_goal_asked_for_in_the_middle_is_achieved_from_there(prepare, expert, name, kind):
    stage, layout, goals = prepare(name, 3)
    goal = wanted(goals, kind, stage)
    other = next(g for g in reversed(goals) if g.kind not in (kind, "keep_still"))
    expert.start()
    # Long enough for the hands to hold something.
    for _ in itertools.islice(play(stage, expert, other, layout), 55):
        pass
    _, verdicts = pursue(stage, expert, goal, layout, goals)
    assert verdicts[goal.name] == "achieved"


def test_thing_that_is_pushed_away_from_the_hand_is_approached_again(prepare, expert):
    stage, layout, goals = prepare("blocks", 12)
    goal = wanted(goals, "place", stage)
    expert.start()
    for _ in itertools.islice(play(stage, expert, goal, layout), 30):
        pass
    stage.displace(goal.block.name, [0.02, 0.0])
    assert pursue(stage, expert, goal, layout, goals)[1][goal.name] == "achieved"


def test_block_that_lies_on_the_pad_is_moved_away_first(prepare, expert):
    stage, layout, goals = prepare("blocks", 5)
    goal = next(g for g in goals if g.kind == "place")
    other = next(block for block in layout.of_kind("block") if block is not goal.block)
    there = np.array(goal.pad.position) - other.position
    stage.displace(other.name, there[:2])
    expert.start()
    assert pursue(stage, expert, goal, layout, goals)[1][goal.name] == "achieved"
    off = stage.situation().objects[other.name].position - goal.pad.position
    assert np.hypot(*off[:2]) > 0.06


def test_hand_opens_and_rises_before_it_leaves_a_thing_for_another_one(prepare, expert):
    stage, layout, goals = prepare("tray", 6)
    lift, load = (next(g for g in goals if g.kind == kind) for kind in ("lift_tray", "load_tray"))
    expert.start()
    for _ in play(stage, expert, lift, layout):
        if (stage.measured().widths < 0.03).all():
            break
    before = stage.situation().objects["tray"].position
    assert before[2] < 0.02
    for _ in itertools.islice(play(stage, expert, load, layout), 40):
        moved = stage.situation().objects["tray"].position - before
        assert np.hypot(*moved[:2]) < 0.006, f"the tray was dragged by {moved}"


@pytest.mark.parametrize("height", [0.05, 0.11])
def test_fingers_go_down_around_a_thing_only_when_the_hand_is_turned_to_it(prepare, expert, height):
    stage, layout, goals = prepare("handover", 0)
    goal = next(g for g in goals if g.kind == "hand_over")
    bar = layout.things["bar"]
    giver = 0 if bar.position[1] > 0.0 else 1
    side = 1.0 - 2.0 * giver
    stage.displace("bar", np.array([0.52, 0.12 * side]) - bar.position[:2])
    over = stage.situation().objects["bar"].position + [0.0, 0.057 * side, height]
    joints, solver = ROBOT.home.copy(), ArmInverseKinematics(ROBOT, ROBOT.arms[giver])
    own = slice(7 * giver, 7 * giver + 7)
    for turn in np.linspace(0.0, 1.0, 20):
        along = mink.SO3.from_matrix(fingers_down(turn * (bar.yaw - np.pi / 2)))
        joints[own] = solver.solve(mink.SE3.from_rotation_and_translation(along, over), joints[own])
    stage.put_arms(joints, [0.08, 0.08])
    expert.start()
    judge = Judge(goals, stage.time, stage.situation())
    for step in play(stage, expert, goal, layout, judge):
        if stage.time < 2.5 and step.row[GRIPPERS][giver] > 0.04:
            assert step.now.objects["bar"].tilt < 0.02, "open fingers press on the bar"
        if judge.verdicts["hand_over"] != "open" or stage.time > goal.timeout:
            break
    assert judge.verdicts["hand_over"] == "achieved"


def test_hand_whose_fingers_stand_on_a_thing_rises_and_tries_again(prepare, expert):
    stage, layout, goals = prepare("blocks", 2)
    goal = wanted(goals, "place", stage)
    now = stage.situation()
    grip = now.objects[goal.block.name].position
    row = expert.row_of(*stage.setpoint())
    view = expert.view(row, layout, now)
    on_it = replace(view, told=np.zeros(2), tcp=np.tile(grip, (2, 1)))
    blocked = replace(on_it, now=replace(now, tcp=np.tile(grip + [0.0, 0.0, 0.025], (2, 1)), widths=np.full(2, 0.06)))
    reached = replace(on_it, now=replace(now, tcp=np.tile(grip, (2, 1)), widths=np.full(2, 0.06)))
    yaw = hand_yaw(now.objects[goal.block.name], goal.block.grips[0])
    for arm in range(2):
        rises = take(blocked, arm, goal.block, goal.block.grips[0], yaw)
        assert rises.width == OPEN and rises.position[2] > grip[2] + 0.05
        assert take(reached, arm, goal.block, goal.block.grips[0], yaw).width == CLOSED


def test_open_hand_that_cannot_get_down_or_open_further_rises(prepare, expert):
    stage, layout, _ = prepare("tray", 0)
    now = stage.situation()
    block, tray = layout.things["block0"], layout.things["tray"]
    beside = now.objects["block0"].position + [0.0, 0.0, 0.01]
    view = replace(expert.view(expert.row_of(*stage.setpoint()), layout, now), tcp=np.tile(beside, (2, 1)))
    on_the_handle = replace(view, now=replace(now, tcp=view.tcp + [0.02, 0.0, 0.06]))
    behind = replace(view, now=replace(now, tcp=view.tcp + [0.0, 0.0, 0.021]))  # by a latency of 60 ms
    for arm in range(2):
        assert take(on_the_handle, arm, block, block.grips[0], 0.0).position[2] > beside[2] + 0.05
        assert take(behind, arm, block, block.grips[0], 0.0).position[2] < beside[2] + 0.05
    handle = now.objects["tray"].at(tray.grips[0])
    around = replace(view, tcp=np.tile(handle, (2, 1)), now=replace(now, widths=np.full(2, 0.06)))
    for lacks, rises in ((0.0, False), (0.03, True)):
        held_up = replace(around, now=replace(around.now, tcp=around.tcp + [0.0, 0.0, lacks]))
        assert (leave(held_up, 0, block).position[2] > handle[2] + 0.05) == rises


@pytest.mark.parametrize("share", [0.5, 0.85, 1.1])
def test_block_that_lies_askew_on_another_one_is_set_straight(prepare, expert, share):
    stage, layout, goals = prepare("blocks", 3)
    goal = next(g for g in goals if g.kind == "stack" and g.upper.height < g.lower.height)
    now = stage.situation()
    shift = (now.objects[goal.lower.name].position - goal.upper.position)[:2] + [share * goal.upper.height, 0.0]
    poses = {
        name: [*state.position, 0.0, 0.0, np.sin(layout.things[name].yaw / 2), np.cos(layout.things[name].yaw / 2)]
        for name, state in now.objects.items()
    }
    x, y, _, *turn = poses[goal.upper.name]
    on_top = 2.0 * goal.lower.height + goal.upper.height
    poses[goal.upper.name] = [x + shift[0], y + shift[1], on_top, *turn]
    stage.arrange(*stage.setpoint(), poses)
    expert.start()
    assert pursue(stage, expert, goal, layout, goals)[1][goal.name] == "achieved"


@pytest.mark.parametrize("arm", [0, 1])
def test_what_is_cleared_away_is_put_where_its_hand_would_put_it_down_anyway(prepare, expert, arm):
    stage, layout, _ = prepare("blocks", 3)
    block, now = layout.things["block1"], stage.situation()
    for side in (1.0, -1.0):
        state = replace(now.objects["block1"], position=np.array([0.42, 0.2 * side, 0.08]))
        tcp, widths = now.tcp.copy(), now.widths.copy()
        tcp[arm], widths[arm] = state.position, block.grips[0].width
        held = replace(now, objects={**now.objects, "block1": state}, tcp=tcp, widths=widths)
        row = expert.row_of(*stage.setpoint())
        view = replace(expert.view(row, layout, held), tcp=tcp, told=np.where(np.arange(2) == arm, CLOSED, OPEN))
        assert np.array_equal(aside(view, block)[1], free_place(view, arm, block))


def test_place_where_a_thing_is_put_down_stays_one_when_it_lies_there_not_quite(prepare, expert):
    stage, layout, _ = prepare("blocks", 3)
    row, block = expert.row_of(*stage.setpoint()), layout.things["block0"]
    now, rng = stage.situation(), np.random.default_rng(0)

    def free(arm, here):
        seen = {**now.objects, "block0": replace(now.objects["block0"], position=np.array([*here[:2], block.height]))}
        return free_place(expert.view(row, layout, replace(now, objects=seen)), arm, block)

    for _ in range(60):
        arm = int(rng.integers(2))
        place = free(arm, rng.uniform([0.30, -0.3], [0.66, 0.3]))
        there = place + [*rng.uniform(-0.006, 0.006, 2), 0.0]
        assert np.array_equal(free(arm, there), there), f"{there} is not free, though {place} is"


@pytest.mark.parametrize("arm", [0, 1])
def test_what_a_hand_puts_down_beside_the_tray_stays_on_its_own_side(prepare, expert, arm):
    stage, layout, _ = prepare("tray", 0)
    side = 1.0 - 2.0 * arm
    for name, place in (("tray", [0.493, 0.04 * side]), ("block0", [0.46, 0.15 * side])):
        stage.displace(name, np.array(place) - layout.things[name].position[:2])
    view = expert.view(expert.row_of(*stage.setpoint()), layout, stage.situation())
    assert free_place(view, arm, layout.things["block0"])[1] * side > 0.2


@pytest.mark.parametrize("seed", [1, 4, 6])
def test_pot_that_one_hand_lets_slip_is_put_down_and_lifted_again(prepare, expert, seed):
    stage, layout, goals = prepare("pot", seed)
    goal = wanted(goals, "lift_pot", stage)
    slips = []

    def let_slip(command, now):
        if now.objects["pot"].position[2] > 0.03 and len(slips) < 4:
            slips.append(stage.time)
            command[GRIPPERS] = [command[GRIPPERS][0], 0.08]
        return command

    expert.start()
    judge = Judge(goals, stage.time, stage.situation())
    for _ in play(stage, expert, goal, layout, judge, let_slip):
        if judge.verdicts["lift_pot"] != "open" or stage.time > goal.timeout:
            break
    assert slips and judge.verdicts["lift_pot"] == "achieved"


def test_arms_that_move_when_asked_to_wait_brake_at_their_acceleration_and_stay(prepare, expert):
    stage, layout, goals = prepare("pot", 2)
    lift, still = (next(g for g in goals if g.kind == kind) for kind in ("lift_pot", "keep_still"))
    expert.start()
    for _ in itertools.islice(play(stage, expert, lift, layout), 15):
        pass
    assert np.linalg.norm(expert.velocity[0, :3]) > 0.2
    rows, verdicts = pursue(stage, expert, still, layout, goals)
    assert verdicts["keep_still"] == "achieved"
    assert np.abs(np.diff(rows[20:, JOINTS], axis=0)).max() == 0.0
    assert np.array_equal(rows[0][GRIPPERS], rows[-1][GRIPPERS])


def test_recalling_hand_waits_and_then_goes_to_the_pad(prepare, expert):
    stage, layout, goals = prepare("cue", 1)
    goal = next(g for g in goals if g.kind == "recall_side")
    place = np.array([*layout.changes[-1].place, 0.0])
    now = stage.situation()
    view = View(now, layout, now.tcp, np.full(2, 0.08), np.array([[0.0, 0.3], [0.0, -0.3]]))
    assert goal.aims(view) == [None, None]
    stage.advance(layout.changes[-1].at + 0.1)
    view = View(stage.situation(), layout, now.tcp, np.full(2, 0.08), view.bases)
    aims = goal.aims(view)
    assert aims[1 - layout.asked_arm] is None
    assert np.allclose(aims[layout.asked_arm].position, place + [0, 0, 0.14])


def test_expert_does_not_drive_an_arm_beyond_its_reach(prepare, expert):
    stage, layout, goals = prepare("handover", 4)
    goal = next(g for g in goals if g.kind == "hand_over")
    bar = layout.things["bar"]
    stage.displace("bar", np.array([0.72, 0.45 * np.sign(bar.position[1])]) - bar.position[:2])
    expert.start()
    rows = np.stack([step.executed for step in itertools.islice(play(stage, expert, goal, layout), 100)])
    assert np.isfinite(rows).all()
    assert (np.abs(np.diff(rows[:, JOINTS], axis=0)) / ROW_DT < ROBOT.limit("velocity")).all()


def test_nothing_is_put_down_on_a_distractor(prepare):
    stage, layout, _ = prepare("blocks", 2)
    now, thing = stage.situation(), layout.things["block0"]
    bases = np.array([[0.0, 0.3], [0.0, -0.3]])
    free = free_place(View(now, layout, now.tcp, np.zeros(2), bases), 0, thing)
    taken = replace(now, obstacles=(Obstacle(free[:2], 0.03),))
    other = free_place(View(taken, layout, now.tcp, np.zeros(2), bases), 0, thing)
    assert np.linalg.norm(other - free) > 0.08
