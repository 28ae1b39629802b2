"""Whether a policy, its encoder, a robot's cameras and the nodes' settings belong together, before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clwm_common.files.policy_document import CheckpointError, read_policy_document
from clwm_common.robot.description import RobotDescription
from clwm_perception.checkpoint import POOL, EncoderCheckpoint, EncoderError, open_checkpoint
from clwm_perception.framing import Framing
from clwm_perception.preprocess import ImageError
from clwm_sai_executor.config import ConfigError, SchedulerConfig

_HORIZONS = ("execution_horizon", "adapt_pace", "execution_horizon_min")


def check_model(
    policy: Path,
    encoder: Path,
    robot: RobotDescription,
    picture_size: tuple[int, int] | None = None,
    perception: Mapping[str, Any] | None = None,
    executor: Mapping[str, Any] | None = None,
) -> EncoderCheckpoint:
    """The encoder, when all fits. Loads no weights.

    policy: the .safetensors. encoder: its folder. robot: has the cameras. picture_size: (height, width) of the pictures
    they send unless the robot's file says another, None when only they know. perception, executor: parameters of the
    nodes, as far as they are not the default. Raises CheckpointError saying what does not fit.
    """
    perception, executor = perception or {}, executor or {}
    document = read_policy_document(policy.with_suffix(".json"))
    try:
        found = open_checkpoint(encoder)
        size, grid = found.preprocessing.size, found.grid(perception.get("pool", POOL))
        if picture_size is not None:
            for camera in robot.cameras:
                source = robot.camera_source(camera)
                width, height = source.simulated_size or picture_size[::-1]
                Framing(camera, source, size).window(height, width)
    except EncoderError as error:
        raise CheckpointError(str(error)) from error
    except ImageError as error:
        raise CheckpointError(f"pictures do not fit {encoder}: {error}") from error
    document.check_features(robot.cameras, found.weights_hash, size, grid)
    horizons = {name: executor[name] for name in _HORIZONS if name in executor}
    try:
        SchedulerConfig(**horizons, known_horizons=document.inputs.known_horizons())
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"executor: {error}") from error
    return found
