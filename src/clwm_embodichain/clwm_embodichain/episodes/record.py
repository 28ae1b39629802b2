"""Record episodes of the scripted expert: `clwm record --task lift_tray --episodes 300`."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from clwm_common.actions import CHUNK_ROWS, GRIPPERS, ROW_DT
from clwm_common.terminal.console import PlainConsole
from clwm_embodichain.episodes.storage import IMAGE_STRIDE, Episode, EpisodeError, episode_path
from clwm_embodichain.expansion.disturbance import Disturbance
from clwm_sim.cameras import CAMERAS
from clwm_sim.controllers.interpolation import between
from clwm_sim.experts.task_expert import CLOSED, Expert
from clwm_sim.shipped_tasks import table_task_named
from clwm_sim.world import World

FIRST_EVALUATION_SEED = 1_000_000
STILL_ROWS = 12  # kept after success: 0.6 s of holding still
LOOKS_STRENGTH, CAMERA_JITTER = 0.5, 0.15


def record_episode(world: World, expert: Expert, seed: int, *, disturbed: bool = True) -> Episode:
    """Play and record one episode; `success` tells whether it is worth keeping.

    Raises EpisodeError for a seed that is reserved for evaluation.
    """
    check_seeds(seed, 1)
    world.reset(seed)
    rng = np.random.default_rng([seed, 3])
    world.randomise_appearance(rng, LOOKS_STRENGTH, CAMERA_JITTER)
    disturbance = Disturbance(rng)
    executed = [expert.start()]
    commands = [executed[0]]
    states, images, keypoints, poses, moments = [], [], [], [], []
    left = STILL_ROWS
    while left and not world.failed():
        index = len(executed) - 1
        measured = world.measured()
        states.append(expert.row_of(measured.positions, measured.widths))
        if index % IMAGE_STRIDE == 0:
            images.append(np.stack([world.render(camera) for camera in CAMERAS]))
            poses.append(np.stack([world.camera_pose(camera) for camera in CAMERAS]))
            keypoints.append(world.keypoint_array())
            moments.append((world.table(), expert.velocity))
        commands.append(expert.next_row(executed[-1]))
        executed.append(_disturb(commands[-1], expert, disturbance) if disturbed else commands[-1])
        world.advance((index + 1) * ROW_DT, between(executed[-2], executed[-1], index * ROW_DT))
        left -= world.succeeded()
    rows, success = len(states), world.succeeded()
    plans = []
    for row, (situation, velocity) in zip(range(0, rows, IMAGE_STRIDE), moments, strict=True):
        chunk = slice(row, row + CHUNK_ROWS)
        if row + CHUNK_ROWS <= rows and np.array_equal(commands[chunk], executed[chunk]):
            plans.append(np.stack(commands[chunk]))
        else:
            plans.append(expert.plan(executed[row], situation, velocity, CHUNK_ROWS))
    return Episode(
        images=np.stack(images),
        image_rows=np.arange(0, rows, IMAGE_STRIDE),
        plans=np.stack(plans),
        commands=np.stack(commands[:rows]),
        executed=np.stack(executed[:rows]),
        states=np.stack(states),
        keypoints=np.stack(keypoints).astype(np.float32),
        keypoint_visible=np.tile(world.keypoint_visible(), (len(images), 1)),
        camera_pose=np.stack(poses).astype(np.float32),
        success=success,
        instruction=world.instruction(seed),
        task=world.task.name,
        seed=seed,
    )


def _disturb(row: NDArray, expert: Expert, disturbance: Disturbance) -> NDArray[np.float32]:
    early = disturbance.closes_early(expert.noise_tolerance)
    shift, turn = disturbance.next_step(expert.noise_tolerance)
    row = expert.displaced(row, shift, turn)
    row[GRIPPERS] = np.where(early, CLOSED, row[GRIPPERS])
    return row


def check_seeds(first_seed: int, episodes: int) -> None:
    """Raises EpisodeError when a seed is negative or would be among those that evaluation relies on being unseen."""
    if first_seed < 0 or first_seed + episodes > FIRST_EVALUATION_SEED:
        raise EpisodeError(
            f"seeds {first_seed} to {first_seed + episodes - 1} are not all below {FIRST_EVALUATION_SEED}; seeds "
            "from there on are reserved for evaluation"
        )


_worker: tuple[World, Expert, Path] | None = None


def _start_worker(task: str, out: Path) -> None:
    global _worker  # one world and one GL context per process, made after the spawn
    world = World(task)
    _worker = (world, Expert(world), out)


def _record_seed(seed: int) -> tuple[int, bool, int]:
    assert _worker is not None, "a worker records only after _start_worker"
    world, expert, out = _worker
    episode = record_episode(world, expert, seed)
    if episode.success:
        episode.save(episode_path(out, world.task.name, seed))
    return seed, episode.success, len(episode.commands)


@contextmanager
def _results(task: str, out: Path, seeds: list[int], workers: int) -> Iterator[Iterator[tuple[int, bool, int]]]:
    if workers == 1:
        _start_worker(task, out)
        yield map(_record_seed, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(workers, _start_worker, (task, out)) as pool:
        yield pool.imap_unordered(_record_seed, seeds)


def record(
    task: Annotated[str, typer.Option(help="task to record")],
    episodes: Annotated[int, typer.Option(min=1, help="number of seeds to play")] = 300,
    first_seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path, typer.Option(help="folder of the data; each task gets one in it")] = Path("out/data"),
    workers: Annotated[int, typer.Option(min=1, help="processes")] = 1,
) -> None:
    """Record the expert under disturbance; seeds recorded before are skipped, failed ones are counted, not kept."""
    console = PlainConsole()
    try:
        table_task_named(task)
        check_seeds(first_seed, episodes)
    except ValueError as error:
        console.error(error)
        raise typer.Exit(2) from None
    wanted = range(first_seed, first_seed + episodes)
    seeds = [seed for seed in wanted if not episode_path(out, task, seed).exists()]
    console.print(f"{task}: {episodes - len(seeds)} of {episodes} recorded before, {len(seeds)} to do")
    lengths, failed = [], []
    with _results(task, out, seeds, workers) as results:
        for seed, success, rows in track(results, f"recording {task}", total=len(seeds), console=console):
            (lengths if success else failed).append(rows if success else seed)
    if lengths:
        console.print(f"kept {len(lengths)} episodes of {np.median(lengths) * ROW_DT:.1f} s (median)")
    if failed:
        console.print(f"the expert failed under disturbance in {len(failed)} of {len(seeds)}: seeds {sorted(failed)}")


if __name__ == "__main__":
    typer.run(record)
