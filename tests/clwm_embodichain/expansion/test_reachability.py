"""Initial states by reachability: the arms really get there, states are spread more evenly, a seed says all."""

from collections import Counter

import numpy as np
import pytest

from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_embodichain.expansion.attempts import Attempts
from clwm_embodichain.expansion.capability_map import CapabilityMap, manipulability, reach
from clwm_embodichain.expansion.hand_starts import HALF_CLOSED, TILT, HandStartSolver, draw
from clwm_embodichain.expansion.parts import Expansion
from clwm_embodichain.expansion.reachability import MANIPULABILITY, Reachability, approaches
from clwm_sim.experts.inverse_kinematics import ArmInverseKinematics
from clwm_sim.registry import goals_in
from clwm_sim.situation import Situation

ROBOT = RobotDescription.load("dual_fr3_mujoco")
KINEMATICS = DualArmKinematics(ROBOT)
HOME = np.array([[0.31, 0.3, 0.48], [0.31, -0.3, 0.48]])
BASES = np.array([arm.base_position[:2] for arm in ROBOT.arms])
PAIRS = [
    ("blocks", "place"),
    ("tray", "lift_tray"),
    ("handover", "hand_over"),
    ("switches", "turn_lever"),
    ("pot", "lift_pot"),
]


@pytest.fixture(scope="module")
def capability():
    return CapabilityMap(ROBOT)


@pytest.fixture(scope="module")
def reachability():
    return Reachability(ROBOT)


@pytest.fixture(scope="module")
def attempts():
    return Attempts()


def first(reachability, scene, kind, seed):
    return next(reachability.starts(scene, kind, np.random.default_rng(seed)))


def test_capability_is_manipulability_over_home_s_and_both_arms_are_alike(capability):
    rng = np.random.default_rng(0)
    at_home = manipulability(KINEMATICS, ROBOT.home)[0]
    solvers = [ArmInverseKinematics(ROBOT, arm) for arm in ROBOT.arms]
    assert capability(0, HOME[:1], 0.0)[0] == pytest.approx(1.0, abs=0.1)
    for _ in range(20):
        point, yaw = rng.uniform([0.45, 0.0, 0.05], [0.6, 0.3, 0.4]), rng.uniform(-1.0, 1.0)
        mirrored = point * [1.0, -1.0, 1.0]
        known = capability(0, point[None], yaw)[0], capability(1, mirrored[None], -yaw)[0]
        joints = [
            reach(solvers[arm], at, turn, ROBOT.home[7 * arm : 7 * arm + 7])
            for arm, (at, turn) in enumerate([(point, yaw), (mirrored, -yaw)])
        ]
        assert all(is_found for _, is_found in joints)
        true = manipulability(KINEMATICS, np.concatenate([each for each, _ in joints])) / at_home
        assert known == pytest.approx(true, abs=0.12) and known[0] == pytest.approx(known[1], abs=0.02)


def test_nothing_is_reached_beyond_the_arm_or_behind_what_its_joints_turn(capability):
    assert capability(0, np.array([[0.95, 0.3, 0.1], [0.5, 0.3, -0.3], [0.5, 0.3, 1.5]]), 0.0).tolist() == [0.0] * 3


@pytest.mark.parametrize("height", [-0.02, 0.02])
def test_hands_start_where_they_are_drawn_apart_from_each_other_and_within_the_joints_limits(capability, height):
    solver = HandStartSolver(ROBOT)
    found = 0
    for seed in range(25):
        hands = draw(np.random.default_rng(seed), capability, 0.08)
        joints = solver.joints(hands, height)
        if joints is None:
            continue
        found += 1
        poses = KINEMATICS.poses(joints)
        assert np.allclose(poses[:, :3] - [0.0, 0.0, height], hands.points, atol=0.004)
        # The hand's z axis: fingers down but for the tilt.
        x, y = poses[:, 3], poses[:, 4]
        assert (1.0 - 2.0 * (x * x + y * y) < -np.cos(1.5 * TILT)).all()
        assert (joints > ROBOT.limit("position_lower")).all() and (joints < ROBOT.limit("position_upper")).all()
        assert all(width == 0.08 or HALF_CLOSED[0] <= width <= HALF_CLOSED[1] for width in hands.widths)
    assert found >= 20


@pytest.mark.parametrize(("scene", "kind"), PAIRS)
def test_grips_that_the_expert_takes_first_are_reached_by_the_arm_that_takes_them(reachability, scene, kind):
    solvers = [ArmInverseKinematics(ROBOT, arm) for arm in ROBOT.arms]
    for seed in range(4):
        start = first(reachability, scene, kind, seed)
        now = Situation.at_start(start.layout, HOME, np.full(2, 0.08))
        goal = next(goal for goal in goals_in(scene, start.layout) if goal.name == start.goal)
        found = approaches(goal, start.layout, now, BASES)
        assert len(found) == (2 if kind.startswith("lift") else 1)
        grips = [now.objects[thing.name].at(grip) for thing in start.layout.things.values() for grip in thing.grips]
        for approach in found:
            assert min(np.linalg.norm(approach.points[-1] - grip) for grip in grips) < 1e-6
            joints = ROBOT.home[7 * approach.arm : 7 * approach.arm + 7]
            for point in approach.points:
                joints, is_found = reach(solvers[approach.arm], point, approach.yaw, joints)
                assert is_found


def test_states_are_spread_more_evenly_over_their_bins_than_the_scene_draws_them(reachability):
    def bins(candidates):
        return Counter(each for candidate in candidates for each in candidate.bins)

    def evenness(counts):
        shares = np.array(list(counts.values())) / counts.total()
        return -(shares * np.log(shares)).sum()

    drawn = [reachability.candidate("switches", "turn_lever", np.random.default_rng(seed)) for seed in range(200)]
    chosen = [
        next(reachability.preferred("switches", "turn_lever", np.random.default_rng(seed))) for seed in range(200)
    ]
    before, after = bins(filter(None, drawn)), bins(chosen)
    assert evenness(after) > evenness(before) + 0.15 and len(after) >= len(before)
    assert max(after.values()) < 0.7 * max(before.values())


def test_candidate_whose_approach_an_arm_hardly_reaches_is_dropped(reachability, monkeypatch):
    seed = 3
    assert reachability.candidate("blocks", "place", np.random.default_rng(seed)) is not None
    monkeypatch.setattr("clwm_embodichain.expansion.reachability.MANIPULABILITY", (1.3, *MANIPULABILITY[1:]))
    assert reachability.candidate("blocks", "place", np.random.default_rng(seed)) is None


def test_goal_without_anything_to_take_has_states_too(reachability):
    for scene, kind in (("cue", "recall_side"), ("pot", "keep_still")):
        assert first(reachability, scene, kind, 0).goal == kind


def test_arms_start_over_the_table_and_touch_nothing(attempts):
    spread = []
    for seed in range(4):
        for scene in ("pot", "blocks"):
            stage = attempts.prepare(scene, None, seed, Expansion.parse("reachability,physics")).stage
            tcp = stage.situation().tcp
            before = {name: state.position.copy() for name, state in stage.situation().objects.items()}
            stage.advance(0.2)
            after = stage.situation()
            assert not stage.arms_touch() and np.abs(after.tcp - tcp).max() < 0.002
            assert all(np.abs(after.objects[name].position - place).max() < 0.004 for name, place in before.items())
            spread.append(tcp)
    assert (np.ptp(np.array(spread), axis=0) > 0.12).all()


def test_state_of_a_seed_is_the_same_again_and_whatever_the_other_parts_are(attempts):
    def state(text):
        stage = attempts.prepare("tray", "load_tray", 5, Expansion.parse(text)).stage
        return {name: thing.position for name, thing in stage.layout.things.items()}, stage.situation().tcp.round(3)

    (places, hands), (without, home) = state("reachability"), state("none")
    assert places != without and np.abs(hands - home).max() > 0.1
    for text in ("reachability", "reachability,physics", "reachability,recovery"):
        again, there = state(text)
        assert again == places and np.abs(there - hands).max() < 0.005
