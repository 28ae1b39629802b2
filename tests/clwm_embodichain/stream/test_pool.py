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
    count=st.integers(1, 30),
    seed=st.integers(0, 9),
)
def test_every_trajectory_is_drawn_exactly_as_often_as_allowed(reuse, capacity, count, seed):
    pool, generator = TrajectoryPool(capacity, reuse), np.random.default_rng(seed)
    waiting, drawn = list(range(count)), Counter()
    while True:
        while waiting and pool.has_room:
            pool.add(waiting.pop(0), 0.0)
        assert len(pool) <= capacity
        if (chosen := pool.draw(generator, 0.0)) is None:
            break
        drawn[chosen] += 1
    assert drawn == dict.fromkeys(range(count), reuse)
    assert (pool.added, pool.drawn, len(pool)) == (count, reuse * count, 0)


def test_a_full_pool_refuses_and_has_room_again_when_one_is_used_up():
    pool = TrajectoryPool(1, 2)
    pool.add("first", 0.0)
    with pytest.raises(ValueError, match="holds 1 trajectories"):
        pool.add("second", 0.0)
    generator = np.random.default_rng(0)
    assert pool.draw(generator, 0.0) == "first" and not pool.has_room
    assert pool.draw(generator, 0.0) == "first" and pool.has_room
    assert pool.draw(generator, 0.0) is None


@pytest.mark.parametrize(("capacity", "reuse", "name"), [(0, 1, "capacity is 0"), (1, 0, "reuse is 0")])
def test_a_pool_of_nothing_is_refused(capacity, reuse, name):
    with pytest.raises(ValueError, match=name):
        TrajectoryPool(capacity, reuse)


def test_it_tells_how_often_and_how_late_trajectories_were_drawn():
    pool, generator = TrajectoryPool(2, 2), np.random.default_rng(0)
    pool.add("a", 10.0)
    assert [pool.draw(generator, now) for now in (11.0, 14.0)] == ["a", "a"]
    pool.add("b", 20.0)
    pool.add("c", 20.0)
    pool.draw(generator, 20.0)
    assert pool.age == pytest.approx(1.0 + 4.0)
    assert pool.reuses == {0: 1, 1: 1, 2: 1}
