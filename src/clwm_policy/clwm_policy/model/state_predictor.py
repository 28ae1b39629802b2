"""Predicts the measured state at the next observation from what was commanded: the surrogate's proprioception.

The arms lag behind their commands by a few rows in a nearly linear way, so a least-squares fit per channel does it;
copying the present state would be wrong by the motion of a whole execution horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clwm_common.actions import ACTION_DIM, LEFT_QUATERNION, RIGHT_QUATERNION, LayoutError, canonical_quaternion
from clwm_policy.model.sizes import EXECUTED_ROWS
from clwm_policy.model.stored import stored

_RIDGE = 1e-6
REGRESSORS = EXECUTED_ROWS + 2  # executed rows and previous state relative to the anchor, and a constant
Coefficients = stored(np.float64, ACTION_DIM, REGRESSORS)


@dataclass(frozen=True)
class StatePredictor:
    """coefficients: (30, 14); state - anchor = coefficients @ regressors, per channel."""

    coefficients: Coefficients

    @classmethod
    def fit(
        cls, previous_states: ArrayLike, executed: ArrayLike, anchors: ArrayLike, states: ArrayLike
    ) -> StatePredictor:
        """Least squares over n samples: (n, 30), (n, 12, 30), (n, 30) and the states (n, 30) to predict."""
        x = _regressors(previous_states, executed, anchors)
        y = np.asarray(states, dtype=np.float64) - np.asarray(anchors, dtype=np.float64)
        gram = np.einsum("nck,ncl->ckl", x, x) + _RIDGE * len(x) * np.eye(REGRESSORS)
        moment = np.einsum("nck,nc->ck", x, y)
        return cls(np.linalg.solve(gram, moment[..., None])[..., 0])

    def predict(self, previous_state: ArrayLike, executed: ArrayLike, anchor: ArrayLike) -> NDArray[np.float32]:
        """State (30,) expected when `anchor` (30,) is the command in force.

        previous_state: (30,) measured at the previous observation. executed: (n, 30) rows since then, oldest first;
        when fewer than 12 the oldest known stands in for those before it. Raises LayoutError on a wrong width.
        """
        rows = np.asarray(executed, dtype=np.float64).reshape(-1, np.shape(executed)[-1] if np.size(executed) else 30)
        anchor = np.asarray(anchor, dtype=np.float64)
        for name, array in (
            ("executed rows", rows),
            ("anchor", anchor),
            ("previous state", np.asarray(previous_state)),
        ):
            if array.shape[-1] != ACTION_DIM:
                raise LayoutError(f"{name} have shape {array.shape}; expected (..., {ACTION_DIM})")
        rows = rows[-EXECUTED_ROWS:] if len(rows) else anchor[None]
        padding = np.repeat(rows[:1], EXECUTED_ROWS - len(rows), axis=0)
        x = _regressors(np.asarray(previous_state)[None], np.concatenate([padding, rows])[None], anchor[None])
        state = anchor + np.einsum("ck,ck->c", self.coefficients, x[0])
        for part in (LEFT_QUATERNION, RIGHT_QUATERNION):
            if anchor[part].any():  # a pose that is absent is all 0
                state[part] = canonical_quaternion(state[part])
        return state.astype(np.float32)


def _regressors(previous_states: ArrayLike, executed: ArrayLike, anchors: ArrayLike) -> NDArray[np.float64]:
    anchors = np.asarray(anchors, dtype=np.float64)
    commands = np.asarray(executed, dtype=np.float64) - anchors[:, None]
    previous = np.asarray(previous_states, dtype=np.float64) - anchors
    parts = [commands.transpose(0, 2, 1), previous[..., None], np.ones_like(previous)[..., None]]
    return np.concatenate(parts, axis=-1)
