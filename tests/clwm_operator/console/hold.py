"""HOLD pressed on a page whose live connection is blocked: how long the arms move on."""

import threading

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState

from clwm_common.ros import qos
from clwm_common.ros.conversions import from_stamp
from tests.clwm_operator.console.seat import Seat

ARMS = 14  # joints of both
AT_REST = 0.02  # rad/s
MOVING = 0.15  # rad/s
PROMPT = 0.4  # s from the press to arms at rest
WINDOW = 2.0  # s in which they are looked at
SENTENCES = {"lift_tray": "raise the tray off the table with two hands", "place_block": "put the block on the pad"}


class Joints(Node):
    """How fast the arms have been: (stamp [s], largest speed of a joint [rad/s])."""

    def __init__(self):
        super().__init__("joints_of_a_test")
        self.heard = []
        self._news = threading.Condition()
        self.create_subscription(JointState, "/joint_states", self._on_joints, qos.SENSOR_DEEP)

    def _on_joints(self, message):
        speed = float(np.abs(message.velocity[:ARMS]).max())
        with self._news:
            self.heard.append((from_stamp(message.header.stamp), speed))
            self._news.notify_all()

    def wait(self, condition, seconds):
        """Whether it holds within so long."""
        with self._news:
            return self._news.wait_for(lambda: self.heard and condition(), seconds)


def begin(seat, task, seed):
    """An episode of the world, and nothing that is asked for yet."""
    seat.page.click("#hold")
    seat.mode("HOLD")
    seat.page.select_option("#world_task", task)
    seat.page.fill("#world_seed", str(seed))
    seat.page.click("#reset")
    seat.wait(f"document.querySelector('#world_now').textContent.startsWith('now {task}, seed {seed}, ')")


def type_sentence(seat, task):
    seat.page.fill("#sentence", SENTENCES[task])
    seat.page.click("#give")
    seat.wait(f"document.querySelector('#instruction').textContent === '“{SENTENCES[task]}”'")


def hand_back(seat):
    seat.page.click("#hand_back")
    seat.mode("POLICY")


def moving_on(browser, console, joints, seat, is_pressed=True):
    """s from the press of HOLD to the last joint state in which an arm moves, WINDOW at most.

    is_pressed: or not, from the instant at which it would have been. Infinite: no arm moved when it was pressed.
    """
    other, blocked = Seat(browser, console), []

    def route(socket):
        server = socket.connect_to_server()
        socket.on_message(lambda message: blocked or server.send(message))
        server.on_message(lambda message: blocked or socket.send(message))

    other.page.route_web_socket("**/live", route)
    other.open()
    other.page.evaluate(
        "hold.addEventListener('click', () => window.pressed = performance.timeOrigin + performance.now(), true)"
    )
    hand_back(seat)
    other.mode("POLICY")
    blocked.append(True)
    other.wait("document.body.classList.contains('old')")
    other.page.hover("#hold")
    joints.wait(lambda: joints.heard[-1][1] > MOVING, 10.0)
    if is_pressed:
        # At once: `click` first looks at the page for a while, in which the arms may come to rest.
        other.page.mouse.down()
        other.page.mouse.up()
        pressed = other.page.evaluate("window.pressed / 1000")
    else:
        pressed = other.page.evaluate("(performance.timeOrigin + performance.now()) / 1000")
    assert joints.wait(lambda: joints.heard[-1][0] > pressed + WINDOW, 30.0), "no joint states come"
    after = [(stamp - pressed, speed) for stamp, speed in joints.heard if 0.0 < stamp - pressed <= WINDOW]
    assert other.text("#mode") == "POLICY" and other.page.is_visible("#old")
    other.close()
    if after[0][1] < MOVING:
        return np.inf
    return max(since for since, speed in after if speed > AT_REST)
