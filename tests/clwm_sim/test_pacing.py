"""The simulation on a clock that the test moves."""

from dataclasses import replace

import numpy as np
import pytest

from clwm_common.control.joint_trajectory_controller import TrajectoryRefused
from clwm_common.control.trajectory import JointTrajectory
from clwm_common.robot.description import RobotDescription
from clwm_sim.pacing import EpisodeSeen, JointsSeen, PacedSimulation, PictureTaken
from clwm_sim.shipped_tasks import UnknownTask
from clwm_sim.world import World

START = 1_700_000_000.0


@pytest.fixture(scope="module")
def robot() -> RobotDescription:
    return RobotDescription.load("dual_fr3_mujoco")


@pytest.fixture(scope="module")
def world(robot):
    world = World("lift_tray", image_size=32, robot=robot)
    yield world
    world.close()


@pytest.fixture
def simulation(world, robot) -> PacedSimulation:
    world.reset(0, "lift_tray")
    return PacedSimulation(world, robot, seed=3, now=START, steady=0.0)


def paced(simulation, seconds, start=START, set_by=0.0):
    """set_by: s by which the stack's clock is off what it would show if it had never been set."""
    for step in range(1, round(seconds / 0.005) + 1):
        steady = start - START + 0.005 * step
        yield from simulation.run(START + steady + set_by, steady)


def test_second_gives_100_joint_states_20_picture_sets_and_10_statuses(simulation):
    seen = list(paced(simulation, 1.0 + 0.0025))
    assert sum(isinstance(item, JointsSeen) for item in seen) == 100
    assert sum(isinstance(item, PictureTaken) for item in seen) == 60
    assert sum(isinstance(item, EpisodeSeen) for item in seen) == 10 + 1, "one more when the episode begins"


def test_stamps_never_lie_in_the_future_and_never_go_back(simulation):
    last = START
    for step in range(1, 60):
        now = START + 0.007 * step
        for item in simulation.run(now, now - START):
            assert last <= item.stamp <= now
            last = item.stamp


def test_all_cameras_of_one_instant_share_its_stamp(simulation):
    stamps = {}
    for item in paced(simulation, 0.2):
        if isinstance(item, PictureTaken):
            stamps.setdefault(item.stamp, []).append(item.camera)
            assert item.picture.shape == (32, 32, 3)
    assert stamps and all(cameras == ["head", "left_wrist", "right_wrist"] for cameras in stamps.values())


def test_simulation_that_cannot_keep_up_slips_and_says_so(simulation):
    list(paced(simulation, 0.2))
    list(simulation.run(START + 1.2, 1.2))
    pace = simulation.pace(1.2)
    assert pace.slipped == pytest.approx(0.99, abs=0.02)
    assert pace.real_time_factor == pytest.approx(0.2, abs=0.05)


def test_pace_is_one_when_called_in_time(simulation):
    list(paced(simulation, 0.5))
    assert simulation.pace(0.5).real_time_factor == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("set_by", [-100.0, -0.3, -0.05, 0.05, 0.3, 100.0])
def test_clock_that_is_set_moves_the_stamps_and_nothing_else(simulation, world, robot, set_by):
    home = world.setpoint()[0][:7]
    message = JointTrajectory.from_arrays(
        robot.left.joint_names, [0.0, 1.0], [home, home + 0.4], np.zeros((2, 7)), stamp=START
    )
    simulation.control.receive_trajectory(0, message)
    list(paced(simulation, 0.5))
    before = world.setpoint()[0][:7]
    seen = list(paced(simulation, 0.02, START + 0.5, set_by))
    stamps = [item.stamp for item in seen if isinstance(item, JointsSeen)]
    np.testing.assert_allclose(stamps, START + set_by + np.array([0.51, 0.52]), atol=1e-5)
    np.testing.assert_allclose(world.setpoint()[0][:7] - before, 0.6 * 0.02, atol=1e-3)
    list(paced(simulation, 0.6, START + 0.52, set_by))
    np.testing.assert_allclose(world.setpoint()[0][:7], home + 0.4)
    assert simulation.pace(1.12).slipped == 0.0


def test_controllers_do_not_wait_for_a_world_that_slips(simulation, world, robot):
    home = world.setpoint()[0][:7]
    message = JointTrajectory.from_arrays(
        robot.left.joint_names, [0.0, 1.0], [home, home + 0.4], np.zeros((2, 7)), stamp=START
    )
    simulation.control.receive_trajectory(0, message)
    list(paced(simulation, 0.2))
    list(simulation.run(START + 0.5, 0.5))
    np.testing.assert_allclose(world.setpoint()[0][:7], home + 0.2, atol=2e-3)


def test_what_is_on_its_way_of_a_path_from_before_a_reset_moves_nothing(simulation, world, robot):
    home = world.setpoint()[0][:7]
    message = JointTrajectory.from_arrays(
        robot.left.joint_names, [0.0, 2.0], [home, home + 0.4], np.zeros((2, 7)), stamp=START
    )
    simulation.control.receive_trajectory(0, message)
    list(paced(simulation, 0.5))
    simulation.reset(seed=9)
    simulation.reset(seed=10)
    with pytest.raises(TrajectoryRefused, match="ended when the world was reset"):
        simulation.control.receive_trajectory(0, message)
    simulation.control.receive_trajectory(0, replace(message, stamp=START + 0.1))


def test_reset_drops_trajectories_and_restarts_the_episode(simulation, world, robot):
    home = world.measured().positions[:7]
    message = JointTrajectory.from_arrays(robot.left.joint_names, [2.0], [home + 0.5], [np.zeros(7)], stamp=START)
    simulation.control.receive_trajectory(0, message)
    list(paced(simulation, 0.5))
    simulation.reset(seed=9, task="place_block")
    held, _ = world.setpoint()
    statuses = [item for item in paced(simulation, 0.4, START + 0.5) if isinstance(item, EpisodeSeen)]
    assert (statuses[-1].task, statuses[-1].seed) == ("place_block", 9)
    assert statuses[-1].elapsed < 0.45
    np.testing.assert_array_equal(world.setpoint()[0], held)


def test_first_thing_seen_after_a_reset_is_the_new_episode(simulation):
    list(paced(simulation, 0.2))
    simulation.reset(seed=8)
    first = next(iter(paced(simulation, 0.1, START + 0.2)))
    assert isinstance(first, EpisodeSeen) and (first.seed, first.elapsed) == (8, pytest.approx(0.01))


def test_reset_to_an_unknown_task_changes_nothing(simulation):
    list(paced(simulation, 0.2))
    with pytest.raises(UnknownTask, match="juggle"):
        simulation.reset(seed=1, task="juggle")
    status = [item for item in paced(simulation, 0.2, START + 0.2) if isinstance(item, EpisodeSeen)][-1]
    assert (status.task, status.seed) == ("lift_tray", 3)


def test_trajectory_moves_the_arm_along_the_stacks_clock(simulation, world, robot):
    home = world.setpoint()[0][:7]
    message = JointTrajectory.from_arrays(
        robot.left.joint_names, [0.0, 1.0], [home, home + 0.4], np.zeros((2, 7)), stamp=START
    )
    simulation.control.receive_trajectory(0, message)
    list(paced(simulation, 0.5))
    np.testing.assert_allclose(world.measured().positions[:7], home + 0.2, atol=2e-3)


def test_a_world_with_a_clock_of_its_own_stands_still_for_everybody_when_it_is_late(world, robot):
    world.reset(0, "lift_tray")
    simulation = PacedSimulation(world, robot, seed=3, now=START, steady=0.0, owns_clock=True)
    before = [seen.stamp for seen in simulation.run(START + 0.05, 0.05)]
    after = [seen.stamp for seen in simulation.run(START + 5.05, 5.05)]
    assert after[0] - before[-1] == pytest.approx(0.01, abs=1e-4)
    assert simulation.control.now == pytest.approx(after[-1], abs=1e-4)
