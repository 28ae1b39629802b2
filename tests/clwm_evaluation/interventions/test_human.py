"""The scripted human takes over, corrects and hands back through the executor, and the tape says who did what."""

from itertools import pairwise

import numpy as np
import pytest

from clwm_common.actions import JOINTS, ROW_DT
from clwm_common.messages import Mode
from clwm_evaluation.interventions import human as human_module
from clwm_evaluation.interventions.collecting import Tape
from clwm_evaluation.interventions.human import ScriptedHuman
from clwm_evaluation.suites.world import SuiteWorld
from clwm_evaluation.virtual.chunk_sources import ExpertSource
from clwm_evaluation.virtual.stack import EPISODE_START, Latency, VirtualStack
from clwm_sai_executor.events import ModeSet, TeleopArrived
from clwm_sim.world import World

SEED = 1_200_000


@pytest.fixture(scope="module")
def world():
    world = SuiteWorld("place_block")
    world.render = lambda camera: np.zeros((8, 8, 3), np.uint8)
    yield world
    world.close()


class Played:
    """An episode with the human beside whoever answers, and what both did."""

    def __init__(self, world, source, task="place_block"):
        world.reset(SEED, task)
        self.human, self.tape, self.modes, self.orders = ScriptedHuman(world), Tape(world), [], []
        self.human.begin(EPISODE_START)
        stack = VirtualStack(world, source, Latency(0.03))
        stack.on_tick = self._tick
        self.result = stack.run(SEED)
        self.episode = self.tape.episode(SEED, "put the block on the pad", succeeded=self.result.succeeded)

    def _tick(self, now, mode):
        if not self.modes or self.modes[-1] is not mode:
            self.modes.append(mode)
        self.tape.look(mode)
        self.orders += (found := list(self.human.act(now, mode)))
        return found


@pytest.fixture(scope="module", params=["place_block", "lift_tray"])
def corrected(world, request):
    """Beside arms that do nothing of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(human_module, "PATIENCE", 0.5)
        return Played(world, None, request.param)


def test_arms_that_do_nothing_are_taken_over_and_the_goal_is_reached(corrected, tmp_path):
    played = corrected
    assert played.result.succeeded, played.result
    assert played.modes[:3] == [Mode.POLICY, Mode.HOLD, Mode.TELEOP] and played.human.takeovers >= 1
    # Freezing, taking over and handing back are separate acts.
    assert all(Mode.HOLD in pair for pair in pairwise(played.modes))
    episode = played.episode
    episode.save(tmp_path / "1.npz")
    human, held = episode.interventions, episode.held
    assert human.sum() * ROW_DT > 1.5 and held.any() and not (human & held).any()
    assert np.abs(np.diff(episode.executed[:, JOINTS], axis=0))[human[1:]].max() > 1e-3
    still = held & np.roll(held, 1) & np.roll(held, 8)  # they have come to rest by then
    assert np.abs(np.diff(episode.executed[:, JOINTS], axis=0))[still[1:]].max() < 1e-3


def test_motion_of_the_human_keeps_the_limits_that_all_motion_has(world, corrected):
    speed = np.abs(np.diff(corrected.episode.executed[:, JOINTS], axis=0)) / ROW_DT
    assert (speed <= world.robot.limit("velocity") + 1e-6).all()
    assert not corrected.result.fault


def test_whoever_does_it_right_keeps_the_arms(world):
    source = ExpertSource(World("place_block", 32).robot)
    played = Played(world, source)
    assert played.result.succeeded and played.modes == [Mode.POLICY] and not played.orders
    assert played.human.takeovers == 0 and not played.episode.interventions.any() and not played.episode.held.any()


def test_the_arms_are_asked_for_with_the_switch_held_and_given_back_with_it_released(corrected):
    orders = corrected.orders
    before = {order.mode: orders[index - 1] for index, order in enumerate(orders) if isinstance(order, ModeSet)}
    assert isinstance(before[Mode.TELEOP], TeleopArrived) and before[Mode.TELEOP].command.dead_man
    # What was held already when it was taken over is brought to the end, and nothing is given back then.
    assert Mode.POLICY in before, corrected.modes
    assert isinstance(before[Mode.POLICY], TeleopArrived) and not before[Mode.POLICY].command.dead_man
