"""An injection passes only when everything that is documented was seen."""

from dataclasses import replace

import numpy as np
import pytest

from clwm_chaos.faults.edits import EDITS
from clwm_chaos.faults.faults import FAULTS, KillSignal, Known, Messages, Outcome, applies, tampering, topics_of
from clwm_chaos.faults.verdict import Observed, Requested, Sent, held_away, judge, known_at
from clwm_chaos.motion_record import MotionRecord
from clwm_common.robot.description import RobotDescription

TIMEOUT = 0.2
BEGAN = 100.0


@pytest.fixture(scope="module")
def robot():
    return RobotDescription.load("dual_fr3_mujoco")


def status(mode="POLICY", phase="MOVING", fault="", waiting=""):
    return {"mode": mode, "phase": phase, "fault": fault, "waiting": waiting}


def moving_until(robot, brakes_at, deceleration=5.0, speed=0.8, again_at=np.inf):
    times = np.arange(99.0, 104.0, 0.01)
    velocity = np.zeros((len(times), 14))
    velocity[:, 2] = np.clip(speed - deceleration * (times - brakes_at), 0.0, speed)
    velocity[times >= again_at, 2] = np.clip(4.0 * (times[times >= again_at] - again_at), 0.0, 0.1)
    home = np.concatenate([arm.home for arm in robot.arms])
    return MotionRecord(times, home + np.cumsum(velocity * 0.01, axis=0), velocity)


def observed(robot, fault, brakes_at=100.25, **changes):
    fields = {
        "began_at": BEGAN,
        "moved": True,
        "motion": moving_until(robot, brakes_at),
        "statuses": [(99.0, status()), (100.25, status(phase="BLIND", fault="joint states are 0.21 s old"))],
    }
    return Observed(**{**fields, **changes})


@pytest.mark.parametrize(
    ("end", "apart", "expected"),
    [(100.4, 0.12, 0.12), (100.4, 0.0, 0.0), (100.9, 0.12, 0.0)],
    ids=["held by something", "where it was told", "still under way"],
)
def test_an_arm_is_held_away_when_its_last_command_has_ended_elsewhere(robot, end, apart, expected):
    motion = moving_until(robot, 100.2)
    at_rest = motion.positions[-1]
    told = [
        Sent(100.1, end, arm, np.array([100.0, end]), np.tile(at_rest[7 * arm : 7 * arm + 7], (2, 1)), np.zeros((2, 7)))
        for arm in (0, 1)
    ]
    told[1].positions[-1, 3] += apart
    seen = Observed(BEGAN, motion=motion, sent=[Sent(99.0, 99.5), *told, Sent(101.0, 101.0)])
    assert held_away(seen, 100.6) == pytest.approx(expected, abs=1e-9)


def test_a_fault_that_ended_as_documented_breaks_nothing(robot):
    fault = FAULTS["joint states silent"]
    rest, known, violations = judge(fault, observed(robot, fault), robot, TIMEOUT)
    assert violations == []
    assert known == pytest.approx(100.2) and rest.at - known == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"brakes_at": 100.7}, "standstill 0.6"),
        ({"brakes_at": 100.42}, "rad after the executor could know"),
        ({"brakes_at": 200.0}, "did not come to rest"),
        ({"moved": False}, "the outcome was not"),
        ({"statuses": [(100.1, status())]}, "never said 'joint states are'"),
        ({"problems": ["policy: Traceback"]}, "Traceback"),
    ],
)
def test_whatever_is_not_as_documented_is_a_violation(robot, changes, reason):
    fault = FAULTS["joint states silent"]
    _, _, violations = judge(fault, observed(robot, fault, **changes), robot, TIMEOUT)
    assert any(reason in sentence for sentence in violations), violations


def test_motion_in_an_emergency_stop_is_a_violation(robot):
    fault = FAULTS["emergency stop"]
    said = [(100.01, status(mode="ESTOP"))]
    still = observed(robot, fault, brakes_at=100.02, estop=(100.6, 102.0), statuses=said)
    assert judge(fault, still, robot, TIMEOUT)[2] == []
    moving = replace(still, motion=moving_until(robot, 100.02, again_at=101.0))
    assert any("motion in ESTOP" in sentence for sentence in judge(fault, moving, robot, TIMEOUT)[2])
    assert any("no joint state" in text for text in judge(fault, replace(still, estop=(200.0, 201.0)), robot, 0.2)[2])


def test_a_fault_that_must_not_matter_may_not_change_the_mode(robot):
    fault = FAULTS["chunk duplicated"]
    motion = moving_until(robot, 200.0, speed=0.1)
    good = observed(robot, fault, motion=motion, statuses=[(99.0, status())])
    assert judge(fault, good, robot, TIMEOUT) == (None, BEGAN, [])
    held = replace(good, statuses=[(101.0, status(mode="HOLD", fault="a reason"))])
    assert any("although the motion should go on" in sentence for sentence in judge(fault, held, robot, TIMEOUT)[2])


@pytest.mark.parametrize("name", ["a process joins", "a process leaves", "a process is killed"])
def test_a_neighbour_that_holds_up_the_joint_states_for_too_long_is_a_violation(robot, name):
    motion = moving_until(robot, 200.0, speed=0.1)
    good = observed(robot, FAULTS[name], motion=motion, statuses=[(99.0, status())])
    assert judge(FAULTS[name], good, robot, TIMEOUT)[2] == []
    times = motion.times + np.where(motion.times > 100.1, 0.33, 0.0)
    held_up = replace(good, motion=MotionRecord(times, motion.positions, motion.velocities))
    violations = judge(FAULTS[name], held_up, robot, TIMEOUT)[2]
    assert violations == ["no joint state of moving arms for 0.340 s; the executor brakes after 0.2 s"]


@pytest.mark.parametrize(("lost", "is_good"), [([], True), ([1], False)], ids=["all heard", "one lost for good"])
def test_a_command_that_jumps_where_the_motion_should_go_on_is_a_violation(robot, lost, is_good):
    """Each goes on for 0.6 s at 0.3 rad/s and rests after 0.2 s more; the next is heard 0.1 s before it slows down."""
    fault, home = FAULTS["trajectory lost"], np.array(robot.left.home)
    sent = []
    for index in (index for index in range(4) if index not in lost):
        times = BEGAN + 0.5 * index + np.array([0.0, 0.6, 0.8])
        positions = home + 0.3 * (np.array([0.0, 0.6, 0.7]) + 0.5 * index)[:, None]
        velocities = np.repeat([[0.3], [0.3], [0.0]], 7, axis=1)
        sent.append(Sent(times[0], times[-1], 0, times, positions, velocities))
    seen = observed(robot, fault, motion=moving_until(robot, 200.0, speed=0.1), statuses=[], sent=sent)
    found = [sentence for sentence in judge(fault, seen, robot, TIMEOUT)[2] if "a command jumped by 0.0" in sentence]
    assert (found == []) is is_good


def test_a_missing_chunk_can_be_known_of_when_it_was_needed(robot):
    seen = observed(
        robot,
        None,
        requests=[Requested(99.0, 99.5, False), Requested(99.6, 100.3, False), Requested(100.5, 102.5, True)],
        statuses=[(99.0, status()), (100.32, status(phase="STALLED"))],
    )
    assert known_at(FAULTS["chunk late"], seen, TIMEOUT) == 100.3
    early = replace(seen, statuses=[(100.1, status(mode="HOLD"))])
    assert known_at(FAULTS["Ctrl-C"], early, TIMEOUT) == 100.1, "told before the chunk was needed"


def test_a_chunk_that_the_policy_declines_can_be_missed_when_it_was_needed_not_when_a_later_one_is(robot):
    seen = observed(
        robot,
        None,
        requests=[Requested(99.6, 100.3, False), Requested(100.5, 102.5, True), Requested(106.0, 106.7, False)],
        statuses=[(99.0, status()), (100.1, status(phase="STOPPING", waiting="the policy was deactivated"))],
    )
    assert known_at(FAULTS["policy restarted"], seen, TIMEOUT) == 100.3


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.diagnosed])
def test_a_fault_with_a_diagnosis_names_a_node_and_has_a_time_to_recover(name):
    node, text = FAULTS[name].diagnosed
    assert node in ("perception", "executor", "policy", "sim") and text and FAULTS[name].recovery > 0.0


def test_of_a_dead_executor_the_end_of_its_last_message_counts_and_not_its_successors(robot):
    sent = [Sent(99.0, 99.9), Sent(99.8, 100.7), Sent(99.8, 100.7), Sent(101.5, 102.4)]
    seen = observed(robot, None, sent=sent, statuses=[(99.0, status())])
    assert known_at(FAULTS["executor killed"], seen, TIMEOUT) == 100.7


def test_fault_of_grippers_by_action_is_left_out_where_they_listen_to_topics(robot):
    assert [name for name, fault in FAULTS.items() if not applies(fault, robot, sim_time=True)] == [
        "gripper never finishes"
    ]


def test_every_fault_can_be_carried_out_and_its_outcome_fits():
    robot = RobotDescription.load("dual_fr3_gripper_action")
    for fault in FAULTS.values():
        if isinstance(fault.means, Messages):
            order = tampering(fault.means, 1, robot, pick=5)
            known = {topic for topics in topics_of(robot).values() for topic in topics}
            assert order.topics and set(order.topics) <= known
            assert not order.edit or order.edit in EDITS
        if isinstance(fault.means, KillSignal):
            assert fault.means.node in ("sim", "perception", "executor", "policy")
        assert fault.diagnosed is None or [type(text) for text in fault.diagnosed] == [str, str], fault.name
        assert (fault.known is Known.SENT_AHEAD) or fault.outcome is not Outcome.RESTARTED or fault.published == {}


def test_one_camera_is_drawn_where_one_is_meant(robot):
    means = FAULTS["camera frozen"].means
    drawn = {tampering(means, 1, robot, pick).topics for pick in range(3)}
    assert len(drawn) == 3 and all(len(topics) == 1 for topics in drawn)


def test_faults_of_the_clock_are_for_stacks_that_live_by_it(robot):
    of_clock = {name for name, fault in FAULTS.items() if fault.of_sim_time}
    assert of_clock == {"clock pauses", "clock dies", "clock jumps"}
    assert {name for name, fault in FAULTS.items() if applies(fault, robot, sim_time=True)} - {
        name for name, fault in FAULTS.items() if applies(fault, robot)
    } == of_clock


@pytest.mark.parametrize(("said", "is_documented"), [("/clock has stood at 7.00 s for 3 s", True), ("lost", False)])
def test_a_motion_that_goes_on_may_name_the_documented_fault_and_no_other(robot, said, is_documented):
    fault = FAULTS["clock pauses"]
    motion = moving_until(robot, 200.0, speed=0.1)
    statuses = [(BEGAN, status(fault="/clock has stood at 7.00 s for 2 s")), (BEGAN, status(fault=said))]
    _, _, violations = judge(fault, observed(robot, fault, motion=motion, statuses=statuses), robot, TIMEOUT)
    assert bool(violations) is not is_documented, violations
