"""The map from disagreement to deviation: its coverage, its file, and everything it must be refused for."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_common.files.signed_documents import document_hash
from clwm_policy.engine.calibration import (
    Calibration,
    CalibrationError,
    conformal_quantile,
    fit_table,
    load_calibration,
    save_calibration,
)
from clwm_policy.engine.facts import engine_facts
from clwm_policy.engine.re_entry import Adaptive, Plan, Point
from clwm_policy.engine.refinement import Evaluations

PLAN = Plan(2, 4)


def a_calibration(**changes) -> Calibration:
    fields = {
        "plan": PLAN,
        "coverage": 0.95,
        "edges": (0.001, 0.01),
        "bounds": ((0.001, 0.001, 0.001, 0.002), (0.004, 0.004, math.inf, math.inf)),
        "policy_hash": "tiny",
        "encoder_hash": "e" * 64,
        "facts": {"episodes": 3},
    }
    return Calibration(**{**fields, **changes})


@given(st.integers(1, 300), st.floats(0.5, 0.99), st.integers(0, 2**32 - 1))
def test_a_further_value_is_covered_as_often_as_stated(count, coverage, seed):
    # Exchangeability makes the rank of the further value uniform on 1 .. n + 1, whatever the distribution.
    values = np.random.default_rng(seed).exponential(size=count)
    bound = conformal_quantile(values, coverage)
    covered = count + 1 if math.isinf(bound) else int((values <= bound).sum())
    assert covered / (count + 1) >= coverage - 1e-9
    if math.isfinite(bound) and covered > 1:
        assert (covered - 1) / (count + 1) < coverage


def test_too_few_values_bound_nothing():
    assert conformal_quantile(np.zeros(18), 0.95) == math.inf
    assert conformal_quantile(np.zeros(19), 0.95) == 0.0


@settings(max_examples=30)
@given(st.integers(40, 400), st.integers(0, 2**32 - 1))
def test_a_larger_disagreement_never_has_the_smaller_bound(count, seed):
    rng = np.random.default_rng(seed)
    edges, bounds = fit_table(rng.exponential(size=count), rng.exponential(size=(count, 3)), bin_samples=40)
    assert list(edges) == sorted(edges)
    assert (np.diff(np.array(bounds), axis=0) >= 0.0).all()


def test_the_chosen_point_keeps_the_bound_as_often_as_stated():
    # Deviation grows with disagreement and with the point; the choice is by the table, coverage is of what was chosen.
    def draw(rng, count):
        disagreement = rng.exponential(0.004, size=count)
        spread = rng.lognormal(0.0, 0.5, size=(count, 4)) * np.array([0.2, 0.6, 0.8, 1.0])
        return disagreement, disagreement[:, None] * spread

    edges, bounds = fit_table(*draw(np.random.default_rng(0), 4000), coverage=0.9)
    calibration = a_calibration(edges=edges, bounds=bounds, coverage=0.9)
    kept = []
    for disagreement, deviations in zip(*draw(np.random.default_rng(1), 4000), strict=True):
        allowed = [i for i, bound in enumerate(calibration.expected(disagreement).values()) if bound <= 0.005]
        if allowed:
            kept.append(deviations[allowed[-1]] <= 0.005)
    assert len(kept) > 1000
    assert np.mean(kept) >= 0.89


@pytest.mark.parametrize("disagreement", [0.0101, math.inf, math.nan])
def test_beyond_what_was_ever_seen_nothing_is_bounded(disagreement):
    assert set(a_calibration().expected(disagreement).values()) == {math.inf}


@pytest.mark.parametrize("limit", [None, 0.7])
def test_a_calibration_survives_the_disk(tmp_path, tiny_policy, limit):
    path = tmp_path / "calibration.json"
    save_calibration(path, a_calibration(surrogate_error_limit=limit))
    assert load_calibration(path, tiny_policy, PLAN) == a_calibration(surrogate_error_limit=limit)


def test_the_limit_of_the_alarm_does_not_make_it_another_calibration_for_a_recorded_episode(tiny_policy):
    modes = [Adaptive(calibration=a_calibration(surrogate_error_limit=limit)) for limit in (None, 0.7)]
    one, other = (engine_facts(tiny_policy, mode, PLAN, 0.1) for mode in modes)
    assert one == other


@pytest.mark.parametrize(
    ("changes", "plan", "said"),
    [
        ({"policy_hash": "f" * 64}, PLAN, "measured on policy ffffffffffff"),
        ({"encoder_hash": "f" * 64}, PLAN, "measured on encoder ffffffffffff"),
        ({}, Plan(2, 8), r"measured with 2 \+ 4 flow steps, in use are 2 \+ 8"),
    ],
)
def test_a_calibration_of_something_else_is_refused_with_what_to_run(tmp_path, tiny_policy, changes, plan, said):
    path = tmp_path / "calibration.json"
    save_calibration(path, a_calibration(**changes))
    with pytest.raises(CalibrationError, match=f"{said}.*clwm calibrate"):
        load_calibration(path, tiny_policy, plan)


def test_a_calibration_of_other_evaluations_is_refused_with_what_to_run(tmp_path, tiny_policy, monkeypatch):
    path = tmp_path / "calibration.json"
    save_calibration(path, a_calibration())
    monkeypatch.setattr("clwm_policy.engine.calibration.refinements", lambda plan: {Point(2, 4): Evaluations()})
    with pytest.raises(CalibrationError, match="other evaluations.*clwm calibrate"):
        load_calibration(path, tiny_policy, PLAN)


def test_a_missing_calibration_says_what_to_run(tmp_path, tiny_policy):
    with pytest.raises(CalibrationError, match="clwm calibrate"):
        load_calibration(tmp_path / "calibration.json", tiny_policy, PLAN)


@pytest.mark.parametrize("damage", ["truncated", "another file", "a bound lowered"])
def test_a_damaged_calibration_is_refused(tmp_path, tiny_policy, damage):
    path = tmp_path / "calibration.json"
    save_calibration(path, a_calibration())
    if damage == "truncated":
        path.write_text(path.read_text()[:100])
    elif damage == "another file":
        path.write_text("[]")
    else:
        document = json.loads(path.read_text())
        document["bounds"][1][0] = 0.0
        path.write_text(json.dumps(document))
    with pytest.raises(CalibrationError, match="clwm calibrate"):
        load_calibration(path, tiny_policy, PLAN)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"edges": [0.01, 0.001]}, "edges do not ascend"),
        ({"edges": [math.nan, 0.01]}, r"field 'edges.0': .*finite number \(got nan\)"),
        ({"bounds": [[0.001]]}, "bounds are not a table of 2 bins and 4 points"),
        ({"coverage": 1.5}, r"field 'coverage': .*less than 1 \(got 1.5\)"),
        ({"surrogate_error_limit": -1.0}, "field 'surrogate_error_limit'"),
        ({"colour": "red"}, "field 'colour': no such field"),
        ({"facts": None}, "field 'facts'"),
    ],
)
def test_a_table_without_meaning_is_refused_by_field_though_its_hash_is_right(tmp_path, tiny_policy, changes, said):
    path = tmp_path / "calibration.json"
    save_calibration(path, a_calibration())
    document = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(document | {"document_sha256": document_hash(document)}))
    with pytest.raises(CalibrationError, match=f"calibration.json: .*{said}.*clwm calibrate"):
        load_calibration(path, tiny_policy, PLAN)


def test_too_few_samples_are_refused():
    with pytest.raises(CalibrationError, match="39 speculated chunks; at least 40"):
        fit_table(np.zeros(39), np.zeros((39, 2)))


def test_a_deviation_that_is_not_finite_is_refused():
    with pytest.raises(CalibrationError, match="not finite"):
        fit_table(np.zeros(40), np.full((40, 2), math.nan))
