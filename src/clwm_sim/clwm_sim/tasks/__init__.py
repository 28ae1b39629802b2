"""The tasks by name."""

from clwm_sim.tasks.base import Placement, Pose, Situation, Task, UnknownTask
from clwm_sim.tasks.lift_tray import LiftTray
from clwm_sim.tasks.place_block import PlaceBlock

TASKS: dict[str, Task] = {task.name: task for task in (LiftTray(), PlaceBlock())}


def task_named(name: str) -> Task:
    """Raises UnknownTask, listing the tasks there are."""
    if name not in TASKS:
        raise UnknownTask(f"task '{name}' does not exist; expected one of {', '.join(sorted(TASKS))}")
    return TASKS[name]


__all__ = ["TASKS", "Placement", "Pose", "Situation", "Task", "UnknownTask", "task_named"]
