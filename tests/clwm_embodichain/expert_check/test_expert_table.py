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


def test_table_counts_expansions_apart_those_asked_midway_too_and_lists_every_failure():
    expanded = [replace(result(seed, outcome), expansion="all") for seed, outcome in ((0, "achieved"), (1, "lost"))]
    again = [replace(result(2), expansion="all", replans=1), replace(result(3, "open"), expansion="all", replans=2)]
    report = summarise([result(0), result(1), result(2, seconds=6.0), *expanded, *again], "abc")
    none, on = report["table"]
    assert (none["expansion"], none["achieved"], none["trials"], none["seconds"]) == ("none", 3, 3, 4.0)
    assert (none["midway_achieved"], none["midway"], none["tried_anew"]) == (1, 1, 0)
    assert (on["expansion"], on["achieved"], on["trials"], on["lost"], on["timed_out"]) == ("all", 2, 4, 1, 1)
    assert (on["midway_achieved"], on["midway"], on["tried_anew_achieved"], on["tried_anew"]) == (0, 2, 1, 2)
    assert none["wilson95"][1] == 1.0 and 0.1 < on["wilson95"][0] < 0.2
    assert [(failure["seed"], failure["expansion"]) for failure in report["failures"]] == [(1, "all"), (3, "all")]
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
    (none, on) = (line.split() for line in done.output.splitlines() if "turn_lever  " in line)
    assert none == ["switches", "turn_lever", "none", "2/2", *none[4:7], "1/1", "0/0", "0/2"]
    assert on[2] == "all" and "…" not in done.output
    assert [(row["expansion"], row["achieved"]) for row in json.loads(report.read_text())["table"]] == [
        ("none", 2),
        ("all", 2),
    ]


def test_command_tries_the_experts_with_the_parts_of_expansion_that_are_named(tmp_path):
    report = tmp_path / "experts.json"
    arguments = ["--scene", "switches", "--goal", "turn_lever", "--seeds", "1", "--expansion", "recovery,physics"]
    done = CliRunner().invoke(app, [*arguments, "--json", str(report), "--log", str(tmp_path / "log.jsonl")])
    assert done.exit_code == 0, done.output
    assert [row["expansion"] for row in json.loads(report.read_text())["table"]] == ["physics,recovery"]


def test_command_refuses_an_unknown_part_of_expansion_in_one_sentence():
    done = CliRunner().invoke(app, ["--expansion", "gravity"])
    assert done.exit_code == 2
    assert "expansion 'gravity' does not exist; expected all, none, or some of" in " ".join(done.output.split())


def test_command_refuses_an_unknown_scene_in_one_sentence():
    done = CliRunner().invoke(app, ["--scene", "attic"])
    assert done.exit_code == 2
    assert "scene 'attic' does not exist; expected one of blocks" in " ".join(done.output.split())
