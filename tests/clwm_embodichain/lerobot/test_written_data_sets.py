"""A data set that is written has what LeRobot's own has, and gives back every number."""

import dataclasses
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from made_up_episodes import SAMPLE, made_up_episode

from clwm_embodichain.lerobot.layout import DataSetError, Feature, Info, pictures_feature
from clwm_embodichain.lerobot.own_frames import FPS, episode_of, features_of, frames_of
from clwm_embodichain.lerobot.reader import DataSet
from clwm_embodichain.lerobot.writer import DataSetWriter, Pictures

EPISODES, DATA = "meta/episodes/chunk-000/file-000.parquet", "data/chunk-000/file-000.parquet"


def export(episodes, folder, **limits):
    with DataSetWriter(folder, features_of(episodes[0]), FPS, "two arms", **limits) as writer:
        for episode in episodes:
            writer.add(*frames_of(episode))
    return DataSet(folder)


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory):
    """LeRobot's own data set, read and written again."""
    source, folder = DataSet(SAMPLE), tmp_path_factory.mktemp("rewritten") / "set"
    features = {name: feature for name, feature in source.info.features.items() if name not in INDICES}
    with DataSetWriter(folder, features, source.info.fps, source.info.robot_type) as writer:
        for index in source.episodes:
            frames = source.frames(index)
            times = np.arange(len(frames)) / source.info.fps
            pictures = {
                name: Pictures(np.stack(list(source.pictures(index, name, times)))) for name in source.info.cameras
            }
            columns = {name: values for name, values in frames.columns.items() if name not in INDICES}
            writer.add(columns, pictures, list(frames.tasks), frames.task)
    return folder


INDICES = {"timestamp", "frame_index", "episode_index", "index", "task_index"}


def test_an_episode_comes_back_with_every_number_and_its_pictures_within_the_codecs_error(tmp_path):
    episodes = [made_up_episode(seed) for seed in (3, 4)]
    source = export(episodes, tmp_path / "set")
    for index, before in enumerate(episodes):
        after = episode_of(source, source.frames(index))
        for field in dataclasses.fields(before):
            old, new = getattr(before, field.name), getattr(after, field.name)
            if field.name == "images":
                assert np.abs(old.astype(int) - new.astype(int)).mean() < 2.0
            elif isinstance(old, np.ndarray):
                assert old.dtype == new.dtype and np.array_equal(old, new), field.name
            else:
                assert old == new, field.name


def test_an_action_is_what_is_commanded_next(tmp_path):
    episode = made_up_episode(1)
    columns = export([episode], tmp_path / "set").frames(0).columns
    assert np.array_equal(columns["action"][:-1], episode.executed[1:])
    assert np.array_equal(columns["observation.command"], episode.executed)


@pytest.mark.parametrize("name", [DATA, EPISODES, "meta/tasks.parquet"])
def test_files_have_the_columns_and_types_that_lerobot_writes(rewritten, name):
    ours, theirs = pq.read_schema(rewritten / name), pq.read_schema(SAMPLE / name)
    assert {(f.name, str(f.type)) for f in ours} == {(f.name, str(f.type)) for f in theirs}
    assert pq.ParquetFile(rewritten / name).metadata.row_group(0).column(0).compression == "SNAPPY"


def test_frames_and_tasks_are_the_same_as_in_lerobots_own_files(rewritten):
    for name in (DATA, "meta/tasks.parquet"):
        assert pq.read_table(rewritten / name).equals(pq.read_table(SAMPLE / name))


def test_info_says_what_lerobots_own_says(rewritten):
    ours, theirs = (json.loads((folder / "meta/info.json").read_text()) for folder in (rewritten, SAMPLE))
    for feature in ours["features"].values():
        if feature["info"] is None:
            del feature["info"]
    assert ours == theirs


def test_statistics_are_those_that_lerobot_states(rewritten):
    ours, theirs = (json.loads((folder / "meta/stats.json").read_text()) for folder in (rewritten, SAMPLE))
    assert set(ours) == set(theirs)
    for name, statistics in theirs.items():
        assert set(ours[name]) == set(statistics)
        spread = np.array(statistics["max"], float) - np.array(statistics["min"], float)
        for key in ("min", "max", "mean", "std", "count"):
            # Of pictures it takes samples, before they are encoded, and their spread is no pixel's.
            if "images" in name and key in ("min", "max", "std"):
                continue
            tolerance = 0.02 if "images" in name else 1e-4
            assert np.allclose(ours[name][key], statistics[key], atol=tolerance, rtol=1e-5), (name, key)
        for key in ("q01", "q50", "q99"):  # which it takes from histograms
            assert (np.abs(np.subtract(ours[name][key], statistics[key])) <= 0.15 * spread + 0.1).all(), (name, key)


def test_new_files_are_begun_when_the_old_ones_are_large_enough(tmp_path):
    episodes = [made_up_episode(seed) for seed in range(6)]
    source = export(episodes, tmp_path / "set", data_mb=0.02, video_mb=0.0005)
    assert len(list((tmp_path / "set/data/chunk-000").iterdir())) > 1
    assert len(list((tmp_path / "set/videos/observation.images.head/chunk-000").iterdir())) > 1
    assert [episode_of(source, source.frames(index)).seed for index in source.episodes] == list(range(6))


def test_an_interrupted_export_leaves_no_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with DataSetWriter(tmp_path / "set", features_of(made_up_episode(0)), FPS, "x") as writer:
            writer.add(*frames_of(made_up_episode(0)))
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_not_replaced_unless_told_and_no_other_folder_ever(tmp_path):
    export([made_up_episode(0)], tmp_path / "set")
    with pytest.raises(DataSetError, match="exists already.*--force"):
        export([made_up_episode(1)], tmp_path / "set")
    assert export([made_up_episode(1)], tmp_path / "set", replace=True).frames(0).columns["seed"][0] == 1
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").touch()
    with pytest.raises(DataSetError, match="no meta/info.json"):
        export([made_up_episode(1)], tmp_path / "home", replace=True)
    assert (tmp_path / "home" / "thesis.tex").exists()


def test_features_that_differ_from_the_data_sets_are_refused_by_name(tmp_path):
    columns, pictures, tasks, task = frames_of(made_up_episode(0))
    with DataSetWriter(tmp_path / "set", features_of(made_up_episode(0)), FPS, "x") as writer:
        with pytest.raises(DataSetError, match="differs in seed"):
            writer.add({k: v for k, v in columns.items() if k != "seed"}, pictures, tasks, task)
        with pytest.raises(DataSetError, match="'seed' has 3 values; expected one for each of 26"):
            writer.add(columns | {"seed": np.arange(3)}, pictures, tasks, task)


def test_pictures_with_odd_sides_are_refused(tmp_path):
    features = {"observation.images.a": pictures_feature(63, 64, 20), "x": Feature(dtype="float32", shape=(2,))}
    with pytest.raises(DataSetError, match="64 x 63 cannot be encoded"):
        with DataSetWriter(tmp_path / "set", features, 20, "x") as writer:
            shown = {"observation.images.a": Pictures(np.zeros((4, 63, 64, 3), np.uint8))}
            writer.add({"x": np.zeros((4, 2))}, shown, ["go"], np.zeros(4, np.int64))
    assert not (tmp_path / "set").exists()


def test_info_of_another_version_is_refused_by_name(sample):
    info = json.loads((sample / "meta/info.json").read_text()) | {"codebase_version": "v2.1"}
    (sample / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(DataSetError, match="codebase_version 'v2.1'; expected 'v3.0'"):
        Info.load(sample)
