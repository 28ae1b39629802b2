"""Where the tools will go, in a camera's picture."""

import numpy as np
import pytest

from clwm_common.actions import LEFT_POSITION, RIGHT_POSITION
from clwm_common.robot.camera_source import Mounting
from clwm_common.robot.description import RobotDescription
from clwm_operator.console.projection import Pinhole, tool_paths
from clwm_sim.cameras import project
from clwm_sim.world import World


def test_the_head_cameras_mount_is_where_the_simulation_has_it_and_points_are_drawn_where_it_sees_them():
    world = World("lift_tray")
    mount = RobotDescription.load("dual_fr3_mujoco").camera_source("head").mounting
    seen = world.camera_info("head")
    rng = np.random.default_rng(0)
    rows = np.zeros((16, 30), np.float32)
    for part in (LEFT_POSITION, RIGHT_POSITION):
        rows[:, part] = rng.uniform([0.3, -0.4, 0.0], [0.6, 0.4, 0.4], (16, 3))
    paths = tool_paths(rows, mount, Pinhole(seen.matrix, seen.width, seen.height))
    for path, part in zip(paths, (LEFT_POSITION, RIGHT_POSITION), strict=True):
        pixels = np.array(path) * [seen.width, seen.height] - 0.5
        assert pixels == pytest.approx(project(rows[:, part], seen, world.camera_pose("head")), abs=0.05)


def test_what_is_behind_the_camera_or_not_a_number_is_not_drawn():
    mount = Mounting(parent="world", position=[0.0, 0.0, 0.0], orientation=[0.0, 0.0, 0.0, 1.0])
    rows = np.zeros((3, 30), np.float32)
    rows[:, LEFT_POSITION] = [[0.0, 0.0, 2.0], [0.0, 0.0, -2.0], [np.nan, 0.0, np.nan]]
    camera = Pinhole(np.array([[100.0, 0.0, 49.5], [0.0, 100.0, 49.5], [0.0, 0.0, 1.0]]), 100, 100)
    assert tool_paths(rows, mount, camera)[0] == [(0.5, 0.5), None, None]


@pytest.mark.parametrize("camera", [Pinhole(np.zeros((3, 3)), 640, 480), Pinhole(np.eye(3), 0, 0)])
def test_a_camera_that_is_not_calibrated_is_not_drawn_into(camera):
    assert not camera.is_usable
