"""The command `clwm data record`: fresh episodes of the experts, as files."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from clwm_common.actions import ROW_DT
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_embodichain.episodes.choices import GoalChoice, choices
from clwm_embodichain.episodes.recorder import Recorder
from clwm_embodichain.episodes.schedule import Schedule
from clwm_embodichain.episodes.storage import EpisodeError, episode_path
from clwm_embodichain.episodes.table_recording import check_seeds
from clwm_embodichain.expansion.parts import Expansion, ExpansionError
from clwm_sim.registry import RegistryError


@dataclass(frozen=True)
class RecordOrder:
    """One episode to be played, and to be kept in `out` when it succeeds."""

    choice: GoalChoice
    seed: int
    expansion: Expansion
    out: Path

    @property
    def path(self) -> Path:
        return episode_path(self.out, self.choice.scene, self.choice.kind, self.seed)


@dataclass(frozen=True)
class Recorded:
    """How it went. rows: of the episode."""

    order: RecordOrder
    success: bool
    rows: int


def record(
    scene: Annotated[str, typer.Option(help="a scene, or all; table: that of the first tasks")] = "all",
    goal: Annotated[str, typer.Option(help="a kind of goal, or all that a scene offers")] = "all",
    episodes: Annotated[int, typer.Option(min=1, help="seeds to play, of all goals together")] = 600,
    expansion: Annotated[str, typer.Option(help="all, none, or parts with commas between them")] = "all",
    first_seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path, typer.Option(help="folder of the data; each scene gets one in it")] = Path("out/data"),
    workers: Annotated[int, typer.Option(min=1, help="processes")] = 1,
) -> None:
    """Record the experts, every time in a sentence drawn anew; some episodes ask for something else in their middle.

    Goals of one scene find the same kinds of places, and a share of the episodes asks to keep still there: only the
    instruction tells what is meant. Seeds recorded before are skipped, failed ones are counted, not kept.
    """
    console = PlainConsole(highlight=False)
    try:
        schedule, parts = Schedule(choices(scene, goal)), Expansion.parse(expansion)
        check_seeds(first_seed, episodes)
    except (RegistryError, ExpansionError, EpisodeError) as error:
        console.error(error)
        raise typer.Exit(2) from None
    seeds = range(first_seed, first_seed + episodes)
    record_all([RecordOrder(schedule.choose(seed), seed, parts, out) for seed in seeds], workers, console)


def record_all(orders: Sequence[RecordOrder], workers: int, console: PlainConsole) -> None:
    """Record those that are not recorded yet, and tell how it went."""
    left = [order for order in orders if not order.path.exists()]
    console.print(f"{len(orders) - len(left)} of {len(orders)} recorded before, {len(left)} to do")
    done: list[Recorded] = []
    try:
        with progress(console, "recording", len(left)) as advance, _recording(left, workers) as results:
            for result in results:
                done.append(result)
                advance(1, f"{result.order.choice} seed {result.order.seed}{'' if result.success else ' failed'}")
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from here")
        raise
    finally:
        _tell(done, console)


def _tell(done: Sequence[Recorded], console: PlainConsole) -> None:
    for choice in dict.fromkeys(result.order.choice for result in done):
        own = [result for result in done if result.order.choice == choice]
        kept = [result.rows for result in own if result.success]
        failed = sorted(result.order.seed for result in own if not result.success)
        text = f"{choice}: kept {len(kept)} episodes"
        text += f" of {np.median(kept) * ROW_DT:.1f} s (median)" if kept else ""
        text += f"; the expert failed in {len(failed)} of {len(own)}: seeds {failed}" if failed else ""
        console.print(text, soft_wrap=True)


_recorder: Recorder | None = None


def _start_worker() -> None:
    global _recorder  # one set of compiled scenes and one GL context per process, made after the spawn
    _recorder = Recorder()


def _record(order: RecordOrder) -> Recorded:
    assert _recorder is not None, "a worker records only after _start_worker"
    episode = _recorder.record(order.choice, order.seed, order.expansion)
    if episode.success:
        episode.save(order.path)
    return Recorded(order, episode.success, len(episode.commands))


@contextmanager
def _recording(orders: Sequence[RecordOrder], workers: int) -> Iterator[Iterator[Recorded]]:
    if workers == 1:
        _start_worker()
        yield map(_record, orders)
        return
    with multiprocessing.get_context("spawn").Pool(workers, _start_worker) as pool:
        yield pool.imap_unordered(_record, orders)


if __name__ == "__main__":
    typer.run(record)
