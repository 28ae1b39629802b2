"""The bound on reuse: no trajectory is walked through more often than allowed, and none is left over."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clwm_embodichain.stream.pool import TrajectoryPool


@given(
    reuse=st.integers(1, 5),
    capacity=st.integers(1, 6),
    tasks=st.lists(st.sampled_from("abc"), min_size=1),
    seed=st.integers(0, 9),
)
def test_every_trajectory_is_drawn_exactly_as_often_as_allowed(reuse, capacity, tasks, seed):
    pool, generator = TrajectoryPool(capacity, reuse), np.random.default_rng(seed)
    waiting, drawn = list(enumerate(tasks)), Counter()
    while True:
        while waiting and pool.has_room:
            number, task = waiting.pop(0)
            pool.add(task, number)
        assert len(pool) <= capacity
        if (chosen := pool.draw(generator)) is None:
            break
        drawn[chosen] += 1
    assert drawn == dict.fromkeys(range(len(tasks)), reuse)
    assert (pool.added, pool.drawn, len(pool)) == (len(tasks), reuse * len(tasks), 0)


def test_tasks_are_drawn_equally_often_whatever_their_number():
    pool, generator = TrajectoryPool(20, 1000), np.random.default_rng(0)
    for number in range(20):
        pool.add("rare" if number == 0 else "common", number)
    assert 0.4 < np.mean([pool.draw(generator) == 0 for _ in range(500)]) < 0.6


def test_a_full_pool_refuses_and_has_room_again_when_one_is_used_up():
    pool = TrajectoryPool(1, 2)
    pool.add("a", "first")
    with pytest.raises(ValueError, match="holds 1 trajectories"):
        pool.add("a", "second")
    generator = np.random.default_rng(0)
    assert pool.draw(generator) == "first" and not pool.has_room
    assert pool.draw(generator) == "first" and pool.has_room
    assert pool.draw(generator) is None


@pytest.mark.parametrize(("capacity", "reuse", "name"), [(0, 1, "capacity is 0"), (1, 0, "reuse is 0")])
def test_a_pool_of_nothing_is_refused(capacity, reuse, name):
    with pytest.raises(ValueError, match=name):
        TrajectoryPool(capacity, reuse)
