"""What a task is: where things lie at the start, what counts as success and as failure, and how to ask for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from clwm_sim.experts.motion import Aim, View
from clwm_sim.goals.base import Goal
from clwm_sim.scenes.base import Scene
from clwm_sim.scenes.task_table import GRASP_HEIGHT, HANDLE_Y, PARKED, TABLE, layout
from clwm_sim.scenes.things import Change, Layout
from clwm_sim.situation import Situation, State


class UnknownTask(ValueError):
    """A task name that does not exist; the message lists those that do."""


@dataclass(frozen=True)
class Pose:
    """A place on the table: m and rad about the vertical."""

    x: float
    y: float
    yaw: float = 0.0


@dataclass(frozen=True)
class PadChange:
    """At `at` s since the reset somebody puts the pad at `pad`, or takes it away."""

    at: float
    pad: Pose | None


@dataclass(frozen=True)
class Placement:
    """Where the objects of an episode lie; an object left out is not there.

    changes: what happens later, in order of time. asked_arm: the arm that has to act, 0 left and 1 right, in a task
    that asks for one; predicates and the expert may know it, a policy is never told.
    """

    tray: Pose | None = None
    block: Pose | None = None
    pad: Pose | None = None
    changes: tuple[PadChange, ...] = ()
    asked_arm: int | None = None


@dataclass(frozen=True)
class TableSituation:
    """What the first tasks' predicates and expert look at: world frame, m, m/s, left arm first."""

    tray_position: NDArray[np.float64]  # (3,) of the underside's middle
    tray_rotation: NDArray[np.float64]  # (3, 3)
    block_position: NDArray[np.float64]  # (3,) of the centre
    block_rotation: NDArray[np.float64]  # (3, 3)
    block_speed: float
    pad_position: NDArray[np.float64]  # (3,)
    handles: NDArray[np.float64]  # (2, 3) grasp points
    tcp: NDArray[np.float64]  # (2, 3)
    widths: NDArray[np.float64]  # (2,)
    asked_arm: int | None = None

    @property
    def tray_tilt(self) -> float:
        """Angle between the tray's normal and the vertical, rad."""
        return float(np.arccos(np.clip(self.tray_rotation[2, 2], -1.0, 1.0)))


class Task(Protocol):
    """What a world plays: how objects lie, which goals can be asked for then, and which one is."""

    name: str
    scene: Scene

    def layout(self, rng: np.random.Generator) -> Layout: ...

    def goals(self, layout: Layout) -> tuple[Goal, ...]: ...

    def asked(self, goals: tuple[Goal, ...], now: Situation, seed: int) -> Goal: ...


class TableTask(ABC):
    """One of the first tasks: a placement on their table, and one goal.

    `instructions` are its sentences for training, `held_out` those that no training may see. `hold_time` is how long
    `is_achieved` must stay true to count; `timeout` ends an episode (s). loss: what has happened when `is_lost`, in
    words.
    """

    scene: ClassVar[Scene] = TABLE
    name: ClassVar[str]
    instructions: ClassVar[tuple[str, ...]]
    held_out: ClassVar[tuple[str, ...]]
    hold_time: ClassVar[float]
    loss: ClassVar[str]
    timeout: float

    @abstractmethod
    def place(self, rng: np.random.Generator) -> Placement:
        """Where the objects of an episode lie."""

    @abstractmethod
    def is_achieved(self, now: TableSituation) -> bool:
        """Whether things are as asked."""

    @abstractmethod
    def is_lost(self, now: TableSituation) -> bool:
        """Whether that can no longer be."""

    def layout(self, rng: np.random.Generator) -> Layout:
        """A placement as the stage takes it."""
        placed = self.place(rng)
        tray, block, pad = (None if p is None else (p.x, p.y, p.yaw) for p in (placed.tray, placed.block, placed.pad))
        changes = tuple(
            Change(change.at, "pad", None if change.pad is None else (change.pad.x, change.pad.y))
            for change in placed.changes
        )
        return replace(layout(tray, block, pad), changes=changes, asked_arm=placed.asked_arm)

    def goals(self, layout: Layout) -> tuple[Goal, ...]:
        """Its only goal."""
        return (TableGoal(self, layout.asked_arm),)

    def asked(self, goals: tuple[Goal, ...], now: Situation, seed: int) -> Goal:
        return goals[0]


@dataclass(frozen=True)
class TableGoal(Goal):
    """The goal of one of the first tasks. Their expert is `clwm_sim.experts.task_expert.Expert`."""

    kind: ClassVar[str] = "table"
    scenes: ClassVar[tuple[str, ...]] = ()
    task: TableTask
    asked_arm: int | None

    @classmethod
    def offered(cls, layout: Layout) -> tuple[Goal, ...]:
        return ()

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def hold_time(self) -> float:
        return self.task.hold_time

    @property
    def timeout(self) -> float:
        return self.task.timeout

    @property
    def loss(self) -> str:
        return self.task.loss

    def sentences(self, *, held_out: bool = False) -> tuple[str, ...]:
        return self.task.held_out if held_out else self.task.instructions

    def is_achieved(self, now: Situation, start: Situation) -> bool:
        return self.task.is_achieved(table_situation(now, self.asked_arm))

    def is_lost(self, now: Situation, start: Situation) -> bool:
        return self.task.is_lost(table_situation(now, self.asked_arm))

    def aims(self, view: View) -> list[Aim | None]:
        raise NotImplementedError(
            f"goal '{self.name}' of the first tasks is pursued by clwm_sim.experts.task_expert.Expert"
        )


def table_situation(now: Situation, asked_arm: int | None) -> TableSituation:
    """The first tasks' view of their table; absent objects are where they are parked."""
    absent = {name: State(np.array(place), np.eye(3)) for name, place in PARKED.items()}
    tray, block, pad = (now.objects.get(name, absent[name]) for name in ("tray", "block", "pad"))
    grasp = np.array([[0.0, HANDLE_Y, GRASP_HEIGHT], [0.0, -HANDLE_Y, GRASP_HEIGHT]])
    return TableSituation(
        tray_position=tray.position,
        tray_rotation=tray.rotation,
        block_position=block.position,
        block_rotation=block.rotation,
        block_speed=block.speed,
        pad_position=pad.position,
        handles=grasp @ tray.rotation.T + tray.position,
        tcp=now.tcp,
        widths=now.widths,
        asked_arm=asked_arm,
    )
