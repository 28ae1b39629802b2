"""The experts' trials in MuJoCo and in Drake, from the same start, and how alike the two worlds are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clwm_description.urdf import link_name
from clwm_embodichain.expansion.attempts import Attempt, Attempts
from clwm_evaluation.drake.orders import DrakeTrial, TrialOrder
from clwm_evaluation.drake.process import DrakeProcess
from clwm_evaluation.drake.stage import DrakeStage
from clwm_sim.cameras import CAMERAS
from clwm_sim.experts.goal_expert import GoalExpert
from clwm_sim.experts.playing import play
from clwm_sim.goals.judge import Judge
from clwm_sim.scenes.workcell import SIDES
from clwm_sim.stage import Stage

PICTURE = 128  # px
FAR = 0.1  # of white, from which on a pixel counts as another one


class ExpertTrials:
    """Makes trials one after the other, with one Drake process.

    sheet: RGB (height, width, 3) of the last likeness: all cameras, MuJoCo's pictures above Drake's.
    """

    sheet: NDArray[np.uint8]

    def __init__(self, process: DrakeProcess) -> None:
        self._process = process
        self._attempts = Attempts(image_size=PICTURE)

    def run(self, order: TrialOrder) -> DrakeTrial:
        """The trial of this seed in Drake and then in MuJoCo. Raises AttemptError, DrakeError."""
        attempt = self._attempts.prepare(order.scene, order.kind, order.seed)
        drake = DrakeStage(self._process, attempt.stage)
        outcome = self._in_drake(drake, attempt)
        for _ in attempt.play():
            pass
        return DrakeTrial(
            order,
            attempt.goal.name,
            mujoco=attempt.outcome,
            drake=outcome,
            mujoco_seconds=round(attempt.stage.time - attempt.asked_at, 2),
            drake_seconds=round(drake.time, 2),
        )

    def likeness(self, scene: str, seed: int) -> dict[str, Any]:
        """How far masses, axes and pictures of a scene's start are apart. Raises AttemptError, DrakeError."""
        stage = self._attempts.prepare(scene, None, seed).stage
        drake = DrakeStage(self._process, stage)
        pictures = {camera: (stage.render(camera), drake.render(camera)) for camera in CAMERAS}
        self.sheet = np.vstack([np.hstack(row) for row in zip(*pictures.values(), strict=True)])
        return {
            "scene": scene,
            "mass_kg": _largest(_masses(stage), drake.arms["masses"]),
            "axes": _largest(_axes(stage), drake.arms["axes"]),
            "pictures": {camera: _difference(*pair) for camera, pair in pictures.items()},
        }

    def _in_drake(self, drake: DrakeStage, attempt: Attempt) -> str:
        goal = attempt.goal
        judge = Judge(attempt.goals, 0.0, drake.situation())
        expert = GoalExpert(attempt.stage.robot)
        for _ in play(drake, expert, goal, attempt.layout, judge):
            if judge.verdicts[goal.name] != "open" or drake.time >= goal.timeout:
                break
        return judge.verdicts[goal.name]


def _difference(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> dict[str, float]:
    """Between two pictures, of white: the median, and the share of pixels that are further apart than FAR beyond it.

    Two renderers do not agree on how bright a scene is: the second is brought to the first one's mean.
    """
    brightness = first.mean() / max(second.mean(), 1.0)
    apart = np.abs(first.astype(float) - np.minimum(second * brightness, 255.0)).max(axis=-1) / 255.0
    return {"median": round(float(np.median(apart)), 4), "share_far": round(float((apart > FAR).mean()), 4)}


def _masses(stage: Stage) -> dict[str, float]:
    """Of the arms' links that move, by the URDF's names, kg."""
    model, _ = stage.compiled
    names = [model.body(number).name for number in range(model.nbody)]
    return {
        link_name(name): float(model.body(name).mass[0])
        for name in names
        if name.startswith(SIDES) and model.body(name).mass[0] > 0.0
    }


def _axes(stage: Stage) -> dict[str, list[float]]:
    """Of the arms' joints by the URDF's names: direction (3,) and a point on it (3,) m, in the world."""
    model, data = stage.compiled
    found = {}
    for side, arm in zip(SIDES, stage.robot.arms, strict=True):
        for number, name in enumerate(arm.joint_names, start=1):
            joint = model.joint(f"{side}/fr3_joint{number}").id
            found[name] = [*data.xaxis[joint].tolist(), *data.xanchor[joint].tolist()]
    return found


def _largest(expected: Mapping[str, Any], found: Mapping[str, Any]) -> float:
    """Largest difference over all names that are expected. Raises KeyError for one that is missing."""
    differences = [np.abs(np.subtract(value, found[name])).max() for name, value in expected.items()]
    return float(f"{max(differences):.3g}")
