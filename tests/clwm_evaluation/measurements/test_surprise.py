"""From tried chunks to the map and to the table of modes, on made-up trials whose answer is known."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from clwm_evaluation.calibration.calibrate import as_table as map_table
from clwm_evaluation.calibration.calibrate import fit_calibration
from clwm_evaluation.calibration.trials import Trials, TrialsError
from clwm_evaluation.measurements.surprise import draw_surprise, measure_surprise, page_tables
from clwm_evaluation.statistics import auroc
from clwm_policy.engine.re_entry import Plan
from clwm_policy.engine.refinement import refinements

PLAN = Plan(4, 8)
POINTS = len(refinements(PLAN))


class Weights:
    policy_hash = "p" * 64
    encoder_hash = "e" * 64


def trials_of(shifts, strays, seed=0) -> Trials:
    """One chunk per entry, undisturbed then disturbed: the event asks for `shift` m in x, and every point of re-entry
    leaves a sixth more of that out; undisturbed, keeping the whole speculation strays by `stray` m in y."""
    count = len(shifts)
    tools = np.zeros((2 * count, 1 + POINTS, 12, 2, 7))
    tools[..., 6] = 1.0
    kept = np.array([0.0, *((index + 1) / POINTS for index in range(POINTS))])
    tools[count:, ..., 0] = (np.asarray(shifts)[:, None] * (1.0 - kept))[:, :, None, None]
    tools[:count, ..., 1] = (np.asarray(strays)[:, None] * kept)[:, :, None, None]
    tools[count:, ..., 1] = tools[:count, ..., 1]
    disagreement = np.concatenate([strays, np.hypot(shifts, strays)])
    return Trials(
        task=np.array(["lift_tray"] * 2 * count),
        seed=np.full(2 * count, seed),
        chunk=np.tile(np.arange(count), 2),
        moved=np.arange(2 * count) >= count,
        disagreement=disagreement,
        tools=tools,
        fixed=(tools[:, 0] + tools[:, -1]) / 2.0,
        naive=tools[:, -1],
    )


def drawn(seed, count=400) -> Trials:
    rng = np.random.default_rng(seed)
    return trials_of(rng.uniform(0.03, 0.05, count), rng.uniform(0.0, 0.004, count), seed)


@pytest.fixture(scope="module")
def report():
    return measure_surprise(drawn(1), fit_calibration(drawn(0), Weights, PLAN))


def test_sequential_makes_the_whole_change_and_naive_none_of_it(report):
    assert report["modes"]["sequential"]["share_made"]["median"] == 1.0
    assert report["modes"]["naive"]["share_made"]["median"] == 0.0
    assert report["modes"]["naive"]["uncorrected"]["median"] >= 1.0


def test_fixed_makes_the_part_that_its_point_leaves_open(report):
    assert report["modes"]["fixed:0.5"]["share_made"]["median"] == pytest.approx(0.5)


def test_adaptive_makes_the_whole_change_and_keeps_undisturbed_chunks_to_the_end(report):
    adaptive = report["modes"]["adaptive"]
    assert adaptive["share_made"]["p10"] == pytest.approx(1.0, abs=1e-3)
    assert adaptive["disturbed"]["from_the_start"] >= 0.99
    assert adaptive["undisturbed"]["from_the_start"] < 0.05
    assert adaptive["undisturbed"]["nfe_blocking"]["p50"] == 2
    assert adaptive["undisturbed"]["within_bound"] >= 0.95


def test_the_report_is_json_and_both_tables_can_be_drawn(report):
    json.dumps(report, allow_nan=False)
    assert len(page_tables(report)[0].rows) == 4
    assert map_table(fit_calibration(drawn(0), Weights, PLAN)).row_count > 1


def test_the_picture_has_a_row_for_every_mode_and_a_dot_for_every_event(report):
    figure = draw_surprise(report)
    figure.canvas.draw()
    shares, evaluations = figure.axes
    assert [label.get_text() for label in shares.get_yticklabels()] == list(report["modes"])
    assert [len(dots.get_offsets()) for dots in shares.collections] == [report["pairs_that_matter"]] * 4
    assert len(evaluations.patches) == 8
    plt.close(figure)


def test_the_picture_can_be_drawn_without_a_single_event():
    calm = drawn(1)
    found = measure_surprise(calm.take(~calm.moved), fit_calibration(drawn(0), Weights, PLAN))
    plt.close(draw_surprise(found))


def test_events_that_hardly_change_the_plan_say_nothing_about_a_mode():
    found = measure_surprise(trials_of([0.001] * 50, [0.001] * 50), fit_calibration(drawn(0), Weights, PLAN))
    assert (found["pairs"], found["pairs_that_matter"]) == (50, 0)
    assert found["modes"]["adaptive"]["share_made"]["median"] is None


def test_without_a_single_event_there_is_still_a_report_of_undisturbed_chunks():
    calm = drawn(1)
    found = measure_surprise(calm.take(~calm.moved), fit_calibration(drawn(0), Weights, PLAN))
    assert found["pairs"] == 0 and found["auroc_all_events"] is None
    assert found["modes"]["adaptive"]["undisturbed"]["within_bound"] >= 0.95


def test_pairs_are_of_the_same_chunk():
    trials = drawn(2, 20)
    shuffled = trials.take(np.random.default_rng(0).permutation(len(trials))[:30])
    before, after = shuffled.pairs()
    assert len(before) == len(after) > 0
    assert not before.moved.any() and after.moved.all()
    np.testing.assert_array_equal(before.chunk, after.chunk)


def test_trials_survive_the_disk(tmp_path):
    trials = drawn(0, 5)
    trials.save(tmp_path / "trials.npz", Weights.policy_hash, PLAN)
    back = Trials.load(tmp_path / "trials.npz", Weights.policy_hash, PLAN)
    np.testing.assert_array_equal(back.tools, trials.tools)
    np.testing.assert_array_equal(back.task, trials.task)


def test_trials_of_other_weights_are_refused(tmp_path):
    drawn(0, 5).save(tmp_path / "trials.npz", "a" * 64, PLAN)
    with pytest.raises(TrialsError, match="recorded with policy a{16}, 4 .*; in use is policy p{16}"):
        Trials.load(tmp_path / "trials.npz", Weights.policy_hash, PLAN)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short"])
def test_a_damaged_file_of_trials_is_refused(tmp_path, content):
    path = tmp_path / "trials.npz"
    path.write_bytes(content)
    with pytest.raises(TrialsError, match="record them again"):
        Trials.load(path, Weights.policy_hash, PLAN)


def test_episodes_without_a_speculated_chunk_are_refused():
    with pytest.raises(TrialsError, match="no chunk was speculated"):
        Trials.join([])


def test_auroc_is_one_when_separated_and_a_half_when_alike():
    assert auroc(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 1.0
    assert auroc(np.array([1.0, 1.0]), np.array([1.0])) == 0.5
