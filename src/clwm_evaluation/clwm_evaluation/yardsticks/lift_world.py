"""TwoArmLift as a virtual stack and an expert see a world."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.description import RobotDescription
from clwm_evaluation.suites.failures import Course
from clwm_evaluation.suites.pictures import jpeg, strip
from clwm_evaluation.yardsticks.cell import FOVY, POT, ROBOSUITE_CAMERAS, Cell, action
from clwm_evaluation.yardsticks.robosuite_process import RobosuiteProcess
from clwm_sim.cameras import CAMERAS
from clwm_sim.goals.lift_pot import LiftPot
from clwm_sim.scenes.workcell import PHYSICS_DT
from clwm_sim.situation import Situation
from clwm_sim.stage import ArmsMeasured, Setpoint, next_openings
from clwm_sim.world import IMAGE_SIZE, ROBOT

LOOK_EVERY = 0.02  # s, as in our own world
FALLEN = -0.05  # m of the pot's bottom, from where on it is no longer on the table
_INSTRUCTION = 2  # stream of an episode's random numbers, as in our own world


class TwoArmLiftWorld:
    """Reset it before anything else. Episodes end when robosuite counts a success, the pot fell down, or time is over.

    goal: what our expert pursues, whose sentences the policy is told and whose time limit holds; robosuite judges.
    """

    def __init__(self, process: RobosuiteProcess) -> None:
        """Raises RobotError, ValueError as Cell.of."""
        self._process = process
        self._cell = Cell.of(process.about, RobotDescription.load(ROBOT))
        self.robot = self._cell.robot
        self.layout = self._cell.layout
        self.goal = LiftPot(self.layout.things[POT])
        self._step: float = process.about["step"]
        grippers = [arm.gripper for arm in self.robot.arms]
        self._grip_step = np.array([gripper.speed for gripper in grippers]) * self._step
        self._range = [gripper.opening_min for gripper in grippers], [gripper.opening_max for gripper in grippers]
        self._has_cameras = False

    def reset(self, seed: int) -> None:
        """Start the episode of this seed. Raises YardstickError."""
        self._state = self._process.reset(seed, self._cell.home())
        self._steps = 0
        self._seen: list[NDArray[np.uint8]] = []
        self._positions, self._widths = self.measured().positions, np.array(self._range[1])
        self._applied_widths = self._widths.copy()
        self._has_succeeded = False
        if not self._has_cameras:
            for camera, pose in self._cell.camera_poses(self._positions).items():
                self._process.place(ROBOSUITE_CAMERAS[camera], *pose, FOVY[camera])
            self._has_cameras = True
        self._course = Course(self.goal, self.layout, self.situation())

    @property
    def time(self) -> float:
        """Seconds since the reset."""
        return self._steps * self._step

    def instruction(self, seed: int) -> str:
        """What the policy is told in the episode of `seed`."""
        sentences = self.goal.sentences()
        return sentences[np.random.default_rng([seed, _INSTRUCTION]).integers(len(sentences))]

    def measured(self) -> ArmsMeasured:
        """Joints and openings as they are now."""
        return self._cell.measured(self._state)

    def setpoint(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The joint positions (14,) and openings (2,) asked for last."""
        return self._positions.copy(), self._widths.copy()

    def situation(self) -> Situation:
        """Where pot and hands are now."""
        return self._cell.situation(self._state)

    def advance(self, until: float, setpoint: Setpoint | None = None, look: Callable[[], None] | None = None) -> None:
        """As `Stage.advance` does, in robosuite's steps: of what is set for each step of our own the last takes effect.

        After a success nothing moves any more. Raises YardstickError.
        """
        left = round((until - self.time) / self._step)
        at_once = round(LOOK_EVERY / self._step)
        while left > 0 and not self._has_succeeded:
            count = min(left, at_once - self._steps % at_once)
            self._state = self._process.advance(np.array([self._next_action(setpoint) for _ in range(count)]))
            self._has_succeeded = self._state["success"]
            left -= count
            if self._steps % at_once == 0:
                self._course.look(self.situation())
                if look is not None:
                    look()

    def render(self, camera: str) -> NDArray[np.uint8]:
        """RGB picture (IMAGE_SIZE, IMAGE_SIZE, 3) by robosuite's renderer."""
        picture = self._process.render(ROBOSUITE_CAMERAS[camera], IMAGE_SIZE)
        if camera == CAMERAS[0]:
            self._seen.append(picture)
        return picture

    def succeeded(self) -> bool:
        """Whether robosuite's own predicate was true at some step."""
        return self._has_succeeded

    def failed(self) -> bool:
        """Whether the pot fell from the table, or time is over, without success."""
        return not self._has_succeeded and (self._has_fallen() or self.time >= self.goal.timeout)

    def is_level(self) -> bool:
        """Whether both hands hold the pot lifted and level: more than robosuite asks for."""
        now = self.situation()
        return self.goal.is_achieved(now, now)

    def reason(self, fault: str) -> str:
        """Why the episode failed; empty when it succeeded. fault: why the executor stopped, if it did."""
        return "" if self._has_succeeded else self._course.reason(self._has_fallen(), fault, ())

    def first_picture(self) -> bytes | None:
        """What the head camera saw first, as a JPEG; None when it saw nothing."""
        return jpeg(self._seen[0]) if self._seen else None

    def strip(self) -> bytes | None:
        """Pictures of the head camera from the episode's beginning to its end as a JPEG; None when none was taken."""
        return strip(self._seen)

    def close(self) -> None:
        """Nothing is its own: the process goes on."""

    def _has_fallen(self) -> bool:
        return bool(self.situation().objects[POT].position[2] < FALLEN)

    def _next_action(self, setpoint: Setpoint | None) -> NDArray[np.float64]:
        before = self._positions
        self._steps += 1
        if setpoint is not None:
            for left in reversed(range(round(self._step / PHYSICS_DT))):
                positions, widths = setpoint(self.time - left * PHYSICS_DT)
            self._positions = np.array(positions, dtype=np.float64)
            self._widths = np.clip(np.asarray(widths, dtype=np.float64), *self._range)
        opened = self.measured().widths
        self._applied_widths = next_openings(self._applied_widths, self._widths, opened, self._grip_step)
        velocity = (self._positions - before) / self._step
        return action(self._positions, velocity, self._applied_widths, self._process.about["lag"])
