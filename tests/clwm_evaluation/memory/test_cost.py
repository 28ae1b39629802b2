"""What a memory costs: which one grows, what a long run compares, and what the report and its picture hold."""

import json

import numpy as np
import pytest
import torch

from clwm_embodichain.training.memory.kv_model import KvClwm
from clwm_evaluation.memory.command import draw_memory
from clwm_evaluation.memory.cost import LongRun, Stream, cost_at
from clwm_policy.engine.re_entry import Plan
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.sizes import ClwmConfig

TINY = ClwmConfig(width=24, layers=2, heads=2, ffn_width=48, memory_rank=8, feature_channels=6, grid=2)
PLAN = Plan(1, 1)


def model_of(kind, *arguments):
    torch.manual_seed(0)
    return kind(TINY, *arguments).eval()


def bytes_at(model):
    return [cell["state_bytes"] for cell in cost_at(model, PLAN, (2, 8, 70), 1, lambda steps: None).values()]


def test_ttt_holds_the_same_bytes_after_any_number_of_observations():
    assert len(set(bytes_at(model_of(Clwm)))) == 1


def test_kv_cache_grows_in_proportion_and_a_window_up_to_its_length():
    per_observation = bytes_at(model_of(KvClwm))[0] // 2
    assert bytes_at(model_of(KvClwm)) == [2 * per_observation, 8 * per_observation, 70 * per_observation]
    assert bytes_at(model_of(KvClwm, 4)) == [2 * per_observation, 4 * per_observation, 4 * per_observation]


def test_filled_history_has_the_size_of_an_observed_one():
    filled, observed = (Stream(model_of(KvClwm), PLAN) for _ in range(2))
    filled.fill(5)
    for _ in range(5):
        observed.observe()
    assert filled.memory.nbytes == observed.memory.nbytes and filled.taken_in == observed.taken_in


def test_a_chunk_takes_its_observation_in_exactly_as_observing_does():
    chunked, observed = (Stream(model_of(Clwm), PLAN) for _ in range(2))
    rows = chunked.chunk()
    observed.observe()
    assert rows.shape == (1, 16, 30)
    assert chunked.memory.digest() == observed.memory.digest() and chunked.taken_in == 1


def ratio(seconds):
    return np.median(seconds[-5:]) / np.median(seconds[:5])


def test_a_machine_that_became_slower_is_no_slower_memory():
    run = LongRun(model_of(Clwm), PLAN, 20, 10, compared=5)
    list(run)
    before = run.report()["latency_last_over_first"]
    run.seconds[-5:] *= 3.0
    run.fresh_seconds[-5:] *= 3.0
    assert run.report()["latency_last_over_first"] == pytest.approx(before, abs=2e-4)
    run.seconds[-5:] *= 2.0
    assert run.report()["latency_last_over_first"] == pytest.approx(2.0 * before, abs=2e-4)


def test_long_run_counts_every_update_and_times_only_what_it_compares():
    run = LongRun(model_of(Clwm), PLAN, 40, 10, compared=5)
    assert list(run) == [10, 20, 30, 40]
    assert (run.seconds[:5] > 0).all() and (run.seconds[-5:] > 0).all() and not run.seconds[5:-5].any()
    report = run.report()
    assert report["updates"] == 40 and report["moments"][-1]["updates"] == 40
    assert np.isclose(report["latency_last_over_first"], ratio(run.seconds) / ratio(run.fresh_seconds), atol=1e-4)
    assert report["norm_max"] >= max(report["moments"][0]["norms"])
    json.dumps(report, allow_nan=False)


def test_same_seed_gives_the_same_norms():
    first, second = (LongRun(model_of(Clwm), PLAN, 12, 4) for _ in range(2))
    assert list(first) == list(second)
    assert [m.norms for m in first.moments] == [m.norms for m in second.moments]


def test_run_too_short_to_compare_is_refused():
    with pytest.raises(ValueError, match="3 updates"):
        LongRun(model_of(Clwm), PLAN, 3, 1)


def test_picture_has_a_panel_for_everything_that_was_measured():
    run = LongRun(model_of(Clwm), PLAN, 12, 4)
    list(run)
    cell = {"rate": 0.9, "wilson95": [0.8, 0.95]}
    report = {
        "cost": {"ttt": cost_at(model_of(Clwm), PLAN, (2, 4), 1, lambda steps: None)},
        "ttt": run.report(),
        "remember_side": {"ttt": {"2": cell, "60": cell}},
    }
    assert len(draw_memory(report).axes) == 5
    assert len(draw_memory({"cost": report["cost"]}).axes) == 2
