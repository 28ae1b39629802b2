"""What predicates and experts may look at: where everything is now, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_sim.scenes.things import Grip, Layout, Thing


@dataclass(frozen=True)
class State:
    """One object: position (3,) m and rotation (3, 3) of its frame in the world, speed m/s, angle rad of its hinge."""

    position: NDArray[np.float64]
    rotation: NDArray[np.float64]
    speed: float = 0.0
    angle: float = 0.0

    @property
    def tilt(self) -> float:
        """Angle between its z axis and the vertical, rad."""
        return float(np.arccos(np.clip(self.rotation[2, 2], -1.0, 1.0)))

    @property
    def yaw(self) -> float:
        """Of its x axis about the vertical, rad."""
        return float(np.arctan2(self.rotation[1, 0], self.rotation[0, 0]))

    def at(self, grip: Grip) -> NDArray[np.float64]:
        """Where a grip is in the world, (3,) m."""
        return self.position + self.rotation @ np.asarray(grip.point)


@dataclass(frozen=True)
class Obstacle:
    """What stands at place (2,) m of the table and cannot be moved, and covers `extent` m around it."""

    place: NDArray[np.float64]
    extent: float


@dataclass(frozen=True)
class Situation:
    """Objects that are there, by name, and both hands, left first: tcp (2, 3) m, widths (2,) m of opening.

    obstacles: what stands about that no goal is about. Heights are over the table's top, which is table_height m over
    the z = 0 of rows and of the robot's description.
    """

    objects: Mapping[str, State]
    tcp: NDArray[np.float64]
    widths: NDArray[np.float64]
    table_height: float = 0.0
    obstacles: tuple[Obstacle, ...] = ()

    @classmethod
    def at_start(cls, layout: Layout, tcp: NDArray, widths: NDArray, table_height: float = 0.0) -> Situation:
        """How things are before anything moves."""
        objects = {name: _placed(thing) for name, thing in layout.things.items() if thing.present}
        return cls(objects, tcp, widths, table_height)


def _placed(thing: Thing) -> State:
    c, s = np.cos(thing.yaw), np.sin(thing.yaw)
    rotation, angle = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]), 0.0
    if thing.hinge is not None:
        angle = thing.hinge.angle
        c, s = np.cos(angle), np.sin(angle)
        rotation = rotation @ np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    return State(np.array(thing.position), rotation, angle=angle)
