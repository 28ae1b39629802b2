"""States of the world as episodes meet them: experts pursue goals under disturbance, and are looked at on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from clwm_common.actions import ROW_DT
from clwm_common.robot.description import RobotDescription
from clwm_embodichain.expansion.capability_map import CapabilityMap
from clwm_embodichain.expansion.disturbance import Disturbance
from clwm_embodichain.expansion.hand_starts import HandStartSolver
from clwm_embodichain.expansion.hand_starts import draw as draw_hands
from clwm_embodichain.expansion.trouble import Trouble, disturbed
from clwm_sim.controllers.interpolation import between
from clwm_sim.experts.goal_expert import GoalExpert
from clwm_sim.experts.playing import play
from clwm_sim.experts.task_expert import Expert
from clwm_sim.goals.judge import Judge
from clwm_sim.registry import goals_in, scene_named
from clwm_sim.scenes.task_table import TABLE
from clwm_sim.scenes.things import Change, Layout
from clwm_sim.shipped_tasks import TASKS
from clwm_sim.stage import Stage
from clwm_sim.world import World

HANDS_SHARE = 0.6  # of the starts have hands somewhere over the table
STARTS = 3  # looked at of other layouts, before one is played: they show objects where nothing has moved them
PURSUED = 8.0  # s at most for a goal
APART = (0.4, 2.0)  # s from one look to the next
CHANGES_APART = 1.5  # s at most: waiting for a change shows nothing new


class RollOuts:
    """Endless episodes; physics only, pictures are somebody else's. One scene at a time."""

    def __init__(self, robot: RobotDescription) -> None:
        self._robot = robot
        self._expert = GoalExpert(robot)
        self._capability, self._solver = CapabilityMap(robot), HandStartSolver(robot)
        self._stage: Stage | None = None
        self._world: tuple[World, Expert] | None = None

    def states(self, scene: str, rng: np.random.Generator) -> Iterator[Stage]:
        """The stage at starts and at moments of episodes, going on when the next one is asked for.

        scene: one of the registry, or the first tasks' table. Raises RegistryError for another one.
        """
        return self._on_first_table(rng) if scene == TABLE.name else self._in_scene(scene, rng)

    def _in_scene(self, name: str, rng: np.random.Generator) -> Iterator[Stage]:
        scene = scene_named(name)
        if self._stage is None:
            self._stage = Stage(scene, self._robot, image_size=32)
        elif self._stage.scene is not scene:
            self._stage.build(scene)
        stage, expert = self._stage, self._expert
        while True:
            for _ in range(STARTS):
                stage.set_up(scene.draw(rng), rng)
                self._move_hands(stage, rng)
                yield stage
            layout = without_waiting(scene.draw(rng))
            stage.set_up(layout, rng)
            expert.start()
            offered = goals_in(name, layout)
            goal = offered[rng.integers(len(offered))]
            judge, due = Judge([goal], 0.0, stage.situation()), rng.uniform(*APART)
            trouble = Trouble(stage, expert, Disturbance(rng))
            for _ in play(stage, expert, goal, layout, judge, trouble):
                if stage.time >= due:
                    yield stage
                    due = stage.time + rng.uniform(*APART)
                if judge.verdicts[goal.name] != "open" or stage.time > PURSUED:
                    break

    def _move_hands(self, stage: Stage, rng: np.random.Generator) -> None:
        """To anywhere over the table, sometimes; not where arms would touch."""
        if rng.random() >= HANDS_SHARE:
            return
        before = stage.measured()
        hands = draw_hands(rng, self._capability, self._robot.left.gripper.opening_max)
        joints = None if hands is None else self._solver.joints(hands, stage.physics.table_height)
        if hands is not None and joints is not None:
            stage.put_arms(joints, hands.widths)
            if stage.arms_touch():
                stage.put_arms(before.positions, before.widths)

    def _on_first_table(self, rng: np.random.Generator) -> Iterator[Stage]:
        tasks = list(TASKS)
        if self._world is None:
            world = World(tasks[0], image_size=32, robot=self._robot)
            self._world = world, Expert(world)
        world, expert = self._world
        while True:
            for task in rng.choice(tasks, STARTS):
                world.reset(int(rng.integers(1 << 31)), task)
                yield world
            world.reset(int(rng.integers(1 << 31)), tasks[rng.integers(len(tasks))])
            row, index, due = expert.start(), 0, rng.uniform(*APART)
            disturbance = Disturbance(rng)
            while world.time < PURSUED and not (world.succeeded() or world.failed()):
                if world.time >= due:
                    yield world
                    due = world.time + rng.uniform(*APART)
                following = disturbed(expert.next_row(row), expert, disturbance)
                world.advance((index + 1) * ROW_DT, between(row, following, index * ROW_DT))
                row, index = following, index + 1


def without_waiting(layout: Layout) -> Layout:
    """The same, with changes that follow one another within `CHANGES_APART`."""
    at, before, changes = 0.0, 0.0, []
    for change in layout.changes:
        at += min(change.at - before, CHANGES_APART)
        before = change.at
        changes.append(Change(at, change.name, change.place))
    return replace(layout, changes=tuple(changes))
