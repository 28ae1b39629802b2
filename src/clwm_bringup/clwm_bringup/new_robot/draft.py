"""Arms of a URDF -> the text of a robot description, and what a person must still say."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import yaml
from numpy.typing import NDArray

from clwm_bringup.new_robot.arms import ArmFound
from clwm_bringup.new_robot.capsules import containing_capsule

Array = NDArray[np.float64]

ACCELERATION_TIME = 0.5  # s to full speed: where a URDF has no acceleration, so little that most arms can do it
JERK_TIME = 0.01  # s to full acceleration
_APART = 0.3  # m of a base from the middle, where only one arm is known
_FINGERTIP = 0.01  # m that the tool centre point is behind the farthest point of the hand
_SIDES = ("left", "right")


@dataclass(frozen=True)
class Draft:
    """text: a whole description in YAML. to_fill: what it leaves to a person, a sentence each, field first."""

    text: str
    to_fill: tuple[str, ...]


def draft(name: str, urdf: str, arms: Sequence[ArmFound], shapes: dict[str, list[Array]]) -> Draft:
    """urdf: as the description is to name the file. arms: left and right, or one of which the robot has two.

    shapes: points (n, 3) of the left arm's by link.
    """
    left, twice = arms[0], len(arms) == 1
    limits, limits_to_fill = _limits(arms)
    capsules = [(link, *containing_capsule(points)) for link, parts in shapes.items() for points in parts]
    bases = _bases(arms)
    workspace = _workspace(left, bases)
    home = [float(np.clip(0.0, low, high)) for low, high in zip(*_range(arms), strict=True)]
    centre = _tool_centre(shapes.get("hand", []))
    to_fill = [
        f"home: {_list(home)} is zero, or the limit next to it; give the posture [rad] that work begins from",
        *limits_to_fill,
        f"tool: hand_yaw and centre ({centre:g} m) are guesses; z of the flange '{left.flange}' must leave the hand",
        "base_position, base_yaw: measure where the bases stand, x forward, y left, z up, table top at z = 0"
        if twice
        else "base_position, base_roll, base_pitch, base_yaw: from the URDF; its z = 0 must be the table top",
        "controller: topics are those of a controller called left_arm_controller and right_arm_controller",
        "gripper: opening range, speed and who takes the command"
        + ("" if left.finger else "; the URDF has no sliding finger joint, so its name is made up, too"),
        "workspace_lower, workspace_upper: the box where the tools may be; written is all that the arms reach",
        "cameras: names and order are those of the shipped policy",
        "driver: clwm_sim moves a simulation made of the URDF; external, and no simulated_as, for the real arms",
    ]
    if capsules:
        to_fill.append(
            f"capsules: {len(capsules)}, one for each collision shape; look at them with cables and hoses on"
        )
    else:
        to_fill.append("safety: the URDF has no collision shapes, so nothing keeps the arms apart; give capsules")
    head = [
        f"# {name}: drafted by `clwm new-robot` from a URDF. TO FILL marks guesses: a person must look at them.",
        f"name: {_word(name)}",
        "driver: clwm_sim  # TO FILL: external for real arms",
        "simulated_as: urdf",
        f"urdf: {_word(urdf)}",
        *([] if left.base == _root(left) else [f"base_link: {_word(left.base)}"]),
        "eef_frame: tool",
        f"tool: {{flange: {_word(left.flange)}, hand_yaw: 0.0, centre: {_number(centre)}}}  # TO FILL: rad, m",
        "limits:",
        *limits,
    ]
    safety = _safety(capsules, workspace) if capsules else []
    sides = [line for index in (0, 1) for line in _arm(index, arms, bases[index], home, twice)]
    text = "\n".join([*head, *safety, *sides, "cameras: [head, left_wrist, right_wrist]  # TO FILL", ""])
    return Draft(text, tuple(to_fill))


def _root(arm: ArmFound) -> str:
    return arm.base if np.array_equal(arm.base_pose, np.eye(4)) else ""


def _range(arms: Sequence[ArmFound]) -> tuple[Array, Array]:
    lower = np.array([[joint.lower for joint in arm.joints] for arm in arms]).max(axis=0)
    return lower, np.array([[joint.upper for joint in arm.joints] for arm in arms]).min(axis=0)


def _limits(arms: Sequence[ArmFound]) -> tuple[list[str], list[str]]:
    """Lines of YAML, and what is not from the URDF. Where the arms' limits differ, the narrower ones."""
    lower, upper = _range(arms)
    velocity = np.array([[joint.velocity for joint in arm.joints] for arm in arms]).min(axis=0)
    lines = [
        f"  position_lower: {_list(lower)}  # rad",
        f"  position_upper: {_list(upper)}  # rad",
        f"  velocity: {_list(velocity)}  # rad/s",
    ]
    to_fill = []
    before, unit = velocity, "rad/s^2"
    for name, seconds in (("acceleration", ACCELERATION_TIME), ("jerk", JERK_TIME)):
        known = [[getattr(joint, name) for joint in arm.joints] for arm in arms]
        guess = before / seconds
        before = np.array([[value or other for value, other in zip(arm, guess, strict=True)] for arm in known]).min(
            axis=0
        )
        is_guess = not all(value for arm in known for value in arm)
        lines.append(f"  {name}: {_list(before)}  # {unit}" + (", TO FILL: not in the URDF" if is_guess else ""))
        unit = "rad/s^3"
        if is_guess:
            to_fill.append(f"limits.{name}: a cautious guess, full in {seconds:g} s; take it from the data sheet")
    efforts = [[joint.effort for joint in arm.joints] for arm in arms]
    if all(value and value > 0.0 for arm in efforts for value in arm):
        lines.append(f"  effort: {_list(np.array(efforts).min(axis=0))}  # N m")
    else:
        to_fill.append(
            "limits.effort: not given for every joint by the URDF, and left out; the simulation has none then"
        )
    return lines, to_fill


def _bases(arms: Sequence[ArmFound]) -> list[Array]:
    if len(arms) == 2:
        return [arm.base_pose for arm in arms]
    bases = []
    for sign in (1.0, -1.0):
        base = arms[0].base_pose.copy()
        base[1, 3] += sign * _APART
        bases.append(base)
    return bases


def _workspace(arm: ArmFound, bases: Sequence[Array]) -> tuple[Array, Array]:
    """A box around all that the tools could reach, above the table."""
    reach = sum(float(np.linalg.norm(joint.origin[:3, 3])) for joint in arm.joints[1:]) + 0.3
    places = np.array([base[:3, 3] for base in bases])
    lower, upper = places.min(axis=0) - reach, places.max(axis=0) + reach
    lower[2] = 0.0
    return np.round(lower, 2), np.round(upper, 2)


def _tool_centre(hand: Sequence[Array]) -> float:
    farthest = max((float(points[:, 2].max()) for points in hand), default=0.0)
    return round(max(0.0, farthest - _FINGERTIP), 4)


def _safety(capsules: Sequence[tuple[str, Array, Array, float]], workspace: tuple[Array, Array]) -> list[str]:
    return [
        "safety:  # m, world frame; a first set, no certified values: see docs/safety.md",
        f"  workspace_lower: {_list(workspace[0])}  # TO FILL: of the tool centre points",
        f"  workspace_upper: {_list(workspace[1])}",
        "  table_height: 0.0",
        "  arm_clearance: 0.01",
        "  table_clearance: 0.0",
        "  gross: 0.05",
        "  capsules:  # TO FILL: each contains a collision shape of its link",
        *(
            f"    - {{link: {link}, start: {_list(start, 4)}, end: {_list(end, 4)}, radius: {_rounded_up(radius)}"
            + (", above_table: false}" if link == "link0" else "}")
            for link, start, end, radius in capsules
        ),
    ]


def _arm(index: int, arms: Sequence[ArmFound], base: Array, home: Sequence[float], twice: bool) -> list[str]:
    side, arm = _SIDES[index], arms[0 if twice else index]
    prefix = f"{side}_" if twice else ""
    names = ", ".join(_word(prefix + joint.name) for joint in arm.joints)
    roll, pitch, yaw = _turns(base[:3, :3])
    finger = prefix + arm.finger.name if arm.finger else f"{side}_finger_joint"
    return [
        f"{side}:",
        f"  joint_names: [{names}]",
        f"  base_position: {_list(base[:3, 3])}  # m" + (", TO FILL" if twice else ""),
        *(
            f"  base_{name}: {_number(angle)}  # rad"
            for name, angle in (("roll", roll), ("pitch", pitch), ("yaw", yaw))
            if angle
        ),
        f"  home: {_list(home)}  # TO FILL: rad",
        f"  controller: {{kind: jtc, topic: /{side}_arm_controller/joint_trajectory}}  # TO FILL",
        "  gripper:  # TO FILL",
        *_opening(arm),
        f"    finger_joint: {_word(finger)}",
        f"    command: {{kind: topic, name: /{side}_gripper/command}}",
    ]


def _opening(arm: ArmFound) -> list[str]:
    """A hand opens twice as far as a finger slides."""
    finger = arm.finger
    if finger is None or finger.lower is None or finger.upper is None or not 0.0 <= finger.lower < finger.upper <= 0.5:
        return ["    opening_min: 0.0  # m", "    opening_max: 0.08"]
    lines = [f"    opening_min: {_number(2.0 * finger.lower)}  # m", f"    opening_max: {_number(2.0 * finger.upper)}"]
    return lines + (
        [f"    speed: {_number(2.0 * finger.velocity)}  # m/s"] if finger.velocity and finger.velocity > 0.0 else []
    )


def _turns(rotation: Array) -> tuple[float, float, float]:
    """Roll, pitch and yaw about the fixed axes, in this order [rad]."""
    pitch = float(np.arctan2(-rotation[2, 0], np.hypot(rotation[2, 1], rotation[2, 2])))
    if np.hypot(rotation[2, 1], rotation[2, 2]) < 1e-9:  # straight up or down: only the sum of the other two counts
        return 0.0, pitch, _exact(np.arctan2(-rotation[0, 1], rotation[1, 1]))
    roll, yaw = np.arctan2(rotation[2, 1], rotation[2, 2]), np.arctan2(rotation[1, 0], rotation[0, 0])
    return _exact(roll), _exact(pitch), _exact(yaw)


def _exact(angle: float) -> float:
    return 0.0 if abs(angle) < 1e-9 else float(angle)


def _list(values: Sequence[float] | Array, digits: int = 6) -> str:
    return "[" + ", ".join(_number(value, digits) for value in values) + "]"


def _number(value: float, digits: int = 6) -> str:
    """Never in powers of ten, which YAML may take for words."""
    text = f"{value:.{digits}f}".rstrip("0")
    text += "0" if text.endswith(".") else ""
    return text.removeprefix("-") if not float(text) else text


def _word(name: str) -> str:
    """In quotes where YAML would read something else."""
    is_plain = re.fullmatch(r"[\w/.-]+", name) and yaml.safe_load(name) == name
    return name if is_plain else json.dumps(name)


def _rounded_up(radius: float) -> str:
    """By so much that the rounding of the ends leaves nothing outside."""
    return f"{np.ceil(1e4 * radius) / 1e4 + 1e-4:.4f}"
