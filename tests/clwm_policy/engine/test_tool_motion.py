"""Distances between chunks at the tools."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clwm_common.actions import ACTION_DIM
from clwm_policy.engine.tool_motion import chunk_distance, pose_distance
from clwm_policy.model.action_codec import ActionCodec, Normaliser


def codec_of(half_range: float) -> ActionCodec:
    scale = Normaliser(np.full(ACTION_DIM, -half_range), np.full(ACTION_DIM, half_range), np.ones(ACTION_DIM, bool))
    return ActionCodec(scale, scale, scale)


def turned(angle: float) -> np.ndarray:
    return np.array([0.0, 0.0, 0.0, math.sin(angle / 2.0), 0.0, 0.0, math.cos(angle / 2.0)])


@given(st.floats(0.0, math.pi))
def test_a_turn_counts_like_5_mm_for_every_2_degrees(angle):
    straight, bent = np.stack([turned(0.0)] * 2)[None], np.stack([turned(0.0), turned(angle)])[None]
    assert pose_distance(straight, bent) == pytest.approx(0.005 * math.degrees(angle) / 2.0, abs=1e-9)
    assert pose_distance(straight, -bent * [-1, -1, -1, 1, 1, 1, 1]) == pytest.approx(pose_distance(straight, bent))


def test_the_largest_row_decides():
    poses = np.tile(turned(0.0), (16, 2, 1))
    moved = poses.copy()
    moved[11, 1, :3] = [0.0, 0.03, 0.04]
    assert pose_distance(poses, moved) == pytest.approx(0.05)


def test_a_coded_difference_is_measured_in_metres_per_chunk():
    difference = np.zeros((2, 16, ACTION_DIM))
    difference[0, 15, 8] = 0.5
    difference[1, 3, 4] = 0.01
    shift, turn = chunk_distance(difference, codec_of(0.04))
    assert shift == pytest.approx(0.02)
    assert turn == pytest.approx(0.005 / math.radians(2.0) * 2.0 * 0.0004)


def test_joints_and_grippers_are_not_counted_twice():
    difference = np.zeros((1, 16, ACTION_DIM))
    difference[..., 14:] = 1.0
    assert chunk_distance(difference, codec_of(1.0)) == 0.0


def test_absent_channels_do_not_disagree():
    absent = Normaliser(np.full(ACTION_DIM, -1.0), np.full(ACTION_DIM, 1.0), np.zeros(ACTION_DIM, bool))
    assert chunk_distance(np.ones((1, 16, ACTION_DIM)), ActionCodec(absent, absent, absent)) == 0.0
