import numpy as np
import pytest

from clwm_common.actions import LayoutError
from clwm_sai_executor.joint_map import JointMap


def names_of(robot):
    return [*robot.joint_names, robot.left.gripper.finger_joint, robot.right.gripper.finger_joint]


def test_joints_are_found_in_any_order_among_strangers(robot):
    names = names_of(robot)
    shuffled = ["torso", *reversed(names)]
    values = {name: float(index) for index, name in enumerate(names)} | {"torso": 99.0}
    arms = JointMap(robot).measured(5.0, shuffled, [values[n] for n in shuffled], [values[n] for n in shuffled])
    np.testing.assert_array_equal(arms.positions, np.arange(14.0))
    np.testing.assert_array_equal(arms.velocities, np.arange(14.0))
    np.testing.assert_array_equal(arms.widths, [28.0, 30.0])
    assert arms.stamp == 5.0


def test_absent_velocities_are_zero(robot):
    assert not JointMap(robot).measured(0.0, names_of(robot), [1.0] * 16, []).velocities.any()


def test_missing_joint_is_named(robot):
    names = [name for name in names_of(robot) if name != "right_fr3_joint3"]
    with pytest.raises(LayoutError, match="lacks right_fr3_joint3"):
        JointMap(robot).measured(0.0, names, [0.0] * 15, [])


def test_lengths_that_differ_are_refused_also_after_a_good_message(robot):
    joint_map = JointMap(robot)
    joint_map.measured(0.0, names_of(robot), [0.0] * 16, [])
    with pytest.raises(LayoutError, match="16 names, 15 positions"):
        joint_map.measured(0.0, names_of(robot), [0.0] * 15, [])
