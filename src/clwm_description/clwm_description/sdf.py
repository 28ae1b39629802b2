"""A stage as an SDF world: what lies on it, where, its masses, frictions, colours, lamps and cameras, without the arms.

Everything is read off the model that MuJoCo simulates, so that no number is written twice. The arms come from a URDF.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from clwm_description.bodies import Body, Shape, body_of, placed
from clwm_description.xml_writing import Element, add, document, numbers, roll_pitch_yaw
from clwm_sim.scenes.things import Hinge
from clwm_sim.stage import Stage

VERSION = "1.9"
CAMERA_RATE = 20.0  # pictures a second
POSE_RATE = 50.0  # of objects, Hz
# SDF looks along x with z up, MuJoCo along -z with y up.
CAMERA_AXES = np.array([[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
_FAR = 10.0  # m that a camera sees
_SYSTEMS = {
    "gz-sim-physics-system": "Physics",
    "gz-sim-user-commands-system": "UserCommands",
    "gz-sim-scene-broadcaster-system": "SceneBroadcaster",
    "gz-sim-sensors-system": "Sensors",
}


def scene_sdf(stage: Stage, name: str) -> str:
    """The SDF world called `name` of a stage as it is now; what is not there, or cannot be seen, is left out."""
    model, data = stage.compiled
    root = Element("sdf", version=VERSION)
    world = add(root, "world", name=name)
    _add_settings(world, model)
    for number in np.flatnonzero(model.light_active):
        _add_light(world, model, data, int(number))
    _add_surroundings(world, model)
    for number in np.flatnonzero(model.body_parentid == 0)[1:]:
        body = body_of(model, model.body(number).name)
        if body.shapes and (body.name not in stage.layout.things or stage.takes_part(body.name)):
            thing = stage.layout.things.get(body.name)
            _add_object(world, model, data, body, thing.hinge if thing is not None else None)
    for number in np.flatnonzero(model.cam_bodyid == 0):
        camera = add(world, "model", name=f"{model.camera(number).name}_camera")
        add(camera, "static", "true")
        add_pose(camera, placed(model.cam_pos[number], model.cam_quat[number]) @ CAMERA_AXES)
        add_camera(add(camera, "link", name="link"), model, int(number), stage.image_size, model.camera(number).name)
    return document(root)


def add_pose(parent: Element, placement: NDArray) -> None:
    """placement: (4, 4)."""
    add(parent, "pose", numbers([*placement[:3, 3], *roll_pitch_yaw(placement[:3, :3])]))


def add_camera(parent: Element, model: mujoco.MjModel, number: int, image_size: int, name: str) -> None:
    """The sensor of camera `number`, which publishes square pictures as `/cameras/<name>/image_raw`."""
    sensor = add(parent, "sensor", name=name, type="camera")
    add(sensor, "always_on", "true")
    add(sensor, "update_rate", CAMERA_RATE)
    add(sensor, "topic", f"/cameras/{name}/image_raw")
    camera = add(sensor, "camera", name=name)
    # Of a square picture the field of view is the same across and upwards.
    add(camera, "horizontal_fov", float(np.radians(model.cam_fovy[number])))
    image = add(camera, "image")
    add(image, "width", str(image_size))
    add(image, "height", str(image_size))
    add(image, "format", "R8G8B8")
    clip = add(camera, "clip")
    add(clip, "near", float(model.vis.map.znear * model.stat.extent))
    add(clip, "far", _FAR)


def _add_settings(world: Element, model: mujoco.MjModel) -> None:
    physics = add(world, "physics", name="step", type="ignored")
    add(physics, "max_step_size", float(model.opt.timestep))
    add(physics, "real_time_factor", 1.0)
    for file, system in _SYSTEMS.items():
        add(world, "plugin", filename=file, name=f"gz::sim::systems::{system}")
    add(world, "gravity", numbers(model.opt.gravity))
    scene = add(world, "scene")
    add(scene, "ambient", numbers([*model.vis.headlight.ambient, 1.0]))
    add(scene, "background", "0 0 0 1")
    add(scene, "shadows", str(bool(model.light_castshadow[np.flatnonzero(model.light_active)].any())).lower())


def _add_light(world: Element, model: mujoco.MjModel, data: mujoco.MjData, number: int) -> None:
    is_directional = model.light_type[number] == mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    light = add(world, "light", name=model.light(number).name, type="directional" if is_directional else "spot")
    add(light, "pose", numbers([*data.light_xpos[number], 0.0, 0.0, 0.0]))
    add(light, "cast_shadows", str(bool(model.light_castshadow[number])).lower())
    add(light, "diffuse", numbers([*model.light_diffuse[number], 1.0]))
    add(light, "specular", numbers([*model.light_specular[number], 1.0]))
    add(light, "direction", numbers(data.light_xdir[number]))
    constant, linear, quadratic = model.light_attenuation[number]
    attenuation = add(light, "attenuation")
    add(attenuation, "range", _FAR)
    add(attenuation, "constant", float(constant))
    add(attenuation, "linear", float(linear))
    add(attenuation, "quadratic", float(quadratic))
    if not is_directional:
        spot = add(light, "spot")
        add(spot, "inner_angle", 0.0)
        add(spot, "outer_angle", 2.0 * float(np.radians(model.light_cutoff[number])))
        add(spot, "falloff", float(model.light_exponent[number]))


def _add_surroundings(world: Element, model: mujoco.MjModel) -> None:
    """Table, floor and walls, each a model of its own that does not move."""
    for shape in body_of(model, "world").shapes:
        surrounding = add(world, "model", name=shape.name)
        add(surrounding, "static", "true")
        _add_shape(add(surrounding, "link", name="link"), shape)


def _add_object(world: Element, model: mujoco.MjModel, data: mujoco.MjData, body: Body, hinge: Hinge | None) -> None:
    number = model.body(body.name).id
    joint = int(model.body_jntadr[number])
    thing = add(world, "model", name=body.name)
    add(thing, "static", str(joint < 0).lower())
    add_pose(thing, placed(data.xpos[number], data.xquat[number]))
    link = add(thing, "link", name="link")
    if joint >= 0:
        _add_inertia(link, body)
        if hinge is not None:
            _add_hinge(thing, model, data, joint, hinge)
        _add_pose_publisher(thing)
    for shape in body.shapes:
        _add_shape(link, shape)


def _add_pose_publisher(thing: Element) -> None:
    """Its pose on a topic of its own: in a list of all poses the bridge to ROS loses their names."""
    plugin = add(thing, "plugin", filename="gz-sim-pose-publisher-system", name="gz::sim::systems::PosePublisher")
    add(plugin, "publish_model_pose", "true")
    add(plugin, "publish_link_pose", "false")
    add(plugin, "update_frequency", POSE_RATE)


def _add_inertia(link: Element, body: Body) -> None:
    inertial = add(link, "inertial")
    add(inertial, "pose", numbers([*body.centre, 0.0, 0.0, 0.0]))
    add(inertial, "mass", body.mass)
    inertia = add(inertial, "inertia")
    for row, column in zip(*np.triu_indices(3), strict=True):
        add(inertia, f"i{'xyz'[row]}{'xyz'[column]}", float(body.inertia[row, column]))


def _add_hinge(thing: Element, model: mujoco.MjModel, data: mujoco.MjData, number: int, hinge: Hinge) -> None:
    """A joint to the world, whose zero is where it stands now: SDF knows no other start."""
    angle = float(data.qpos[model.jnt_qposadr[number]])
    joint = add(thing, "joint", name="hinge", type="revolute")
    add(joint, "parent", "world")
    add(joint, "child", "link")
    axis = add(joint, "axis")
    add(axis, "xyz", numbers(model.jnt_axis[number]))
    limit = add(axis, "limit")
    lower, upper = model.jnt_range[number] - angle
    add(limit, "lower", float(lower))
    add(limit, "upper", float(upper))
    dynamics = add(axis, "dynamics")
    add(dynamics, "damping", float(model.dof_damping[model.jnt_dofadr[number]]))
    # A spring of negative stiffness: it pushes away from level, to the end that is nearer.
    add(dynamics, "spring_reference", -angle)
    add(dynamics, "spring_stiffness", -hinge.snap)


def _add_shape(link: Element, shape: Shape) -> None:
    parts = ["visual", "collision"] if shape.touches else ["visual"]
    for part in parts:
        # Also a visual and a collision must not have one name.
        element = add(link, part, name=f"{shape.name}_{part}")
        add_pose(element, shape.placement)
        _add_geometry(element, shape)
        if part == "visual":
            material = add(element, "material")
            for light in ("ambient", "diffuse"):
                add(material, light, numbers([*shape.colour, 1.0]))
            add(material, "specular", "0 0 0 1")
        else:
            ode = add(add(add(element, "surface"), "friction"), "ode")
            add(ode, "mu", shape.friction)
            add(ode, "mu2", shape.friction)


def _add_geometry(element: Element, shape: Shape) -> None:
    kind = add(add(element, "geometry"), shape.kind)
    radius, second, _ = shape.size
    match shape.kind:
        case "box":
            add(kind, "size", numbers(2.0 * np.asarray(shape.size)))
        case "sphere":
            add(kind, "radius", radius)
        case "ellipsoid":
            add(kind, "radii", numbers(shape.size))
        case "cylinder" | "capsule":
            add(kind, "radius", radius)
            add(kind, "length", 2.0 * second)
        case "mesh":
            raise ValueError(f"part '{shape.name}' is a mesh; a scene's objects are made of simple shapes")
