"""Physical rows to model rows and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from clwm_common.actions import ACTION_DIM, JOINTS, LEFT_QUATERNION, RIGHT_QUATERNION, LayoutError, canonical_quaternion
from clwm_policy.model.action_codec import RELATIVE, ActionCodec, Normaliser
from clwm_policy.model.state_predictor import StatePredictor


def random_rows(rng, count):
    rows = rng.uniform(-2.0, 2.0, (count, ACTION_DIM))
    for part in (LEFT_QUATERNION, RIGHT_QUATERNION):
        rows[:, part] = canonical_quaternion(rng.normal(size=(count, 4)))
    return rows


def make_codec(seed=0, mask=None):
    rng = np.random.default_rng(seed)
    return ActionCodec(
        Normaliser.fit(random_rows(rng, 200), mask),
        Normaliser.fit(random_rows(rng, 200)),
        Normaliser.fit(random_rows(rng, 200)),
    )


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_decoding_undoes_encoding_for_any_rows_and_anchor(seed):
    rng = np.random.default_rng(seed)
    codec, rows, anchor = make_codec(seed % 7), random_rows(rng, 16), random_rows(rng, 1)[0]
    np.testing.assert_allclose(codec.decode_rows(codec.encode_rows(rows, anchor), anchor), rows, atol=1e-12)


def test_moving_anchor_and_rows_together_changes_nothing_in_joints_and_positions():
    rng, codec = np.random.default_rng(1), make_codec()
    rows, anchor = random_rows(rng, 16), random_rows(rng, 1)[0]
    shift = np.where(RELATIVE, 0.3, 0.0)
    np.testing.assert_allclose(
        codec.encode_rows(rows + shift, anchor + shift), codec.encode_rows(rows, anchor), atol=1e-12
    )


def test_percentiles_map_to_minus_one_and_one():
    rows = np.random.default_rng(0).normal(size=(20000, ACTION_DIM))
    coded = Normaliser.fit(rows).encode(rows)
    np.testing.assert_allclose(
        np.quantile(coded, [0.01, 0.99], axis=0), [[-1.0] * ACTION_DIM, [1.0] * ACTION_DIM], atol=1e-9
    )


def test_a_channel_that_never_moves_is_not_blown_up():
    rows = np.zeros((100, ACTION_DIM))
    rows[:, 14] = 1e-9 * np.arange(100)
    assert np.abs(Normaliser.fit(rows).encode(rows + 0.001)).max() < 0.25


def test_absent_channels_are_coded_zero_and_decode_to_the_anchor():
    mask = np.ones(ACTION_DIM, dtype=bool)
    mask[JOINTS] = False
    rng, codec = np.random.default_rng(0), make_codec(mask=mask)
    rows, anchor = random_rows(rng, 3), random_rows(rng, 1)[0]
    coded = codec.encode_rows(rows, anchor)
    assert (coded[:, JOINTS] == 0.0).all()
    np.testing.assert_allclose(codec.decode_rows(coded, anchor)[:, JOINTS], np.tile(anchor[JOINTS], (3, 1)))
    rows[:, JOINTS] = np.nan
    np.testing.assert_array_equal(codec.encode_rows(rows, anchor), coded)


@pytest.mark.parametrize("width", [29, 31, 0])
def test_rows_of_another_width_are_refused(width):
    codec = make_codec()
    for call in (codec.encode_rows, codec.decode_rows, codec.encode_state):
        with pytest.raises(LayoutError, match="expected"):
            call(np.zeros((16, width)), np.zeros(ACTION_DIM))


def test_executed_rows_end_with_the_newest_whatever_their_number():
    rng, codec, anchor = np.random.default_rng(0), make_codec(), np.zeros(ACTION_DIM)
    for count in (0, 1, 5, 12, 16):
        rows = random_rows(rng, count)
        coded, mask = codec.encode_executed(rows, anchor)
        assert coded.shape == (12, ACTION_DIM) and mask.sum() == min(count, 12)
        if count:
            np.testing.assert_allclose(coded[-1], codec.encode_rows(rows[-1], anchor))
            assert mask[-1]


def test_codec_survives_its_json():
    codec, rng = make_codec(), np.random.default_rng(3)
    rows, anchor = random_rows(rng, 4), random_rows(rng, 1)[0]
    written = TypeAdapter(ActionCodec).dump_json(codec, by_alias=True)
    again = TypeAdapter(ActionCodec).validate_json(written)
    np.testing.assert_array_equal(again.encode_rows(rows, anchor), codec.encode_rows(rows, anchor))


def test_state_predictor_foresees_a_lagging_arm_and_beats_copying():
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(400, 13, ACTION_DIM)).cumsum(axis=1) * 0.02
    executed, anchors = steps[:, :12], steps[:, 12]
    states = 0.5 * executed[:, 11] + 0.5 * executed[:, 10]  # two rows behind
    previous = executed[:, 0]
    predictor = StatePredictor.fit(previous[:300], executed[:300], anchors[:300], states[:300])
    for i in range(300, 320):
        joints = predictor.predict(previous[i], executed[i], anchors[i])[JOINTS]
        assert np.abs(joints - states[i, JOINTS]).max() < 1e-3


def test_state_predictor_refuses_another_width():
    predictor = StatePredictor(np.zeros((30, 14)))
    with pytest.raises(LayoutError, match="anchor"):
        predictor.predict(np.zeros(30), np.zeros((12, 30)), np.zeros(28))
