"""Which objects may be moved in an episode of a scene: what lies free."""

from contextlib import closing

import numpy as np
import pytest

from clwm_evaluation.virtual.surprises import draw_event
from clwm_sim.world import World


@pytest.fixture(scope="module")
def world():
    with closing(World("place_block", image_size=32)) as made:
        yield made


def drawn(world):
    events = [draw_event(world, np.random.default_rng(seed)) for seed in range(40)]
    return {event.name for event in events if event is not None}


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("place_block", {"block", "pad"}),
        ("lift_tray", {"tray"}),
        ("blocks:place", {"block0", "block1", "block2", "pad0", "pad1"}),
        ("tray:load_tray", {"tray", "block0"}),
        ("switches:turn_lever", set()),
        ("pot:lift_pot", {"pot"}),
    ],
)
def test_everything_that_lies_free_may_be_moved_and_nothing_that_is_fixed(world, task, names):
    world.reset(3, task)
    world.advance(0.5)
    assert drawn(world) == names


def test_what_is_lifted_or_at_a_hand_is_not_moved(world):
    world.reset(3, "blocks:place")
    places = {name: state.position for name, state in world.situation().objects.items()}
    poses = {name: (*place, 0.0, 0.0, 0.0, 1.0) for name, place in places.items()}
    poses["block1"] = (*(places["block1"] + [0.0, 0.0, 0.1]), 0.0, 0.0, 0.0, 1.0)
    poses["block0"] = (*world.situation().tcp[0][:2], world.layout.things["block0"].height, 0.0, 0.0, 0.0, 1.0)
    world.arrange(*world.setpoint(), poses)
    near = np.linalg.norm(world.situation().tcp - world.situation().objects["block0"].position, axis=1).min()
    assert "block1" not in drawn(world) and ("block0" in drawn(world)) == (near > 0.10)
