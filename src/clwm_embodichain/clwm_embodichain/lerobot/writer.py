"""Writes a data set episode by episode, in bounded memory; a folder appears under its name when it is complete."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from clwm_embodichain.lerobot import statistics
from clwm_embodichain.lerobot.layout import (
    CHUNK_FILES,
    DATA_MB,
    DATA_PATH,
    EPISODES_PATH,
    INDEX_FEATURES,
    STATISTICS,
    TASKS,
    VERSION,
    VIDEO_MB,
    VIDEO_PATH,
    DataSetError,
    Feature,
    Info,
    frame_schema,
)
from clwm_embodichain.lerobot.video import VideoWriter

_PANDAS = {
    "index_columns": ["__index_level_0__"],
    "column_indexes": [
        {
            "name": None,
            "field_name": None,
            "pandas_type": "unicode",
            "numpy_type": "str",
            "metadata": {"encoding": "UTF-8"},
        }
    ],
    "columns": [
        {
            "name": "task_index",
            "field_name": "task_index",
            "pandas_type": "int64",
            "numpy_type": "int64",
            "metadata": None,
        },
        {
            "name": None,
            "field_name": "__index_level_0__",
            "pandas_type": "object",
            "numpy_type": "str",
            "metadata": None,
        },
    ],
    "attributes": {},
    "pandas_version": "2.2.0",
}


_ROWS_AT_ONCE = 50  # episodes


@dataclass(frozen=True)
class Pictures:
    """Of one camera in one episode: RGB (n, height, width, 3), each shown in `repeats` frames one after the other."""

    pictures: NDArray[np.uint8]
    repeats: int = 1


@dataclass
class _Place:
    """Which file is being written: its chunk, and its number in the chunk."""

    chunk: int = 0
    file: int = 0

    def next(self) -> None:
        self.chunk, self.file = (self.chunk, self.file + 1) if self.file + 1 < CHUNK_FILES else (self.chunk + 1, 0)

    def path(self, pattern: str, key: str = "") -> str:
        return pattern.format(chunk_index=self.chunk, file_index=self.file, video_key=key)


@dataclass
class _Video:
    place: _Place = field(default_factory=_Place)
    writer: VideoWriter | None = None


class DataSetWriter(AbstractContextManager):
    """Leaving the context finishes the data set, or removes what was written when it is left by an exception."""

    def __init__(
        self,
        folder: Path,
        features: Mapping[str, Feature],
        fps: int,
        robot_type: str,
        *,
        data_mb: float = DATA_MB,
        video_mb: float = VIDEO_MB,
        replace: bool = False,
    ) -> None:
        """features: without those that every data set has. replace: a data set that is there already.

        Raises DataSetError when `folder` exists, and is no data set or must not be replaced.
        """
        if folder.exists() and not (replace and Info.load(folder)):
            raise DataSetError(f"{folder} exists already; name another folder, or give --force to replace it")
        self._target, self._folder = folder, folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._features = {**features, **INDEX_FEATURES}
        self._fps, self._robot = fps, robot_type
        self._data_mb, self._video_mb = data_mb, video_mb
        self._schema = frame_schema(self._features)
        self._place, self._data = _Place(), None
        self._videos = {name: _Video() for name, feature in self._features.items() if feature.is_pictures}
        self._tasks: dict[str, int] = {}
        self._episodes, self._unwritten, self._rows = 0, [], None
        self._frames = 0
        self._statistics = statistics.Accumulated()

    @property
    def frames(self) -> int:
        """Written so far."""
        return self._frames

    def add(
        self,
        columns: Mapping[str, NDArray],
        pictures: Mapping[str, Pictures],
        tasks: list[str],
        task: NDArray[np.int64],
    ) -> None:
        """One episode of T frames. columns: by feature, each (T, n) or (T,); pictures: of every camera; tasks: its
        sentences; task: which of them is in force (T,). Raises DataSetError for other features or lengths.
        """
        length = len(task)
        self._check(columns, pictures, length)
        number, first = self._episodes, self._frames
        numbers = [self._tasks.setdefault(sentence, len(self._tasks)) for sentence in tasks]
        index = np.arange(length)
        columns = dict(columns) | {
            "timestamp": (index / self._fps).astype(np.float32),
            "frame_index": index,
            "episode_index": np.full(length, number),
            "index": index + first,
            "task_index": np.array(numbers)[task],
        }
        row = {"episode_index": number, "tasks": tasks, "length": length}
        row |= self._add_frames(columns) | {"dataset_from_index": first, "dataset_to_index": first + length}
        for name, shown in pictures.items():
            row |= self._add_pictures(name, shown, length)
        found = {
            name: statistics.of_numbers(np.asarray(columns[name]).reshape(length, -1))
            for name in self._schema.names
            if self._features[name].dtype != "string"
        }
        found |= {name: statistics.of_pictures(shown.pictures, length) for name, shown in pictures.items()}
        self._statistics.add(found)
        for name, values in found.items():
            row |= {f"stats/{name}/{key}": value for key, value in statistics.as_lists(values).items()}
        self._unwritten.append(row | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0})
        self._episodes += 1
        self._frames += length
        if len(self._unwritten) == _ROWS_AT_ONCE:
            self._write_rows()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._unwritten:
            self._write_rows()
        for file in (self._data, self._rows):
            if file is not None:
                file.close()
        for video in self._videos.values():
            if video.writer is not None:
                video.writer.close()
        if kind is None and self._episodes:
            self._finish()
            if self._target.exists():
                shutil.rmtree(self._target)
            self._folder.replace(self._target)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _check(self, columns: Mapping[str, NDArray], pictures: Mapping[str, Pictures], length: int) -> None:
        given, expected = {*columns, *pictures}, set(self._features) - set(INDEX_FEATURES)
        if given != expected:
            wrong = ", ".join(sorted(given ^ expected))
            raise DataSetError(f"an episode must have the features of its data set; it differs in {wrong}")
        for name, values in columns.items():
            if len(values) != length:
                raise DataSetError(
                    f"feature '{name}' has {len(values)} values; expected one for each of {length} frames"
                )
        for name, shown in pictures.items():
            if -(-length // shown.repeats) != len(shown.pictures) or shown.pictures.shape[1:] != tuple(
                self._features[name].shape
            ):
                raise DataSetError(
                    f"feature '{name}' has pictures {shown.pictures.shape} shown {shown.repeats} times each; expected "
                    f"{self._features[name].shape} for {length} frames"
                )

    def _add_frames(self, columns: Mapping[str, NDArray]) -> dict[str, Any]:
        if self._data is not None and self._written(self._place.path(DATA_PATH)) > self._data_mb * 1e6:
            self._data.close()
            self._data = None
            self._place.next()
        path = self._folder / self._place.path(DATA_PATH)
        if self._data is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._data = pq.ParquetWriter(path, self._schema, compression="snappy")
        arrays = [_as_arrow(np.asarray(columns[column.name]), column.type) for column in self._schema]
        self._data.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        return {"data/chunk_index": self._place.chunk, "data/file_index": self._place.file}

    def _written(self, name: str) -> int:
        return (self._folder / name).stat().st_size

    def _add_pictures(self, name: str, shown: Pictures, length: int) -> dict[str, Any]:
        video = self._videos[name]
        if video.writer is not None and video.writer.size > self._video_mb * 1e6:
            video.writer.close()
            video.writer = None
            video.place.next()
        if video.writer is None:
            height, width, _ = self._features[name].shape
            path = self._folder / video.place.path(VIDEO_PATH, name)
            video.writer = VideoWriter(path, self._fps, height, width, max(2, shown.repeats))
        start = video.writer.seconds
        video.writer.add(shown.pictures, shown.repeats, length)
        return {
            f"videos/{name}/chunk_index": video.place.chunk,
            f"videos/{name}/file_index": video.place.file,
            f"videos/{name}/from_timestamp": start,
            f"videos/{name}/to_timestamp": video.writer.seconds,
        }

    def _write_rows(self) -> None:
        """What is known of the last episodes, which would fill the memory with their statistics."""
        table = pa.Table.from_pylist(self._unwritten, self._rows.schema if self._rows else None)
        if self._rows is None:
            path = self._folder / _Place().path(EPISODES_PATH)
            path.parent.mkdir(parents=True)
            self._rows = pq.ParquetWriter(path, table.schema, compression="snappy")
        self._rows.write_table(table)
        self._unwritten = []

    def _finish(self) -> None:
        tasks = pa.table(
            {
                "task_index": pa.array(self._tasks.values(), pa.int64()),
                "__index_level_0__": pa.array(self._tasks, pa.large_string()),
            }
        )
        pq.write_table(tasks.replace_schema_metadata({"pandas": json.dumps(_PANDAS)}), self._folder / TASKS)
        (self._folder / STATISTICS).write_text(json.dumps(self._statistics.result(), indent=4))
        Info(
            codebase_version=VERSION,
            robot_type=self._robot,
            total_episodes=self._episodes,
            total_frames=self._frames,
            total_tasks=len(self._tasks),
            fps=self._fps,
            splits={"train": f"0:{self._episodes}"},
            features=self._features,
        ).save(self._folder)


def _as_arrow(values: NDArray, kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):
        flat = pa.array(np.ascontiguousarray(values, kind.value_type.to_pandas_dtype()).ravel())
        return pa.FixedSizeListArray.from_arrays(flat, type=kind)
    return pa.array(values.reshape(-1), kind)
