import numpy as np

from clwm_common.actions import pack
from clwm_common.kinematics import DualArmKinematics
from clwm_common.robot import RobotDescription


def test_row_is_what_pack_makes_of_the_poses():
    robot = RobotDescription.load("dual_fr3_mujoco")
    kinematics, rng = DualArmKinematics(robot), np.random.default_rng(3)
    for _ in range(50):
        joints, openings = robot.home + rng.uniform(-1.5, 1.5, 14), rng.uniform(0.0, 0.08, 2)
        np.testing.assert_allclose(
            kinematics.row(joints, openings), pack(*kinematics.poses(joints), joints, openings), atol=1e-6
        )
