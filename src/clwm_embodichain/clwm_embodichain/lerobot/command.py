"""`clwm data export` and `clwm data import`: episodes as data sets of other tools, and back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

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


class Format(str, Enum):
    """Of data sets of other tools."""

    LEROBOT = "lerobot"


def export(
    data: Annotated[Path, typer.Argument(help="folder of recorded episodes")] = Path("out/data"),
    to: Annotated[Format, typer.Option(help="format")] = Format.LEROBOT,
    out: Annotated[Path, typer.Option(help="folder of the data set, which is made")] = Path("out/lerobot"),
    scene: Annotated[str, typer.Option(help="episodes of this scene only")] = "*",
    goal: Annotated[str, typer.Option(help="episodes of this kind of goal only")] = "*",
    robot: Annotated[str, typer.Option(help="robot_type of the data set")] = "dual_fr3_mujoco",
    data_mb: Annotated[
        float, typer.Option(min=0.01, help="size from which on a new file of frames is begun")
    ] = DATA_MB,
    video_mb: Annotated[float, typer.Option(min=0.01, help="the same of videos")] = VIDEO_MB,
    force: Annotated[bool, typer.Option("--force", help="replace a data set that is there")] = False,
) -> None:
    """Write recorded episodes as a LeRobot v3.0 data set of 20 frames a second, with every number they have.

    The folder appears when it is complete; Ctrl-C leaves none.
    """
    console = PlainConsole()
    with _explained(console):
        files = episode_files(data, scene, goal)
        began = time.monotonic()
        with (
            DataSetWriter(
                out, features_of(Episode.load(files[0])), FPS, robot, data_mb=data_mb, video_mb=video_mb, replace=force
            ) as writer,
            progress(console, "exporting", len(files)) as advance,
        ):
            for path in files:
                writer.add(*frames_of(Episode.load(path)))
                advance(1, "")
            frames = writer.frames
        rate = frames / (time.monotonic() - began)
    console.print(f"{len(files)} episodes, {frames} frames ({rate:.0f} a second): {out}", soft_wrap=True)


def import_(
    source: Annotated[Path, typer.Argument(help="folder of the data set")],
    from_: Annotated[Format, typer.Option("--from", help="format")] = Format.LEROBOT,
    map_file: Annotated[
        Path | None, typer.Option("--map", help="what its numbers mean (YAML); not needed for an export of clwm")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder of episodes")] = Path("out/imported"),
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="import the other episodes when some cannot be read whole")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="replace episodes that are there")] = False,
) -> None:
    """Make episodes of a LeRobot v3.0 data set. Says what was changed, and which episodes cannot be read and why."""
    console = PlainConsole()
    with _explained(console):
        found = DataSet(source)
        make = _maker(found, map_file, console)
        for note in found.notes:
            console.print(f"note: {note}", soft_wrap=True)
        broken = dict(found.broken)
        with _new_files() as written, progress(console, "importing", len(found.episodes)) as advance:
            for index in found.episodes:
                try:
                    episode = make(index)
                except DataSetError as error:
                    broken[index] = str(error)
                    continue
                target = episode_path(out, episode.scene, episode.kind, episode.seed)
                if target.exists() and not force:
                    raise DataSetError(f"{target} exists already; name another --out, or give --force to replace it")
                episode.save(target)
                written.append(target)
                advance(1, "")
            for index, why in sorted(broken.items()):
                console.marked("cannot be read:", "yellow", f"episode {index}: {why}")
            if broken and not (skip_broken and written):
                raise DataSetError(
                    f"{len(broken)} of {len(broken) + len(written)} episodes cannot be read, so none is imported"
                    + ("; --skip-broken imports the others" if written else "")
                )
    console.print(f"{len(written)} episodes: {out}", soft_wrap=True)
    if broken:
        raise typer.Exit(1)


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
    except (DataSetError, EpisodeError, RobotError) as error:
        console.error(error)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        console.print("stopped; nothing was made")
        raise typer.Exit(130) from None
