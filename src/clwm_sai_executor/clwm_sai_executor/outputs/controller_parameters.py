"""What a controller's parameters say about how it will treat what the executor sends. Data in, data out.

Studied: ros2_controllers, branches jazzy (4.42), kilted (5.17) and master (6.9). The executor resends a path with the
stamp of its start: knots that were sent before, at the same instants, then new ones, then rest. So it needs a
joint_trajectory_controller that replaces the old trajectory by the new one where both agree. Harmless for that, and not
looked at: `interpolate_from_desired_state` and `open_loop_control` (the first point is never in the future),
`allow_nonzero_velocity_at_trajectory_end` (every message ends at rest), state interfaces, and the goal's tolerances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

JTC_PARAMETERS = (
    "joints",
    "command_joints",
    "command_interfaces",
    "allow_partial_joints_goal",
    "allow_trajectory_replacement",
    "interpolation_method",
    "speed_scaling.initial_scaling_factor",
    "speed_scaling.state_interface",
    "cmd_timeout",
)
FORWARD_PARAMETERS = ("joints", "interface_name")


@dataclass(frozen=True)
class Findings:
    """refusals: why the controller must not get any command. warnings: what an integrator should know."""

    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def what_jtc_does(parameters: Mapping[str, Any], joint_names: Sequence[str]) -> Findings:
    """Judge a joint_trajectory_controller that is to move `joint_names` by those of JTC_PARAMETERS that it has.

    What it does not have is taken for what Jazzy does.
    """
    refusals, warnings = [], []
    joints = list(parameters.get("command_joints") or parameters.get("joints") or joint_names)
    if missing := [name for name in joint_names if name not in joints]:
        refusals.append(f"it has no joint '{missing[0]}'; its joints are {', '.join(joints)}")
    elif len(joints) > len(joint_names) and not parameters.get("allow_partial_joints_goal", False):
        other = next(name for name in joints if name not in joint_names)
        refusals.append(f"it moves '{other}' too, and refuses trajectories without it; set allow_partial_joints_goal")
    if parameters.get("allow_trajectory_replacement", False):
        # With it a stamp in the past counts as "now": the knots sent before would be played once more, and late.
        refusals.append(
            "allow_trajectory_replacement is true: it would play every message late; set it to false, in its "
            "parameters or while it runs"
        )
    if (method := parameters.get("interpolation_method", "splines")) != "splines":
        refusals.append(f"interpolation_method is '{method}': it would leap from knot to knot; set it to 'splines'")
    if (factor := parameters.get("speed_scaling.initial_scaling_factor", 1.0)) != 1.0:
        refusals.append(f"speed_scaling.initial_scaling_factor is {factor}: it would fall behind and leap; set it to 1")
    if interface := parameters.get("speed_scaling.state_interface", ""):
        warnings.append(f"'{interface}' may slow it down; the arms brake and hold when they fall behind")
    interfaces = list(parameters.get("command_interfaces") or ["position"])
    if "position" not in interfaces:
        warnings.append(f"it commands {', '.join(interfaces)}: limits hold as well as its gains track positions")
    if (timeout := parameters.get("cmd_timeout", 0.0)) > 0.0:
        warnings.append(f"cmd_timeout is {timeout} s: after it the command leaps to where the arm is; set it to 0")
    return Findings(tuple(refusals), tuple(warnings))


def what_forward_does(parameters: Mapping[str, Any], joint_names: Sequence[str]) -> Findings:
    """Judge a forward_command_controller that gets the positions of `joint_names` in this order, without names."""
    refusals = []
    joints = list(parameters.get("joints") or joint_names)
    if joints != list(joint_names):
        refusals.append(f"its joints are {', '.join(joints)}; expected, in this order, {', '.join(joint_names)}")
    if (interface := parameters.get("interface_name") or "position") != "position":
        refusals.append(f"interface_name is '{interface}'; expected 'position'")
    return Findings(tuple(refusals))
