"""An arm's commands of every millisecond, and who judges them against a robot's limits."""

import os
import sys

import numpy as np
import pytest

from clwm_common.control.trajectory import JointTrajectory
from clwm_common.robot.description import RobotDescription
from clwm_evaluation.libfranka.judge import Judge, JudgeError, Verdict
from clwm_evaluation.libfranka.limits import Judged, page_tables, summary
from clwm_evaluation.libfranka.motions import Motion, SentMotions, filtered, moving_seconds, unfiltered
from clwm_evaluation.success_rates.evaluation import EvaluationSettings

ROBOT = RobotDescription.load("dual_fr3_libfranka")
NAMES, HOME = ROBOT.left.joint_names, np.array(ROBOT.left.home)


def away_and_back():
    """Two trajectories, the second while the first still moves the arm."""

    def sent(now, *places):
        rows = np.array([HOME + place for place in places])
        times = 0.4 * np.arange(1, len(rows) + 1)
        return now, JointTrajectory.from_arrays(NAMES, times, rows, np.zeros_like(rows), stamp=now)

    return Motion("lift_tray", 1, "left", HOME, [sent(1000.0, 0.1, 0.15), sent(1000.5, 0.1, 0.0)])


def jerks(commands):
    positions = np.concatenate([[HOME] * 3, commands])
    return np.abs(np.diff(positions, n=3, axis=0)).max(axis=0) / 1e-9


def test_only_through_the_filter_are_commands_within_the_limits_and_both_end_where_they_were_sent():
    kept, bare = (way(away_and_back(), NAMES, ROBOT.limits) for way in (filtered, unfiltered))
    assert (jerks(kept) <= np.array(ROBOT.limits.jerk)).all()
    assert (jerks(bare) > np.array(ROBOT.limits.jerk)).any()
    for commands in (kept, bare):
        assert len(commands) == 1500
        np.testing.assert_allclose(commands[-1], HOME, atol=1e-3)
        assert np.abs(commands - HOME).max() > 0.1
        assert 1.2 < moving_seconds(commands) < 1.35, "of 0.8 s, cut after 0.5, 0.8 s more and the rest"


def test_what_the_executor_sends_is_heard_for_both_arms_from_where_they_stood():
    settings = {"task": "lift_tray", "episodes": 1, "first_seed": 1, "control": "expert", "latency": "100"}
    stack = SentMotions(EvaluationSettings.of_model("nano", **settings), ROBOT)
    try:
        left, right = stack.of(1)
    finally:
        stack.close()
    for motion in (left, right):
        names = getattr(ROBOT, motion.arm).joint_names
        assert len(motion.sent) > 3 and motion.sent[0][1].joint_names == tuple(names)
        np.testing.assert_allclose(motion.sent[0][1].points[0].positions, motion.start, atol=0.05)
        assert (jerks(filtered(motion, names, ROBOT.limits) - motion.start + HOME) <= np.array(ROBOT.limits.jerk)).all()


def test_a_motion_counts_up_to_its_first_refused_command():
    refusal = Verdict(9, "joint_motion_generator_acceleration_discontinuity", "q_c joint 1 = 9000")
    found = {
        "filtered": [Judged("lift_tray", 1, side, 1000, 0.8, Verdict(None, "", "")) for side in ("left", "right")],
        "unfiltered": [Judged("lift_tray", 1, side, 1000, 0.8, refusal) for side in ("left", "right")],
    }
    report = summary(found)
    assert report["enforced"]["filtered"]["moving_seconds"] == 1.6
    assert report["enforced"]["filtered"]["judged"] == 2000 and not report["enforced"]["filtered"]["commands_refused"]
    assert report["enforced"]["unfiltered"]["judged"] == 20 and report["enforced"]["unfiltered"]["motions_refused"] == 2
    (rows,) = page_tables(report)
    assert rows.rows[0][-2:] == ["0", "-"]
    assert rows.rows[1][-2:] == ["2", "joint_motion_generator_acceleration_discontinuity: 2"]


def test_a_python_without_the_judge_is_refused_with_the_remedy():
    for python in (sys.executable, "/no/such/python"):
        with pytest.raises(JudgeError, match="pip install franka-sim"):
            Judge(python)


def test_the_judge_refuses_what_leaps_and_takes_what_the_filter_made_of_it():
    if (python := os.environ.get("CLWM_FRANKA_SIM_PYTHON")) is None:
        pytest.skip("franka-sim has an environment of its own; CLWM_FRANKA_SIM_PYTHON is not set to its Python")
    judge = Judge(python)
    try:
        motion = away_and_back()
        assert judge.judge(HOME, filtered(motion, NAMES, ROBOT.limits)) == Verdict(None, "", "")
        assert "discontinuity" in judge.judge(HOME, unfiltered(motion, NAMES, ROBOT.limits)).error
    finally:
        judge.close()
