"""The arms of any robot in a cell of their own: what `World` is for the shipped tasks, without any task."""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ARM_JOINTS
from clwm_common.robot.description import RobotDescription
from clwm_sim import cameras
from clwm_sim.goals.base import Goal
from clwm_sim.scenes.cell_model import build_cell, fingers_of
from clwm_sim.scenes.workcell import PHYSICS_DT
from clwm_sim.shipped_tasks import UnknownTask
from clwm_sim.situation import Situation
from clwm_sim.stage import ArmsMeasured, Setpoint


class Cell:
    """Two arms that follow set points, and cameras. Nothing is judged: no goal is ever achieved or lost."""

    goals: tuple[Goal, ...] = ()
    task_name = ""

    def __init__(self, robot: RobotDescription, image_size: int) -> None:
        """Raises RobotError: what the simulation of this robot lacks."""
        self.robot, self.image_size = robot, image_size
        self._model = model = build_cell(robot, image_size)
        self._data = mujoco.MjData(model)
        self._renderer: cameras.Renderer | None = None
        joints = [model.joint(name).id for name in robot.joint_names]
        self._qpos, self._qvel = model.jnt_qposadr[joints], model.jnt_dofadr[joints]
        self._ctrl = [_drive_of(model, joint) for joint in joints]
        # Position actuators damp absolute velocity, which makes them lag by damping / stiffness.
        self._lag = -model.actuator_biasprm[self._ctrl, 2] / model.actuator_gainprm[self._ctrl, 0]
        self._channels = robot.channels
        self._hands = [_Hand(model, arm.gripper.finger_joint) for arm in robot.arms]
        grippers = [arm.gripper for arm in robot.arms]
        self._narrowest, self._widest = (
            np.array([getattr(gripper, f"opening_{end}") for gripper in grippers]) for end in ("min", "max")
        )
        self._grip_step = np.array([gripper.speed for gripper in grippers]) * PHYSICS_DT
        self.reset(0)

    def reset(self, seed: int, task: str | None = None) -> None:
        """Arms at home, hands open, whatever the seed. Raises UnknownTask when a task is named: there is none."""
        if task is not None:
            raise UnknownTask(
                f"task '{task}': robot '{self.robot.name}' is simulated in a cell without tasks; leave the task out"
            )
        mujoco.mj_resetData(self._model, self._data)
        self._steps = 0
        self._positions, self._widths = self.robot.home, self._widest.copy()
        self._applied, self._gripping = self._positions, self._widths.copy()
        self._data.qpos[self._qpos] = self._positions[self._channels]
        for hand, width in zip(self._hands, self._widths, strict=True):
            hand.put(self._data, width)
        mujoco.mj_forward(self._model, self._data)

    @property
    def time(self) -> float:
        """Seconds since the reset."""
        return self._steps * PHYSICS_DT

    def advance(self, until: float, setpoint: Setpoint | None = None, look: Callable[[], None] | None = None) -> None:
        """Step physics until `time` reaches `until`, as `Stage.advance` does; nothing is looked at on the way."""
        for _ in range(round((until - self.time) / PHYSICS_DT)):
            if setpoint is not None:
                positions, widths = setpoint((self._steps + 1) * PHYSICS_DT)
                self._positions = np.array(positions, dtype=np.float64)
                self._widths = np.clip(np.asarray(widths, dtype=np.float64), self._narrowest, self._widest)
            velocity = (self._positions - self._applied)[self._channels] / PHYSICS_DT
            self._applied = self._positions
            self._data.ctrl[self._ctrl] = self._applied[self._channels] + self._lag * velocity
            self._gripping = self._gripping + np.clip(self._widths - self._gripping, -self._grip_step, self._grip_step)
            for hand, width in zip(self._hands, self._gripping, strict=True):
                hand.squeeze(self._data, width)
            mujoco.mj_step(self._model, self._data)
            self._steps += 1
        mujoco.mj_forward(self._model, self._data)

    def measured(self) -> ArmsMeasured:
        """Joints and openings as they are now."""
        positions, velocities = np.zeros((2, 2 * ARM_JOINTS))
        positions[self._channels] = self._data.qpos[self._qpos]
        velocities[self._channels] = self._data.qvel[self._qvel]
        pairs = zip(self._hands, self._gripping, strict=True)
        return ArmsMeasured(positions, velocities, np.array([hand.opening(self._data, width) for hand, width in pairs]))

    def setpoint(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The joint positions (14,) and openings (2,) asked for last."""
        return self._positions.copy(), self._widths.copy()

    def situation(self) -> Situation:
        """Empty: nothing here is anybody's goal."""
        return Situation({}, np.zeros((2, 3)), self.measured().widths)

    def succeeded(self) -> bool:
        return False

    def failed(self) -> bool:
        return False

    def instruction(self, seed: int) -> str:
        """There is nothing to ask for."""
        return ""

    def render(self, camera: str) -> NDArray[np.uint8]:
        """RGB picture (image_size, image_size, 3). Raises ValueError for an unknown camera, RenderError without GL."""
        if self._renderer is None:
            self._renderer = cameras.Renderer(self._model, self.image_size)
        return self._renderer.draw(self._data, camera)

    def camera_info(self, camera: str) -> cameras.CameraIntrinsics:
        """True intrinsics of a camera."""
        return cameras.intrinsics(self._model, camera, self.image_size)

    def close(self) -> None:
        """Free the GL context, if pictures were drawn."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


class _Hand:
    """The joints that one opening moves; none where the cell has no such finger: then the hand is what it was told."""

    def __init__(self, model: mujoco.MjModel, finger: str) -> None:
        shares = fingers_of(model, finger)
        joints = [model.joint(name).id for name in shares]
        self._shares = np.array([*shares.values()]) / 2.0
        self._qpos = model.jnt_qposadr[joints]
        self._ctrl = [_drive_of(model, joint) for joint in joints]
        self._own = [*shares].index(finger) if shares else None

    def put(self, data: mujoco.MjData, width: float) -> None:
        data.qpos[self._qpos] = width * self._shares

    def squeeze(self, data: mujoco.MjData, width: float) -> None:
        data.ctrl[self._ctrl] = width * self._shares

    def opening(self, data: mujoco.MjData, told: float) -> float:
        return told if self._own is None else 2.0 * float(data.qpos[self._qpos[self._own]])


def _drive_of(model: mujoco.MjModel, joint: int) -> int:
    return int(np.flatnonzero(model.actuator_trnid[:, 0] == joint)[0])
