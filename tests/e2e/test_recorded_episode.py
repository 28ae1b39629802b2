"""`clwm eval --replay-log`, then `clwm replay`: the shipped model on a real episode, and what differences look like."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from clwm_bringup import cli
from clwm_policy.recording.episode_file import EpisodeFile, read_episode
from clwm_policy.recording.episode_log import Observed
from clwm_sim.shipped_tasks.lift_tray import LiftTray

runner = CliRunner()


def clwm(*arguments):
    return runner.invoke(cli.app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """The first 2.4 s of an episode, at the latency and with the speculation that this machine allows."""
    path = tmp_path_factory.mktemp("recorded") / "episode.mcap"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LiftTray, "timeout", 2.4)
        result = clwm("eval", "--episodes", 1, "--sai", "fixed:0.5", "--replay-log", path)
    assert result.exit_code == 0, result.output
    return path


def test_a_real_episode_replays_bit_for_bit(recording, tmp_path):
    result = clwm("replay", recording, "--json", tmp_path / "result.json")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "result.json").read_text())
    assert found["chunks"] == found["same"] >= 2
    assert "bit for bit" in result.output


def test_a_flipped_bit_in_a_feature_is_reported_as_the_first_difference(recording, tmp_path):
    facts, entries = read_episode(recording)
    second = [entry for entry in entries if isinstance(entry.call, Observed)][1]
    file = EpisodeFile(tmp_path / "flipped.mcap", facts)
    for entry in entries:
        file.write(flipped(entry) if entry is second else entry)
    file.close()
    result = clwm("replay", tmp_path / "flipped.mcap")
    assert result.exit_code == 1, result.output
    assert f"after 1 of {sum(entry.chunk is not None for entry in entries)} chunks" in result.output
    assert f"chunk {second.chunk.chunk_id}, row {second.chunk.prefix_rows}, channel" in result.output


def flipped(entry):
    bits = entry.call.frame.features.copy().view(np.uint16)
    bits[0, 0, 0, 0] ^= 1 << 9
    return replace(entry, call=replace(entry.call, frame=replace(entry.call.frame, features=bits.view(np.float16))))


def test_an_episode_of_other_weights_cannot_be_replayed(recording, tmp_path):
    facts, entries = read_episode(recording)
    file = EpisodeFile(tmp_path / "other.mcap", {**facts, "policy_sha256": "0123456789ab" * 5 + "cdef"})
    for entry in entries:
        file.write(entry)
    file.close()
    result = clwm("replay", tmp_path / "other.mcap")
    assert result.exit_code == 2
    assert "policy_sha256 0123456789ab" in result.output


def test_a_truncated_episode_cannot_be_replayed(recording, tmp_path):
    path = tmp_path / "cut.mcap"
    path.write_bytes(recording.read_bytes()[:-40])
    result = clwm("replay", path)
    assert (result.exit_code, "truncated" in result.output) == (2, True), result.output


@pytest.mark.parametrize("arguments", [("--workers", 2), ("--control", "expert")])
def test_what_cannot_be_recorded_is_refused(arguments, tmp_path):
    result = clwm("eval", "--episodes", 2, "--replay-log", tmp_path / "x.mcap", *arguments)
    assert (result.exit_code, "cannot be recorded" in result.output) == (2, True), result.output
