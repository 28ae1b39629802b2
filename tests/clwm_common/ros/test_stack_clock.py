"""A node with use_sim_time: timers as fast as /clock goes, and word of a clock that was set or stands."""

import time

import pytest
import rclpy
from rclpy.parameter import Parameter as RosParameter
from rosgraph_msgs.msg import Clock

from clwm_common.clock_watch import PATIENCE
from clwm_common.ros import qos
from clwm_common.ros.conversions import to_stamp
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_common.ros.lifecycle import ClwmNode

pytestmark = pytest.mark.usefixtures("ros_context")

TICK = 0.05  # s of its own clock


class Probe(ClwmNode):
    """Ticks, and remembers what it is told of its clock."""

    def __init__(self, uses_sim_time=True):
        overrides = [RosParameter("use_sim_time", value=uses_sim_time)]
        super().__init__("clock_probe", parameter_overrides=overrides)
        self.jumps, self.stood, self.ticks = [], [], []
        self.create_timer(TICK, lambda: self.ticks.append(self.now()))

    def clock_jumped(self, seconds):
        self.jumps.append(seconds)

    def clock_stands(self, problem):
        self.stood.append(problem)


class Rig:
    """The probe, and a node that publishes /clock as it is told."""

    def __init__(self):
        self.probe, self.source = Probe(), rclpy.create_node("clock_source")
        self._output = self.source.create_publisher(Clock, "/clock", qos.SENSOR)
        self._spinner = StaticSingleThreadedExecutor()
        self._spinner.add_node(self.probe)
        self.say_until(10.0)

    def say(self, instant):
        self._output.publish(Clock(clock=to_stamp(instant)))

    def say_until(self, instant):
        """Say it until it is heard: a first message may come before the subscriber is known, and any may be lost."""
        deadline = time.monotonic() + 20.0
        while abs(self.probe.now() - instant) > 1e-6:
            assert time.monotonic() < deadline, f"the probe's clock says {self.probe.now()}, not {instant}"
            self.say(instant)
            self._spinner.spin_once(timeout_sec=0.02)

    def spin(self, condition):
        deadline = time.monotonic() + 20.0
        while not condition():
            assert time.monotonic() < deadline, (self.probe.stood, self.probe.jumps)
            self._spinner.spin_once(timeout_sec=0.05)

    def close(self):
        self._spinner.shutdown(timeout_sec=1.0)
        self.source.destroy_node()
        self.probe.destroy_node()


@pytest.fixture
def rig():
    rig = Rig()
    yield rig
    rig.close()


def test_timers_follow_the_clock_tick_by_tick_however_long_that_takes(rig):
    for step in range(1, 21):
        rig.say_until(10.0 + step * TICK)
        rig.spin(lambda expected=step: len(rig.probe.ticks) >= expected - 1)
    assert len(rig.probe.ticks) in (19, 20, 21) and not rig.probe.jumps
    assert rig.probe.steady() == rig.probe.now() == pytest.approx(11.0)


@pytest.mark.parametrize("seconds", [5.0, -5.0])
def test_a_clock_that_is_set_is_told_once_and_timers_go_on_after_it(rig, seconds):
    rig.say_until(10.0 + seconds)
    assert rig.probe.jumps == [pytest.approx(seconds)]
    assert "5.00 s" in rig.probe.look_at_clock()
    rig.probe.ticks.clear()
    for step in range(1, 5):
        rig.say_until(10.0 + seconds + step * TICK)
    rig.spin(lambda: rig.probe.ticks)
    assert len(rig.probe.jumps) == 1


def test_a_clock_that_stands_is_told_of_by_a_clock_that_does_not_and_that_it_runs_again(rig):
    began = time.monotonic()
    rig.spin(lambda: rig.probe.stood)
    assert "/clock has stood at 10.00 s for" in rig.probe.stood[0] and time.monotonic() - began >= 0.5 * PATIENCE
    rig.say_until(10.01)
    rig.spin(lambda: rig.probe.stood[-1] == "")
    assert not rig.probe.jumps


def test_a_callback_that_waits_for_an_instant_can_read_the_clock_itself(rig):
    deadline = time.monotonic() + 20.0
    while rig.probe.now() < 10.5:
        assert time.monotonic() < deadline
        rig.say(10.5)
        time.sleep(0.01)
        rig.probe.read_clock()
    rig.probe.read_clock()
    assert rig.probe.now() == 10.5


def test_with_the_machines_clock_nothing_is_listened_to_and_the_steady_clock_is_the_machines():
    probe = Probe(uses_sim_time=False)
    probe.read_clock()
    assert abs(probe.steady() - time.monotonic()) < 1.0 and probe.look_at_clock() == ""
    assert "/clock" not in [topic for topic, _ in probe.get_subscriber_names_and_types_by_node("clock_probe", "/")]
    probe.destroy_node()
