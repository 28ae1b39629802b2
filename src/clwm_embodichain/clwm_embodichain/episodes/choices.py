"""What an episode can be recorded of: the kinds of goals that each scene offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clwm_sim.registry import RegistryError, goal_kinds, offers
from clwm_sim.scenes.task_table import TABLE
from clwm_sim.shipped_tasks import TASKS


@dataclass(frozen=True)
class GoalChoice:
    """A kind of goal in a scene."""

    scene: str
    kind: str

    def __str__(self) -> str:
        return f"{self.scene}/{self.kind}"

    @property
    def sentences(self) -> tuple[str, ...]:
        """By which training asks for it, with `{slots}` where they name something."""
        return TASKS[self.kind].instructions if self.scene == TABLE.name else goal_kinds()[self.kind].training


def choices(scene: str = "all", kind: str = "all") -> tuple[GoalChoice, ...]:
    """Those of one scene or of all, of one kind or of all; the first tasks' `table` is a scene only when it is named.

    Raises RegistryError for a scene or a goal that does not exist.
    """
    if scene != TABLE.name:
        named = [None if name == "all" else name for name in (scene, kind)]
        return tuple(GoalChoice(*offer) for offer in offers(*named))
    kinds = tuple(TASKS) if kind == "all" else (kind,)
    if kinds[0] not in TASKS:
        raise RegistryError(f"scene '{TABLE.name}' offers no goal '{kind}'; it offers {', '.join(TASKS)}")
    return tuple(GoalChoice(TABLE.name, each) for each in kinds)


def parse_choices(text: str) -> tuple[GoalChoice, ...]:
    """From `all`, scenes, and goals of scenes with commas between them, such as `blocks,tray/lift_tray`.

    Raises RegistryError.
    """
    named = [part.strip().partition("/") for part in text.split(",")]
    found = [choice for scene, slash, kind in named for choice in choices(scene, kind if slash else "all")]
    return tuple(dict.fromkeys(found))


def asked_in(played: Sequence[GoalChoice]) -> tuple[GoalChoice, ...]:
    """All that is asked for in episodes of these: any may go on with another goal of its scene."""
    scenes = dict.fromkeys(choice.scene for choice in played if choice.scene != TABLE.name)
    return tuple(dict.fromkeys([*played, *(beside for scene in scenes for beside in choices(scene))]))


def kinds_of(played: Sequence[GoalChoice]) -> tuple[str, ...]:
    """Each kind that is asked for once."""
    return tuple(dict.fromkeys(choice.kind for choice in asked_in(played)))
