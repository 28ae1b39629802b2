"""Every pair of ends in the stack is compatible, and what must not be lost is reliable."""

import itertools

import pytest
from rclpy.qos import DurabilityPolicy, QoSCompatibility, ReliabilityPolicy, qos_check_compatible

from clwm_common.ros import qos


def test_every_sensor_subscription_receives_every_sensor_publication():
    for publisher, subscriber in itertools.product((qos.SENSOR, qos.SENSOR_BUFFERED), repeat=2):
        assert qos_check_compatible(publisher, subscriber)[0] != QoSCompatibility.ERROR


def test_a_reliable_driver_is_heard_by_our_sensor_subscriptions():
    assert qos_check_compatible(qos.REPORT, qos.SENSOR)[0] != QoSCompatibility.ERROR


@pytest.mark.parametrize("profile", [qos.CRITICAL, qos.SETPOINT, qos.REPORT, qos.LATCHED])
def test_what_must_not_be_lost_is_reliable(profile):
    assert profile.reliability == ReliabilityPolicy.RELIABLE


def test_only_the_newest_trajectory_and_picture_wait_in_a_queue():
    assert qos.SETPOINT.depth == 1 and qos.SENSOR.depth == 1


def test_a_late_joiner_gets_the_latched_message():
    assert qos.LATCHED.durability == DurabilityPolicy.TRANSIENT_LOCAL
