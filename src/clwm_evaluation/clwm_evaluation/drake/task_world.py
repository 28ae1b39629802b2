"""A task in Drake: it starts as MuJoCo's does, goes on in the other simulator, and is judged by the same goals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from clwm_evaluation.drake.process import DrakeProcess
from clwm_evaluation.drake.stage import DrakeStage
from clwm_evaluation.virtual.conditions import Condition, ConditionedWorld
from clwm_sim.situation import Situation
from clwm_sim.stage import ArmsMeasured, Setpoint


class DrakeTaskWorld(ConditionedWorld):
    """What a virtual stack asks of a world, answered by Drake from the reset on.

    A process has one scene at a time: reset a world before it goes on, when another one was reset meanwhile. Looks are
    nominal.
    """

    def __init__(self, task: str, condition: Condition, process: DrakeProcess) -> None:
        """Raises as World and DrakeProcess do."""
        self._process = process
        super().__init__(task, condition)

    def reset(self, seed: int, task: str | None = None) -> None:
        self._drake: DrakeStage | None = None
        super().reset(seed, task)
        self._drake = DrakeStage(self._process, self)
        self.ask(self.goal)

    @property
    def time(self) -> float:
        return super().time if self._drake is None else self._drake.time

    def advance(self, until: float, setpoint: Setpoint | None = None, look: Callable[[], None] | None = None) -> None:
        self._drake.advance(until, setpoint, self._judging(look))

    def measured(self) -> ArmsMeasured:
        return self._drake.measured()

    def setpoint(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return super().setpoint() if self._drake is None else self._drake.setpoint()

    def situation(self) -> Situation:
        return super().situation() if self._drake is None else self._drake.situation()

    def render(self, camera: str) -> NDArray[np.uint8]:
        return self._drake.render(camera)
