"""What a robot's arms may do: limits of their joints, and where in the world they may be."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from clwm_common.actions import ARM_JOINTS
from clwm_common.files.config_files import Strict

PerJoint = Annotated[list[float], Field(min_length=1, max_length=ARM_JOINTS)]
# No robot's base, workspace or link is so far away: these are millimetres.
Metres = Annotated[float, Field(ge=-100.0, le=100.0)]
Three = Annotated[list[Metres], Field(min_length=3, max_length=3)]

TURN = 2.0 * math.pi  # rad
# Limits of masked joints, which stand at 0: such as leave no arithmetic without a room to move in.
UNUSED = {"position_lower": -1.0, "position_upper": 1.0, "velocity": 1.0, "acceleration": 10.0, "jerk": 1000.0}


class JointLimits(Strict):
    """Limits of one arm's joints: rad, rad/s, rad/s^2, rad/s^3. effort: N m, of simulated drives; None for no limit."""

    position_lower: PerJoint
    position_upper: PerJoint
    velocity: PerJoint
    acceleration: PerJoint
    jerk: PerJoint
    effort: PerJoint | None = None

    @model_validator(mode="after")
    def _ordered(self) -> JointLimits:
        given = {name: values for name in type(self).model_fields if (values := getattr(self, name)) is not None}
        if len(set(map(len, given.values()))) > 1:
            counts = ", ".join(f"{name} {len(values)}" for name, values in given.items())
            raise ValueError(f"the limits have {counts} numbers; expected one of each for every joint of an arm")
        for number, (low, high) in enumerate(zip(self.position_lower, self.position_upper, strict=True), start=1):
            if low >= high:
                raise ValueError(f"joint {number}: position_lower {low:g} must be below position_upper {high:g} [rad]")
        for name in ("position_lower", "position_upper"):
            if max(map(abs, getattr(self, name))) > 2.0 * TURN:
                raise ValueError(f"{name} is {getattr(self, name)}; expected rad, and these can only be degrees")
        for name in given.keys() - {"position_lower", "position_upper"}:
            if any(value <= 0.0 for value in given[name]):
                raise ValueError(f"{name} must be positive for every joint")
        return self


class Capsule(Strict):
    """A part of an arm: all points within `radius` of the line from `start` to `end`, in the frame of a link [m].

    link: link0 is the base, and link1 to link7 are what the first to the seventh joint carry.
    """

    link: Literal["link0", "link1", "link2", "link3", "link4", "link5", "link6", "link7", "hand"]
    start: Three
    end: Three
    radius: float = Field(gt=0.0, le=2.0)
    above_table: bool = True


class Safety(Strict):
    """Where the arms may be. Distances in m, in the world frame.

    workspace_lower, workspace_upper: box of both tool centre points. clearance: arms closer than this to one another
    or to the table go no closer. A chunk that would take them `gross` deeper than that, or out of the box, is refused.
    """

    workspace_lower: Three
    workspace_upper: Three
    table_height: Metres = 0.0
    arm_clearance: float = Field(0.01, ge=0.0)
    table_clearance: float = Field(0.0, ge=0.0)
    gross: float = Field(0.05, gt=0.0)
    capsules: Annotated[list[Capsule], Field(min_length=1)]

    @model_validator(mode="after")
    def _ordered(self) -> Safety:
        if any(low >= high for low, high in zip(self.workspace_lower, self.workspace_upper, strict=True)):
            raise ValueError("workspace_lower must be below workspace_upper on every axis")
        return self
