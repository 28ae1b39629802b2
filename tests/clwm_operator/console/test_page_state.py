"""What the page shows: why the arms do what they do, in words, and nothing that JSON does not know."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from clwm_common.messages import ChunkTimeline, Judgement, Mode, SaiReport, Verdict
from clwm_common.ros.diagnostics import Health, Level
from clwm_common.verdicts import OWN_ESTIMATE
from clwm_operator.console.page_state import SILENT, Heard, chunk_story, explanation, page_state

STATUS = {
    "phase": "MOVING",
    "instruction": "lift the tray",
    "task_epoch": 7,
    "fault": "",
    "waiting": "",
    "is_active": True,
}
WELL = Heard(
    now=100.0,
    clock=5.0,
    mode=Mode.POLICY,
    owner="policy",
    status=STATUS,
    health={"executor": Health(Level.OK, "fine")},
    health_at={"executor": 99.5},
    measured_for=0.02,
    joints=np.zeros(14),
    tools=np.ones((2, 7)),
    openings=np.zeros(2),
)


def status(**changes):
    return {**STATUS, **changes}


@pytest.mark.parametrize(
    ("changes", "why", "remedy"),
    [
        ({}, "a chunk is being executed", ""),
        ({"status": status(phase="ASKED", waiting="no picture")}, "the arms wait for it: no picture", ""),
        ({"status": status(instruction="", phase="IDLE")}, "there is no task", "give one"),
        ({"status": status(fault="the policy declined")}, "the policy declined", "give another task"),
        ({"status": status(is_active=False)}, "takes no orders", "health"),
        ({"mode": Mode.HOLD, "reason": "HOLD was ordered"}, "HOLD was ordered", "take over by hand"),
        ({"mode": Mode.HOLD, "status": status(fault="a leap")}, "a leap", "mend that"),
        ({"mode": Mode.ESTOP, "status": status(fault="x")}, "ESTOP was ordered", "latched"),
        ({"mode": Mode.TELEOP, "owner": "anna", "status": status(phase="STEERED")}, "who is 'anna'", "letting go"),
        ({"status": status(phase="BLIND", fault="joints are old")}, "joints are old", "joint states"),
        ({"mode": None}, "has not been heard of", "clwm up"),
        ({"health_at": {"executor": 90.0}, "measured_for": 10.0}, "silent for 10 s", "the robot's own stop"),
        ({"health_at": {}, "measured_for": None}, "silent", "the robot's own stop"),
    ],
)  # fmt: skip
def test_it_is_said_why_the_arms_do_what_they_do_and_what_can_be_done(changes, why, remedy):
    said = explanation(replace(WELL, **changes))
    assert why in said[0] and remedy in said[1] and bool(said[1]) == bool(remedy), said


@pytest.mark.parametrize("measured_for", [None, 0.1, 50.0])
@pytest.mark.parametrize("age", [0.5, 50.0, None])
def test_the_executor_is_silent_when_neither_health_nor_arms_come(age, measured_for):
    health_at = {} if age is None else {"executor": 100.0 - age}
    said = explanation(replace(WELL, health_at=health_at, measured_for=measured_for))[0]
    is_alive = (age is not None and age < SILENT) or (measured_for is not None and measured_for < SILENT)
    assert ("silent" in said) is not is_alive


def test_a_node_that_says_nothing_any_more_is_not_shown_as_it_last_was():
    told = page_state(replace(WELL, health_at={"executor": 90.0}))["nodes"][0]
    assert told["level"] == "STALE" and "no word for 10 s" in told["told"] and "clwm up" in told["told"]


def test_a_verdict_is_shown_for_the_task_that_it_is_about_only():
    verdict = Verdict(1.0, 7, "sim", Judgement.SUCCEEDED, "lift_tray")
    assert page_state(replace(WELL, verdicts=(verdict,)))["verdict"]["outcome"] == "SUCCEEDED"
    assert page_state(WELL)["verdict"] is None


def test_of_several_verdicts_the_one_that_counts_is_shown_also_when_the_task_has_ended():
    sim = Verdict(1.0, 7, "sim", Judgement.OPEN, "lift_tray")
    estimate = Verdict(2.0, 7, OWN_ESTIMATE, Judgement.SUCCEEDED)
    failed = Verdict(1.5, 7, "operator", Judgement.FAILED)
    over = replace(WELL, status={**WELL.status, "instruction": ""})
    for heard in (WELL, over):
        assert page_state(replace(heard, verdicts=(estimate, failed, sim)))["verdict"]["judge"] == "operator"
    assert page_state(replace(WELL, verdicts=(sim,)))["verdict"]["outcome"] == "OPEN"
    assert page_state(replace(over, verdicts=(sim,)))["verdict"] is None


def test_the_alarm_and_the_evidence_are_the_policys():
    values = {"surrogate_error_limit": "0.7635", "evidence_kept": "3 of 3: 1.000", "chunks": "9"}
    told = page_state(replace(WELL, health={"policy": Health(Level.OK, "", values)}, health_at={"policy": 100.0}))
    assert told["alarm"] == 0.7635 and told["evidence"] == {"evidence_kept": "3 of 3: 1.000"}
    assert page_state(WELL)["alarm"] is None


@pytest.mark.parametrize("heard", [WELL, Heard(now=0.0, clock=0.0), replace(WELL, measured_for=math.inf)])
def test_every_state_is_json(heard):
    assert json.loads(json.dumps(page_state(heard), allow_nan=False))["at"] == heard.now


def test_a_chunk_that_never_came_is_told_without_numbers_that_json_lacks():
    story = chunk_story(ChunkTimeline(1, 2, 3.0, 4.0, 5.0, False, 4, outcome="timed_out"))
    assert story["blocking"] is None and story["sent_at"] is None and "surrogate_error" not in story
    json.dumps(story, allow_nan=False)


def test_a_chunks_blocking_time_is_from_the_picture_to_the_first_command_while_the_arms_move():
    chunk = ChunkTimeline(1, 2, 3.0, 4.0, 5.0, False, 4, "executed", sent_at=4.15, observation_stamp=4.0)
    chunk.report = SaiReport(1, 2, "adaptive", memory_updates=12, expected_deviation=float("nan"))
    story = chunk_story(chunk)
    assert story["blocking"] == pytest.approx(0.15) and story["memory_updates"] == 12
    assert story["expected_deviation"] is None and story["speculation"] == [None, None]
    chunk.at_rest = True
    assert chunk_story(chunk)["blocking"] is None
