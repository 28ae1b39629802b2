"""The simulated world: a stage, one task on it, and verdicts. Knows neither ROS nor the wall clock."""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.description import RobotDescription
from clwm_sim.goals.base import Goal
from clwm_sim.goals.judge import Judge, Verdict
from clwm_sim.keypoints import KEYPOINTS, OWNERS, keypoint_array
from clwm_sim.scenes.task_table import TABLE
from clwm_sim.shipped_tasks import TableSituation, table_situation, task_named
from clwm_sim.stage import Setpoint, Stage

ROBOT, IMAGE_SIZE = "dual_fr3_mujoco", 128  # what is simulated, and px of its pictures, unless asked for otherwise


class World(Stage):
    """Two arms and the objects of `task`, whose goals are all judged; pictures are `image_size` pixels wide and high.

    Deterministic for a seed.
    """

    @property
    def task_name(self) -> str:
        return self.task.name

    def __init__(
        self, task: str, image_size: int = IMAGE_SIZE, seed: int = 0, robot: RobotDescription | None = None
    ) -> None:
        """Raises UnknownTask for a task that does not exist, RobotError when the robot's assets are missing."""
        self.task = task_named(task)
        super().__init__(self.task.scene, robot if robot is not None else RobotDescription.load(ROBOT), image_size)
        self.reset(seed)

    def reset(self, seed: int, task: str | None = None) -> None:
        """Start an episode: objects placed and joints offset as `seed` says; `task` switches the task.

        The appearance returns to nominal and `time` to 0. A scene is compiled at its first use, which takes a second.
        Raises UnknownTask.
        """
        if task is not None:
            self.task = task_named(task)
        if self.task.scene is not self.scene:
            self.build(self.task.scene)
        rng = np.random.default_rng([seed, 1])
        self.set_up(self.task.layout(rng), rng)
        self.goals = self.task.goals(self.layout)
        self.ask(self.task.asked(self.goals, self.situation(), seed))

    def ask(self, goal: Goal) -> None:
        """Judge all goals anew from now on; `succeeded` and `failed` are about this one."""
        self.goal = goal
        self._asked_at = self.time
        self._judge = Judge(self.goals, self.time, self.situation())

    def advance(self, until: float, setpoint: Setpoint | None = None, look: Callable[[], None] | None = None) -> None:
        """Step physics until `time` reaches `until`, as `Stage.advance` does, judging every 20 ms before `look`."""
        super().advance(until, setpoint, self._judging(look))

    def _judging(self, look: Callable[[], None] | None) -> Callable[[], None]:
        def judge() -> None:
            self._judge.look(self.time, self.situation())
            if look is not None:
                look()

        return judge

    def become(self, other: World) -> None:
        """Take over the whole state of `other`, a world of the same robot: what happens here next would happen there.

        Nominal appearance is kept. For looking ahead without touching the original.
        """
        super().become(other)
        self.task, self.goals, self.goal = other.task, other.goals, other.goal
        self._asked_at, self._judge = other._asked_at, other._judge.copy()

    def verdicts(self) -> dict[str, Verdict]:
        """How every goal of the scene stands, by name, since something was asked."""
        return self._judge.verdicts

    def succeeded(self) -> bool:
        """Whether the asked goal was achieved, and held for its time, at some moment since it was asked."""
        return self._judge.verdicts[self.goal.name] == "achieved"

    def failed(self) -> bool:
        """Whether the asked goal can no longer be achieved, or its time is over, without having been achieved."""
        is_over = self.time - self._asked_at >= self.goal.timeout
        return self._judge.verdicts[self.goal.name] == "lost" or (is_over and not self.succeeded())

    def instruction(self, seed: int) -> str:
        """One of the sentences that training may use for the asked goal, the same for the same seed."""
        sentences = self.goal.sentences()
        return sentences[np.random.default_rng([seed, 2]).integers(len(sentences))]

    def table(self) -> TableSituation:
        """What the first tasks' experts and predicates look at. Raises ValueError in a scene without their objects."""
        if self.scene is not TABLE:
            where = f"task '{self.task.name}' plays in scene '{self.scene.name}'"
            raise ValueError(f"{where}; key points and tray, block and pad are those of lift_tray and place_block")
        return table_situation(self.situation(), self.layout.asked_arm)

    def scale_masses(self, factor: float) -> None:
        """Let tray and block weigh `factor` times what they weigh now, from the next reset on."""
        for name in ("tray", "block"):
            self._model.body(name).mass[:] *= factor
            self._model.body(name).inertia[:] *= factor
        extent = self._model.stat.extent  # recomputed below, and the cameras' near plane hangs on it
        mujoco.mj_setConst(self._model, self._data)
        self._model.stat.extent = extent

    def keypoints(self) -> dict[str, NDArray[np.float64]]:
        """World positions (3,) by name, the same names in every task; of absent objects they mean nothing."""
        return dict(zip(KEYPOINTS, self.keypoint_array(), strict=True))

    def keypoint_array(self) -> NDArray[np.float64]:
        """The key points as (len(KEYPOINTS), 3) in the order of KEYPOINTS."""
        return keypoint_array(self.table())

    def keypoint_visible(self) -> NDArray[np.bool_]:
        """(len(KEYPOINTS),) whether a key point's object takes part in this task."""
        owners = [OWNERS.get(name, name.split("_")[0]) for name in KEYPOINTS]
        return np.array([self._present.get(owner, True) for owner in owners])
