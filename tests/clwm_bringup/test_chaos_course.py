"""An injection that says nothing about the executor is done again, and not for ever."""

import numpy as np
import pytest

from clwm_bringup.chaos_course import ATTEMPTS, ChaosCourse
from clwm_bringup.chaos_faults import FAULTS
from clwm_bringup.chaos_plan import Planned
from clwm_bringup.chaos_verdict import Observed
from clwm_bringup.demo_node import DemoError
from clwm_bringup.motion_record import MotionRecord
from clwm_common.robot import RobotDescription

FAULT = FAULTS["chunk duplicated"]


class Rehearsal(ChaosCourse):
    """A course whose attempts are given: the length of the gap in the joint states, or None for no motion at all."""

    def __init__(self, gaps):
        self.robot = RobotDescription.load("dual_fr3_mujoco")
        super().__init__((), self.robot, ("lift_tray",), print)
        self.gaps = list(gaps)

    def _attempt(self, fault, planned):
        gap = self.gaps.pop(0)
        if gap is None:
            raise TimeoutError("the arms to move")
        times = 100.0 + 0.01 * np.arange(100) + np.where(np.arange(100) >= 50, gap, 0.0)
        velocities = np.full((100, 14), 0.1)
        home = np.concatenate([arm.home for arm in self.robot.arms])
        motion = MotionRecord(times, home + np.cumsum(0.01 * velocities, axis=0), velocities)
        said = [(99.0, {"mode": "POLICY", "phase": "MOVING", "fault": ""})]
        return Observed(100.2, moved=True, motion=motion, statuses=said), "lift_tray", 1


def inject(gaps):
    return Rehearsal(gaps).inject(FAULT, Planned(FAULT.name, 0, 1))


@pytest.mark.parametrize("gaps", [[0.0], [0.3, 0.0], [None, 0.3, 0.0]])
def test_it_is_repeated_until_the_arms_move_and_the_simulation_keeps_up(gaps):
    injection = inject(gaps)
    assert injection.repeated == len(gaps) - 1
    assert injection.violations == ()


def test_a_simulation_that_never_keeps_up_is_a_violation():
    injection = inject([0.3] * (ATTEMPTS + 1))
    assert injection.repeated == ATTEMPTS
    assert any("fell behind by 0.31 s" in sentence for sentence in injection.violations)


def test_arms_that_never_move_end_the_run_with_the_reason():
    with pytest.raises(DemoError, match="chunk duplicated: waited in vain for the arms to move"):
        inject([None] * (ATTEMPTS + 1))
