"""The tasks by name."""

import numpy as np

from clwm_sim.registry import RegistryError, scenes
from clwm_sim.shipped_tasks.base import (
    PadChange,
    Placement,
    Pose,
    TableSituation,
    TableTask,
    Task,
    UnknownTask,
    table_situation,
)
from clwm_sim.shipped_tasks.lift_tray import LiftTray
from clwm_sim.shipped_tasks.place_block import PlaceBlock
from clwm_sim.shipped_tasks.remember_side import RememberSide
from clwm_sim.shipped_tasks.scene_task import SceneTask

TASKS: dict[str, TableTask] = {task.name: task for task in (LiftTray(), PlaceBlock(), RememberSide())}


def task_named(name: str) -> Task:
    """The task or scene `name`, or its variant `name:variant`: `remember_side:20` is a delay of 20 chunks, and
    `blocks:stack` the scene's goals of one kind.

    Raises UnknownTask, listing the tasks there are, or saying which variants there are.
    """
    base, colon, variant = name.partition(":")
    if colon and base == RememberSide.name:
        return RememberSide.parse(variant)
    if name in TASKS:
        return TASKS[name]
    try:
        if SceneTask.is_one(name):
            return SceneTask.named(name)
        known = ", ".join([*sorted(TASKS), *scenes()])
    except RegistryError as error:
        raise UnknownTask(f"task '{name}': {error}") from error
    raise UnknownTask(f"task '{name}' does not exist; expected one of {known}")


def table_task_named(name: str) -> TableTask:
    """One of the first tasks, with key points and the expert that their policy was trained by. Raises UnknownTask."""
    task = task_named(name)
    if not isinstance(task, TableTask):
        known = ", ".join(sorted(TASKS))
        raise UnknownTask(f"task '{name}' is a scene, whose experts `clwm data check` tries; expected one of {known}")
    return task


def longest_episode(name: str, seed: int) -> float:
    """s that an episode of a task may take, whichever of its goals is asked for. Raises UnknownTask."""
    task = task_named(name)
    goals = task.goals(task.layout(np.random.default_rng([seed, 1])))
    kind = getattr(task, "kind", None)
    return max(goal.timeout for goal in goals if kind in (None, goal.kind))


__all__ = [
    "TASKS",
    "PadChange",
    "Placement",
    "Pose",
    "RememberSide",
    "SceneTask",
    "TableSituation",
    "TableTask",
    "Task",
    "UnknownTask",
    "longest_episode",
    "table_situation",
    "table_task_named",
    "task_named",
]
