"""Committed rows that stray in training: the first row stays, what follows goes on from the last one and comes back."""

import numpy as np
import pytest
import torch

from clwm_common.actions import ACTION_DIM, CHUNK_ROWS, GRIPPERS, JOINTS, LEFT_POSITION, LEFT_QUATERNION
from clwm_embodichain.training.policy.samples import POSE_SCALE
from clwm_embodichain.training.policy.straying import RETURN_ROWS, Straying

HALF = 0.25  # rad and m of a coded unit
STRAYING = Straying(torch.full((14,), 1.0 / HALF), torch.full((2, 3), float(POSE_SCALE[0]) / HALF))


def rows(lengths, share=1.0, size=0.01):
    torch.manual_seed(0)
    lengths = torch.tensor(lengths)
    jacobian = torch.randn(len(lengths), CHUNK_ROWS, 2, 6, 7)
    return STRAYING.rows(lengths, jacobian, share, size), jacobian


@pytest.mark.parametrize("length", [2, 4])
def test_the_first_row_stays_the_last_committed_one_strays_most_and_the_chunk_ends_on_the_plan(length):
    found, _ = rows([length] * 50)
    away = found[..., JOINTS].abs().mean((0, 2))
    assert away[0] == 0.0 and int(away.argmax()) == length - 1
    assert (away[length - 1 : length - 1 + RETURN_ROWS].diff() < 0.0).all()
    assert (away[length - 1 + RETURN_ROWS :] < 1e-6).all()


def test_the_first_free_row_goes_on_from_the_last_committed_one():
    found, _ = rows([4] * 50)
    step = (found[:, 4] - found[:, 3])[..., JOINTS].abs().max()
    assert step < 0.05 * found[:, 3, JOINTS].abs().max()


def test_it_strays_by_as_much_as_was_said():
    found, _ = rows([4] * 400, size=0.02)
    assert HALF * float(found[:, 3, JOINTS].std()) == pytest.approx(0.02, rel=0.05)


def test_the_tools_stray_with_the_joints_and_nothing_else_does():
    found, jacobian = rows([4] * 3)
    moved = jacobian[:, :, 0, :3] @ found[..., JOINTS][..., :7, None]
    np.testing.assert_allclose(
        HALF * found[..., LEFT_POSITION], POSE_SCALE[0] * moved.squeeze(-1), rtol=1e-4, atol=1e-6
    )
    assert not found[..., LEFT_QUATERNION].any() and not found[..., GRIPPERS].any()
    assert found.shape == (3, CHUNK_ROWS, ACTION_DIM)


def test_arms_at_rest_do_not_stray_and_only_a_share_of_the_others_does():
    assert not rows([1] * 20)[0].any()
    found, _ = rows([4] * 400, share=0.25)
    assert float(found.flatten(1).any(1).float().mean()) == pytest.approx(0.25, abs=0.07)
