"""What does not change while a console runs: the robot's joints and cameras, and the goals that its policy knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from clwm_common.files.model_files import ModelFiles
from clwm_common.files.policy_document import read_policy_document
from clwm_common.robot.description import RobotDescription


@dataclass(frozen=True)
class Facts:
    """goals: sentences by the name of what they ask for, as the policy was trained with them. lower, upper: rad."""

    robot: str
    is_simulated: bool
    cameras: tuple[str, ...]
    joint_names: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    goals: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def wording(self, instruction: str) -> str:
        """What is known of a sentence before the policy has it."""
        plain = _plain(instruction)
        for goal, sentences in self.goals.items():
            if plain in map(_plain, sentences):
                return f"the policy was trained with this sentence, for '{goal}'"
        return "the policy was not trained with this sentence, but takes it; it knows " + ", ".join(self.goals)

    def as_plain(self) -> dict[str, Any]:
        """For JSON."""
        return dict(vars(self))


def facts_of(robot: RobotDescription, model: str) -> Facts:
    """Raises ModelFilesError or CheckpointError when the model's policy cannot be read."""
    document = read_policy_document(ModelFiles.load(model).policy.with_suffix(".json"))
    return Facts(
        robot.name,
        robot.driver == "clwm_sim",
        tuple(robot.cameras),
        tuple(robot.joint_names),
        tuple(robot.limit("position_lower").tolist()),
        tuple(robot.limit("position_upper").tolist()),
        document.inputs.sentences,
    )


def _plain(sentence: str) -> str:
    return " ".join(sentence.casefold().split()).rstrip(" .!?")
