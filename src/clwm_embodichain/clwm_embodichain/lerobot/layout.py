"""What is in a LeRobot v3.0 data set: its files, its features and their Parquet types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from clwm_common.files.config_files import explain

VERSION = "v3.0"
INFO, STATISTICS, TASKS = Path("meta/info.json"), Path("meta/stats.json"), Path("meta/tasks.parquet")
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
CHUNK_FILES, DATA_MB, VIDEO_MB = 1000, 100, 200
PICTURES = ("video", "image")


class DataSetError(ValueError):
    """A data set that cannot be read or written; the message names the file, what is wrong, and what to do."""


class Feature(BaseModel):
    """One column of frames, or the pictures of one camera. shape: of one frame; of pictures (height, width, 3)."""

    model_config = ConfigDict(frozen=True)

    dtype: str
    shape: tuple[int, ...]
    names: Any = None
    info: dict[str, Any] | None = None

    @property
    def is_pictures(self) -> bool:
        """Whether its values are in videos, or in pictures."""
        return self.dtype in PICTURES

    @property
    def arrow_type(self) -> pa.DataType:
        """Of its column. Raises DataSetError for a type that is not known."""
        scalar = {"string": pa.string(), "bool": pa.bool_()}.get(self.dtype)
        if scalar is None:
            try:
                scalar = pa.from_numpy_dtype(self.dtype)
            except (TypeError, pa.ArrowNotImplementedError):
                raise DataSetError(f"features of type '{self.dtype}' are not supported") from None
        return scalar if self.shape == (1,) else pa.list_(scalar, self.shape[0])


class Info(BaseModel):
    """`meta/info.json`."""

    codebase_version: str
    robot_type: str | None = None
    total_episodes: int
    total_frames: int
    total_tasks: int
    chunks_size: int = CHUNK_FILES
    data_files_size_in_mb: int = DATA_MB
    video_files_size_in_mb: int = VIDEO_MB
    fps: int
    splits: dict[str, str] = {}
    data_path: str = DATA_PATH
    video_path: str | None = VIDEO_PATH
    features: dict[str, Feature]

    @classmethod
    def load(cls, folder: Path) -> Info:
        """Raises DataSetError: no data set, another version of the format, a field that makes no sense."""
        path = folder / INFO
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataSetError(f"{folder} has no {INFO}; expected the folder of a LeRobot data set") from None
        except (OSError, ValueError) as error:
            raise DataSetError(f"{path} cannot be read ({error})") from None
        version = read.get("codebase_version") if isinstance(read, dict) else None
        if version != VERSION:
            raise DataSetError(
                f"{path} has codebase_version {version!r}; expected '{VERSION}': convert it with LeRobot's own script"
            )
        try:
            return cls.model_validate(read)
        except ValidationError as error:
            raise DataSetError(explain(path, error, cls)) from None

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the features that are pictures."""
        return tuple(name for name, feature in self.features.items() if feature.is_pictures)

    def save(self, folder: Path) -> None:
        """Write `meta/info.json`."""
        (folder / INFO).write_text(json.dumps(self.model_dump(), indent=4))


# Every data set has these columns, last.
INDEX_FEATURES = {
    "timestamp": Feature(dtype="float32", shape=(1,)),
    **{name: Feature(dtype="int64", shape=(1,)) for name in ("frame_index", "episode_index", "index", "task_index")},
}


def pictures_feature(height: int, width: int, fps: int) -> Feature:
    """The pictures of one camera as H.264 videos."""
    info = {
        "video.height": height,
        "video.width": width,
        "video.codec": "h264",
        "video.pix_fmt": "yuv420p",
        "video.is_depth_map": False,
        "video.fps": fps,
        "video.channels": 3,
        "has_audio": False,
    }
    return Feature(dtype="video", shape=(height, width, 3), names=["height", "width", "channels"], info=info)


def frame_schema(features: Mapping[str, Feature]) -> pa.Schema:
    """Of the files of frames, with what the `datasets` library wants to know of the columns."""
    columns = {name: feature for name, feature in features.items() if not feature.is_pictures}
    described = {}
    for name, feature in columns.items():
        value = {"dtype": feature.dtype, "_type": "Value"}
        many = {"feature": value, "length": feature.shape[0], "_type": "List"}
        described[name] = value if feature.shape == (1,) else many
    metadata = {"huggingface": json.dumps({"info": {"features": described}})}
    return pa.schema([(name, feature.arrow_type) for name, feature in columns.items()], metadata)
