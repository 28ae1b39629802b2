"""Episodes of a policy at work, with a human beside it or alone, as recordings of them would be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ROW_DT
from clwm_common.messages import Mode
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_embodichain.episodes.storage import IMAGE_STRIDE, Episode, episode_path
from clwm_embodichain.recordings.grid_episode import episode_of_rows
from clwm_evaluation.interventions.human import ScriptedHuman
from clwm_evaluation.suites.episodes import Episodes, Job
from clwm_evaluation.suites.world import SuiteWorld
from clwm_evaluation.virtual.stack import EPISODE_START
from clwm_sai_executor.events import Event
from clwm_sim.pacing import TICK

_TICKS_PER_ROW = round(ROW_DT / TICK)


class Tape:
    """What was measured, commanded and seen in one episode of `world`, row by row, and who moved the arms."""

    def __init__(self, world: SuiteWorld) -> None:
        self._world, self._row_of = world, DualArmKinematics(world.robot).row
        self._ticks = 0
        self._states: list[NDArray[np.float32]] = []
        self._executed: list[NDArray[np.float32]] = []
        self._images: list[NDArray[np.uint8]] = []
        self._modes: list[Mode] = []

    def look(self, mode: Mode) -> None:
        """Once a tick."""
        if self._ticks % _TICKS_PER_ROW == 0:
            world = self._world
            measured = world.measured()
            if len(self._states) % IMAGE_STRIDE == 0:
                self._images.append(np.stack([world.render(camera) for camera in world.robot.cameras]))
            self._states.append(self._row_of(measured.positions, measured.widths))
            self._executed.append(self._row_of(*world.setpoint()))
            self._modes.append(mode)
        self._ticks += 1

    def episode(self, seed: int, told: str, *, succeeded: bool) -> Episode:
        """All of it. told: the instruction."""
        world, modes = self._world, np.array(self._modes)
        return episode_of_rows(
            np.stack(self._images),
            np.stack(self._states),
            np.stack(self._executed),
            interventions=modes == Mode.TELEOP,
            held=modes > Mode.TELEOP,
            instructions=(told,),
            goals=(world.goal.name,),
            cameras=tuple(world.robot.cameras),
            success=succeeded,
            scene=world.scene.name,
            seed=seed,
        )


class Collector:
    """Plays and keeps one episode after the other; those that are there are not played again."""

    def __init__(self, episodes: Episodes, goal: str, condition: str, mover: str, *, is_attended: bool) -> None:
        """is_attended: by the scripted human."""
        self._episodes, self._is_attended = episodes, is_attended
        self._job: Callable[[int], Job] = lambda seed: Job(seed, goal, condition, mover)
        self._goal = goal
        self._human: ScriptedHuman | None = None

    def collect(self, seed: int, folder: Path) -> Episode:
        """The episode of this seed, from `folder` if it is there, else played and kept there."""
        scene, _, kind = self._goal.partition("/")
        path = episode_path(folder, scene, kind, seed)
        if path.exists():
            return Episode.load(path)
        tapes: list[Tape] = []

        def attend(world: SuiteWorld) -> Callable[[float, Mode], Iterable[Event]]:
            tape = Tape(world)
            tapes.append(tape)
            if self._is_attended:
                self._human = self._human or ScriptedHuman(world)
                self._human.begin(EPISODE_START)

            def on_tick(now: float, mode: Mode) -> Iterable[Event]:
                tape.look(mode)
                return list(self._human.act(now, mode)) if self._human is not None else ()

            return on_tick

        outcome, _ = self._episodes.run(self._job(seed), attend)
        episode = tapes[0].episode(seed, outcome.told, succeeded=outcome.succeeded)
        episode.save(path)
        return episode
