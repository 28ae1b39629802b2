"""`clwm eval --suite`: kept episodes, the report and its page, and what cannot be run."""

import json

import pytest
from typer.testing import CliRunner

from clwm_bringup import cli
from clwm_embodichain.episodes.choices import parse_choices
from clwm_evaluation.pages import results
from clwm_evaluation.suites import conditions, episodes, summary
from clwm_evaluation.suites.conditions import NOMINAL_CONDITION, SUITES, Condition
from clwm_evaluation.suites.episodes import Job, Ledger, Outcome, SuiteError, jobs_of

GOALS = parse_choices("table/lift_tray,blocks/place")
runner = CliRunner()


def done(reason="", others=()):
    return Outcome("timeout" if reason else "success", reason, "do it", tuple(others), 3.0, 5)


def test_jobs_are_paired_whenever_they_are_interrupted_and_the_expert_is_tried_beside_the_policy():
    jobs = jobs_of("physics", GOALS, range(5, 7))
    of_first_seed = [job for job in jobs if job.seed == 5]
    assert jobs[: len(of_first_seed)] == of_first_seed
    assert {(job.condition, job.mover) for job in of_first_seed if job.goal == "blocks/place"} == {
        (condition.name, mover) for condition in SUITES["physics"] for mover in ("policy", "expert")
    }


def test_a_memory_suite_asks_for_what_has_to_be_remembered_and_no_other_does():
    kinds = {"place", "keep_still", "recall_side", "remember_side"}
    assert {kind for kind in kinds if conditions.asks_for("memory", kind)} == {"recall_side", "remember_side"}
    assert {kind for kind in kinds if conditions.asks_for("looks", kind)} == {"place"}
    assert {kind for kind in kinds if conditions.asks_for("goals", kind)} == kinds


def test_kept_episodes_come_back_and_a_line_that_was_cut_off_is_run_again(tmp_path):
    ledger = Ledger(tmp_path / "kept.jsonl", {"policy_hash": "a"})
    first, second = jobs_of("looks", GOALS, [1])[:2]
    ledger.append(first, done("dropped", ["stack:red:blue"]))
    with (tmp_path / "kept.jsonl").open("a") as stream:
        stream.write('{"job": {"seed"')
    assert ledger.read() == {first: done("dropped", ["stack:red:blue"])}
    ledger.append(second, done())
    assert set(ledger.read()) == {first, second}


def test_episodes_of_other_weights_are_refused_with_both(tmp_path):
    job = jobs_of("looks", GOALS, [1])[0]
    Ledger(tmp_path / "kept.jsonl", {"policy_hash": "a"}).append(job, done())
    with pytest.raises(SuiteError, match="line 1 was made with .*'a'.*, in use is .*'b'.*give another --out"):
        Ledger(tmp_path / "kept.jsonl", {"policy_hash": "b"}).read()
    (tmp_path / "kept.jsonl").write_text("{}\n")
    with pytest.raises(SuiteError, match="line 1 is no finished episode"):
        Ledger(tmp_path / "kept.jsonl", {}).read()


def test_a_summary_counts_reasons_other_goals_and_the_difference_to_nominal_on_the_same_seeds():
    outcomes = {}
    for job in jobs_of("looks", GOALS[1:], range(10)):
        fails = job.condition == "random-colours" and job.seed < 4
        outcomes[job] = done("wrong object", ["stack:red:blue"]) if fails else done()
    found = summary.summary("looks", outcomes)
    row = found["random-colours"]["by_mover"]["policy"]
    assert (row["all"]["successes"], row["all"]["another_achieved"]) == (6, 4)
    assert row["all"]["reasons"] == {"wrong object": 4}
    assert row["minus_nominal"]["difference"] == pytest.approx(-0.4)
    assert "minus_nominal" not in found["nominal"]["by_mover"]["policy"]
    assert row["goals"]["blocks/place"]["wilson95"] == row["all"]["wilson95"]


def test_the_failures_that_are_shown_are_the_first_three_of_a_condition():
    outcomes = {Job(seed, "blocks/place", "nominal", "policy"): done("dropped") for seed in (9, 4, 7, 2)}
    assert [job.seed for job, _ in summary.failures(outcomes, "nominal", "policy")] == [2, 4, 7]


def evaluate(*options):
    return runner.invoke(cli.app, ["eval", *map(str, options)], env={"COLUMNS": "160"})


@pytest.fixture
def still_suite(monkeypatch):
    """One condition of one goal, and short: the shipped policy moves at once."""
    still = Condition("keep-still", "asked to keep still", told="keep still", expert=True)
    monkeypatch.setitem(SUITES, "goals", (NOMINAL_CONDITION, still))
    jobs = episodes.jobs_of
    monkeypatch.setattr(
        "clwm_evaluation.suites.command.jobs_of",
        lambda *args: [job for job in jobs(*args) if job.condition == "keep-still" and job.goal == "table/lift_tray"],
    )


def test_a_suite_writes_a_report_and_a_page_and_runs_no_episode_twice(still_suite, tmp_path, monkeypatch):
    out = tmp_path / "still.json"
    first = evaluate("--suite", "goals", "--episodes", 1, "--out", out)
    assert first.exit_code == 0, first.output
    report = json.loads(out.read_text())
    row = report["conditions"]["keep-still"]["by_mover"]["policy"]["all"]
    assert row["episodes"] == 1 and row["reasons"] == {"moved": 1}
    (rows,) = results.tables(results.kind_of(report), report)
    assert rows.rows[0][:3] == ["keep-still", "policy", "0 / 1"]
    page = out.with_suffix(".html").read_text()
    assert page.count("data:image/jpeg;base64,") >= 2 and "moved after" in page and "<script" not in page

    monkeypatch.setattr(episodes.Episodes, "run", lambda *_: pytest.fail("it was done already"))
    again = evaluate("--suite", "goals", "--episodes", 1, "--out", out)
    assert again.exit_code == 0 and "2 of 2 episodes are done already" in again.output, again.output
    assert json.loads(out.read_text())["conditions"] == report["conditions"]


def test_ctrl_c_keeps_what_is_done_and_reports_it(still_suite, tmp_path, monkeypatch):
    def interrupted(self, job):
        if job.mover == "expert":
            raise KeyboardInterrupt
        return done("moved"), episodes.Pictures()

    monkeypatch.setattr(episodes.Episodes, "run", interrupted)
    ended = evaluate("--suite", "goals", "--episodes", 1, "--out", tmp_path / "still.json")
    assert ended.exit_code == 130 and "the same command goes on from here" in ended.output
    assert json.loads((tmp_path / "still.json").read_text())["seeds"] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--suite", "moods"), "suite 'moods' does not exist; expected one of goals, instructions"),
        (("--suite", "memory"), "asks for nothing that"),
        (("--suite", "looks", "--latency", "measured"), "give --latency in ms"),
        (("--suite", "looks", "--goals", "kitchen"), "scene 'kitchen' does not exist"),
        (("--suite", "looks", "--policy", "/nowhere"), "/nowhere"),
    ],
)
def test_a_suite_that_cannot_be_run_is_refused_in_one_sentence(options, said):
    ended = evaluate(*options)
    assert ended.exit_code == 2 and said in " ".join(ended.output.split()), ended.output
