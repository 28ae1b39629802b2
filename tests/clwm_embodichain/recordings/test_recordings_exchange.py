"""`clwm data import` and `clwm data export` of recordings, by command."""

from dataclasses import fields

import numpy as np
import pytest
from typer.testing import CliRunner

from clwm_common.actions import ROW_DT
from clwm_common.recordings.corrections import Correction, CorrectionLabel
from clwm_common.recordings.labels import Labels
from clwm_embodichain.commands import app
from clwm_embodichain.episodes.storage import Episode, episode_files
from clwm_embodichain.recordings.recorded_episode import recorded_episode

from .conftest import HORIZON, START, Course

SIZE = ("--picture-size", 32)


def data(*words):
    answer = CliRunner().invoke(app, list(map(str, words)))
    answer.said = " ".join(answer.output.split())
    return answer


def same(one, other, *but):
    for field in fields(Episode):
        if field.name not in but:
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name)), field.name
    return True


def test_recordings_become_episodes_that_training_finds(record, tmp_path):
    path = record(Course())
    answer = data("import", path.parent, "--from", "recording", "--out", tmp_path / "data", *SIZE)
    assert answer.exit_code == 0, answer.output
    (file,) = episode_files(tmp_path / "data", "table", "lift_tray")
    assert same(Episode.load(file), recorded_episode(path, 32))
    again = data("import", path, "--from", "recording", "--out", tmp_path / "data", *SIZE)
    assert again.exit_code == 2 and "exists already" in again.said


def test_recordings_can_be_filed_under_another_goal(record, tmp_path):
    path = record(Course())
    filed = ("--scene", "kitchen", "--goal", "wipe:blue")
    assert data("import", path, "--from", "recording", "--out", tmp_path / "data", *filed, *SIZE).exit_code == 0
    (file,) = episode_files(tmp_path / "data", "kitchen", "wipe")
    assert Episode.load(file).goals == ("wipe:blue",)
    answer = data("import", path, "--from", "recording", "--out", tmp_path / "data", "--scene", "a/b", *SIZE)
    assert answer.exit_code == 2 and "'a/b' cannot name a folder of episodes" in answer.said


def test_a_recording_that_nobody_judged_keeps_all_out_unless_it_may_be_left_out(record, tmp_path):
    judged, other = record(Course()), record(Course(judged=None), is_closed=False)
    words = ("import", judged.parent, "--from", "recording", "--out", tmp_path / "data", *SIZE)
    answer = data(*words)
    assert answer.exit_code == 2 and "nobody has judged it" in answer.said and other.name in answer.said
    assert not list((tmp_path / "data").rglob("*.npz"))
    assert data(*words, "--skip-broken").exit_code == 1 and len(episode_files(tmp_path / "data")) == 1
    Labels(success=True).save(other)
    assert data(*words, "--force", "--scene", "all").exit_code == 0


def test_recordings_go_to_lerobot_and_come_back_number_by_number(record, tmp_path):
    pytest.importorskip("av")
    path = record(Course(human=range(HORIZON, 2 * HORIZON), held=range(4)))
    correction = Correction(round((START + HORIZON * ROW_DT) * 1e9), None, CorrectionLabel.DISCARDED)
    Labels(success=True).corrected(correction).save(path)
    answer = data("export", path.parent, "--out", tmp_path / "lerobot", *SIZE)
    assert answer.exit_code == 0, answer.output
    assert data("import", tmp_path / "lerobot", "--out", tmp_path / "data").exit_code == 0
    (file,) = episode_files(tmp_path / "data")
    back, made = Episode.load(file), recorded_episode(path, 32)
    assert same(back, made, "images") and back.interventions.any()
    assert np.flatnonzero(back.held).tolist() == list(range(4))
    assert set(back.corrections) == {CorrectionLabel.NONE, CorrectionLabel.DISCARDED}
    assert np.abs(back.images.astype(int) - made.images).mean() < 6


def test_a_folder_without_recordings_and_a_map_for_recordings_are_refused(tmp_path):
    answer = data("import", tmp_path, "--from", "recording")
    assert answer.exit_code == 2 and "make some with `clwm record`" in answer.said
    answer = data("import", tmp_path, "--from", "recording", "--map", tmp_path / "map.yaml")
    assert answer.exit_code == 2 and "--map is of other tools' data" in answer.said
