"""Two arms at a table on which things lie: physics and pictures, without any task. Deterministic for a layout."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from clwm_common.robot.description import RobotDescription
from clwm_sim import cameras
from clwm_sim.looks.dressing import Dressing
from clwm_sim.looks.lens import develop
from clwm_sim.looks.looks import Looks
from clwm_sim.physics import NOMINAL, ModelPhysics, Physics
from clwm_sim.scenes.appearance import Appearance
from clwm_sim.scenes.base import Scene
from clwm_sim.scenes.things import Layout
from clwm_sim.scenes.workcell import PHYSICS_DT, SIDES, build_model
from clwm_sim.situation import Situation, State

Setpoint = Callable[[float], tuple[ArrayLike, ArrayLike]]
Moment = tuple[NDArray[np.float64], int]

START_SPREAD = 0.03  # rad by which every joint may start away from home
ARM_SEGMENTS, TABLE_SEGMENT = ("left arm", "right arm"), "table"  # of pictures, beside the objects
LOOK_EVERY = 8  # physics steps between two looks at how things are: 20 ms


@dataclass(frozen=True)
class ArmsMeasured:
    """Both arms as their sensors report them, left first: rad, rad/s, m."""

    positions: NDArray[np.float64]  # (14,)
    velocities: NDArray[np.float64]  # (14,)
    widths: NDArray[np.float64]  # (2,)


def next_openings(applied: ArrayLike, wanted: ArrayLike, opened: ArrayLike, step: ArrayLike) -> NDArray[np.float64]:
    """What grippers are told next, when they are told `applied` and are `opened` now and may go `step` m further.

    Fingers that squeeze something let go at once instead of first unwinding their set point. All (2,) in m.
    """
    applied = np.where(np.asarray(wanted) > applied, np.maximum(applied, opened), applied)
    return applied + np.clip(wanted - applied, -np.asarray(step), step)


class Stage:
    """Two arms and a scene's objects; pictures are square with `image_size` pixels a side. looks: that were applied."""

    def __init__(self, scene: Scene, robot: RobotDescription, image_size: int) -> None:
        """Raises RobotError when the robot's assets are missing."""
        self.robot = robot
        self.image_size = image_size
        self._renderer: cameras.Renderer | None = None
        self._compiled: dict[str, tuple[mujoco.MjModel, Appearance, Dressing, ModelPhysics]] = {}
        self.build(scene)

    def build(self, scene: Scene) -> None:
        """Take the model of a scene in place of the one before; it is compiled once. Nothing is set up then."""
        self.close()
        self.scene = scene
        layout = scene.draw(np.random.default_rng(0))
        if scene.name not in self._compiled:
            model = build_model(
                self.robot, self.image_size, lambda spec: scene.add(spec, layout.things.values()), scene.head_fovy
            )
            self._compiled[scene.name] = model, Appearance(model), Dressing(model), ModelPhysics(model)
        self._model, self._appearance, self._dressing, self._model_physics = self._compiled[scene.name]
        self.looks = Looks()
        self._data = mujoco.MjData(self._model)
        self._index(layout)

    def set_up(self, layout: Layout, rng: np.random.Generator, physics: Physics = NOMINAL) -> None:
        """Start an episode with these objects and dynamics; joints start around home as `rng` says."""
        self._fit(physics.of_objects(layout), physics)
        self._changes = layout.changes
        self._steps = 0
        positions = self.robot.home + rng.uniform(-START_SPREAD, START_SPREAD, 14)
        self.put_arms(positions, [arm.gripper.opening_max for arm in self.robot.arms])

    def put_arms(self, positions: ArrayLike, widths: ArrayLike) -> None:
        """Both arms to positions (14,) in rad and openings (2,) in m, at once and at rest there."""
        self._positions, self._widths = np.array(positions, dtype=np.float64), np.array(widths, dtype=np.float64)
        self._applied, self._applied_widths = self._positions, self._widths.copy()
        self._on_the_way = deque([(self._positions, self._widths)] * round(self.physics.latency / PHYSICS_DT))
        self._data.qpos[self._arm_qpos] = self._positions
        self._data.qpos[self._finger_qpos] = np.repeat(self._widths / 2.0, 2)
        self._data.qvel[self._arm_qvel] = 0.0
        mujoco.mj_forward(self._model, self._data)

    @property
    def time(self) -> float:
        """Seconds since the set-up."""
        return self._steps * PHYSICS_DT

    def advance(self, until: float, setpoint: Setpoint | None = None, look: Callable[[], None] | None = None) -> None:
        """Step physics until `time` reaches `until`; `look` is called every 20 ms.

        Before each step of 2.5 ms `setpoint(time)` gives joint positions (14,) in rad and gripper openings (2,) in m
        for the step's end; without it the last ones stay in force. Arms follow without lag (the set point's
        velocity is fed forward); grippers move at their own speed towards the opening asked for. Both take effect when
        the latency of the episode's physics is over.
        Raises ValueError when `until` lies in the past or a set point is not finite.
        """
        steps = round((until - self.time) / PHYSICS_DT)
        if steps < 0:
            raise ValueError(f"asked to go back from {self.time:.4f} s to {until:.4f} s; start again instead")
        for _ in range(steps):
            if setpoint is not None:
                positions, widths = setpoint((self._steps + 1) * PHYSICS_DT)
                self._positions = np.array(positions, dtype=np.float64)
                self._widths = np.clip(np.asarray(widths, dtype=np.float64), self._opening_min, self._opening_max)
                if not (np.isfinite(self._positions).all() and np.isfinite(self._widths).all()):
                    raise ValueError(f"set point at {self.time:.4f} s is not finite: {positions}, {widths}")
            self._on_the_way.append((self._positions, self._widths))
            previous = self._applied
            self._applied, widths = self._on_the_way.popleft()
            velocity = np.clip((self._applied - previous) / PHYSICS_DT, -self._max_velocity, self._max_velocity)
            self._data.ctrl[self._arm_ctrl] = self._applied + self._lag * velocity
            opened = self._data.qpos[self._finger_qpos].reshape(2, 2).sum(axis=1)
            self._applied_widths = next_openings(self._applied_widths, widths, opened, self._grip_step)
            self._data.ctrl[self._hand_ctrl] = self._applied_widths * self._ctrl_per_metre
            # Away from the middle: a lever goes to the end that is nearer and stays there.
            self._data.qfrc_applied[self._snap_dofs] = self._snaps * self._data.qpos[self._snap_qpos]
            mujoco.mj_step(self._model, self._data)
            self._steps += 1
            while self._changes and self._steps >= round(self._changes[0].at / PHYSICS_DT):
                self._change(self._changes[0].name, self._changes[0].place)
                self._changes = self._changes[1:]
            if look is not None and self._steps % LOOK_EVERY == 0:
                look()
        mujoco.mj_forward(self._model, self._data)

    @property
    def compiled(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """What MuJoCo simulates, as it is now: to be read by who writes it down for others, and not to be changed."""
        return self._model, self._data

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

    def situation(self) -> Situation:
        """Where everything is now."""
        data = self._data
        objects = {}
        for name, body in self._bodies.items():
            if self._present[name]:
                dof = self._dofs[name]
                speed = float(np.linalg.norm(data.qvel[dof : dof + 3])) if name in self._free else 0.0
                angle = float(data.qpos[self._hinges[name]]) if name in self._hinges else 0.0
                objects[name] = State(data.xpos[body].copy(), data.xmat[body].reshape(3, 3).copy(), speed, angle)
        return Situation(
            objects,
            data.site_xpos[self._tcp_sites].copy(),
            data.qpos[self._finger_qpos].reshape(2, 2).sum(axis=1),
            self.physics.table_height,
            self._dressing.distractors.places,
        )

    def arms_touch(self) -> bool:
        """Whether the arms touch one another, or the table with more than their fingers."""
        contacts = self._data.contact.geom
        owners = self._arm_of_geom[contacts]
        on_table = self._is_table[contacts].any(axis=1) & (owners.any(axis=1) & ~self._is_finger[contacts].any(axis=1))
        return bool(on_table.any() or (owners[:, 0] * owners[:, 1] == -1).any())

    def render(self, camera: str) -> NDArray[np.uint8]:
        """RGB picture (image_size, image_size, 3) of `head`, `left_wrist` or `right_wrist`.

        Raises ValueError for another camera, RenderError when no GL library can be used.
        """
        picture = self._pictures().draw(self._data, camera, self.looks.has_shadows)
        look = self.looks.cameras.get(camera)
        if look is None:
            return picture
        # The number of the picture, so that the same instant looks the same however often it is drawn.
        return develop(picture, look.lens, (self.looks.seed, cameras.CAMERAS.index(camera), self._steps))

    def segment(self, camera: str) -> NDArray[np.int32]:
        """What each pixel of a camera's picture shows (image_size, image_size): a number in `segments`, else -1.

        Raises as `render` does.
        """
        # The last one is for pixels without a geom, whose number is -1.
        return self._segment_of_geom[self._pictures().geoms(self._data, camera)]

    def apply_looks(self, looks: Looks) -> None:
        """Look like this until the next set-up, whatever the looks were. Nothing that moves is changed.

        A distractor that would stand in an arm or an object, or nearer to it than 2 cm, is left out.
        Raises LooksError for what the scene does not have, or more of it than there is room for; nothing changes then.
        """
        self._dressing.check(looks)
        self._appearance.restore()
        changed = self._dressing.put_on(self._data, looks)
        self.looks = looks
        if self._renderer is not None:
            self._renderer.upload(changed)
        mujoco.mj_camlight(self._model, self._data)

    def randomise_appearance(self, rng: np.random.Generator, strength: float = 1.0, camera_jitter: float = 1.0) -> None:
        """Shift colours and light by `strength` and cameras by `camera_jitter` (0: not at all) until a new set-up."""
        self.looks = Looks()
        self._appearance.randomise(rng, strength, camera_jitter)
        mujoco.mj_forward(self._model, self._data)

    def recolour(self, rng: np.random.Generator) -> None:
        """Draw the colours of objects, table and floor anew, whatever they were, until the next set-up."""
        self.looks = Looks()
        self._appearance.recolour(rng)

    def camera_info(self, camera: str) -> cameras.CameraIntrinsics:
        """True intrinsics of a camera."""
        return cameras.intrinsics(self._model, camera, self.image_size)

    def camera_pose(self, camera: str) -> NDArray[np.float64]:
        """World-from-camera transform (4, 4), OpenCV convention."""
        return cameras.pose(self._model, self._data, camera)

    def arrange(self, positions: ArrayLike, widths: ArrayLike, poses: Mapping[str, ArrayLike]) -> None:
        """Put the arms and all objects somewhere at once without stepping physics: for pictures of any state.

        positions (14,) rad, widths (2,) m; poses: by object, each (7,) xyz and quaternion xyzw in the world frame (of
        placed objects only xyz counts). Objects left out are not there, and nothing is changed later.
        Raises ValueError for other names.
        """
        movable = {*self._free, *self._placed}
        if unknown := sorted(set(poses) - movable):
            raise ValueError(f"object '{unknown[0]}' does not exist; expected some of {', '.join(sorted(movable))}")
        self._data.qvel[:] = 0.0
        for name, address in self._free.items():
            x, y, z, qx, qy, qz, qw = poses.get(name, (*self.layout.things[name].parking, 0.0, 0.0, 0.0, 1.0))
            self._data.qpos[address : address + 7] = [x, y, z, qw, qx, qy, qz]
            self._model.body_gravcomp[self._bodies[name]] = 0.0 if name in poses else 1.0
        for name, mocap in self._placed.items():
            self._data.mocap_pos[mocap] = np.asarray(poses.get(name, self.layout.things[name].parking))[:3]
        self._present = {name: name in poses or name not in movable for name in self._bodies}
        self._changes = ()
        self.put_arms(positions, widths)

    def turn(self, name: str, angle: float) -> None:
        """Put a hinged object at `angle` rad at once. Raises KeyError for one without a hinge."""
        self._data.qpos[self._hinges[name]] = angle
        mujoco.mj_forward(self._model, self._data)

    def takes_part(self, name: str) -> bool:
        """Whether an object is there now."""
        return self._present.get(name, False)

    def displace(self, name: str, shift: ArrayLike) -> None:
        """Move an object by shift (2,) in m over the table, at once, as if somebody had.

        Raises ValueError when it does not take part, or is fixed to the table.
        """
        if not self.takes_part(name):
            here = ", ".join(sorted(found for found, present in self._present.items() if present))
            raise ValueError(f"object '{name}' is not in this task; expected one of {here}")
        if name in self._free:
            address = self._free[name]
            self._data.qpos[address : address + 2] += np.asarray(shift)
        elif name in self._placed:
            self._data.mocap_pos[self._placed[name], :2] += np.asarray(shift)
        else:
            raise ValueError(f"object '{name}' is fixed to the table and cannot be displaced")
        mujoco.mj_forward(self._model, self._data)

    @contextmanager
    def displaced(self, name: str, shift: ArrayLike) -> Iterator[None]:
        """`displace` for as long as the block runs; afterwards everything is as if it had never been."""
        state = self._state()
        self.displace(name, shift)
        try:
            yield
        finally:
            self._restore(state)

    def become(self, other: Stage) -> None:
        """Take over the whole state of `other`, of the same robot: what happens here next would happen there.

        Nominal appearance is kept. For looking ahead without touching the original.
        """
        if self.scene is not other.scene:
            self.build(other.scene)
        self._fit(other.layout, other.physics)
        self._dressing.distractors.stand_as(other._dressing.distractors)
        self._model.body_gravcomp[:] = other._model.body_gravcomp
        self._present, self._changes = dict(other._present), other._changes
        self._positions, self._widths = other._positions.copy(), other._widths.copy()
        self._applied, self._applied_widths = other._applied, other._applied_widths.copy()
        self._on_the_way = other._on_the_way.copy()
        self._steps = other._steps
        self._restore(other._state())

    def moment(self) -> Moment:
        """What `show` takes."""
        return self._state(), self._steps

    def show(self, moment: Moment) -> None:
        """Be at a moment of this episode again, to draw it in other looks; not to go on from there."""
        state, self._steps = moment
        self._restore(state)

    def close(self) -> None:
        """Free the GL context, if pictures were drawn."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _pictures(self) -> cameras.Renderer:
        if self._renderer is None:
            self._renderer = cameras.Renderer(self._model, self.image_size)
        return self._renderer

    def _fit(self, layout: Layout, physics: Physics) -> None:
        self.layout, self.physics, self.looks = layout, physics, Looks()
        self._appearance.restore()
        self._dressing.distractors.take_down(self._data)
        self._model_physics.apply(physics, layout)
        self.scene.fit(self._model, self._data, layout.things.values())
        # Position actuators damp absolute velocity, which makes them lag by damping / stiffness.
        gains = self._model.actuator_gainprm[self._arm_ctrl, 0]
        self._lag = -self._model.actuator_biasprm[self._arm_ctrl, 2] / gains
        self._appearance.keep(self._geoms)
        self._snaps = np.array([thing.hinge.snap for thing in layout.things.values() if thing.hinge is not None])
        self._present = {name: thing.present for name, thing in layout.things.items()}

    def _state(self) -> NDArray[np.float64]:
        everything = mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(self._model, everything))
        mujoco.mj_getState(self._model, self._data, state, everything)
        return state

    def _restore(self, state: NDArray[np.float64]) -> None:
        everything = mujoco.mjtState.mjSTATE_INTEGRATION
        mujoco.mj_setState(self._model, self._data, state, everything)
        mujoco.mj_forward(self._model, self._data)
        # Once more: the forward pass renewed the solver's warm start, which is part of the state.
        mujoco.mj_setState(self._model, self._data, state, everything)

    def _change(self, name: str, place: tuple[float, float] | None) -> None:
        parking = self.layout.things[name].parking
        self._data.mocap_pos[self._placed[name]] = parking if place is None else (*place, 0.0)
        self._present[name] = place is not None

    def _index(self, layout: Layout) -> None:
        model, things = self._model, layout.things
        self._bodies = {name: model.body(name).id for name in things}
        self._geoms = [geom for geom in range(model.ngeom) if int(model.geom_bodyid[geom]) in self._bodies.values()]
        moving = {name: model.joint(name).id for name, thing in things.items() if thing.moves != "placed"}
        self._dofs = {name: int(model.jnt_dofadr[moving[name]]) if name in moving else 0 for name in things}
        self._free = {n: int(model.jnt_qposadr[j]) for n, j in moving.items() if things[n].moves == "free"}
        self._hinges = {n: int(model.jnt_qposadr[j]) for n, j in moving.items() if things[n].moves == "hinged"}
        # 1 for the left arm's geoms, -1 for the right one's, 0 for others; fingers may touch the table.
        roots = {model.body(f"{side}/base").id: sign for side, sign in zip(SIDES, (1, -1), strict=True)}
        self._arm_of_geom = np.array([roots.get(int(model.body_rootid[body]), 0) for body in model.geom_bodyid])
        fingers = ["finger" in model.body(body).name for body in model.geom_bodyid]
        self._is_finger = np.array(fingers)
        self._is_table = np.arange(model.ngeom) == model.geom("table").id
        self.segments = (*things, *ARM_SEGMENTS, TABLE_SEGMENT)
        segments = np.full(model.ngeom + 1, -1)
        for number, name in enumerate(things):
            segments[:-1][model.geom_bodyid == self._bodies[name]] = number
        for number, sign in enumerate((1, -1), start=len(things)):
            segments[:-1][self._arm_of_geom == sign] = number
        segments[:-1][self._is_table] = len(things) + 2
        self._segment_of_geom = segments
        self._snap_dofs = np.array([self._dofs[name] for name in self._hinges], dtype=int)
        self._snap_qpos = np.array(list(self._hinges.values()), dtype=int)
        self._placed = {n: int(model.body_mocapid[self._bodies[n]]) for n in things if things[n].moves == "placed"}
        arm = [f"{side}/fr3_joint{index}" for side in SIDES for index in range(1, 8)]
        arm_ids = [model.joint(name).id for name in arm]
        finger_ids = [model.joint(f"{side}/finger_joint{index}").id for side in SIDES for index in (1, 2)]
        self._arm_qpos, self._arm_qvel = model.jnt_qposadr[arm_ids], model.jnt_dofadr[arm_ids]
        self._finger_qpos = model.jnt_qposadr[finger_ids]
        self._tcp_sites = [model.site(f"{side}/tcp").id for side in SIDES]
        self._arm_ctrl = [model.actuator(name).id for name in arm]
        self._hand_ctrl = [model.actuator(f"{side}/hand").id for side in SIDES]
        self._max_velocity = self.robot.limit("velocity")
        grippers = [arm.gripper for arm in self.robot.arms]
        self._opening_min = np.array([gripper.opening_min for gripper in grippers])
        self._opening_max = np.array([gripper.opening_max for gripper in grippers])
        self._grip_step = np.array([gripper.speed for gripper in grippers]) * PHYSICS_DT
        self._ctrl_per_metre = model.actuator_ctrlrange[self._hand_ctrl, 1] / self._opening_max
