"""Plays an expert on a stage, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ROW_DT
from clwm_sim.controllers.interpolation import between
from clwm_sim.experts.goal_expert import GoalExpert
from clwm_sim.goals.base import Goal
from clwm_sim.goals.judge import Judge
from clwm_sim.scenes.things import Layout
from clwm_sim.stage import Stage


def play(
    stage: Stage,
    expert: GoalExpert,
    goal: Goal,
    layout: Layout,
    judge: Judge | None = None,
    disturb: Callable[[NDArray], NDArray] | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Yield each row (30,) when it has taken effect, for ever: whoever asks decides when it is enough.

    Goes on from where the stage stands. disturb: what becomes of a row on its way to the arms.
    """

    def look() -> None:
        judge.look(stage.time, stage.situation())

    row = expert.row_of(*stage.setpoint())
    began = stage.time
    index = 0
    while True:
        following = expert.next_row(row, goal, layout, stage.situation())
        if disturb is not None:
            following = disturb(following)
        start = began + index * ROW_DT
        stage.advance(start + ROW_DT, between(row, following, start), look if judge is not None else None)
        row, index = following, index + 1
        yield row
