"""Two arms of a URDF: their joints, and where they stand; refused where the stack could not move them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_bringup.new_robot.urdf import Urdf, UrdfJoint
from clwm_common.actions import ARM_JOINTS
from clwm_common.robot.description import RobotError

_SAME = 1e-4  # m, rad; what the two arms may differ by
_NAMED = 12  # joints that a message lists


@dataclass(frozen=True)
class ArmFound:
    """One arm. base: the link that it begins on; base_pose: that link in the root (4, 4).

    flange: what carries the hand; finger: the hand's joint that is driven; None where it has none that slides.
    """

    joints: tuple[UrdfJoint, ...]
    base: str
    base_pose: NDArray[np.float64]
    flange: str
    finger: UrdfJoint | None


def two_arms(urdf: Urdf, left: str, right: str, flange: str = "") -> tuple[ArmFound, ArmFound]:
    """The arms whose joints begin with these prefixes. flange: link that carries the hand, without its prefix; empty:
    where the chain of turning joints ends.

    Raises RobotError naming joint, value and remedy.
    """
    if left == right:
        raise RobotError(
            f"--left and --right are both '{left}'; give two prefixes, or --twice for two arms of one URDF"
        )
    found = tuple(_arm(urdf, option, prefix, flange) for option, prefix in (("--left", left), ("--right", right)))
    _require_one_type(urdf, *found)
    return found


def one_arm(urdf: Urdf, flange: str = "") -> ArmFound:
    """The only arm of a URDF, of which the robot has two. Raises RobotError."""
    return _arm(urdf, "", "", flange)


def guessed_prefixes(urdf: Urdf) -> tuple[str, str]:
    """What the names of the left and the right arm's joints begin with, where that is plain. Raises RobotError."""
    moving = [joint.name for joint in urdf.joints.values() if joint.moves]
    for left, right in (("left", "right"), ("l_", "r_"), ("L_", "R_")):
        has = [any(name.startswith(prefix) for name in moving) for prefix in (left, right)]
        if all(has):
            return left, right
        if any(has):
            known, missing = (left, right) if has[0] else (right, left)
            raise RobotError(
                f"URDF {urdf.path} has one arm only: joints begin with '{known}' and none with '{missing}'; a robot "
                "here has two: give the URDF of both, or --twice for two such arms side by side"
            )
    raise RobotError(
        f"URDF {urdf.path} has joints {_listed(moving)}, and none says left or right; give --left PREFIX "
        "--right PREFIX, or --twice when this is one arm only, of which the robot has two"
    )


def _arm(urdf: Urdf, option: str, prefix: str, flange: str) -> ArmFound:
    moving = [joint for joint in urdf.joints.values() if joint.moves]
    own = [joint for joint in moving if joint.name.startswith(prefix)]
    if not own:
        names = [joint.name for joint in moving]
        raise RobotError(
            f"{option or 'the arm'}: no such joint: none of URDF {urdf.path} that moves begins with '{prefix}'; it has "
            f"{_listed(names)}"
        )
    first = _first(urdf, option, prefix, own)
    tip = _named_flange(urdf, prefix, flange) if flange else ""
    chain = _chain(urdf, first, tip)
    for joint in chain:
        _require_drivable(urdf, joint)
    if len(chain) > ARM_JOINTS:
        raise RobotError(
            f"URDF {urdf.path}: the arm from '{chain[0].name}' has {len(chain)} joints before its hand; at most "
            f"{ARM_JOINTS} expected: give --flange LINK to end it sooner"
        )
    end = tip or _end(urdf, chain[-1].child)
    slides = [joint for joint in urdf.moving_below(end) if joint.kind == "prismatic" and not joint.mimics]
    return ArmFound(chain, chain[0].parent, _base_pose(urdf, chain[0]), end, slides[0] if slides else None)


def _first(urdf: Urdf, option: str, prefix: str, own: list[UrdfJoint]) -> UrdfJoint:
    names = {joint.name for joint in own}
    tops = [joint for joint in own if not names & {it.name for it in urdf.above(joint.parent)}]
    if len(tops) > 1:
        raise RobotError(
            f"URDF {urdf.path}: {_listed([joint.name for joint in tops])} all begin with '{prefix}', and none carries "
            f"the others; expected one arm: give {option or '--left and --right'} a longer prefix"
        )
    return tops[0]


def _named_flange(urdf: Urdf, prefix: str, flange: str) -> str:
    links = [joint.child for joint in urdf.joints.values()]
    for name in (prefix + flange, flange):
        if name in links:
            return name
    raise RobotError(
        f"--flange {flange}: URDF {urdf.path} has no link '{prefix + flange}'; it has {_listed(links)}: give the name "
        "without the arm's prefix"
    )


def _chain(urdf: Urdf, first: UrdfJoint, tip: str) -> tuple[UrdfJoint, ...]:
    """The joints that move from the first to the link `tip`, or to where the way forks or begins to slide."""
    if tip:
        way = urdf.above(tip)
        if first not in way:
            raise RobotError(f"--flange: link '{tip}' is not carried by joint '{first.name}'; name a link of the arm")
        return tuple(joint for joint in way[way.index(first) :] if joint.moves)
    chain, joint = [first], first
    while joint is not None:
        onward = [it for it in urdf.below(joint.child) if it.moves or urdf.moving_below(it.child)]
        joint = onward[0] if len(onward) == 1 and onward[0].kind != "prismatic" else None
        if joint is not None and joint.moves:
            chain.append(joint)
    return tuple(chain)


def _end(urdf: Urdf, link: str) -> str:
    """Where the hand is mounted: as far along as links follow one another without a fork or a joint that moves."""
    while len(below := urdf.below(link)) == 1 and not below[0].moves:
        link = below[0].child
    return link


def _require_drivable(urdf: Urdf, joint: UrdfJoint) -> None:
    where = f"URDF {urdf.path}: joint '{joint.name}'"
    if joint.mimics:
        raise RobotError(
            f"{where} mimics '{joint.mimics}'; expected arms whose joints are each driven: remove <mimic>, or give "
            "--flange LINK where it is part of the hand"
        )
    if joint.kind == "continuous":
        raise RobotError(
            f"{where} is continuous; expected limits, within which the arm is kept: make it revolute with <limit "
            'lower="-6.28" upper="6.28" .../>, or what its cables allow'
        )
    if joint.kind != "revolute":
        raise RobotError(
            f"{where} is {joint.kind}; expected revolute joints in an arm: give --flange LINK to end it sooner"
        )
    missing = [name for name in ("lower", "upper", "velocity") if getattr(joint, name) is None]
    if missing:
        raise RobotError(f"{where} has no <limit {missing[0]}>; add it from the arm's data sheet [rad, rad/s]")
    if not joint.lower < joint.upper:
        raise RobotError(
            f"{where} has limits lower {joint.lower:g} and upper {joint.upper:g}; expected lower below upper: "
            "exporters write 0 for what they do not know, so take them from the data sheet [rad]"
        )
    if max(abs(joint.lower), abs(joint.upper)) > 4.0 * np.pi:
        raise RobotError(
            f"{where} has limits {joint.lower:g} to {joint.upper:g}; expected rad, and these can only be degrees"
        )
    if not joint.velocity > 0.0:
        raise RobotError(
            f"{where} has <limit velocity> {joint.velocity:g}; expected rad/s above 0, from the data sheet"
        )


def _base_pose(urdf: Urdf, first: UrdfJoint) -> NDArray[np.float64]:
    pose = np.eye(4)
    for joint in urdf.above(first.parent):
        if joint.moves:
            raise RobotError(
                f"URDF {urdf.path}: joint '{joint.name}' ({joint.kind}) carries the arm of '{first.name}'; expected "
                "arms that stand still: make it fixed at the angle at which it is held"
            )
        pose = pose @ joint.origin
    return pose


def _require_one_type(urdf: Urdf, left: ArmFound, right: ArmFound) -> None:
    text = f"URDF {urdf.path}: the arms differ"
    remedy = "expected two arms of one type: the stack has one kinematics and one set of limits for both"
    if len(left.joints) != len(right.joints):
        raise RobotError(
            f"{text}: {len(left.joints)} joints on the left and {len(right.joints)} on the right; {remedy}"
        )
    ends = [_hand_in_last(urdf, arm) for arm in (left, right)]
    pairs = [
        (a.name, b.name, _step(urdf, left, i), _step(urdf, right, i))
        for i, (a, b) in enumerate(zip(left.joints, right.joints, strict=True))
    ]
    for one, other, first, second in [*pairs, (left.flange, right.flange, *ends)]:
        if not np.allclose(first, second, atol=_SAME):
            raise RobotError(
                f"{text} at '{one}' and '{other}', by {np.abs(first - second).max():.4f} [m, rad]; {remedy}"
            )
    if not left.finger and right.finger or left.finger and not right.finger:
        raise RobotError(f"{text}: one has a sliding finger below its flange and the other none; {remedy}")


def _step(urdf: Urdf, arm: ArmFound, index: int) -> NDArray[np.float64]:
    """Where a joint is in what the joint before it carries, and about what it turns (4, 5)."""
    joint, start = arm.joints[index], arm.joints[index - 1].child if index else arm.base
    pose = np.eye(4)
    way = urdf.above(joint.parent)
    for fixed in way[[it.parent for it in way].index(start) :] if joint.parent != start else ():
        pose = pose @ fixed.origin
    return np.column_stack([pose @ joint.origin, np.append(joint.axis, 0.0)])


def _hand_in_last(urdf: Urdf, arm: ArmFound) -> NDArray[np.float64]:
    return np.column_stack([urdf.rigid(arm.joints[-1].child)[arm.flange], np.zeros(4)])


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED]) or "none"
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown
