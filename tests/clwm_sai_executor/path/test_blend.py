import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_sai_executor.path.blend import blend
from clwm_sai_executor.path.splice import Path, splice

DT = 0.05
OPEN = np.array([0.08, 0.08])
counts = st.integers(1, 8)
positions = st.floats(-3.0, 3.0)


def cubic(coefficients, start, count):
    """Samples (count, 1) of a cubic, from `start` rows on."""
    return np.polyval(coefficients, np.arange(start, start + count) / 10.0)[:, None]


def jumps(committed, rows):
    """Changes of the velocity [rad per row] at the last two committed knots and at the rows but the last."""
    return np.diff(np.concatenate([committed, rows]), n=2, axis=0)


def excess(committed, rows):
    """What the two jumps at the seam have beyond the line between the jumps beside them."""
    jump = jumps(committed, rows[:3])
    return jump[1:3] - np.stack([2 * jump[0] + jump[3], jump[0] + 2 * jump[3]]) / 3.0


@st.composite
def seams(draw, least=3):
    """Committed positions (3, 2) and rows (n, 2) that have nothing to do with each other."""
    count = draw(st.integers(least, 14))
    numbers = draw(st.lists(positions, min_size=2 * (count + 3), max_size=2 * (count + 3)))
    path = np.array(numbers).reshape(-1, 2)
    return path[:3], path[3:]


@given(seam=seams(), count=st.integers(0, 8))
def test_rows_after_the_blended_ones_are_unchanged_and_at_least_two_are_left(seam, count):
    committed, rows = seam
    blended = blend(committed, rows, count)
    untouched = max(2, len(rows) - count)
    np.testing.assert_array_equal(blended[-untouched:], rows[-untouched:])


@given(seam=seams(), count=counts)
def test_no_row_is_moved_by_more_than_twice_the_excess_at_the_seam(seam, count):
    committed, rows = seam
    moved = np.abs(blend(committed, rows, count) - rows).max(axis=0)
    assert (moved <= 2.0 * np.abs(excess(committed, rows)).max(axis=0) + 1e-12).all()


@given(coefficients=st.tuples(positions, positions, positions, positions), count=counts)
def test_rows_that_continue_the_motion_along_a_cubic_are_unchanged(coefficients, count):
    rows = cubic(coefficients, 1, 12)
    np.testing.assert_allclose(blend(cubic(coefficients, -2, 3), rows, count), rows, atol=1e-12)


@given(seam=seams(), count=counts)
def test_joints_that_rest_stay_at_rest(seam, count):
    committed, rows = (np.repeat(part[:1] * 0.0 + seam[0][:1], len(part), axis=0) for part in seam)
    np.testing.assert_allclose(blend(committed, rows, count), rows, atol=1e-12)


@given(seam=seams(least=10), count=counts)
def test_excess_is_spread_with_the_least_sum_of_squares(seam, count):
    committed, rows = seam
    wanted = jumps(committed, rows)
    wanted[1:3] -= excess(committed, rows)
    blended = blend(committed, rows, count)
    found = np.square(jumps(committed, blended) - wanted).sum()
    for row in range(count):
        for step in (-1e-3, 1e-3):
            other = blended.copy()
            other[row] += step
            assert np.square(jumps(committed, other) - wanted).sum() > found


@given(seam=seams(), count=counts, factor=st.floats(-2.0, 2.0), shift=positions)
def test_joints_are_blended_each_on_its_own_and_in_any_unit(seam, count, factor, shift):
    committed, rows = seam
    blended = blend(committed, rows, count)
    np.testing.assert_allclose(blend(committed[:, :1], rows[:, :1], count), blended[:, :1], atol=1e-9)
    changed = blend(factor * committed + shift, factor * rows + shift, count)
    np.testing.assert_allclose(changed, factor * blended + shift, atol=1e-9)


@pytest.mark.parametrize("rows", [1, 2])
def test_too_few_rows_to_say_where_they_lead_are_left_as_they_are(rows):
    committed, wanted = np.zeros((3, 14)), np.ones((rows, 14))
    np.testing.assert_array_equal(blend(committed, wanted, 4), wanted)


def test_blending_does_not_change_the_rows_it_is_given():
    rows = np.ones((12, 14))
    blend(np.zeros((3, 14)), rows, 4)
    np.testing.assert_array_equal(rows, np.ones((12, 14)))


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_half_of_a_step_is_made_by_the_middle_of_the_blend_and_half_of_a_new_speed_at_once(count):
    committed, later = np.zeros((3, 1)), np.arange(1, 13)[:, None]
    step = blend(committed, np.ones((12, 1)), count)
    assert step[count // 2, 0] >= 0.5 - 1e-12
    faster = blend(committed, 1.0 * later, count)
    assert faster[0, 0] > 0.4 and faster[count, 0] == later[count, 0]


def moving_path(robot, limits, speed):
    """A path at `speed` [rad/s] of all joints, and the knot that a chunk may follow."""
    rows = robot.home + speed * DT * np.arange(1, 17)[:, None]
    path, _ = splice(Path.at_rest(robot.home, OPEN, 10.0, DT), 1, rows, np.tile(OPEN, (16, 1)), limits)
    return path, 12


def test_step_in_position_is_spread_so_that_its_seam_jumps_less(robot, limits):
    path, at = moving_path(robot, limits, 0.2)
    rows = path.knot(at)[0] + 0.01 + 0.2 * DT * np.arange(1, 13)[:, None]
    openings = np.tile(OPEN, (12, 1))
    _, plain = splice(path, at, rows, openings, limits)
    _, gentle = splice(path, at, blend(path.positions_until(at, 3), rows, 4), openings, limits)
    assert gentle.seam_jump < 0.4 * plain.seam_jump
    assert gentle.inner_jumps.max() < plain.inner_jumps.max()


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    offset=st.sampled_from([0.0, 0.02, 0.3]),
    near_end_stop=st.booleans(),
    count=st.integers(0, 6),
)
def test_blended_chunk_keeps_the_limits_and_every_committed_knot(limits, robot, seed, offset, near_end_stop, count):
    rng = np.random.default_rng(seed)
    position = np.clip(limits.upper - 0.01 if near_end_stop else robot.home, limits.lower, limits.upper)
    path = Path.at_rest(position, OPEN, 10.0, DT)
    for _ in range(4):
        at = int(rng.integers(max(1, path.last_row - 4), path.last + 1))
        before = path
        speeds = np.cumsum(rng.normal(0.0, 0.3, (12, 14)), axis=0)
        rows = path.knot(at)[0] + rng.normal(0.0, offset, 14) + np.cumsum(speeds, axis=0) * DT
        blended = blend(path.positions_until(at, 3), rows, count)
        path, _ = splice(path, at, blended, np.tile(OPEN, (12, 1)), limits)
        kept = slice(max(0, path.first - before.first), at - before.first + 1)
        for name in ("positions", "velocities", "openings"):
            stored = getattr(path, name)[: at - path.first + 1]
            assert stored.tobytes() == getattr(before, name)[kept].tobytes()
        way, v = np.diff(path.positions, axis=0) / DT, path.velocities
        forces = np.stack([6 * way - 4 * v[:-1] - 2 * v[1:], 4 * v[1:] + 2 * v[:-1] - 6 * way]) / DT
        assert (np.abs(forces) <= limits.acceleration * (1 + 1e-6) + 1e-6).all()
        assert (path.positions <= limits.upper + 1e-9).all() and (path.positions >= limits.lower - 1e-9).all()
        assert (np.abs(v) <= limits.velocity * (1 + 1e-6)).all()
    np.testing.assert_array_equal(path.velocities[-1], np.zeros(14))


def test_before_its_first_knot_a_path_rests(robot):
    path = Path.at_rest(robot.home, OPEN, 10.0, DT)
    np.testing.assert_array_equal(path.positions_until(1, 3), np.repeat(robot.home[None], 3, axis=0))
