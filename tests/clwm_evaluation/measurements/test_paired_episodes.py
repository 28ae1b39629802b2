"""Episodes on the same seeds: none is run twice, none of other weights is counted, an interrupt costs one."""

import json
from pathlib import Path

import pytest

from clwm_evaluation.calibration.trial_recording import Source
from clwm_evaluation.measurements.paired_episodes import (
    MODES,
    Ledger,
    Outcome,
    PairedEpisodesError,
    Stacks,
    jobs_of,
    made_with,
    run_missing,
)
from clwm_policy.engine.calibration import CalibrationError
from clwm_policy.engine.re_entry import parse_re_entry

NANO = Path(__file__).parents[3] / "models/nano"
WEIGHTS = {mode: "policy aaaa" for mode in MODES}


def outcome(seconds=4.0, end="success"):
    return Outcome(end, seconds, 6, 0, 0.0, 3.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kept" / "episodes.jsonl"


def runner(asked):
    def results(jobs):
        for job in jobs:
            asked.append(job)
            yield job, outcome(float(job.seed))

    return results


def test_every_mode_is_a_re_entry_policy_and_naive_keeps_the_whole_speculation():
    assert [parse_re_entry(text).name for text in MODES.values()] == list(MODES.values())
    assert parse_re_entry(MODES["naive"]).s_mid == 1.0


def test_an_interrupted_list_of_jobs_is_still_paired():
    jobs = jobs_of(range(3), ["lift_tray"], ["sequential", "naive"], [0.0])
    assert [(job.seed, job.mode) for job in jobs[:4]] == [
        (0, "sequential"),
        (0, "naive"),
        (1, "sequential"),
        (1, "naive"),
    ]


def test_an_unknown_mode_is_refused_with_the_known_ones():
    with pytest.raises(PairedEpisodesError, match="'clever' is unknown; expected some of sequential"):
        jobs_of(range(1), ["lift_tray"], ["clever"], [0.0])


def test_what_is_in_the_ledger_is_not_run_again(path):
    jobs, asked = jobs_of(range(4), ["lift_tray"], ["sequential"], [80.0]), []
    run_missing(jobs[:3], Ledger(path, WEIGHTS), runner(asked), lambda job, out: None)
    told = []
    found = run_missing(jobs, Ledger(path, WEIGHTS), runner(asked), lambda job, out: told.append(job))
    assert asked == jobs and told == jobs[3:]
    assert [found[job].seconds for job in jobs] == [0.0, 1.0, 2.0, 3.0]


def test_an_interrupt_between_two_episodes_loses_neither(path):
    jobs = jobs_of(range(3), ["lift_tray"], ["sequential"], [80.0])

    def interrupted(wanted):
        yield wanted[0], outcome()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_missing(jobs, Ledger(path, WEIGHTS), interrupted, lambda job, out: None)
    assert list(Ledger(path, WEIGHTS).read()) == jobs[:1]


def test_a_line_that_was_cut_off_costs_only_its_episode(path):
    jobs = jobs_of(range(3), ["lift_tray"], ["sequential"], [80.0])
    run_missing(jobs, Ledger(path, WEIGHTS), runner([]), lambda job, out: None)
    path.write_text(path.read_text()[:-20])
    asked = []
    found = run_missing(jobs, Ledger(path, WEIGHTS), runner(asked), lambda job, out: None)
    assert asked == jobs[2:] and len(found) == 3
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 3


def test_episodes_of_other_weights_are_refused(path):
    jobs = jobs_of(range(1), ["lift_tray"], ["sequential"], [80.0])
    run_missing(jobs, Ledger(path, WEIGHTS), runner([]), lambda job, out: None)
    with pytest.raises(PairedEpisodesError, match="line 1 was made with policy aaaa; in use is policy bbbb"):
        Ledger(path, {"sequential": "policy bbbb"}).read()


@pytest.mark.parametrize("line", ["{}", "no json", '{"job": {"seed": 1}, "result": {}, "made_with": ""}'])
def test_a_line_that_is_no_episode_is_refused_by_its_number(path, line):
    path.parent.mkdir()
    path.write_text(line + "\n")
    with pytest.raises(PairedEpisodesError, match="line 1 is no finished episode"):
        Ledger(path, WEIGHTS).read()


def test_adaptive_without_its_calibration_is_refused_before_the_first_episode(tmp_path):
    for name in ("policy.safetensors", "policy.json"):
        (tmp_path / name).write_bytes((NANO / name).read_bytes())
    source = Source(policy=tmp_path / "policy.safetensors", encoder=NANO / "encoder")
    assert set(made_with(source, ["sequential"])) == {"sequential"}
    with pytest.raises(CalibrationError, match="clwm calibrate"):
        made_with(source, ["adaptive"])


def test_an_episode_is_the_same_however_long_computing_took():
    job = jobs_of([1_000_000], ["lift_tray"], ["fixed:0.5"], [80.0])[0]
    stacks = Stacks(Source(policy=NANO / "policy.safetensors", encoder=NANO / "encoder"))
    try:
        first, again = stacks.run(job), stacks.run(job)
    finally:
        stacks.close()
    assert first == again and first.chunks > 0
