"""How often the scripted experts succeed: `python -m clwm_sim.experts.expert_check --task lift_tray --episodes 200`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ROW_DT
from clwm_sim.controllers.interpolation import between
from clwm_sim.experts.task_expert import Expert
from clwm_sim.shipped_tasks import TASKS
from clwm_sim.world import World


def run_expert(world: World, expert: Expert, seed: int) -> Iterator[NDArray[np.float32]]:
    """Play one episode without noise, yielding each row (30,) as it takes effect, until it succeeds or fails."""
    world.reset(seed)
    row = expert.start()
    index = 0
    while not (world.succeeded() or world.failed()):
        yield row
        following = expert.next_row(row)
        index += 1
        world.advance(index * ROW_DT, between(row, following, (index - 1) * ROW_DT))
        row = following


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % confidence interval of a proportion (Wilson's score). Raises ValueError without trials."""
    if trials < 1:
        raise ValueError(f"Wilson interval of {trials} trials; expected at least 1")
    z = 1.96
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=sorted(TASKS), default=None, help="one task; both when left out")
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    world = World("lift_tray")
    expert = Expert(world)
    for task in [arguments.task] if arguments.task else sorted(TASKS):
        lengths, failures = [], []
        world.reset(0, task)
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.episodes):
            rows = sum(1 for _ in run_expert(world, expert, seed))
            if world.succeeded():
                lengths.append(rows * ROW_DT)
            else:
                failures.append(seed)
        low, high = wilson(len(lengths), arguments.episodes)
        length = f"{np.median(lengths):.1f} s" if lengths else "-"
        print(
            f"{task}: {len(lengths)}/{arguments.episodes} succeeded (95 % interval {low:.3f} to {high:.3f}), "
            f"median length {length}, failed seeds {failures}"
        )


if __name__ == "__main__":
    main()
