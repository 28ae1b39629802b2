"""What the axes, buttons and joints of a device mean, as the files in config/teleop say it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from clwm_common.files.config_files import ConfigFileError, Strict, explain, read_yaml
from clwm_common.robot.description import config_directory

Index = Annotated[int, Field(ge=0, le=63)]
JointName = Annotated[str, Field(min_length=1)]
DIRECTIONS = ("forward", "left", "up", "roll", "pitch", "yaw")


class MappingError(ValueError):
    """A file that cannot be used; the message names it, the field and what was expected."""


class Axis(Strict):
    """An axis of the message. scale: full speed at full deflection is 1; negative turns it round.

    dead_zone: deflection, of 1, that counts as none.
    """

    axis: Index
    scale: float = Field(1.0, ge=-1.0, le=1.0)
    dead_zone: float = Field(0.1, ge=0.0, le=0.9)


class Buttons(Strict):
    """Two buttons of the message: full speed one way, and the other."""

    plus: Index
    minus: Index


def _kind(given: Any) -> str:
    """Of what a file says: so that what is wrong in an axis is told of an axis."""
    return "axis" if isinstance(given, Axis) or (isinstance(given, dict) and "axis" in given) else "buttons"


AxisOrButtons = Annotated[
    Annotated[Axis, Tag("axis")] | Annotated[Buttons, Tag("buttons")],
    Discriminator(_kind),
]
Motion = AxisOrButtons | None


class JoyMapping(Strict):
    """A sensor_msgs/Joy. dead_man, other_arm, hand_back: buttons; the others are what moves a tool, or its gripper.

    forward, left, up: along x, y, z of the world; roll, pitch, yaw: about them.
    """

    dead_man: Index
    other_arm: Index | None = None
    hand_back: Index | None = None
    forward: Motion = None
    left: Motion = None
    up: Motion = None
    roll: Motion = None
    pitch: Motion = None
    yaw: Motion = None
    opening: Motion = None

    @property
    def motions(self) -> dict[str, Axis | Buttons]:
        """Those that are there, by name."""
        found = {name: getattr(self, name) for name in (*DIRECTIONS, "opening")}
        return {name: motion for name, motion in found.items() if motion is not None}

    @model_validator(mode="after")
    def _each_for_one_thing(self) -> JoyMapping:
        if not self.motions:
            raise ValueError(f"nothing moves; expected at least one of {', '.join((*DIRECTIONS, 'opening'))}")
        buttons: dict[int, str] = {}
        axes: dict[int, str] = {}
        for name in ("dead_man", "other_arm", "hand_back"):
            _use(buttons, "button", getattr(self, name), name)
        for name, motion in self.motions.items():
            if isinstance(motion, Axis):
                _use(axes, "axis", motion.axis, name)
            else:
                _use(buttons, "button", motion.plus, f"{name}.plus")
                _use(buttons, "button", motion.minus, f"{name}.minus")
        return self


def _use(used: dict[int, str], kind: str, index: int | None, name: str) -> None:
    if index is None:
        return
    if index in used:
        raise ValueError(f"{kind} {index} is both {used[index]} and {name}; expected each {kind} for one thing")
    used[index] = name


class LeaderGripper(Strict):
    """A joint of the leader that closes the follower's gripper. closed, opened: its positions, rad or m."""

    joint: JointName
    closed: float
    opened: float

    @model_validator(mode="after")
    def _moves(self) -> LeaderGripper:
        if self.closed == self.opened:
            raise ValueError(f"closed and opened are both {self.closed:g}; expected two positions of '{self.joint}'")
        return self


class LeaderArm(Strict):
    """One arm of the leader, in the order of the follower's joints: follower = sign * leader + offset.

    joints: names in the leader's message; empty: the follower's. signs, offsets (rad): empty: 1 and 0.
    """

    joints: list[JointName] = Field(default_factory=list)
    signs: list[Literal[1, -1]] = Field(default_factory=list)
    offsets: list[float] = Field(default_factory=list)
    gripper: LeaderGripper | None = None


class DeadManButton(Strict):
    """A button of a sensor_msgs/Joy, a pedal for instance."""

    button: Index


class LeaderMapping(Strict):
    """A leader's sensor_msgs/JointState. left, right: the arms that it leads; the other one stays where it is.

    tolerance: rad, how far a joint of the leader may be from the arm's when it takes over. dead_man: `keyboard`, any
    key held in the terminal, or a button.
    """

    left: LeaderArm | None = None
    right: LeaderArm | None = None
    tolerance: float = Field(0.1, gt=0.0, le=0.5)
    dead_man: Literal["keyboard"] | DeadManButton = "keyboard"

    @model_validator(mode="after")
    def _leads(self) -> LeaderMapping:
        if self.left is None and self.right is None:
            raise ValueError("it leads no arm; expected left, right or both")
        return self


Kind = TypeVar("Kind", JoyMapping, LeaderMapping)


def load_mapping(kind: type[Kind], name: str) -> Kind:
    """The file config/teleop/NAME.yaml, or one at a path that ends in .yaml. Raises MappingError."""
    folder = config_directory() / "teleop"
    path = Path(name) if name.endswith(".yaml") else folder / f"{name}.yaml"
    try:
        return kind.model_validate(read_yaml(path))
    except FileNotFoundError:
        known = ", ".join(sorted(it.stem for it in folder.glob("*.yaml")))
        raise MappingError(
            f"mapping {path} does not exist; expected one of {known}, or a path ending in .yaml"
        ) from None
    except ConfigFileError as error:
        raise MappingError(str(error)) from None
    except ValidationError as error:
        raise MappingError(explain(path, error, kind)) from None
