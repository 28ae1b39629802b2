"""Recordings are files that can be read whatever ends their writer."""

import os
import random
import signal
import struct
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import NonSeekingReader, make_reader
from mcap.stream_reader import StreamReader

from clwm_operator.recorder import mcap_file
from clwm_operator.recorder.mcap_file import McapFile

LIVES = 10
WRITER = """
import struct, sys, time
from pathlib import Path
from clwm_operator.recorder.mcap_file import McapFile
file = McapFile(Path(sys.argv[1]), "test")
channel = file.add_channel("/count", "std_msgs/msg/UInt32", "uint32 data", {})
number = 0
while True:
    number += 1
    size = 40_000 if number % 7 == 0 else 40
    file.add(channel, number, number, number, struct.pack("<II", 256, number) + bytes(size))
    if number % 11 == 0:
        file.flush()
        print(number, flush=True)
        time.sleep(0.0005)
"""


def numbers(path):
    """The messages' contents, as both of the library's readers find them."""
    found = []
    for reader in (make_reader, NonSeekingReader):
        with path.open("rb") as file:
            messages = [message for _, _, message in reader(file).iter_messages()]
            assert [message.sequence for message in messages] == [message.log_time for message in messages]
            found.append([message.log_time for message in messages])
    assert found[0] == found[1]
    return found[0]


def by_rosbags(path):
    """The same by another implementation, where it is installed."""
    try:
        from rosbags.rosbag2 import Reader
    except ImportError:
        return None
    with Reader(path) as reader:
        return [time for _, time, _ in reader.messages()]


@pytest.fixture
def file(tmp_path):
    return McapFile(tmp_path / "a.mcap", "test")


def add(file, count, size=40):
    channel = file.add_channel("/count", "std_msgs/msg/UInt32", "uint32 data", {"a": "b"})
    for number in range(1, count + 1):
        file.add(channel, number, number, number, struct.pack("<II", 256, number) + bytes(size))


def test_what_was_flushed_can_be_read_while_the_file_grows(file):
    assert numbers(file.path) == []
    add(file, 5)
    assert numbers(file.path) == []
    file.flush()
    assert numbers(file.path) == [1, 2, 3, 4, 5] and by_rosbags(file.path) in (None, [1, 2, 3, 4, 5])


def test_a_closed_file_has_an_index_and_sums_that_hold(file):
    file.add_metadata("facts", {"robot": "two arms"})
    file.add_attachment("robot.yaml", "application/yaml", b"name: x\n", 5)
    add(file, 300, size=20_000)
    file.close()
    file.close()
    with file.path.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        summary = reader.get_summary()
        assert summary.statistics.message_count == 300 and len(summary.chunk_indexes) > 3
        assert [message.log_time for _, _, message in reader.iter_messages(start_time=100, end_time=103)] == [
            100, 101, 102,
        ]  # fmt: skip
        assert [it.metadata for it in reader.iter_metadata()] == [{"robot": "two arms"}]
        assert [it.data for it in reader.iter_attachments()] == [b"name: x\n"]
    with file.path.open("rb") as stream:
        list(StreamReader(stream, validate_crcs=True).records)
    assert by_rosbags(file.path) in (None, list(range(1, 301)))


def test_a_file_that_is_there_is_not_written_over(file):
    with pytest.raises(FileExistsError):
        McapFile(file.path, "test")


def test_a_message_larger_than_the_reserve_is_kept_and_readable_before_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(mcap_file, "_RESERVE", 1 << 12)
    file = McapFile(tmp_path / "a.mcap", "test")
    add(file, 3, size=1 << 14)
    file.flush()
    assert numbers(file.path) == [1, 2, 3]
    file.close()
    assert numbers(file.path) == [1, 2, 3]


class _Killed(BaseException):
    pass


@given(last=st.integers(0, 60), share=st.floats(0.0, 1.0), flush=st.integers(1, 9))
@settings(deadline=None, max_examples=60)
def test_whichever_write_is_the_last_the_flushed_messages_are_there(tmp_path_factory, last, share, flush):
    """Cut within a write, too, except the few bytes that make a chunk exist, which the system writes whole."""
    path = tmp_path_factory.mktemp("killed") / "a.mcap"
    written, flushed, was_made = 0, 0, False

    def pwrite(descriptor, data, at):
        nonlocal written
        written += 1
        if written > last:
            if len(data) > 100:
                os.pwrite(descriptor, bytes(data)[: int(share * len(data))], at)
            raise _Killed
        return os.pwrite(descriptor, data, at)

    class Disk:
        def __getattr__(self, name):
            return pwrite if name == "pwrite" else getattr(os, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mcap_file, "os", Disk())
        patch.setattr(mcap_file, "_RESERVE", 1 << 12)
        try:
            file = McapFile(path, "test")
            was_made = True
            file.add_metadata("facts", {"a": "b"})
            channel = file.add_channel("/count", "std_msgs/msg/UInt32", "uint32 data", {})
            for number in range(1, 40):
                size = mcap_file._RESERVE if number == 20 else 500
                file.add(channel, number, number, number, struct.pack("<II", 256, number) + bytes(size))
                if number % flush == 0 or number == 20:
                    file.flush()
                    flushed = number
            file.close()
        except _Killed:
            pass
    if was_made:
        found = numbers(path)
        assert found == list(range(1, len(found) + 1)) and len(found) >= flushed


def test_a_writer_killed_at_ten_instants_leaves_all_that_it_had_flushed(tmp_path):
    draw = random.Random(0)
    lives = []
    for index in range(LIVES):
        path = tmp_path / f"{index}.mcap"
        lives.append(
            (path, subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True))
        )
    for path, process in lives:
        # From its first sign of life on, so that a busy machine kills no writer before it has begun.
        told = [process.stdout.readline()]
        told += [process.stdout.readline() for _ in range(draw.randrange(60))]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()
        process.wait()
        flushed = max(int(line) for line in told if line.endswith("\n"))
        found = numbers(path)
        assert found == list(range(1, len(found) + 1)) and len(found) >= flushed > 0
        assert by_rosbags(path) in (None, found)
