"""An MCAP file that can be read at every instant of its making, whatever ends its writer.

    header, attachments | chunks so far | reserve | end

The reserve is one record of a private kind, which readers skip, and a hole on the disk. New chunks are written into it;
they begin to exist when the nine bytes before them, the reserve's head, are overwritten with the chunk's. So the file
has its end at all times, and a killed writer loses what it had not yet flushed. `close` puts the index in the reserve's
place.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Attachment,
    AttachmentIndex,
    Channel,
    Chunk,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    MessageIndex,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)
from mcap.writer import MCAP0_MAGIC

PROFILE, SCHEMA_ENCODING, MESSAGE_ENCODING = "ros2", "ros2msg", "cdr"
CHUNK_BYTES = 1 << 20  # after which a chunk is written without waiting for `flush`
_RESERVE = 1 << 23  # bytes
_RESERVED = 0x80  # the first opcode that is nobody's
_HEAD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<BQHIQQ")
_MESSAGE_FIELDS = _MESSAGE.size - _HEAD.size


@dataclass
class _OpenChunk:
    """Messages that are not on the disk yet."""

    records: bytearray = field(default_factory=bytearray)
    places: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    first: int = 0
    last: int = 0


class McapFile:
    """Messages in the order in which they come. Raises OSError as a file does; what was flushed before stays readable.

    Times are ns. Times of messages must not fall; readers without an index rely on it.
    """

    def __init__(self, path: Path, library: str) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        self._chunk = _OpenChunk()
        self._schemas: list[Schema] = []
        self._channels: list[Channel] = []
        self._chunks: list[ChunkIndex] = []
        self._attachments: list[AttachmentIndex] = []
        self._metadata: list[MetadataIndex] = []
        self._counts: dict[int, int] = {}
        self._first = self._last = 0
        start = MCAP0_MAGIC + _bytes(Header(PROFILE, library))
        self._at = len(start)
        self._reserve = _RESERVE
        _write(self._file, 0, start + _HEAD.pack(_RESERVED, self._reserve))
        _write(self._file, self._at + _HEAD.size + self._reserve, _end())

    @property
    def size(self) -> int:
        """Bytes on the disk and those that are still to come there."""
        return self._at + len(self._chunk.records)

    @property
    def messages(self) -> int:
        """So far."""
        return sum(self._counts.values())

    def add_channel(self, topic: str, kind: str, definition: str, metadata: Mapping[str, str]) -> int:
        """A topic with messages of a kind, such as `sensor_msgs/msg/JointState`; returns its number for `add`."""
        schema = next((it for it in self._schemas if it.name == kind), None)
        if schema is None:
            schema = Schema(id=len(self._schemas) + 1, data=definition.encode(), encoding=SCHEMA_ENCODING, name=kind)
            self._schemas.append(schema)
            self._chunk.records += _bytes(schema)
        channel = Channel(
            id=len(self._channels) + 1,
            topic=topic,
            message_encoding=MESSAGE_ENCODING,
            metadata=dict(metadata),
            schema_id=schema.id,
        )
        self._channels.append(channel)
        self._chunk.records += _bytes(channel)
        return channel.id

    def add(self, channel: int, log_time: int, publish_time: int, sequence: int, data: bytes) -> None:
        """A message, serialised. log_time: when it came; publish_time: when it was sent."""
        chunk = self._chunk
        if not chunk.places:
            chunk.first = log_time
        chunk.last = log_time
        chunk.places.setdefault(channel, []).append((log_time, len(chunk.records)))
        chunk.records += _MESSAGE.pack(
            Opcode.MESSAGE, _MESSAGE_FIELDS + len(data), channel, sequence, log_time, publish_time
        )
        chunk.records += data
        self._counts[channel] = self._counts.get(channel, 0) + 1
        self._first = self._first or log_time
        self._last = log_time
        if len(chunk.records) >= CHUNK_BYTES:
            self.flush()

    def add_metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Facts as names and texts."""
        record = _bytes(Metadata(name=name, metadata=dict(values)))
        self._metadata.append(MetadataIndex(offset=self._at, length=len(record), name=name))
        self._append(record)

    def add_attachment(self, name: str, media_type: str, data: bytes, time: int) -> None:
        """A file in the file."""
        builder = RecordBuilder()
        Attachment(create_time=time, log_time=time, name=name, media_type=media_type, data=data).write(builder)
        record = builder.end()
        index = AttachmentIndex(
            offset=self._at,
            length=len(record),
            log_time=time,
            create_time=time,
            data_size=len(data),
            name=name,
            media_type=media_type,
        )
        self._attachments.append(index)
        self._append(record)

    def flush(self) -> None:
        """Put on the disk what came since: from here on it survives the writer."""
        chunk = self._chunk
        if not chunk.places:
            return
        records = bytes(chunk.records)
        written = _bytes(
            Chunk(
                compression="",
                data=records,
                message_start_time=chunk.first,
                message_end_time=chunk.last,
                uncompressed_crc=zlib.crc32(records),
                uncompressed_size=len(records),
            )
        )
        index = ChunkIndex(
            chunk_length=len(written),
            chunk_start_offset=self._at,
            compression="",
            compressed_size=len(records),
            message_end_time=chunk.last,
            message_index_length=0,
            message_index_offsets={},
            message_start_time=chunk.first,
            uncompressed_size=len(records),
        )
        parts, at = [written], self._at + len(written)
        for channel, places in chunk.places.items():
            index.message_index_offsets[channel] = at
            parts.append(_bytes(MessageIndex(channel_id=channel, records=places)))
            at += len(parts[-1])
        index.message_index_length = at - self._at - len(written)
        self._append(b"".join(parts))
        self._chunks.append(index)
        self._chunk = _OpenChunk()

    def close(self) -> None:
        """Flush, and write the index, with which readers find their way at once. Safe to call twice."""
        if self._file < 0:
            return
        try:
            self.flush()
            data_end = _bytes(DataEnd(0))
            tail = data_end + self._summary(self._at + len(data_end))
            # Seen only once the file ends with it.
            self._append(tail, is_end=True)
        finally:
            os.close(self._file)
            self._file = -1

    def _append(self, records: bytes, *, is_end: bool = False) -> None:
        """Whole records take the place of as much of the reserve."""
        if len(records) + _HEAD.size > self._reserve:
            self._widen(len(records))
        left = self._reserve - len(records)
        after = b"" if is_end else _HEAD.pack(_RESERVED, left)
        _write(self._file, self._at + _HEAD.size, records[_HEAD.size :] + after)
        _write(self._file, self._at, records[: _HEAD.size])
        self._at += len(records)
        self._reserve = left
        if is_end:
            os.ftruncate(self._file, self._at)

    def _widen(self, needed: int) -> None:
        size = self._reserve + needed + _RESERVE
        _write(self._file, self._at + _HEAD.size + size, _end())
        _write(self._file, self._at, _HEAD.pack(_RESERVED, size))
        self._reserve = size

    def _summary(self, start: int) -> bytes:
        statistics = Statistics(
            attachment_count=len(self._attachments),
            channel_count=len(self._channels),
            channel_message_counts=self._counts,
            chunk_count=len(self._chunks),
            message_count=self.messages,
            message_end_time=self._last,
            message_start_time=self._first,
            metadata_count=len(self._metadata),
            schema_count=len(self._schemas),
        )
        groups = {
            Opcode.SCHEMA: self._schemas,
            Opcode.CHANNEL: self._channels,
            Opcode.STATISTICS: [statistics],
            Opcode.CHUNK_INDEX: self._chunks,
            Opcode.ATTACHMENT_INDEX: self._attachments,
            Opcode.METADATA_INDEX: self._metadata,
        }
        summary, offsets = b"", b""
        for opcode, records in groups.items():
            group = b"".join(_bytes(record) for record in records)
            if group:
                offset = SummaryOffset(group_opcode=opcode, group_start=start + len(summary), group_length=len(group))
                offsets += _bytes(offset)
            summary += group
        offset_start = start + len(summary)
        summary += offsets
        footer = struct.pack("<BQQQ", Opcode.FOOTER, 20, start, offset_start)
        checksum = zlib.crc32(footer, zlib.crc32(summary))
        return (
            summary
            + _bytes(Footer(summary_start=start, summary_offset_start=offset_start, summary_crc=checksum))
            + MCAP0_MAGIC
        )


def _bytes(record) -> bytes:
    builder = RecordBuilder()
    record.write(builder)
    return builder.end()


def _end() -> bytes:
    """Of a file that has no index yet."""
    return _bytes(DataEnd(0)) + _bytes(Footer(summary_start=0, summary_offset_start=0, summary_crc=0)) + MCAP0_MAGIC


def _write(file: int, at: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(file, view, at)
        view, at = view[done:], at + done
