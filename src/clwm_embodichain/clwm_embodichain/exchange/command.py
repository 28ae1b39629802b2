"""`clwm data export` and `clwm data import`: episodes to other tools, and from them and from recordings."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from clwm_common.recordings.names import SUFFIX
from clwm_common.recordings.reader import RecordingError, recording_files
from clwm_common.robot.description import RobotError
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_embodichain.episodes.storage import Episode, EpisodeError, episode_files, episode_path
from clwm_embodichain.lerobot.data_set_map import DataSetMap
from clwm_embodichain.lerobot.foreign_frames import ForeignEpisodes
from clwm_embodichain.lerobot.layout import DATA_MB, VIDEO_MB, DataSetError
from clwm_embodichain.lerobot.own_frames import FPS, episode_of, features_of, frames_of, is_own
from clwm_embodichain.lerobot.reader import DataSet
from clwm_embodichain.lerobot.writer import DataSetWriter
from clwm_embodichain.recordings.bag import Bag, bags
from clwm_embodichain.recordings.foreign_bag import ForeignBag
from clwm_embodichain.recordings.recorded_episode import recorded_episode
from clwm_embodichain.recordings.topic_map import TopicMap

PICTURE_SIZE = 128  # px, what the shipped encoder takes


class Format(str, Enum):
    """Of data sets of other tools."""

    LEROBOT = "lerobot"


class Source(str, Enum):
    """What episodes can be made of."""

    LEROBOT = "lerobot"
    RECORDING = "recording"
    ROSBAG = "rosbag"


def export(
    data: Annotated[Path, typer.Argument(help="folder of episodes, or recordings of clwm record")] = Path("out/data"),
    to: Annotated[Format, typer.Option(help="format")] = Format.LEROBOT,
    out: Annotated[Path, typer.Option(help="folder of the data set, which is made")] = Path("out/lerobot"),
    scene: Annotated[str, typer.Option(help="episodes of this scene only")] = "*",
    goal: Annotated[str, typer.Option(help="episodes of this kind of goal only")] = "*",
    robot: Annotated[str, typer.Option(help="robot_type of the data set")] = "dual_fr3_mujoco",
    data_mb: Annotated[
        float, typer.Option(min=0.01, help="size from which on a new file of frames is begun")
    ] = DATA_MB,
    video_mb: Annotated[float, typer.Option(min=0.01, help="the same of videos")] = VIDEO_MB,
    picture_size: Annotated[int, typer.Option(min=1, help="px, of episodes made of recordings")] = PICTURE_SIZE,
    force: Annotated[bool, typer.Option("--force", help="replace a data set that is there")] = False,
) -> None:
    """Write recorded episodes as a LeRobot v3.0 data set of 20 frames a second, with every number they have.

    The folder appears when it is complete; Ctrl-C leaves none.
    """
    console = PlainConsole()
    with _explained(console):
        files, load = _recorded(data, scene, goal, picture_size)
        began = time.monotonic()
        with (
            DataSetWriter(
                out, features_of(load(files[0])), FPS, robot, data_mb=data_mb, video_mb=video_mb, replace=force
            ) as writer,
            progress(console, "exporting", len(files)) as advance,
        ):
            for path in files:
                writer.add(*frames_of(load(path)))
                advance(1, "")
            frames = writer.frames
        rate = frames / (time.monotonic() - began)
    console.print(f"{len(files)} episodes, {frames} frames ({rate:.0f} a second): {out}", soft_wrap=True)


def import_(
    source: Annotated[Path, typer.Argument(help="folder of the data set, of recordings or bags; or one of them")],
    from_: Annotated[Source, typer.Option("--from", help="what it is")] = Source.LEROBOT,
    map_file: Annotated[
        Path | None, typer.Option("--map", help="what its numbers mean (YAML); not needed for what clwm has made")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder of episodes")] = Path("out/imported"),
    scene: Annotated[str, typer.Option(help="file them under this scene")] = "",
    goal: Annotated[str, typer.Option(help="file them under this goal")] = "",
    picture_size: Annotated[int, typer.Option(min=1, help="px, of episodes made of recordings")] = PICTURE_SIZE,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="import the other episodes when some cannot be read whole")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="replace episodes that are there")] = False,
) -> None:
    """Make episodes of a LeRobot v3.0 data set, of what `clwm record` has recorded, or of other robots' bags.

    Says what was changed, and which episodes cannot be read and why.
    """
    console = PlainConsole()
    with _explained(console):
        found = _source(source, from_, map_file, picture_size, console)
        broken = dict(found.broken)
        with _new_files() as written, progress(console, "importing", len(found.names)) as advance:
            for name in found.names:
                try:
                    episode = found.make(name)
                except (DataSetError, RecordingError) as error:
                    broken[name] = str(error)
                    continue
                episode = _filed(episode, scene, goal)
                target = episode_path(out, episode.scene, episode.kind, episode.seed)
                if target.exists() and not force:
                    raise DataSetError(f"{target} exists already; name another --out, or give --force to replace it")
                episode.save(target)
                written.append(target)
                advance(1, "")
            for name, why in sorted(broken.items(), key=lambda it: (len(it[0]), it[0])):
                console.marked("cannot be read:", "yellow", why if from_ is not Source.LEROBOT else f"{name}: {why}")
            if broken and not (skip_broken and written):
                raise DataSetError(
                    f"{len(broken)} of {len(broken) + len(written)} episodes cannot be read, so none is imported"
                    + ("; --skip-broken imports the others" if written else "")
                )
    console.print(f"{len(written)} episodes: {out}", soft_wrap=True)
    if broken:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Found:
    """Episodes by name; broken: those that are known not to be readable, and why."""

    names: list[str]
    make: Callable[[str], Episode]
    broken: dict[str, str] = field(default_factory=dict)


def _source(place: Path, kind: Source, map_file: Path | None, picture_size: int, console: PlainConsole) -> _Found:
    if kind is Source.RECORDING:
        if map_file is not None:
            raise DataSetError("--map is of other tools' data; what clwm has recorded says itself what it means")
        files = {str(path): path for path in recording_files([place])}
        return _Found(list(files), lambda name: recorded_episode(files[name], picture_size))
    if kind is Source.ROSBAG:
        if map_file is None:
            raise DataSetError(f"nothing says what the topics of {place} mean; write a map (docs/data.md): --map")
        mapping, places = TopicMap.load(map_file), bags(place)
        number = {str(path): index for index, path in enumerate(places)}
        return _Found(list(number), lambda name: ForeignBag(Bag(Path(name)), mapping, number[name]).episode())
    found = DataSet(place)
    make = _maker(found, map_file, console)
    for note in found.notes:
        console.print(f"note: {note}", soft_wrap=True)
    numbers = {f"episode {index}": index for index in found.episodes}
    broken = {f"episode {index}": why for index, why in found.broken.items()}
    return _Found(list(numbers), lambda name: make(numbers[name]), broken)


def _filed(episode: Episode, scene: str, goal: str) -> Episode:
    """Under another scene or goal, where one is given. Raises DataSetError for what cannot be the name of a folder."""
    goals = (goal,) * len(episode.goals) if goal else episode.goals
    filed = replace(episode, scene=scene or episode.scene, goals=goals)
    for option, name in (("--scene", filed.scene), ("--goal", filed.kind)):
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise DataSetError(f"'{name}' cannot name a folder of episodes; give another one by {option}")
    return filed


def _recorded(place: Path, scene: str, goal: str, picture_size: int) -> tuple[list[Path], Callable[[Path], Episode]]:
    """Files of episodes, or of recordings where there are some, and what makes an episode of each."""
    if place.suffix == SUFFIX or (place.is_dir() and any(place.glob(f"*{SUFFIX}"))):
        if (scene, goal) != ("*", "*"):
            raise DataSetError("--scene and --goal choose among episodes; import the recordings first")
        return recording_files([place]), lambda path: recorded_episode(path, picture_size)
    return episode_files(place, scene, goal), Episode.load


@contextmanager
def _new_files() -> Iterator[list[Path]]:
    """What is written, noted in the list, goes again when not all could be."""
    written: list[Path] = []
    try:
        yield written
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _maker(found: DataSet, map_file: Path | None, console: PlainConsole):
    if map_file is None:
        if not is_own(found.info.features):
            raise DataSetError(
                f"{found.folder} was not exported by clwm, and nothing says what its numbers mean; write a map "
                "(docs/data.md) and give it by --map"
            )
        return lambda index: episode_of(found, found.frames(index))
    foreign = ForeignEpisodes(found, DataSetMap.load(map_file))
    if foreign.note:
        console.print(f"note: {foreign.note}", soft_wrap=True)
    return lambda index: foreign.episode(found.frames(index))


@contextmanager
def _explained(console: PlainConsole) -> Iterator[None]:
    try:
        yield
    except (DataSetError, EpisodeError, RecordingError, RobotError) as error:
        console.error(error)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        console.print("stopped; nothing was made")
        raise typer.Exit(130) from None
