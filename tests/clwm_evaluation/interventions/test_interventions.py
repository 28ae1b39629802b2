"""What `clwm bench interventions` compares, keeps and says."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from clwm_embodichain.episodes.storage import Episode
from clwm_embodichain.training.policy.trainer import TrainingSettings
from clwm_evaluation.interventions import command
from clwm_evaluation.interventions.collecting import Collector
from clwm_evaluation.interventions.command import (
    BEFORE,
    NOMINAL,
    contestant_named,
    draw_interventions,
    page_tables,
    summed,
)
from clwm_evaluation.suites.conditions import HEAD_TURNED


@pytest.fixture
def report():
    before = {HEAD_TURNED: [True] * 4 + [False] * 6, NOMINAL: [True] * 10}
    after = {HEAD_TURNED: [True] * 3 + [False] + [True] * 6, NOMINAL: [True] * 9 + [False]}
    found = [
        {"name": BEFORE, "meaning": "as it is", "outcomes": before},
        {"name": "interventions", "meaning": "corrected", "outcomes": after},
    ]
    policies = [summed(one, before) for one in found]
    return {
        "task": "place_block",
        "condition": "turned",
        "episodes": {HEAD_TURNED: 10, NOMINAL: 10},
        "policies": policies,
    }


def test_gains_are_paired_by_seed_in_each_condition(report):
    before, after = report["policies"]
    assert before[HEAD_TURNED]["minus_before"] is None and before[HEAD_TURNED]["successes"] == 4
    gain = after[HEAD_TURNED]["minus_before"]
    assert (gain["both"], gain["only_this"], gain["only_other"], gain["neither"]) == (3, 6, 1, 0)
    assert after[NOMINAL]["minus_before"]["difference"] == pytest.approx(-0.1)


def test_the_table_and_the_plot_show_every_policy_in_both_conditions(report):
    (rows,) = page_tables(report)
    assert [row[:3] for row in rows.rows] == [
        [BEFORE, HEAD_TURNED, "4 / 10"],
        ["interventions", HEAD_TURNED, "9 / 10"],
        [BEFORE, NOMINAL, "10 / 10"],
        ["interventions", NOMINAL, "9 / 10"],
    ]
    figure = draw_interventions(report)
    assert [bar.get_height() for axes in figure.axes for bar in axes.patches] == [40.0, 90.0, 100.0, 90.0]
    plt.close(figure)


def test_other_contestants_are_refused_with_those_there_are():
    assert contestant_named(" own rollouts ").is_attended is False
    with pytest.raises(ValueError, match="'luck' is unknown; expected some of interventions, unweighted, own rollouts"):
        contestant_named("luck")


def test_the_control_differs_from_the_corrected_training_in_weights_alone():
    weighted, alike = (contestant_named(name) for name in ("interventions", "unweighted"))
    assert weighted.is_attended and alike.is_attended
    assert (alike.settings.intervention_weight, alike.settings.before_takeover) == (1.0, 0.0)
    assert weighted.settings.intervention_weight > 1.0 < 1.0 + weighted.settings.before_takeover


def test_a_policy_that_was_trained_otherwise_is_not_taken_for_this_ones():
    asked = TrainingSettings(minutes=1e6, steps=120, learning_rate=1e-3)
    facts = {"settings": json.loads(asked.model_copy(update={"steps": 40}).model_dump_json())}
    command.check_same_training(Path("p.safetensors"), facts, asked)
    facts["settings"]["learning_rate"] = 5e-4
    with pytest.raises(ValueError, match=r"trained with learning_rate 0.0005, asked for is 0.001; give another --out"):
        command.check_same_training(Path("p.safetensors"), facts, asked)


def test_an_episode_that_was_collected_is_not_played_again(tmp_path, monkeypatch):
    monkeypatch.setattr(Episode, "load", classmethod(lambda cls, path: path))
    path = tmp_path / "table" / "place_block" / f"{command.FIRST_CORRECTED}.npz"
    path.parent.mkdir(parents=True)
    path.touch()
    collector = Collector(None, "table/place_block", HEAD_TURNED, "policy", is_attended=True)
    assert collector.collect(command.FIRST_CORRECTED, tmp_path) == path
