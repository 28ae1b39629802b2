"""Both arms with their hands and cameras as one URDF, with what ros2_control and Gazebo want to know of them.

Names, limits, bases and homes are those of config/robots; links, masses, meshes, hands and cameras those of the model
that MuJoCo simulates. Frames by REP 103 and 105: `world`, and for each camera `<camera>_camera_link`, which looks along
x, and `<camera>_optical_frame`, which looks along z.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.description import Arm, RobotDescription, RobotError
from clwm_common.robot.joint_chain import placement
from clwm_description.bodies import Body, Shape, body_of, placed
from clwm_description.hardware import Hardware, HardwareError, hardware_named
from clwm_description.sdf import CAMERA_AXES, add_camera
from clwm_description.xml_writing import Element, add, document, numbers, roll_pitch_yaw
from clwm_sim.scenes.workcell import HEAD_POSITION, HEAD_QUATERNION, SIDES, arm_model, mesh_directory

MESH_PACKAGE = "package://franky_sim/assets/meshes"
# From a camera that looks along x with z up to one that looks along z with y down.
_OPTICAL = placement(np.zeros(3), np.array([-np.pi / 2.0, 0.0, -np.pi / 2.0]))


@dataclass(frozen=True)
class Choices:
    """hardware: a name of `hardware.KINDS`, or empty without ros2_control. meshes: URI of their folder.

    robot_ips: of arms behind `franka`, left first. controllers: the YAML file that Gazebo's plug-in reads. image_size:
    px of the wrist cameras' pictures in Gazebo.
    """

    hardware: str = "mock"
    robot_ips: tuple[str, str] = ("172.16.0.2", "172.16.0.3")
    meshes: str = MESH_PACKAGE
    controllers: str = ""
    image_size: int = 128


def robot_urdf(robot: RobotDescription, choices: Choices = Choices()) -> str:
    """The URDF. Raises HardwareError, and RobotError for arms other than those that MuJoCo simulates."""
    hardware = hardware_named(choices.hardware) if choices.hardware else None
    if robot.simulated_as or robot.urdf_path().parent != mesh_directory().parent:
        raise RobotError(
            f"robot '{robot.name}' has other arms than two FR3, and a URDF already: use {robot.urdf_path()}"
        )
    model = arm_model(robot.tool)
    root = Element("robot", name=robot.name)
    add(root, "link", name="world")
    for side, arm, ip in zip(SIDES, robot.arms, choices.robot_ips, strict=True):
        writer = _ArmWriter(root, model, robot, arm, side, choices)
        writer.add_links()
        if hardware is not None:
            parameters = _parameters(robot, choices, side, ip)
            _add_control(root, writer, hardware, {**hardware.parameters, **parameters})
    _add_camera_frames(root, "world", "head", placed(HEAD_POSITION, HEAD_QUATERNION) @ CAMERA_AXES)
    if choices.hardware == "gazebo":
        plugin = add(
            add(root, "gazebo"),
            "plugin",
            filename="gz_ros2_control-system",
            name="gz_ros2_control::GazeboSimROS2ControlPlugin",
        )
        add(plugin, "parameters", choices.controllers)
    return document(root)


def link_name(body: str) -> str:
    """The URDF's name of a body of the simulated cell: `left_fr3_hand` of `left/hand`."""
    side, _, name = body.partition("/")
    return f"{side}_{name if name.startswith('fr3_') else f'fr3_{name}'}"


class _ArmWriter:
    """Writes the links and joints of one arm, in the order of MuJoCo's bodies."""

    def __init__(
        self, root: Element, model: mujoco.MjModel, robot: RobotDescription, arm: Arm, side: str, choices: Choices
    ) -> None:
        self._root, self._model, self._robot, self._choices = root, model, robot, choices
        self.arm, self.side = arm, side
        own = [model.joint(number).name for number in range(model.njnt)]
        self.fingers = arm.gripper.finger_joint, _other(arm.gripper.finger_joint)
        self._names: Mapping[str, str] = dict(zip(own, [*arm.joint_names, *self.fingers], strict=True))

    def link(self, body: str) -> str:
        return link_name(f"{self.side}/{body}")

    def add_links(self) -> None:
        """All links from `world` on, the tool centre point and the wrist camera's frames."""
        arm = self.arm
        self._add_link(body_of(self._model, "fr3_link0"))
        base = arm.base
        _add_fixed(self._root, "world", self.link("fr3_link0"), base)
        for number in range(self._model.body("fr3_link0").id + 1, self._model.nbody):
            body = body_of(self._model, self._model.body(number).name)
            self._add_link(body)
            parent = self.link(self._model.body(self._model.body_parentid[number]).name)
            where = placed(self._model.body_pos[number], self._model.body_quat[number])
            if self._model.body_jntnum[number]:
                self._add_joint(int(self._model.body_jntadr[number]), parent, self.link(body.name), where)
            else:
                _add_fixed(self._root, parent, self.link(body.name), where)
        site = self._model.site("tcp")
        add(self._root, "link", name=self.link("hand_tcp"))
        _add_fixed(self._root, self.link("hand"), self.link("hand_tcp"), placed(site.pos, site.quat))
        self._add_wrist_camera()

    def _add_link(self, body: Body) -> None:
        link = add(self._root, "link", name=self.link(body.name))
        # MuJoCo has no mass for what cannot move; others want one.
        _add_inertia(link, body if body.mass > 0.0 else _fixed_body(body, self._robot))
        for shape in body.shapes:
            for part in ("visual", "collision"):
                element = add(link, part, name=f"{self.link(body.name)}_{shape.name}_{part}")
                _add_origin(element, shape.placement)
                self._add_geometry(element, shape)
                if part == "visual":
                    material = add(element, "material", name="finger" if "finger" in body.name else "arm")
                    add(material, "color", rgba=numbers([*shape.colour, 1.0]))
        if self._choices.hardware == "gazebo":
            extra = add(self._root, "gazebo", reference=self.link(body.name))
            add(extra, "gravity", "false")  # the arms bear their own weight, as real ones do
            for name in ("mu1", "mu2"):
                add(extra, name, body.shapes[0].friction)

    def _add_geometry(self, element: Element, shape: Shape) -> None:
        geometry = add(element, "geometry")
        if shape.mesh is not None:
            add(geometry, "mesh", filename=f"{self._choices.meshes}/{shape.mesh}")
        elif shape.kind == "box":
            add(geometry, "box", size=numbers(2.0 * np.asarray(shape.size)))
        else:
            raise RobotError(f"part '{shape.name}' of the simulated arm is a {shape.kind}; expected boxes and meshes")

    def _add_joint(self, number: int, parent: str, child: str, where: NDArray) -> None:
        model, limits, gripper = self._model, self._robot.limits, self.arm.gripper
        name = self._names[model.joint(number).name]
        is_finger = name in self.fingers
        joint = add(self._root, "joint", name=name, type="prismatic" if is_finger else "revolute")
        add(joint, "parent", link=parent)
        add(joint, "child", link=child)
        _add_origin(joint, where)
        add(joint, "axis", xyz=numbers(model.jnt_axis[number]))
        if is_finger:
            hand = model.actuator("hand").id
            # Half the opening each; the tendon pulls at both with half of its force.
            lower, upper, velocity = gripper.opening_min / 2.0, gripper.opening_max / 2.0, gripper.speed / 2.0
            effort = model.actuator_forcerange[hand, 1] / 2.0
        else:
            index = self.arm.joint_names.index(name)
            lower, upper = limits.position_lower[index], limits.position_upper[index]
            velocity, effort = limits.velocity[index], model.jnt_actfrcrange[number, 1]
        add(joint, "limit", lower=lower, upper=upper, velocity=velocity, effort=float(effort))
        dof = model.jnt_dofadr[number]
        friction = float(model.dof_frictionloss[dof])
        add(joint, "dynamics", damping=float(model.dof_damping[dof]), friction=friction)
        if name == self.fingers[1]:
            add(joint, "mimic", joint=self.fingers[0], multiplier=1.0, offset=0.0)

    def _add_wrist_camera(self) -> None:
        camera = self._model.camera("wrist").id
        name = f"{self.side}_wrist"
        where = placed(self._model.cam_pos[camera], self._model.cam_quat[camera]) @ CAMERA_AXES
        _add_camera_frames(self._root, self.link("hand"), name, where)
        if self._choices.hardware == "gazebo":
            extra = add(self._root, "gazebo", reference=f"{name}_camera_link")
            add_camera(extra, self._model, camera, self._choices.image_size, name)


def _parameters(robot: RobotDescription, choices: Choices, side: str, ip: str) -> dict[str, str]:
    """Of an arm's system, beside those that both have. Raises HardwareError."""
    if choices.hardware == "franka":
        return {"prefix": f"{side}_", "arm_prefix": f"{side}_", "robot_ip": ip}
    if choices.hardware != "topic_based":
        return {}
    if robot.joint_interface is None:
        text = f"robot '{robot.name}' has no joint_interface, which hardware 'topic_based' is driven by"
        raise HardwareError(f"{text}; name its topics as dual_fr3_ros2_control does")
    topics = robot.joint_interface
    return {"joint_commands_topic": topics.commands, "joint_states_topic": topics.states}


def _add_control(root: Element, writer: _ArmWriter, hardware: Hardware, parameters: Mapping[str, str]) -> None:
    """The arm's system, with its hand where that belongs to ros2_control."""
    arm, side = writer.arm, writer.side
    system = add(root, "ros2_control", name=f"{side}_arm", type="system")
    plugin = add(system, "hardware")
    add(plugin, "plugin", hardware.plugin)
    for name, value in parameters.items():
        add(plugin, "param", value, name=name)
    for name, start in zip(arm.joint_names, arm.home, strict=True):
        _add_interfaces(system, name, hardware.commands, start)
    if hardware.has_hands:
        opened = arm.gripper.opening_max / 2.0
        _add_interfaces(system, writer.fingers[0], ("position",), opened)
        if hardware.has_followers:
            _add_interfaces(system, writer.fingers[1], (), opened)


def _add_interfaces(system: Element, name: str, commands: tuple[str, ...], start: float) -> None:
    joint = add(system, "joint", name=name)
    for command in commands:
        add(joint, "command_interface", name=command)
    add(add(joint, "state_interface", name="position"), "param", float(start), name="initial_value")
    add(joint, "state_interface", name="velocity")
    if "effort" in commands:
        add(joint, "state_interface", name="effort")


def _add_inertia(link: Element, body: Body) -> None:
    inertial = add(link, "inertial")
    add(inertial, "origin", xyz=numbers(body.centre), rpy="0 0 0")
    add(inertial, "mass", value=body.mass)
    entries = zip(*np.triu_indices(3), strict=True)
    add(inertial, "inertia", **{f"i{'xyz'[i]}{'xyz'[j]}": float(body.inertia[i, j]) for i, j in entries})


def _fixed_body(body: Body, robot: RobotDescription) -> Body:
    """The same body with the inertia that the robot's own URDF has for its first link with one."""
    found = ElementTree.parse(robot.urdf_path()).getroot().find("link/inertial")
    if found is None:
        raise RobotError(f"urdf '{robot.urdf}' of robot '{robot.name}' has no link with an inertia; name another one")
    entries = found.find("inertia").attrib
    inertia = np.array([[float(entries["i" + "".join(sorted(i + j))]) for j in "xyz"] for i in "xyz"])
    centre = np.array(found.find("origin").get("xyz").split(), dtype=np.float64)
    return Body(body.name, float(found.find("mass").get("value")), centre, inertia, body.shapes)


def _add_camera_frames(root: Element, parent: str, camera: str, where: NDArray) -> None:
    link, optical = f"{camera}_camera_link", f"{camera}_optical_frame"
    add(root, "link", name=link)
    _add_fixed(root, parent, link, where)
    add(root, "link", name=optical)
    _add_fixed(root, link, optical, _OPTICAL)


def _add_fixed(root: Element, parent: str, child: str, where: NDArray) -> None:
    joint = add(root, "joint", name=f"{child}_joint", type="fixed")
    add(joint, "parent", link=parent)
    add(joint, "child", link=child)
    _add_origin(joint, where)


def _add_origin(parent: Element, where: NDArray) -> None:
    add(parent, "origin", xyz=numbers(where[:3, 3]), rpy=numbers(roll_pitch_yaw(where[:3, :3])))


def _other(finger_joint: str) -> str:
    """The second finger's joint: the first one's name with another number."""
    return f"{finger_joint[:-1]}2" if finger_joint.endswith("1") else f"{finger_joint}_2"
