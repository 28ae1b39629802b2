"""The tasks by name."""

from clwm_sim.tasks.base import PadChange, Placement, Pose, Situation, Task, UnknownTask
from clwm_sim.tasks.lift_tray import LiftTray
from clwm_sim.tasks.place_block import PlaceBlock
from clwm_sim.tasks.remember_side import RememberSide

TASKS: dict[str, Task] = {task.name: task for task in (LiftTray(), PlaceBlock(), RememberSide())}


def task_named(name: str) -> Task:
    """The task `name`, or its variant `name:variant`, such as `remember_side:20` for a delay of 20 chunks.

    Raises UnknownTask, listing the tasks there are, or saying which variants there are.
    """
    base, colon, variant = name.partition(":")
    if colon and base == RememberSide.name:
        return RememberSide.parse(variant)
    if name not in TASKS:
        raise UnknownTask(f"task '{name}' does not exist; expected one of {', '.join(sorted(TASKS))}")
    return TASKS[name]


__all__ = ["TASKS", "PadChange", "Placement", "Pose", "RememberSide", "Situation", "Task", "UnknownTask", "task_named"]
