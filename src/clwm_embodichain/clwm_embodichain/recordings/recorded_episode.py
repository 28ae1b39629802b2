"""A recording of `clwm record` as an episode: the same rows, pictures and commands, on a grid of 0.05 s.

The grid is that of the policy's observations, and rows of the executor that lie on it come back as they were, bit for
bit. Where it has none (a human moves the arms, they brake, they rest) the commands are those of the trajectories that
were sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from clwm_common.actions import ACTION_DIM, CHUNK_ROWS, GRIPPERS, JOINTS, ROW_DT, pack
from clwm_common.files.config_files import explain
from clwm_common.recordings import names
from clwm_common.recordings.labels import Labels, outcome
from clwm_common.recordings.reader import (
    FAILED,
    SUCCEEDED,
    TELEOP,
    Recording,
    RecordingError,
    read_attachment,
    read_messages,
    read_recording,
)
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_embodichain.episodes.storage import Episode
from clwm_embodichain.episodes.table_recording import STILL_ROWS
from clwm_embodichain.recordings.grid_episode import LONGEST_GAP, episode_on_grid
from clwm_embodichain.recordings.pictures import NearestPictures, pictures_of
from clwm_embodichain.recordings.samples import CommandedJoints, held, nearest_of, rows_at
from clwm_sim.scenes.task_table import TABLE
from clwm_sim.shipped_tasks import TASKS

ON_GRID = 0.002  # s from a row of the grid that a sample may be, to be taken as it is
CARRIED_OUT = 0.02  # rad that a row of the executor may be from the trajectory that was sent
GENERATE = 0  # of ChunkRequest
SCENE, GOAL = "recorded", "demonstrated"


@dataclass
class _Heard:
    """What is in the file, besides pictures."""

    state_times: list[float] = field(default_factory=list)
    state_received: list[float] = field(default_factory=list)
    states: list[Any] = field(default_factory=list)
    row_times: list[float] = field(default_factory=list)
    rows: list[NDArray[np.float32]] = field(default_factory=list)
    opening_times: list[float] = field(default_factory=list)
    openings: list[tuple[float, float]] = field(default_factory=list)
    begins_at: float | None = None
    moves_at: float | None = None
    judged_at: float | None = None
    goal: str = ""
    world: Any = None
    arms: tuple[CommandedJoints, CommandedJoints] = field(
        default_factory=lambda: (CommandedJoints(), CommandedJoints())
    )


def robot_of(path: Path) -> RobotDescription:
    """The robot that was recorded, as its file was then. Raises RecordingError."""
    try:
        return RobotDescription.model_validate(yaml.safe_load(read_attachment(path, names.ROBOT_FILE)))
    except yaml.YAMLError as error:
        raise RecordingError(f"{path}: its {names.ROBOT_FILE} cannot be read ({error}); record it again") from None
    except ValidationError as error:
        raise RecordingError(explain(path, error, RobotDescription)) from None


def recorded_episode(path: Path, picture_size: int) -> Episode:
    """picture_size: px of the square pictures that the encoder takes; the robot's file says what becomes of others.

    Raises RecordingError: nobody has judged it, it has no rows or pictures or a gap, pictures of another size.
    """
    recording, labels = read_recording(path), Labels.of(path)
    ended = outcome(recording, labels)
    if not ended:
        raise RecordingError(
            f"{path}: nobody has judged it; say how it ended: clwm label {path} --success, or --failure"
        )
    robot = robot_of(path)
    heard = _listen(recording, robot)
    if not heard.states:
        raise RecordingError(f"{path} has no message on {names.STATE}; record with the executor running")
    pictures = pictures_of(path, robot, picture_size)
    times = _grid(path, heard, pictures)
    states = _states(path, heard, times)
    executed = _executed(heard, robot, times, states)
    modes = np.array([state.mode for state in heard.states])[nearest_of(np.array(heard.state_times), times)]
    return episode_on_grid(
        times,
        pictures,
        states,
        executed,
        interventions=modes == TELEOP,
        held=modes > TELEOP,
        instructions=(recording.instruction,),
        goals=(heard.goal or recording.facts.get("goal") or GOAL,),
        cameras=tuple(robot.cameras),
        success=ended == "success",
        scene=TABLE.name if heard.world is not None and heard.world.task in TASKS else SCENE,
        # A number of its own, and those that were recorded later are larger.
        seed=round(1000 * float(recording.facts["began"])),
        corrections=_corrections(labels, np.interp(times, heard.state_times, heard.state_received)),
        channels=np.array([state.valid for state in heard.states], bool).all(axis=0),
    )


def _corrections(labels: Labels, received: NDArray[np.float64]) -> NDArray[np.int8] | None:
    """What an operator has said of rows; received: (T,) s on the recorder's clock."""
    if not labels.corrections:
        return None
    rows = np.zeros(len(received), np.int8)
    for it in labels.corrections:
        end = np.inf if it.end is None else 1e-9 * it.end
        rows[(1e-9 * it.begin <= received) & (received <= end)] = it.label
    return rows


def _listen(recording: Recording, robot: RobotDescription) -> _Heard:
    heard, motions = _Heard(), []
    arms = {arm.controller.topic: side for side, arm in enumerate(robot.arms)}
    topics = (names.STATE, names.REQUEST, names.VERDICT, names.EPISODE, names.TELEOP, *arms)
    for it in read_messages(recording.path, topics):
        message = it.message
        match it.topic:
            case names.STATE:
                time = seconds(message.stamp)
                if not heard.state_times or time > heard.state_times[-1]:
                    heard.state_times.append(time)
                    heard.state_received.append(it.time * 1e-9)
                    heard.states.append(message)
            case names.REQUEST if message.kind == GENERATE and message.task_epoch == recording.epoch:
                _take_request(heard, message)
            case names.VERDICT if message.task_epoch == recording.epoch and message.goal:
                heard.goal = message.goal
                if message.outcome in (SUCCEEDED, FAILED):
                    heard.judged_at = seconds(message.stamp)
            case names.EPISODE:
                heard.world = message
            case names.TELEOP if message.dead_man:
                said = [message.target[GRIPPERS][hand] if message.valid[GRIPPERS][hand] else np.nan for hand in (0, 1)]
                heard.opening_times.append(seconds(message.stamp))
                heard.openings.append((said[0], said[1]))
            case topic if topic in arms:
                motions.append((arms[topic], it.time * 1e-9, message))
    for side, received, message in motions if heard.states else ():
        # The recorder's clock is not the stack's when that lives by simulated time.
        sent = float(np.interp(received, heard.state_received, heard.state_times))
        _take_motion(heard.arms[side], sent, message)
    return heard


def _take_request(heard: _Heard, message: Any) -> None:
    observe_at = seconds(message.observe_at)
    prefix = np.array(message.committed_prefix, np.float32).reshape(-1, ACTION_DIM)
    before = np.array(message.executed_rows, np.float32).reshape(-1, ACTION_DIM)
    if heard.begins_at is None:
        heard.begins_at = observe_at
    # Of arms that rest it is not said when their last rows were.
    if not message.at_rest:
        heard.moves_at = observe_at if heard.moves_at is None else heard.moves_at
        for index, row in enumerate(before):
            _take_row(heard, observe_at + (index - len(before)) * ROW_DT, row)
    for index, row in enumerate(prefix):
        _take_row(heard, observe_at + index * ROW_DT, row)


def _take_row(heard: _Heard, time: float, row: NDArray[np.float32]) -> None:
    heard.row_times.append(time)
    heard.rows.append(row)
    heard.opening_times.append(time)
    heard.openings.append((float(row[GRIPPERS][0]), float(row[GRIPPERS][1])))


def _take_motion(arm: CommandedJoints, sent: float, message: Any) -> None:
    if not hasattr(message, "points"):  # streamed positions
        arm.add(sent, np.array([sent]), np.array([message.data], np.float64), None)
        return
    if not message.points:
        return
    times = seconds(message.header.stamp) + np.array([seconds(point.time_from_start) for point in message.points])
    positions = np.array([point.positions for point in message.points], np.float64)
    has_velocities = all(len(point.velocities) for point in message.points)
    velocities = np.array([point.velocities for point in message.points], np.float64) if has_velocities else None
    arm.add(sent, times, positions, velocities)


def _grid(path: Path, heard: _Heard, pictures: NearestPictures) -> NDArray[np.float64]:
    """Instants of the rows: while there are pictures and states, from the first observation on."""
    first = max(heard.state_times[0], pictures.first)
    last = min(heard.state_times[-1], pictures.last)
    if heard.judged_at is not None:
        last = min(last, heard.judged_at + STILL_ROWS * ROW_DT)
    if heard.begins_at is not None:
        first = max(first, heard.begins_at)
    # Rows of a motion are whole rows away from each other, and from pictures; a request of arms that rest is not.
    origin = next((it for it in (heard.moves_at, heard.begins_at) if it is not None), first)
    begin = origin + np.ceil((first - ON_GRID - origin) / ROW_DT) * ROW_DT
    count = int((last + ON_GRID - begin) / ROW_DT) + 1
    if count < CHUNK_ROWS:
        raise RecordingError(
            f"{path} has {max(0.0, last - begin):.2f} s with states and pictures of all cameras; expected at least "
            f"{CHUNK_ROWS * ROW_DT:g} s"
        )
    return begin + np.arange(count) * ROW_DT


def _states(path: Path, heard: _Heard, times: NDArray[np.float64]) -> NDArray[np.float32]:
    stamps = np.array(heard.state_times)
    within = stamps[(stamps >= times[0] - ROW_DT) & (stamps <= times[-1] + ROW_DT)]
    gaps = np.diff(within)
    if len(gaps) and gaps.max() > LONGEST_GAP:
        worst = int(gaps.argmax())
        raise RecordingError(
            f"{path} has no measured state for {gaps[worst]:.2f} s, {within[worst] - times[0]:.2f} s after its "
            f"beginning; at most {LONGEST_GAP:g} s expected"
        )
    rows = np.array([state.values for state in heard.states], np.float32)
    return rows_at(stamps, rows, times, ON_GRID)


def _executed(
    heard: _Heard, robot: RobotDescription, times: NDArray[np.float64], states: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What was commanded: the executor's own rows, else the trajectories; the measured state where nothing was sent."""
    executed = states.copy()
    joints = np.empty(0)
    if not (has_none := any(arm.is_empty for arm in heard.arms)):
        joints = np.concatenate([arm.at(times) for arm in heard.arms], axis=1)
        openings = held(heard.opening_times, heard.openings, times)
        openings = np.where(np.isnan(openings), states[:, GRIPPERS], openings)
        kinematics = DualArmKinematics(robot)
        poses = np.stack([kinematics.poses(row) for row in joints])
        executed = pack(poses[:, 0], poses[:, 1], joints, openings)
    for time, row in zip(heard.row_times, heard.rows, strict=True):
        index = min(max(round((time - times[0]) / ROW_DT), 0), len(times) - 1)
        # Rows that were committed are not carried out when the arms have to brake before.
        was_sent = has_none or np.abs(row[JOINTS] - joints[index]).max() <= CARRIED_OUT
        if abs(times[index] - time) <= ON_GRID and was_sent:
            executed[index] = row
    return executed


def seconds(stamp: SimpleNamespace) -> float:
    """Of a ROS time or duration."""
    return stamp.sec + 1e-9 * stamp.nanosec
