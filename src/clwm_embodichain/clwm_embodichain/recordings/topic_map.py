"""What the topics of a user's own bag mean here: a YAML file that he writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from clwm_common.actions import ACTION_DIM
from clwm_common.files.config_files import ConfigFileError, Strict, explain, read_yaml
from clwm_common.recordings.reader import RecordingError
from clwm_embodichain.exchange.units import GROUPS, Units

Place = int | str


class TopicChannels(Strict):
    """Which numbers of a topic's messages are which channels, in the order of the 30-number layout.

    By the names of joints in a JointState or a JointTrajectory; by places, the first being 0, in a Float64MultiArray,
    in a Float64, and in a PoseStamped, which has xyz in m and a quaternion xyzw.
    """

    topic: str
    left_joints: list[Place] = Field(default=[], max_length=7)
    right_joints: list[Place] = Field(default=[], max_length=7)
    left_gripper: list[Place] = Field(default=[], max_length=1)
    right_gripper: list[Place] = Field(default=[], max_length=1)
    left_eef: list[Place] = Field(default=[], max_length=7)
    right_eef: list[Place] = Field(default=[], max_length=7)

    @model_validator(mode="after")
    def _makes_sense(self) -> TopicChannels:
        if not self.pairs():
            raise ValueError(f"no group of channels of {self.topic} is given; expected one of {', '.join(GROUPS)}")
        for group in ("left_eef", "right_eef"):
            if len(getattr(self, group)) not in (0, 7):
                raise ValueError(f"{group} has {len(getattr(self, group))} numbers; expected 7: xyz and xyzw")
        return self

    def pairs(self) -> list[tuple[Place, int]]:
        """(name or place in a message, number of the layout) of every channel that is there."""
        return [
            (source, place.start + offset)
            for group, place in GROUPS.items()
            for offset, source in enumerate(getattr(self, group))
        ]


class TopicMap(Units):
    """state: what was measured; action: what was commanded, or nothing: then it is what was measured a row later.

    cameras: name here -> topic. picture_size: px of the square pictures made of the middle of each. clock: by which
    instants are told, the stamp in a message's header or the bag's time of receiving it. instruction: one for all bags,
    or instruction_topic: std_msgs/String, of which the first message counts. scene, goal: what episodes are filed
    under.
    """

    state: list[TopicChannels] = Field(min_length=1)
    action: list[TopicChannels] = []
    cameras: dict[str, str] = Field(min_length=1)
    picture_size: int = Field(default=128, gt=0)
    robot: str | None = None
    clock: Literal["header", "received"] = "header"
    instruction: str | None = None
    instruction_topic: str | None = None
    success: bool = True
    scene: str = "imported"
    goal: str = "demonstrated"

    @model_validator(mode="after")
    def _is_whole(self) -> TopicMap:
        if (self.instruction is None) == (self.instruction_topic is None):
            raise ValueError("expected either instruction or instruction_topic")
        for name in ("state", "action"):
            to = [to for channels in getattr(self, name) for _, to in channels.pairs()]
            if len(set(to)) != len(to):
                raise ValueError(f"{name} fills a channel of the layout twice")
        if self.action and not np.array_equal(_mask(self.action), _mask(self.state)):
            raise ValueError("state and action fill different channels of the layout; expected the same")
        topics = [*self.cameras.values(), *(it.topic for it in (*self.state, *self.action))]
        if twice := sorted({it for it in self.cameras.values() if topics.count(it) > 1}):
            raise ValueError(f"{twice[0]} is named twice; expected a topic of its own for each camera")
        return self

    @classmethod
    def load(cls, path: Path) -> TopicMap:
        """Raises RecordingError, naming file, field, value and what was expected."""
        try:
            return cls.model_validate(read_yaml(path))
        except FileNotFoundError:
            raise RecordingError(f"{path} does not exist; docs/data.md shows how a map is written") from None
        except ConfigFileError as error:
            raise RecordingError(str(error)) from None
        except ValidationError as error:
            raise RecordingError(explain(path, error, cls)) from None

    def check(self, bag: Path, topics: Mapping[str, str]) -> None:
        """Raises RecordingError for a topic that the bag does not have."""
        named = [it.topic for it in (*self.state, *self.action)] + list(self.cameras.values())
        named += [self.instruction_topic] if self.instruction_topic else []
        if missing := [name for name in named if name not in topics]:
            there = ", ".join(sorted(topics)) or "none"
            raise RecordingError(f"{bag} has no topic {', '.join(missing)}; it has {there}")

    def mask(self) -> NDArray[np.bool_]:
        """(30,) which channels the bag fills."""
        return _mask(self.state)


def _mask(channels: list[TopicChannels]) -> NDArray[np.bool_]:
    found = np.zeros(ACTION_DIM, bool)
    found[[to for each in channels for _, to in each.pairs()]] = True
    return found
