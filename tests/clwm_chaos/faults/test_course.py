"""An injection that says nothing about the executor is done again, and not for ever."""

import json
import sys
import time

import numpy as np
import pytest

from clwm_chaos.faults.beside import Beside
from clwm_chaos.faults.course import ATTEMPTS, ChaosCourse
from clwm_chaos.faults.faults import FAULTS
from clwm_chaos.faults.plan import Planned
from clwm_chaos.faults.verdict import Observed, Sent
from clwm_chaos.motion_record import MotionRecord
from clwm_common.robot.description import RobotDescription
from clwm_common.ros.diagnostics import Health, Level
from clwm_operator.operator_node import StackError

FAULT = FAULTS["chunk duplicated"]


class Rehearsal(ChaosCourse):
    """A course whose attempts are given: the length of the gap in the joint states, or None for no motion at all."""

    def __init__(self, gaps, evidence=None):
        self.robot = RobotDescription.load("dual_fr3_mujoco")
        super().__init__((), self.robot, ("lift_tray",), print, evidence)
        self.gaps = list(gaps)

    def _attempt(self, fault, planned):
        gap = self.gaps.pop(0)
        if gap is None:
            raise TimeoutError("the arms to move")
        times = 100.0 + 0.01 * np.arange(100) + np.where(np.arange(100) >= 50, gap, 0.0)
        velocities = np.full((100, 14), 0.1)
        home = np.concatenate([arm.home for arm in self.robot.arms])
        motion = MotionRecord(times, home + np.cumsum(0.01 * velocities, axis=0), velocities)
        sent = [Sent(99.5, 99.9, 0, np.array([99.5, 99.9]), np.zeros((2, 7)), np.zeros((2, 7)))]
        said = [(99.0, {"mode": "POLICY", "phase": "MOVING", "fault": ""})]
        return Observed(100.2, moved=True, motion=motion, sent=sent, statuses=said), "lift_tray", 1


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
    with pytest.raises(StackError, match="chunk duplicated: waited in vain for the arms to move"):
        inject([None] * (ATTEMPTS + 1))


class HeldCourse(Rehearsal):
    """Arms that creep on after a fault, because something holds them `away` rad from where they were told to rest."""

    def _attempt(self, fault, planned):
        away = self.gaps.pop(0)
        times = 100.0 + 0.01 * np.arange(200)
        velocities = np.full((200, 14), 0.05 if away else 0.0)
        told = np.concatenate([arm.home for arm in self.robot.arms])
        motion = MotionRecord(times, told + away + np.zeros((200, 14)), velocities)
        sent = [
            Sent(
                99.9,
                100.3,
                arm,
                np.array([99.9, 100.3]),
                np.tile(told[7 * arm : 7 * arm + 7], (2, 1)),
                np.zeros((2, 7)),
            )
            for arm in (0, 1)
        ]
        said = [(100.3, {"mode": "POLICY", "phase": "BLIND", "fault": "joint states are 0.21 s old"})]
        return Observed(100.1, moved=True, motion=motion, sent=sent, statuses=said), "lift_tray", 1


def test_arms_that_something_holds_away_from_their_command_are_tried_again():
    fault = FAULTS["joint states silent"]
    again = HeldCourse([0.12, 0.0]).inject(fault, Planned(fault.name, 0, 1))
    assert again.repeated == 1 and again.violations == ()
    always = HeldCourse([0.12] * (ATTEMPTS + 1)).inject(fault, Planned(fault.name, 0, 1))
    assert any("held an arm 0.12 rad away" in sentence for sentence in always.violations)


def test_arms_that_creep_where_they_were_told_to_rest_are_a_violation_at_once():
    fault = FAULTS["joint states silent"]
    injection = HeldCourse([0.01]).inject(fault, Planned(fault.name, 0, 1))
    assert injection.repeated == 0 and "the arms did not come to rest" in injection.violations


def test_a_gap_that_a_neighbour_must_not_cause_is_not_blamed_on_a_busy_machine():
    fault = FAULTS["a process joins"]
    injection = Rehearsal([0.3, 0.0]).inject(fault, Planned(fault.name, 0, 1))
    assert injection.repeated == 0 and any("no joint state" in sentence for sentence in injection.violations)
    slow = Rehearsal([0.1, 0.0]).inject(fault, Planned(fault.name, 0, 1))
    assert slow.repeated == 1 and slow.violations == ()


class Telling:
    """What is known of the first executor when another one is started."""

    def __init__(self, message):
        self.health = {"executor": Health(Level.WARN, message)}

    @staticmethod
    def now():
        return 100.0


@pytest.mark.parametrize(
    ("says", "message", "problem"),
    [
        ("configure refused: another executor has /left", "POLICY; another executor was refused: node '/executor'", ""),
        ("configure: done", "POLICY; another executor was refused: node '/executor'", "did not say 'another executor"),
        ("configure refused: another executor has /left", "POLICY, moving", "in vain for the first executor to say"),
    ],
)
def test_a_second_executor_must_refuse_and_the_first_must_say_so(says, message, problem):
    class Second:
        command = staticmethod(
            lambda: [sys.executable, "-c", f"import time; print({says!r}, flush=True); time.sleep(60)"]
        )

    def wait(condition, what, timeout):
        until = time.monotonic() + (timeout if "word" in what else 0.1)
        while not condition():
            if time.monotonic() > until:
                raise TimeoutError(what)
            time.sleep(0.01)

    seen = Observed(0.0)
    Beside(Second, "/joint_states", Telling(message), wait).start_second_executor(seen)
    assert [problem in text for text in seen.problems] == ([True] if problem else []), seen.problems


def test_what_was_recorded_of_a_failed_injection_is_kept_with_a_picture(tmp_path):
    course = Rehearsal([0.3] * (ATTEMPTS + 1), tmp_path / "failed")
    course.inject(FAULT, Planned(FAULT.name, 7, 1))
    kept = {path.name: path for path in (tmp_path / "failed").iterdir()}
    assert sorted(kept) == ["chunk_duplicated_7.json", "chunk_duplicated_7.npz", "chunk_duplicated_7.png"]
    story = json.loads(kept["chunk_duplicated_7.json"].read_text())
    assert story["injection"]["longest_leap_s"] == pytest.approx(0.31) and story["began_at"] == 100.2
    with np.load(kept["chunk_duplicated_7.npz"]) as arrays:
        assert arrays["velocities"].shape == (100, 14)
        np.testing.assert_array_equal(arrays["sent000_velocities"], np.zeros((2, 7)))


def test_nothing_is_kept_of_an_injection_that_was_as_documented(tmp_path):
    Rehearsal([0.0], tmp_path / "failed").inject(FAULT, Planned(FAULT.name, 0, 1))
    assert not (tmp_path / "failed").exists()
