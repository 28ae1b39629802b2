"""The arms of any robot as a MuJoCo model: from its URDF on a bare table, or from a file with the whole cell."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.description import RobotDescription, RobotError
from clwm_common.robot.urdf_model import read_urdf
from clwm_sim.scenes.workcell import COLOURS, PHYSICS_DT, SIDES, looking

URDF = "urdf"  # the value of `simulated_as` that asks for the robot's own

_BANDWIDTH = 80.0  # rad/s of simulated drives, critically damped
_ARMATURE = 0.01  # kg m^2 or kg of a drive, without which small links are driven to pieces
_BASE_OFF = 1e-3  # m, and rad, that a base may stand elsewhere in the URDF
# Bits of what collides: neither an arm with itself nor its base with the table.
_ARM_BITS, _TABLE_BIT = (1, 2), 4
_OVERVIEW = (1.2, 0.0, 0.9)  # m of a made-up camera from the middle between the bases


def build_cell(robot: RobotDescription, image_size: int) -> mujoco.MjModel:
    """Joints are named as in the description, and each has an actuator of its name that is told positions.

    Cameras that the cell lacks are made up: those called left or right look along that arm's hand, others at the table.
    Raises RobotError: what the file lacks.
    """
    spec = _from_urdf(robot) if robot.simulated_as == URDF else _from_file(robot)
    _require_joints(spec, robot)
    spec.option.timestep = PHYSICS_DT
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.visual.quality.offsamples = 0
    spec.visual.global_.offwidth = spec.visual.global_.offheight = image_size
    _add_cameras(spec, robot)
    _add_drives(spec, robot)
    try:
        return spec.compile()
    except ValueError as error:
        raise RobotError(f"robot '{robot.name}' cannot be simulated: {' '.join(str(error).split())}") from None


def fingers_of(model: mujoco.MjModel, finger: str) -> dict[str, float]:
    """The joints that a hand's opening moves, and how far each goes when the one called `finger` goes 1 m.

    They are those that slide beside it, towards the other side where their range says so. Empty without that finger.
    """
    slides = [joint for joint in range(model.njnt) if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE]
    own = next((joint for joint in slides if model.joint(joint).name == finger), None)
    if own is None:
        return {}
    palm, middle = _palm(model, own), model.jnt_range.sum(axis=1)
    return {
        model.joint(joint).name: 1.0 if middle[joint] * middle[own] >= 0.0 else -1.0
        for joint in slides
        if _palm(model, joint) == palm
    }


def _palm(model: mujoco.MjModel, joint: int) -> int:
    return int(model.body_parentid[model.jnt_bodyid[joint]])


def _from_file(robot: RobotDescription) -> mujoco.MjSpec:
    path = robot.path_of("simulated_as")
    if not path.is_file():
        raise RobotError(f"simulated_as of robot '{robot.name}': {path} does not exist; name a model file of MuJoCo's")
    try:
        return mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        raise RobotError(f"simulated_as of robot '{robot.name}': {path}: {error}; mend that file") from None


def _from_urdf(robot: RobotDescription) -> mujoco.MjSpec:
    arms, spec = read_urdf(robot.urdf_path()), mujoco.MjSpec()
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse = [0.4] * 3, [0.5] * 3
    _add_table(spec, robot)
    names = {joint.name for joint in arms.joints}
    copies = [
        [name.removeprefix(f"{side}_") for name in arm.joint_names] for side, arm in zip(SIDES, robot.arms, strict=True)
    ]
    if copies[0] != copies[1] or not names.issuperset(copies[0]):
        _require_joints(arms, robot)
        _require_bases(arms, robot)
        _attach(spec, arms, robot, np.eye(4), "", None)
        return spec
    for side, arm in enumerate(robot.arms):
        copy = arms.copy()
        _attach(spec, copy, robot, arm.base @ np.linalg.inv(_base_pose(copy, robot)), f"{SIDES[side]}_", side)
    return spec


def _attach(
    spec: mujoco.MjSpec, arms: mujoco.MjSpec, robot: RobotDescription, pose: NDArray, prefix: str, side: int | None
) -> None:
    for joint in arms.joints:
        joint.armature, joint.damping = _ARMATURE, 0.1 * np.ones(3)
    for body in arms.bodies:
        body.gravcomp = 1.0
    for geom in arms.geoms:
        of = side if side is not None else _side_of(geom.parent, robot)
        moves = _carrier(geom.parent) is not None
        geom.rgba = COLOURS["arm" if moves else "floor"]
        geom.contype = _ARM_BITS[of] if moves and of is not None else 0
        geom.conaffinity = (_ARM_BITS[1 - of] | _TABLE_BIT) if moves and of is not None else 0
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, pose[:3, :3].ravel())
    for root in list(arms.worldbody.bodies):
        spec.worldbody.add_frame(pos=pose[:3, 3], quat=quaternion).attach_body(root, prefix, "")


def _side_of(body: mujoco.MjsBody, robot: RobotDescription) -> int | None:
    """Of which arm a body is, by the joint that carries it; None for what carries both."""
    while body is not None and body.name != "world":
        for side, arm in enumerate(robot.arms):
            if any(joint.name in arm.joint_names for joint in body.joints):
                return side
        body = body.parent
    return None


def _carrier(body: mujoco.MjsBody) -> mujoco.MjsJoint | None:
    while body is not None and body.name != "world":
        if body.joints:
            return body.joints[0]
        body = body.parent
    return None


def _base_pose(arms: mujoco.MjSpec, robot: RobotDescription, joint: str = "") -> NDArray[np.float64]:
    """Where an arm's base is in the root (4, 4): the link that carries `joint`, or else the description's base_link."""
    model = arms.copy().compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    body = model.body_parentid[model.jnt_bodyid[model.joint(joint).id]] if joint else None
    if body is None:
        body = model.body(robot.base_link).id if robot.base_link else 1
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = data.xmat[body].reshape(3, 3), data.xpos[body]
    return pose


def _require_bases(arms: mujoco.MjSpec, robot: RobotDescription) -> None:
    for side, arm in zip(SIDES, robot.arms, strict=True):
        off = np.abs(_base_pose(arms, robot, arm.joint_names[0]) - arm.base).max()
        if off > _BASE_OFF:
            raise RobotError(
                f"robot '{robot.name}': base_position and base_yaw of the {side} arm differ by {off:.3f} from the "
                "URDF, which has both arms and is what 'simulated_as: urdf' shows; correct one of them"
            )


def _require_joints(spec: mujoco.MjSpec, robot: RobotDescription) -> None:
    names = [joint.name for joint in spec.joints]
    if missing := [name for name in robot.joint_names if name not in names]:
        raise RobotError(
            f"robot '{robot.name}' names joint '{missing[0]}', which its simulation lacks; it has {', '.join(names)}: "
            "correct joint_names (of a URDF with one arm they begin with left_ and right_)"
        )


def _add_table(spec: mujoco.MjSpec, robot: RobotDescription) -> None:
    height = robot.safety.table_height if robot.safety else 0.0
    middle = np.mean([arm.base_position for arm in robot.arms], axis=0)
    spec.worldbody.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[1.5, 1.5, 0.02],
        pos=[middle[0], middle[1], height - 0.02],
        rgba=COLOURS["table"],
        contype=_TABLE_BIT,
        conaffinity=_ARM_BITS[0] | _ARM_BITS[1],
    )


def _add_cameras(spec: mujoco.MjSpec, robot: RobotDescription) -> None:
    known = {camera.name for camera in spec.cameras}
    for camera in robot.cameras:
        if camera in known:
            continue
        side = next((side for side in SIDES if camera.startswith(side)), None)
        if side is None:
            middle = np.mean([arm.base_position for arm in robot.arms], axis=0)
            place = middle + _OVERVIEW
            spec.worldbody.add_camera(
                name=camera, pos=place, quat=looking(middle + [0.3, 0.0, 0.1] - place, up=(0.0, 0.0, 1.0)), fovy=60.0
            )
            continue
        last = robot.arms[SIDES.index(side)].joint_names[-1]
        hand = next(joint.parent for joint in spec.joints if joint.name == last)
        hand.add_camera(
            name=camera, pos=[0.08, 0.0, 0.0], quat=looking((-0.3, 0.0, 1.0), up=(1.0, 0.0, 0.3)), fovy=66.0
        )


def _add_drives(spec: mujoco.MjSpec, robot: RobotDescription) -> None:
    """An actuator for every joint that has none, as strong as the drives' bandwidth takes at home."""
    model = spec.copy().compile()
    driven = {actuator.target for actuator in spec.actuators}
    fingers = [name for arm in robot.arms for name in fingers_of(model, arm.gripper.finger_joint)]
    wanted = [name for name in (*robot.joint_names, *fingers) if name not in driven]
    inertia = _inertia(model, robot)
    efforts = dict(
        zip(robot.joint_names, 2 * (robot.limits.effort or [0.0] * len(robot.left.joint_names)), strict=True)
    )
    for joint in [joint for joint in spec.joints if joint.name in wanted]:
        stiffness = inertia[joint.name] * _BANDWIDTH**2
        drive = spec.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        drive.biastype = mujoco.mjtBias.mjBIAS_AFFINE
        drive.gainprm[0] = stiffness
        drive.biasprm[:3] = [0.0, -stiffness, -2.0 * stiffness / _BANDWIDTH]
        joint.actfrclimited = mujoco.mjtLimited.mjLIMITED_FALSE
        if effort := efforts.get(joint.name):
            drive.forcelimited, drive.forcerange = mujoco.mjtLimited.mjLIMITED_TRUE, [-effort, effort]


def _inertia(model: mujoco.MjModel, robot: RobotDescription) -> dict[str, float]:
    """What each joint moves with the arms at home, kg m^2 or kg."""
    data = mujoco.MjData(model)
    for name, value in zip(robot.joint_names, robot.home[robot.channels], strict=True):
        data.joint(name).qpos = value
    mujoco.mj_forward(model, data)
    full = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, full, data.qM)
    return {
        model.joint(index).name: float(full[model.jnt_dofadr[index], model.jnt_dofadr[index]])
        for index in range(model.njnt)
    }
