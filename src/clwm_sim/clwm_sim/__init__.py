"""MuJoCo world of two FR3 arms that speaks the topics of the real controllers."""

import os

# MuJoCo reads this once, when it is first imported; EGL draws without a display.
os.environ.setdefault("MUJOCO_GL", "egl")
# Of Mesa's software renderer: on pictures this small its threads cost more than they save.
os.environ.setdefault("LP_NUM_THREADS", "0")
