"""What `clwm preflight` makes of a few seconds of a robot's topics: one judgement each. No ROS, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from clwm_bringup.checks.doctor import Outcome, Result
from clwm_common.commanders import fight
from clwm_common.robot.description import RobotDescription
from clwm_common.stamps import CLOCKS
from clwm_perception.image_sets import SynchroniserConfig
from clwm_perception.picture_watch import AHEAD, OLD
from clwm_sai_executor.checks.start import StartCheck
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.events import MeasuredArms
from clwm_sai_executor.outputs.controller_parameters import Findings

_RATE_TO_WANT = 50.0  # Hz of joint states; the executor publishes the arms' state as often
_AT_REST = 0.05  # rad/s
_FAR_FROM_HOME = 0.5  # rad
_WHOLE_SETS = 0.9  # share of a camera's pictures that must find partners


@dataclass
class Stream:
    """What was heard on a topic: instants of arrival and stamps, s on the same clock.

    detail: what is sent, in words. problem, warning: what the node that reads it would say of it at the end, remedy
    last (`JointIntake`, `PictureWatch`): the stack and preflight judge alike.
    """

    arrivals: list[float] = field(default_factory=list)
    stamps: list[float] = field(default_factory=list)
    detail: str = ""
    problem: str = ""
    warning: str = ""

    def hear(self, arrival: float, stamp: float) -> None:
        self.arrivals.append(arrival)
        self.stamps.append(stamp)

    @property
    def rate(self) -> float:
        """Hz, from the first message to the last; 0 with fewer than two."""
        lasted = self.arrivals[-1] - self.arrivals[0] if len(self.arrivals) > 1 else 0.0
        return (len(self.arrivals) - 1) / lasted if lasted > 0.0 else 0.0

    @property
    def gap(self) -> float:
        """Longest time between two stamps, s."""
        return float(np.diff(self.stamps).max()) if len(self.stamps) > 1 else 0.0

    @property
    def age(self) -> float:
        """Of a message when it arrives, s, median; negative when its stamps are ahead."""
        return float(np.median(np.subtract(self.arrivals, self.stamps)))


def judge_joints(topic: str, stream: Stream, config: SchedulerConfig, *, has_arm: bool) -> Result:
    """Whether joint states come often enough, are fresh, and have the joints of the robot description."""
    if not stream.arrivals and not stream.problem:
        return Result(Outcome.FAIL, f"nothing on {topic}", "start the driver, or correct the topic in config/robots")
    if stream.problem:
        return _judged(Outcome.FAIL, stream.problem)
    found = f"{stream.rate:.0f} Hz, {1e3 * stream.age:.0f} ms old on arrival, longest gap {1e3 * stream.gap:.0f} ms"
    if not -config.state_timeout < stream.age < config.state_timeout:
        return Result(Outcome.FAIL, f"{found}; at most {config.state_timeout} s expected", CLOCKS)
    if not has_arm:
        return Result(Outcome.OK, found)
    if stream.warning:
        return _judged(Outcome.WARN, stream.warning)
    if stream.gap + stream.age >= config.state_timeout:
        remedy = f"publish joint states oftener than every {config.state_timeout} s, or the arms will brake"
        return Result(Outcome.FAIL, found, remedy)
    if stream.rate < _RATE_TO_WANT:
        return Result(Outcome.WARN, found, f"raise the rate to {_RATE_TO_WANT:.0f} Hz or more")
    return Result(Outcome.OK, found)


def judge_arms(robot: RobotDescription, arms: MeasuredArms, start: StartCheck) -> Result:
    """Whether the arms stand where they may and where the policy expects to begin."""
    if refusal := start.refusal(arms):
        return _judged(Outcome.FAIL, refusal)
    if warnings := start.warnings(arms):
        return _judged(Outcome.WARN, warnings[0])
    names = [f"{side} joint {number}" for side in ("left", "right") for number in range(1, 8)]
    away = np.abs(arms.positions - robot.home)
    found = f"at most {away.max():.2f} rad from home ({names[int(away.argmax())]})"
    if np.abs(arms.velocities).max() > _AT_REST:
        return Result(Outcome.WARN, f"moving, {found}", "let them come to rest before the stack is started")
    if away.max() > _FAR_FROM_HOME:
        return Result(Outcome.WARN, found, "move them home with their own controllers: policies begin from there")
    return Result(Outcome.OK, f"at rest, {found}")


def _judged(outcome: Outcome, said: str) -> Result:
    """What a node would say, its remedy apart: that is the part after the last semicolon."""
    found, _, remedy = said.rpartition("; ")
    return Result(outcome, found, remedy) if found else Result(outcome, said, "see docs/integration.md")


def judge_camera(topic: str, stream: Stream, config: SynchroniserConfig) -> Result:
    """Whether pictures come often enough, are fresh and can be read."""
    if not stream.arrivals and (not stream.problem or "has sent no picture" in stream.problem):
        return Result(Outcome.FAIL, f"nothing on {topic}", "start the camera, or remap its topic to this one")
    if stream.problem:
        return _judged(Outcome.FAIL, stream.problem)
    found = f"{stream.rate:.0f} Hz, {1e3 * stream.age:.0f} ms old on arrival"
    if stream.detail:
        found = f"{found}, {stream.detail}"
    if not -AHEAD < stream.age < OLD * config.frame_period:
        return Result(Outcome.FAIL, found, CLOCKS)
    if stream.rate < 0.9 / config.frame_period:
        wanted = f"{1.0 / config.frame_period:.0f}"
        return Result(Outcome.WARN, found, f"raise its rate to {wanted} Hz, or set perception's frame_period")
    return Result(Outcome.OK, found)


def judge_sets(streams: Mapping[str, Stream], config: SynchroniserConfig) -> Result:
    """Whether the cameras' pictures are of the same instants."""
    stamps = [np.sort(stream.stamps) for stream in streams.values()]
    if any(len(found) == 0 for found in stamps):
        return Result(Outcome.FAIL, "not all cameras send pictures", "see above")
    # At the very start and end a partner may lie outside what was heard.
    first, last = max(found[0] for found in stamps), min(found[-1] for found in stamps)
    mine = stamps[0][(stamps[0] >= first) & (stamps[0] <= last)]
    apart = [np.abs(found[None] - mine[:, None]).min(axis=1) for found in stamps[1:]]
    spread = np.max(apart, axis=0) if apart and len(mine) else np.zeros(len(mine))
    whole = float(np.mean(spread <= config.skew_limit)) if len(mine) else 0.0
    found = f"{100 * whole:.0f} % of the pictures within {1e3 * config.skew_limit:.0f} ms of one another"
    if whole < _WHOLE_SETS:
        return Result(Outcome.FAIL, found, "trigger the cameras together, or set perception's skew_limit")
    return Result(Outcome.OK, found)


def not_needed(pictures: Result) -> Result:
    """The same of pictures that nobody waits for: what is wrong with them stops nothing."""
    if pictures.outcome is not Outcome.FAIL:
        return pictures
    return Result(Outcome.WARN, pictures.found, f"only a policy needs pictures; for one: {pictures.remedy}")


@dataclass(frozen=True)
class Listener:
    """A subscriber of an arm's commands, by its QoS. problem: why it hears none; empty when it does."""

    node: str
    is_reliable: bool
    problem: str = ""


def judge_controller(topic: str, listeners: Sequence[Listener], findings: Findings, known: str) -> Result:
    """Whether somebody takes the arm's commands, and does with them what the executor expects."""
    if not listeners:
        return Result(Outcome.FAIL, f"nobody listens to {topic}", "start the controller, or correct config/robots")
    for listener in listeners:
        if listener.problem:
            found = f"{listener.node} hears nothing on {topic}: {listener.problem}"
            return Result(Outcome.FAIL, found, "let it subscribe as ros2_controllers do, with the system's default QoS")
    if findings.refusals:
        remedy = "change the controller's parameters; docs/safety.md has the reasons"
        return Result(Outcome.FAIL, "; ".join(findings.refusals), remedy)
    if len(listeners) > 1:
        names = ", ".join(listener.node for listener in listeners)
        return Result(Outcome.WARN, f"{names} listen to {topic}", "look whether one of them is left over")
    if findings.warnings:
        return Result(Outcome.WARN, "; ".join(findings.warnings), "docs/safety.md says what they mean")
    link = "reliable" if listeners[0].is_reliable else "best effort: what is lost arrives when it is sent again"
    return Result(Outcome.OK, f"{known}; listens {link}")


def judge_commanders(topic: str, names: Sequence[str]) -> Result:
    """Whether somebody else commands the arm."""
    if names:
        return Result(Outcome.FAIL, fight(topic, names), "stop it first: two commanders would fight for the arm")
    return Result(Outcome.OK, "nobody else commands the arm")


def package_of(action: str) -> str:
    """The package that has this type of a gripper's action."""
    return "clwm_msgs" if action == "MoveGripper" else "control_msgs"


def judge_gripper(name: str, is_there: bool, missing_package: str = "") -> Result:
    """Whether somebody takes the gripper's commands, and this side can speak to it."""
    if missing_package:
        remedy = f"apt-get install ros-jazzy-{missing_package.replace('_', '-')}"
        return Result(Outcome.FAIL, f"{name} is an action of {missing_package}, which is not installed", remedy)
    if is_there:
        return Result(Outcome.OK, name)
    return Result(Outcome.FAIL, f"nobody serves {name}", "start the gripper's driver, or correct config/robots")
