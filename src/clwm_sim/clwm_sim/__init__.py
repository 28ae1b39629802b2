"""MuJoCo world of two FR3 arms that speaks the topics of the real controllers."""

import os

# MuJoCo reads this once, when it is first imported; EGL draws without a display.
os.environ.setdefault("MUJOCO_GL", "egl")
