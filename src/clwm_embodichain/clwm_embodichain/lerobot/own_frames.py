"""An episode of this project as frames of a data set, and back without a number lost.

A frame is one row of 0.05 s. `action` is, as LeRobot has it, what is commanded next: row j + 1 of the episode at frame
j, the last row once more at the end; `observation.command` is the row in force at the frame. Pictures are taken every
fourth row; the frames between show the last ones again.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ACTION_DIM, CHUNK_ROWS, ROW_DT
from clwm_common.recordings.corrections import CorrectionLabel
from clwm_embodichain.episodes.storage import IMAGE_STRIDE, Episode
from clwm_embodichain.lerobot.layout import Feature, pictures_feature
from clwm_embodichain.lerobot.reader import DataSet, Frames
from clwm_embodichain.lerobot.writer import Pictures

FPS = round(1.0 / ROW_DT)
CAMERA = "observation.images."
_SAID = ["" if label is CorrectionLabel.NONE else label.name.lower() for label in CorrectionLabel]
_AXES = ("x", "y", "z", "qx", "qy", "qz", "qw")
CHANNELS = [
    *(f"{side}_eef_{axis}" for side in ("left", "right") for axis in _AXES),
    *(f"{side}_joint_{number}" for side in ("left", "right") for number in range(1, 8)),
    "left_gripper",
    "right_gripper",
]
_ROW = Feature(dtype="float32", shape=(ACTION_DIM,), names=CHANNELS)
_COLUMNS = {
    "observation.state": _ROW,
    "action": _ROW,
    "observation.command": _ROW,
    "expert.command": _ROW,
    "expert.plan": Feature(dtype="float32", shape=(CHUNK_ROWS * ACTION_DIM,)),
    "intervention": Feature(dtype="bool", shape=(1,)),
    "correction": Feature(dtype="string", shape=(1,)),
    "held": Feature(dtype="bool", shape=(1,)),
    "next.success": Feature(dtype="bool", shape=(1,)),
    "goal": Feature(dtype="string", shape=(1,)),
    "scene": Feature(dtype="string", shape=(1,)),
    "expansion": Feature(dtype="string", shape=(1,)),
    "seed": Feature(dtype="int64", shape=(1,)),
    "channels": Feature(dtype="bool", shape=(ACTION_DIM,), names=CHANNELS),
}


def features_of(episode: Episode) -> dict[str, Feature]:
    """Of a data set that has this episode in it."""
    height, width = episode.images.shape[2:4]
    return _COLUMNS | {CAMERA + camera: pictures_feature(height, width, FPS) for camera in episode.cameras}


def is_own(features: Mapping[str, Feature]) -> bool:
    """Whether a data set was exported from episodes of this project."""
    # Sets of before corrections were labelled have no columns of them.
    needed = {name: feature for name, feature in _COLUMNS.items() if name not in ("correction", "held")}
    return all(name in features and features[name].shape == feature.shape for name, feature in needed.items())


def frames_of(episode: Episode) -> tuple[dict[str, NDArray], dict[str, Pictures], list[str], NDArray[np.int64]]:
    """Columns, pictures, sentences and which of them is in force: what `DataSetWriter.add` takes."""
    rows = len(episode.executed)
    picture = np.arange(rows) // IMAGE_STRIDE
    asked = episode.asked[picture]
    said = np.zeros(rows, np.int8) if episode.corrections is None else episode.corrections
    ends_well = np.zeros(rows, bool)
    ends_well[-1] = episode.success
    columns = {
        "observation.state": episode.states,
        "action": np.concatenate([episode.executed[1:], episode.executed[-1:]]),
        "observation.command": episode.executed,
        "expert.command": episode.commands,
        "expert.plan": episode.plans.reshape(len(episode.plans), -1)[picture],
        "intervention": episode.interventions,
        "held": np.zeros(rows, bool) if episode.held is None else episode.held,
        "correction": np.array([_SAID[label] for label in said], dtype=object),
        "next.success": ends_well,
        "goal": np.array(episode.goals, dtype=object)[asked],
        "scene": np.full(rows, episode.scene, dtype=object),
        "expansion": np.full(rows, episode.expansion, dtype=object),
        "seed": np.full(rows, episode.seed),
        "channels": np.tile(episode.channels, (rows, 1)),
    }
    pictures = {
        CAMERA + camera: Pictures(episode.images[:, index], IMAGE_STRIDE)
        for index, camera in enumerate(episode.cameras)
    }
    return columns, pictures, list(episode.instructions), asked


def episode_of(source: DataSet, frames: Frames) -> Episode:
    """The episode that `frames_of` made these frames of; its pictures went through a codec. Raises DataSetError."""
    columns, rows = frames.columns, len(frames)
    image_rows = np.arange(0, rows, IMAGE_STRIDE)
    asked, instructions, goals = _askings(frames, image_rows)
    pictures = [
        np.stack(list(source.pictures(frames.index, name, image_rows * ROW_DT))) for name in source.info.cameras
    ]
    return Episode(
        images=np.stack(pictures, axis=1),
        image_rows=image_rows,
        plans=columns["expert.plan"][image_rows].reshape(-1, CHUNK_ROWS, ACTION_DIM),
        commands=columns["expert.command"],
        executed=columns["observation.command"],
        states=columns["observation.state"],
        interventions=columns["intervention"],
        corrections=_corrections(columns.get("correction")),
        held=held if (held := columns.get("held")) is not None and held.any() else None,
        asked=asked,
        instructions=instructions,
        goals=goals,
        cameras=tuple(name.removeprefix(CAMERA) for name in source.info.cameras),
        success=bool(columns["next.success"][-1]),
        scene=str(columns["scene"][0]),
        expansion=str(columns["expansion"][0]),
        seed=int(columns["seed"][0]),
        channels=columns["channels"][0],
    )


def _corrections(words: NDArray | None) -> NDArray[np.int8] | None:
    """As an episode has them; None where nothing is said of any row."""
    if words is None or not any(words):
        return None
    return np.array([_SAID.index(word) for word in words], np.int8)


def _askings(frames: Frames, image_rows: NDArray) -> tuple[NDArray[np.int64], tuple[str, ...], tuple[str, ...]]:
    """Which asking holds at each picture, and the sentence and the goal of each, in order of time."""
    pairs = list(zip(frames.task.tolist(), frames.columns["goal"].tolist(), strict=True))
    at_pictures = [pairs[row] for row in image_rows]
    begins = [index for index, pair in enumerate(at_pictures) if index == 0 or pair != at_pictures[index - 1]]
    asked = np.searchsorted(begins, np.arange(len(at_pictures)), side="right") - 1
    tasks = tuple(frames.tasks[at_pictures[index][0]] for index in begins)
    return asked.astype(np.int64), tasks, tuple(str(at_pictures[index][1]) for index in begins)
