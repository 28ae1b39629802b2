"""A pad that is shown on one side, taken away, and put into the middle much later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clwm_sim.scenes.base import Scene
from clwm_sim.scenes.parts import colours, pad
from clwm_sim.scenes.things import Change, Layout

SHOWN = 1.0  # s for which the cue lies there: one or two observations
CHUNK = 0.6  # s from one observation to the next: the delay's unit
DELAYS = (2, 60)  # chunks between the last sight of the cue and the pad in the middle
CUE_Y = 0.15  # m to the side


def draw(rng: np.random.Generator) -> Layout:
    # Log-uniform: short waits teach what to remember, long ones to keep it, and episodes stay short on average.
    arm, delay = int(rng.integers(2)), round(float(np.exp(rng.uniform(*np.log(DELAYS)))))
    side = 1.0 if arm == 0 else -1.0
    cue = (0.47 + rng.uniform(-0.03, 0.03), side * (CUE_Y + rng.uniform(-0.03, 0.03)))
    middle = (0.47 + rng.uniform(-0.03, 0.03), rng.uniform(-0.02, 0.02))
    (colour,) = colours(rng, 1)
    changes = (Change(SHOWN, "pad0", None), Change(SHOWN + CHUNK * delay, "pad0", middle))
    return replace(Layout.of(pad("pad0", cue, colour)), changes=changes, asked_arm=arm)


SCENE = Scene("cue", draw)
