"""Each rule for chunks by itself: what passes, what is brought inside and counted, what is refused."""

import numpy as np
import pytest

from clwm_common.messages import ActionChunk
from clwm_sai_executor.checks import chunk_rules as rules
from clwm_sai_executor.checks.chunk_rules import ChunkRefused, ChunkStale


def rows(count=16):
    values = np.zeros((count, 30))
    values[:, [6, 13]] = 1.0
    return values


def poses(count):
    values = np.zeros((count, 2, 7))
    values[..., 6] = 1.0
    return values


def test_layout_of_another_release_is_refused():
    rules.require_layout(1, "chunk 1")
    with pytest.raises(ChunkRefused, match="layout version 2, 1 expected"):
        rules.require_layout(2, "chunk 1")


@pytest.mark.parametrize("shape", [(15, 30), (16, 29), (16,), (0, 30)])
def test_another_shape_is_refused(shape):
    rules.require_shape(np.zeros((16, 30)), "chunk 1")
    with pytest.raises(ChunkRefused, match="expected \\(16, 30\\)"):
        rules.require_shape(np.zeros(shape), "chunk 1")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_number_that_is_not_finite_is_refused_with_its_channel(value):
    bad = rows()
    bad[3, 20] = value
    with pytest.raises(ChunkRefused, match="left_joint7"):
        rules.require_finite(bad, "chunk 1")


def test_another_row_time_is_refused():
    rules.require_row_time(0.05, 0.05, "chunk 1")
    with pytest.raises(ChunkRefused, match="0.02 s between rows"):
        rules.require_row_time(0.02, 0.05, "chunk 1")


@pytest.mark.parametrize(
    ("stamp", "passes"), [(10.0, True), (9.6, True), (9.4, False), (11.4, True), (11.6, False), (0.0, True)]
)
def test_observation_counts_only_near_the_instant_asked_for(stamp, passes):
    chunk = ActionChunk(1, 1, 10.0, rows(), observation_stamp=stamp)
    if passes:
        rules.require_fresh(chunk, 10.0, 11.0, 0.5)
        return
    with pytest.raises(ChunkStale, match="pictures"):
        rules.require_fresh(chunk, 10.0, 11.0, 0.5)


def test_prefix_that_is_not_the_committed_one_is_refused():
    committed = rows(4).astype(np.float32)
    rules.require_prefix(rows(), 4, committed, 0.01, "chunk 1")
    with pytest.raises(ChunkRefused, match="repeats 3 committed rows; 4"):
        rules.require_prefix(rows(), 3, committed, 0.01, "chunk 1")
    other = rows()
    other[2, 14] = 0.02
    with pytest.raises(ChunkRefused, match="0.0200 rad from the committed rows"):
        rules.require_prefix(other, 4, committed, 0.01, "chunk 1")


def test_quaternions_come_out_with_unit_length_and_bent_ones_are_counted():
    bent = poses(6)
    bent[4, 0, 3:] = [0.0, 0.0, 0.3, 1.2]
    bent[5, 1, 6] = 1.005
    straight, count = rules.normalise_quaternions(bent, "chunk 1")
    assert count == 1
    np.testing.assert_allclose(np.linalg.norm(straight[..., 3:], axis=-1), 1.0)
    np.testing.assert_allclose(straight[5, 1, 3:], [0, 0, 0, 1])
    np.testing.assert_array_equal(straight[..., :3], bent[..., :3])


@pytest.mark.parametrize("scale", [0.0, 0.4, 2.5])
def test_quaternion_far_from_unit_length_is_refused(scale):
    bad = poses(6)
    bad[4, 1, 3:] *= scale
    with pytest.raises(ChunkRefused, match="quaternion of length"):
        rules.normalise_quaternions(bad, "chunk 1")


def test_pose_that_is_missed_a_little_is_counted_and_one_missed_by_far_is_refused_with_its_row_and_arm():
    tolerance, gross = (0.005, 0.035), (0.05, 0.35)
    residuals = np.zeros((4, 2, 2))
    assert rules.count_missed_poses(residuals, tolerance, gross, 4, "chunk 1") == 0
    residuals[0, 0, 0], residuals[1, 1, 1], residuals[2, 0] = 0.006, 0.04, [0.006, 0.04]
    assert rules.count_missed_poses(residuals, tolerance, gross, 4, "chunk 1") == 3
    for far in ([0.06, 0.0], [0.0, 0.36]):
        residuals[3, 1] = far
        with pytest.raises(ChunkRefused, match="chunk 1 row 7: the right arm gets no nearer than"):
            rules.count_missed_poses(residuals, tolerance, gross, 4, "chunk 1")


def test_leap_between_poses_is_refused_and_the_other_sign_of_a_quaternion_is_none():
    before, after = poses(1)[0], poses(1)[0]
    after[:, 3:] *= -1.0
    after[0, 0] = 0.04
    rules.require_pose_steps(before, after, (0.05, 0.35), "target")
    after[0, 0] = 0.06
    with pytest.raises(ChunkRefused, match=r"0.060 m and 0.0 deg from the arm or the pose before it"):
        rules.require_pose_steps(before, after, (0.05, 0.35), "target")
    after[0, 0], after[1, 3:] = 0.0, [0.0, 0.0, np.sin(0.25), np.cos(0.25)]
    with pytest.raises(ChunkRefused, match=r"28.6 deg"):
        rules.require_pose_steps(before, after, (0.05, 0.35), "target")


def test_leap_between_rows_is_refused_with_its_row():
    joints = np.zeros((5, 14))
    rules.require_steps(joints, 0.5, 4, "chunk 1")
    joints[3:] = 0.6
    with pytest.raises(ChunkRefused, match="row 6 is 0.60 rad"):
        rules.require_steps(joints, 0.5, 4, "chunk 1")


def test_jerk_is_counted_above_the_limit_and_refused_far_above_it():
    limit, dt = np.full(14, 100.0), 0.1
    joints = np.zeros((8, 14))
    joints[:, 3] = np.arange(8.0) ** 3 * dt**3 * 90.0 / 6.0
    assert rules.limit_jerk(joints, limit, 10.0, dt, "chunk 1") == 0
    assert rules.limit_jerk(1.5 * joints, limit, 10.0, dt, "chunk 1") == 5
    with pytest.raises(ChunkRefused, match="joint 3 at 1800 rad/s"):
        rules.limit_jerk(20.0 * joints, limit, 10.0, dt, "chunk 1")
    assert rules.limit_jerk(joints[:3] * 1e6, limit, 10.0, dt, "chunk 1") == 0


def test_openings_are_clamped_and_counted_and_refused_far_outside():
    low, high = np.zeros(2), np.full(2, 0.08)
    openings = np.array([[0.04, 0.09], [-0.01, 0.08]])
    clamped, count = rules.clamp_openings(openings, low, high, 0.05, "chunk 1")
    np.testing.assert_array_equal(clamped, [[0.04, 0.08], [0.0, 0.08]])
    assert count == 2
    with pytest.raises(ChunkRefused, match="39.920 m beyond its range"):
        rules.clamp_openings(openings + [0.0, 39.91], low, high, 0.05, "chunk 1")
