"""Coverage of stated bounds and behaviour of speculation, on made-up trials and reports whose answer is known."""

import json
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest

from clwm_common.messages import SaiReport
from clwm_evaluation.calibration.calibrate import fit_calibration
from clwm_evaluation.calibration.trials import Trials
from clwm_evaluation.measurements.speculation import as_tables, behaviour, coverage, draw_speculation
from clwm_policy.engine.re_entry import Plan
from clwm_policy.engine.refinement import refinements

PLAN = Plan(4, 8)
POINTS = tuple(refinements(PLAN))


class Weights:
    policy_hash = "p" * 64
    encoder_hash = "e" * 64


def trials_of(seed, count=600, slope=1.0):
    """The last point strays by up to `slope` times the disagreement, earlier less; every fifth is disturbed."""
    rng = np.random.default_rng(seed)
    disagreement = rng.uniform(0.0, 0.01, count)
    tools = np.zeros((count, 1 + len(POINTS), 12, 2, 7))
    tools[..., 6] = 1.0
    strays = slope * disagreement * rng.uniform(0.2, 1.0, count)
    for column in range(1, 1 + len(POINTS)):
        tools[:, column, :, :, 0] = (strays * column / len(POINTS))[:, None, None]
    return Trials(
        task=np.array(["lift_tray"] * count),
        seed=np.full(count, seed),
        chunk=np.arange(count),
        moved=np.arange(count) % 5 == 0,
        disagreement=disagreement,
        tools=tools,
        fixed=tools[:, 1],
        naive=tools[:, -1],
    )


@pytest.fixture(scope="module")
def calibration():
    return fit_calibration(trials_of(0, 2000), Weights, PLAN)


def report(number, **changes):
    resumed = {"re_entry_video_s": 1.0, "re_entry_s": 0.5}
    facts = {"surrogate_error": 0.4, "copy_error": 0.5, **resumed, "nfe_total": 16, "nfe_blocking": 4}
    return SaiReport(number, 1, "fixed:0.5", **{**facts, **changes})


def test_bounds_hold_on_other_trials_of_the_same_kind(calibration):
    held = coverage(trials_of(1), calibration)
    assert held["all"]["chosen"]["share"] >= held["stated"] - 0.02
    assert held["all"]["within_bound"]["share"] >= 0.95
    assert held["undisturbed"]["trials"] + held["disturbed"]["trials"] == held["all"]["trials"] == 600


def test_bounds_are_seen_to_fail_when_chunks_stray_further_than_stated(calibration):
    held = coverage(trials_of(1, slope=3.0), calibration)
    assert held["all"]["chosen"]["share"] < 0.7
    assert held["all"]["points"]["1"]["share"] < 0.7


def test_a_point_without_a_stated_bound_is_not_counted_for_it(calibration):
    trials = trials_of(1)
    trials.disagreement[:100] = 1.0  # beyond all that was calibrated: from the start, and no bound is stated
    found = coverage(trials, calibration)["all"]
    assert found["points"]["1"]["trials"] <= 500 and found["from_the_start"] >= 100 / 600 - 1e-3
    assert found["chosen"]["trials"] == 600


def test_behaviour_counts_re_entries_and_the_work_that_was_wasted():
    anew = {"re_entry_video_s": 0.0, "re_entry_s": 0.0}
    reports = [report(1), report(2, **anew, surrogate_error=0.6, nfe_total=20, nfe_blocking=12)]
    found = behaviour(reports, PLAN)
    assert found["re_entry"] == {"0.5": 1, "start": 1}
    assert found["nfe_wasted_mean"] == pytest.approx(((16 - 12) + (20 - 12)) / 2)
    assert found["nfe_blocking_mean"] == 8.0 and found["better_than_copying"] == 0.5


def test_chunks_without_a_surrogate_have_no_error():
    found = behaviour([report(1, surrogate_error=math.nan, copy_error=math.nan, nfe_total=12)], PLAN)
    assert (found["chunks"], found["with_a_surrogate"], found["better_than_copying"]) == (1, 0, None)
    assert found["surrogate_error"]["median"] is None


@pytest.mark.parametrize("disturbed", [True, False])
def test_the_report_is_json_and_tables_and_picture_can_be_drawn(calibration, disturbed):
    trials = trials_of(1) if disturbed else trials_of(1).take(~trials_of(1).moved)
    reports = [report(1), report(2, re_entry_video_s=0.5, re_entry_s=0.0), report(3, re_entry_s=1.0)]
    whole = {
        "modes": {"fixed:0.5": behaviour(reports, PLAN), "sequential": behaviour([], PLAN)},
        "coverage": coverage(trials, calibration),
    }
    json.dumps(whole, allow_nan=False)
    assert [table.row_count for table in as_tables(whole)] == [2, 3 if disturbed else 2]
    figure = draw_speculation(whole)
    figure.canvas.draw()
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == ["stage 1\nat 0.5", "0.5", "1"]
    assert np.asarray(figure.canvas.buffer_rgba()).std() > 10
    plt.close(figure)
