"""The world behind libfranka's servers: what their clients command moves it, a reset leaves it where it was put."""

import itertools
import os

import numpy as np
import pytest

pytest.importorskip("pinocchio", reason="the servers need pin")

from franky_sim.franka_robot_protocol import MoveCommandControllerMode, MoveCommandMotionGeneratorMode

from clwm_common.robot.description import RobotDescription, RobotError
from clwm_common.robot.libfranka import Libfranka
from clwm_sim.franka.control import FrankaServers
from clwm_sim.franka.robots import NEAR, WorldRobot
from clwm_sim.franka.servers import SILENCE
from clwm_sim.world import World

NETWORK = f"127.{1 + os.getpid() // 250 % 250}.{1 + os.getpid() % 250}"


@pytest.fixture(scope="module")
def robot():
    robot = RobotDescription.load("dual_fr3_libfranka")
    arms = {
        side: getattr(robot, side).model_copy(update={"libfranka": Libfranka(address=f"{NETWORK}.{number}")})
        for number, side in enumerate(("left", "right"), 11)
    }
    return robot.model_copy(update=arms)


@pytest.fixture
def servers(robot):
    servers = FrankaServers(robot)
    yield servers
    servers.close()


@pytest.fixture(scope="module")
def world(robot):
    world = World("lift_tray", image_size=32, robot=robot)
    yield world
    world.close()


@pytest.fixture
def control(world, robot, servers):
    world.reset(3)
    return servers.control_of(world, robot, 100.0)


def command(servers, arm, target):
    """As a client's command of every cycle from now on."""
    servers.arms[arm]._post_process_commands = lambda: servers.robots[arm].joint_position_control(target)


def test_the_world_follows_set_points_of_a_millisecond_as_smoothly_as_its_own_steps(control, servers, world):
    start = world.setpoint()[0][:7]
    cycles = itertools.count(1)
    servers.arms[0]._post_process_commands = lambda: servers.robots[0].joint_position_control(
        start + 0.3 * 0.001 * next(cycles)
    )
    for number in range(1, 41):
        control.advance(100.0 + 0.0025 * number)
        taken = world.setpoint()[0][:7] - start
        np.testing.assert_allclose(taken, 0.3 * 0.0025 * number, atol=1e-9)
    assert next(cycles) == 101


def test_arms_without_a_client_and_after_a_reset_stand_where_the_world_put_them(control, servers, world):
    control.advance(100.2)
    np.testing.assert_allclose(world.measured().positions, world.setpoint()[0], atol=2e-3)
    world.reset(4)
    control.reset(100.2)
    wanted = world.setpoint()[0]
    command(servers, 0, wanted[:7] + 5.0 * NEAR)
    control.advance(100.4)
    np.testing.assert_array_equal(world.setpoint()[0], wanted)
    command(servers, 0, wanted[:7] + 0.5 * NEAR)
    control.advance(100.5)
    assert world.setpoint()[0][0] > wanted[0], "a command that knows where the arm is counts again"


def test_a_hand_closes_at_the_speed_it_is_told(control, servers, world):
    servers.robots[1].set_hand_goal(0.04, 0.05, 20.0)
    control.advance(100.4)
    assert world.setpoint()[1][1] == pytest.approx(0.06, abs=1e-3)
    assert world.setpoint()[1][0] == pytest.approx(0.08)


def test_fingers_that_press_on_something_open_at_once(control, servers, world):
    hand = servers.robots[0]
    hand.set_hand_goal(0.0, 0.1, 20.0)
    control.advance(101.0)
    control._measure = lambda: hand.measure(np.zeros(7), np.zeros(7), 0.05)  # as if a block of 5 cm were there
    control.advance(101.1)
    hand.set_hand_goal(0.08, 0.1, 20.0)
    control.advance(101.2)
    assert world.setpoint()[1][0] == pytest.approx(0.06, abs=1e-3)


def test_an_arm_brakes_without_a_leap_when_it_fails_and_names_the_error(robot, servers):
    own = servers.robots[0]
    own.put(np.zeros(7), 0.08)
    places = []
    for cycle in range(200):
        command(servers, 0, np.full(7, 0.5 * 0.001 * cycle))
        servers.tick()
        places.append(own.set_point.copy())
    del servers.arms[0]._post_process_commands  # a robot that has failed hears its client no more
    servers.arms[0].fail("joint_reflex")
    for _ in range(300):
        servers.tick()
        places.append(own.set_point.copy())
    speed = np.diff(places, axis=0) / 0.001
    assert np.abs(np.diff(speed[5:], axis=0)).max() / 0.001 <= max(robot.limits.acceleration) * 1.01
    assert own.stands and not speed[-200:].any()
    assert servers.arms[0].robot_state.robot_mode.name == "kReflex"


def test_a_client_that_comes_or_goes_moves_nothing(servers):
    own = servers.robots[0]
    own.put(np.full(7, 0.3), 0.08)
    own.measure(np.full(7, 0.2995), np.zeros(7), 0.08)
    servers.arms[0].reset_state()
    servers.tick()
    np.testing.assert_array_equal(own.set_point, 0.3)


def test_an_arm_is_recovered_and_takes_a_motion_only_once_it_stands(servers):
    own, server, answers = servers.robots[0], servers.arms[0], []
    own.put(np.zeros(7), 0.08)
    for cycle in range(200):
        command(servers, 0, np.full(7, 0.5 * 0.001 * cycle))
        servers.tick()
    del server._post_process_commands
    server.fail("joint_reflex")
    server.recover(lambda: answers.append(own.stands))
    servers.tick()
    assert server.errors and not answers
    for _ in range(300):
        servers.tick()
    assert not server.errors and answers == [True]
    joint_position = MoveCommandControllerMode.kJointImpedance, MoveCommandMotionGeneratorMode.kJointPosition
    server.start_motion(*joint_position, 5)
    servers.tick()
    assert server.robot_state.motion_generator_mode.name == "kJointPosition"


def test_what_cannot_be_disturbed_is_said(servers):
    assert servers.disturb("middle", "joint_reflex") == "arm is 'middle'; expected left or right"
    assert servers.disturb("left", "hiccups").startswith("error is 'hiccups'; known here: joint_reflex")
    assert not servers.disturb("left", 0.5) and SILENCE < 500


def test_an_address_in_use_is_refused_with_the_remedy(robot, servers):
    with pytest.raises(RobotError, match=rf"no server at {NETWORK}.11, ports 1337 and 1338 .*; end what listens there"):
        FrankaServers(robot)


def test_velocities_of_a_client_are_integrated(robot):
    own = WorldRobot(robot.limits)
    for _ in range(100):
        own.joint_velocity_control(np.full(7, 0.1))
    np.testing.assert_allclose(own.set_point, 0.01)
