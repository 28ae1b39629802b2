"""Objects moved while the arms work: what is moved, what is not, and that looking at it changes nothing."""

import numpy as np
import pytest

from clwm_evaluation.virtual.stack import EVENT_TIMES, Latency, VirtualStack
from clwm_evaluation.virtual.surprises import CLEARANCE, draw_event
from clwm_sai_executor.config import SchedulerConfig
from clwm_sim.world import World


@pytest.fixture(scope="module")
def world():
    world = World("place_block", image_size=32)
    yield world
    world.close()


def bring_tool_to_block(world):
    block, (left, right) = world.keypoints()["block"], (world.keypoints()[name] for name in ("left_tcp", "right_tcp"))
    nearer = min((left, right), key=lambda tool: np.linalg.norm(tool - block))
    world.displace("block", (nearer - block)[:2])


def test_the_object_is_moved_by_the_distance_asked_for_and_nothing_else_is(world):
    world.reset(0)
    before = world.keypoints()
    world.displace("block", [0.03, -0.01])
    after = world.keypoints()
    np.testing.assert_allclose(after["block"] - before["block"], [0.03, -0.01, 0.0], atol=1e-12)
    for name in ("pad", "left_tcp", "right_tcp"):
        np.testing.assert_array_equal(after[name], before[name])


def test_an_object_of_another_task_cannot_be_moved(world):
    world.reset(0)
    with pytest.raises(ValueError, match="'tray' is not in this task; expected one of block, pad"):
        world.displace("tray", [0.03, 0.0])


@pytest.mark.parametrize("name", ["block", "pad"])
def test_what_might_have_been_seen_leaves_no_trace(world, name):
    runs = []
    for looked in (False, True):
        world.reset(1)
        goal = world.setpoint()[0] + 0.02
        world.advance(0.1, lambda time, goal=goal: (goal, [0.02, 0.08]))
        seen = world.keypoints()[name]
        if looked:
            with world.displaced(name, [0.03, 0.0]):
                assert world.keypoints()[name][0] == pytest.approx(seen[0] + 0.03)
        world.advance(0.3)
        runs.append((world.keypoint_array(), world.measured().positions))
    np.testing.assert_array_equal(runs[0][0], runs[1][0])
    np.testing.assert_array_equal(runs[0][1], runs[1][1])


def test_what_is_near_a_hand_is_not_moved(world):
    world.reset(0)
    bring_tool_to_block(world)
    tools = world.table().tcp
    below = np.linalg.norm(tools[:, :2] - world.keypoints()["block"][:2], axis=1).min()
    assert below < CLEARANCE
    names = {draw_event(world, np.random.default_rng(seed)).name for seed in range(20)}
    height = np.linalg.norm(tools - world.keypoints()["block"], axis=1).min()
    assert names == ({"pad"} if height < CLEARANCE else {"pad", "block"})


def test_a_block_on_its_pad_ends_all_events(world):
    world.reset(0)
    world.displace("block", (world.keypoints()["pad"] - world.keypoints()["block"])[:2])
    assert draw_event(world, np.random.default_rng(0)) is None


def test_an_event_has_the_length_asked_for_in_any_direction(world):
    world.reset(0)
    shifts = np.array([draw_event(world, np.random.default_rng(seed), 0.03).shift for seed in range(50)])
    np.testing.assert_allclose(np.linalg.norm(shifts, axis=1), 0.03)
    assert (shifts.min(axis=0) < -0.01).all() and (shifts.max(axis=0) > 0.01).all()


@pytest.mark.parametrize("disturb", [0.0, 0.03])
def test_an_episode_is_disturbed_once_at_its_own_instant_or_not_at_all(world, monkeypatch, disturb):
    monkeypatch.setattr(type(world.task), "timeout", 4.5)
    moves = []
    monkeypatch.setattr(world, "displace", lambda name, shift: moves.append(np.linalg.norm(shift)))
    stack = VirtualStack(world, None, Latency(0.05), SchedulerConfig(), disturb=disturb)
    found = [stack.run(seed).disturbed_at for seed in (3, 3)]
    if disturb:
        assert found[0] == found[1] and EVENT_TIMES[0] <= found[0] <= EVENT_TIMES[1] + 0.01
        np.testing.assert_allclose(moves, disturb)
    else:
        assert found == [None, None] and not moves
