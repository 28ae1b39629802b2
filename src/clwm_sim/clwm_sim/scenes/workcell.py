"""The table, two FR3 arms, cameras and a lamp, with whatever lies on the table, as one MuJoCo model.

World frame: x forward from the arms, y to the left, z up; the table top is z = 0. Lengths in m, masses in kg.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np

from clwm_common.robot.description import RobotDescription, RobotError, Tool
from clwm_sim.looks.dressing import add_slots

SIDES = ("left", "right")
PHYSICS_DT = 0.0025
SHADOW_SIZE = 256  # px for 2 m, 8 mm each; 1024 would take three times the time

COLOURS = {
    "table": (0.62, 0.60, 0.57, 1.0),
    "floor": (0.25, 0.26, 0.28, 1.0),
    "arm": (0.90, 0.91, 0.93, 1.0),
    "finger": (0.22, 0.22, 0.24, 1.0),
}

# The head camera faces the arms from the far side of the table, where they do not hide the objects.
HEAD_POSITION = (1.02, 0.0, 0.76)
HEAD_TARGET = (0.465, 0.0, 0.03)
# Wrist cameras sit behind the fingers and look forward and down: past the fingertips at the work, also from home.
WRIST_POSITION = (-0.075, 0.0, 0.02)  # in the hand's frame
WRIST_DIRECTION = (0.423, 0.0, 0.906)
WRIST_FOVY = 66.0


def build_model(
    robot: RobotDescription, image_size: int, add_objects: Callable[[mujoco.MjSpec], None], head_fovy: float
) -> mujoco.MjModel:
    """Compile a table with two arms based as `robot` says, with an off-screen buffer of image_size x image_size.

    add_objects: adds what lies on the table. head_fovy: field of view of the head camera, deg.
    Raises RobotError when franky-sim's assets are not installed.
    """
    spec = mujoco.MjSpec()
    spec.option.timestep = PHYSICS_DT
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    spec.visual.quality.offsamples = 0
    spec.visual.quality.shadowsize = SHADOW_SIZE
    spec.visual.quality.numslices, spec.visual.quality.numstacks = 16, 8  # round things are a few pixels wide
    spec.visual.global_.offwidth = image_size
    spec.visual.global_.offheight = image_size
    spec.visual.headlight.ambient = [0.35, 0.35, 0.35]
    spec.visual.headlight.diffuse = [0.30, 0.30, 0.30]
    spec.visual.headlight.specular = [0.0, 0.0, 0.0]
    spec.stat.extent = 1.0
    spec.visual.map.znear = 0.01
    _add_surroundings(spec.worldbody, head_fovy)
    add_objects(spec)
    for side, arm in zip(SIDES, robot.arms, strict=True):
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, arm.base[:3, :3].ravel())
        frame = spec.worldbody.add_frame(pos=list(arm.base_position), quat=quaternion)
        frame.attach_body(_arm_spec(robot.tool).body("base"), f"{side}/", "")
    add_slots(spec)
    return spec.compile()


def arm_model(tool: Tool) -> mujoco.MjModel:
    """One arm alone at the origin with a `tcp` site: for inverse kinematics."""
    return _arm_spec(tool).compile()


def mesh_directory() -> Path:
    """Where the arms' meshes are on this machine. Raises RobotError when franky-sim's assets are not installed."""
    assets = Path(str(importlib.resources.files("franky_sim"))) / "assets"
    if not (assets / "fr3.xml").exists():
        raise RobotError(f"{assets / 'fr3.xml'} does not exist; install franky-sim, which ships the FR3's meshes")
    return assets / "meshes"


def _arm_spec(tool: Tool) -> mujoco.MjSpec:
    meshes = mesh_directory()
    spec = mujoco.MjSpec.from_file(str(meshes.with_name("fr3.xml")))
    spec.meshdir = str(meshes)
    for key in list(spec.keys):
        spec.delete(key)
    for geom in list(spec.geoms):
        # Visual meshes cost twenty times the drawing time of the collision meshes.
        if geom.group == 2:
            spec.delete(geom)
    used = {geom.meshname for geom in spec.geoms}
    for mesh in list(spec.meshes):
        if mesh.name not in used:
            spec.delete(mesh)
    for body in spec.bodies:
        body.gravcomp = 1.0
    for geom in spec.geoms:
        on_finger = "finger" in geom.parent.name
        geom.rgba = COLOURS["finger" if on_finger else "arm"]
        if on_finger:
            geom.friction = [1.0, 0.01, 0.0001]
            geom.condim = 4
    for finger in ("finger_joint1", "finger_joint2"):
        spec.joint(finger).frictionloss = 0.1
    # The stock hand squeezes with about 1 N; these gains hold what the tasks ask for.
    hand = spec.actuator("hand")
    hand.gainprm[0] *= 20.0
    hand.biasprm[1] *= 20.0
    hand.biasprm[2] *= 10.0
    wrist = spec.body("hand")
    wrist.add_site(name="tcp", pos=[0.0, 0.0, tool.centre])
    wrist.add_camera(
        name="wrist",
        pos=list(WRIST_POSITION),
        quat=looking(WRIST_DIRECTION, up=(0.906, 0.0, -0.423)),
        fovy=WRIST_FOVY,
    )
    return spec


def _add_surroundings(world: mujoco.MjsBody, head_fovy: float) -> None:
    world.add_light(
        name="lamp",
        pos=[0.5, 0.4, 2.0],
        dir=[0.0, -0.2, -1.0],
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        diffuse=[0.45, 0.45, 0.45],
        specular=[0.0, 0.0, 0.0],
        castshadow=False,
    )
    world.add_camera(name="head", pos=list(HEAD_POSITION), quat=HEAD_QUATERNION, fovy=head_fovy)
    box = mujoco.mjtGeom.mjGEOM_BOX
    world.add_geom(
        name="table", type=box, size=[0.6, 0.9, 0.02], pos=[0.4, 0.0, -0.02], rgba=COLOURS["table"], condim=4
    )
    world.add_geom(
        name="floor",
        type=box,
        size=[3.0, 3.0, 0.02],
        pos=[0.4, 0.0, -0.8],
        rgba=COLOURS["floor"],
        contype=0,
        conaffinity=0,
    )


def looking(direction: object, up: object) -> list[float]:
    """Quaternion wxyz of a MuJoCo camera (x right, y up, looking along -z) that looks along `direction`."""
    back = -np.asarray(direction, dtype=np.float64)
    back /= np.linalg.norm(back)
    right = np.cross(np.asarray(up, dtype=np.float64), back)
    right /= np.linalg.norm(right)
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, np.column_stack([right, np.cross(back, right), back]).ravel())
    return quaternion.tolist()


HEAD_QUATERNION = looking(np.subtract(HEAD_TARGET, HEAD_POSITION), up=(0.0, 0.0, 1.0))  # wxyz
