"""The kinematics that the policy's rows are computed with place the tools where the simulated world has them."""

from contextlib import closing

import numpy as np

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
