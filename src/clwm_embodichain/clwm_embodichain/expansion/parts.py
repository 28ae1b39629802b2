"""The parts of domain expansion by name, which of them are on, and the random numbers that each draws from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

PARTS = ("visual", "physics", "reachability", "recovery", "mounting")


class ExpansionError(ValueError):
    """A part that does not exist; the message lists those that do."""


@dataclass(frozen=True)
class Expansion:
    """Which parts are on."""

    parts: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Expansion:
        """From "all", "none", or names of parts with commas between them. Raises ExpansionError."""
        match text.strip():
            case "all":
                return cls(frozenset(PARTS))
            case "none":
                return cls()
        names = [name.strip() for name in text.split(",")]
        if unknown := [name for name in names if name not in PARTS]:
            raise ExpansionError(f"expansion '{unknown[0]}' does not exist; expected all, none, or {_listed(PARTS)}")
        return cls(frozenset(names))

    def __contains__(self, part: str) -> bool:
        return part in self.parts

    def __str__(self) -> str:
        """What `parse` makes it of."""
        on = [part for part in PARTS if part in self.parts]
        return "all" if len(on) == len(PARTS) else ",".join(on) or "none"


NOTHING = Expansion()


def generator(seed: int, part: str) -> np.random.Generator:
    """What a part draws from in the episode of this seed: the same whichever other parts are on."""
    return np.random.default_rng([seed, 100 + PARTS.index(part)])


def _listed(names: Iterable[str]) -> str:
    return "some of " + ",".join(names)
