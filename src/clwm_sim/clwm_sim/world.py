"""The simulated world: two arms, a table, one task. Knows neither ROS nor the wall clock; deterministic for a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from clwm_common.robot.description import RobotDescription
from clwm_sim import cameras
from clwm_sim.scenes.appearance import Appearance
from clwm_sim.scenes.task_table import (
    BLOCK_HALF,
    GRASP_HEIGHT,
    HANDLE_Y,
    PARKED,
    PHYSICS_DT,
    SIDES,
    TRAY_HALF,
    build_model,
)
from clwm_sim.tasks import PadChange, Pose, Situation, task_named

Setpoint = Callable[[float], tuple[ArrayLike, ArrayLike]]

ROBOT, IMAGE_SIZE = "dual_fr3_mujoco", 128  # what is simulated, and px of its pictures, unless asked for otherwise
START_SPREAD = 0.03  # rad by which every joint may start away from home
CHECK_EVERY = 8  # physics steps between two looks at success and failure: 20 ms

_CORNERS = {"near_right": (-1, -1), "near_left": (-1, 1), "far_right": (1, -1), "far_left": (1, 1)}
KEYPOINTS: tuple[str, ...] = (
    *(f"tray_{corner}" for corner in _CORNERS),
    "left_handle",
    "right_handle",
    "block",
    *(f"block_{corner}" for corner in _CORNERS),
    "pad",
    "left_tcp",
    "right_tcp",
)


@dataclass(frozen=True)
class ArmsMeasured:
    """Both arms as their sensors report them, left first: rad, rad/s, m."""

    positions: NDArray[np.float64]  # (14,)
    velocities: NDArray[np.float64]  # (14,)
    widths: NDArray[np.float64]  # (2,)


class World:
    """Two FR3 arms and the objects of `task`; pictures are square with `image_size` pixels a side."""

    def __init__(
        self, task: str, image_size: int = IMAGE_SIZE, seed: int = 0, robot: RobotDescription | None = None
    ) -> None:
        """Raises UnknownTask for a task that does not exist, RobotError when the robot's assets are missing."""
        self.task = task_named(task)
        self.robot = robot if robot is not None else RobotDescription.load(ROBOT)
        self.image_size = image_size
        self._model = build_model(self.robot, image_size)
        self._data = mujoco.MjData(self._model)
        self._renderer: cameras.Renderer | None = None
        self._appearance = Appearance(self._model)
        self._index()
        self.reset(seed)

    def reset(self, seed: int, task: str | None = None) -> None:
        """Start an episode: objects placed and joints offset as `seed` says; `task` switches the task.

        The appearance returns to nominal and `time` to 0. Raises UnknownTask.
        """
        if task is not None:
            self.task = task_named(task)
        rng = np.random.default_rng([seed, 1])
        placement = self.task.place(rng)
        mujoco.mj_resetData(self._model, self._data)
        self._appearance.restore()
        self._place("tray", placement.tray, 0.0)
        self._place("block", placement.block, BLOCK_HALF)
        self._present = {"tray": placement.tray is not None, "block": placement.block is not None}
        self._place_pad(placement.pad)
        self._changes, self._asked_arm = placement.changes, placement.asked_arm
        self._positions = self.robot.home + rng.uniform(-START_SPREAD, START_SPREAD, 14)
        self._widths = np.array([arm.gripper.opening_max for arm in self.robot.arms])
        self._applied_widths = self._widths.copy()
        self._data.qpos[self._arm_qpos] = self._positions
        self._data.qpos[self._finger_qpos] = np.repeat(self._widths / 2.0, 2)
        self._steps = 0
        self._achieved_since = -1  # step number; -1: not achieved now
        self._succeeded = self._failed = False
        mujoco.mj_forward(self._model, self._data)

    @property
    def time(self) -> float:
        """Seconds since the reset."""
        return self._steps * PHYSICS_DT

    def advance(self, until: float, setpoint: Setpoint | None = None) -> None:
        """Step physics until `time` reaches `until`.

        Before each step of 2.5 ms `setpoint(time)` gives joint positions (14,) in rad and gripper openings (2,) in m
        for the step's end; without it the last ones stay in force. Arms follow without lag (the set point's
        velocity is fed forward); grippers move at their own speed towards the opening asked for.
        Raises ValueError when `until` lies in the past or a set point is not finite.
        """
        steps = round((until - self.time) / PHYSICS_DT)
        if steps < 0:
            raise ValueError(f"world asked to go back from {self.time:.4f} s to {until:.4f} s; reset it instead")
        for _ in range(steps):
            previous = self._positions
            if setpoint is not None:
                positions, widths = setpoint((self._steps + 1) * PHYSICS_DT)
                self._positions = np.array(positions, dtype=np.float64)
                self._widths = np.clip(np.asarray(widths, dtype=np.float64), self._opening_min, self._opening_max)
                if not (np.isfinite(self._positions).all() and np.isfinite(self._widths).all()):
                    raise ValueError(f"set point at {self.time:.4f} s is not finite: {positions}, {widths}")
            velocity = np.clip((self._positions - previous) / PHYSICS_DT, -self._max_velocity, self._max_velocity)
            self._data.ctrl[self._arm_ctrl] = self._positions + self._lag * velocity
            opening = self._widths > self._applied_widths
            if opening.any():
                # Fingers that squeeze something let go at once instead of first unwinding their set point.
                opened = self._data.qpos[self._finger_qpos].reshape(2, 2).sum(axis=1)
                self._applied_widths = np.where(opening, np.maximum(self._applied_widths, opened), self._applied_widths)
            self._applied_widths += np.clip(self._widths - self._applied_widths, -self._grip_step, self._grip_step)
            self._data.ctrl[self._hand_ctrl] = self._applied_widths * self._ctrl_per_metre
            mujoco.mj_step(self._model, self._data)
            self._steps += 1
            while self._changes and self._steps >= round(self._changes[0].at / PHYSICS_DT):
                self._place_pad(self._changes[0].pad)
                self._changes = self._changes[1:]
            if self._steps % CHECK_EVERY == 0:
                self._judge()
        mujoco.mj_forward(self._model, self._data)

    def arrange(self, positions: ArrayLike, widths: ArrayLike, poses: dict[str, ArrayLike]) -> None:
        """Put the arms and all objects somewhere at once without stepping physics: for pictures of any state.

        positions (14,) rad, widths (2,) m; poses: of `tray`, `block`, `pad`, each (7,) xyz and quaternion xyzw in the
        world frame (of the pad only xyz counts). Objects left out are not there. Raises ValueError for other names.
        """
        if unknown := sorted(set(poses) - set(PARKED)):
            raise ValueError(f"object '{unknown[0]}' does not exist; expected some of {', '.join(PARKED)}")
        self._positions, self._widths = np.array(positions, dtype=np.float64), np.array(widths, dtype=np.float64)
        self._applied_widths = self._widths.copy()
        self._data.qpos[self._arm_qpos] = self._positions
        self._data.qpos[self._finger_qpos] = np.repeat(self._widths / 2.0, 2)
        self._data.qvel[:] = 0.0
        for name in ("tray", "block"):
            x, y, z, qx, qy, qz, qw = poses.get(name, (*PARKED[name], 0.0, 0.0, 0.0, 1.0))
            address = self._model.jnt_qposadr[self._joints[name]]
            self._data.qpos[address : address + 7] = [x, y, z, qw, qx, qy, qz]
            self._model.body_gravcomp[self._bodies[name]] = 0.0 if name in poses else 1.0
        self._data.mocap_pos[0] = np.asarray(poses.get("pad", PARKED["pad"]))[:3]
        self._present = {name: name in poses for name in PARKED}
        self._changes: tuple[PadChange, ...] = ()
        mujoco.mj_forward(self._model, self._data)

    def takes_part(self, name: str) -> bool:
        """Whether `tray`, `block` or `pad` is in this task."""
        return self._present[name]

    def displace(self, name: str, shift: ArrayLike) -> None:
        """Move the object `tray`, `block` or `pad` by shift (2,) in m over the table, at once, as if somebody had.

        Raises ValueError for an object that does not take part.
        """
        if not self._present.get(name, False):
            here = ", ".join(sorted(found for found, present in self._present.items() if present))
            raise ValueError(f"object '{name}' is not in this task; expected one of {here}")
        if name == "pad":
            self._data.mocap_pos[0, :2] += np.asarray(shift)
        else:
            address = self._model.jnt_qposadr[self._joints[name]]
            self._data.qpos[address : address + 2] += np.asarray(shift)
        mujoco.mj_forward(self._model, self._data)

    @contextmanager
    def displaced(self, name: str, shift: ArrayLike) -> Iterator[None]:
        """`displace` for as long as the block runs; afterwards everything is as if it had never been."""
        everything = mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(self._model, everything))
        mujoco.mj_getState(self._model, self._data, state, everything)
        self.displace(name, shift)
        try:
            yield
        finally:
            mujoco.mj_setState(self._model, self._data, state, everything)
            mujoco.mj_forward(self._model, self._data)
            # Once more: the forward pass renewed the solver's warm start, which is part of the state.
            mujoco.mj_setState(self._model, self._data, state, everything)

    def become(self, other: World) -> None:
        """Take over the whole state of `other`, a world of the same robot: what happens here next would happen there.

        Nominal appearance is kept. For looking ahead without touching the original.
        """
        everything = mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(other._model, everything))
        mujoco.mj_getState(other._model, other._data, state, everything)
        self._model.body_gravcomp[:] = other._model.body_gravcomp
        mujoco.mj_setState(self._model, self._data, state, everything)
        self.task, self._present = other.task, dict(other._present)
        self._changes, self._asked_arm = other._changes, other._asked_arm
        self._positions, self._widths = other._positions.copy(), other._widths.copy()
        self._applied_widths = other._applied_widths.copy()
        self._steps, self._achieved_since = other._steps, other._achieved_since
        self._succeeded, self._failed = other._succeeded, other._failed
        mujoco.mj_forward(self._model, self._data)

    def measured(self) -> ArmsMeasured:
        """Joints and openings as they are now."""
        data = self._data
        return ArmsMeasured(
            data.qpos[self._arm_qpos].copy(),
            data.qvel[self._arm_qvel].copy(),
            data.qpos[self._finger_qpos].reshape(2, 2).sum(axis=1),
        )

    def setpoint(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The joint positions (14,) and openings (2,) asked for last."""
        return self._positions.copy(), self._widths.copy()

    def render(self, camera: str) -> NDArray[np.uint8]:
        """RGB picture (image_size, image_size, 3) of `head`, `left_wrist` or `right_wrist`.

        Raises ValueError for another camera, RenderError when no GL library can be used.
        """
        if self._renderer is None:
            self._renderer = cameras.Renderer(self._model, self.image_size)
        return self._renderer.draw(self._data, camera)

    def camera_info(self, camera: str) -> cameras.CameraIntrinsics:
        """True intrinsics of a camera."""
        return cameras.intrinsics(self._model, camera, self.image_size)

    def camera_pose(self, camera: str) -> NDArray[np.float64]:
        """World-from-camera transform (4, 4), OpenCV convention."""
        return cameras.pose(self._model, self._data, camera)

    def randomise_appearance(self, rng: np.random.Generator, strength: float = 1.0, camera_jitter: float = 1.0) -> None:
        """Shift colours and light by `strength` and cameras by `camera_jitter` (0: not at all) until the next reset."""
        self._appearance.randomise(rng, strength, camera_jitter)
        mujoco.mj_forward(self._model, self._data)

    def recolour(self, rng: np.random.Generator) -> None:
        """Draw the colours of objects, table and floor anew, whatever they were, until the next reset."""
        self._appearance.recolour(rng)

    def scale_masses(self, factor: float) -> None:
        """Let tray and block weigh `factor` times what they weigh now, from the next reset on."""
        for name in ("tray", "block"):
            self._model.body(name).mass[:] *= factor
            self._model.body(name).inertia[:] *= factor
        extent = self._model.stat.extent  # recomputed below, and the cameras' near plane hangs on it
        mujoco.mj_setConst(self._model, self._data)
        self._model.stat.extent = extent

    def keypoints(self) -> dict[str, NDArray[np.float64]]:
        """World positions (3,) by name, the same names in every task; of absent objects they mean nothing."""
        return dict(zip(KEYPOINTS, self.keypoint_array(), strict=True))

    def keypoint_array(self) -> NDArray[np.float64]:
        """The key points as (len(KEYPOINTS), 3) in the order of KEYPOINTS."""
        now = self.situation()
        signs = np.array(list(_CORNERS.values()), dtype=np.float64)
        tray = np.column_stack([signs * TRAY_HALF[:2], np.full(4, 2.0 * TRAY_HALF[2])])
        block = np.column_stack([signs * BLOCK_HALF, np.full(4, BLOCK_HALF)])
        block_rotation = self._data.xmat[self._bodies["block"]].reshape(3, 3)
        return np.concatenate(
            [
                tray @ now.tray_rotation.T + now.tray_position,
                now.handles,
                now.block_position[None],
                block @ block_rotation.T + now.block_position,
                now.pad_position[None],
                now.tcp,
            ]
        )

    def keypoint_visible(self) -> NDArray[np.bool_]:
        """(len(KEYPOINTS),) whether a key point's object takes part in this task."""
        owner = {"left_handle": "tray", "right_handle": "tray"}
        return np.array([self._present.get(owner.get(name, name.split("_")[0]), True) for name in KEYPOINTS])

    def situation(self) -> Situation:
        """What the task's predicates and the expert look at."""
        data = self._data
        tray = self._bodies["tray"]
        rotation = data.xmat[tray].reshape(3, 3).copy()
        grasp = np.array([[0.0, HANDLE_Y, GRASP_HEIGHT], [0.0, -HANDLE_Y, GRASP_HEIGHT]])
        return Situation(
            tray_position=data.xpos[tray].copy(),
            tray_rotation=rotation,
            block_position=data.xpos[self._bodies["block"]].copy(),
            block_rotation=data.xmat[self._bodies["block"]].reshape(3, 3).copy(),
            block_speed=float(np.linalg.norm(data.qvel[self._block_qvel : self._block_qvel + 3])),
            pad_position=data.mocap_pos[0].copy(),
            handles=grasp @ rotation.T + data.xpos[tray],
            tcp=data.site_xpos[self._tcp_sites].copy(),
            widths=data.qpos[self._finger_qpos].reshape(2, 2).sum(axis=1),
            asked_arm=self._asked_arm,
        )

    def succeeded(self) -> bool:
        """Whether the task has been achieved, and held for its time, at some moment since the reset."""
        return self._succeeded

    def failed(self) -> bool:
        """Whether the task can no longer be achieved, or its time is over, without having succeeded."""
        return self._failed or (not self._succeeded and self.time >= self.task.timeout)

    def instruction(self, seed: int) -> str:
        """One of the task's sentences, the same for the same seed."""
        choice = np.random.default_rng([seed, 2]).integers(len(self.task.instructions))
        return self.task.instructions[choice]

    def close(self) -> None:
        """Free the GL context, if pictures were drawn."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _judge(self) -> None:
        now = self.situation()
        if not self.task.is_achieved(now):
            self._achieved_since = -1
        elif self._achieved_since < 0:
            self._achieved_since = self._steps
        if self._achieved_since >= 0:
            held = (self._steps - self._achieved_since) * PHYSICS_DT
            self._succeeded |= held >= self.task.hold_time and not self._failed
        self._failed |= not self._succeeded and self.task.is_lost(now)

    def _place_pad(self, pose: Pose | None) -> None:
        self._data.mocap_pos[0] = PARKED["pad"] if pose is None else (pose.x, pose.y, 0.0)
        self._present["pad"] = pose is not None

    def _place(self, name: str, pose: Pose | None, height: float) -> None:
        address = self._model.jnt_qposadr[self._joints[name]]
        # Nothing lies under a parked object, so it must not fall either.
        self._model.body_gravcomp[self._bodies[name]] = 1.0 if pose is None else 0.0
        if pose is None:
            self._data.qpos[address : address + 7] = [*PARKED[name], 1.0, 0.0, 0.0, 0.0]
        else:
            half = pose.yaw / 2.0
            self._data.qpos[address : address + 7] = [pose.x, pose.y, height, np.cos(half), 0.0, 0.0, np.sin(half)]

    def _index(self) -> None:
        model, kind = self._model, mujoco.mjtObj
        self._bodies = {name: mujoco.mj_name2id(model, kind.mjOBJ_BODY, name) for name in ("tray", "block", "pad")}
        self._joints = {name: mujoco.mj_name2id(model, kind.mjOBJ_JOINT, name) for name in ("tray", "block")}
        self._block_qvel = int(model.jnt_dofadr[self._joints["block"]])
        arm = [f"{side}/fr3_joint{index}" for side in SIDES for index in range(1, 8)]
        arm_ids = [mujoco.mj_name2id(model, kind.mjOBJ_JOINT, name) for name in arm]
        finger = [f"{side}/finger_joint{index}" for side in SIDES for index in (1, 2)]
        finger_ids = [mujoco.mj_name2id(model, kind.mjOBJ_JOINT, name) for name in finger]
        self._arm_qpos, self._arm_qvel = model.jnt_qposadr[arm_ids], model.jnt_dofadr[arm_ids]
        self._finger_qpos = model.jnt_qposadr[finger_ids]
        self._tcp_sites = [mujoco.mj_name2id(model, kind.mjOBJ_SITE, f"{side}/tcp") for side in SIDES]
        self._arm_ctrl = [mujoco.mj_name2id(model, kind.mjOBJ_ACTUATOR, name) for name in arm]
        self._hand_ctrl = [mujoco.mj_name2id(model, kind.mjOBJ_ACTUATOR, f"{side}/hand") for side in SIDES]
        # Position actuators damp absolute velocity, which makes them lag by damping / stiffness.
        self._lag = -model.actuator_biasprm[self._arm_ctrl, 2] / model.actuator_gainprm[self._arm_ctrl, 0]
        self._max_velocity = self.robot.limit("velocity")
        grippers = [arm.gripper for arm in self.robot.arms]
        self._opening_min = np.array([gripper.opening_min for gripper in grippers])
        self._opening_max = np.array([gripper.opening_max for gripper in grippers])
        self._grip_step = np.array([gripper.speed for gripper in grippers]) * PHYSICS_DT
        self._ctrl_per_metre = model.actuator_ctrlrange[self._hand_ctrl, 1] / self._opening_max
