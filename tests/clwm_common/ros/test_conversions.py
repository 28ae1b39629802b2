"""Core messages survive the way through ROS messages and the wire, and malformed ones are refused with a reason."""

import array
import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message

from clwm_common import messages as core
from clwm_common.actions import LayoutError
from clwm_common.ros.conversions import ConversionError, from_msg, from_stamp, to_msg, to_stamp
from clwm_msgs import msg as ros

RNG = np.random.default_rng(0)
NOW = 1_790_000_000.123456


def rows(count):
    return RNG.normal(size=(count, 30)).astype(np.float32)


REPORT = core.SaiReport(
    chunk_id=9,
    task_epoch=1,
    policy="fixed:0.5",
    requested_at=NOW,
    speculation_started_at=NOW + 0.1,
    speculation_ended_at=NOW + 0.2,
    observation_stamp=NOW + 0.3,
    frame_arrived_at=NOW + 0.4,
    finished_at=NOW + 0.5,
    encode_seconds=0.5,
    memory_seconds=0.25,
    context_seconds=0.125,
    finish_seconds=0.0625,
    surrogate_error=0.5,
    copy_error=0.75,
    re_entry_video_s=1.0,
    re_entry_s=0.5,
    disagreement=0.0078125,
    expected_deviation=0.00390625,
    uncalibrated=True,
    steps_cut=3,
    out_of_distribution=True,
    success_estimate=0.25,
    evidence_chunk_id=7,
    evidence_deviation=0.001953125,
    nfe_total=14,
    nfe_blocking=5,
    memory_updates=11,
    memory_digest="0123456789abcdef",
)
MESSAGES = [
    core.ObservationRequest(chunk_id=7, observe_at=NOW),
    core.FeatureFrame(
        stamp=NOW,
        features=RNG.normal(size=(3, 4, 4, 5)).astype(np.float16),
        cameras=("head", "left_wrist", "right_wrist"),
        encoder_id="nano",
        encoder_hash="ab" * 32,
        encode_seconds=0.03125,
    ),
    core.DualArmState(
        stamp=NOW,
        values=rows(1)[0],
        valid=RNG.random(30) > 0.5,
        velocities=RNG.normal(size=14).astype(np.float32),
        mode=core.Mode.TELEOP,
        task_epoch=3,
    ),
    core.TeleopCommand(
        stamp=NOW,
        source="leader_arms",
        dead_man=True,
        target=rows(1)[0],
        valid=RNG.random(30) > 0.5,
    ),
    core.ModeStatus(stamp=NOW, mode=core.Mode.TELEOP, owner="leader_arms", reason="why not", task_epoch=3),
    core.ChunkRequest(
        chunk_id=2**40,
        task_epoch=4,
        observe_at=NOW,
        needed_by=NOW + 0.2,
        committed_prefix=rows(4),
        executed_rows=rows(12),
        instruction="lift the tray",
        memory_policy=core.MemoryPolicy.RESTORE,
        episode_seed=2**63,
        at_rest=True,
        executed_chunk_id=2**40 - 1,
    ),
    core.TaskStatus(
        stamp=NOW,
        mode=core.Mode.HOLD,
        phase="STALLED",
        task_epoch=3,
        started_at=NOW - 5.0,
        instruction="lift the tray",
        goal="lift_tray",
        fault="the arms do not follow",
        waiting="no picture",
        is_active=True,
    ),
    core.Verdict(NOW, 3, "sim", core.Judgement.FAILED, "lift_tray", "the tray has tipped over"),
    core.ChunkRefusal(9, 3, core.RefusalKind.SNAPSHOT, "nothing was kept", may_pass=True),
    core.ActionChunk(
        chunk_id=9,
        task_epoch=1,
        stamp=NOW,
        rows=rows(16),
        prefix_rows=4,
        observation_stamp=NOW - 0.01,
        policy_hash="cd" * 32,
        re_entry="fixed:0.5",
    ),
    REPORT,
    core.ChunkTimeline(
        chunk_id=9,
        task_epoch=1,
        requested_at=NOW,
        observe_at=NOW + 0.1,
        needed_by=NOW + 0.2,
        at_rest=True,
        prefix_rows=4,
        outcome="executed",
        arrived_at=NOW + 0.3,
        sent_at=NOW + 0.4,
        starts_at=NOW + 0.5,
        first_motion_at=NOW + 0.6,
        rows_end_at=NOW + 0.7,
        observation_stamp=NOW + 0.8,
        stall=0.1,
        seam_jump=0.5,
        inner_jump=0.25,
        seam_acceleration_jump=0.125,
        inner_acceleration_jump=0.0625,
        re_entry="fixed:0.5",
        report=REPORT,
    ),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_field_survives_conversion_and_the_wire(message):
    wire = serialize_message(to_msg(message))
    back = from_msg(deserialize_message(wire, type(to_msg(message))))
    for field in dataclasses.fields(message):
        np.testing.assert_array_equal(getattr(back, field.name), getattr(message, field.name), err_msg=field.name)


def test_every_core_message_is_covered_by_the_round_trip():
    known = {kind for kind in vars(core).values() if dataclasses.is_dataclass(kind)}
    assert known == {type(message) for message in MESSAGES}


# What says how large something is, or whether it is there, or that a request cancels, is no field in the core.
OF_ROS_ALONE = {
    "FeatureFrame": {"rows", "columns", "channels", "data"},
    "ChunkRequest": {"kind"},
    "ActionChunk": {"horizon"},
    "DualArmState": {"layout_version"},
    "ChunkTimeline": {"is_reported"},
}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_no_field_of_a_ros_message_is_left_out(message):
    name, fields = type(message).__name__, {field.name for field in dataclasses.fields(message)}
    assert getattr(ros, name).get_fields_and_field_types().keys() - fields == OF_ROS_ALONE.get(name, set())


def test_text_for_people_is_cut_between_letters_and_no_other_text_is():
    refusal = core.ChunkRefusal(1, 0, core.RefusalKind.OUTPUT, "x" * 511 + "é")
    assert to_msg(refusal).reason == "x" * 511
    # An order that lost its end would be another order: the receiver refuses the message instead.
    assert to_msg(core.ChunkRequest(1, 0, NOW, NOW, rows(1), instruction="x" * 257)).instruction == "x" * 257


@pytest.mark.parametrize("changes", [{"values": np.zeros(29)}, {"valid": np.ones(31)}, {"velocities": np.zeros(7)}])
def test_a_vector_of_another_length_is_refused_by_name(changes):
    ((name, values),) = changes.items()
    state = core.DualArmState(NOW, np.zeros(30, np.float32), np.ones(30, dtype=bool))
    with pytest.raises(ConversionError, match=rf"{name} has shape \({len(values)},\); expected"):
        to_msg(dataclasses.replace(state, **changes))


def test_a_cancelled_request_keeps_its_identity():
    back = from_msg(
        to_msg(core.ChunkRequest(chunk_id=5, task_epoch=2, observe_at=math.nan, needed_by=math.nan, cancel=True))
    )
    assert back.cancel and back.chunk_id == 5 and back.task_epoch == 2


def test_an_unknown_surrogate_error_stays_unknown():
    assert math.isnan(from_msg(to_msg(core.SaiReport(chunk_id=1, task_epoch=0, policy="sequential"))).surrogate_error)


def test_what_did_not_happen_to_a_chunk_stays_unknown():
    back = from_msg(to_msg(core.ChunkTimeline(1, 1, NOW, NOW, NOW, at_rest=False, prefix_rows=1, outcome="cancelled")))
    assert math.isnan(back.sent_at) and math.isnan(back.seam_jump) and back.report is None


@given(st.floats(0.0, 2**31 - 2))
def test_stamps_round_to_a_nanosecond(seconds):
    assert abs(from_stamp(to_stamp(seconds)) - seconds) <= max(0.5e-9, math.ulp(seconds)) * 1.01


@pytest.mark.parametrize("seconds", [-0.001, math.nan, math.inf, 2.0**31])
def test_times_that_ros_cannot_express_are_refused(seconds):
    with pytest.raises(ConversionError, match="cannot be a stamp"):
        to_stamp(seconds)


def test_a_frame_whose_bytes_do_not_match_its_shape_is_refused():
    frame = ros.FeatureFrame(cameras=["head"], rows=4, columns=4, channels=65535, data=array.array("B", bytes(64)))
    with pytest.raises(ConversionError, match="carries 64 bytes; expected 2097120"):
        from_msg(frame)


def test_an_empty_frame_is_refused():
    with pytest.raises(ConversionError, match="more than none"):
        from_msg(ros.FeatureFrame())


def test_features_without_a_camera_axis_are_refused():
    frame = core.FeatureFrame(0.0, np.zeros((4, 4, 8), np.float16), ("head",), "nano", "00")
    with pytest.raises(ConversionError, match=r"\(4, 4, 8\)"):
        to_msg(frame)


def test_a_chunk_with_a_truncated_row_is_refused():
    chunk = ros.ActionChunk(chunk_id=3, horizon=16, layout_version=1, rows=array.array("f", [0.0] * 479))
    with pytest.raises(ConversionError, match="479 numbers; expected 16 rows of 30"):
        from_msg(chunk)


def test_a_chunk_of_another_layout_is_refused():
    with pytest.raises(LayoutError, match="layout version 2"):
        from_msg(ros.ActionChunk(layout_version=2))


def test_an_unknown_memory_policy_is_refused_by_name():
    with pytest.raises(ConversionError, match="memory_policy is 9; expected one of KEEP"):
        from_msg(ros.ChunkRequest(layout_version=1, memory_policy=9))


def test_a_message_of_no_known_class_is_refused():
    with pytest.raises(ConversionError, match="no ROS form"):
        to_msg(object())
    with pytest.raises(ConversionError, match="no core form"):
        from_msg(object())
