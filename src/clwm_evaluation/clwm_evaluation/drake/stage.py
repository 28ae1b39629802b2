"""A stage in Drake: what an expert and a judge ask of a stage, answered by another simulator."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from clwm_evaluation.drake.process import DrakeProcess, targets
from clwm_sim.cameras import CAMERAS, camera_id
from clwm_sim.scenes.things import Layout
from clwm_sim.scenes.workcell import PHYSICS_DT, SIDES
from clwm_sim.situation import Situation, State
from clwm_sim.stage import ArmsMeasured, Setpoint, Stage, next_openings

STEP = 0.005  # s, a multiple of MuJoCo's step
LOOK_EVERY = 4  # steps between two looks, 20 ms as in MuJoCo
_ARMS, _FINGERS = [*range(7), *range(9, 16)], [[7, 8], [16, 17]]  # among the drives


class DrakeStage:
    """Starts as a MuJoCo stage stands now, and goes on by itself. Placed objects touch nothing and are kept here."""

    def __init__(self, process: DrakeProcess, stage: Stage) -> None:
        self.layout: Layout = stage.layout
        self._process = process
        self._start = stage.situation()
        self._placed = {name: state for name, state in self._start.objects.items() if self._is_placed(name)}
        self._positions, self._widths = stage.setpoint()
        self._applied_widths = self._widths.copy()
        grippers = [arm.gripper for arm in stage.robot.arms]
        self._grip_step = np.array([gripper.speed for gripper in grippers]) * STEP
        self._range = [gripper.opening_min for gripper in grippers], [gripper.opening_max for gripper in grippers]
        self._changes = deque(stage.layout.changes)
        model, _ = stage.compiled
        self._fovy = {camera: float(np.radians(model.cam_fovy[camera_id(model, camera)])) for camera in CAMERAS}
        self._image_size = stage.image_size
        self._steps = 0
        answer = process.load(stage, STEP)
        self.arms: dict[str, Any] = answer["arms"]
        self._state: dict[str, Any] = answer["state"]

    @property
    def time(self) -> float:
        """Seconds since the start."""
        return self._steps * STEP

    def measured(self) -> ArmsMeasured:
        """Joints and openings as they are now."""
        joints, velocities = np.array(self._state["joints"]), np.array(self._state["velocities"])
        return ArmsMeasured(joints[_ARMS], velocities[_ARMS], joints[_FINGERS].sum(axis=1))

    def setpoint(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The joint positions (14,) and openings (2,) asked for last."""
        return self._positions.copy(), self._widths.copy()

    def advance(self, until: float, setpoint: Setpoint | None = None, look: Callable[[], None] | None = None) -> None:
        """As `Stage.advance` does, in steps of 5 ms: of what is set for each step of MuJoCo's the last takes effect."""
        left = round((until - self.time) / STEP)
        while left > 0:
            count = min(left, LOOK_EVERY - self._steps % LOOK_EVERY)
            self._state = self._process.advance(np.array([self._next_target(setpoint) for _ in range(count)]))
            left -= count
            while self._changes and self.time >= self._changes[0].at - 1e-9:
                self._change()
            if look is not None and self._steps % LOOK_EVERY == 0:
                look()

    def situation(self) -> Situation:
        """Where everything is now."""
        objects = dict(self._placed)
        for name, found in self._state["objects"].items():
            position, rotation = _pose(found["pose"])
            objects[name] = State(position, rotation, found["speed"], found["angle"])
        tools = [np.array(self._state["tools"][f"{side}_fr3_hand_tcp"][:3]) for side in SIDES]
        return Situation(objects, np.array(tools), self.measured().widths)

    def render(self, camera: str) -> NDArray[np.uint8]:
        """RGB picture of the size that the stage's are."""
        return self._process.render(camera, self._fovy[camera], self._image_size)

    def _next_target(self, setpoint: Setpoint | None) -> NDArray[np.float64]:
        self._steps += 1
        if setpoint is not None:
            for left in reversed(range(round(STEP / PHYSICS_DT))):
                positions, widths = setpoint(self.time - left * PHYSICS_DT)
            self._positions = np.array(positions, dtype=np.float64)
            self._widths = np.clip(np.asarray(widths, dtype=np.float64), *self._range)
        opened = self.measured().widths
        self._applied_widths = next_openings(self._applied_widths, self._widths, opened, self._grip_step)
        return targets(self._positions, self._applied_widths)

    def _is_placed(self, name: str) -> bool:
        return self.layout.things[name].moves == "placed"

    def _change(self) -> None:
        change = self._changes.popleft()
        self._placed.pop(change.name, None)
        if change.place is not None:
            yaw = self.layout.things[change.name].yaw
            rotation = Rotation.from_euler("z", yaw).as_matrix()
            self._placed[change.name] = State(np.array([*change.place, 0.0]), rotation)


def _pose(numbers: list[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Position (3,) and rotation (3, 3) of xyz and quaternion wxyz."""
    axes = np.empty(9)
    mujoco.mju_quat2Mat(axes, np.array(numbers[3:]))
    return np.array(numbers[:3]), axes.reshape(3, 3)
