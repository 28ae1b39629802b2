"""A robot's URDF as a model of MuJoCo's: the shapes and masses of its links. Imports MuJoCo, unlike its neighbours."""

from __future__ import annotations

import os
import re
from pathlib import Path

import mujoco

from clwm_common.robot.description import RobotError

MESH_TYPES = (".stl", ".obj", ".msh")  # that MuJoCo reads


def read_urdf(path: Path) -> mujoco.MjSpec:
    """Links as bodies of their names, collision shapes as geoms; meshes are found wherever the URDF names them.

    Of a link without mass or inertia they are made up, little ones. Raises RobotError: what is wrong with the file.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise RobotError(f"URDF {path} cannot be read: {error}; correct 'urdf'") from None
    text = re.sub(r'(<mesh[^>]*filename=")([^"]+)(")', lambda it: it[1] + str(_mesh(it[2], path)) + it[3], _bare(text))
    text = re.sub(
        r"(<robot[^>]*>)",
        r'\1<mujoco><compiler strippath="false" fusestatic="false" discardvisual="true" balanceinertia="true" '
        r'boundmass="0.001" boundinertia="0.000001"/></mujoco>',
        text,
        count=1,
    )
    try:
        spec = mujoco.MjSpec.from_string(text)
        spec.copy().compile()
    except ValueError as error:
        raise RobotError(
            f"URDF {path}: MuJoCo cannot read it: {' '.join(str(error).split())}; mend that element"
        ) from None
    return spec


def _bare(text: str) -> str:
    """Without what only looks: a mesh that nothing collides with need not be there."""
    return re.sub(r"<visual.*?</visual\s*>", "", re.sub(r"<!--.*?-->", "", text, flags=re.S), flags=re.S)


def _mesh(name: str, urdf: Path) -> Path:
    if name.startswith("package://"):
        package, _, inside = name.removeprefix("package://").partition("/")
        shares = [
            Path(it) / "share" / package for it in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if it
        ]
        above = [folder / package for folder in urdf.resolve().parents] + [
            folder for folder in urdf.resolve().parents if folder.name == package
        ]
        places = [folder / inside for folder in (*shares, *above)]
        remedy = f"source the workspace that has '{package}', or put its folder beside the URDF or above it"
    else:
        places = [urdf.parent / name.removeprefix("file://")]
        remedy = "put it there, or correct its filename"
    found = next((place.resolve() for place in places if place.is_file()), None)
    if found is None:
        raise RobotError(f"URDF {urdf}: mesh '{name}' is not found; {remedy}")
    if found.suffix.lower() not in MESH_TYPES:
        raise RobotError(
            f"URDF {urdf}: mesh '{name}' is {found.suffix or 'of no type'}; expected {', '.join(MESH_TYPES)} for a "
            "collision shape: convert it, and name the new file"
        )
    return found
