"""Where hands may be when an episode starts: anywhere over the table that an arm reaches well, open or half closed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.description import RobotDescription
from clwm_embodichain.expansion.capability_map import CapabilityMap, reach
from clwm_sim.experts.inverse_kinematics import ArmInverseKinematics

X, HEIGHT = (0.30, 0.68), (0.24, 0.46)  # m, over the table: above everything that lies there
ACROSS = (-0.10, 0.50)  # m from the middle line to the arm's own side
TURN, TILT = np.radians(60.0), np.radians(12.0)
APART = 0.28  # m between the hands
OPEN_SHARE = 0.5  # of the hands are wide open
HALF_CLOSED = (0.03, 0.075)  # m between the fingers of the others
LEAST = 0.3  # of the manipulability at home
_TRIES = 20


@dataclass(frozen=True)
class HandStarts:
    """Both hands, left first: points (2, 3) m over the table, yaws (2,) and tilts (2, 3) rad, widths (2,) m."""

    points: NDArray[np.float64]
    yaws: NDArray[np.float64]
    tilts: NDArray[np.float64]
    widths: NDArray[np.float64]


def draw(rng: np.random.Generator, capability: CapabilityMap, opening: float) -> HandStarts | None:
    """Hands that both arms reach, apart from each other; None when a number of tries had none. opening: m, at most."""
    sides = np.array([1.0, -1.0])
    for _ in range(_TRIES):
        points = np.column_stack([rng.uniform(*X, 2), sides * rng.uniform(*ACROSS, 2), rng.uniform(*HEIGHT, 2)])
        yaws = rng.uniform(-TURN, TURN, 2)
        tilts = np.column_stack([rng.uniform(-TILT, TILT, (2, 2)), np.zeros(2)])
        widths = np.where(rng.random(2) < OPEN_SHARE, opening, rng.uniform(*HALF_CLOSED, 2))
        if points[0, 1] - points[1, 1] < APART:
            continue
        if min(capability(arm, points[arm : arm + 1], yaws[arm])[0] for arm in range(2)) > LEAST:
            return HandStarts(points, yaws, tilts, widths)
    return None


class HandStartSolver:
    """Joints for where hands shall start."""

    def __init__(self, robot: RobotDescription) -> None:
        self._arms = [ArmInverseKinematics(robot, arm) for arm in robot.arms]
        self._home = robot.home

    def joints(self, start: HandStarts, table_height: float) -> NDArray[np.float64] | None:
        """(14,) rad; None where an arm does not get there after all."""
        solved = []
        for arm, solver in enumerate(self._arms):
            point = start.points[arm] + [0.0, 0.0, table_height]
            home = self._home[7 * arm : 7 * arm + 7]
            joints, is_found = reach(solver, point, start.yaws[arm], home, start.tilts[arm])
            if not is_found:
                return None
            solved.append(joints)
        return np.concatenate(solved)
