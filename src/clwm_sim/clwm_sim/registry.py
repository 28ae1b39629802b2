"""The scenes and goals there are: those of this package, and those that other packages announce.

A package announces a `Scene` or a subclass of `Goal` as an entry point of the group `clwm.goals`; docs/add-a-task.md
shows one.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from clwm_sim.goals.base import ANY_SCENE, Goal
from clwm_sim.goals.hand_over import HandOver
from clwm_sim.goals.keep_still import KeepStill
from clwm_sim.goals.lift_pot import LiftPot
from clwm_sim.goals.lift_tray import LiftTray
from clwm_sim.goals.load_tray import LoadTray
from clwm_sim.goals.place import Place
from clwm_sim.goals.recall_side import RecallSide
from clwm_sim.goals.stack import Stack
from clwm_sim.goals.turn_lever import TurnLever
from clwm_sim.scenes import blocks, cue, handover, pot, switches, tray
from clwm_sim.scenes.base import Scene
from clwm_sim.scenes.things import Layout

GROUP = "clwm.goals"
_SCENES = (blocks.SCENE, tray.SCENE, handover.SCENE, switches.SCENE, pot.SCENE, cue.SCENE)
_GOALS = (Place, Stack, LiftTray, LoadTray, HandOver, TurnLever, LiftPot, RecallSide, KeepStill)


class RegistryError(ValueError):
    """A scene or goal that does not exist, or an announced one that cannot be used; the message says which and why."""


@cache
def scenes() -> dict[str, Scene]:
    """All scenes by name. Raises RegistryError for an announced one that cannot be used."""
    found = [*_SCENES, *(thing for thing in _announced() if isinstance(thing, Scene))]
    return _by_name(found, [scene.name for scene in found], "scene")


@cache
def goal_kinds() -> dict[str, type[Goal]]:
    """All kinds of goals by name. Raises RegistryError for an announced one that cannot be used."""
    found = [*_GOALS, *(thing for thing in _announced() if not isinstance(thing, Scene))]
    return _by_name(found, [goal.kind for goal in found], "goal")


def scene_named(name: str) -> Scene:
    """Raises RegistryError, listing the scenes there are."""
    if name not in scenes():
        raise RegistryError(f"scene '{name}' does not exist; expected one of {', '.join(scenes())}")
    return scenes()[name]


def kinds_in(scene: str) -> tuple[type[Goal], ...]:
    """The kinds of goals that a scene offers. Raises RegistryError for an unknown scene."""
    scene_named(scene)
    return tuple(kind for kind in goal_kinds().values() if scene in kind.scenes or ANY_SCENE in kind.scenes)


def goals_in(scene: str, layout: Layout) -> tuple[Goal, ...]:
    """All goals of one episode. Raises RegistryError for an unknown scene."""
    return tuple(goal for kind in kinds_in(scene) for goal in kind.offered(layout))


def offers(scene: str | None = None, kind: str | None = None) -> list[tuple[str, str]]:
    """Scenes with the kinds of goals that each offers: of one scene or all, of one kind or all.

    Raises RegistryError for an unknown scene or kind, and for a scene that does not offer the kind.
    """
    if kind is not None and kind not in goal_kinds():
        raise RegistryError(f"goal '{kind}' does not exist; expected one of {', '.join(goal_kinds())}")
    found = [
        (name, goal.kind)
        for name in ([scene] if scene else scenes())
        for goal in kinds_in(name)
        if kind in (None, goal.kind)
    ]
    if not found:
        offered = ", ".join(goal.kind for goal in kinds_in(str(scene)))
        raise RegistryError(f"scene '{scene}' offers no goal '{kind}'; it offers {offered}")
    return found


@cache
def _announced() -> tuple[Scene | type[Goal], ...]:
    return tuple(_load(point) for point in entry_points(group=GROUP))


def _load(point: EntryPoint) -> Scene | type[Goal]:
    where = f"entry point '{point.name} = {point.value}' of group {GROUP}"
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise RegistryError(f"{where} cannot be loaded: {error}; mend it or uninstall its package") from error
    if isinstance(found, Scene) or (isinstance(found, type) and issubclass(found, Goal)):
        return found
    raise RegistryError(f"{where} is a {type(found).__name__}; expected a Scene or a subclass of Goal")


def _by_name(found: list, names: list[str], what: str) -> dict:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise RegistryError(f"{what} '{min(twice)}' is announced twice; rename one or uninstall its package")
    return dict(zip(names, found, strict=True))
