"""Plays an expert on a stage, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ROW_DT
from clwm_sim.controllers.interpolation import between
from clwm_sim.experts.goal_expert import GoalExpert, Pursuit
from clwm_sim.goals.judge import Judge
from clwm_sim.scenes.things import Layout
from clwm_sim.situation import Situation
from clwm_sim.stage import Stage


@dataclass(frozen=True)
class Step:
    """A row that is decided and about to take effect: the stage still is as it was decided from.

    row: (30,) in force now; command: (30,) that the expert answers; executed: (30,) that the arms are sent instead;
    velocity: (2, 6) twist that the expert's commands moved with before; goal: what it pursues.
    """

    row: NDArray[np.float32]
    command: NDArray[np.float32]
    executed: NDArray[np.float32]
    now: Situation
    velocity: NDArray[np.float64]
    goal: Pursuit


def play(
    stage: Stage,
    expert: GoalExpert,
    goal: Pursuit,
    layout: Layout,
    judge: Judge | None = None,
    disturb: Callable[[NDArray, Situation], NDArray] | None = None,
) -> Iterator[Step]:
    """Yield each step before it takes effect, which it does when the next one is asked for; for ever.

    Goes on from where the stage stands. disturb: what becomes of a command (30,) on its way to the arms; it may
    do other things to the stage, which the step does not know.
    """

    def look() -> None:
        judge.look(stage.time, stage.situation())

    row = expert.row_of(*stage.setpoint())
    began = stage.time
    index = 0
    while True:
        now, velocity = stage.situation(), expert.velocity
        command = expert.next_row(row, goal, layout, now)
        executed = command if disturb is None else disturb(command, now)
        yield Step(row, command, executed, now, velocity, goal)
        start = began + index * ROW_DT
        stage.advance(start + ROW_DT, between(row, executed, start), look if judge is not None else None)
        row, index = executed, index + 1
