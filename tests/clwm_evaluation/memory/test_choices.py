"""The comparison on remember_side: balanced seeds, a resumed measurement, its sums, and the shipped policies."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from clwm_bringup import cli
from clwm_evaluation.memory import choices as remember_evaluation
from clwm_evaluation.memory.choices import (
    CONTESTANTS,
    Outcome,
    balanced_seeds,
    load_contestant,
    read_outcomes,
    run_trials,
    summarise,
)
from clwm_evaluation.virtual.chunk_sources import ForgetfulSource
from clwm_policy.model.checkpoint import CheckpointError
from clwm_sim.shipped_tasks import RememberSide

MODELS = Path(__file__).resolve().parents[3] / "models" / "memory"
ENCODER = Path(__file__).resolve().parents[3] / "models" / "nano" / "encoder"


def outcome(**changes):
    return replace(Outcome("ttt", "hash", 10, 7, 0, "success"), **changes)


def test_either_hand_is_asked_for_equally_often_and_every_seed_is_new():
    seeds = balanced_seeds(10, 6_000_000, 20)
    arms = [RememberSide(10).place(np.random.default_rng([seed, 1])).asked_arm for seed in seeds]
    assert sum(arms) == 10 and len(set(seeds)) == 20 and min(seeds) >= 6_000_000


@pytest.mark.parametrize("episodes", [0, 1, 7])
def test_number_of_episodes_that_cannot_be_balanced_is_refused(episodes):
    with pytest.raises(ValueError, match=f"{episodes} episodes"):
        balanced_seeds(2, 0, episodes)


def test_summary_counts_wrong_hands_and_no_hand_as_failures():
    found = [outcome(seed=seed) for seed in range(6)]
    found += [outcome(seed=6, outcome="failure"), outcome(seed=7, outcome="timeout", asked_arm=1)]
    cell = summarise(found)["ttt"]["10"]
    assert (cell["right"], cell["wrong"], cell["neither"], cell["episodes"]) == (6, 1, 1, 8)
    assert cell["rate"] == 0.75 and cell["wilson95"][0] < 0.75 < cell["wilson95"][1] and cell["asked_left"] == 7


def test_delays_are_summed_in_order_of_length():
    assert list(summarise([outcome(delay=delay) for delay in (60, 2, 10)])["ttt"]) == ["2", "10", "60"]


class CountingLoop:
    """In the place of the closed loop: answers at once and counts."""

    runs: list = []

    def __init__(self, models, encoder):
        pass

    def run(self, contestant, delay, seed):
        self.runs.append((contestant, delay, seed))
        return Outcome(contestant, load_contestant(contestant, MODELS).policy_hash, delay, seed, 0, "success")

    def close(self):
        pass


def test_interrupted_measurement_goes_on_where_it_stopped_and_another_policy_starts_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(remember_evaluation, "ClosedLoop", CountingLoop)
    CountingLoop.runs = []
    kept = tmp_path / "trials.jsonl"

    def trials():
        return run_trials(kept, ["ttt", "reset"], (2, 5), 2, 0, MODELS, ENCODER)

    first = trials()
    for _ in range(3):
        next(first)
    first.close()
    assert [was_kept for _, was_kept in trials()] == [True] * 3 + [False] * 5
    assert len(CountingLoop.runs) == len(set(CountingLoop.runs)) == 8
    kept.write_text("".join(json.dumps(asdict(replace(o, policy_hash="old"))) + "\n" for o in read_outcomes(kept)))
    assert not any(was_kept for _, was_kept in trials())


def test_damaged_line_of_kept_outcomes_is_named(tmp_path):
    path = tmp_path / "trials.jsonl"
    path.write_text(json.dumps(asdict(outcome())) + "\n{}\n")
    with pytest.raises(ValueError, match="line 2"):
        read_outcomes(path)


def test_forgetful_source_begins_every_chunk_with_an_empty_memory():
    calls = []

    class Engine:
        class memory:  # noqa: N801
            @staticmethod
            def reset():
                calls.append("reset")

        @staticmethod
        def request(request):
            calls.append(request)

    source = ForgetfulSource(None, Engine, ("head",))
    source.request("first")
    source.request("second")
    assert calls == ["reset", "first", "reset", "second"]


@pytest.mark.parametrize("name", sorted(CONTESTANTS))
def test_shipped_policy_of_every_contestant_loads_and_was_trained_up_to_the_longest_delay(name):
    policy = load_contestant(name, MODELS)
    assert isinstance(policy.model, CONTESTANTS[name].architecture)
    assert policy.facts["longest_delay"] == 60
    assert all(torch.isfinite(tensor).all() for tensor in policy.model.parameters())


def test_missing_checkpoint_says_how_to_make_it(tmp_path):
    with pytest.raises(CheckpointError, match="memory.train --kind kv"):
        load_contestant("kv", tmp_path)


def test_command_refuses_an_odd_number_of_episodes_in_one_sentence():
    options = ["--updates", "0", "--chunks", "0", "--episodes", "3"]
    result = CliRunner().invoke(cli.app, ["bench", "memory", *options])
    assert result.exit_code == 2 and "even number" in result.output and "Traceback" not in result.output
