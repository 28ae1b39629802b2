"""A scene and two arms in Drake, commanded by JSON lines: run by the Python of an environment that has `drake`.

Imports nothing of this project. Each line on stdin is an order, each line on stdout its answer; whoever sends orders is
in process.py. Units: m, rad, kg, s; joints: all of the arms' in the order of `load`'s drives.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from typing import Any

import numpy as np
from pydrake.common.eigen_geometry import Quaternion
from pydrake.geometry import (
    AddCompliantHydroelasticProperties,
    AddContactMaterial,
    Box,
    ClippingRange,
    CollisionFilterDeclaration,
    ColorRenderCamera,
    Cylinder,
    GeometrySet,
    LightParameter,
    MakeRenderEngineVtk,
    ProximityProperties,
    RenderCameraCore,
    RenderEngineVtkParams,
    Rgba,
    Role,
    RoleAssign,
)
from pydrake.math import RigidTransform, RotationMatrix
from pydrake.multibody.parsing import Parser
from pydrake.multibody.plant import AddMultibodyPlant, CoulombFriction, MultibodyPlantConfig
from pydrake.multibody.tree import PdControllerGains, RevoluteJoint
from pydrake.systems.analysis import Simulator
from pydrake.systems.framework import DiagramBuilder
from pydrake.systems.sensors import CameraInfo

RENDERER = "vtk"
MODULUS, RESOLUTION = 1e7, 0.05  # Pa and m: boxes and cylinders give way a little, which makes their contact an area
DISSIPATION = 1.0  # s/m


class DrakeWorld:
    """One scene at a time."""

    def load(
        self, sdf: str, urdf: str, meshes: str, time_step: float, drives: list, friction: dict, lights: list
    ) -> dict[str, Any]:
        """Build scene and arms at rest where the drives' positions say; answers masses and axes of the arms.

        drives: for each joint name, stiffness, damping, effort, inertia of its motor, position, and whether its
        target's velocity is fed forward. friction: of the arms' links by name. lights: direction, colour and frame
        (`world` or `camera`) of each, all from afar.
        """
        builder = DiagramBuilder()
        config = MultibodyPlantConfig(
            time_step=time_step, discrete_contact_approximation="sap", contact_model="hydroelastic_with_fallback"
        )
        self._plant, self._scene_graph = AddMultibodyPlant(config, builder)
        plant, self._time_step = self._plant, time_step
        parser = Parser(plant)
        parser.package_map().Add("meshes", meshes)
        # Drake has no springs that push away: they are applied by hand.
        self._snaps = _snaps(sdf)
        without = re.sub(r"<spring_(reference|stiffness)>[^<]*</spring_\1>", "", sdf)
        self._objects = [
            instance
            for instance in parser.AddModelsFromString(without, "sdf")
            if plant.GetBodyIndices(instance) and not _is_welded(without, plant.GetModelInstanceName(instance))
        ]
        (self._arms,) = parser.AddModelsFromString(urdf, "urdf")
        plant.set_gravity_enabled(self._arms, False)
        for drive in drives:
            joint = plant.GetJointByName(drive["name"], self._arms)
            actuator = plant.AddJointActuator(drive["name"], joint, drive["effort"])
            actuator.set_default_rotor_inertia(drive["inertia"])
            actuator.set_default_gear_ratio(1.0)
            actuator.set_controller_gains(PdControllerGains(p=drive["stiffness"], d=drive["damping"]))
        self._soften(friction)
        self._ignore_contacts_within_arms()
        plant.Finalize()
        self._add_renderer(lights)
        self._simulator = Simulator(builder.Build())
        self._context = plant.GetMyMutableContextFromRoot(self._simulator.get_mutable_context())
        self._joints = [plant.GetJointByName(drive["name"], self._arms) for drive in drives]
        for joint, drive in zip(self._joints, drives, strict=True):
            plant.SetPositions(self._context, _with(plant.GetPositions(self._context), joint, drive["position"]))
        self._target = np.array([drive["position"] for drive in drives])
        self._is_fed_forward = np.array([drive["fed_forward"] for drive in drives])
        self._levers = {
            plant.GetModelInstanceName(instance): joint
            for instance in self._objects
            for index in plant.GetJointIndices(instance)
            if isinstance(joint := plant.get_joint(index), RevoluteJoint)
        }
        plant.get_actuation_input_port().FixValue(self._context, np.zeros(plant.num_actuators()))
        self._command(self._target, np.zeros(len(drives)))
        self._simulator.Initialize()
        return {"arms": self._masses_and_axes(), "state": self.state()}

    def advance(self, targets: list[list[float]]) -> dict[str, Any]:
        """One step for each of the targets (joints,) of the drives; answers the state after the last."""
        for target in targets:
            wanted = np.array(target)
            velocity = self._is_fed_forward * (wanted - self._target) / self._time_step
            self._target = wanted
            self._command(wanted, velocity)
            time = self._simulator.get_context().get_time()
            self._simulator.AdvanceTo(time + self._time_step)
        return self.state()

    def state(self) -> dict[str, Any]:
        """Poses (xyz and quaternion wxyz), speeds and angles of objects by name; positions, velocities of the drives'
        joints.
        """
        plant, context = self._plant, self._context
        objects = {}
        for instance in self._objects:
            (index, *_) = plant.GetBodyIndices(instance)
            body, name = plant.get_body(index), plant.GetModelInstanceName(instance)
            lever = self._levers.get(name)
            objects[name] = {
                "pose": _numbers(plant.EvalBodyPoseInWorld(context, body)),
                "speed": float(np.linalg.norm(plant.EvalBodySpatialVelocityInWorld(context, body).translational())),
                "angle": 0.0 if lever is None else lever.get_angle(context) + self._snaps[name][1],
            }
        positions, velocities = plant.GetPositions(context), plant.GetVelocities(context)
        frames = {
            frame.name(): _numbers(frame.CalcPoseInWorld(context))
            for frame in (plant.GetFrameByName(f"{side}_fr3_hand_tcp", self._arms) for side in ("left", "right"))
        }
        return {
            "objects": objects,
            "joints": [float(positions[joint.position_start()]) for joint in self._joints],
            "velocities": [float(velocities[joint.velocity_start()]) for joint in self._joints],
            "tools": frames,
        }

    def render(self, camera: str, fovy: float, size: int) -> dict[str, Any]:
        """A square RGB picture of one of the arms' or the cell's cameras; fovy in rad."""
        intrinsics = CameraInfo(width=size, height=size, fov_y=fovy)
        core = RenderCameraCore(RENDERER, intrinsics, ClippingRange(0.01, 10.0), RigidTransform())
        context = self._scene_graph.GetMyContextFromRoot(self._simulator.get_context())
        query = self._scene_graph.get_query_output_port().Eval(context)
        where = self._plant.GetFrameByName(f"{camera}_optical_frame", self._arms).CalcPoseInWorld(self._context)
        image = query.RenderColorImage(ColorRenderCamera(core), self._scene_graph.world_frame_id(), where)
        return {"size": size, "rgb": base64.b64encode(image.data[..., :3].tobytes()).decode()}

    def _command(self, target: np.ndarray, velocity: np.ndarray) -> None:
        port = self._plant.get_desired_state_input_port(self._arms)
        port.FixValue(self._context, np.concatenate([target, velocity]))
        forces = np.zeros(self._plant.num_velocities())
        for name, joint in self._levers.items():
            stiffness, start = self._snaps[name]
            forces[joint.velocity_start()] = stiffness * (joint.get_angle(self._context) + start)
        self._plant.get_applied_generalized_force_input_port().FixValue(self._context, forces)

    def _soften(self, friction: dict[str, float]) -> None:
        """Boxes and cylinders touch in areas, everything else in points; the arms' links get their friction."""
        plant, graph = self._plant, self._scene_graph
        inspector = graph.model_inspector()
        for geometry in inspector.GetAllGeometryIds(Role.kProximity):
            body = plant.GetBodyFromFrameId(inspector.GetFrameId(geometry))
            old = inspector.GetProximityProperties(geometry)
            new = ProximityProperties()
            if body.model_instance() == self._arms:
                value = friction.get(body.name(), 1.0)
                coulomb = CoulombFriction(value, value)
            else:
                coulomb = old.GetProperty("material", "coulomb_friction")
            AddContactMaterial(dissipation=DISSIPATION, friction=coulomb, properties=new)
            if isinstance(inspector.GetShape(geometry), Box | Cylinder):
                AddCompliantHydroelasticProperties(RESOLUTION, MODULUS, new)
            graph.AssignRole(plant.get_source_id(), geometry, new, RoleAssign.kReplace)

    def _ignore_contacts_within_arms(self) -> None:
        for side in ("left", "right"):
            bodies = [
                self._plant.get_body(index)
                for index in self._plant.GetBodyIndices(self._arms)
                if self._plant.get_body(index).name().startswith(f"{side}_")
            ]
            own = GeometrySet([g for body in bodies for g in self._plant.GetCollisionGeometriesForBody(body)])
            manager = self._scene_graph.collision_filter_manager()
            manager.Apply(CollisionFilterDeclaration().ExcludeWithin(own))

    def _add_renderer(self, lights: list[dict[str, Any]]) -> None:
        given = [
            LightParameter(
                type="directional", direction=each["direction"], color=Rgba(*each["colour"]), frame=each["frame"]
            )
            for each in lights
        ]
        parameters = RenderEngineVtkParams(backend="EGL", lights=given)
        self._scene_graph.AddRenderer(RENDERER, MakeRenderEngineVtk(parameters))

    def _masses_and_axes(self) -> dict[str, Any]:
        plant, context = self._plant, self._context
        masses = {plant.get_body(i).name(): plant.get_body(i).default_mass() for i in plant.GetBodyIndices(self._arms)}
        axes = {}
        for joint in self._joints:
            axis = joint.revolute_axis() if isinstance(joint, RevoluteJoint) else joint.translation_axis()
            frame = joint.frame_on_child().CalcPoseInWorld(context)
            axes[joint.name()] = (frame.rotation() @ axis).tolist() + frame.translation().tolist()
        return {"masses": masses, "axes": axes}


def _snaps(sdf: str) -> dict[str, tuple[float, float]]:
    """Of each model with a spring: Nm/rad away from level, and the angle rad at which its joint starts."""
    found = {}
    for model in re.findall(r"<model name=.*?</model>", sdf, re.DOTALL):
        if stiffness := re.search(r"<spring_stiffness>([^<]*)<", model):
            reference = re.search(r"<spring_reference>([^<]*)<", model)
            name = re.match(r'<model name="([^"]*)"', model)
            found[name.group(1)] = (-float(stiffness.group(1)), -float(reference.group(1)))
    return found


def _is_welded(sdf: str, name: str) -> bool:
    """Whether a model does not move. Models of a world are called `world::name`."""
    model = re.search(rf'<model name="{re.escape(name.rpartition("::")[2])}">\s*<static>(\w+)<', sdf)
    return model is None or model.group(1) == "true"


def _with(positions: np.ndarray, joint: Any, value: float) -> np.ndarray:
    positions[joint.position_start()] = value
    return positions


def _numbers(pose: RigidTransform) -> list[float]:
    quaternion: Quaternion = RotationMatrix(pose.rotation()).ToQuaternion()
    return [*pose.translation().tolist(), *quaternion.wxyz().tolist()]


def main() -> None:
    world = DrakeWorld()
    orders = {"load": world.load, "advance": world.advance, "render": world.render}
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = orders[order.pop("do")](**order)
        except (RuntimeError, ValueError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
