"""What a controller's parameters mean for the executor: refused, warned of, or fine."""

import re

import pytest

from clwm_sai_executor.outputs.controller_parameters import Findings, what_forward_does, what_jtc_does

NAMES = ["joint1", "joint2", "joint3"]
JAZZY = {
    "joints": NAMES,
    "command_joints": [],
    "command_interfaces": ["position"],
    "allow_partial_joints_goal": False,
    "interpolation_method": "splines",
    "speed_scaling.initial_scaling_factor": 1.0,
    "speed_scaling.state_interface": "",
    "cmd_timeout": 0.0,
}


def test_controller_of_jazzy_with_its_defaults_is_fine():
    assert what_jtc_does(JAZZY, NAMES) == Findings()


def test_controller_without_any_parameter_is_taken_for_one_of_jazzy():
    assert what_jtc_does({}, NAMES) == Findings() == what_forward_does({}, NAMES)


def test_trajectories_name_their_joints_so_their_order_does_not_matter():
    assert what_jtc_does({**JAZZY, "joints": NAMES[::-1]}, NAMES) == Findings()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"joints": ["joint1", "joint2", "wrist"]}, "no joint 'joint3'; its joints are joint1, joint2, wrist"),
        ({"command_joints": ["joint1"]}, "no joint 'joint2'"),
        ({"joints": [*NAMES, "rail"]}, "'rail' too, .* set allow_partial_joints_goal"),
        ({"allow_trajectory_replacement": True}, "allow_trajectory_replacement is true: .* set it to false"),
        ({"interpolation_method": "none"}, "interpolation_method is 'none'"),
        ({"speed_scaling.initial_scaling_factor": 0.5}, "initial_scaling_factor is 0.5: .* set it to 1"),
    ],
)
def test_controller_that_would_execute_something_else_is_refused(change, reason):
    found = what_jtc_does({**JAZZY, **change}, NAMES)
    assert len(found.refusals) == 1 and not found.warnings
    assert re.search(reason, found.refusals[0])


def test_replacement_that_was_switched_off_is_that_of_jazzy():
    assert what_jtc_does({**JAZZY, "allow_trajectory_replacement": False}, NAMES) == Findings()


def test_more_joints_are_fine_where_goals_for_some_of_them_are_allowed():
    assert what_jtc_does({**JAZZY, "joints": [*NAMES, "rail"], "allow_partial_joints_goal": True}, NAMES) == Findings()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"command_interfaces": ["effort"]}, "commands effort"),
        ({"speed_scaling.state_interface": "scaling/factor"}, "'scaling/factor' may slow it down"),
        ({"cmd_timeout": 0.5}, "cmd_timeout is 0.5 s"),
    ],
)
def test_what_an_integrator_should_know_is_a_warning(change, reason):
    found = what_jtc_does({**JAZZY, **change}, NAMES)
    assert not found.refusals and len(found.warnings) == 1 and reason in found.warnings[0]


def test_velocities_and_positions_together_are_fine():
    assert what_jtc_does({**JAZZY, "command_interfaces": ["position", "velocity"]}, NAMES) == Findings()


def test_all_reasons_are_told_at_once():
    assert len(what_jtc_does({"allow_trajectory_replacement": True, "interpolation_method": "none"}, []).refusals) == 2


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"joints": NAMES[::-1]}, "its joints are joint3, joint2, joint1; expected, in this order, joint1"),
        ({"joints": NAMES[:2]}, "its joints are joint1, joint2;"),
        ({"joints": NAMES, "interface_name": "velocity"}, "interface_name is 'velocity'; expected 'position'"),
    ],
)
def test_forward_controller_of_other_joints_or_another_interface_is_refused(parameters, reason):
    assert reason in what_forward_does(parameters, NAMES).refusals[0]


def test_forward_controller_of_the_same_joints_is_fine():
    assert what_forward_does({"joints": NAMES, "interface_name": "position"}, NAMES) == Findings()
