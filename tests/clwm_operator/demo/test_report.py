"""A demo's numbers, film and timeline picture, from a made-up recording."""

import dataclasses
import json
import math

import imageio.v2 as imageio
import numpy as np
import pytest
from rich.console import Console

from clwm_bringup import log_lines
from clwm_common.messages import ChunkTimeline, SaiReport
from clwm_operator.demo.report import as_table, executor_metrics, idle_time, percentiles, summarise
from clwm_operator.demo.timeline_picture import draw_timeline
from clwm_operator.demo.video import BAR, GAP, SIDE, compose, write_video
from clwm_operator.recording import Chunk, Episode, Frame, Recording

CAMERAS = ("head", "left_wrist", "right_wrist")


def chunk(chunk_id, motion_at, stall=0.0, blocking=0.1, outcome="executed"):
    observe_at = motion_at - 0.2
    return Chunk(
        chunk_id=chunk_id, outcome=outcome, requested_at=observe_at - 0.6, observe_at=observe_at, needed_by=motion_at,
        at_rest=False, sent_at=observe_at + blocking, first_motion_at=motion_at, rows_end_at=motion_at + 0.6,
        observation_stamp=observe_at, stall=stall, speculation=(observe_at - 0.5, observe_at - 0.3),
        frame_arrived_at=observe_at + 0.03, finished_at=observe_at + 0.09,
        stages={"encode": 0.02, "memory": 0.01, "context": 0.01, "finish": 0.04}, surrogate_error=0.4, copy_error=0.5,
    )  # fmt: skip


@pytest.fixture
def recording():
    episodes = [
        Episode("lift_tray", 1, "lift the tray", 10.0, 20.0, "success", 10.0),
        Episode("place_block", 2, "put the block on the pad", 21.0, 30.0, "failure", 9.0),
    ]
    chunks = [chunk(index, 11.0 + 0.6 * index) for index in range(10)] + [chunk(20, 22.0), chunk(21, 23.0, stall=0.4)]
    pictures = np.random.default_rng(0).integers(0, 255, (3, 128, 128, 3), dtype=np.uint8)
    frames = [Frame(10.0 + 0.1 * index, pictures, "POLICY", "MOVING", "lift the tray") for index in range(5)]
    return Recording(CAMERAS, frames, episodes, chunks)


def test_chunks_count_for_the_episode_in_which_they_observed(recording):
    assert summarise(recording, recording.episodes[:1])["chunks"] == 10
    assert summarise(recording, recording.episodes[1:])["chunks"] == 2


def test_stages_and_transport_add_up_to_the_blocking_latency(recording):
    summary = summarise(recording, recording.episodes)
    split = summary["blocking_split_ms"]
    assert sum(stage["p50"] for stage in split.values()) == pytest.approx(summary["blocking_ms"]["p50"])
    assert split["transport"]["p50"] == pytest.approx(20.0)


def test_idle_is_the_time_after_the_first_motion_without_rows():
    chunks = [chunk(1, 1.0), chunk(2, 1.6), chunk(3, 2.6)]
    assert idle_time(chunks, 3.0) == pytest.approx((2.0, 0.4))


def test_an_episode_without_motion_has_no_idle_time_and_nothing_measured(recording):
    recording.chunks.clear()
    summary = summarise(recording, recording.episodes)
    assert summary["idle_fraction"] is None and summary["blocking_ms"]["p50"] is None and summary["chunks"] == 0


def test_chunks_that_did_not_move_the_arms_are_counted_apart(recording):
    recording.chunks.append(dataclasses.replace(chunk(30, 15.0), outcome="dropped"))
    summary = summarise(recording, recording.episodes)
    assert summary["not_executed"] == {"dropped": 1} and summary["chunks"] == 12


def test_percentiles_ignore_what_is_not_finite():
    assert percentiles([math.nan, 1.0, 3.0])["p50"] == 2.0
    assert percentiles([math.nan])["max"] is None


def test_the_table_fits_eighty_columns(recording):
    console = Console(width=80, record=True)
    console.print(as_table(recording))
    text = console.export_text()
    for word in ("lift_tray", "place_block", "1 of 1", "0 of 1", "blocking", "stalls", "0.400 (0.500)"):
        assert word in text, text
    assert "…" not in text


def test_the_report_is_json_without_nan(recording):
    json.dumps(summarise(recording, recording.episodes), allow_nan=False)


def test_a_timeline_line_becomes_a_chunk_with_or_without_the_policys_report():
    timeline = ChunkTimeline(1, 1, 1.0, 2.0, 3.0, at_rest=True, prefix_rows=1, outcome="refused")
    without = Chunk.from_timeline(timeline)
    assert without.stages == {} and without.sent_at is None and without.surrogate_error is None
    timeline.report = SaiReport(1, 1, "sequential", finish_seconds=0.1, surrogate_error=0.1)
    with_report = Chunk.from_timeline(timeline)
    assert with_report.speculation is None and with_report.stages["finish"] == with_report.surrogate_error == 0.1
    assert with_report.copy_error is None and with_report.policy == "sequential"
    assert Chunk.from_timeline(timeline, pace=0.5).stages["finish"] == 0.05, "on the stack's clock"


def test_the_film_has_one_picture_per_frame_of_the_composed_size(recording, tmp_path):
    path = tmp_path / "video.mp4"
    write_video(recording, path, 10.0)
    with imageio.get_reader(path) as film:
        pictures = list(film.iter_data())
    assert len(pictures) == 5 and pictures[0].shape == (BAR + SIDE, 3 * (SIDE + GAP) - GAP, 3)


def test_mode_and_instruction_are_written_above_the_pictures(recording):
    image = compose(recording.frames[0], CAMERAS, recording.episodes[0])
    blank = compose(dataclasses.replace(recording.frames[0], mode=" ", instruction=" "), CAMERAS, None)
    assert image[:BAR].any() and not blank[:BAR].any()


@pytest.mark.parametrize("kept", [12, 3, 0])
def test_the_timeline_is_drawn_from_many_few_and_no_chunks(recording, tmp_path, kept):
    del recording.chunks[kept:]
    draw_timeline(recording, tmp_path / "timeline.png", "demo")
    assert imageio.imread(tmp_path / "timeline.png").std() > 10


def test_ros_log_lines_are_taken_apart():
    line = log_lines.parse("policy", "[WARN] [1790.5] [policy]: chunk 3 is late")
    assert (line.level, line.text, line.matters) == ("WARN", "chunk 3 is late", True)
    assert not log_lines.parse("policy", "[INFO] [1790.5] [policy]: active").matters
    assert not log_lines.parse("policy", "loading weights").matters
    assert log_lines.parse("clwm", "policy ended with code 1").matters


def test_report_compares_seams_with_the_inside_of_chunks(recording):
    assert executor_metrics(recording) == {}
    recording.executor = {"seam_jump": {"p50": 0.03}, "inner_jump": {"p50": 0.02}, "tick_lateness_ms": {}, "chunks": 7}
    told = executor_metrics(recording)
    assert told["seam_ratio"] == pytest.approx(1.5) and "tick_lateness_ms" in told and "chunks" not in told
    recording.executor["inner_jump"] = {"p50": None}
    assert executor_metrics(recording)["seam_ratio"] is None
