"""TwoArmLift in this project's terms: the world begins on the table, between the arms, and the left arm comes first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sim.cameras import CAMERAS
from clwm_sim.scenes.pot import SCENE
from clwm_sim.scenes.things import Grip, Layout, Part, Thing
from clwm_sim.scenes.workcell import WRIST_FOVY
from clwm_sim.situation import Situation, State
from clwm_sim.stage import ArmsMeasured

LEFT_FIRST = [1, 0]  # robosuite's robots, of which 0 is the right one
POT = "pot"
ROBOSUITE_CAMERAS = dict(zip(CAMERAS, ("agentview", "robot1_eye_in_hand", "robot0_eye_in_hand"), strict=True))
FOVY = dict(zip(CAMERAS, (SCENE.head_fovy, WRIST_FOVY, WRIST_FOVY), strict=True))  # deg
_FLIP = np.diag([1.0, -1.0, -1.0])  # of OpenCV's camera axes and MuJoCo's


@dataclass(frozen=True)
class Cell:
    """Where things of robosuite's world are in ours.

    origin: (3,) m, of our world in robosuite's. robot: two arms that stand where robosuite's Pandas do. half_height: m
    from the pot's bottom to the middle of robosuite's pot. layout: the pot, with the grips at its handles.
    """

    origin: NDArray[np.float64]
    robot: RobotDescription
    half_height: float
    layout: Layout

    @classmethod
    def of(cls, about: Mapping[str, Any], robot: RobotDescription) -> Cell:
        """From what robosuite_world.py says about itself. Raises ValueError for bases that are turned."""
        bases = np.array(about["bases"])[LEFT_FIRST]
        if not np.allclose(bases[:, 3:], [1.0, 0.0, 0.0, 0.0]):
            raise ValueError(f"bases are turned by {bases[:, 3:].tolist()} (wxyz); expected arms side by side")
        middle = bases[:, :3].mean(axis=0)
        origin = np.array([middle[0], middle[1], about["table"][2]])
        places = (bases[:, :3] - origin).tolist()
        arms = {
            side: arm.model_copy(update={"base_position": place})
            for side, arm, place in zip(("left", "right"), robot.arms, places, strict=True)
        }
        return cls(origin, robot.model_copy(update=arms), about["half_height"], Layout.of(_pot(about)))

    @cached_property
    def _kinematics(self) -> DualArmKinematics:
        return DualArmKinematics(self.robot)

    def home(self) -> list[NDArray[np.float64]]:
        """(robots, 7) rad in robosuite's order."""
        return np.split(self.robot.home, 2)[::-1]

    def measured(self, state: Mapping[str, Any]) -> ArmsMeasured:
        """The arms of a state."""
        robots = [state["robots"][index] for index in LEFT_FIRST]
        return ArmsMeasured(
            np.concatenate([it["joints"] for it in robots]),
            np.concatenate([it["velocities"] for it in robots]),
            np.array([it["fingers"][0] - it["fingers"][1] for it in robots]),
        )

    def situation(self, state: Mapping[str, Any]) -> Situation:
        """Pot and hands of a state; the pot's frame is at its bottom."""
        position, quaternion = np.array(state["pot"][:3]), np.array(state["pot"][3:])
        rotation = Rotation.from_quat(quaternion, scalar_first=True).as_matrix()
        bottom = position - rotation @ [0.0, 0.0, self.half_height] - self.origin
        measured = self.measured(state)
        tools = self._kinematics.poses(measured.positions)[:, :3]
        return Situation({POT: State(bottom, rotation, state["speed"])}, tools, measured.widths)

    def camera_poses(self, positions: ArrayLike) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Of our cameras in robosuite's world: position (3,) m and quaternion (4,) wxyz of MuJoCo's axes.

        positions: (14,) rad of the arms then.
        """
        hands = self._kinematics.link_frames(np.asarray(positions)[None])[0, :, -1]
        parents = {"world": np.eye(4), "left_hand": hands[0], "right_hand": hands[1]}
        found = {}
        for camera in CAMERAS:
            mounting = self.robot.camera_source(camera).mounting
            parent = parents[mounting.parent]
            place = parent[:3, 3] + parent[:3, :3] @ mounting.position + self.origin
            axes = parent[:3, :3] @ Rotation.from_quat(mounting.orientation).as_matrix() @ _FLIP
            found[camera] = place, Rotation.from_matrix(axes).as_quat(scalar_first=True)
        return found


def action(
    positions: NDArray[np.float64], velocities: NDArray[np.float64], widths: NDArray[np.float64], lag: float
) -> NDArray[np.float64]:
    """robosuite's action (16,) for arms that shall be at positions (14,) rad, moving with velocities (14,) rad/s.

    widths: (2,) m of opening. lag: s by which its arms stay behind their targets.
    """
    left, right = np.split(positions + lag * velocities, 2)
    return np.concatenate([right, [widths[1]], left, [widths[0]]])


def _pot(about: Mapping[str, Any]) -> Thing:
    """robosuite's pot, as far as goals and experts look at one."""
    bottom = np.array([0.0, 0.0, about["half_height"]])
    width = about["handle_width"]
    # The episodes' pots are turned by 180 degrees, give or take 60: the right arm's handle is their first.
    grips = tuple(Grip(tuple(np.array(about["handles"][index]) + bottom), width) for index in LEFT_FIRST)
    half = about["half_height"]
    body = Part("body", (half, half, half), (0.0, 0.0, half))
    return Thing(POT, POT, (body,), (0.0, 0.0, 0.0), mass=about["pot_mass"], grips=grips)
