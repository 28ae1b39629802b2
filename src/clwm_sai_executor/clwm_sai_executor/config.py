"""What an integrator may tune in the executor, with units, defaults and ranges."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from clwm_common.actions import CHUNK_ROWS
from clwm_common.files.config_files import Strict
from clwm_common.messages import Mode

Follow = Literal["joints", "poses"]
FOLLOW = get_args(Follow)


class ConfigError(ValueError):
    """A setting outside its range; the message names it, its value and the range."""


def _setting(default: float, low: float, high: float, meaning: str | None = None, unit: str = "") -> Any:
    return Field(default, ge=low, le=high, description=meaning, json_schema_extra={"unit": unit})


class SchedulerConfig(Strict):
    """Settings of the scheduler. Times in s, joints in rad, poses in m and rad, openings in m.

    What has a meaning below is a parameter of the node. Raises ConfigError.

    known_horizons: execution horizons that the policy's weights were trained for; empty when nobody said.
    state_period: measured states are published no more often than this.
    prefix_tolerance: how far a chunk's prefix may be from the rows committed for it.
    resync_distance: at rest, arms farther than this from the held command are held where they are.
    jump_distance: measured joints that move more than this beyond what their speed allows have been moved by a reset.
    gripper_threshold: a new opening is sent when it differs this much from the one last sent.
    gripper_snap: openings this near an end of the range are sent as that end.
    position_margin: distance kept from the position limits.
    """

    follow: Follow = Field("joints", description="channels of a chunk that move the arms; poses need mink")
    teleop_poses: bool = Field(False, description="let a human ask for poses, too, which needs mink")
    execution_horizon: int = _setting(
        12, 1, CHUNK_ROWS, "rows of a chunk before the next observation; at 16 nothing is speculated"
    )
    lead: float = _setting(0.02, 0.0, 0.2, "how long before a row's instant its message leaves", "s")
    adapt_pace: bool = Field(
        False, description="choose execution horizon and lead from recent latencies, within the bounds below"
    )
    execution_horizon_min: int = _setting(
        10, 1, CHUNK_ROWS, "lower bound of the chosen horizon; execution_horizon is the upper one"
    )
    lead_max: float = _setting(0.04, 0.0, 0.2, "upper bound of the chosen lead; lead is the lower one", "s")
    known_horizons: tuple[int, ...] = ()
    pace_percentile: float = _setting(0.99, 0.5, 1.0, "share of chunks that the chosen horizon lets come in time")
    teleop_timeout: float = _setting(
        0.2, 0.05, 1.0, "a teleoperation source that is silent for longer loses the arms", "s"
    )
    chunk_timeout: float = _setting(2.0, 0.1, 60.0, "a chunk this long after its observation is given up", "s")
    state_timeout: float = _setting(0.2, 0.02, 5.0, "joint states older than this make the arms brake and hold", "s")
    state_period: float = _setting(0.01, 0.0, 0.02)
    joint_period: float = _setting(
        0.005, 0.0, 0.02, "joint states are looked at no oftener, the newest wins; 0: at each", "s"
    )
    following_error: float = _setting(
        0.1, 0.01, 3.0, "moving arms farther than this from their command brake and hold", "rad"
    )
    blend_rows: int = _setting(
        4, 0, 6, "new rows of a chunk that lead over from the committed motion; 0 changes no row"
    )
    refuse_step: float = _setting(0.5, 0.01, 3.0, "a chunk with a larger step from row to row is refused", "rad")
    refuse_jerk: float = _setting(
        2.0, 1.0, 1000.0, "a chunk that jerks more than so many times the robot's limit is refused"
    )
    pose_tolerance: float = _setting(0.005, 0.0, 1.0, "arms that get no nearer to a chunk's pose are counted", "m")
    rotation_tolerance: float = _setting(0.035, 0.0, 3.0, "the same for its rotation", "rad")
    refuse_pose: float = _setting(
        0.05, 0.001, 1.0, "a chunk that the arms can follow no nearer is refused; so is a human's leap", "m"
    )
    refuse_rotation: float = _setting(0.35, 0.001, 3.0, "the same for rotations", "rad")
    refuse_opening: float = _setting(
        0.05, 0.0, 1.0, "a chunk that opens a gripper so far beyond its range is refused", "m"
    )
    observation_age: float = _setting(
        0.5, 0.05, 60.0, "a chunk made from pictures this much too old is asked for again", "s"
    )
    prefix_tolerance: float = _setting(0.01, 0.0, 0.1)
    resync_distance: float = _setting(0.02, 0.001, 1.0)
    jump_distance: float = _setting(0.25, 0.01, 3.0)
    gripper_threshold: float = _setting(0.004, 0.0, 0.08)
    gripper_snap: float = _setting(0.006, 0.0, 0.04)
    velocity_scale: float = _setting(1.0, 0.01, 1.0, "fraction of the robot's velocity limits that may be used")
    acceleration_scale: float = _setting(1.0, 0.01, 1.0, "fraction of the robot's acceleration limits that may be used")
    position_margin: float = _setting(0.005, 0.0, 0.1)
    initial_mode: Literal[Mode.POLICY, Mode.HOLD] = Mode.POLICY

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise ConfigError(_reason(error.errors()[0])) from None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> SchedulerConfig:
        asked = ("execution_horizon", "execution_horizon_min") if self.adapt_pace else ("execution_horizon",)
        for name in asked:
            if self.known_horizons and getattr(self, name) not in self.known_horizons:
                known = " or ".join(map(str, self.known_horizons))
                raise ValueError(f"{name} is {getattr(self, name)}; the policy was trained for {known}: set it so")
        if self.adapt_pace and self.execution_horizon_min > self.execution_horizon:
            raise ValueError(
                f"execution_horizon_min is {self.execution_horizon_min}; "
                f"expected at most execution_horizon, {self.execution_horizon}"
            )
        if self.adapt_pace and self.lead_max < self.lead:
            raise ValueError(f"lead_max is {self.lead_max} s; expected at least lead, {self.lead} s")
        return self


def _reason(problem: Any) -> str:
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    name, value = problem["loc"][0], problem["input"]
    if name not in SchedulerConfig.model_fields:
        return f"{name} is no setting; expected one of {', '.join(SchedulerConfig.model_fields)}"
    if name == "initial_mode":
        return f"initial_mode is {value!r}; expected POLICY or HOLD"
    if name == "follow":
        return f"follow is {value!r}; expected one of {', '.join(FOLLOW)}"
    bounds = SchedulerConfig.model_fields[name].metadata
    if len(bounds) != 2:
        return f"{name} is {value!r}; {problem['msg']}"
    return f"{name} is {value}; expected {bounds[0].ge} to {bounds[1].le}"
