"""Reads a data set, of whatever writer: one episode at a time, and before that what is wrong with which of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from clwm_embodichain.lerobot.layout import TASKS, DataSetError, Info
from clwm_embodichain.lerobot.video import read_pictures

_NEEDED = ("episode_index", "length", "data/chunk_index", "data/file_index")


@dataclass(frozen=True)
class Frames:
    """One episode of T frames. columns: by feature, (T, n) or (T,); tasks: its sentences; task: which holds."""

    index: int
    columns: dict[str, NDArray]
    tasks: tuple[str, ...]
    task: NDArray[np.int64]  # (T,)

    def __len__(self) -> int:
        return len(self.task)


class DataSet:
    """info: what it says of itself; episodes: their numbers; broken: why others cannot be read, by number; notes: what
    is unusual, and harmless.
    """

    def __init__(self, folder: Path) -> None:
        """Raises DataSetError for a folder that is no data set of version 3.0, or of which nothing can be read."""
        self.folder, self.info = folder, Info.load(folder)
        self._tasks = _read_tasks(folder / TASKS)
        self._rows = {row["episode_index"]: row for row in self._read_rows()}
        self._files: tuple[Path, pa.Table] | None = None
        self.broken = {index: why for index, row in self._rows.items() if (why := self._fault(row))}
        self.episodes = tuple(sorted(set(self._rows) - set(self.broken)))
        self.notes = tuple(self._notes())
        if not self.episodes:
            raise DataSetError(f"{folder} has no episode that can be read: {next(iter(self.broken.values()), 'none')}")

    def frames(self, index: int) -> Frames:
        """Of one episode. Raises DataSetError."""
        row = self._rows[index]
        table = self._of_episode(row)
        columns = {name: _as_array(table[name]) for name in table.column_names}
        numbers, task = np.unique(columns["task_index"], return_inverse=True)
        return Frames(index, columns, tuple(self._sentence(number, row) for number in numbers.tolist()), task)

    def pictures(self, index: int, camera: str, times: NDArray[np.float64]) -> Iterator[NDArray[np.uint8]]:
        """RGB pictures (height, width, 3) of an episode at times s from its beginning, rising. Raises DataSetError."""
        row = self._rows[index]
        start = float(row[f"videos/{camera}/from_timestamp"])
        return read_pictures(self._video(row, camera), start, np.asarray(times, np.float64), self.info.fps)

    def _video(self, row: dict[str, Any], camera: str) -> Path:
        place = {name: row[f"videos/{camera}/{name}"] for name in ("chunk_index", "file_index")}
        return self.folder / str(self.info.video_path).format(video_key=camera, **place)

    def _data(self, row: dict[str, Any]) -> Path:
        place = {name: row[f"data/{name}"] for name in ("chunk_index", "file_index")}
        return self.folder / self.info.data_path.format(**place)

    def _read_rows(self) -> list[dict[str, Any]]:
        files = sorted((self.folder / "meta/episodes").glob("chunk-*/file-*.parquet"))
        if not files:
            raise DataSetError(f"{self.folder}/meta/episodes has no Parquet file: the data set was not finished")
        rows = []
        for path in files:
            table = _read_table(path)
            if missing := [name for name in _NEEDED if name not in table.column_names]:
                raise DataSetError(f"{path} lacks {', '.join(missing)}; it is no list of episodes of format 3.0")
            kept = [name for name in table.column_names if not name.startswith("stats/")]
            rows += table.select(kept).to_pylist()
        return rows

    def _fault(self, row: dict[str, Any]) -> str:
        """Why an episode cannot be read whole; nothing when it can."""
        try:
            found = len(self._of_episode(row))
        except DataSetError as error:
            return str(error)
        if found != row["length"]:
            return f"{self._data(row)} has {found} of its {row['length']} frames: it was cut short"
        for camera in self.info.cameras:
            if self.info.features[camera].dtype != "video":
                return f"the pictures of '{camera}' are not in videos, which is not supported"
            if f"videos/{camera}/from_timestamp" not in row:
                return f"nothing says where its pictures of '{camera}' are"
            if not self._video(row, camera).is_file():
                return f"{self._video(row, camera)} does not exist, and its pictures of '{camera}' are in it"
        return ""

    def _notes(self) -> Iterator[str]:
        numbers = sorted(self._rows)
        if numbers != list(range(len(numbers))):
            missing = sorted(set(range(numbers[-1] + 1)) - set(numbers))
            yield f"episodes {', '.join(map(str, missing[:8]))} do not exist: the others are numbered anew"
        if self.info.total_episodes != len(numbers):
            yield f"{self.folder}/meta/info.json counts {self.info.total_episodes} episodes, there are {len(numbers)}"

    def _of_episode(self, row: dict[str, Any]) -> pa.Table:
        path = self._data(row)
        if self._files is None or self._files[0] != path:
            if not path.is_file():
                raise DataSetError(f"{path} does not exist, and its frames are in it")
            self._files = path, _read_table(path)
        table = self._files[1]
        return table.filter(pc.equal(table["episode_index"], row["episode_index"]))

    def _sentence(self, number: int, row: dict[str, Any]) -> str:
        if number not in self._tasks:
            raise DataSetError(f"episode {row['episode_index']} has task {number}, which {self.folder / TASKS} lacks")
        return self._tasks[number]


def _read_table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        if "magic bytes" in reason or "footer" in reason.lower():
            reason = "it has no footer: its writer was not finished"
        raise DataSetError(f"{path} cannot be read: {reason}") from None


def _read_tasks(path: Path) -> dict[int, str]:
    if not path.is_file():
        raise DataSetError(f"{path} does not exist: nothing says what was asked for")
    table = _read_table(path)
    sentences = next((name for name in table.column_names if name != "task_index"), None)
    if sentences is None or "task_index" not in table.column_names:
        raise DataSetError(
            f"{path} has the columns {', '.join(table.column_names)}; expected task_index and a sentence"
        )
    return dict(zip(table["task_index"].to_pylist(), table[sentences].to_pylist(), strict=True))


def _as_array(column: pa.ChunkedArray) -> NDArray:
    whole = column.combine_chunks()
    if pa.types.is_fixed_size_list(whole.type):
        return whole.flatten().to_numpy(zero_copy_only=False).reshape(len(whole), -1)
    if pa.types.is_list(whole.type):
        return np.array(whole.to_pylist())
    return whole.to_numpy(zero_copy_only=False)
