"""A gripper as a robot's file describes it: its range, its finger, and what takes its openings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from clwm_common.files.config_files import Strict
from clwm_common.names import topic_name
from clwm_common.robot.camera_source import OwnTopic

Name = Annotated[str, Field(min_length=1)]
Topic = Annotated[str, AfterValidator(topic_name)]


class GripperTopic(Strict):
    """A gripper that takes openings [m] as std_msgs/Float64."""

    kind: Literal["topic"]
    name: Topic


class GripperAction(Strict):
    """A gripper that takes goals of an action of control_msgs, or of clwm_msgs' MoveGripper.

    scale: what the goal counts for 1 m of opening: 1 where it is the opening, 0.5 where it is one of two finger joints.
    max_effort: N; 0 leaves it to the gripper's controller.
    """

    kind: Literal["action"]
    name: Topic
    type: Literal["GripperCommand", "ParallelGripperCommand", "MoveGripper"] = "GripperCommand"
    scale: float = Field(1.0, gt=0.0)
    max_effort: float = Field(0.0, ge=0.0)


class Gripper(Strict):
    """A parallel gripper: opening range [m] and who takes an opening.

    joint_states_topic: where its finger is published; empty where the arm's joints are.
    """

    joint_states_topic: OwnTopic = ""
    opening_min: float = Field(0.0, ge=0.0)
    opening_max: float = Field(0.08, gt=0.0, le=1.0)
    speed: float = Field(0.1, gt=0.0, description="m/s of opening")
    finger_joint: Name
    command: Annotated[GripperTopic | GripperAction, Field(discriminator="kind")]

    @model_validator(mode="after")
    def _ordered(self) -> Gripper:
        if self.opening_min >= self.opening_max:
            low, high = self.opening_min, self.opening_max
            raise ValueError(f"opening_min is {low} m; expected less than opening_max, {high} m")
        return self
