"""What is in a recording, and what happens when there is no room for it."""

import errno
import json
import os

import pytest
import yaml
from mcap.reader import make_reader

from clwm_common.messages import Mode
from clwm_common.recordings.corrections import Correction, CorrectionLabel
from clwm_common.recordings.labels import Labels
from clwm_common.recordings.names import FACTS, SUMMARY
from clwm_common.recordings.reader import RecordingError
from clwm_operator.recorder import mcap_file
from clwm_operator.recorder.bag_facts import offered_qos
from clwm_operator.recorder.counts import TopicCount
from clwm_operator.recorder.episode_recorder import Attached, EpisodeRecorder, RecorderError
from clwm_operator.recorder.messages import Message, Topic
from clwm_operator.recorder.span import LINGER, TaskHeard, VerdictHeard

SECOND = 1_000_000_000
NOW = 1_796_032_245 * SECOND
TASK = TaskHeard(3, "Lift the tray!", "lift")
QOS = offered_qos(is_reliable=True, is_latched=False, depth=5)


def topic(name, **kind):
    return Topic(name, "std_msgs/msg/UInt32", "uint32 data", QOS, **kind)


TOPICS = {it.name: it for it in (topic("/joints"), topic("/mode", is_latched=True), topic("/pictures", is_heavy=True))}


@pytest.fixture
def disk():
    return {"free": 10_000}


@pytest.fixture
def recorder(tmp_path, disk):
    robot = Attached("robot.yaml", "application/yaml", b"name: x\n")
    return EpisodeRecorder(
        tmp_path / "out", TOPICS, {"robot": "x"}, (robot,), keep_free=1000, free_bytes=lambda: disk["free"]
    )


def message(name, at, number=None):
    return Message(name, at, at - 1000, number, b"\0\1\0\0" + bytes(4))


def content(path):
    with path.open("rb") as file:
        reader = make_reader(file)
        found = [(channel.topic, it.log_time - NOW, it.publish_time - NOW) for _, channel, it in reader.iter_messages()]
        return found, {it.name: it.metadata for it in reader.iter_metadata()}


def test_a_recording_has_what_was_latched_and_the_last_second_before_the_task(recorder):
    recorder.take(message("/mode", NOW - 50 * SECOND))
    for at in (-3.0, -0.9, -0.5):
        recorder.take(message("/joints", NOW + round(at * SECOND)))
    recorder.take(message("/pictures", NOW - SECOND // 4))
    recorder.hear(NOW, TASK)
    recorder.take(message("/pictures", NOW + SECOND))
    recorder.stop(NOW + SECOND)
    (recording,) = recorder.done
    found, metadata = content(recording.file.path)
    assert [(name, at / SECOND) for name, at, _ in found] == [
        ("/mode", -0.9), ("/joints", -0.9), ("/joints", -0.5), ("/pictures", 1.0),
    ]  # fmt: skip
    assert found[0][2] == -50 * SECOND - 1000
    assert recording.file.path.name == "20261130-095045-lift-the-tray.mcap"
    assert metadata[FACTS]["instruction"] == "Lift the tray!" and metadata[FACTS]["robot"] == "x"


def test_times_never_fall_in_a_recording(recorder):
    recorder.hear(NOW, TASK)
    for at in (1.0, 0.4, 1.2, 1.1):
        recorder.take(message("/joints", NOW + round(at * SECOND)))
    recorder.stop(NOW + 2 * SECOND)
    times = [at for _, at, _ in content(recorder.done[0].file.path)[0]]
    assert times == sorted(times)


def test_the_summary_tells_verdict_interventions_rates_gaps_and_losses(recorder):
    recorder.hear(NOW, TASK)
    for index, number in enumerate([7, 8, 12, 13]):
        recorder.take(message("/joints", NOW + index * SECOND // 10, number))
    recorder.hear_mode(NOW + SECOND, Mode.TELEOP)
    recorder.hear_mode(NOW + 3 * SECOND, Mode.HOLD)
    recorder.hear(NOW + 4 * SECOND, VerdictHeard(3, True, "sim"))
    recorder.hear_mode(NOW + 5 * SECOND, Mode.TELEOP)
    recorder.take(message("/joints", NOW + 5 * SECOND, 14))
    recorder.tick(NOW + round((4.0 + LINGER) * SECOND))
    _, metadata = content(recorder.done[0].file.path)
    summary = metadata[SUMMARY]
    assert (summary["verdict"], summary["judge"], summary["interventions"]) == ("success", "sim", "2")
    assert float(summary["human_seconds"]) == 3.0
    counts = json.loads(summary["topics"])["/joints"]
    assert (counts["messages"], counts["lost"], counts["longest_gap_s"]) == (5, 3, 4.7)


DISCARDED, RECOVERY = CorrectionLabel.DISCARDED, CorrectionLabel.RECOVERY


def corrected(recorder, begin, end=None):
    """A human moves the arms from `begin` to `end` s."""
    recorder.hear_mode(NOW + begin * SECOND, Mode.TELEOP)
    if end is not None:
        recorder.hear_mode(NOW + end * SECOND, Mode.HOLD)
        recorder.hear_mode(NOW + end * SECOND + SECOND // 2, Mode.POLICY)


def labels_of(recording):
    return Labels.of(recording.file.path).corrections


def test_a_label_goes_to_the_last_correction_alone_and_can_be_changed_and_taken_back(recorder):
    recorder.hear(NOW, TASK)
    corrected(recorder, 1, 2)
    corrected(recorder, 3, 5)
    assert recorder.label_correction(DISCARDED) == "the last correction, of 2.5 s: discarded, nobody will learn from it"
    begin, end = NOW + 3 * SECOND, NOW + 11 * SECOND // 2
    assert labels_of(recorder.current) == (Correction(begin, end, DISCARDED),)
    recorder.label_correction(RECOVERY)
    assert labels_of(recorder.current) == (Correction(begin, end, RECOVERY),)
    recorder.label_correction(CorrectionLabel.NONE)
    assert labels_of(recorder.current) == ()


def test_a_correction_that_goes_on_is_labelled_to_its_end(recorder):
    recorder.hear(NOW, TASK)
    corrected(recorder, 1)
    assert "which goes on" in recorder.label_correction(DISCARDED)
    assert labels_of(recorder.current) == (Correction(NOW + SECOND, None, DISCARDED),)
    recorder.hear_mode(NOW + 4 * SECOND, Mode.POLICY)
    assert labels_of(recorder.current) == (Correction(NOW + SECOND, NOW + 4 * SECOND, DISCARDED),)


def test_a_recording_that_has_ended_is_labelled_and_one_that_began_later_is_not(recorder):
    recorder.hear(NOW, TASK)
    corrected(recorder, 1, 2)
    recorder.take(message("/joints", NOW + 3 * SECOND))
    recorder.hear(NOW + 4 * SECOND, TaskHeard(4, "next", ""))
    recorder.label_correction(RECOVERY)
    assert [it.label for it in labels_of(recorder.done[0])] == [RECOVERY] and labels_of(recorder.current) == ()


def test_a_correction_over_two_tasks_is_labelled_in_both_recordings(recorder):
    recorder.hear(NOW, TASK)
    corrected(recorder, 1)
    recorder.take(message("/joints", NOW + 3 * SECOND))
    recorder.hear(NOW + 4 * SECOND, TaskHeard(4, "next", ""))
    recorder.hear_mode(NOW + 5 * SECOND, Mode.POLICY)
    recorder.label_correction(DISCARDED)
    assert labels_of(recorder.done[0]) == labels_of(recorder.current) != ()


def test_what_cannot_be_labelled_is_refused_with_its_reason(recorder):
    with pytest.raises(RecordingError, match="no human has moved the arms since the recorder began"):
        recorder.label_correction(DISCARDED)
    corrected(recorder, 1, 2)
    with pytest.raises(RecordingError, match="the last correction was not recorded"):
        recorder.label_correction(DISCARDED)
    recorder.hear(NOW + 3 * SECOND, TASK)
    with pytest.raises(RecordingError, match="the last correction was not recorded"):
        recorder.label_correction(DISCARDED)


def test_the_facts_of_the_bag_are_those_that_rosbag2_writes(recorder):
    recorder.hear(NOW, TASK)
    recorder.take(message("/joints", NOW))
    recorder.take(message("/joints", NOW + SECOND))
    recorder.stop(NOW + SECOND)
    path = recorder.done[0].file.path
    _, metadata = content(path)
    bag = yaml.safe_load(metadata["rosbag2"]["serialized_metadata"])["rosbag2_bagfile_information"]
    assert bag["relative_file_paths"] == [path.name] and bag["message_count"] == 2
    assert bag["duration"]["nanoseconds"] == SECOND and bag["storage_identifier"] == "mcap"
    assert bag["topics_with_message_count"][0]["topic_metadata"]["offered_qos_profiles"][0]["depth"] == 5
    with path.open("rb") as file:
        assert make_reader(file).get_header().profile == "ros2"


def test_a_task_that_was_judged_before_leaves_no_file(recorder, tmp_path):
    recorder.hear(NOW, TASK)
    recorder.hear(NOW, VerdictHeard(3, False, "sim"))
    recorder.tick(NOW + 5 * SECOND)
    assert recorder.done == [] and list((tmp_path / "out").iterdir()) == []


def test_before_the_disk_is_full_the_recording_is_closed_and_the_reason_named(recorder, disk):
    recorder.hear(NOW, TASK)
    recorder.take(message("/joints", NOW))
    disk["free"] = 999
    with pytest.raises(RecorderError, match=r"only 0.00 GB are free .*make room, name another --out"):
        recorder.tick(NOW + SECOND)
    (recording,) = recorder.done
    found, metadata = content(recording.file.path)
    assert len(found) == 1 and metadata[SUMMARY]["ended"] == "the recorder gave up"


def test_a_full_disk_refuses_a_recorder_at_once(tmp_path):
    with pytest.raises(RecorderError, match="are free"):
        EpisodeRecorder(tmp_path, TOPICS, {}, (), keep_free=2, free_bytes=lambda: 1)


def test_a_disk_that_is_full_all_the_same_leaves_a_readable_recording(recorder, monkeypatch):
    recorder.hear(NOW, TASK)
    recorder.take(message("/joints", NOW))
    recorder.tick(NOW + SECOND)
    recorder.take(message("/joints", NOW + SECOND))

    class FullDisk:
        def __getattr__(self, name):
            return getattr(os, name)

        def pwrite(self, *_):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(mcap_file, "os", FullDisk())
    with pytest.raises(RecorderError, match="the disk is full.*readable all the same"):
        recorder.tick(NOW + 2 * SECOND)
    assert len(content(recorder.done[0].file.path)[0]) == 1


def test_two_recordings_of_one_second_have_two_names(recorder):
    recorder.hear(NOW, TASK)
    recorder.hear(NOW, TaskHeard(4, TASK.instruction, ""))
    recorder.stop(NOW)
    assert [it.file.path.name for it in recorder.done] == [
        "20261130-095045-lift-the-tray.mcap",
        "20261130-095045-lift-the-tray-2.mcap",
    ]


def test_a_sender_that_was_started_again_counts_as_no_loss():
    count = TopicCount()
    for number in (100, 101, 1, 2, 50_000):
        count.add(number, number, 1)
    assert count.lost == 0
