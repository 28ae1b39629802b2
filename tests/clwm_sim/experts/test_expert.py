import numpy as np
import pytest

from clwm_common.actions import JOINTS, ROW_DT
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sim.experts.expert_check import run_expert, wilson
from clwm_sim.experts.task_expert import Expert
from clwm_sim.world import World


@pytest.fixture(scope="module")
def world():
    return World("lift_tray")


@pytest.fixture(scope="module")
def expert(world):
    return Expert(world)


@pytest.fixture(scope="module", params=["lift_tray", "place_block"])
def played(request, world, expert):
    """Rows (T, 30) of one episode of each task, with what was foreseen every 0.2 s."""
    world.reset(0, request.param)
    rows, plans = [], []
    for row in run_expert(world, expert, 11):
        if len(rows) % 4 == 0:
            plans.append((len(rows), expert.plan(row, world.table(), expert.velocity, 16)))
        rows.append(row)
    return request.param, world.succeeded(), np.stack(rows), plans


def test_expert_succeeds_within_six_seconds(played):
    task, succeeded, rows, _ = played
    assert succeeded, f"{task} was not solved in {len(rows) * ROW_DT:.1f} s"
    assert len(rows) * ROW_DT < 6.0


def test_commands_keep_well_within_velocity_limits(world, played):
    _, _, rows, _ = played
    velocity = np.abs(np.diff(rows[:, JOINTS], axis=0)) / ROW_DT
    assert (velocity < 0.6 * world.robot.limit("velocity")).all()


def test_end_effector_part_of_a_row_is_the_forward_kinematics_of_its_joints(world, played):
    kinematics = DualArmKinematics(world.robot)
    for row in played[2][::10]:
        assert np.allclose(kinematics.row(row[JOINTS], row[28:]), row, atol=1e-5)


def test_plan_foresees_what_the_expert_then_does(played):
    _, _, rows, plans = played
    for start, plan in plans:
        length = min(16, len(rows) - start)
        difference = np.abs(plan[:length] - rows[start : start + length])[:, [0, 1, 2, 7, 8, 9]]
        assert difference.max() < 0.02, f"plan from row {start} is {difference.max() * 1000:.0f} mm off"


def test_plan_begins_with_the_row_it_is_given_and_leaves_the_world_alone(world, expert):
    world.reset(5)
    row = expert.start()
    before = world.keypoint_array(), expert.velocity.copy()
    plan = expert.plan(row, world.table(), expert.velocity, 16)
    assert plan.shape == (16, 30) and np.array_equal(plan[0], row)
    assert np.array_equal(before[0], world.keypoint_array()) and np.array_equal(before[1], expert.velocity)
    assert world.time == 0.0


def test_closed_hand_in_mid_air_is_opened_again(world, expert):
    world.reset(5, "lift_tray")
    row = expert.start()
    row[28:] = 0.0
    assert np.allclose(expert.next_row(row)[28:], 0.08)


def test_idle_arm_is_brought_home(world, expert):
    world.reset(1, "place_block")
    row = expert.start()
    idle = 0 if world.keypoints()["block"][1] < 0 else 1
    own = slice(7 * idle, 7 * idle + 7)
    for _ in range(40):
        row = expert.next_row(row, world.table())
    assert np.abs(row[JOINTS][own] - world.robot.home[own]).max() < 2e-3


def test_displaced_row_moves_the_tool_centre_points_by_the_shift(world, expert):
    world.reset(2)
    row = expert.start()
    shift = np.array([[0.01, 0.0, 0.0], [0.0, -0.01, 0.01]])
    moved = expert.displaced(row, shift, np.zeros((2, 3)))
    assert np.allclose(moved[0:3] - row[0:3], shift[0], atol=1e-3)
    assert np.allclose(moved[7:10] - row[7:10], shift[1], atol=1e-3)


def test_wilson_interval_of_all_successes_is_not_a_point():
    low, high = wilson(200, 200)
    assert low == pytest.approx(0.981, abs=1e-3) and high == 1.0
    with pytest.raises(ValueError, match="0 trials"):
        wilson(0, 0)
