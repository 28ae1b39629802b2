"""What the encoder is taught: roles, poses up to symmetry, and units."""

import math

import numpy as np
import pytest

from clwm_embodichain.training.encoder.roles import (
    ASKED,
    BASES,
    OWNERS,
    ROLES,
    TOOLS,
    RoleError,
    pose_errors,
    role_of,
    scaled,
    truth_of,
    unscaled,
)
from clwm_embodichain.training.encoder.states import without_waiting
from clwm_sim.registry import scenes
from clwm_sim.scenes.parts import block
from clwm_sim.scenes.things import Change, Layout, Thing
from clwm_sim.situation import Situation, State


def turned(yaw):
    return np.array([[math.cos(yaw), -math.sin(yaw), 0.0], [math.sin(yaw), math.cos(yaw), 0.0], [0.0, 0.0, 1.0]])


def seen(layout, name, **state):
    now = Situation({name: State(**state)}, np.array([[0.4, 0.2, 0.3], [0.4, -0.2, 0.3]]), np.zeros(2))
    return truth_of(layout, now, np.array([[0.0, 0.3, 0.0], [0.0, -0.3, 0.0]]))


@pytest.mark.parametrize("name", scenes())
def test_every_object_of_every_scene_has_a_role_of_its_own(name):
    for seed in range(5):
        things = scenes()[name].draw(np.random.default_rng(seed)).things.values()
        roles = [role_of(thing) for thing in things]
        assert set(roles) <= set(ROLES) and len(set(roles)) == len(roles)


def test_an_object_is_found_by_the_colour_that_an_instruction_would_name():
    layout = Layout.of(block(np.random.default_rng(0), "block0", (0.4, 0.1), "purple"))
    truth = seen(layout, "block0", position=np.array([0.4, 0.1, 0.02]), rotation=turned(0.2))
    index = ROLES.index("purple block")
    assert [ROLES[n] for n in np.flatnonzero(truth.present)] == ["purple block", *TOOLS, *BASES]
    np.testing.assert_allclose(truth.poses[index, :3], [0.4, 0.1, 0.02], atol=1e-6)
    np.testing.assert_allclose(truth.points[index == OWNERS], [[0.4, 0.1, 0.02]], atol=1e-6)


def test_a_cube_turned_by_a_quarter_is_the_same_cube_and_a_tray_is_not():
    things = scenes()["tray"].draw(np.random.default_rng(1))
    place = np.array([0.4, 0.1, 0.02])
    for name, is_same in (("block0", True), ("tray", False)):
        index = ROLES.index(role_of(things.things[name]))
        one, other = (
            seen(things, name, position=place, rotation=turned(yaw)).poses[index] for yaw in (0.1, 0.1 + math.pi / 2)
        )
        assert np.allclose(one, other, atol=1e-6) == is_same


def test_a_lever_is_found_at_its_knob_and_by_its_angle():
    layout = scenes()["switches"].draw(np.random.default_rng(2))
    lever = layout.things["lever0"]
    truth = seen(layout, "lever0", position=np.array(lever.position), rotation=np.eye(3), angle=0.3)
    pose = truth.poses[ROLES.index(role_of(lever))]
    np.testing.assert_allclose(pose[:3], np.add(lever.position, lever.grips[0].point), atol=1e-6)
    assert math.atan2(pose[3], pose[4]) == pytest.approx(0.3)


def test_scaled_poses_come_back_in_the_numbers_that_are_asked_for():
    rng = np.random.default_rng(0)
    poses = rng.normal(size=(3, len(ROLES), 5)).astype(np.float32)
    back = unscaled(scaled(poses))
    tray, pad = ROLES.index("tray"), ROLES.index("red pad")
    np.testing.assert_allclose(back[:, tray], poses[:, tray], atol=1e-5)
    np.testing.assert_allclose(back[:, pad, :2], poses[:, pad, :2], atol=1e-5)
    assert not scaled(poses)[:, pad, 2:].any()


def test_errors_are_in_millimetres_and_in_degrees_of_the_object_itself():
    index = ROLES.index("red block")
    angles = np.radians([0.0, 4 * 3.0])  # a cube's angle counts four times
    truth, estimate = (np.array([[0.4, 0.1, 0.02, math.sin(a), math.cos(a)]]) for a in angles)
    estimate[0, :3] += [0.003, 0.0, 0.004]
    away, off = pose_errors(estimate, truth, index)
    assert away[0] == pytest.approx(5.0) and off[0] == pytest.approx(3.0)
    away, off = pose_errors(estimate, truth, ROLES.index("red pad"))
    assert away[0] == pytest.approx(3.0) and np.isnan(off[0])


def test_an_arms_base_is_a_point_to_find_and_no_pose_to_tell():
    layout = Layout.of(block(np.random.default_rng(0), "block0", (0.4, 0.1), "purple"))
    truth = seen(layout, "block0", position=np.array([0.4, 0.1, 0.02]), rotation=turned(0.2))
    index = ROLES.index("right base")
    np.testing.assert_allclose(truth.points[index == OWNERS], [[0.0, -0.3, 0.0]], atol=1e-6)
    assert truth.present[index] and not ASKED[index].any()
    assert not scaled(truth.poses[None])[0, index].any()


def test_an_object_without_a_role_is_named():
    with pytest.raises(RoleError, match=r"'kettle0' is a 'kettle'.*roles\.py"):
        role_of(Thing("kettle0", "kettle", (), (0.0, 0.0, 0.0)))


def test_changes_come_soon_one_after_the_other_and_in_their_order():
    layout = Layout({}, (Change(1.0, "pad0", None), Change(30.0, "pad0", (0.5, 0.0)), Change(30.2, "pad0", None)))
    assert [round(change.at, 6) for change in without_waiting(layout).changes] == [1.0, 2.5, 2.7]
    assert [change.place for change in without_waiting(layout).changes] == [None, (0.5, 0.0), None]
