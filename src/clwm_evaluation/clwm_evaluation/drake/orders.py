"""Which trials are made in both simulators, and what is kept of those that were."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clwm_evaluation.calibration.trial_recording import TASKS
from clwm_sim.goals.keep_still import KeepStill
from clwm_sim.registry import offers

EXPERT, POLICY = "expert", "policy"
HOLD, OTHER_TASK = CONTROLS = ("hold", "other-task")  # no policy, the arms hold; the policy told something else
TABLE = "table"  # the scene of both tasks
STILL = 2  # seeds on which experts are asked to keep still: what nobody moves stays where it is


@dataclass(frozen=True)
class TrialOrder:
    """mover: `expert`, `policy`, or one of CONTROLS. kind: of a goal of the scene; a task on the table."""

    mover: str
    scene: str
    kind: str
    seed: int


@dataclass(frozen=True)
class DrakeTrial:
    """How one goal, asked for at the start of an episode, ended in both: `achieved`, `lost` or `open`; s it took."""

    order: TrialOrder
    goal: str
    mujoco: str
    drake: str
    mujoco_seconds: float
    drake_seconds: float


@dataclass(frozen=True)
class Plan:
    """scene: of the experts; None for all. experts, policy, controls: how many seeds, from `first_seed` on."""

    scene: str | None
    first_seed: int
    experts: int
    policy: int
    controls: int

    def goals(self) -> list[tuple[str, str]]:
        """Scenes and kinds of the experts' goals. Raises RegistryError for an unknown scene."""
        return offers(self.scene)

    def orders(self) -> list[TrialOrder]:
        """All in equal shares, so that what is interrupted is of all kinds. Raises as `goals`."""
        goals = self.goals()
        still = [goal for goal in goals if goal[1] == KeepStill.kind]
        moving = [goal for goal in goals if goal not in still]
        tasks = [(TABLE, task) for task in TASKS]
        parts = [
            (EXPERT, moving, self.experts),
            (EXPERT, still, min(self.experts, STILL)),
            (POLICY, tasks, self.policy),
        ]
        parts += [(control, tasks, self.controls) for control in CONTROLS]
        shares = [
            ((number + 0.5) / count, [TrialOrder(mover, *goal, self.first_seed + number) for goal in asked])
            for mover, asked, count in parts
            for number in range(count)
        ]
        return [order for _, some in sorted(shares, key=lambda it: it[0]) for order in some]


class Ledger:
    """A JSON-lines file of trials. Those that were made with something else are made again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, made_with: dict[str, str]) -> dict[TrialOrder, DrakeTrial]:
        """What need not be done again. made_with: by mover. A line that was cut short is left out."""
        text = self._path.read_text() if self._path.exists() else ""
        found = {}
        for line in text[: text.rfind("\n") + 1].splitlines():
            record: dict[str, Any] = json.loads(line)
            order = TrialOrder(**record.pop("order"))
            if record.pop("made_with") == made_with.get(order.mover):
                found[order] = DrakeTrial(order, **record)
        return found

    def append(self, trial: DrakeTrial, made_with: dict[str, str]) -> None:
        """Keep a trial, as a whole line whatever was cut off before."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = self._path.read_text() if self._path.exists() else ""
        if not text.endswith("\n"):
            self._path.write_text(text[: text.rfind("\n") + 1])
        with self._path.open("a") as stream:
            stream.write(json.dumps({**asdict(trial), "made_with": made_with[trial.order.mover]}) + "\n")
