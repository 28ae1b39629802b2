"""The suites: what a policy is told, shown and given besides the nominal world, and how each is judged."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from clwm_embodichain.expansion.distractors import APART
from clwm_embodichain.expansion.visual import draw
from clwm_sim.looks.looks import CameraLook, Distractor, Looks, Surface
from clwm_sim.looks.views import head_sees
from clwm_sim.physics import NOMINAL, Physics
from clwm_sim.scenes.cue import CHUNK, SHOWN
from clwm_sim.scenes.things import PALETTE, Layout
from clwm_sim.stage import Stage

CUE_DELAYS = (2, 20, 60)  # chunks
DISTRACTORS = 3
SLIPPERY = 0.6
HEAD_TURNED, TURN = "head-turned", 6.0  # deg
_CROWDED = 2.0  # strength of looks at which as many distractors are drawn as there may be
_DRAWS = 20

Told = Literal["its own", "held out", "another", "keep still", "to act"]


@dataclass(frozen=True)
class Condition:
    """One change of the world, the sentence or the memory that a policy is evaluated in, beside the nominal one.

    meaning: a few words for a table. change: called after every reset, with a generator of the episode's own. told:
    which sentence: one of the goal's own, one that no training may see, one of another goal while the first is still
    the one that is judged, to keep still, which is judged then, or to act while keeping still is judged. delay: chunks
    that a cue has to be remembered for. forgets: W_long is emptied before every chunk. expert: the scripted expert is
    tried under it as well. is_control: a good policy fails.
    """

    name: str
    meaning: str
    change: Callable[[Stage, np.random.Generator], None] | None = None
    physics: Physics = NOMINAL
    told: Told = "its own"
    delay: int | None = None
    forgets: bool = False
    expert: bool = False
    is_control: bool = False

    def layout(self, drawn: Layout) -> Layout:
        """What becomes of an episode's layout."""
        if self.delay is None or not drawn.changes:
            return drawn
        shown = replace(drawn.changes[-1], at=SHOWN + CHUNK * self.delay)
        return replace(drawn, changes=(*drawn.changes[:-1], shown))


def _random_colours(stage: Stage, rng: np.random.Generator) -> None:
    named = {
        f"{thing.name}/{part.name}"
        for thing in stage.layout.things.values()
        for part in thing.parts
        if thing.colour and part.colour == PALETTE[thing.colour]
    }
    drawn = draw(rng, stage.layout).surfaces
    plain = {name: Surface(surface.colour) for name, surface in drawn.items() if name not in named}
    stage.apply_looks(Looks(surfaces=plain))


def _distractors(stage: Stage, rng: np.random.Generator) -> None:
    """Where the head camera sees them: one beside its picture distracts nobody."""
    standing: list[Distractor] = []
    for _ in range(_DRAWS):
        for drawn in draw(rng, stage.layout, _CROWDED).distractors:
            is_seen = head_sees([(*drawn.place, drawn.height)], CameraLook(), stage.scene.head_fovy)
            is_free = all(math.dist(drawn.place, it.place) > drawn.extent + it.extent + APART for it in standing)
            if is_seen and is_free and len(standing) < DISTRACTORS:
                standing.append(drawn)
    stage.apply_looks(Looks(distractors=tuple(standing)))


NOMINAL_CONDITION = Condition("nominal", "nothing is changed", expert=True)
SUITES: dict[str, tuple[Condition, ...]] = {
    "goals": (
        NOMINAL_CONDITION,
        Condition("no-memory", "W_long emptied before every chunk", forgets=True),
    ),
    "instructions": (
        NOMINAL_CONDITION,
        Condition("held-out", "worded as in no training", told="held out"),
        Condition("another", "told another goal; the first is judged", told="another", is_control=True),
        Condition("keep-still", "asked to keep still", told="keep still", expert=True),
        Condition("not-told-still", "told the goal; keeping still is judged", told="to act", is_control=True),
    ),
    "looks": (
        replace(NOMINAL_CONDITION, expert=False),
        Condition("random-colours", "all that is not named in random colours", _random_colours),
        Condition(
            "cameras-off",
            "cameras off by up to 2.4 cm and 3 degrees about each axis",
            lambda stage, rng: stage.randomise_appearance(rng, strength=0.0, camera_jitter=3.0),
        ),
        Condition(
            "strong-looks",
            "colours and light at 2.5 times the spread of the first training",
            lambda stage, rng: stage.randomise_appearance(rng, strength=2.5, camera_jitter=0.0),
        ),
        Condition("distractors", "three things that no goal is about", _distractors, expert=True),
    ),
    "cameras": (
        replace(NOMINAL_CONDITION, expert=False),
        Condition(
            HEAD_TURNED,
            f"head camera turned sideways by {TURN:g} degrees",
            lambda stage, rng: stage.apply_looks(
                Looks(cameras={"head": CameraLook(turn=(0.0, math.radians(TURN), 0.0))})
            ),
        ),
    ),
    "physics": (
        NOMINAL_CONDITION,
        Condition("heavy", "objects of 3 times the mass", physics=Physics(mass=3.0), expert=True),
        Condition(
            "slippery",
            f"objects, fingers and table with {SLIPPERY} times the friction",
            physics=Physics(friction=SLIPPERY, finger_friction=SLIPPERY, table_friction=SLIPPERY),
            expert=True,
        ),
        Condition("late", "commands take effect 50 ms later", physics=Physics(latency=0.05), expert=True),
    ),
    "memory": tuple(
        condition
        for delay in CUE_DELAYS
        for condition in (
            Condition(f"after-{delay}", f"the cue was {delay} chunks ago", delay=delay, expert=True),
            Condition(
                f"after-{delay}-reset",
                f"the cue was {delay} chunks ago, and W_long is emptied before every chunk",
                delay=delay,
                forgets=True,
                is_control=True,
            ),
        )
    ),
}
MEMORY_KINDS = {"recall_side", "remember_side"}
STILL_KIND = "keep_still"


def asks_for(suite: str, kind: str) -> bool:
    """Whether a suite has episodes of a kind of goal."""
    if suite == "memory":
        return kind in MEMORY_KINDS
    return suite == "goals" or kind not in {*MEMORY_KINDS, STILL_KIND}
