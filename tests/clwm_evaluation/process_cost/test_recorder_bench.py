"""The recorder's cost is told with the rate at which pictures really came."""

import pytest

from clwm_common.recordings.reader import Recording
from clwm_evaluation.process_cost import recorder
from clwm_evaluation.process_cost.camera_kinds import KINDS
from clwm_evaluation.process_cost.recorder import RecorderBenchError, page_tables

TOPIC = "/cameras/head/image_raw/compressed"


def recording(path, **topics):
    path.write_bytes(bytes(3_000_000))
    count = {"messages": 100, "lost": 2, "longest_gap_s": 0.1, "bytes": 1}
    found = {name: count | {"rate_hz": rate} for name, rate in topics.items()}
    return Recording(path, {}, 10.0, "", "", 0, 0.0, True, found)


def test_the_share_is_that_of_sixty_pictures_a_second(tmp_path, monkeypatch):
    topics = {TOPIC: 20.0, "/joint_states": 250.0}
    monkeypatch.setattr(recorder, "read_recording", lambda path: recording(path, **topics))
    found = recorder._figures(tmp_path / "a.mcap", [TOPIC], 0.05)
    assert (found["processor_share"], found["share_at_full_rate"], found["lost"]) == (0.05, 0.15, 4)
    assert found["megabytes_per_s"] == 0.3
    assert page_tables({"kinds": {"rgb8": found}})[0].rows == [
        ["rgb8", "5.0%", "15.0%", "20.0", "250", "0.30", "4"],
    ]  # fmt: skip


def test_a_recorder_that_saw_no_picture_is_not_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "read_recording", lambda path: recording(path, **{"/joint_states": 250.0}))
    with pytest.raises(RecorderBenchError, match="no picture reached the recorder"):
        recorder._figures(tmp_path / "a.mcap", [TOPIC], 0.05)


def test_what_is_compared_are_cameras_that_exist():
    assert set(recorder.KINDS) <= {kind.name for kind in KINDS}
