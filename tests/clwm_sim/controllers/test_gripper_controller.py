"""How a simulated gripper moves to its target."""

import math

import pytest

from clwm_sim.controllers.gripper_controller import GripperController


def gripper() -> GripperController:
    return GripperController(opening=0.0, opening_min=0.0, opening_max=0.08, speed=0.1)


def test_gripper_moves_at_its_speed_and_stops_at_the_target():
    fingers = gripper()
    fingers.receive(0.05)
    assert fingers.update(0.2) == pytest.approx(0.02)
    assert fingers.update(10.0) == pytest.approx(0.05)
    fingers.receive(0.0)
    assert fingers.update(0.1) == pytest.approx(0.04)


def test_gripper_target_beyond_the_range_is_clamped():
    fingers = gripper()
    fingers.receive(1.0)
    assert fingers.update(10.0) == pytest.approx(0.08)


def test_gripper_refuses_a_target_that_is_not_a_number():
    with pytest.raises(ValueError, match="opening is nan"):
        gripper().receive(math.nan)
