"""What the head camera has in its picture when it is mounted otherwise than it is meant to be."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from clwm_sim.looks.dressing import mounted
from clwm_sim.looks.looks import CameraLook
from clwm_sim.scenes.workcell import HEAD_POSITION, HEAD_QUATERNION


def head_sees(points: ArrayLike, look: CameraLook, fovy: float, margin: float = 0.03) -> bool:
    """Whether all points (n, 3) m are in a square picture, `margin` of its width from its edges; fovy: nominal, deg."""
    position, quaternion = mounted(HEAD_POSITION, HEAD_QUATERNION, look)
    axes = np.empty(9)
    mujoco.mju_quat2Mat(axes, quaternion)
    x, y, back = ((np.asarray(points) - position) @ axes.reshape(3, 3)).T
    half = (1.0 - 2.0 * margin) * np.tan(np.radians(fovy + look.widening) / 2.0)
    return bool((np.maximum(np.abs(x), np.abs(y)) < half * -back).all())
