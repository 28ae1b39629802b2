"""The link to one arm: connected by itself, taken up when ready, and recovered only when told to."""

import pytest

from clwm_franka import driver
from clwm_franka.driver import (
    RETRY,
    Begin,
    Begun,
    Connect,
    Driver,
    Ended,
    Lost,
    Phase,
    Recover,
    RecoveryAsked,
    RecoveryEnded,
    Seen,
    Tick,
)


@pytest.fixture
def link():
    return Driver("left")


@pytest.fixture
def controlling(link):
    assert link.step(0.0, Tick()) == [Connect()]
    assert link.step(0.1, Seen("Idle")) == [Begin()]
    assert link.step(0.2, Begun()) == []
    assert link.phase is Phase.CONTROLLING and not link.reason and not link.fault
    return link


def test_it_tries_to_connect_again_but_not_at_once(link):
    assert link.step(0.0, Tick()) == [Connect()]
    link.step(0.1, Lost("connection refused"))
    assert link.step(0.2, Tick()) == []
    assert link.step(RETRY, Tick()) == [Connect()]
    assert "left arm: no connection (connection refused); trying again every 1 s" == link.reason


def test_an_arm_that_nobody_could_move_yet_stops_nobody(link):
    link.step(0.0, Tick())
    link.step(0.1, Lost("connection refused"))
    assert link.reason and not link.fault


def test_a_connection_that_is_lost_in_a_motion_is_a_fault_and_is_tried_again(controlling):
    controlling.step(1.0, Lost("UDP receive: Timeout"))
    assert "UDP receive: Timeout" in controlling.fault
    assert controlling.step(2.0, Tick()) == [Connect()]
    assert controlling.step(2.1, Seen("Idle")) == [Begin()]


@pytest.mark.parametrize("mode", ["UserStopped", "Guiding", "Other", "Move", "AutomaticErrorRecovery"])
def test_a_robot_that_is_not_ready_is_waited_for_and_taken_up_by_itself(link, mode):
    link.step(0.0, Tick())
    assert link.step(0.1, Seen(mode)) == [] and link.phase is Phase.WAITING
    assert link.fault.startswith("left arm: not ready: it") or "another program" in link.fault or "brakes" in link.fault
    assert link.step(5.0, Seen("Idle")) == [Begin()]


def test_a_reflex_is_named_with_its_meaning_and_remedy_and_stays(controlling):
    controlling.step(1.0, Ended("aborted by reflex", ("joint_reflex",)))
    assert controlling.phase is Phase.FAULT
    assert controlling.fault == (
        "left arm: stopped by joint_reflex (a joint met more torque than its collision threshold); see to the arm, "
        "then `clwm recover left`, and set the mode to POLICY"
    )
    for now in range(2, 100):
        assert controlling.step(float(now), Seen("Reflex", ("joint_reflex",))) == []
        assert controlling.step(float(now), Tick()) == []


def test_a_robot_that_is_found_in_a_reflex_is_not_taken_up(link):
    link.step(0.0, Tick())
    assert link.step(0.1, Seen("Reflex", ("communication_constraints_violation",))) == []
    assert "commands came too late" in link.fault


def test_error_recovery_is_started_by_nobody_but_an_operator(controlling):
    controlling.step(1.0, Ended("aborted by reflex", ("joint_reflex",)))
    controlling.step(1.1, Seen("Reflex", ("joint_reflex",)))
    assert controlling.step(2.0, RecoveryAsked()) == [Recover()]
    assert controlling.step(2.5, RecoveryEnded()) == [Begin()]
    controlling.step(2.6, Begun())
    assert not controlling.fault


def test_a_recovery_that_fails_says_why_and_may_be_asked_for_again(controlling):
    controlling.step(1.0, Ended("aborted by reflex", ("joint_reflex",)))
    controlling.step(1.1, Seen("Reflex", ("joint_reflex",)))
    controlling.step(2.0, RecoveryAsked())
    assert controlling.step(2.5, RecoveryEnded("manual error recovery required")) == []
    assert "manual error recovery required" in controlling.fault
    assert controlling.step(3.0, RecoveryAsked()) == [Recover()]


def test_a_motion_that_ended_without_an_error_is_taken_up_when_somebody_says_so(controlling):
    controlling.step(1.0, Ended("motion preempted"))
    assert controlling.step(1.1, Seen("Idle")) == [] and "motion preempted" in controlling.fault
    assert controlling.step(2.0, RecoveryAsked()) == [Begin()]


def test_recovery_of_an_arm_that_takes_commands_is_refused_with_the_reason(controlling):
    assert controlling.refusal == "left arm: nothing is wrong; it takes commands"
    assert controlling.step(1.0, RecoveryAsked()) == []


def test_every_event_is_answered_in_every_phase():
    events = [Tick(), Seen("Idle"), Seen("Reflex"), Begun(), Ended("x"), Lost("x"), RecoveryAsked(), RecoveryEnded()]
    for first in events:
        for second in events:
            link = Driver("right")
            for event in (first, second):
                commands = link.step(0.0, event)
                assert all(isinstance(command, driver.Connect | driver.Begin | driver.Recover) for command in commands)
            assert (link.phase is Phase.CONTROLLING) == (not link.reason)
