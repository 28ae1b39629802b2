"""Whether a policy and its encoder fit the virtual stack."""

from __future__ import annotations

from pathlib import Path

from clwm_bringup.model_check import check_model
from clwm_common.robot.description import RobotDescription
from clwm_perception.checkpoint import EncoderCheckpoint
from clwm_sim.world import IMAGE_SIZE, ROBOT


def check_simulated(policy: Path, encoder: Path) -> EncoderCheckpoint:
    """`check_model` for the simulated world's own robot and pictures."""
    return check_model(policy, encoder, RobotDescription.load(ROBOT), (IMAGE_SIZE, IMAGE_SIZE))
