"""Edited messages are wrong in exactly the way that their edit says."""

import copy
import math

import pytest
from builtin_interfaces.msg import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from clwm_chaos.faults.edits import EDITS
from clwm_common.robot.description import RobotDescription
from clwm_common.ros.conversions import from_msg, from_stamp
from clwm_msgs.msg import ActionChunk
from clwm_sai_executor.inputs.joint_map import JointMap


@pytest.fixture
def joint_state():
    message = JointState(name=["a", "b"], position=[1.0, 2.0], velocity=[0.1, 0.2])
    message.header.stamp.sec = 50
    return message


@pytest.fixture
def chunk():
    return ActionChunk(
        chunk_id=3, task_epoch=2, dt=0.05, layout_version=1, horizon=16, prefix_rows=4, rows=[0.0] * 480,
        policy_hash="ab" * 32,
    )  # fmt: skip


def test_a_clock_is_ahead_by_more_than_any_tick():
    edited = EDITS["clock_ahead"](Clock(clock=Time(sec=7, nanosec=30)))
    assert (edited.clock.sec, edited.clock.nanosec) == (12, 30)


def test_one_position_is_no_number_and_the_rest_stays(joint_state):
    edited = EDITS["nan_position"](copy.deepcopy(joint_state))
    assert math.isnan(edited.position[0]) and list(edited.position)[1:] == [2.0]
    assert (edited.name, edited.velocity) == (joint_state.name, joint_state.velocity)


def test_the_first_joint_is_missing_from_every_field(joint_state):
    edited = EDITS["without_first_joint"](joint_state)
    assert (list(edited.name), list(edited.position), list(edited.velocity)) == (["b"], [2.0], [0.2])


def test_a_joint_state_without_a_joint_is_what_the_executor_cannot_use(joint_state):
    robot = RobotDescription.load("dual_fr3_mujoco")
    names = [*robot.joint_names, *(arm.gripper.finger_joint for arm in robot.arms)]
    edited = EDITS["without_first_joint"](JointState(name=names, position=[0.0] * 16, velocity=[0.0] * 16))
    given = robot.joint_states_topic, 0.0, edited.name, edited.position, edited.velocity
    assert JointMap(robot).measured(*given) is None


def test_velocities_that_are_no_numbers_leave_the_positions(joint_state):
    edited = EDITS["nan_velocities"](copy.deepcopy(joint_state))
    assert all(math.isnan(value) for value in edited.velocity) and list(edited.position) == [1.0, 2.0]


@pytest.mark.parametrize(("edit", "stamp"), [("stamped_zero", 0.0), ("stamped_ahead", 50.09), ("stamped_behind", 49.6)])
def test_stamps_of_a_picture_are_off_by_so_much(joint_state, edit, stamp):
    assert from_stamp(EDITS[edit](joint_state).header.stamp) == pytest.approx(stamp, abs=1e-6)


@pytest.mark.parametrize(("edit", "seconds"), [("stamped_back", 49), ("stamped_forward", 51)])
def test_the_clock_is_set_by_a_second(joint_state, edit, seconds):
    assert EDITS[edit](joint_state).header.stamp.sec == seconds


def test_a_chunk_of_the_epoch_before_is_otherwise_the_same(chunk):
    edited = EDITS["of_the_epoch_before"](copy.deepcopy(chunk))
    assert edited.task_epoch == 1 and edited.rows == chunk.rows


def test_a_chunk_of_another_layout_cannot_be_read(chunk):
    from_msg(copy.deepcopy(chunk))
    with pytest.raises(Exception, match="layout"):
        from_msg(EDITS["of_another_layout"](chunk))


def test_a_number_behind_the_committed_rows_is_none(chunk):
    assert math.isnan(EDITS["nan_row"](chunk).rows[-1])
