"""What `clwm preflight` makes of what it heard: each way in which a robot is not ready has a sentence and a remedy."""

import numpy as np
import pytest

from clwm_bringup.checks import preflight as checks
from clwm_bringup.checks.doctor import Outcome, Result
from clwm_bringup.checks.preflight import Stream
from clwm_common.robot.description import RobotDescription
from clwm_perception.image_sets import SynchroniserConfig
from clwm_sai_executor.checks.clearance import margins_of
from clwm_sai_executor.checks.start import StartCheck
from clwm_sai_executor.config import SchedulerConfig
from clwm_sai_executor.events import MeasuredArms
from clwm_sai_executor.outputs.controller_parameters import Findings

EXECUTOR, PERCEPTION = SchedulerConfig(), SynchroniserConfig(("head", "left"))


def heard(rate, age=0.004, seconds=4.0, offset=0.0, problem="", warning="", detail=""):
    stream = Stream(problem=problem, warning=warning, detail=detail)
    for stamp in 100.0 + offset + np.arange(0.0, seconds, 1.0 / rate):
        stream.hear(stamp + age, stamp)
    return stream


def joints(stream, has_arm=True):
    return checks.judge_joints("/joints", stream, EXECUTOR, has_arm=has_arm)


def assert_says(result, outcome, text):
    assert result.outcome is outcome and text in f"{result.found} -> {result.remedy}", result
    assert result.remedy or outcome is Outcome.OK


@pytest.mark.parametrize(
    ("stream", "outcome", "text"),
    [
        (heard(100.0), Outcome.OK, "100 Hz, 4 ms old"),
        (Stream(), Outcome.FAIL, "nothing on /joints"),
        (heard(100.0, problem="/joints lacks elbow; publish it"), Outcome.FAIL, "/joints lacks elbow -> publish it"),
        (heard(100.0, warning="/joints: no velocity; export it"), Outcome.WARN, "/joints: no velocity -> export it"),
        (heard(100.0, age=1.5), Outcome.FAIL, "synchronise the clocks"),
        (heard(100.0, age=-1.5), Outcome.FAIL, "synchronise the clocks"),
        (heard(30.0), Outcome.WARN, "raise the rate to 50 Hz"),
        (heard(4.0), Outcome.FAIL, "oftener than every 0.2 s"),
        (heard(1.0, seconds=0.5), Outcome.WARN, "0 Hz"),
    ],
)
def test_joint_states(stream, outcome, text):
    assert_says(joints(stream), outcome, text)


def test_fingers_may_be_published_rarely():
    assert joints(heard(15.0), has_arm=False).outcome is Outcome.OK
    assert joints(heard(4.0), has_arm=False).outcome is Outcome.OK


@pytest.fixture(scope="module")
def robot():
    return RobotDescription.load("dual_fr3_mujoco")


def judged(robot, positions, velocity=0.0, widths=(0.08, 0.08)):
    arms = MeasuredArms(0.0, np.array(positions), np.full(14, velocity), np.array(widths))
    return checks.judge_arms(robot, arms, StartCheck(robot, margins_of(robot)))


def test_arms_at_home_and_at_rest_are_ready(robot):
    assert_says(judged(robot, robot.home), Outcome.OK, "at rest, at most 0.00 rad from home")


def test_arms_that_move_or_are_elsewhere_are_told_of(robot):
    away = robot.home.copy()
    away[8] += 0.7
    assert_says(judged(robot, away), Outcome.WARN, "0.70 rad from home (right joint 2)")
    assert_says(judged(robot, robot.home, velocity=0.2), Outcome.WARN, "moving")


def test_what_the_executor_refuses_to_start_from_is_a_failure_and_what_it_cuts_off_a_warning(robot):
    beyond, aside = robot.home.copy(), robot.home.copy()
    beyond[3] = 0.2
    aside[[0, 3]] = [1.5, -1.2]
    assert_says(judged(robot, beyond), Outcome.FAIL, "joint left left_fr3_joint4 is at 0.200 rad, outside its limits")
    assert_says(judged(robot, beyond), Outcome.FAIL, "-> move it back with the robot's own tools")
    assert_says(judged(robot, robot.home, widths=(0.2, 0.0)), Outcome.FAIL, "the left gripper is 0.200 m open")
    assert_says(judged(robot, aside), Outcome.WARN, "outside the workspace")


@pytest.mark.parametrize(
    ("stream", "outcome", "text"),
    [
        (heard(20.0, age=0.01), Outcome.OK, "20 Hz, 10 ms"),
        (heard(30.0), Outcome.OK, "30 Hz"),
        (heard(20.0, detail="640 x 480"), Outcome.OK, "20 Hz, 4 ms old on arrival, 640 x 480"),
        (Stream(), Outcome.FAIL, "nothing on /head"),
        (heard(20.0, problem="encoding is 16UC1"), Outcome.FAIL, "16UC1"),
        (heard(20.0, age=0.5), Outcome.FAIL, "synchronise the clocks"),
        (heard(20.0, age=-0.2), Outcome.FAIL, "synchronise the clocks"),
        (heard(10.0), Outcome.WARN, "raise its rate to 20 Hz"),
    ],
)
def test_cameras(stream, outcome, text):
    assert_says(checks.judge_camera("/head", stream, PERCEPTION), outcome, text)


def test_pictures_that_nobody_needs_stop_nothing():
    silent = checks.judge_camera("/head", Stream(), PERCEPTION)
    assert silent.outcome is Outcome.FAIL
    assert_says(checks.not_needed(silent), Outcome.WARN, "only a policy needs pictures; for one: start the camera")
    fine = Result(Outcome.OK, "20 Hz")
    assert checks.not_needed(fine) is fine


def test_cameras_that_run_together_make_sets_and_others_do_not():
    together = {"head": heard(20.0), "left": heard(20.0, offset=0.01)}
    assert_says(checks.judge_sets(together, PERCEPTION), Outcome.OK, "100 % of the pictures within 20 ms")
    apart = {"head": heard(20.0), "left": heard(20.0, offset=0.025)}
    assert_says(checks.judge_sets(apart, PERCEPTION), Outcome.FAIL, "0 % of the pictures")
    assert_says(checks.judge_sets({"head": heard(20.0), "left": Stream()}, PERCEPTION), Outcome.FAIL, "not all cameras")
    one_at_a_time = {"head": heard(20.0, seconds=1.0), "left": heard(20.0, seconds=1.0, offset=5.0)}
    assert_says(checks.judge_sets(one_at_a_time, PERCEPTION), Outcome.FAIL, "0 % of the pictures")


def test_one_camera_is_a_set_of_its_own():
    assert checks.judge_sets({"head": heard(20.0)}, SynchroniserConfig(("head",))).outcome is Outcome.OK


HEARS, MAY_MISS = checks.Listener("jtc", True), checks.Listener("jtc", False)
DEAF = checks.Listener("jtc", False, "volatile publisher and transient local subscription")


@pytest.mark.parametrize(
    ("listeners", "findings", "outcome", "text"),
    [
        ([HEARS], Findings(), Outcome.OK, "parameters checked; listens reliable"),
        ([MAY_MISS], Findings(), Outcome.OK, "parameters checked; listens best effort: what is lost arrives when"),
        ([DEAF], Findings(), Outcome.FAIL, "jtc hears nothing on /arm: volatile publisher"),
        ([], Findings(), Outcome.FAIL, "nobody listens to /arm"),
        ([HEARS, MAY_MISS], Findings(), Outcome.WARN, "jtc, jtc listen to /arm"),
        ([HEARS], Findings(refusals=("it has no joint 'elbow'",)), Outcome.FAIL, "no joint 'elbow'"),
        ([HEARS], Findings(warnings=("it has no position interface",)), Outcome.WARN, "no position interface"),
    ],
)
def test_controllers(listeners, findings, outcome, text):
    assert_says(checks.judge_controller("/arm", listeners, findings, "parameters checked"), outcome, text)


def test_another_commander_and_a_missing_gripper_are_failures():
    assert_says(checks.judge_commanders("/arm", ["moveit"]), Outcome.FAIL, "moveit may send to /arm")
    assert checks.judge_commanders("/arm", []).outcome is Outcome.OK
    assert_says(checks.judge_gripper("/hand", False), Outcome.FAIL, "nobody serves /hand")
    assert checks.judge_gripper("/hand", True).outcome is Outcome.OK
    unable = checks.judge_gripper("/hand", True, "control_msgs")
    assert_says(unable, Outcome.FAIL, "not installed -> apt-get install ros-jazzy-control-msgs")


def test_a_gripper_behind_the_projects_own_action_needs_no_other_package():
    assert (checks.package_of("MoveGripper"), checks.package_of("GripperCommand")) == ("clwm_msgs", "control_msgs")
