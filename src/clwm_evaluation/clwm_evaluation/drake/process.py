"""Drake in a process of its own environment, and what it is told of a scene and the arms."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from clwm_description.bodies import body_of
from clwm_description.sdf import scene_sdf
from clwm_description.urdf import Choices, link_name, robot_urdf
from clwm_evaluation.simulator_process import SimulatorProcess, probed
from clwm_sim.scenes.workcell import SIDES, mesh_directory
from clwm_sim.stage import Stage

_SCRIPT = Path(__file__).with_name("drake_world.py")
_PROBE = "import pydrake, importlib.metadata; print(importlib.metadata.version('drake'))"
_STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


class DrakeError(RuntimeError):
    """Drake cannot be started, or refuses an order; the message says why."""


class DrakeProcess:
    """One world at a time, commanded by orders; to be closed.

    version: of Drake, and a hash of what tells it what to do: what both are, results depend on.
    """

    def __init__(self, python: str) -> None:
        """python: of an environment in which `pip install drake` was done. Raises DrakeError when it has no Drake."""
        self._folder = tempfile.TemporaryDirectory(prefix="clwm_drake_")
        _write_meshes(Path(self._folder.name))
        remedy = "make an environment with `python -m venv E && E/bin/pip install drake`"
        found = probed(python, "Drake", _PROBE, DrakeError, remedy)
        told = [_SCRIPT.with_name(name).read_bytes() for name in (_SCRIPT.name, "process.py", "stage.py")]
        self.version = f"Drake {found}, told by {hashlib.sha256(b''.join(told)).hexdigest()[:8]}"
        self._process = SimulatorProcess("Drake", python, _SCRIPT, Path(self._folder.name) / "drake.log", DrakeError)

    def load(self, stage: Stage, time_step: float) -> dict[str, Any]:
        """Build the scene of a stage, with the arms where they are told to be; answers as drake_world.py does."""
        robot = stage.robot
        urdf = robot_urdf(robot, Choices(meshes="package://meshes")).replace(".stl", ".obj")
        return self._process.order(
            "load",
            sdf=scene_sdf(stage, "clwm"),
            urdf=urdf,
            meshes=self._folder.name,
            time_step=time_step,
            drives=drives(stage),
            friction=_frictions(stage),
            lights=_lights(stage),
        )

    def advance(self, targets: NDArray[np.float64]) -> dict[str, Any]:
        """One step for each of the targets (n, drives); the state after the last."""
        return self._process.order("advance", targets=targets.tolist())

    def render(self, camera: str, fovy: float, size: int) -> NDArray[np.uint8]:
        """RGB (size, size, 3) of a camera, which is where the URDF says; fovy in rad."""
        answer = self._process.order("render", camera=camera, fovy=fovy, size=size)
        return np.frombuffer(base64.b64decode(answer["rgb"]), np.uint8).reshape(size, size, 3)

    def close(self) -> None:
        """End the process."""
        self._process.close()
        self._folder.cleanup()


def drives(stage: Stage) -> list[dict[str, Any]]:
    """The drives of both arms' joints and fingers as MuJoCo has them, at where they are told to be."""
    model, _ = stage.compiled
    positions, widths = stage.setpoint()
    found = []
    for side, arm, own, width in zip(SIDES, stage.robot.arms, np.split(positions, 2), widths, strict=True):
        for number, (name, position) in enumerate(zip(arm.joint_names, own, strict=True), start=1):
            actuator, joint = (
                model.actuator(f"{side}/fr3_joint{number}").id,
                model.joint(f"{side}/fr3_joint{number}").id,
            )
            found.append(
                {
                    "name": name,
                    "stiffness": float(model.actuator_gainprm[actuator, 0]),
                    "damping": float(-model.actuator_biasprm[actuator, 2]),
                    "effort": float(model.jnt_actfrcrange[joint, 1]),
                    "inertia": float(model.dof_armature[model.jnt_dofadr[joint]]),
                    "position": float(position),
                    "fed_forward": True,
                }
            )
        first = arm.gripper.finger_joint
        for number, name in ((1, first), (2, f"{first[:-1]}2")):
            found.append(_finger(model, side, number, name, width))
    return found


def _finger(model: mujoco.MjModel, side: str, number: int, name: str, width: float) -> dict[str, Any]:
    """A tendon over both fingers, half of each, pulls with the hand's force: half of it, for half of the way, each."""
    hand, joint = model.actuator(f"{side}/hand").id, model.joint(f"{side}/finger_joint{number}").id
    return {
        "name": name,
        "stiffness": float(-model.actuator_biasprm[hand, 1] / 2.0),
        "damping": float(-model.actuator_biasprm[hand, 2] / 2.0),
        "effort": float(model.actuator_forcerange[hand, 1] / 2.0),
        "inertia": float(model.dof_armature[model.jnt_dofadr[joint]]),
        "position": float(width / 2.0),
        "fed_forward": False,
    }


def targets(positions: NDArray[np.float64], widths: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the drives are told for joints (14,) and openings (2,): (18,)."""
    (left, right), halves = np.split(positions, 2), np.asarray(widths) / 2.0
    return np.concatenate([left, [halves[0]] * 2, right, [halves[1]] * 2])


def _frictions(stage: Stage) -> dict[str, float]:
    """Of the arms' links, by the URDF's names."""
    model, _ = stage.compiled
    found = {}
    for number in range(model.nbody):
        name = model.body(number).name
        shapes = body_of(model, name).shapes if name.startswith(SIDES) else ()
        if shapes:
            found[link_name(name)] = shapes[0].friction
    return found


def _lights(stage: Stage) -> list[dict[str, Any]]:
    """Those that shine from afar, the one at the camera, and the light from everywhere as one along each axis."""
    model, data = stage.compiled
    head = model.vis.headlight
    lights = [
        {
            "direction": data.light_xdir[number].tolist(),
            "colour": model.light_diffuse[number].tolist(),
            "frame": "world",
        }
        for number in np.flatnonzero(model.light_active)
    ]
    lights.append({"direction": [0.0, 0.0, 1.0], "colour": head.diffuse.tolist(), "frame": "camera"})
    # Exact for what faces an axis, as table, blocks and pads do; what faces two is lit by both.
    ambient = head.ambient.tolist()
    return lights + [
        {"direction": axis.tolist(), "colour": ambient, "frame": "world"} for axis in (*np.eye(3), *-np.eye(3))
    ]


def _write_meshes(folder: Path) -> None:
    """The arms' meshes in the one form that Drake reads."""
    for path in mesh_directory().iterdir():
        if path.suffix == ".obj":
            (folder / path.name).write_bytes(path.read_bytes())
        elif path.suffix == ".stl":
            triangles = np.frombuffer(path.read_bytes(), _STL_TRIANGLE, offset=84)
            # Flat triangles, each with its own normal, as MuJoCo draws them.
            corners = triangles["corners"].reshape(-1, 3)
            lines = [f"v {x:.7g} {y:.7g} {z:.7g}" for x, y, z in corners]
            lines += [f"vn {x:.5g} {y:.5g} {z:.5g}" for x, y, z in triangles["normal"]]
            places = 3 * np.arange(len(triangles)) + 1
            lines += [f"f {v}//{n} {v + 1}//{n} {v + 2}//{n}" for n, v in enumerate(places, start=1)]
            (folder / path.with_suffix(".obj").name).write_text("\n".join(lines) + "\n")
