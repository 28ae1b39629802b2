"""Plays one episode of an expert after the other, and records it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import CHUNK_ROWS, ROW_DT
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_embodichain.episodes.choices import GoalChoice
from clwm_embodichain.episodes.storage import IMAGE_STRIDE, REFERENCES, Episode
from clwm_embodichain.episodes.table_recording import STILL_ROWS, check_seeds, record_table_episode
from clwm_embodichain.expansion.attempts import Attempt, Attempts, Retreat
from clwm_embodichain.expansion.parts import NOTHING, Expansion
from clwm_embodichain.expansion.visual import draw_for
from clwm_sim.cameras import CAMERAS
from clwm_sim.experts.playing import Step
from clwm_sim.experts.task_expert import Expert
from clwm_sim.goals.base import Goal
from clwm_sim.goals.keep_still import KeepStill
from clwm_sim.scenes.task_table import TABLE
from clwm_sim.stage import Moment, Stage
from clwm_sim.world import IMAGE_SIZE, World

CHANGE_SHARE = 0.15  # of the episodes ask for something else in their middle
CHANGE_TIME = (0.4, 4.0)  # s after which they do
STOP_SHARE = 0.5  # of those ask to keep still


class Recorder:
    """Records episodes; each scene is compiled once."""

    def __init__(self, image_size: int = IMAGE_SIZE) -> None:
        """image_size: px of square pictures. Raises RobotError when the robot's assets are missing."""
        self._image_size = image_size
        self._attempts = Attempts(image_size)
        self._tables: dict[str, tuple[World, Expert]] = {}
        self._last: _Recording | None = None

    def record(self, choice: GoalChoice, seed: int, expansion: Expansion = NOTHING) -> Episode:
        """Play and record one episode; `success` tells whether it is worth keeping.

        It begins when the goal is asked for. Raises EpisodeError for a seed that is reserved for evaluation, and what
        `Attempts.prepare` raises.
        """
        check_seeds(seed, 1)
        self._last = None
        if choice.scene == TABLE.name:
            return record_table_episode(*self._table(choice.kind), seed)
        attempt = self._attempts.prepare(choice.scene, choice.kind, seed, expansion)
        rng = np.random.default_rng([seed, 2])
        recording = self._last = _Recording(attempt, expansion)
        change = round(rng.uniform(*CHANGE_TIME) / (IMAGE_STRIDE * ROW_DT)) * IMAGE_STRIDE
        if rng.random() < CHANGE_SHARE:
            recording.take(attempt.play(rows=change), rng)
            if other := _another(attempt, rng):
                attempt.ask(other)
        recording.take(attempt.play(linger=STILL_ROWS), rng)
        return recording.episode(choice.scene, seed)

    def in_looks(self, number: int) -> NDArray[np.uint8]:
        """Pictures (n, cameras, height, width, 3) of the last episode once more: in its own looks for number 0, in
        others for each further one. What stands on the table beside is the same.

        Raises ValueError when there is no such episode: those of the scene `table` have one look.
        """
        if self._last is None:
            raise ValueError("no episode can be seen in other looks; record one of a scene other than 'table' first")
        return self._last.in_looks(number)

    def _table(self, task: str) -> tuple[World, Expert]:
        if task not in self._tables:
            world = World(task, self._image_size)
            self._tables[task] = world, Expert(world)
        return self._tables[task]


class _Recording:
    """What happens on the stage of an attempt, step by step."""

    def __init__(self, attempt: Attempt, expansion: Expansion) -> None:
        self._attempt, self._expansion = attempt, expansion
        self._kinematics = DualArmKinematics(attempt.stage.robot)
        self._steps: list[Step] = []
        self._states: list[NDArray[np.float32]] = []
        self._images: list[NDArray[np.uint8]] = []
        self._asked: list[int] = []
        self._goals: list[Goal] = []
        self._instructions: list[str] = []
        self._success = True
        self._things: list[dict[str, NDArray[np.float64]]] = []
        self._looks, self._moments = attempt.stage.looks, list[Moment]()

    def take(self, steps: Iterable[Step], rng: np.random.Generator) -> None:
        """Play the steps, in which one thing is asked for, in a sentence that is drawn for it."""
        goal, stage = self._attempt.goal, self._attempt.stage
        if not self._goals or goal != self._goals[-1]:
            sentences = goal.sentences()
            self._goals.append(goal)
            self._instructions.append(sentences[rng.integers(len(sentences))])
        for step in steps:
            measured = stage.measured()
            self._states.append(self._kinematics.row(measured.positions, measured.widths))
            if len(self._steps) % IMAGE_STRIDE == 0:
                self._images.append(_pictures(stage))
                self._moments.append(stage.moment())
                self._things.append({name: state.position for name, state in stage.situation().objects.items()})
                self._asked.append(len(self._goals) - 1)
            self._steps.append(step)
        self._success &= self._attempt.outcome != "lost"

    def in_looks(self, number: int) -> NDArray[np.uint8]:
        stage, own = self._attempt.stage, self._looks
        rng = np.random.default_rng([own.seed, number])
        others = draw_for(rng, stage.layout, self._expansion) if number else own
        stage.show(self._moments[0])
        stage.apply_looks(replace(others, distractors=own.distractors))
        images = []
        for moment in self._moments:
            stage.show(moment)
            images.append(_pictures(stage))
        return np.stack(images)

    def _references(self, seed: int) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        """Sentences of any of the scene's goals, and where the first two things that each names are, by picture."""
        rng = np.random.default_rng([seed, 3])
        goals = [goal for goal in self._attempt.goals if goal.things]
        drawn = [goals[rng.integers(len(goals))] for _ in range(REFERENCES)] if goals else []
        sentences = [goal.sentences() for goal in drawn]
        nowhere = np.full(3, np.nan)
        places = np.full((len(self._things), len(drawn), 2, 3), np.nan, np.float32)
        for number, goal in enumerate(drawn):
            for index, thing in enumerate(goal.things[:2]):
                places[:, number, index] = [there.get(thing.name, nowhere) for there in self._things]
        return tuple(each[rng.integers(len(each))] for each in sentences), places

    def episode(self, scene: str, seed: int) -> Episode:
        steps = self._steps
        references, referents = self._references(seed)
        rows = range(0, len(steps), IMAGE_STRIDE)
        commands = [steps[0].row, *(step.command for step in steps[:-1])]
        recovering = [False, *(isinstance(step.goal, Retreat) for step in steps[:-1])]
        return Episode(
            images=np.stack(self._images),
            image_rows=np.array(rows),
            asked=np.array(self._asked),
            plans=np.stack([self._attempt.plan(steps[row], CHUNK_ROWS) for row in rows]),
            commands=np.stack(commands),
            executed=np.stack([step.row for step in steps]),
            states=np.stack(self._states),
            interventions=np.array(recovering),
            success=self._success and self._attempt.outcome == "achieved",
            instructions=tuple(self._instructions),
            goals=tuple(goal.name for goal in self._goals),
            cameras=CAMERAS,
            scene=scene,
            expansion=str(self._expansion),
            seed=seed,
            references=references,
            referents=referents,
        )


def _pictures(stage: Stage) -> NDArray[np.uint8]:
    return np.stack([stage.render(camera) for camera in CAMERAS])


def _another(attempt: Attempt, rng: np.random.Generator) -> Goal | None:
    """What may be asked for now instead, often to keep still."""
    others = attempt.others()
    still = [goal for goal in others if isinstance(goal, KeepStill)]
    chosen = still if still and rng.random() < STOP_SHARE else others
    return chosen[rng.integers(len(chosen))] if chosen else None
