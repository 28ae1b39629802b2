"""The kinematics that the policy's rows are computed with place the tools where the simulated world has them."""

from contextlib import closing

import numpy as np
from scipy.spatial.transform import Rotation

from clwm_common.actions import LEFT_POSITION, RIGHT_POSITION
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sim.world import World


def test_tool_positions_agree_with_the_world_within_a_tenth_of_a_millimetre():
    with closing(World("lift_tray", seed=3)) as world:
        world.reset(3)
        measured = world.measured()
        row = DualArmKinematics(world.robot).row(measured.positions, measured.widths)
        keypoints = world.keypoints()
    for side, place in (("left", LEFT_POSITION), ("right", RIGHT_POSITION)):
        np.testing.assert_allclose(row[place], keypoints[f"{side}_tcp"], atol=1e-4, err_msg=side)


def test_cameras_are_mounted_in_the_world_where_the_robots_file_says():
    with closing(World("lift_tray", seed=3)) as world:
        world.reset(3)
        robot, frames = world.robot, DualArmKinematics(world.robot).link_frames(world.measured().positions[None])[0]
        parents = {"world": np.eye(4), "left_hand": frames[0, 8], "right_hand": frames[1, 8]}
        for camera in robot.cameras:
            mounting = robot.camera_source(camera).mounting
            expected = np.eye(4)
            expected[:3, :3] = Rotation.from_quat(mounting.orientation).as_matrix()
            expected[:3, 3] = mounting.position
            pose = world.camera_pose(camera)
            np.testing.assert_allclose(parents[mounting.parent] @ expected, pose, atol=2e-4, err_msg=camera)
