"""What is too large or malformed is refused as bytes, counted and logged; the node goes on with the next message."""

import array
import struct
import time

import pytest
import rclpy
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64

from clwm_common.messages import INSTRUCTION_BYTES, ModeStatus, instruction_problem
from clwm_common.ros import qos
from clwm_common.ros.conversions import to_msg
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_common.ros.intake import UnboundedType, intake, largest
from clwm_common.ros.lifecycle import ClwmNode
from clwm_msgs import msg as ros
from clwm_msgs.action import RunTask
from clwm_msgs.srv import SetTask

BOUNDED = (
    ros.ActionChunk, ros.ChunkRequest, ros.DualArmState, ros.EpisodeStatus, ros.ModeStatus, ros.ObservationRequest,
    ros.SaiReport, ros.TeleopCommand,
)  # fmt: skip


def full(message_type):
    """A message with every sequence and every text as long as its bound allows."""
    message = message_type()
    for name, kind in zip(message.get_fields_and_field_types(), message.SLOT_TYPES, strict=True):
        if (bound := getattr(kind, "maximum_size", None)) is not None:
            is_text = isinstance(getattr(message, name), str)
            setattr(message, name, "x" * bound if is_text else array.array("f", [0.0] * bound))
    return message


def with_length(data, length, claimed, payload=b""):
    """`data` with the length of its sequence of `length` numbers replaced, and `payload` after it."""
    place = data.index(struct.pack("<I", length))
    return data[:place] + struct.pack("<I", claimed) + payload + data[place + 4 + 4 * length :]


def taken(message_type, data, max_bytes=None):
    """(messages let in, reasons of refusal)"""
    messages, reasons = [], []
    intake(message_type, max_bytes, messages.append, reasons.append)(data)
    return messages, reasons


@pytest.mark.parametrize("message_type", BOUNDED, ids=lambda t: t.__name__)
def test_a_message_as_large_as_its_bounds_allow_is_let_in_and_the_limit_is_not_much_larger(message_type):
    data = bytes(serialize_message(full(message_type)))
    assert len(data) <= largest(message_type) <= 1.5 * len(data) + 64
    assert taken(message_type, data)[0] == [full(message_type)]


def test_a_sequence_beyond_its_bound_is_refused_before_it_is_unpacked(monkeypatch):
    data = bytes(serialize_message(full(ros.ActionChunk)))
    long = with_length(data, 480, 10_000_000, bytes(40_000_000))
    unpacked = []
    monkeypatch.setattr("clwm_common.ros.intake.deserialize_message", lambda *what: unpacked.append(what))
    messages, (reason,) = taken(ros.ActionChunk, long)
    assert messages == unpacked == [] and f"expected at most {largest(ros.ActionChunk)}" in reason


def test_a_length_that_the_bytes_do_not_hold_is_refused():
    data = bytes(serialize_message(full(ros.ActionChunk)))
    messages, (reason,) = taken(ros.ActionChunk, with_length(data, 480, 0xFFFFFFFF))
    assert messages == [] and "are no ActionChunk" in reason


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(BOUNDED), st.data())
def test_no_mutilated_message_raises_or_ends_the_process(message_type, draw):
    data = bytearray(serialize_message(full(message_type)))
    for place in draw.draw(st.lists(st.integers(4, len(data) - 1), max_size=8)):
        data[place] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.integers(0, len(data)))
    messages, reasons = taken(message_type, bytes(data[:cut]))
    assert len(messages) + len(reasons) == 1


@pytest.mark.parametrize("message_type", [Image, JointState, ros.FeatureFrame])
def test_an_unbounded_type_needs_a_limit_from_its_subscriber(message_type):
    with pytest.raises(UnboundedType, match="no upper bound; .* max_bytes"):
        intake(message_type, None, print, print)
    assert taken(message_type, bytes(101), 100)[1] == ["101 bytes; expected at most 100"]


def test_a_picture_up_to_the_limit_is_let_in():
    picture = Image(height=2, width=2, encoding="rgb8", step=6, data=array.array("B", bytes(12)))
    assert taken(Image, bytes(serialize_message(picture)), 100)[0] == [picture]


def test_a_reason_longer_than_its_bound_is_cut_so_that_the_other_end_takes_the_message():
    message = to_msg(ModeStatus(1.0, 2, "é" * 100, "ü" * 1000, 3))
    assert len(message.reason.encode()) == 512 and len(message.owner.encode()) == 64
    assert taken(ros.ModeStatus, bytes(serialize_message(message)))[0] == [message]


@pytest.mark.parametrize("message_type", [ros.ChunkRequest, SetTask.Request, RunTask.Goal])
def test_the_core_knows_the_bound_of_an_instruction(message_type):
    place = list(message_type.get_fields_and_field_types()).index("instruction")
    assert message_type.SLOT_TYPES[place].maximum_size == INSTRUCTION_BYTES


@pytest.mark.parametrize(
    ("words", "problem"), [("lift", ""), (" ", "empty"), ("ü" * 129, "258 bytes; expected at most 256")]
)
def test_an_instruction_must_have_words_and_fit_its_bound(words, problem):
    assert problem in instruction_problem(words) and bool(problem) == bool(instruction_problem(words))


class Listener(ClwmNode):
    def __init__(self):
        super().__init__("listener")

    def configure(self):
        self.heard = []
        self.create_subscription(ros.ActionChunk, "/listener/chunk", self.heard.append, qos.CRITICAL)


def test_a_node_refuses_a_flood_from_the_network_counts_it_and_goes_on():
    rclpy.init()
    node, sender = Listener(), rclpy.create_node("sender")
    node.trigger_configure()
    executor = StaticSingleThreadedExecutor()
    executor.add_node(node)
    output = sender.create_publisher(ros.ActionChunk, "/listener/chunk", qos.CRITICAL)
    good = bytes(serialize_message(full(ros.ActionChunk)))
    bad = (with_length(good, 480, 1_000_000, bytes(4_000_000)), with_length(good, 480, 0xFFFFFFFF), good[:50], b"\0")
    health = {}
    node._diagnostics.publish = lambda message: health.update(
        {pair.key: pair.value for pair in message.status[0].values}
    )
    deadline = time.monotonic() + 10.0
    while output.get_subscription_count() == 0 and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.05)
    for data in (good, *bad, good):
        output.publish(data)
    while len(node.heard) < 2 and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.05)
    node._report_health()
    refused = health.get("refused /listener/chunk")
    executor.shutdown()
    node.destroy_node()
    sender.destroy_node()
    rclpy.try_shutdown()
    assert len(node.heard) == 2 and not node.fault
    assert int(refused) >= 3


def test_a_plain_number_needs_no_limit():
    assert taken(Float64, bytes(serialize_message(Float64(data=2.0))))[0] == [Float64(data=2.0)]
