"""Three blocks of different colours and two pads of different colours, all where either arm reaches."""

from __future__ import annotations

import numpy as np

from clwm_sim.scenes.base import Scene, spread
from clwm_sim.scenes.parts import block, colours, pad
from clwm_sim.scenes.things import Layout

_BOX = ((0.36, 0.58), (-0.22, 0.22))
_APART = 0.105  # m: fingers open around a block touch no other


def draw(rng: np.random.Generator) -> Layout:
    places = spread(rng, [_BOX] * 5, _APART)
    blocks = [
        block(rng, f"block{index}", place, colour)
        for index, (place, colour) in enumerate(zip(places[:3], colours(rng, 3), strict=True))
    ]
    pads = [
        pad(f"pad{index}", place, colour)
        for index, (place, colour) in enumerate(zip(places[3:], colours(rng, 2), strict=True))
    ]
    return Layout.of(*blocks, *pads)


SCENE = Scene("blocks", draw)
