"""The engine's border: messages and physical rows in and out, checked once, tensors in normalised units inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from clwm_common.actions import (
    ACTION_DIM,
    CHANNEL_NAMES,
    CHUNK_ROWS,
    GRIPPERS,
    LayoutError,
    check_layout_version,
    check_rows,
)
from clwm_common.messages import ChunkRequest, DualArmState, FeatureFrame
from clwm_policy.engine.encoded import Conditions
from clwm_policy.errors import BadFrame, BadState, EncoderMismatch, NonFiniteOutput, RequestRefused, SpoiltFrame
from clwm_policy.model.checkpoint import Policy

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Observation:
    """What one chunk answers to, real or predicted.

    features: (cameras, rows, columns, channels) float16 as perception sends them; state: (30,) in physical units.
    normalised: the features as the model sees them (1, tokens, channels), worked out once.
    """

    features: NDArray[np.float16]
    state: Rows
    normalised: Tensor


class Border:
    """Checks and converts by the scales that belong to a policy's weights."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        config = policy.model.config
        self._shape = (config.cameras, config.grid, config.grid, config.feature_channels)

    def check_request(self, request: ChunkRequest) -> None:
        """Raises RequestRefused when the rows cannot be worked on."""
        what = f"request for chunk {request.chunk_id}"
        try:
            check_layout_version(request.layout_version)
            prefix = check_rows(request.committed_prefix, name="committed_prefix")
            check_rows(request.executed_rows, name="executed_rows")
        except LayoutError as error:
            raise RequestRefused(f"{what}: {error}") from None
        if not 1 <= len(prefix) < CHUNK_ROWS:
            raise RequestRefused(
                f"{what}: committed_prefix has {len(prefix)} rows; "
                f"expected 1 (at rest: the held command) to {CHUNK_ROWS - 1}"
            )
        if len(prefix) not in (known := self._policy.inputs.prefix_lengths):
            horizons = self._policy.inputs.known_horizons()
            raise RequestRefused(
                f"{what}: committed_prefix has {len(prefix)} rows; the policy was trained with "
                f"{_listed(known)}: set the executor's execution_horizon to {_listed(horizons)}"
            )

    def observation(self, frame: FeatureFrame, state: DualArmState) -> Observation:
        """Raises EncoderMismatch, BadFrame or BadState."""
        if frame.encoder_hash != self._policy.encoder_hash:
            raise EncoderMismatch(
                f"features come from encoder {frame.encoder_hash[:12]}..., the policy was trained on "
                f"{self._policy.encoder_hash[:12]}...; start perception with the encoder shipped beside the policy"
            )
        if problem := self._policy.inputs.problem_with_cameras(frame.cameras):
            raise BadFrame(f"frame of {frame.stamp}: {problem}")
        features = np.asarray(frame.features)
        if features.shape != self._shape:
            raise BadFrame(
                f"features of cameras {list(frame.cameras)} have shape {features.shape}; "
                f"expected {self._shape} (cameras, rows, columns, channels)"
            )
        if not np.isfinite(features).all():
            camera = frame.cameras[int(np.argwhere(~np.isfinite(features))[0][0])]
            raise SpoiltFrame(f"features of camera {camera} are not finite at stamp {frame.stamp}; restart perception")
        return self._seen(features, measured(state, self._policy.codec.chunk.mask))

    def conditions(self, observation: Observation, executed: ArrayLike, anchor: Rows, language: Tensor) -> Conditions:
        """What the model sees of an observation; executed: (n, 30) rows since the previous one; anchor: (30,)."""
        codec = self._policy.codec
        coded, mask = codec.encode_executed(executed, anchor)
        return Conditions(
            features=observation.normalised,
            proprioception=_batch(codec.encode_state(observation.state, anchor)),
            executed=_batch(coded),
            executed_mask=torch.from_numpy(mask).unsqueeze(0),
            language=language,
        )

    def prefix(self, rows: Rows) -> Tensor:
        """Committed rows (p, 30) to (1, p, 30) normalised; the first of them is the anchor."""
        return _batch(self._policy.codec.encode_rows(rows, rows[0]))

    def rows(self, coded: Tensor, prefix: Rows) -> Rows:
        """A finished chunk (1, 16, 30) in physical units (16, 30), its first rows the committed prefix bit for bit.

        Raises NonFiniteOutput.
        """
        numbers = coded[0].numpy()
        if not np.isfinite(numbers).all():
            raise NonFiniteOutput("the model gave a chunk with numbers that are not finite; restore its weights")
        codec = self._policy.codec
        rows = codec.decode_rows(numbers, prefix[0]).astype(np.float32)
        # A correction may overshoot where a hand is open or closed already; all else may leave the range of the data.
        rows[:, GRIPPERS] = np.clip(rows[:, GRIPPERS], codec.chunk.low[GRIPPERS], codec.chunk.high[GRIPPERS])
        rows[: len(prefix)] = prefix
        return rows

    def surrogate(self, last: Observation, residual: Tensor, executed: ArrayLike, anchor: Rows) -> Observation:
        """The observation expected one horizon after `last`.

        residual: (1, tokens, channels) of stage 1 under the context of `last`. executed: rows (n, 30) committed between
        the two; anchor: (30,) in force at the second.
        """
        features = self.predicted_features(last, residual)
        return self._seen(features, self._policy.state_predictor.predict(last.state, executed, anchor))

    def predicted_features(self, last: Observation, residual: Tensor) -> NDArray[np.float16]:
        """(cameras, rows, columns, channels) one horizon after `last`, by the residual of stage 1.

        Rounded to float16 as perception would send it, so that a perfect prediction is the real frame bit for bit.
        """
        scale = self._policy.features
        normalised = scale.apply(last.normalised, residual)[0].numpy()
        with np.errstate(over="ignore"):  # an exploded prediction becomes inf, and is never resumed
            return (normalised * scale.std + scale.mean).astype(np.float16).reshape(self._shape)

    def normalised(self, features: NDArray[np.float16]) -> Tensor:
        """Features as the model sees them (1, tokens, channels)."""
        return self._policy.features.normalise(features).unsqueeze(0)

    def _seen(self, features: NDArray[np.float16], state: Rows) -> Observation:
        return Observation(features, state, self.normalised(features))

    @property
    def video_shape(self) -> tuple[int, int, int]:
        """(1, tokens, channels) of stage 1."""
        cameras, rows, columns, channels = self._shape
        return 1, cameras * rows * columns, channels

    @property
    def action_shape(self) -> tuple[int, int, int]:
        """(1, rows, 30) of stage 2."""
        return 1, CHUNK_ROWS, ACTION_DIM


def measured(state: DualArmState, is_used: NDArray[np.bool_]) -> Rows:
    """The state (30,), measured wherever `is_used` (30,). Raises BadState."""
    values = np.asarray(state.values, dtype=np.float32)
    if values.shape != (ACTION_DIM,):
        raise BadState(f"measured state has shape {values.shape}; expected ({ACTION_DIM},)")
    is_known = np.isfinite(values) & np.asarray(state.valid, dtype=bool)
    lacking = is_used & ~is_known
    if lacking.any():
        raise BadState(
            f"measured state at {state.stamp} lacks channel {int(np.argmax(lacking))}, "
            f"{CHANNEL_NAMES[int(np.argmax(lacking))]}, with which this policy was trained; the executor must see that "
            "joint, or the policy must be trained on this robot"
        )
    return np.where(is_known, values, np.float32(0.0))


def _listed(numbers: tuple[int, ...]) -> str:
    return " or ".join(map(str, numbers))


def _batch(array: NDArray) -> Tensor:
    return torch.from_numpy(np.asarray(array, dtype=np.float32)).unsqueeze(0)
