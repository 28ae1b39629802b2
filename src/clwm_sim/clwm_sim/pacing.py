"""Runs a world and its controllers along the stack's clock and says what the sensors see, in due order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clwm_common.messages import TaskStatus, Verdict
from clwm_common.robot.description import RobotDescription
from clwm_sim.cell import Cell
from clwm_sim.controllers.robot_control import RobotControl
from clwm_sim.judging import TaskJudge
from clwm_sim.stage import ArmsMeasured
from clwm_sim.world import World

TICK = 0.01  # s between two looks at the joints: 100 Hz
TICKS_PER_FRAME = 5  # cameras at 20 Hz
TICKS_PER_STATUS = 10  # episode status at 10 Hz
TICKS_PER_LOOK = 2  # tasks are judged at 50 Hz
CLOCK_SET = 0.01  # s; by less, the clock was not set, but read a moment after the steady one


@dataclass(frozen=True)
class JointsSeen:
    """Both arms at `stamp`, s on the stack's clock; opening_speeds (2,) in m/s, over the last tick."""

    stamp: float
    arms: ArmsMeasured
    opening_speeds: NDArray[np.float64]


@dataclass(frozen=True)
class PictureTaken:
    """One camera's picture, uint8 (height, width, 3), captured at `stamp`."""

    stamp: float
    camera: str
    picture: NDArray[np.uint8]


@dataclass(frozen=True)
class EpisodeSeen:
    """How the episode stands at `stamp`; `elapsed` in simulated seconds since the reset, `episode` counts these."""

    stamp: float
    task: str
    seed: int
    episode: int
    elapsed: float
    succeeded: bool
    failed: bool
    instruction: str


Seen = JointsSeen | PictureTaken | EpisodeSeen | Verdict


@dataclass(frozen=True)
class Pace:
    """How the simulation kept up since it was last asked: simulated per real second, and s given up by slipping."""

    real_time_factor: float
    slipped: float


class Control(Protocol):
    """What moves the world; its origin is the stack's time, in s, at which the world's time is zero."""

    def slip(self, seconds: float) -> None: ...

    def set_clock(self, seconds: float) -> None: ...

    def reset(self, origin: float) -> None: ...

    def advance(self, until: float) -> None: ...


class PacedSimulation:
    """The simulation in real time; one thread does everything, in due order.

    It has two clocks, handed in as `now` and `steady`: the stack's, on which its stamps are and which may be set, and a
    steady one, by which the world runs. When it is more than `max_lag` s behind it does not hurry: it *slips*, that is,
    the world's time is moved later on both clocks, and says so in `pace`. Controllers do not wait for it, as real ones
    do not; when the stack's clock is set, they go on smoothly. Where it `owns_clock`, the stack's is the world's own:
    then nobody's time passes while the world stands.
    """

    def __init__(
        self,
        world: World | Cell,
        robot: RobotDescription,
        seed: int,
        now: float,
        steady: float,
        max_lag: float = 0.1,
        episodes: int = 0,
        control: Callable[[World, RobotDescription, float], Control] = RobotControl,
        owns_clock: bool = False,
    ) -> None:
        """episodes: the number from which resets are counted; another one for every simulation tells them apart.

        control: makes what moves the world of its robot's description and its origin.
        """
        self._world = world
        self._cameras = tuple(robot.cameras)
        self._max_lag = max_lag
        self._owns_clock = owns_clock
        self._base = steady
        self._apart = now - steady
        self._tick = 0
        self._paced_since = steady
        self._paced_ticks = 0
        self._slipped = 0.0
        self._episode = episodes
        self._judge = TaskJudge()
        world.reset(seed)
        self.control = control(world, robot, now)
        self._begin(seed)

    @property
    def instruction(self) -> str:
        """The sentence drawn for this episode."""
        return self._instruction

    def reset(self, seed: int, task: str | None = None) -> None:
        """Start an episode where the simulation stands: trajectories are dropped, and the status says so at once.

        Raises UnknownTask, changing nothing.
        """
        self._world.reset(seed, task)
        self.control.reset(origin=self._instant)
        self._begin(seed)

    def judge(self, status: TaskStatus) -> Verdict | None:
        """Judge what is asked from now on; the first verdict on it, None when nothing new is asked."""
        return self._judge.begin(self._instant, status, self._world.goals)

    def run(self, now: float, steady: float) -> Iterator[Seen]:
        """Advance to `now`, yielding what is seen at each instant that has become due, oldest first."""
        set_by = 0.0 if self._owns_clock else now - steady - self._apart
        if abs(set_by) > CLOCK_SET:
            self._apart += set_by
            self.control.set_clock(set_by)
        behind = steady - self.due
        if behind > self._max_lag:
            self._base += behind
            self._slipped += behind
            if self._owns_clock:
                self._apart -= behind
            else:
                self.control.slip(behind)
        while self.due <= steady:
            self._tick += 1
            self._paced_ticks += 1
            self.control.advance(self._instant)
            if self._is_new:
                # First, so that whoever moves the arms learns of the reset before it sees where they are.
                self._is_new = False
                yield self._status()
            measured = self._world.measured()
            yield JointsSeen(self._instant, measured, (measured.widths - self._openings) / TICK)
            self._openings = measured.widths
            if self._tick % TICKS_PER_FRAME == 0:
                for camera in self._cameras:
                    yield PictureTaken(self._instant, camera, self._world.render(camera))
            if self._tick % TICKS_PER_LOOK == 0:
                verdict = self._judge.look(self._instant, self._world.time, self._world.situation())
                if verdict is not None:
                    yield verdict
            if self._tick % TICKS_PER_STATUS == 0:
                yield self._status()

    def pace(self, steady: float) -> Pace:
        """The pace since the last call (since the start, at first)."""
        elapsed = steady - self._paced_since
        factor = self._paced_ticks * TICK / elapsed if elapsed > 0.0 else 1.0
        slipped, self._slipped = self._slipped, 0.0
        self._paced_since, self._paced_ticks = steady, 0
        return Pace(factor, slipped)

    def stamp_of(self, steady: float) -> float:
        """The stack's clock [s] at an instant of the steady one."""
        return self._apart + steady

    @property
    def due(self) -> float:
        """Instant on the steady clock at which `run` has something to do next."""
        return self._base + (self._tick + 1) * TICK

    @property
    def _instant(self) -> float:
        return self._apart + self._base + self._tick * TICK

    def _begin(self, seed: int) -> None:
        self._seed = seed
        self._episode = (self._episode + 1) % 2**32
        self._judge.drop()
        self._is_new = True
        self._instruction = self._world.instruction(seed)
        self._openings = self._world.measured().widths

    def _status(self) -> EpisodeSeen:
        world = self._world
        return EpisodeSeen(
            self._instant,
            world.task_name,
            self._seed,
            self._episode,
            world.time,
            world.succeeded(),
            world.failed(),
            self._instruction,
        )
