"""Episodes of a foreign data set in this project's rows: another layout, another rate, other pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from clwm_common.actions import (
    CHUNK_ROWS,
    JOINTS,
    LEFT_EEF,
    LEFT_QUATERNION,
    POSES,
    RIGHT_EEF,
    RIGHT_QUATERNION,
    ROW_DT,
    canonical_quaternion,
)
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_embodichain.episodes.storage import IMAGE_STRIDE, Episode
from clwm_embodichain.exchange.squares import middle_square
from clwm_embodichain.lerobot.data_set_map import Channels, DataSetMap
from clwm_embodichain.lerobot.layout import DataSetError
from clwm_embodichain.lerobot.reader import DataSet, Frames


class ForeignEpisodes:
    """Makes episodes of one data set's frames by its map."""

    def __init__(self, source: DataSet, mapping: DataSetMap) -> None:
        """Raises DataSetError when the map does not fit the data set, RobotError for an unknown robot."""
        mapping.check(source.info, source.folder)
        self._source, self._map = source, mapping
        self.channels = mapping.mask()
        self._kinematics = None
        if mapping.robot is not None:
            if not self.channels[JOINTS].all():
                raise DataSetError("field 'robot' gives tool poses, which take all seven joints of both arms")
            self._kinematics = DualArmKinematics(RobotDescription.load(mapping.robot))
            self.channels[POSES] = True

    @property
    def note(self) -> str:
        """What is changed about all episodes, in words; nothing when their rate is that of this project."""
        fps = self._source.info.fps
        if fps * ROW_DT == 1.0:
            return ""
        return (
            f"{fps} frames a second become {1 / ROW_DT:.0f} rows: numbers are interpolated, pictures the nearest ones"
        )

    def episode(self, frames: Frames) -> Episode:
        """In rows of 0.05 s, the actions being labels and what was executed. Raises DataSetError."""
        times = np.arange(len(frames)) / self._source.info.fps
        rows = np.arange(int(times[-1] / ROW_DT + 1e-6) + 1)
        at = rows * ROW_DT
        period = 1.0 / self._source.info.fps
        states = self._rows(frames, self._map.state, times, at)
        # What is commanded at a frame is in force at the next one; before the first, the arms are where they are.
        executed = self._rows(frames, self._map.action, times + period, at)
        executed[at < period] = states[at < period]
        image_rows = rows[::IMAGE_STRIDE]
        nearest = times[np.abs(times[None] - at[image_rows][:, None]).argmin(axis=1)]
        images = [
            np.stack(
                [
                    middle_square(picture, self._map.picture_size)
                    for picture in self._source.pictures(frames.index, feature, nearest)
                ]
            )
            for feature in self._map.cameras.values()
        ]
        task = frames.task[np.minimum((at[image_rows] * self._source.info.fps + 1e-6).astype(int), len(frames) - 1)]
        begins = np.flatnonzero(np.r_[True, np.diff(task) != 0])
        chunk = np.minimum(image_rows[:, None] + np.arange(CHUNK_ROWS), len(executed) - 1)
        return Episode(
            images=np.stack(images, axis=1),
            image_rows=image_rows,
            plans=executed[chunk],
            commands=executed,
            executed=executed,
            states=states,
            interventions=np.zeros(len(rows), bool),
            asked=np.searchsorted(begins, np.arange(len(task)), side="right") - 1,
            instructions=tuple(frames.tasks[task[index]] for index in begins),
            goals=(self._map.goal,) * len(begins),
            cameras=tuple(self._map.cameras),
            success=self._success(frames),
            scene=self._map.scene,
            expansion="none",
            seed=frames.index,
            channels=self.channels,
        )

    def _rows(self, frames: Frames, channels: Channels, times: NDArray, at: NDArray) -> NDArray[np.float32]:
        values = np.asarray(frames.columns[channels.feature], np.float64)
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            raise DataSetError(
                f"episode {frames.index}: '{channels.feature}' number {column} of frame {row} is {values[row, column]}"
            )
        rows = self._map.rows(channels, values)
        found = np.stack([np.interp(at, times, column) for column in rows.T], axis=1)
        for group, quaternion in ((LEFT_EEF, LEFT_QUATERNION), (RIGHT_EEF, RIGHT_QUATERNION)):
            if self.channels[group].all() and self._kinematics is None and len(times) > 1:
                turns = Slerp(times, Rotation.from_quat(rows[:, quaternion]))(
                    np.clip(at, times[0], times[-1])
                ).as_quat()
                found[:, quaternion] = canonical_quaternion(turns)
        if self._kinematics is not None:
            found[:, POSES] = np.stack([np.concatenate(self._kinematics.poses(row)) for row in found[:, JOINTS]])
        return found.astype(np.float32)

    def _success(self, frames: Frames) -> bool:
        """A demonstration counts as one that ended well, unless the data set says otherwise."""
        return bool(np.asarray(frames.columns["next.success"])[-1]) if "next.success" in frames.columns else True
