"""One arm's commands of every millisecond, from the trajectories that the executor sent to its controller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clwm_common.control.joint_trajectory_controller import JointTrajectoryController
from clwm_common.control.trajectory import JointState, JointTrajectory
from clwm_common.robot.description import JointLimits, RobotDescription
from clwm_evaluation.success_rates.evaluation import EvaluationSettings, build_stack
from clwm_evaluation.virtual.stack import VirtualStack
from clwm_franka.arm_control import ArmControl
from clwm_franka.command_filter import CYCLE
from clwm_sim.world import World

Numbers = NDArray[np.float64]

SETTLE = 0.2  # s
SLOW = 0.005  # rad/s; what stands


@dataclass
class Motion:
    """What one arm was sent in one episode. start: (joints,) rad; sent: instants [s] and trajectories."""

    task: str
    seed: int
    arm: str
    start: Numbers
    sent: list[tuple[float, JointTrajectory]] = field(default_factory=list)


class SentMotions:
    """The stack under a virtual clock, listened to where it sends trajectories; to be closed."""

    def __init__(self, settings: EvaluationSettings, robot: RobotDescription) -> None:
        self._task, self._sides = settings.task, (("left", robot.columns(0)), ("right", robot.columns(1)))
        self._stack: VirtualStack = build_stack(settings, self._on_frame)
        self._stack.on_sent = self._on_sent

    def of(self, seed: int) -> list[Motion]:
        """Both arms' motions in the episode of `seed`."""
        self._start: Numbers | None = None
        self._sent: tuple[list[tuple[float, JointTrajectory]], ...] = ([], [])
        self._stack.run(seed)
        return [
            Motion(self._task, seed, side, self._start[part], sent)
            for (side, part), sent in zip(self._sides, self._sent, strict=True)
        ]

    def close(self) -> None:
        """Free the world and end what computes the policy."""
        self._stack.close()

    def _on_frame(self, world: World, _elapsed: float) -> None:
        if self._start is None:
            self._start = world.setpoint()[0].copy()

    def _on_sent(self, now: float, arm: int, message: JointTrajectory) -> None:
        self._sent[arm].append((now, message))


def filtered(motion: Motion, names: Sequence[str], limits: JointLimits) -> Numbers:
    """The positions (cycles, joints) rad that the arm's driver commands."""
    control = ArmControl(names, limits, motion.start)
    return _commands(motion, control.receive, lambda now, last: control.cycle(now, 1, last))


def unfiltered(motion: Motion, names: Sequence[str], _limits: JointLimits) -> Numbers:
    """The same by the bare controller: what it interpolates is commanded as it is."""
    controller = JointTrajectoryController(names, motion.start)

    def step(now: float, last: Numbers) -> Numbers:
        return controller.update(now, CYCLE, JointState(last, np.zeros_like(last))).positions

    return _commands(motion, controller.receive, step)


def moving_seconds(commands: Numbers) -> float:
    """How long an arm is on its way by its commands (cycles, joints) rad."""
    steps = np.abs(np.diff(commands, axis=0)).max(axis=1)
    return CYCLE * float((steps > CYCLE * SLOW).sum())


def _commands(
    motion: Motion, receive: Callable[[JointTrajectory, float], None], step: Callable[[float, Numbers], Numbers]
) -> Numbers:
    """From the first trajectory to the rest in which every one of them ends, and the filter a little later."""
    begun, (sent_at, last) = motion.sent[0][0], motion.sent[-1]
    ends = (last.stamp or sent_at) + last.points[-1].time_from_start + SETTLE
    waiting, position, commands = list(motion.sent), motion.start, []
    for cycle in range(round((ends - begun) / CYCLE)):
        now = begun + cycle * CYCLE
        while waiting and waiting[0][0] <= now:
            receive(waiting.pop(0)[1], now)
        position = step(now, position)
        commands.append(position)
    return np.array(commands)
