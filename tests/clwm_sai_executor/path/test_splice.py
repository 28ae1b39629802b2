import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_chaos.motion_checks import check_motion
from clwm_sai_executor.path.knots import follow
from clwm_sai_executor.path.splice import Path, sample, splice, stop, stop_at

DT = 0.05
OPEN = np.array([0.08, 0.08])


def rest_path(position):
    return Path.at_rest(position, OPEN, 10.0, DT)


def random_rows(rng, start, count, roughness):
    """Rows (count, 14) that wander: smooth for a small roughness, wild for a large one."""
    speeds = np.cumsum(rng.normal(0.0, roughness, (count, 14)), axis=0) + rng.normal(0.0, roughness, 14)
    return start + np.cumsum(speeds, axis=0) * DT + rng.normal(0.0, 0.002 * roughness, (count, 14))


def executed(path):
    """Positions, velocities, accelerations (n, 14) along the cubics of all segments, both ends of each included."""
    q0, q1, v0, v1 = path.positions[:-1], path.positions[1:], path.velocities[:-1], path.velocities[1:]
    a0 = (6 * (q1 - q0) / DT - 4 * v0 - 2 * v1) / DT
    jerk = (-12 * (q1 - q0) / DT + 6 * (v0 + v1)) / DT**2
    times = np.linspace(0.0, DT, 9)
    return (
        np.concatenate([q0 + t * v0 + t**2 * a0 / 2 + t**3 * jerk / 6 for t in times]),
        np.concatenate([v0 + t * a0 + t**2 * jerk / 2 for t in times]),
        np.concatenate([a0 + t * jerk for t in times]),
    )


def check_limits(path, limits):
    q, v, a = executed(path)
    assert (q <= limits.upper + 1e-3).all() and (q >= limits.lower - 1e-3).all()
    assert (np.abs(v) <= limits.velocity * (1 + 1e-6)).all()
    assert (np.abs(a) <= limits.acceleration * (1 + 1e-4) + 1e-3).all()


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    roughness=st.sampled_from([0.05, 0.5, 3.0, 20.0]),
    near_end_stop=st.booleans(),
    splices=st.lists(st.integers(0, 17), min_size=1, max_size=4),
)
def test_what_a_controller_executes_is_continuous_and_within_limits(
    limits, robot, seed, roughness, near_end_stop, splices
):
    rng = np.random.default_rng(seed)
    position = np.clip(limits.upper - 0.01 if near_end_stop else robot.home, limits.lower, limits.upper)
    path = rest_path(position)
    path, _ = splice(path, path.last, random_rows(rng, position, 15, roughness), np.tile(OPEN, (15, 1)), limits)
    check_limits(path, limits)
    for ahead in splices:
        at = min(max(path.last_row - 15 + ahead, 1), path.last)
        rows = random_rows(rng, path.knot(at)[0], 12, roughness)
        spliced, _ = splice(path, at, rows, np.tile(OPEN, (12, 1)), limits)
        kept = slice(spliced.first - path.first, at - path.first + 1)
        count = at - spliced.first + 1
        assert spliced.positions[:count].tobytes() == path.positions[kept].tobytes()
        assert spliced.velocities[:count].tobytes() == path.velocities[kept].tobytes()
        assert not spliced.velocities[-1].any()
        path = spliced
        check_limits(path, limits)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), at=st.integers(1, 18))
def test_a_stop_at_any_knot_ends_at_rest_within_limits(limits, robot, seed, at):
    path = rest_path(robot.home)
    rows = random_rows(np.random.default_rng(seed), robot.home, 15, 3.0)
    path, _ = splice(path, path.last, rows, np.tile(OPEN, (15, 1)), limits)
    at = min(at, path.last)
    stopped = stop(path, at, limits)
    check_limits(stopped, limits)
    assert not stopped.velocities[-1].any()
    assert stopped.positions[: at + 1].tobytes() == path.positions[: at + 1].tobytes()


def test_smooth_rows_are_met_exactly(limits, robot):
    time = np.arange(1, 16)[:, None] * DT
    rows = robot.home + 0.1 * (1 - np.cos(2.0 * time)) * np.ones(14)
    positions, velocities, clamped, _ = follow(robot.home, np.zeros(14), rows, limits, DT)
    np.testing.assert_array_equal(positions, rows)
    np.testing.assert_allclose(velocities[:-1], (0.2 * np.sin(2.0 * time) * np.ones(14))[:-1], atol=2e-3)
    assert clamped == 0


def test_rows_that_start_too_fast_are_caught_up_with_and_met_again(limits, robot):
    rows = robot.home + 0.6 * np.arange(1, 31)[:, None] * DT * np.ones(14)
    positions, velocities, clamped, largest = follow(robot.home, np.zeros(14), rows, limits, DT)
    assert clamped > 0 and largest < 0.1
    np.testing.assert_allclose(positions[-1], rows[-1], atol=1e-4)
    np.testing.assert_allclose(velocities[-1], 0.6, atol=1e-2)


def test_a_single_row_that_sticks_out_is_rounded_off_and_counted(limits, robot):
    rows = np.tile(robot.home, (15, 1))
    rows[5, 2] += 0.1
    positions, _, clamped, _ = follow(robot.home, np.zeros(14), rows, limits, DT)
    assert clamped > 0
    assert np.abs(positions[:, 2] - robot.home[2]).max() <= 0.1
    np.testing.assert_array_equal(np.delete(positions, 2, axis=1), np.delete(rows, 2, axis=1))


def test_rows_outside_the_position_limits_end_at_the_limit(limits, robot):
    rows = np.tile(robot.home, (40, 1))
    rows[:, 0] = np.linspace(0.0, 4.0, 40)
    positions, _, clamped, _ = follow(robot.home, np.zeros(14), rows, limits, DT)
    assert positions[:, 0].max() <= limits.upper[0] and clamped > 0
    assert positions[-1, 0] == pytest.approx(limits.upper[0], abs=0.02)


def test_arms_found_outside_their_limits_may_move_back_in(limits, robot):
    position = robot.home.copy()
    position[0] = limits.upper[0] + 0.05
    rows = np.linspace(position, robot.home, 120)[1:]
    positions, _, _, _ = follow(position, np.zeros(14), rows, limits, DT)
    assert positions[:, 0].max() <= position[0] + 1e-9
    assert positions[-1, 0] < limits.upper[0]


def test_splicing_where_there_is_no_knot_is_refused(limits, robot):
    path = rest_path(robot.home)
    with pytest.raises(IndexError, match="knot 9 is not on the path; it has knots 0 to 6"):
        splice(path, 9, robot.home[None], OPEN[None], limits)


def test_the_sampled_motion_passes_through_its_knots_and_rests_before_and_after(limits, robot):
    path = rest_path(robot.home)
    path, _ = splice(
        path, 1, random_rows(np.random.default_rng(3), robot.home, 15, 0.5), np.tile(OPEN, (15, 1)), limits
    )
    for index in range(path.first, path.last + 1):
        position, velocity, _ = sample(path, path.time(index))
        np.testing.assert_allclose(position, path.positions[index], atol=1e-9)
        np.testing.assert_allclose(velocity, path.velocities[index], atol=1e-9)
    assert not sample(path, path.time(0) - 1.0)[1].any() and not sample(path, path.time(path.last) + 1.0)[1].any()


def test_grid_times_are_found_exactly_at_times_of_a_system_clock(robot):
    path = Path.at_rest(robot.home, OPEN, 1.79e9 + 0.1234567, DT)
    for index in (0, 1, 7, 100_000):
        assert path.index_from(path.time(index)) == index
        assert path.index_until(path.time(index)) == index
        assert path.index_from(path.time(index) + 0.001) == index + 1
        assert path.index_until(path.time(index) - 0.001) == index - 1


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.97])
def test_a_stop_between_two_knots_begins_there_and_changes_nothing_before(limits, robot, share):
    rows = robot.home + 0.8 * DT * np.arange(1, 11)[:, None] * np.ones(14)
    path, _ = splice(rest_path(robot.home), 6, rows, np.repeat(OPEN[None], 10, axis=0), limits)
    instant = path.time(10) + share * DT
    stopped = stop_at(path, instant, limits)
    for before in np.linspace(path.time(7), instant, 20):
        for one, other in zip(sample(stopped, before)[:2], sample(path, before)[:2], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-12)
    held = path.first, 10 + 1 - path.first
    np.testing.assert_array_equal(stopped.positions[: held[1]], path.positions[: held[1]])
    assert (np.diff(stopped.offsets) > 4e-3).all()
    rest = stop(path, 11, limits)
    assert stopped.time(stopped.last) <= rest.time(rest.last) + 1e-9
    assert np.abs(stopped.positions[-1] - robot.home).max() <= np.abs(rest.positions[-1] - robot.home).max() + 1e-9


def test_indices_and_instants_agree_on_a_path_with_a_short_segment(limits, robot):
    rows = robot.home + 0.8 * DT * np.arange(1, 11)[:, None] * np.ones(14)
    path, _ = splice(rest_path(robot.home), 6, rows, np.repeat(OPEN[None], 10, axis=0), limits)
    path = stop_at(path, path.time(10) + 0.02, limits)
    for index in range(path.first, path.last + 5):
        assert path.index_from(path.time(index)) == path.index_until(path.time(index)) == index
        assert path.index_from(path.time(index) + 1e-3) == index + 1
        assert path.index_until(path.time(index) - 1e-3) == index - 1


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32 - 1), rows_on=st.floats(0.0, 16.0), later=st.integers(0, 10**9))
def test_a_stop_at_any_instant_keeps_the_limits_on_a_system_clock_with_times_in_whole_nanoseconds(
    limits, robot, seed, rows_on, later
):
    # Rows this wild run into the position limits at full speed.
    # Stamps of today have a resolution of 0.24 us in a float, and messages carry nanoseconds.
    path = Path.at_rest(robot.home, OPEN, 1_800_000_000.0 + later * 1e-9, DT)
    rows = random_rows(np.random.default_rng(seed), robot.home, 15, 3.0)
    path, _ = splice(path, path.last, rows, np.tile(OPEN, (15, 1)), limits)
    stopped = stop_at(path, path.time(6) + rows_on * DT, limits)
    times = np.array([round(offset * 1e9) for offset in stopped.offsets]) / 1e9
    assert check_motion(times, stopped.positions, stopped.velocities, limits) == []


def test_a_stop_at_rest_or_before_the_motion_is_the_same_path(limits, robot):
    path = rest_path(robot.home)
    assert stop_at(path, path.time(path.last) + 1.0, limits).positions[-1] == pytest.approx(robot.home)
    assert stop_at(path, path.time(path.first) - 1.0, limits).positions[-1] == pytest.approx(robot.home)
