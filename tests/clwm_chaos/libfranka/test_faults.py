"""Whether a fault of an arm by libfranka ended as documented, from where both arms were."""

import numpy as np
import pytest

from clwm_bringup.graph import GraphError
from clwm_chaos.faults.plan import Journal, plan
from clwm_chaos.libfranka.command import chosen, read
from clwm_chaos.libfranka.faults import FAULTS, Course, Injected, judge_motion, summarise

BEGAN = 100.0


def braking(seconds, speed=0.3, until=102.0):
    """An arm whose joints come from `speed` [rad/s] to rest within `seconds` after BEGAN."""
    times = np.arange(BEGAN - 0.5, until, 0.01)
    speeds = speed * np.clip(1.0 - (times - BEGAN) / seconds, 0.0, 1.0)
    way = np.cumsum(speeds) * 0.01
    return Course(times, np.outer(way, np.ones(7)), np.outer(speeds, np.ones(7)))


def judged(fault, *courses):
    injected = Injected(fault, 0, "left")
    judge_motion(injected, BEGAN, courses)
    return injected


def test_arms_that_brake_in_time_end_as_documented():
    injected = judged("joint reflex", braking(0.1), braking(0.2))
    assert not injected.violations
    assert injected.standstill_s == pytest.approx(0.19, abs=0.02)
    assert injected.travel_rad == pytest.approx(0.03, abs=0.01)


def test_arms_that_brake_late_or_go_farther_than_their_limits_make_them_do_not():
    (late,) = judged("joint reflex", braking(0.1), braking(0.6, speed=0.4)).violations
    assert late.startswith("at rest 0.5") and late.endswith("s after it could be known; 0.4 s at most")
    assert not judged("joint reflex", braking(0.24, speed=1.5)).violations, "braking from there takes 0.18 rad"
    (far,) = judged("joint reflex", braking(0.3, speed=1.5)).violations
    assert "a joint went on for" in far


def test_what_could_be_known_only_when_joint_states_were_stale_counts_from_then():
    assert not judged("driver killed", braking(0.5)).violations
    assert judged("joint reflex", braking(0.5)).violations


def test_an_arm_that_was_not_seen_for_a_while_has_gone_from_where_it_was_seen_last():
    whole = braking(0.1, speed=2.0)
    is_seen = (whole.times <= BEGAN) | (whole.times > BEGAN + 1.0)
    seen = Course(whole.times[is_seen], whole.positions[is_seen], whole.velocities[is_seen])
    assert judged("connection cut", seen).travel_rad == pytest.approx(0.1, abs=0.02)


def test_an_arm_that_is_not_seen_again_is_no_standstill():
    assert judged("connection cut", braking(0.1, until=BEGAN - 0.1)).violations == ["an arm was not seen any more"]


def test_the_report_has_a_row_for_each_fault_that_was_injected():
    rows = summarise([judged("joint reflex", braking(0.1)), judged("joint reflex", braking(0.9))])
    assert [(row["fault"], row["injections"], row["ended_as_documented"]) for row in rows] == [("joint reflex", 2, 1)]


def test_an_interrupted_run_goes_on_with_what_was_found(tmp_path):
    found = judged("joint reflex", braking(0.1), braking(0.9))
    run = {"seed": 1}
    Journal(tmp_path / "libfranka.jsonl", run, read).append(found)
    journal = Journal(tmp_path / "libfranka.jsonl", run, read)
    assert journal.done == [found] and found.violations
    left = journal.left(plan(["joint reflex", "connection cut"], 2, 1))
    assert sorted((it.fault, it.number) for it in left) == [
        ("connection cut", 0),
        ("connection cut", 1),
        ("joint reflex", 1),
    ]


def test_an_unknown_fault_is_refused_with_those_that_there_are():
    assert chosen([]) == list(FAULTS)
    with pytest.raises(GraphError, match="fault 'controller deaf' is unknown for this robot; .* driver killed"):
        chosen(["controller deaf"])
