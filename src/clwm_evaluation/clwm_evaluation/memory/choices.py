"""remember_side in closed loop: several memories on the same seeds, with the whole stack around them, virtual clock."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clwm_embodichain.training.memory.coarse_encoder import CoarseEncoder
from clwm_embodichain.training.memory.kv_model import KvClwm
from clwm_evaluation.statistics import wilson95
from clwm_evaluation.virtual.chunk_sources import ForgetfulSource, ModelSource
from clwm_evaluation.virtual.stack import Latency, VirtualStack
from clwm_perception.encoder import Encoder
from clwm_policy.engine.engine import Engine
from clwm_policy.engine.re_entry import Plan, Sequential
from clwm_policy.model.checkpoint import CheckpointError, Policy, load_policy
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.language import SentenceEncoder
from clwm_sim.shipped_tasks import RememberSide
from clwm_sim.world import World

DELAYS = (2, 5, 10, 20, 40, 60)
FIRST_SEED = 6_000_000  # training data stays below 1,000,000
PLAN = Plan(video_steps=2, action_steps=4)
_LATENCY = Latency(0.08)


@dataclass(frozen=True)
class Contestant:
    """Who remembers: a checkpoint of `models/memory`, the class of its model, and whether its memory is reset."""

    file: str
    architecture: type[Clwm]
    forgets: bool = False


CONTESTANTS = {
    "ttt": Contestant("ttt", Clwm),
    "reset": Contestant("ttt", Clwm, forgets=True),
    "kv": Contestant("kv", KvClwm),
}


@dataclass(frozen=True)
class Outcome:
    """One episode. outcome: `success` is the asked hand, `failure` the other one, `timeout` neither."""

    contestant: str
    policy_hash: str
    delay: int
    seed: int
    asked_arm: int
    outcome: str


def load_contestant(name: str, folder: Path, encoder_hash: str | None = None) -> Policy:
    """Raises CheckpointError."""
    contestant = CONTESTANTS[name]
    path = folder / f"{contestant.file}.safetensors"
    try:
        return load_policy(path, encoder_hash, contestant.architecture)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error} (python -m clwm_embodichain.training.memory.train --kind {contestant.file} makes it)"
        ) from error


def balanced_seeds(delay: int, first_seed: int, episodes: int) -> list[int]:
    """The first seeds from `first_seed` on, half of which ask for either hand. Raises ValueError for an odd number."""
    if episodes < 2 or episodes % 2:
        raise ValueError(f"{episodes} episodes per delay; expected an even number, half of them for either side")
    found: dict[int, list[int]] = {0: [], 1: []}
    seed = first_seed
    while min(len(seeds) for seeds in found.values()) < episodes // 2:
        # As World.reset draws it.
        found[RememberSide(delay).place(np.random.default_rng([seed, 1])).asked_arm].append(seed)
        seed += 1
    return sorted(seed for seeds in found.values() for seed in seeds[: episodes // 2])


class ClosedLoop:
    """One world and the contestants that were asked for; runs episodes one at a time."""

    def __init__(self, models: Path, encoder: Path) -> None:
        self._world = World(RememberSide.name)
        self._encoder = CoarseEncoder(Encoder.load(encoder))
        self._models = models
        self._embed = SentenceEncoder().embed
        self._stacks: dict[str, tuple[VirtualStack, str]] = {}

    def run(self, contestant: str, delay: int, seed: int) -> Outcome:
        """Raises CheckpointError when the contestant has no checkpoint for this encoder."""
        stack, policy_hash = self._stack(contestant)
        self._world.reset(seed, f"{RememberSide.name}:{delay}")
        asked = self._world.table().asked_arm
        return Outcome(contestant, policy_hash, delay, seed, int(asked), stack.run(seed).outcome)

    def close(self) -> None:
        """Free the world's GL context."""
        self._world.close()

    def _stack(self, contestant: str) -> tuple[VirtualStack, str]:
        if contestant not in self._stacks:
            policy = load_contestant(contestant, self._models, self._encoder.weights_hash)
            engine = Engine(policy, self._embed, Sequential(), PLAN, time.perf_counter)
            source = ForgetfulSource if CONTESTANTS[contestant].forgets else ModelSource
            made = source(self._encoder, engine, tuple(self._world.robot.cameras))
            self._stacks[contestant] = VirtualStack(self._world, made, _LATENCY), policy.policy_hash
        return self._stacks[contestant]


def run_trials(
    kept: Path | None,
    contestants: Sequence[str],
    delays: Sequence[int],
    episodes: int,
    first_seed: int,
    models: Path,
    encoder: Path,
) -> Iterator[tuple[Outcome, bool]]:
    """Every contestant on the same seeds; yields each outcome and whether it was read from `kept` instead of run.

    kept: JSON-lines file that every outcome is added to, so that an interrupted measurement goes on where it stopped.
    """
    known = {_key(outcome): outcome for outcome in read_outcomes(kept)}
    hashes = {name: load_contestant(name, models).policy_hash for name in contestants}
    # Episode by episode over all delays, so that a measurement cut short is small everywhere instead of lacking rows.
    seeds = {delay: balanced_seeds(delay, first_seed, episodes) for delay in delays}
    wanted = [
        (name, delay, seeds[delay][index]) for index in range(episodes) for delay in delays for name in contestants
    ]
    with closing(ClosedLoop(models, encoder)) as loop:
        for name, delay, seed in wanted:
            if (found := known.get((name, hashes[name], delay, seed))) is not None:
                yield found, True
                continue
            outcome = loop.run(name, delay, seed)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                with kept.open("a") as stream:
                    stream.write(json.dumps(asdict(outcome)) + "\n")
            yield outcome, False


def read_outcomes(path: Path | None) -> list[Outcome]:
    """What is kept in `path`. Raises ValueError for a line that is no outcome, naming it."""
    if path is None or not path.exists():
        return []
    outcomes = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            outcomes.append(Outcome(**json.loads(line)))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, line {number} is no outcome ({error}); remove the line or the file") from None
    return outcomes


def _key(outcome: Outcome) -> tuple[str, str, int, int]:
    return outcome.contestant, outcome.policy_hash, outcome.delay, outcome.seed


def summarise(outcomes: Iterable[Outcome]) -> dict[str, dict[str, dict[str, Any]]]:
    """contestant -> delay -> right and wrong choices, episodes with neither, Wilson 95 % interval of the right ones."""
    cells: dict[tuple[str, int], list[Outcome]] = {}
    for outcome in outcomes:
        cells.setdefault((outcome.contestant, outcome.delay), []).append(outcome)
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for (name, delay), found in sorted(cells.items()):
        right = sum(outcome.outcome == "success" for outcome in found)
        low, high = wilson95(right, len(found))
        table.setdefault(name, {})[str(delay)] = {
            "right": right,
            "wrong": sum(outcome.outcome == "failure" for outcome in found),
            "neither": sum(outcome.outcome == "timeout" for outcome in found),
            "episodes": len(found),
            "asked_left": sum(outcome.asked_arm == 0 for outcome in found),
            "rate": round(right / len(found), 4),
            "wilson95": [round(low, 4), round(high, 4)],
        }
    return table
