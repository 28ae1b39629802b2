import numpy as np
import pytest

from clwm_embodichain.episodes.storage import EpisodeError
from clwm_embodichain.episodes.table_recording import (
    FIRST_EVALUATION_SEED,
    STILL_ROWS,
    check_seeds,
    record_table_episode,
)
from clwm_embodichain.expansion.disturbance import FUMBLE_ROWS, Disturbance
from clwm_sim.experts.task_expert import Expert
from clwm_sim.world import World


@pytest.fixture(scope="module")
def recorded():
    """A disturbed episode of a world with small pictures."""
    world = World("place_block", image_size=32)
    return record_table_episode(world, Expert(world), seed=1)


def test_recorded_episode_succeeds_under_disturbance(recorded):
    assert recorded.success
    assert np.abs(recorded.executed - recorded.commands).max() > 1e-3


def test_every_plan_starts_from_what_was_executed(recorded):
    assert np.array_equal(recorded.plans[:, 0], recorded.executed[recorded.image_rows])


def test_measured_states_follow_what_was_executed(recorded):
    assert np.median(np.abs(recorded.states - recorded.executed)[:, 14:28]) < 0.005


def test_episode_ends_with_holding_still(recorded):
    end = recorded.executed[-3:, 14:28]
    assert len(recorded.commands) > STILL_ROWS
    assert np.abs(np.diff(end, axis=0)).max() < 0.06


def test_seeds_of_the_evaluation_are_refused():
    check_seeds(FIRST_EVALUATION_SEED - 10, 10)
    with pytest.raises(EpisodeError, match="reserved for evaluation"):
        check_seeds(FIRST_EVALUATION_SEED - 10, 11)


def test_hands_that_tolerate_nothing_are_not_disturbed():
    disturbance = Disturbance(np.random.default_rng(0))
    for _ in range(60):
        assert not disturbance.closes_early(np.array([0.0, 0.3])).any()
        shift, turn = disturbance.next_step(np.zeros(2))
        assert not shift.any() and not turn.any()


def test_wandering_stays_near_its_spread_and_pushes_go_no_lower():
    for seed in range(20):
        disturbance = Disturbance(np.random.default_rng(seed))
        path = np.cumsum([disturbance.next_step(np.ones(2))[0] for _ in range(80)], axis=0)
        assert np.abs(path).max() < 0.06 + 6 * 0.015
        assert path[..., 2].min() > -6 * 0.015


def test_hand_closes_early_once_for_a_few_rows():
    closed = []
    for seed in range(40):
        disturbance = Disturbance(np.random.default_rng(seed))
        rows = []
        for _ in range(80):
            rows.append(disturbance.closes_early(np.ones(2)))
            disturbance.next_step(np.ones(2))
        closed.append(np.sum(rows, axis=0).max())
    assert set(closed) == {0, FUMBLE_ROWS}
