"""pylibfranka against franky-sim's servers with what a real robot does when something goes wrong."""

import multiprocessing
import os

import numpy as np
import pytest

pytest.importorskip("pylibfranka", reason="not among the dependencies of every installation: pip install .[franka]")

from clwm_common.control.trajectory import JointTrajectory
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.libfranka import Libfranka
from clwm_franka.arm_control import ArmControl
from clwm_franka.robot_link import ControlEnded, LinkLost, RobotLink

ROBOT = RobotDescription.load("dual_fr3_libfranka")
HOME = np.array(ROBOT.left.home)


def moved(link, seconds=0.3, by=0.1):
    """Takes the arm and follows a trajectory for so many seconds of its time; the control and the last state."""
    seen = link.begin()
    control = ArmControl(ROBOT.left.joint_names, ROBOT.limits, seen.set_point)
    way = JointTrajectory.from_arrays(ROBOT.left.joint_names, [1.0], [HOME + by], np.zeros((1, 7)))
    control.receive(way, seen.time)
    begun = seen.time
    while seen.time - begun < seconds:
        link.command(control.cycle(seen.time, seen.since, seen.set_point))
        seen = link.next()
    return control, seen


def test_an_arm_follows_by_its_own_milliseconds_and_is_left_where_it_ends(robots):
    link = RobotLink(Libfranka(address=robots.addresses[0]))
    assert link.look().mode == "Idle"
    np.testing.assert_allclose(link.look().set_point, HOME, atol=1e-6)
    control, seen = moved(link, seconds=1.3)
    np.testing.assert_allclose(seen.positions, HOME + 0.1, atol=1e-3)
    assert control.missed == 0 and control.taken_over == 0
    link.command(seen.set_point, is_last=True)
    assert link.look().mode == "Idle"


def test_a_reflex_ends_a_motion_with_its_name_and_only_recovery_lets_another_begin(robots):
    link = RobotLink(Libfranka(address=robots.addresses[0]))
    moved(link)
    robots.disturb("left", "joint_reflex")
    with pytest.raises(ControlEnded, match="reflex"):
        for _ in range(100):
            link.next()
            link.command(HOME)
    link.let_go()
    seen = link.look()
    assert (seen.mode, seen.errors) == ("Reflex", ("joint_reflex",))
    with pytest.raises(ControlEnded):
        link.begin()
    link.recover()
    assert any(link.look().mode == "Idle" for _ in range(100))  # what it said before comes first
    assert moved(link, seconds=0.01)[1].mode == "Move"


def test_an_arm_that_gets_no_commands_stops_by_itself_without_a_leap(robots):
    link = RobotLink(Libfranka(address=robots.addresses[0]))
    _, moving = moved(link, by=0.3)
    robots.disturb("left", "0.05")
    with pytest.raises(ControlEnded, match="communication_constraints_violation"):
        for _ in range(200):
            link.command(moving.set_point)
            moving = link.next()
    seen = [link.look() for _ in range(300)]
    assert seen[-1].errors == ("communication_constraints_violation",)
    np.testing.assert_allclose(seen[-1].set_point, seen[-100].set_point, atol=1e-6)


def test_an_arm_that_its_world_puts_elsewhere_is_held_there_and_takes_commands(robots):
    link = RobotLink(Libfranka(address=robots.addresses[0]))
    control, seen = moved(link)
    there = seen.set_point + 0.2
    robots.disturb("left", "put")
    for _ in range(500):
        link.command(control.cycle(seen.time, seen.since, seen.set_point))
        seen = link.next()
    assert control.taken_over == 1 and seen.mode == "Move"
    np.testing.assert_allclose(seen.set_point, there, atol=0.01)


def test_a_command_that_the_robot_would_not_follow_ends_the_motion_with_its_error(robots):
    link = RobotLink(Libfranka(address=robots.addresses[0]))
    _, seen = moved(link, by=0.0)
    with pytest.raises(ControlEnded, match="joint_motion_generator_velocity_limits_violation"):
        for _ in range(100):
            link.command(seen.set_point + 0.005)
            link.next()


def die_in_a_motion(address):
    link = RobotLink(Libfranka(address=address))
    moved(link)
    os._exit(1)  # without a word of farewell, which libfranka says where it can


def test_what_a_dead_client_has_led_stands_with_an_error_for_the_next_one(robots):
    client = multiprocessing.get_context("fork").Process(target=die_in_a_motion, args=robots.addresses[:1])
    client.start()
    client.join()
    seen = RobotLink(Libfranka(address=robots.addresses[0])).look()
    assert (seen.mode, seen.errors) == ("Reflex", ("communication_constraints_violation",))


def test_an_address_where_nobody_answers_is_said(robots):
    with pytest.raises(LinkLost):
        RobotLink(Libfranka(address=robots.addresses[0].rpartition(".")[0] + ".9"))
