"""A gamepad and a leader on real topics, beside the real executor."""

import subprocess
import sys
import time

import numpy as np
import pytest
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import JointState, Joy

from clwm_common.messages import Mode
from clwm_common.robot.description import RobotDescription
from clwm_common.ros import claiming, qos
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_operator.teleop import device_node, jog, joy, teleop_node
from clwm_operator.teleop.device_node import JoyDevice, LeaderDevice
from clwm_operator.teleop.mapping import JoyMapping, LeaderMapping, load_mapping
from clwm_operator.teleop.teleop_node import TeleopNode

from ..conftest import PATIENCE, domain, environment

ROBOT = RobotDescription.load("dual_fr3_mujoco")
LEADER = "/leader/joint_states"
PEDAL = LeaderMapping.model_validate({"left": {}, "right": {}, "dead_man": {"button": 0}})


class Human(Node):
    """At a gamepad, and at a leader with a pedal. axes, down, leader: what they send; None: nothing."""

    def __init__(self):
        super().__init__("human")
        self.axes, self.down, self.leader = None, set(), None
        self.stands_still = False
        self._stamp = self.get_clock().now().to_msg()
        self._joy = self.create_publisher(Joy, "/joy", 10)
        self._joints = self.create_publisher(JointState, LEADER, qos.SENSOR)
        self.create_timer(0.02, self._tell)

    def _tell(self):
        if not self.stands_still:
            self._stamp = self.get_clock().now().to_msg()
        if self.axes is not None:
            joy = Joy(axes=self.axes, buttons=[int(button in self.down) for button in range(11)])
            joy.header.stamp = self._stamp
            self._joy.publish(joy)
        if self.leader is not None:
            joints = JointState(name=ROBOT.joint_names, position=self.leader.tolist())
            joints.header.stamp = self._stamp
            self._joints.publish(joints)


class Seat:
    """A human beside the running stack, with a node that listens to his devices."""

    def __init__(self, make_device=None):
        self.node, self.human = TeleopNode("device"), Human()
        self.device = None if make_device is None else make_device(self.node)
        self._executor = StaticSingleThreadedExecutor()
        for node in (self.node, self.human):
            self._executor.add_node(node)
        self.wait(lambda: self.node.is_ready and self.node.has_listened, "the executor")
        hold = self.node.order(Mode.HOLD)
        self.wait(hold.done, "HOLD")
        self.wait(lambda: self.node.status.mode is Mode.HOLD, "HOLD")

    def wait(self, condition, what, act=lambda: None):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}; told: {self.device and self.device.told}"
            act()
            self._executor.spin_once(timeout_sec=0.02)
            if self.device is not None:
                self.device.step()

    def told(self, text):
        self.wait(lambda: text in self.device.told, f"“{text}”")

    def steers(self):
        self.wait(lambda: self.node.owns_the_arms and self.device.told == "the arms follow", "the arms")

    def holds(self):
        self.wait(lambda: self.node.status.mode is Mode.HOLD, "HOLD")

    def run(self, seconds):
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > until, "time")

    def close(self):
        self._executor.shutdown(timeout_sec=1.0)
        self.node.let_go()
        self.node.destroy_node()
        self.human.destroy_node()


@pytest.fixture
def sit(stand_in_stack, monkeypatch):
    """make_device -> a seat; ROS in this process is in the stack's domain meanwhile."""
    monkeypatch.setattr(claiming, "LISTEN", 0.5)
    # A machine with much else to do lets this process wait; that shall not pass for a human who has gone.
    for module in (device_node, jog, joy):
        monkeypatch.setattr(module, "SILENCE", 1.0)
    monkeypatch.setattr(jog, "STALEST_SIGHT", 2.0)
    monkeypatch.setattr(teleop_node, "OLDEST_ARMS", 2.0)
    rclpy.init(domain_id=domain())
    seats = []

    def sit(make_device=None):
        seats.append(Seat(make_device))
        return seats[-1]

    yield sit
    for seat in seats:
        seat.close()
    rclpy.try_shutdown()


def gamepad(node):
    return JoyDevice(node, ROBOT, load_mapping(JoyMapping, "joy"), "/joy")


def leader(is_relative):
    return lambda node: LeaderDevice(node, ROBOT, PEDAL, LEADER, "/joy", is_relative, lambda now: False)


def pushed(axis, value):
    return [value if index == axis else 0.0 for index in range(8)]


def test_a_gamepad_moves_a_tool_while_its_switch_is_held_and_its_silence_stops_the_arms(sit):
    seat = sit(gamepad)
    human, node = seat.human, seat.node
    seat.told("nothing has come on /joy")
    human.axes = pushed(4, 1.0)
    before = node.poses.copy()
    seat.told("hold the dead-man switch")
    seat.run(0.5)
    assert node.poses == pytest.approx(before, abs=1e-3) and node.status.mode is Mode.HOLD

    human.down = {5}
    seat.steers()
    seat.wait(lambda: node.poses[0, 2] > before[0, 2] + 0.03, "three centimetres up")
    assert node.poses[1] == pytest.approx(before[1], abs=2e-3)

    human.axes = None
    seat.told("nothing new comes on /joy")
    seat.holds()
    human.axes = pushed(4, -1.0)
    seat.told("if it is held, release it first")
    there = node.poses[0, 2]
    seat.run(0.5)
    assert node.status.mode is Mode.HOLD and node.poses[0, 2] > there - 1e-3, "held through a silence, it went down"

    human.down = {5, 7}
    seat.wait(lambda: seat.device.is_over, "the hand-back")


def test_messages_whose_stamp_stands_still_and_messages_that_cannot_be_read_stop_the_arms(sit):
    seat = sit(gamepad)
    human = seat.human
    human.axes = pushed(0, 0.0)
    seat.told("hold the dead-man switch")
    human.down = {5}
    seat.steers()
    human.stands_still = True
    seat.holds()
    human.stands_still, human.down = False, set()
    seat.told("hold the dead-man switch")
    human.down = {5}
    seat.steers()
    human.axes = [0.0, 0.0]
    seat.told("no axis 4")
    seat.holds()


def test_a_leader_is_refused_until_it_is_where_the_arms_are_and_then_followed(sit):
    seat = sit(leader(is_relative=False))
    human, node = seat.human, seat.node
    human.axes = pushed(0, 0.0)
    human.leader = node.joints.copy()
    human.leader[3] += 0.3
    seat.told("hold the dead-man switch")
    seat.wait(lambda: seat.device.distances, "distances")
    assert next(iter(seat.device.distances.items())) == ("left_fr3_joint4", pytest.approx(0.3, abs=0.01))
    human.down = {0}
    seat.told("left_fr3_joint4 +0.3")
    there = node.joints.copy()
    human.leader = there + 0.05
    seat.run(0.5)
    assert node.joints == pytest.approx(there, abs=1e-3), "the switch was not released since the refusal"

    human.down = set()
    seat.told("not where the arms are")
    seat.run(0.2)
    human.down = {0}
    seat.steers()

    def lead():
        step = np.clip(there + 0.2 - human.leader, -0.01, 0.01)
        human.leader = human.leader + step

    seat.wait(lambda: np.abs(node.joints - there - 0.2).max() < 0.02, "0.2 rad", lead)
    human.leader = None
    seat.told(f"nothing new comes on {LEADER}")
    seat.holds()


def test_relatively_a_leader_far_away_moves_the_arms_by_what_it_moves_and_a_leap_stops_them(sit):
    seat = sit(leader(is_relative=True))
    human, node = seat.human, seat.node
    human.axes = pushed(0, 0.0)
    start = np.zeros(14)
    human.leader = start.copy()
    there = node.joints.copy()
    seat.told("hold the dead-man switch")
    human.down = {0}
    seat.steers()

    def lead():
        human.leader = human.leader + np.clip(start - 0.1 - human.leader, -0.01, 0.01)

    seat.wait(lambda: np.abs(node.joints - (there - 0.1)).max() < 0.02, "0.1 rad back", lead)
    human.leader = human.leader - 0.9
    seat.told("expected at most 0.5 rad")
    assert node.status.mode is Mode.HOLD and np.abs(node.joints - (there - 0.1)).max() < 0.1


def test_the_command_follows_a_leader_by_its_pedal_and_gives_the_arms_back(sit, tmp_path):
    mapping = tmp_path / "pedal.yaml"
    mapping.write_text("left: {}\nright: {}\ndead_man: {button: 0}\n")
    seat = sit()
    human, node = seat.human, seat.node
    human.axes, human.leader = pushed(0, 0.0), node.joints.copy()
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "clwm_bringup", "teleop", "--leader", LEADER, "--mapping", str(mapping)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )
    try:
        seat.wait(lambda: node.count_publishers("/clwm/teleop") > 1, "the command")

        def press_again_and_again():
            is_held = node.status.mode is Mode.TELEOP or time.monotonic() % 2.0 < 1.0
            human.down = {0} if is_held else set()

        seat.wait(lambda: node.status.mode is Mode.TELEOP, "TELEOP", press_again_and_again)
        assert node.status.owner == "leader"
        there = node.joints.copy()
        human.leader = there + 0.05
        way = "the leader's way"
        seat.wait(lambda: np.abs(node.joints - there - 0.05).max() < 0.01, way, press_again_and_again)
    finally:
        process.terminate()
    said = process.communicate(timeout=PATIENCE)[0]
    assert "the arms follow" in said and "the arms brake and hold" in said and "Traceback" not in said
    seat.holds()
