"""The experts' table: what it counts, that it goes on where it was stopped, and how it answers wrong questions."""

import json
from dataclasses import replace

import pytest
import typer
from typer.testing import CliRunner

from clwm_embodichain.expert_check.command import check
from clwm_embodichain.expert_check.table import TrialLog, running, summarise
from clwm_embodichain.expert_check.trials import ExpertTrials, TrialOrder, TrialResult, orders
from clwm_sim.registry import RegistryError

app = typer.Typer()
app.command()(check)


def result(seed, outcome="achieved", seconds=4.0):
    return TrialResult("blocks", "place", seed, "place:red:blue", outcome, seconds, 0.3, False)


@pytest.fixture(scope="module")
def trials():
    return ExpertTrials()


def test_trial_asks_at_the_start_with_even_seeds_and_midway_with_odd_ones(trials):
    start, midway = (trials.run(TrialOrder("switches", "turn_lever", seed)) for seed in (0, 1))
    assert start.outcome == midway.outcome == "achieved"
    assert not TrialOrder("switches", "turn_lever", 0).is_midway and TrialOrder("switches", "turn_lever", 1).is_midway


def test_trial_of_one_seed_is_the_same_whatever_was_tried_before(trials):
    order = TrialOrder("switches", "turn_lever", 1)
    first = trials.run(order)
    trials.run(TrialOrder("switches", "keep_still", 3))
    again = trials.run(order)
    assert (first.goal, first.outcome, first.seconds) == (again.goal, again.outcome, again.seconds)


def test_goal_that_is_asked_for_is_not_achieved_already(trials):
    assert all(trials.run(TrialOrder("switches", "turn_lever", seed)).seconds > 0.5 for seed in range(2, 8))


def test_orders_are_of_all_scenes_or_of_the_one_that_is_asked_for():
    assert {order.scene for order in orders(None, "keep_still", range(2))} >= {"blocks", "pot", "cue"}
    assert [order.seed for order in orders("pot", "lift_pot", range(3, 5))] == [3, 4]
    with pytest.raises(RegistryError, match="scene 'attic' does not exist"):
        orders("attic", None, range(1))
    with pytest.raises(RegistryError, match="goal 'dance' does not exist; expected one of place, stack"):
        orders(None, "dance", range(1))
    with pytest.raises(RegistryError, match="scene 'pot' offers no goal 'place'; it offers lift_pot, keep_still"):
        orders("pot", "place", range(1))


def test_table_counts_each_place_of_asking_apart_and_lists_every_failure():
    report = summarise([result(0), result(1, "lost"), result(2, seconds=6.0), result(3, "open")], "abc")
    start, midway = report["table"]
    assert (start["asked"], start["achieved"], start["trials"], start["seconds"]) == ("at start", 2, 2, 5.0)
    assert (midway["asked"], midway["achieved"], midway["lost"], midway["timed_out"]) == ("midway", 0, 1, 1)
    assert midway["wilson95"][0] == 0.0 and 0.5 < midway["wilson95"][1] < 0.8
    assert [failure["seed"] for failure in report["failures"]] == [1, 3]
    assert (report["commit"], report["seeds"], report["first_seed"]) == ("abc", 4, 0) and report["machine"]["cores"] > 0


def test_controls_are_counted_apart_and_one_that_achieves_what_was_not_pursued_is_a_failure():
    controls = [replace(result(seed, outcome), is_control=True) for seed, outcome in ((0, "open"), (2, "achieved"))]
    report = summarise([result(0), result(2), *controls], "abc")
    (row,) = report["table"]
    assert (row["achieved"], row["trials"], row["controls_achieved"], row["controls"]) == (2, 2, 1, 2)
    assert [(failure["seed"], failure["is_control"]) for failure in report["failures"]] == [(2, True)]


@pytest.mark.parametrize("kind", ["turn_lever", "keep_still"])
def test_an_expert_that_pursues_another_goal_does_not_achieve_the_one_that_is_asked_for(trials, kind):
    for seed in (0, 2, 6):
        control = trials.run(TrialOrder("switches", kind, seed, is_control=True))
        assert control.is_control and control.outcome != "achieved"


def test_controls_are_made_of_the_first_seeds():
    made = orders("pot", "lift_pot", range(3), controls=2)
    assert [(order.seed, order.is_control) for order in made] == [
        (0, False),
        (1, False),
        (2, False),
        (0, True),
        (1, True),
    ]


def test_log_gives_back_what_was_done_by_the_same_commit_only(tmp_path):
    path = tmp_path / "trials.jsonl"
    TrialLog(path, "abc").add(result(0))
    TrialLog(path, "abc").add(result(1, "lost"))
    with path.open("a") as file:
        file.write('{"scene": "blo')  # a process was killed while it wrote
    assert TrialLog(path, "abc").known() == [result(0), result(1, "lost")]
    assert TrialLog(path, "abd").known() == []
    assert TrialLog(path, "abc+changes").known() == []


def test_workers_return_every_trial_once():
    wanted = [TrialOrder("switches", "turn_lever", seed) for seed in range(3)]
    with running(wanted, 2) as results:
        assert sorted(r.seed for r in results) == [0, 1, 2]


def test_command_prints_the_table_and_writes_the_report(tmp_path):
    report = tmp_path / "experts.json"
    arguments = ["--scene", "switches", "--goal", "turn_lever", "--seeds", "2"]
    done = CliRunner().invoke(app, [*arguments, "--json", str(report), "--log", str(tmp_path / "log.jsonl")])
    assert done.exit_code == 0, done.output
    assert "1 of 1" in done.output and "midway" in done.output
    assert [row["achieved"] for row in json.loads(report.read_text())["table"]] == [1, 1]


def test_command_refuses_an_unknown_scene_in_one_sentence():
    done = CliRunner().invoke(app, ["--scene", "attic"])
    assert done.exit_code == 2
    assert "scene 'attic' does not exist; expected one of blocks" in " ".join(done.output.split())
