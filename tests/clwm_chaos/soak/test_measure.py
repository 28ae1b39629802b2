"""A long run is judged by what was measured: stalls by boundaries, memory by its growth, silence by what was said."""

import os
import subprocess
import sys

import numpy as np
import pytest

from clwm_chaos.soak.course import SoakCourse
from clwm_chaos.soak.measure import OperatorSide, Sample, Soak, growth, summarise
from clwm_chaos.soak.picture import draw_soak
from clwm_common.messages import Mode
from clwm_common.process_usage import usage
from clwm_operator.recording import Chunk


def chunk(outcome="executed", at_rest=False, stall=0.0, observe_at=100.0):
    return Chunk(
        chunk_id=1, outcome=outcome, requested_at=observe_at - 0.6, observe_at=observe_at, needed_by=observe_at + 0.2,
        at_rest=at_rest, sent_at=None, first_motion_at=None, rows_end_at=None, observation_stamp=None, stall=stall,
        speculation=None, frame_arrived_at=None, finished_at=None, stages={}, surrogate_error=None, copy_error=None,
    )  # fmt: skip


def samples(resident, cpu=0.1):
    return [Sample(float(at), float(mb), 0.6 * float(mb), cpu * at) for at, mb in enumerate(resident)]


def good_soak(boundaries=400):
    soak = Soak(samples=samples(np.full(600, 120.0)), outcomes=["success", "timeout"])
    soak.add([chunk(observe_at=100.0 + index) for index in range(boundaries)], 90.0)
    return soak


def test_a_good_run_meets_every_target():
    result = summarise(good_soak(), 600.0)
    assert result["not_met"] == []
    assert (result["boundaries"], result["stalls"], result["successes"]) == (400, 0, 1)
    assert result["cpu_share"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("console", "pictures", "recordings", "said"),
    [(60.0, 18_000, 90, []), (90.1, 18_000, 90, ["of one core for console and recorder"]),
     (60.0, 0, 90, ["nothing was"]), (60.0, 18_000, 0, ["nothing was measured of them"])],
)  # fmt: skip
def test_console_and_recorder_share_a_quarter_of_a_core_and_have_something_to_do(console, pictures, recordings, said):
    soak = good_soak()
    soak.operator = OperatorSide(660.0, 600.0, console, 1.0, 66.0, pictures, recordings)
    result = summarise(soak, 660.0)
    assert result["operator_cpu_share"] == pytest.approx(console / 600.0 + 0.1)
    assert len(result["not_met"]) == len(said) and all(word in result["not_met"][0] for word in said)


@pytest.mark.parametrize(("watched", "used", "is_met"), [(540.0, 1.7, True), (540.0, 1.9, False), (600.0, 0.0, True)])
def test_a_console_without_a_viewer_uses_three_hundredths_of_a_core_at_most(watched, used, is_met):
    soak = good_soak()
    soak.operator = OperatorSide(600.0, watched, 60.0, used, 60.0, 18_000, 90)
    result = summarise(soak, 600.0)
    assert ("unwatched_console_cpu_share" in result) is (watched < 600.0)
    assert any("nobody looked at" in text for text in result["not_met"]) is not is_met


def test_a_chunk_from_rest_or_cancelled_is_no_boundary():
    soak = Soak()
    soak.add([chunk(at_rest=True, stall=1.0), chunk("cancelled"), chunk()], 0.0)
    assert len(soak.boundaries) == 1


@pytest.mark.parametrize(("stalls", "is_met"), [(4, True), (5, False)])
def test_more_than_one_stall_in_a_hundred_boundaries_is_too_many(stalls, is_met):
    soak = good_soak(400 - stalls)
    soak.add([chunk(stall=0.05)] * stalls, 0.0)
    assert (not any("stalled" in text for text in summarise(soak, 600.0)["not_met"])) is is_met


def test_a_chunk_that_never_came_is_a_stall_but_has_no_length():
    soak = good_soak()
    soak.add([chunk("timed_out"), chunk(stall=0.3)], 0.0)
    result = summarise(soak, 600.0)
    assert result["stalls"] == 2 and result["longest_stall_s"] == pytest.approx(0.3)


def test_memory_that_fills_up_at_the_start_is_no_growth_and_a_leak_is():
    filling = np.minimum(np.linspace(80.0, 400.0, 600), 100.0)
    assert growth(samples(filling)) == pytest.approx(0.0)
    assert growth(samples(np.linspace(100.0, 110.0, 600))) == pytest.approx(8.1, abs=0.2)
    soak = good_soak()
    soak.samples = samples(np.linspace(100.0, 110.0, 600))
    assert any("more memory" in text for text in summarise(soak, 600.0)["not_met"])


def test_a_gap_of_joint_states_must_have_been_reported():
    soak = good_soak()
    soak.gaps.append((10.0, 0.3))
    assert any("no diagnostic" in text for text in summarise(soak, 600.0)["not_met"])
    soak.reported_misses = 1
    assert summarise(soak, 600.0)["not_met"] == []


def test_holds_that_an_operator_ended_are_told_with_their_reasons():
    soak = good_soak()
    soak.holds.append((30.0, "the chunk leaves the workspace"))
    result = summarise(soak, 600.0)
    assert result["holds"] == 1 and result["reasons_of_holds"] == ["the chunk leaves the workspace"]
    assert result["not_met"] == []


class HeldStack:
    """What a soak sees of a stack whose executor is in `mode`, and what it orders."""

    def __init__(self, mode):
        self.status = {"mode": mode, "fault": "the chunk leaves the workspace"}
        self.ordered = []

    def set_mode(self, mode, wait):
        self.ordered.append(mode)


@pytest.mark.parametrize(("mode", "ordered"), [("HOLD", [Mode.POLICY]), ("POLICY", []), ("ESTOP", [])])
def test_held_arms_are_let_go_on_and_nothing_else_is(mode, ordered):
    course = SoakCourse.__new__(SoakCourse)
    course.node, course.soak, course._began_at = HeldStack(mode), Soak(), None
    course._release()
    assert course.node.ordered == ordered
    assert [reason for _, reason in course.soak.holds] == ["the chunk leaves the workspace"] * len(ordered)


def test_a_run_without_a_boundary_has_measured_nothing():
    assert "nothing was measured" in summarise(Soak(), 0.0)["not_met"][0]


def test_a_hungry_executor_and_a_restart_are_told():
    soak = good_soak()
    soak.samples, soak.restarts = samples(np.full(600, 300.0), cpu=0.5), 1
    text = "; ".join(summarise(soak, 600.0)["not_met"])
    assert "MB as its share of memory" in text and "of one core" in text and "started again" in text


def test_the_picture_is_drawn_for_long_and_for_empty_runs(tmp_path):
    for name, soak in (("good", good_soak()), ("empty", Soak())):
        draw_soak(soak, tmp_path / f"{name}.png", name)
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_this_process_uses_memory_and_time_and_a_missing_one_nothing():
    before = usage(os.getpid())
    kept = np.ones(10_000_000)  # more than an allocator keeps of what was freed before
    sum(range(2_000_000))
    after = usage(os.getpid())
    assert after.resident - before.resident > 0.8 * kept.nbytes
    assert after.processor > before.processor
    assert 0 < after.share <= after.resident
    assert usage(2**22 + 1) is None


def test_a_process_that_has_died_uses_nothing_also_before_it_is_waited_for():
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert usage(process.pid) is None
    process.wait()
    assert usage(process.pid) is None
