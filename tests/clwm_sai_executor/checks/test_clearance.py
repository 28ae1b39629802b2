"""Clearances from capsules: they contain the arms' meshes, agree with an independent library, and are fast."""

import importlib.resources
import time

import coal
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sai_executor.checks.clearance import ArmShapes, arm_distance, inside_box, segment_distance, table_distance

POINT = st.tuples(*[st.floats(-1.0, 1.0)] * 3)


@pytest.fixture(scope="module")
def shapes(robot):
    return ArmShapes(robot, robot.safety)


def mesh_points(link):
    """Corners and middles of the edges of a link's collision mesh, in its frame [m]."""
    raw = (importlib.resources.files("franky_sim") / "assets" / "meshes" / f"{link}_coll.stl").read_bytes()
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    corners = np.frombuffer(raw[84:], record)["corners"].astype(np.float64)
    return np.concatenate([corners, (corners + np.roll(corners, 1, axis=1)) / 2.0]).reshape(-1, 3)


@pytest.mark.parametrize("link", [*(f"link{index}" for index in range(8)), "hand"])
def test_capsules_contain_the_links_collision_mesh(robot, link):
    points = mesh_points(link)
    inside = np.zeros(len(points), np.bool_)
    for capsule in robot.safety.capsules:
        if capsule.link == link:
            axis = np.array([capsule.start, capsule.end])
            dots = np.stack([points, points + 1e-9], axis=1)
            inside |= segment_distance(axis[None], dots) <= capsule.radius
    assert inside.all(), f"{np.count_nonzero(~inside)} of {len(points)} points are outside"


def test_link_frames_agree_with_the_tool_poses(robot):
    joints = robot.home + np.random.default_rng(0).uniform(-1.0, 1.0, (5, 14))
    kinematics = DualArmKinematics(robot)
    frames = kinematics.link_frames(joints)
    for frame, row in zip(frames, joints, strict=True):
        tools = frame[:, 8, :3, 3] + robot.tool.centre * frame[:, 8, :3, 2]
        np.testing.assert_allclose(tools, kinematics.poses(row)[:, :3], atol=1e-9)


@given(POINT, POINT, POINT, POINT)
def test_segment_distance_agrees_with_coal(a, b, c, d):
    first, second = np.array([a, b]), np.array([c, d])
    if min(np.linalg.norm(first[1] - first[0]), np.linalg.norm(second[1] - second[0])) < 0.01:
        return
    ours = float(segment_distance(first, second))
    if ours < 0.02:
        return  # thin capsules overlap there
    theirs = coal.distance(*capsule_of(first), *capsule_of(second), coal.DistanceRequest(), coal.DistanceResult())
    assert ours == pytest.approx(theirs + 2e-3, abs=1e-4)


def capsule_of(segment, radius=1e-3):
    way = segment[1] - segment[0]
    length = float(np.linalg.norm(way))
    z = way / length
    x = np.cross(z, [1.0, 0.0, 0.0] if abs(z[0]) < 0.9 else [0.0, 1.0, 0.0])
    x /= np.linalg.norm(x)
    turn = np.stack([x, np.cross(z, x), z], axis=1)
    return coal.Capsule(radius, length), coal.Transform3s(turn, segment.mean(axis=0))


def test_parallel_and_touching_segments_have_their_distance():
    axis = np.array([[0.0, 0, 0], [1, 0, 0]])
    assert segment_distance(axis, axis + [0, 0.3, 0]) == pytest.approx(0.3)
    assert segment_distance(axis, axis + [2.0, 0, 0]) == pytest.approx(1.0)
    assert segment_distance(axis, axis[::-1] + [-1.5, 0, 0]) == pytest.approx(0.5)
    assert segment_distance(axis, axis) == pytest.approx(0.0)


def test_arm_distance_is_that_of_the_nearest_two_capsules():
    left = np.array([[[[0.0, 0, 0], [0, 0, 1]], [[0, 0, 2], [0, 0, 3]]]])
    right = left + [1.0, 0, 0]
    assert arm_distance(left, right, np.array([0.1, 0.3])) == pytest.approx([0.4])


@given(st.integers(0, 2**32 - 1), st.floats(-0.3, 0.5))
def test_arm_distance_is_exact_below_what_is_asked_for_and_never_too_large(seed, exact_below):
    rng = np.random.default_rng(seed)
    left, right = rng.uniform(-0.5, 0.5, (2, 6, 4, 2, 3))
    right += rng.uniform(0.0, 1.5, (6, 1, 1, 1))
    radii = rng.uniform(0.02, 0.1, 4)
    exact, found = arm_distance(left, right, radii), arm_distance(left, right, radii, exact_below)
    assert (found <= exact + 1e-12).all()
    np.testing.assert_allclose(np.minimum(found, exact_below), np.minimum(exact, exact_below))


def test_table_distance_is_that_of_the_lowest_end():
    axes = np.array([[[[[0.0, 0, 0.5], [0, 0, 0.2]]], [[[0, 0, 0.4], [0, 0, 0.9]]]]])
    assert table_distance(axes, np.array([0.05]), 0.02) == pytest.approx([0.13])


def test_box_is_left_where_the_outermost_point_leaves_it():
    points = np.array([[[0.5, 0.5, 0.5]], [[0.9, 0.5, 0.5]], [[0.5, -0.2, 0.5]]])
    np.testing.assert_allclose(inside_box(points, np.zeros(3), np.ones(3)), [0.5, 0.1, -0.2])


def test_home_is_clear_and_crossed_arms_are_not(robot, shapes):
    crossed = robot.home
    crossed[0], crossed[7] = -0.9, 0.9
    margins = shapes.margins(np.stack([robot.home, crossed]))
    assert margins.arms[0] > 0.2 and margins.table[0] > 0.1 and margins.workspace[0] > 0.1
    assert margins.arms[1] < 0.0


def test_a_chunk_with_its_tail_takes_at_most_two_milliseconds_of_computing(robot, shapes):
    joints = np.repeat(robot.home[None], 22, axis=0)
    spent = []
    for _ in range(20):
        began = time.process_time()
        shapes.margins(joints)
        spent.append(time.process_time() - began)
    assert min(spent) < 2e-3, f"{1e3 * min(spent):.2f} ms"
