"""Points that a policy has to know: keyposes, where each tool is when its gripper next begins to move."""

import numpy as np
import torch

from clwm_common.actions import GRIPPERS, LEFT_POSITION, RIGHT_POSITION
from clwm_embodichain.training.policy.points import PointHead, next_keyposes
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.sizes import ClwmConfig

CONFIG = ClwmConfig(width=24, layers=2, heads=2, ffn_width=48, memory_rank=4, feature_channels=8, text_tokens=2)


def executed(rows=24):
    """The left gripper closes over rows 8 to 11 and opens from 16 on; the right one never moves."""
    found = np.zeros((rows, 30), np.float32)
    found[:, LEFT_POSITION] = np.arange(rows)[:, None] * [0.01, 0.0, 0.001]
    found[:, RIGHT_POSITION] = 0.5
    found[:, GRIPPERS] = 0.08
    found[9:12, 28] = [0.05, 0.03, 0.02]
    found[12:17, 28] = 0.02
    return found


def test_the_next_keypose_is_where_the_gripper_begins_to_move_and_a_motion_counts_once():
    rows = np.arange(0, 24, 4)
    places, known = next_keyposes(executed(), rows, np.zeros(6, int))
    assert known.tolist() == [[True, False]] * 5 + [[False, False]]
    np.testing.assert_allclose(places[:, 0, 0], [0.08, 0.08, 0.08, 0.16, 0.16, 0.0])
    assert not places[:, 1].any()


def test_what_follows_another_order_is_no_keypose_of_the_one_before():
    places, known = next_keyposes(executed(), np.arange(0, 24, 4), np.array([0, 0, 1, 1, 1, 1]))
    assert known[:, 0].tolist() == [False, False, True, True, True, False]
    np.testing.assert_allclose(places[2, 0, 0], 0.08)


def test_an_episode_in_which_no_gripper_moves_has_none():
    still = np.full((12, 30), 0.08, np.float32)
    _, known = next_keyposes(still, np.arange(0, 12, 4), np.zeros(3, int))
    assert not known.any()


def test_the_loss_is_of_known_keyposes_alone_and_reaches_the_models_core():
    torch.manual_seed(0)
    config, model, head = CONFIG, Clwm(CONFIG), PointHead(24)
    memory, tokens = model.initial_memory(3), config.visual_tokens
    context = model.encode_context(
        memory,
        torch.randn(3, tokens, 8),
        torch.randn(3, config.proprioception_width),
        torch.randn(3, 12, 30),
        torch.ones(3, 12, dtype=torch.bool),
        torch.randn(3, config.language_width),
    )
    places, known = torch.randn(3, 2, 3), torch.tensor([[True, False], [True, True], [False, False]])
    loss = head.loss(model, memory, context, places, known)
    assert loss.shape == (3,) and loss[2] == 0.0 and (loss[:2] > 0.0).all()
    elsewhere = places.clone()
    elsewhere[0, 1] += 9.0  # of which nobody knows
    assert torch.equal(loss, head.loss(model, memory, context, elsewhere, known))
    loss.sum().backward()
    assert all(block.qkv.weight.grad.abs().sum() > 0.0 for block in model.blocks)
