"""Pictures with a sentence of their scene and where the things are that it names.

Which thing a word means is learned only from many scenes side by side, and the streams of a training show too few at a
time: a step's are drawn from all that was seen lately, and from states that were only rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clwm_common.actions import ACTION_DIM
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_embodichain.episodes.choices import GoalChoice, kinds_of
from clwm_embodichain.episodes.features import encoded_once
from clwm_embodichain.training.encoder.data import read_shard, shards
from clwm_embodichain.training.encoder.roles import ROLES, role_of
from clwm_embodichain.training.policy.points import POSITIONS, PointHead
from clwm_embodichain.training.policy.samples import Coding, Samples, coded_positions
from clwm_perception.encoder import Encoder
from clwm_policy.memory.ttt import MemoryState
from clwm_policy.model.clwm import Clwm, Context
from clwm_policy.model.sizes import EXECUTED_ROWS
from clwm_sim.goals.base import Goal
from clwm_sim.registry import goal_kinds
from clwm_sim.scenes.things import Layout, Thing

_T = TypeVar("_T")


@dataclass(frozen=True)
class References:
    """n of them. features: (n, tokens, C), coded; proprioception: (n, 60), 0 where there is none; sentences: (n, width)
    embedded; places: (n, 2, 3) of the first two things that each names, coded as an anchor's; known: (n, 2).
    """

    features: Tensor
    proprioception: Tensor
    sentences: Tensor
    places: Tensor
    known: Tensor


def reference_loss(head: PointHead, model: Clwm, asked: References) -> Tensor:
    """The mean of those in which something is named, seen without noise, memory or past; 0 without any."""
    losses = head.loss(model, *_seen(model, asked), asked.places, asked.known)
    return losses.sum() / asked.known.any(-1).sum().clamp(min=1)


@torch.no_grad()
def reference_errors(head: PointHead, model: Clwm, unseen: RenderedReferences, count: int = 480) -> dict[str, float]:
    """Medians over `count` states, always the same ones: referent_mm, how far the first thing that a sentence names is
    from where the head says; and two controls. referent_misled_mm: when told a sentence that names another first;
    referent_mean_mm: of the mean place.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        told, misled = unseen.draw_pairs(count)
    unit = unseen.unit
    right, wrong = (head.places(model, *_seen(model, asked), count)[:, 0] for asked in (told, misled))
    place = told.places[:, 0]
    errors = {"referent_mm": right, "referent_misled_mm": wrong, "referent_mean_mm": place.mean(0)}
    return {name: float(1e3 * ((found - place) * unit).norm(dim=-1).median()) for name, found in errors.items()}


def _seen(model: Clwm, asked: References) -> tuple[MemoryState, Context]:
    memory = model.initial_memory(len(asked.places))
    past = asked.proprioception.new_zeros(len(asked.places), EXECUTED_ROWS, ACTION_DIM)
    nothing = torch.zeros(past.shape[:2], dtype=torch.bool, device=past.device)
    return memory, model.encode_context(
        memory, asked.features.float(), asked.proprioception, past, nothing, asked.sentences.float()
    )


class ReferenceBuffer:
    """The last `capacity` observations of whatever episodes, each equally likely to be drawn."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._added = 0
        self._kept: References | None = None

    def __len__(self) -> int:
        return min(self._added, self._capacity)

    def add(self, seen: Samples) -> None:
        rows = (self._added + torch.arange(len(seen.referents))) % self._capacity
        # A batch that is not finite is left out of the training once, and must not come back from here.
        finite = seen.features.flatten(1).isfinite().all(-1) & seen.proprioception.isfinite().all(-1)
        new = References(
            seen.features.half().nan_to_num(0.0, 0.0, 0.0),
            seen.proprioception.nan_to_num(0.0, 0.0, 0.0),
            seen.reference.half(),
            seen.referents,
            seen.referents_known & finite[:, None],
        )
        if self._kept is None:
            empty = (array.new_zeros(self._capacity, *array.shape[1:]) for array in vars(new).values())
            self._kept = References(*empty)
        for name, array in vars(new).items():
            getattr(self._kept, name)[rows] = array
        self._added += len(seen.referents)

    def draw(self, count: int) -> References | None:
        """None while there is none."""
        if self._kept is None:
            return None
        rows = torch.randint(len(self), (count,))
        return References(*(array[rows] for array in vars(self._kept).values()))


class RenderedReferences:
    """States of shards that the encoder was trained on, each with any sentence of its scene that names one of several
    things; sentences are drawn anew each time.
    """

    def __init__(
        self,
        features: Tensor,
        places: NDArray[np.float32],
        goals: Sequence[tuple[Goal, ...]],
        coding: Coding,
        embed: Callable[[str], Tensor],
    ) -> None:
        """features: (n, tokens, C) coded float16. places: (n, roles, 3) m. goals: of each state, none without any."""
        self._features, self._places, self._goals = features, places, goals
        self._coding, self._embed = coding, embed
        self._embedded: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return len(self._goals)

    @property
    def unit(self) -> Tensor:
        """(3,) m that a coded unit of the first place is."""
        absolute = self._coding.codec.absolute
        return torch.from_numpy((absolute.high - absolute.low)[POSITIONS[0]] / 2.0).float()

    def draw(self, count: int) -> References:
        rows = torch.randint(len(self), (count,)).tolist()
        return self._asked(rows, [_drawn(self._goals[row]) for row in rows])

    def draw_pairs(self, count: int) -> tuple[References, References]:
        """States, and the same ones told another sentence, which names another thing first."""
        rows = torch.randint(len(self), (count,)).tolist()
        goals = [_drawn(self._goals[row]) for row in rows]
        others = [
            _drawn([other for other in self._goals[row] if other.things[0] != goal.things[0]])
            for row, goal in zip(rows, goals, strict=True)
        ]
        return self._asked(rows, goals), self._asked(rows, others)

    def _asked(self, rows: Sequence[int], goals: Sequence[Goal]) -> References:
        count, sentences = len(rows), []
        places = np.full((count, 2, 3), np.nan, np.float32)
        for number, (row, goal) in enumerate(zip(rows, goals, strict=True)):
            sentences.append(self._sentence(_drawn(goal.sentences())))
            for index, thing in enumerate(goal.things[:2]):
                places[number, index] = self._places[row, ROLES.index(role_of(thing))]
        known = np.isfinite(places).all(axis=-1)
        coded = coded_positions(np.nan_to_num(places), self._coding.codec).astype(np.float32)
        return References(
            self._features[rows],
            torch.zeros(count, 2 * ACTION_DIM),
            torch.stack(sentences),
            torch.from_numpy(coded),
            torch.from_numpy(known),
        )

    def _sentence(self, text: str) -> Tensor:
        if text not in self._embedded:
            self._embedded[text] = self._embed(text).flatten()
        return self._embedded[text]


def _drawn(some: Sequence[_T]) -> _T:
    return some[int(torch.randint(len(some), ()))]


def reference_shards(folder: Path, choices: Sequence[GoalChoice]) -> list[Path]:
    """Those in `folder` of scenes with goals, among these, whose sentences name something; scene by scene.

    Raises ValueError for less than two: one is to measure by.
    """
    scenes = {choice.scene for choice in choices} & {scene for kind in _naming(choices) for scene in kind.scenes}
    found = [path for path in shards(folder) if path.stem.rpartition("-")[0] in scenes]
    if len(found) < 2:
        raise ValueError(
            f"--references {folder} has {len(found)} files of scenes in which sentences of --goals name something; "
            "expected at least two, one of them to measure by; make some with "
            "python -m clwm_embodichain.training.encoder.render"
        )
    return sorted(found, key=lambda path: path.stem.rpartition("-")[0])


def rendered_references(
    paths: Sequence[Path],
    choices: Sequence[GoalChoice],
    cache: Path,
    encoder: Encoder,
    coding: Coding,
    embed: Callable[[str], Tensor],
    console: PlainConsole,
) -> RenderedReferences:
    """Of the states in these shards in which one of several things may be named first. cache: of encoded pictures.

    Raises EncoderDataError when a shard is damaged, and ValueError when there is nothing of use.
    """
    naming = _naming(choices)
    features, places, goals = [], [], list[tuple[Goal, ...]]()
    with progress(console, "rendered states", max(1, len(paths))) as advance:
        for path in paths:
            frames, scene = read_shard(path), path.stem.rpartition("-")[0]
            offered = [goals_in(present, scene, naming) for present in frames.present]
            told = [index for index, some in enumerate(offered) if len({goal.things[0].name for goal in some}) > 1]
            if told:
                encoded = encoded_once(np.array(frames.images[:, 0]), cache / "references", encoder)
                features.append(coding.features.normalise(encoded[told]).half())
                places.append(frames.poses[told, :, :3])
                goals += [offered[index] for index in told]
            advance(1, path.name)
    if not goals:
        names = ", ".join(path.name for path in paths)
        raise ValueError(f"--references: no state in {names} shows two things of which a sentence of --goals names one")
    return RenderedReferences(torch.cat(features), np.concatenate(places), goals, coding, embed)


def _naming(choices: Sequence[GoalChoice]) -> list[type[Goal]]:
    kinds = [goal_kinds()[kind] for kind in kinds_of(choices) if kind in goal_kinds()]
    return [kind for kind in kinds if any("{" in text for text in kind.training)]


def goals_in(present: NDArray[np.bool_], scene: str, kinds: Sequence[type[Goal]]) -> tuple[Goal, ...]:
    """Of these kinds, in a state with these roles."""
    layout = Layout.of(*(_thing(role) for role, there in zip(ROLES, present, strict=True) if there))
    return tuple(goal for kind in kinds if scene in kind.scenes for goal in kind.offered(layout))


def _thing(role: str) -> Thing:
    colour, _, kind = role.rpartition(" ")
    return Thing(role, kind, (), (0.0, 0.0, 0.0), colour=colour)
