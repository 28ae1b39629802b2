"""The 30-number layout: what goes in comes out at its place, and what does not fit is refused by name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clwm_common import actions
from clwm_common.actions import LayoutError, canonical_quaternion, check_rows, pack

quaternions = arrays(np.float64, (3, 4), elements=st.floats(-1.0, 1.0, width=32)).filter(
    lambda q: np.linalg.norm(q, axis=-1).min() > 1e-3
)


def test_the_slices_cover_every_channel_once():
    covered = [
        actions.LEFT_EEF,
        actions.RIGHT_EEF,
        actions.LEFT_JOINTS,
        actions.RIGHT_JOINTS,
        actions.GRIPPERS,
    ]
    indices = [index for part in covered for index in range(actions.ACTION_DIM)[part]]
    assert indices == list(range(actions.ACTION_DIM)) and len(actions.CHANNEL_NAMES) == actions.ACTION_DIM


def test_names_and_slices_agree():
    names = np.array(actions.CHANNEL_NAMES)
    assert list(names[actions.LEFT_QUATERNION]) == ["left_qx", "left_qy", "left_qz", "left_qw"]
    assert list(names[actions.RIGHT_POSITION]) == ["right_x", "right_y", "right_z"]
    assert names[actions.JOINTS][0] == "left_joint1" and names[actions.JOINTS][-1] == "right_joint7"
    assert list(names[actions.GRIPPERS]) == ["left_gripper", "right_gripper"]


def test_every_part_lands_in_its_slice():
    row = pack([1, 2, 3, 0, 0, 0, 1], [4, 5, 6, 0, 1, 0, 0], np.arange(14), [0.01, 0.02])
    assert row.dtype == np.float32
    np.testing.assert_array_equal(row[actions.LEFT_POSITION], [1, 2, 3])
    np.testing.assert_array_equal(row[actions.RIGHT_QUATERNION], [0, 1, 0, 0])
    np.testing.assert_array_equal(row[actions.JOINTS], np.arange(14))
    np.testing.assert_allclose(row[actions.GRIPPERS], [0.01, 0.02], rtol=1e-6)


@given(quaternions)
def test_both_signs_of_a_rotation_become_the_same_unit_quaternion(q):
    canonical = canonical_quaternion(q)
    np.testing.assert_allclose(np.linalg.norm(canonical, axis=-1), 1.0, atol=1e-12)
    np.testing.assert_array_equal(canonical, canonical_quaternion(-q))
    assert (np.take_along_axis(canonical, np.abs(canonical).argmax(-1)[:, None], -1) > 0.0).all()


def test_a_quaternion_of_no_length_is_refused():
    with pytest.raises(LayoutError, match="zero norm"):
        canonical_quaternion([0.0, 0.0, 0.0, 0.0])


def test_a_part_of_the_wrong_width_is_refused_by_name():
    with pytest.raises(LayoutError, match=r"joints has shape \(13,\); expected \(..., 14\)"):
        pack([0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1], np.zeros(13), [0, 0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused_with_row_and_channel(bad):
    rows = np.zeros((4, 30))
    rows[2, 29] = bad
    with pytest.raises(LayoutError, match=r"chunk\[2\] channel right_gripper is"):
        check_rows(rows, name="chunk")


@pytest.mark.parametrize("shape", [(30,), (4, 29), (1, 4, 30)])
def test_rows_of_another_shape_are_refused(shape):
    with pytest.raises(LayoutError, match="expected \\(n, 30\\)"):
        check_rows(np.zeros(shape))


def test_another_layout_version_is_refused():
    actions.check_layout_version(actions.LAYOUT_VERSION)
    with pytest.raises(LayoutError, match="layout version 0 received, 1 expected"):
        actions.check_layout_version(0)
