"""Which trials are made, what they come to, and policies that do not know the goal."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from clwm_common.files.model_files import ModelFiles
from clwm_common.files.policy_document import read_policy_document
from clwm_evaluation.suites.episodes import Job, Ledger, Outcome, SuiteError
from clwm_evaluation.yardsticks.robosuite_process import YardstickError
from clwm_evaluation.yardsticks.summary import page_tables, summary
from clwm_evaluation.yardsticks.trials import EXPERT, HOLD, LEVEL, POLICY, TASK, check_taught, jobs


def job(mover, seed):
    return Job(seed, TASK, "zero-shot", mover)


def outcome(reason="", seconds=4.0, level=True):
    how = "timeout" if reason else "success"
    return Outcome(how, reason, "lift the pot", (LEVEL,) if level and not reason else (), seconds)


def test_trials_that_are_interrupted_are_of_all_movers_in_equal_shares():
    asked = jobs({POLICY: 20, EXPERT: 10, HOLD: 0}, 500)
    assert len(set(asked)) == 30 and {it.seed for it in asked} == set(range(500, 520))
    half = [it.mover for it in asked[:15]]
    assert 9 <= half.count(POLICY) <= 11 and 4 <= half.count(EXPERT) <= 6


def test_a_policy_that_was_not_taught_the_pot_is_refused_with_what_it_knows():
    path = ModelFiles.load("nano").policy.with_suffix(".json")
    document = read_policy_document(path)
    if "lift_pot" in document.inputs.sentences:
        document = SimpleNamespace(path=path, inputs=SimpleNamespace(sentences={"stack": ()}))
    with pytest.raises(YardstickError, match=r"was trained for .*; name one that knows lift_pot by --policy"):
        check_taught(document)
    check_taught(SimpleNamespace(path=Path("a"), inputs=SimpleNamespace(sentences={"lift_pot": ("lift it",)})))


def test_a_summary_counts_by_mover_with_reasons_and_what_was_held_level():
    made = {job(POLICY, 1): outcome(), job(POLICY, 2): outcome(level=False, seconds=6.0)}
    made |= {job(POLICY, 3): outcome("never grasped", 14.0), job(HOLD, 1): outcome("never grasped", 14.0)}
    report = summary(made)
    json.dumps(report, allow_nan=False)
    policy, hold = report["movers"]
    assert (policy["mover"], policy["successes"], policy["episodes"], policy["level"]) == (POLICY, 2, 3, 1)
    assert policy["reasons"] == {"never grasped": 1} and policy["median_seconds"] == 5.0
    assert hold["wilson95"][0] == 0.0 and hold["median_seconds"] is None
    assert [it["seed"] for it in report["trials"]] == [1, 2, 3, 1]


def test_a_report_is_shown_mover_by_mover():
    made = {job(EXPERT, seed): outcome("dropped" if seed == 9 else "") for seed in range(10)}
    (rows,) = page_tables(summary(made) | {"policy": {}})
    assert rows.rows == [["by the expert, told the true state", "9 / 10", "60 to 98 %", "9", "4.0 s", "1 dropped"]]


def test_a_policy_whose_training_is_short_is_shown_with_its_steps():
    report = summary({job(POLICY, 1): outcome("never grasped", 14.0)}) | {"policy": {"facts": {"steps": 228}}}
    assert page_tables(report)[0].rows[0][0] == "by the policy, zero-shot, 228 steps of training"


def test_trials_of_another_policy_are_not_taken_for_this_ones(tmp_path):
    path = tmp_path / "policy.jsonl"
    Ledger(path, {"weights": "a"}).append(job(POLICY, 1), outcome())
    assert Ledger(path, {"weights": "a"}).read() == {job(POLICY, 1): outcome()}
    with pytest.raises(SuiteError, match="give another --out, or delete it"):
        Ledger(path, {"weights": "b"}).read()
