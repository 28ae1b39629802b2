"""`clwm eval` from settings to report."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from clwm_common.files.model_files import ModelFiles
from clwm_evaluation.success_rates import evaluation
from clwm_evaluation.success_rates.command import evaluate
from clwm_evaluation.success_rates.evaluation import (
    EvaluationError,
    EvaluationSettings,
    check_settings,
    run_evaluation,
    summarise,
)
from clwm_evaluation.success_rates.video import overlaid
from clwm_evaluation.virtual.chunk_sources import ModelSource
from clwm_evaluation.virtual.stack import EpisodeResult
from clwm_policy.loading import PolicySettings, load_engine

CHECKPOINT = Path(__file__).parents[3] / "models/nano/policy.safetensors"
NO_HASHES = {"policy_hash": "", "encoder_hash": ""}


def settings_of(**changes) -> EvaluationSettings:
    files = {"encoder": CHECKPOINT.parent / "encoder", "policy": CHECKPOINT}
    how = {"sai": "fixed:0.5", "video_steps": 4, "action_steps": 8}
    return EvaluationSettings(**{"task": "lift_tray", **files, **how, **changes})


def result(seed, outcome="success", blocking=(0.05,), idle=0.1) -> EpisodeResult:
    warnings = (f"chunk {seed} was 0.{seed} rad off",)
    return EpisodeResult(seed, outcome, 4.0, 5, 1, 3.0, idle, blocking, (0.3,), (0.5,), warnings)


def test_report_has_every_field_of_the_interface():
    report = summarise(settings_of(), NO_HASHES, [result(1), result(2, "timeout")])
    assert {"episodes", "successes", "wilson95", "blocking_ms", "idle_fraction", "stalls", "seed"} <= report.keys()
    assert {"p50", "p95", "p99"} <= report["blocking_ms"].keys()
    assert (report["episodes"], report["successes"], report["stalls"]) == (2, 1, 2)
    assert report["outcomes"] == {"success": 1, "timeout": 1}
    assert report["warnings"] == {"chunk 1 was 0.1 rad off": 2}, "one kind, whatever its numbers"
    json.dumps(report, allow_nan=False)


def test_report_of_episodes_without_chunks_has_no_latency_and_no_nan():
    still = EpisodeResult(1, "timeout", 12.0, 0, 0, 0.0, 0.0, (), (), (), ())
    report = summarise(settings_of(control="hold"), NO_HASHES, [still])
    assert report["blocking_ms"]["p50"] is None and report["idle_fraction"] is None
    json.dumps(report, allow_nan=False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "juggle"}, "task 'juggle' does not exist; expected one of lift_tray, place_block"),
        ({"sai": "clever"}, "clever"),
        ({"latency": "quick"}, "latency 'quick'"),
        ({"control": "magic"}, "policy, noise, hold, expert"),
        ({"encoder": Path("/nowhere")}, "/nowhere"),
        ({"episodes": 0}, "at least 1 episode"),
        ({"video_steps": 0}, "video_steps"),
        ({"disturb": 0.5}, "disturb is 0.5 m"),
    ],
)
def test_settings_that_cannot_work_give_one_clear_error(changes, words):
    with pytest.raises(EvaluationError, match=words):
        check_settings(settings_of(**changes))


def test_adaptive_without_its_calibration_is_refused_before_the_first_episode(tmp_path):
    for name in ("policy.safetensors", "policy.json"):
        (tmp_path / name).write_bytes(CHECKPOINT.with_name(name).read_bytes())
    with pytest.raises(EvaluationError, match="calibration.json cannot be read.*clwm calibrate"):
        check_settings(settings_of(sai="adaptive", policy=tmp_path / "policy.safetensors"))


def test_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(EvaluationError, match="model 'giant' is unknown.*nano"):
        EvaluationSettings.of_model("giant", task="lift_tray")


def test_model_file_decides_what_the_caller_leaves_open():
    settings = EvaluationSettings.of_model("nano", task="lift_tray", sai="sequential", video_steps=None)
    assert (settings.sai, settings.policy.name) == ("sequential", "policy.safetensors")
    assert settings.video_steps == ModelFiles.load("nano").video_steps


def test_unknown_task_on_the_command_line_ends_with_code_2_and_one_line():
    app = typer.Typer()
    app.command()(evaluate)
    outcome = CliRunner().invoke(app, ["--task", "juggle"])
    assert outcome.exit_code == 2
    assert "task 'juggle' does not exist" in outcome.output
    assert "Traceback" not in outcome.output


class ColourEncoder:
    """Features that are means of picture patches: a stand-in whose weights need no file."""

    encoder_id = "colours"

    def __init__(self, weights_hash, channels):
        self.weights_hash, self._channels = weights_hash, channels

    def __call__(self, images):
        patches = images.reshape(len(images), 4, images.shape[1] // 4, 4, images.shape[2] // 4, 3).mean(axis=(2, 4, 5))
        return np.repeat(patches[..., None] / 255.0, self._channels, axis=-1).astype(np.float16)


@pytest.fixture
def untrained(monkeypatch):
    """The shipped architecture with random weights, on pictures reduced to colours, in episodes of 1.8 s."""
    from clwm_policy.model.checkpoint import load_policy
    from clwm_sim.shipped_tasks.lift_tray import LiftTray

    policy = load_policy(CHECKPOINT)

    def source(settings, world, _model_source):
        embedding = np.ones(policy.model.config.text_width, np.float32)
        settings = PolicySettings(CHECKPOINT, settings.sai, 2, 4, untrained_seed=0)
        engine = load_engine(settings, embed=lambda sentence: embedding)
        encoder = ColourEncoder(policy.encoder_hash, policy.model.config.feature_channels)
        return ModelSource(encoder, engine, tuple(world.robot.cameras))

    monkeypatch.setattr(evaluation, "_source", source)
    monkeypatch.setattr(LiftTray, "timeout", 1.8)
    monkeypatch.setattr(evaluation, "check_settings", lambda settings: NO_HASHES)


def test_same_seed_and_fixed_latency_give_the_same_report_to_the_last_digit(untrained):
    settings = settings_of(episodes=2, latency="80", control="noise", sai="fixed:0.5")
    first, second = run_evaluation(settings), run_evaluation(settings)
    first.pop("commit"), second.pop("commit")
    assert json.dumps(first) == json.dumps(second)
    # The executor refuses chunks with large steps, as random weights may make them, and holds: one warning an episode.
    assert first["chunks"] + sum(first["warnings"].values()) >= first["episodes"], first["warnings"]


def test_workers_change_no_episode():
    settings = {"episodes": 2, "latency": "60", "control": "hold"}
    alone = run_evaluation(settings_of(workers=1, **settings))
    together = run_evaluation(settings_of(workers=2, **settings))
    assert alone["per_episode"] == together["per_episode"]


def test_film_frame_keeps_the_pictures_below_the_text():
    pictures = [np.full((16, 16, 3), value, np.uint8) for value in (10, 20, 30)]
    frame = overlaid(pictures, ("lift the tray", "policy"))
    assert frame.shape == (16 * 2 + 36, 96, 3)
    assert [int(frame[-1, column, 0]) for column in (0, 40, 95)] == [10, 20, 30]
