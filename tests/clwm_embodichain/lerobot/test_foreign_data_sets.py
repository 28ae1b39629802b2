"""What another tool wrote becomes episodes, or an error that says what is wrong with it."""

import json
import shutil
import subprocess
import sys

import av
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from made_up_episodes import FOREIGN, FOREIGN_MAP, SAMPLE, made_up_episode
from typer.testing import CliRunner

from clwm_common.actions import CHANNEL_NAMES
from clwm_embodichain.commands import app
from clwm_embodichain.episodes.features import encode_features, load_episodes
from clwm_embodichain.episodes.storage import Episode, episode_path
from clwm_embodichain.lerobot.data_set_map import DataSetMap
from clwm_embodichain.lerobot.foreign_frames import ForeignEpisodes
from clwm_embodichain.lerobot.layout import DataSetError
from clwm_embodichain.lerobot.reader import DataSet
from clwm_embodichain.training.policy.samples import fit_coding

VIDEO, DATA = "videos/observation.images.top/chunk-000/file-000.mp4", "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
runner = CliRunner()


def run(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments])


def foreign_episodes(folder, map_file):
    source = DataSet(folder)
    maker = ForeignEpisodes(source, DataSetMap.load(map_file))
    return [maker.episode(source.frames(index)) for index in source.episodes]


def change(path, table):
    pq.write_table(table, path)


def test_the_data_set_of_the_real_library_is_read_whole():
    source = DataSet(SAMPLE)
    assert source.episodes == (0, 1, 2) and not source.broken and not source.notes
    assert sum(len(source.frames(index)) for index in source.episodes) == source.info.total_frames == 62
    for index in source.episodes:
        frames = source.frames(index)
        for camera in source.info.cameras:
            pictures = list(source.pictures(index, camera, np.arange(len(frames)) / source.info.fps))
            assert np.shape(pictures) == (len(frames), 64, 64, 3)
    assert source.frames(2).tasks == ("bring the red block to the pad with the nearer arm",)


def test_an_episodes_pictures_are_its_own_and_not_those_of_the_one_before():
    source = DataSet(SAMPLE)
    whole = [frame.to_ndarray(format="rgb24") for frame in decoded(SAMPLE / HEAD)]
    (first,) = source.pictures(1, "observation.images.head", np.zeros(1))
    assert np.array_equal(first, whole[21]) and not np.array_equal(first, whole[20])


HEAD = "videos/observation.images.head/chunk-000/file-000.mp4"


def decoded(path):
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def test_another_rate_is_interpolated_and_another_layout_masked(foreign, foreign_map):
    first = foreign_episodes(foreign, foreign_map)[0]
    there = DataSet(foreign).frames(0).columns["observation.state"]
    assert len(first.states) == 24  # 59 / 50 s in rows of 1 / 20 s
    assert np.allclose(first.states[2, 14:20], there[5, :6])  # 0.1 s
    assert np.allclose(first.states[1, 14:20], (there[2, :6] + there[3, :6]) / 2, atol=1e-6)  # 0.05 s
    assert np.allclose(first.states[2, 28], there[5, 6] / 0.1 * 0.08, atol=1e-6)
    assert set(np.flatnonzero(~first.channels)) == {*range(14), 20, 27}
    assert not first.states[:, ~first.channels].any()


def test_a_commanded_row_is_the_action_of_the_frame_before(foreign, foreign_map):
    first = foreign_episodes(foreign, foreign_map)[0]
    actions = DataSet(foreign).frames(0).columns["action"]
    assert np.allclose(first.executed[2, 14:20], actions[4, :6], atol=1e-6)  # at 0.1 s, that of 0.08 s
    assert np.array_equal(first.executed[0], first.states[0])
    assert np.array_equal(first.plans[1][:3], first.executed[4:7])


def test_joints_of_a_known_robot_give_the_tool_poses(sample, tmp_path):
    groups = "left_joints: [14,15,16,17,18,19,20], right_joints: [21,22,23,24,25,26,27]"
    path = tmp_path / "map.yaml"
    path.write_text(
        f"robot: dual_fr3_mujoco\nstate: {{feature: observation.state, {groups}}}\n"
        f"action: {{feature: action, {groups}}}\ncameras: {{head: observation.images.head}}\n"
    )
    episode = foreign_episodes(sample, path)[0]
    measured = DataSet(sample).frames(0).columns["observation.state"]
    assert np.abs(episode.states[::4, :3] - measured[: len(episode.states[::4]), :3]).max() < 2e-3


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "feature: action",
            "feature: actions",
            "no numbers called 'actions'; expected one of observation.state, action",
        ),
        ("images.top", "images.front", "no pictures called 'observation.images.front'; expected one of"),
        ("left_gripper: [6]", "left_gripper: [5]", "number 5 of the feature is given twice"),
        ("right_gripper: [13]", "right_gripper: [14]", "has 14 numbers, and no 14"),
        ("left_gripper: [6]", "left_griper: [6]", "field 'state.left_griper'.*did you mean 'left_gripper'"),
        ("open: 0.1", "open: 0.0", "open and closed are both 0.0"),
        ("open: 0.1", "open: .nan", "field 'gripper.open'"),
        ("cameras: {head: observation.images.top}", "cameras: {}", "field 'cameras'"),
        ("gripper: {", "robot: dual_fr3_mujoco\ngripper: {", "all seven joints of both arms"),
        ("[0, 1, 2, 3, 4, 5]", "[0, 1, 2, 3, 4, 5, 6, 7]", "field 'state.left_joints'"),
    ],
)
def test_a_map_that_cannot_be_right_is_refused_with_its_field(foreign, foreign_map, old, new, said):
    assert old in FOREIGN_MAP
    foreign_map.write_text(FOREIGN_MAP.replace(old, new))
    with pytest.raises(DataSetError, match=said):
        foreign_episodes(foreign, foreign_map)


def without_video(folder):
    (folder / VIDEO).unlink()


def without_frames_at_the_end(folder):
    table = pq.read_table(folder / DATA)
    change(folder / DATA, table.filter(pc.less(table["index"], 130)))


def without_footer(folder):
    whole = (folder / DATA).read_bytes()
    (folder / DATA).write_bytes(whole[: len(whole) // 2])


def without_data(folder):
    (folder / DATA).unlink()


def with_a_short_video(folder):
    whole = (folder / VIDEO).read_bytes()
    (folder / VIDEO).write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (without_video, "file-000.mp4 does not exist"),
        (without_frames_at_the_end, "has 70 of its 80 frames: it was cut short"),
        (without_footer, "no footer: its writer was not finished"),
        (without_data, "file-000.parquet does not exist"),
        (with_a_short_video, "file-000.mp4 cannot be decoded"),
    ],
)
def test_what_is_damaged_is_named_and_nothing_is_imported(foreign, foreign_map, tmp_path, damage, said):
    damage(foreign)
    done = run("import", foreign, "--map", foreign_map, "--out", tmp_path / "out")
    assert done.exit_code == 2 and said in " ".join(done.output.split()), done.output
    assert not list(tmp_path.glob("out/**/*.npz"))


def test_the_other_episodes_are_imported_when_asked_for_and_the_broken_one_is_still_told(
    foreign, foreign_map, tmp_path
):
    without_frames_at_the_end(foreign)
    done = run("import", foreign, "--map", foreign_map, "--out", tmp_path / "out", "--skip-broken")
    assert done.exit_code == 1 and "episode 1: " in done.output and "cut short" in " ".join(done.output.split())
    assert [path.name for path in tmp_path.glob("out/**/*.npz")] == ["0.npz"]


def test_a_hole_in_the_episode_numbers_is_stated(foreign, foreign_map):
    table = pq.read_table(foreign / EPISODES)
    numbers = pa.array([0, 5], pa.int64())
    change(foreign / EPISODES, table.set_column(table.column_names.index("episode_index"), "episode_index", numbers))
    frames = pq.read_table(foreign / DATA)
    moved = pc.if_else(pc.equal(frames["episode_index"], 1), 5, frames["episode_index"])
    change(foreign / DATA, frames.set_column(frames.column_names.index("episode_index"), "episode_index", moved))
    source = DataSet(foreign)
    assert source.episodes == (0, 5) and "episodes 1, 2, 3, 4 do not exist" in source.notes[0]
    assert len(source.frames(5)) == 80


# As root this encoder makes the thread that calls it a real-time one, for good: it gets a process of its own.
AS_AV1 = """
import sys
import av
with av.open(sys.argv[1]) as source:
    frames = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
with av.open(sys.argv[1], "w") as container:
    stream = container.add_stream("libsvtav1", rate=5, options={"crf": "20", "preset": "10"})
    stream.width = stream.height = 64
    for index, frame in enumerate(frames):
        again = av.VideoFrame.from_ndarray(frame, format="rgb24")
        again.pts = index
        container.mux(stream.encode(again))
    container.mux(stream.encode())
"""


def test_videos_of_another_codec_in_the_same_set_are_read_as_well(sample):
    """h264 for one camera, AV1 for another."""
    before = decoded(sample / HEAD)[21].to_ndarray(format="rgb24")
    subprocess.run([sys.executable, "-c", AS_AV1, str(sample / HEAD)], check=True, capture_output=True)
    (first,) = DataSet(sample).pictures(1, "observation.images.head", np.zeros(1))
    assert np.abs(first.astype(int) - before.astype(int)).mean() < 4.0


def test_a_number_that_is_not_finite_is_named(foreign, foreign_map):
    table = pq.read_table(foreign / DATA)
    values = np.array(table["action"].to_pylist(), np.float32)
    values[7, 3] = np.nan
    flat = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 14)
    change(foreign / DATA, table.set_column(table.column_names.index("action"), "action", flat))
    with pytest.raises(DataSetError, match="episode 0: 'action' number 3 of frame 7 is nan"):
        foreign_episodes(foreign, foreign_map)


def test_a_foreign_set_without_a_map_is_refused_and_a_folder_that_is_none(tmp_path):
    done = run("import", FOREIGN, "--out", tmp_path / "out")
    assert done.exit_code == 2 and "give it by --map" in " ".join(done.output.split())
    done = run("import", tmp_path, "--out", tmp_path / "out")
    assert done.exit_code == 2 and "no meta/info.json" in " ".join(done.output.split())


def test_export_and_import_by_command_give_back_the_episodes(tmp_path):
    for seed in (1, 2):
        made_up_episode(seed).save(episode_path(tmp_path / "data", "blocks", "place", seed))
    done = run("export", tmp_path / "data", "--out", tmp_path / "set")
    assert done.exit_code == 0 and "2 episodes, 52 frames" in done.output, done.output
    done = run("import", tmp_path / "set", "--out", tmp_path / "back")
    assert done.exit_code == 0, done.output
    back = Episode.load(episode_path(tmp_path / "back", "blocks", "place", 2))
    assert np.array_equal(back.plans, made_up_episode(2).plans)
    done = run("import", tmp_path / "set", "--out", tmp_path / "back")
    assert done.exit_code == 2 and "exists already" in done.output


def test_a_policy_is_told_which_channels_the_source_has_not(foreign, foreign_map, tmp_path):
    path, cache = tmp_path / "imported" / "demonstrated" / "0.npz", tmp_path / "cache"
    foreign_episodes(foreign, foreign_map)[0].save(path)
    encode_features([path], cache, lambda images: np.zeros((len(images), 2, 2, 4), np.float16), progress=False)
    (episode,) = load_episodes([path], cache)
    absent = [name for name, there in zip(CHANNEL_NAMES, episode.channels, strict=True) if not there]
    assert absent[0] == "left_x" and absent[-2:] == ["left_joint7", "right_joint7"]
    assert np.array_equal(fit_coding([episode]).codec.chunk.mask, episode.channels)


def test_an_own_export_says_what_it_is_in_its_info(tmp_path):
    made_up_episode(1).save(episode_path(tmp_path / "data", "blocks", "place", 1))
    run("export", tmp_path / "data", "--out", tmp_path / "set")
    info = json.loads((tmp_path / "set/meta/info.json").read_text())
    assert info["fps"] == 20 and info["features"]["observation.state"]["names"][14] == "left_joint_1"
    shutil.rmtree(tmp_path / "set")
