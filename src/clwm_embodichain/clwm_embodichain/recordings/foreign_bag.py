"""A user's own bag as an episode: another robot's topics, at their own rates, by a map of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ACTION_DIM, CHUNK_ROWS, JOINTS, POSES, ROW_DT
from clwm_common.recordings.reader import Received, RecordingError
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_embodichain.episodes.storage import Episode
from clwm_embodichain.exchange.squares import middle_square
from clwm_embodichain.recordings.bag import Bag
from clwm_embodichain.recordings.grid_episode import LONGEST_GAP, episode_on_grid
from clwm_embodichain.recordings.pictures import CameraTopic, NearestPictures
from clwm_embodichain.recordings.recorded_episode import ON_GRID, seconds
from clwm_embodichain.recordings.samples import CommandedJoints, rows_at
from clwm_embodichain.recordings.topic_map import Place, TopicChannels, TopicMap
from clwm_perception.image_formats import from_compressed, from_raw

_COMPRESSED, _RAW = "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/Image"
_TRAJECTORY, _TEXT = "trajectory_msgs/msg/JointTrajectory", "std_msgs/msg/String"
_ARRAYS = ("std_msgs/msg/Float64MultiArray", "std_msgs/msg/Float32MultiArray")
_NUMBERS = ("std_msgs/msg/Float64", "std_msgs/msg/Float32")
_BY_NAME, _POSE = "sensor_msgs/msg/JointState", "geometry_msgs/msg/PoseStamped"
_WITH_HEADER = (_COMPRESSED, _RAW, _TRAJECTORY, _BY_NAME, _POSE)
_BACK = 1e-3  # s that a clock may go back between two messages
_SAME_CLOCK = 60.0  # s between a header and the arrival of its message


@dataclass
class _Track:
    """What one topic said of its channels, (n,) s and (n, 30) in units of the source."""

    times: list[float] = field(default_factory=list)
    rows: list[NDArray[np.float64]] = field(default_factory=list)
    sent: CommandedJoints = field(default_factory=CommandedJoints)


class ForeignBag:
    """Makes the episode of one bag by a map. Raises RecordingError, and RobotError for an unknown robot."""

    def __init__(self, bag: Bag, mapping: TopicMap, number: int) -> None:
        """number: of the bag among those that are imported, by which its episode is found."""
        mapping.check(bag.path, bag.topics)
        self._bag, self._map, self._number = bag, mapping, number
        self._channels = mapping.mask()
        self._kinematics: DualArmKinematics | None = None
        if mapping.robot is not None:
            if not self._channels[JOINTS].all():
                raise RecordingError("field 'robot' gives tool poses, which take all seven joints of both arms")
            self._kinematics = DualArmKinematics(RobotDescription.load(mapping.robot))
        self._check_clocks()

    def episode(self) -> Episode:
        """In rows of 0.05 s, from when on all is there."""
        mapping = self._map
        state = [self._track(channels) for channels in mapping.state]
        pictures = NearestPictures(self._bag.path, self._read_in_order, self._cameras(), self._time)
        first = max(pictures.first, *(track.times[0] for track in state))
        last = min(pictures.last, *(track.times[-1] for track in state))
        count = int((last - first + ON_GRID) / ROW_DT) + 1
        if count < CHUNK_ROWS:
            raise RecordingError(
                f"{self._bag.path} has {max(0.0, last - first):.2f} s in which all its topics have something; expected "
                f"at least {CHUNK_ROWS * ROW_DT:g} s"
            )
        times = first + np.arange(count) * ROW_DT
        for channels, track in zip(mapping.state, state, strict=True):
            self._check_gaps(channels.topic, track, times)
        measured = sum(_sampled(track, times) for track in state)
        states = self._physical(measured)
        if mapping.action:
            executed = self._physical(self._commanded(times, measured))
        else:
            executed = np.concatenate([states[1:], states[-1:]])
        channels = self._channels.copy()
        channels[POSES] |= self._kinematics is not None
        return episode_on_grid(
            times,
            pictures,
            states,
            executed,
            interventions=np.zeros(count, bool),
            instructions=(self._instruction(),),
            goals=(mapping.goal,),
            cameras=tuple(mapping.cameras),
            success=mapping.success,
            scene=mapping.scene,
            seed=self._number,
            channels=channels,
        )

    def _check_clocks(self) -> None:
        """Stamps and times of receiving are of one clock, where both are needed."""
        named = [it.topic for it in (*self._map.state, *self._map.action)]
        bare = [topic for topic in named if self._bag.topics[topic] not in _WITH_HEADER]
        stamped = [topic for topic in (*named, *self._map.cameras.values()) if topic not in bare]
        if self._map.clock == "received" or not bare or not stamped:
            return
        for it in self._bag.messages(stamped[:1]):
            apart = seconds(it.message.header.stamp) - it.time * 1e-9
            if abs(apart) > _SAME_CLOCK:
                raise RecordingError(
                    f"{self._bag.path}: stamps on {it.topic} are {apart:.0f} s from the bag's own clock, by which "
                    f"{bare[0]}, without stamps, has to be told; set clock: received in the map"
                )
            return

    def _time(self, it: Received) -> float:
        """When it was [s], by the map's clock; a stamp of 0 says nothing."""
        if self._map.clock == "header" and self._bag.topics[it.topic] in _WITH_HEADER:
            return seconds(it.message.header.stamp) or it.time * 1e-9
        return it.time * 1e-9

    def _read_in_order(self, topics: Sequence[str]):
        """Messages whose times do not go back."""
        newest: dict[str, float] = {}
        counts: dict[str, int] = {}
        for it in self._bag.messages(topics):
            time, before = self._time(it), newest.get(it.topic)
            counts[it.topic] = counts.get(it.topic, 0) + 1
            if before is not None and time < before - _BACK:
                raise RecordingError(
                    f"{self._bag.path}: the clock of {it.topic} goes back by {before - time:.3f} s at its message "
                    f"{counts[it.topic]}; it was set back, or two nodes publish: cut the bag there, or set clock: "
                    "received in the map"
                )
            if before is None or time > before:
                newest[it.topic] = time
                yield it

    def _track(self, channels: TopicChannels) -> _Track:
        track, kind = _Track(), self._bag.topics[channels.topic]
        for it in self._read_in_order([channels.topic]):
            time = self._time(it)
            if kind == _TRAJECTORY:
                self._take_trajectory(track, channels, time, it.message)
            else:
                track.rows.append(self._row(channels, kind, it.message))
            track.times.append(time)
        if not track.times:
            raise RecordingError(f"{self._bag.path} has no message on {channels.topic}; record it, or leave it out")
        return track

    def _row(self, channels: TopicChannels, kind: str, message: Any) -> NDArray[np.float64]:
        if kind == _BY_NAME:
            known: dict[Place, float] = dict(zip(message.name, message.position, strict=False))
        elif kind in _ARRAYS:
            known = dict(enumerate(message.data))
        elif kind in _NUMBERS:
            known = {0: message.data}
        elif kind == _POSE:
            p, q = message.pose.position, message.pose.orientation
            known = dict(enumerate((p.x, p.y, p.z, q.x, q.y, q.z, q.w)))
        else:
            supported = ", ".join((_BY_NAME, _TRAJECTORY, *_ARRAYS, *_NUMBERS, _POSE))
            raise RecordingError(
                f"{self._bag.path}: topic {channels.topic} is {kind}, which has no numbers that are known; expected "
                f"one of {supported}"
            )
        row = np.zeros(ACTION_DIM)
        for source, to in channels.pairs():
            row[to] = self._known(channels.topic, known, source)
        return row

    def _take_trajectory(self, track: _Track, channels: TopicChannels, time: float, message: Any) -> None:
        if not message.points:
            return
        places = {name: index for index, name in enumerate(message.joint_names)}
        of = [(self._known(channels.topic, places, source), to) for source, to in channels.pairs()]
        rows = np.zeros((2, len(message.points), ACTION_DIM))
        has_velocities = all(len(point.velocities) for point in message.points)
        for index, point in enumerate(message.points):
            for source, to in of:
                rows[0, index, to] = point.positions[source]
                rows[1, index, to] = point.velocities[source] if has_velocities else 0.0
        at = time + np.array([seconds(point.time_from_start) for point in message.points])
        track.sent.add(time, at, rows[0], rows[1] if has_velocities else None)

    def _known(self, topic: str, known: dict[Place, Any], source: Place) -> Any:
        if source not in known:
            there = ", ".join(map(str, known)) or "nothing"
            raise RecordingError(f"{self._bag.path}: topic {topic} has no '{source}'; it has {there}")
        value = known[source]
        if not np.isfinite(value):
            raise RecordingError(f"{self._bag.path}: topic {topic}: '{source}' is {value}; expected finite numbers")
        return value

    def _commanded(self, times: NDArray[np.float64], measured: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of each topic what was in force at each row; what was measured before the first command."""
        found = np.zeros_like(measured)
        for channels in self._map.action:
            track, to = self._track(channels), [to for _, to in channels.pairs()]
            if not track.sent.is_empty:
                rows = track.sent.at(times)
            else:
                rows = np.array(track.rows)[np.maximum(np.searchsorted(track.times, times + ON_GRID) - 1, 0)]
            before = times < track.times[0] - ON_GRID
            found[:, to] = np.where(before[:, None], measured[:, to], rows[:, to])
        return found

    def _physical(self, rows: NDArray[np.float64]) -> NDArray[np.float32]:
        found = self._map.physical(rows, self._channels)
        if self._kinematics is not None:
            found[:, POSES] = np.stack([self._kinematics.poses(row).ravel() for row in found[:, JOINTS]])
        return found.astype(np.float32)

    def _check_gaps(self, topic: str, track: _Track, times: NDArray[np.float64]) -> None:
        within = np.array([it for it in track.times if times[0] - ROW_DT <= it <= times[-1] + ROW_DT])
        gaps = np.diff(within)
        if len(gaps) and gaps.max() > LONGEST_GAP:
            worst = int(gaps.argmax())
            raise RecordingError(
                f"{self._bag.path} has no message on {topic} for {gaps[worst]:.2f} s, {within[worst] - times[0]:.2f} s "
                f"after its beginning; at most {LONGEST_GAP:g} s expected"
            )

    def _cameras(self) -> dict[str, CameraTopic]:
        found = {}
        for camera, topic in self._map.cameras.items():
            if (kind := self._bag.topics[topic]) not in (_COMPRESSED, _RAW):
                raise RecordingError(
                    f"{self._bag.path}: topic {topic} of camera '{camera}' is {kind}; expected {_RAW} or {_COMPRESSED}"
                )
            found[topic] = CameraTopic(camera, self._compressed if kind == _COMPRESSED else self._raw)
        return found

    def _raw(self, it: Any) -> NDArray[np.uint8]:
        raw = from_raw(it.encoding, it.height, it.width, it.step, it.data, bool(it.is_bigendian))
        return middle_square(raw.rgb(), self._map.picture_size)

    def _compressed(self, it: Any) -> NDArray[np.uint8]:
        return middle_square(from_compressed(it.format, it.data).rgb(), self._map.picture_size)

    def _instruction(self) -> str:
        topic = self._map.instruction_topic
        if topic is None:
            return self._map.instruction or ""
        if (kind := self._bag.topics[topic]) != _TEXT:
            raise RecordingError(f"{self._bag.path}: topic {topic} is {kind}; expected {_TEXT}")
        for it in self._bag.messages([topic]):
            return it.message.data
        raise RecordingError(f"{self._bag.path} has no message on {topic}; give an instruction in the map instead")


def _sampled(track: _Track, times: NDArray[np.float64]) -> NDArray[np.float64]:
    if not track.sent.is_empty:
        return track.sent.at(times)
    return rows_at(np.array(track.times), np.array(track.rows), times, ON_GRID).astype(np.float64)
