"""What an integrator may tune in the executor, with units, defaults and ranges."""

from __future__ import annotations

from dataclasses import dataclass, fields

from clwm_common.actions import CHUNK_ROWS
from clwm_common.messages import Mode

FOLLOW = ("joints", "poses")


class ConfigError(ValueError):
    """A setting outside its range; the message names it, its value and the range."""


@dataclass(frozen=True)
class SchedulerConfig:
    """Settings of the scheduler. Times in s, joints in rad, poses in m and rad, openings in m.

    follow: which channels of a chunk move the arms: its joints, or the poses of its tool centre points, by inverse
        kinematics.
    teleop_poses: a human may ask for poses, too. Either of them needs mink and MuJoCo.
    execution_horizon: rows of a chunk that run before the next observation; the rest is the committed tail. With all
        rows (16) the arms come to rest and wait: nothing is speculated.
    lead: how long before a row's instant its message must leave for the controllers.
    adapt_pace: choose the execution horizon between `execution_horizon_min` and `execution_horizon`, and the lead
        between `lead` and `lead_max`, from recent latencies (`horizon.py`); otherwise both stay as they are set.
    known_horizons: execution horizons that the policy's weights were trained for; empty when nobody said.
    pace_percentile: the share of chunks that are to come in time then.
    chunk_timeout: a chunk that has not come so long after its observation never will; it is asked for again, at rest.
    teleop_timeout: a teleoperation source whose newest command is older than this has let go of the arms.
    state_timeout: joint states older than this make the arms brake and hold.
    state_period: measured states are published no more often than this.
    joint_period: joint states are looked at no more often than this, however fast a driver publishes; the newest wins.
    refuse_step: a row farther than this from the one before it is a gross violation: the chunk is refused. The same
        goes for a human's target and the one before it, and for the first one and the arms.
    refuse_jerk: rows that jerk more than so many times the robot's limit are a gross violation.
    pose_tolerance, rotation_tolerance: arms that get no nearer than this to a pose are counted as missing it.
    refuse_pose, refuse_rotation: a chunk with a pose that the arms get no nearer to than this is refused. The same goes
        for a human's pose this far from the one before it, and for the first one and the arms.
    refuse_opening: rows that open a gripper so far beyond its range are one, too.
    observation_age: a chunk made from pictures this much older than those asked for is dropped and asked for again.
    blend_rows: how many new rows of a chunk lead over from the committed motion (`blend.py`); 0 changes no row.
    prefix_tolerance: how far a chunk's prefix may be from the rows committed for it.
    resync_distance: at rest, arms farther than this from the held command are held where they are.
    following_error: moving arms farther than this from their command do not follow it: they brake and hold.
    jump_distance: measured joints that move more than this beyond what their speed allows have been moved by a reset.
    gripper_threshold: a new opening is sent when it differs this much from the one last sent.
    gripper_snap: openings this near an end of the range are sent as that end.
    velocity_scale, acceleration_scale: fractions of the robot's limits that may be used.
    position_margin: distance kept from the position limits.
    """

    follow: str = "joints"
    teleop_poses: bool = False
    execution_horizon: int = 12
    lead: float = 0.02
    adapt_pace: bool = False
    execution_horizon_min: int = 10
    lead_max: float = 0.04
    known_horizons: tuple[int, ...] = ()
    pace_percentile: float = 0.99
    teleop_timeout: float = 0.2
    chunk_timeout: float = 2.0
    state_timeout: float = 0.2
    state_period: float = 0.01
    joint_period: float = 0.005
    refuse_step: float = 0.5
    refuse_jerk: float = 2.0
    pose_tolerance: float = 0.005
    rotation_tolerance: float = 0.035
    refuse_pose: float = 0.05
    refuse_rotation: float = 0.35
    refuse_opening: float = 0.05
    observation_age: float = 0.5
    blend_rows: int = 4
    prefix_tolerance: float = 0.01
    resync_distance: float = 0.02
    following_error: float = 0.1
    jump_distance: float = 0.25
    gripper_threshold: float = 0.004
    gripper_snap: float = 0.006
    velocity_scale: float = 1.0
    acceleration_scale: float = 1.0
    position_margin: float = 0.005
    initial_mode: Mode = Mode.POLICY

    def __post_init__(self) -> None:
        for item in fields(self):
            if item.name in RANGES:
                low, high = RANGES[item.name]
                value = getattr(self, item.name)
                if not low <= value <= high:
                    raise ConfigError(f"{item.name} is {value}; expected {low} to {high}")
        asked = ("execution_horizon", "execution_horizon_min") if self.adapt_pace else ("execution_horizon",)
        for name in asked:
            if self.known_horizons and getattr(self, name) not in self.known_horizons:
                known = " or ".join(map(str, self.known_horizons))
                raise ConfigError(f"{name} is {getattr(self, name)}; the policy was trained for {known}: set it so")
        if self.follow not in FOLLOW:
            raise ConfigError(f"follow is {self.follow!r}; expected one of {', '.join(FOLLOW)}")
        if self.adapt_pace and self.execution_horizon_min > self.execution_horizon:
            raise ConfigError(
                f"execution_horizon_min is {self.execution_horizon_min}; "
                f"expected at most execution_horizon, {self.execution_horizon}"
            )
        if self.adapt_pace and self.lead_max < self.lead:
            raise ConfigError(f"lead_max is {self.lead_max} s; expected at least lead, {self.lead} s")
        if self.initial_mode not in (Mode.POLICY, Mode.HOLD):
            raise ConfigError(f"initial_mode is {self.initial_mode!r}; expected POLICY or HOLD")


RANGES: dict[str, tuple[float, float]] = {
    "execution_horizon": (1, CHUNK_ROWS),
    "lead": (0.0, 0.2),
    "execution_horizon_min": (1, CHUNK_ROWS),
    "lead_max": (0.0, 0.2),
    "pace_percentile": (0.5, 1.0),
    "teleop_timeout": (0.05, 1.0),
    "chunk_timeout": (0.1, 60.0),
    "state_timeout": (0.02, 5.0),
    "state_period": (0.0, 0.02),
    "joint_period": (0.0, 0.02),
    "refuse_step": (0.01, 3.0),
    "refuse_jerk": (1.0, 1000.0),
    "pose_tolerance": (0.0, 1.0),
    "rotation_tolerance": (0.0, 3.0),
    "refuse_pose": (0.001, 1.0),
    "refuse_rotation": (0.001, 3.0),
    "refuse_opening": (0.0, 1.0),
    "observation_age": (0.05, 60.0),
    "blend_rows": (0, 6),
    "prefix_tolerance": (0.0, 0.1),
    "resync_distance": (0.001, 1.0),
    "following_error": (0.01, 3.0),
    "jump_distance": (0.01, 3.0),
    "gripper_threshold": (0.0, 0.08),
    "gripper_snap": (0.0, 0.04),
    "velocity_scale": (0.01, 1.0),
    "acceleration_scale": (0.01, 1.0),
    "position_margin": (0.0, 0.1),
}
