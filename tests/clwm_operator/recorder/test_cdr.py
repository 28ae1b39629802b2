"""Serialised messages end where they end."""

import pytest
from mcap.records import Schema
from mcap_ros2.decoder import DecoderFactory
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, MultiArrayDimension
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from clwm_common.ros.message_log import definition, type_name
from clwm_operator.recorder.cdr import LAYOUTS, trimmed


def trajectory(points, names, **numbers):
    return JointTrajectory(joint_names=names, points=[JointTrajectoryPoint(**numbers) for _ in range(points)])


MESSAGES = [
    JointState(),
    JointState(name=["a"], position=[1.0]),
    JointState(name=["a", "bcd"], position=[1.0, 2.0], effort=[3.0, 4.0]),
    JointState(name=["abc"], position=[1.0], velocity=[2.0], effort=[3.0]),
    trajectory(0, []),
    trajectory(22, ["left_1", "left_22"], positions=[1.0, 2.0], velocities=[3.0, 4.0]),
    trajectory(3, ["a"], positions=[1.0]),
    trajectory(3, ["abcdefg"], positions=[1.0], velocities=[1.0], accelerations=[2.0], effort=[3.0]),
    Float64MultiArray(data=[1.0, 2.0]),
    Float64MultiArray(),
]
dimensioned = Float64MultiArray(data=[1.0, 2.0])
dimensioned.layout.dim.append(MultiArrayDimension(label="joints", size=2, stride=2))


@pytest.mark.parametrize("message", [*MESSAGES, dimensioned], ids=lambda it: type(it).__name__)
def test_a_message_is_whole_without_what_follows_it_and_not_with_a_byte_less(message):
    kind = type_name(type(message))
    layout, data = LAYOUTS[kind], serialize_message(message)
    found = trimmed(layout, data)
    assert data.startswith(found) and deserialize_message(found, type(message)) == message
    assert trimmed(layout, found + b"behind") == found
    decode = DecoderFactory().decoder_for("cdr", Schema(1, definition(kind).encode(), "ros2msg", kind))
    decode(found)
    with pytest.raises(Exception, match=r"."):
        decode(found[:-1])


def test_what_is_no_such_message_stays_as_it_is():
    data = serialize_message(JointState(name=["a"], position=[1.0]))[:20]
    assert trimmed(LAYOUTS["sensor_msgs/msg/JointState"], data) == data


def test_a_trajectory_without_accelerations_has_something_behind_it_or_this_is_of_no_use():
    data = serialize_message(trajectory(22, ["a"], positions=[1.0], velocities=[2.0]))
    assert len(trimmed(LAYOUTS["trajectory_msgs/msg/JointTrajectory"], data)) < len(data)
