"""Random states of the world for encoder training: wider than any task starts, and with what only happens midway."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sim.scenes.task_table import BLOCK_HALF, GRASP_HEIGHT, HANDLE_Y

BANK_DRAWS = 150_000  # about 4 %, 6,000 of each arm, pass the filter
_JOINT_SPREAD = np.array([0.7, 0.8, 0.5, 0.8, 0.4, 0.7, 0.9])  # rad around home
# m, of the left arm; the right arm's is its mirror image
_REACH_LOW, _REACH_HIGH = np.array([0.30, -0.14, 0.01]), np.array([0.68, 0.50, 0.42])
_MAX_TILT, _MAX_YAW = np.radians(30.0), np.radians(50.0)
_GRASPED_BLOCK, _GRASPED_HANDLE = 2.0 * BLOCK_HALF, 0.016  # finger openings, m


@dataclass(frozen=True)
class SceneState:
    """Arguments of World.arrange: positions (14,) rad, widths (2,) m, object poses (7,) xyz and quaternion xyzw."""

    positions: NDArray[np.float64]
    widths: NDArray[np.float64]
    poses: dict[str, NDArray[np.float64]]


class ArmBank:
    """Many configurations of one arm with the hand pointing down over the table, to be looked up by where the hand is.

    A lookup instead of inverse kinematics: it never fails, and its inexactness is the variety that training wants.
    """

    def __init__(self, robot: RobotDescription, arm: int, rng: np.random.Generator) -> None:
        kinematics = DualArmKinematics(robot)
        seven = slice(7 * arm, 7 * arm + 7)
        home = robot.home
        low, high = robot.limit("position_lower")[seven], robot.limit("position_upper")[seven]
        mirror = np.array([1.0, 1.0 if arm == 0 else -1.0, 1.0])
        joints, positions, yaws = [], [], []
        whole = home.copy()
        draws = home[seven] + rng.uniform(-1.0, 1.0, (BANK_DRAWS, 7)) * _JOINT_SPREAD
        for draw in np.clip(draws, low, high):
            whole[seven] = draw
            x, y, z, *quaternion = kinematics.poses(whole)[arm]
            position = np.array([x, y, z])
            rotation = rotation_matrix(np.array(quaternion))
            yaw = np.arctan2(rotation[1, 0], rotation[0, 0])
            inside = np.all((position * mirror > _REACH_LOW) & (position * mirror < _REACH_HIGH))
            if inside and -rotation[2, 2] > np.cos(_MAX_TILT) and abs(yaw) < _MAX_YAW:
                joints.append(draw)
                positions.append(position)
                yaws.append(yaw)
        self.joints, self.positions, self.yaws = np.array(joints), np.array(positions), np.array(yaws)

    def any(self, rng: np.random.Generator) -> int:
        """Number of an arbitrary configuration."""
        return int(rng.integers(len(self.joints)))

    def near(self, position: NDArray[np.float64], yaw: float) -> int:
        """Number of the configuration whose hand is nearest to `position` (3,), 1 rad of yaw counting as 4 cm."""
        distance = np.square(self.positions - position).sum(axis=1) + np.square(0.04 * (self.yaws - yaw))
        return int(distance.argmin())


class SceneSampler:
    """Draws states: objects on the table, approached, held or lifted; arms at home, over the objects or anywhere."""

    def __init__(self, robot: RobotDescription, rng: np.random.Generator) -> None:
        self._rng = rng
        self._home = robot.home
        self._opening = robot.left.gripper.opening_max
        self._banks = (ArmBank(robot, 0, rng), ArmBank(robot, 1, rng))

    def reseed(self, rng: np.random.Generator) -> None:
        """Draw from `rng` from now on; the arm configurations stay."""
        self._rng = rng

    def draw(self) -> SceneState:
        """One state; four in ten show the tray, five the block and the pad, one all of them."""
        kind = self._rng.random()
        if kind < 0.4:
            return self._tray_scene()
        state = self._block_scene()
        if kind < 0.9:
            return state
        tray = _pose(self._rng.uniform([0.40, -0.15, 0.0], [0.56, 0.15, 0.0]), yaw=self._rng.uniform(-0.5, 0.5))
        return SceneState(state.positions, state.widths, {**state.poses, "tray": tray})

    def _tray_scene(self) -> SceneState:
        rng = self._rng
        position = rng.uniform([0.40, -0.09, 0.0], [0.56, 0.09, 0.0])
        yaw, tilt = np.radians(rng.uniform(-25.0, 25.0)), np.zeros(2)
        phase = rng.random()
        if phase < 0.5:
            positions, widths = self._arms()
        else:
            lifted = phase > 0.7
            if lifted:
                position[2] = rng.uniform(0.0, 0.22)
                tilt = np.radians(rng.normal(0.0, 5.0, 2))
            rotation = rotation_matrix(_pose(position, yaw, *tilt)[3:])
            grasps = np.array([[0.0, HANDLE_Y, GRASP_HEIGHT], [0.0, -HANDLE_Y, GRASP_HEIGHT]]) @ rotation.T + position
            above = np.array([0.0, 0.0, 0.0 if lifted else rng.uniform(0.0, 0.15)])
            positions = self._hands_at(grasps + above, np.array([yaw, yaw]))
            width = _GRASPED_HANDLE if lifted or rng.random() < 0.3 else rng.uniform(_GRASPED_HANDLE, self._opening)
            widths = np.full(2, width)
        return SceneState(positions, widths, {"tray": _pose(position, yaw, *tilt)})

    def _block_scene(self) -> SceneState:
        rng = self._rng
        pad = _pose(rng.uniform([0.42, -0.05, 0.0], [0.52, 0.05, 0.0]))
        position = rng.uniform([0.37, -0.26, BLOCK_HALF], [0.57, 0.26, BLOCK_HALF])
        yaw, tilt = np.radians(rng.uniform(-25.0, 25.0)), np.zeros(2)
        positions, widths = self._arms()
        phase = rng.random()
        if phase > 0.4:
            held = phase > 0.7
            if phase > 0.9:
                position[:2] = pad[:2] + rng.normal(0.0, 0.02, 2)
            if held:
                position[2] += rng.choice([0.0, rng.uniform(0.0, 0.22)])
                tilt = np.radians(rng.normal(0.0, 4.0, 2))
            arm = 0 if position[1] + rng.normal(0.0, 0.04) > 0.0 else 1
            above = np.array([0.0, 0.0, rng.uniform(-0.005, 0.005) if held else rng.uniform(0.0, 0.18)])
            hands = self._banks[arm]
            chosen = hands.near(position + above, yaw)
            positions[7 * arm : 7 * arm + 7] = hands.joints[chosen]
            widths[arm] = _GRASPED_BLOCK if held else rng.uniform(_GRASPED_BLOCK, self._opening)
            if held:
                position = hands.positions[chosen] - above
                yaw = float(np.clip(hands.yaws[chosen] + rng.normal(0.0, 0.05), -0.7, 0.7))
        return SceneState(positions, widths, {"block": _pose(position, yaw, *tilt), "pad": pad})

    def _arms(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both arms around home, or each anywhere over the table."""
        rng = self._rng
        positions = self._home + rng.uniform(-0.05, 0.05, 14)
        widths = np.full(2, self._opening)
        for arm, bank in enumerate(self._banks):
            if rng.random() < 0.5:
                positions[7 * arm : 7 * arm + 7] = bank.joints[bank.any(rng)]
                widths[arm] = rng.uniform(0.0, self._opening)
        return positions, widths

    def _hands_at(self, targets: NDArray[np.float64], yaws: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate(
            [bank.joints[bank.near(targets[arm], float(yaws[arm]))] for arm, bank in enumerate(self._banks)]
        )


def rotation_matrix(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) of a unit quaternion xyzw."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _pose(
    position: NDArray[np.float64], yaw: float = 0.0, roll: float = 0.0, pitch: float = 0.0
) -> NDArray[np.float64]:
    """(7,) xyz and quaternion xyzw: yaw about z, after small roll about x and pitch about y."""
    cy, sy, cp, sp, cr, sr = (f(a / 2.0) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    quaternion = [
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
        cr * cp * cy + sr * sp * sy,
    ]
    return np.array([*position, *quaternion])
