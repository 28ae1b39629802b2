"""How well an arm can work at a pose of its hand, fingers down: looked up in a map that is made once.

Turning an arm about its first joint changes neither reach nor manipulability, so three numbers say where the hand is:
its distance from the base, its height over the base, and its turn against the direction that the arm stretches in.
"""

from __future__ import annotations

import mink
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sim.experts.inverse_kinematics import ArmInverseKinematics
from clwm_sim.experts.motion import fingers_down

DISTANCES = np.arange(0.20, 0.83, 0.05)  # m
HEIGHTS = np.arange(-0.02, 0.55, 0.08)  # m
TURNS = np.radians(np.arange(-160.0, 161.0, 20.0))
_FOUND = 0.003, 0.03  # m and rad between a pose and the one that was solved for it
_STEPS = 4  # of two iterations each, from the neighbour's joints


class CapabilityMap:
    """Manipulability of one arm, on which both are alike: Yoshikawa's sqrt(det(J J^T)) of the tool centre point, in m
    and rad, as a share of what it is at home; 0 where no joints bring the hand there.
    """

    def __init__(self, robot: RobotDescription) -> None:
        """Takes a second. Raises RobotError when the robot's assets are missing."""
        self._bases = np.array([arm.base_position for arm in robot.arms])
        kinematics = DualArmKinematics(robot)
        solver = ArmInverseKinematics(robot, robot.arms[0])
        home = np.array(robot.arms[0].home)
        at_home = manipulability(kinematics, np.array(robot.home))[0]
        values = np.zeros((len(DISTANCES), len(HEIGHTS), len(TURNS)))
        middle = len(TURNS) // 2
        for i, distance in enumerate(DISTANCES):
            over = home
            for j in reversed(range(len(HEIGHTS))):
                point = self._bases[0] + [distance, 0.0, HEIGHTS[j]]
                over, _ = reach(solver, point, 0.0, over)
                for turns in (range(middle, len(TURNS)), range(middle - 1, -1, -1)):
                    joints = over
                    for k in turns:
                        joints, is_found = reach(solver, point, TURNS[k], joints)
                        if not is_found:
                            break
                        values[i, j, k] = manipulability(kinematics, np.concatenate([joints, home]))[0] / at_home
        self._map = RegularGridInterpolator((DISTANCES, HEIGHTS, TURNS), values, bounds_error=False, fill_value=0.0)

    def __call__(self, arm: int, points: NDArray, yaw: float) -> NDArray[np.float64]:
        """(n,) for points (n, 3) in m in the robot's frame, and the hand's yaw in rad."""
        away = np.asarray(points) - self._bases[arm]
        turn = yaw - np.arctan2(away[:, 1], away[:, 0])
        turn = (turn + np.pi) % (2.0 * np.pi) - np.pi
        return self._map(np.column_stack([np.hypot(away[:, 0], away[:, 1]), away[:, 2], turn]))


def manipulability(kinematics: DualArmKinematics, joints: NDArray) -> NDArray[np.float64]:
    """(2,) of both arms for joints (14,) in rad."""
    jacobians = kinematics.jacobians(joints)
    return np.sqrt(np.maximum(np.linalg.det(jacobians @ jacobians.transpose(0, 2, 1)), 0.0))


def reach(
    solver: ArmInverseKinematics, point: NDArray, yaw: float, near: NDArray, tilt: NDArray | None = None
) -> tuple[NDArray[np.float64], bool]:
    """Joints (7,) in rad that bring the hand to point (3,), turned by yaw, and whether they really do.

    The search starts at `near` (7,). tilt: (3,) rad by which the fingers do not point down, about the world's axes.
    """
    rotation = mink.SO3.from_matrix(fingers_down(yaw))
    if tilt is not None:
        rotation = mink.SO3.exp(tilt) @ rotation
    target = mink.SE3.from_rotation_and_translation(rotation, point)
    joints = near
    for _ in range(_STEPS):
        joints = solver.solve(target, joints)
    found = solver.pose(joints)
    off = np.linalg.norm(found.translation() - point), np.linalg.norm((rotation @ found.rotation().inverse()).log())
    return joints, bool(off[0] < _FOUND[0] and off[1] < _FOUND[1])
