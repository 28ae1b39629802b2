"""Pictures with a sentence of their scene and where the things are that it names.

Which thing a word means is learned only from many scenes side by side, and the streams of a training show too few at a
time: a step's are drawn from all that was seen lately, and from states that were only rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

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
from clwm_embodichain.training.policy.points import PointHead
from clwm_embodichain.training.policy.samples import Coding, Samples, coded_positions
from clwm_perception.encoder import Encoder
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.sizes import EXECUTED_ROWS
from clwm_sim.goals.base import Goal
from clwm_sim.registry import goal_kinds
from clwm_sim.scenes.things import Layout, Thing


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
    count, memory = len(asked.places), model.initial_memory(len(asked.places))
    past = asked.proprioception.new_zeros(count, EXECUTED_ROWS, ACTION_DIM)
    nothing = torch.zeros(past.shape[:2], dtype=torch.bool, device=past.device)
    context = model.encode_context(
        memory, asked.features.float(), asked.proprioception, past, nothing, asked.sentences.float()
    )
    losses = head.loss(model, memory, context, asked.places, asked.known)
    return losses.sum() / asked.known.any(-1).sum().clamp(min=1)


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

    def draw(self, count: int) -> References:
        rows = torch.randint(len(self), (count,))
        sentences, places = [], np.full((count, 2, 3), np.nan, np.float32)
        for number, row in enumerate(rows.tolist()):
            goals = self._goals[row]
            goal = goals[int(torch.randint(len(goals), ()))]
            texts = goal.sentences()
            sentences.append(self._sentence(texts[int(torch.randint(len(texts), ()))]))
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


def rendered_references(
    folder: Path,
    choices: Sequence[GoalChoice],
    cache: Path,
    encoder: Encoder,
    coding: Coding,
    embed: Callable[[str], Tensor],
    console: PlainConsole,
) -> RenderedReferences:
    """Of all shards in `folder` whose scenes offer one of these goals for several things. cache: of encoded pictures.

    Raises EncoderDataError when a shard is damaged, and ValueError when there is nothing of use.
    """
    kinds = {kind: goal_kinds()[kind] for kind in kinds_of(choices) if kind in goal_kinds()}
    naming = [kind for kind in kinds.values() if any("{" in text for text in kind.training)]
    scenes = {choice.scene for choice in choices} & {scene for kind in naming for scene in kind.scenes}
    paths = [path for path in shards(folder) if path.stem.rpartition("-")[0] in scenes]
    features, places, goals = [], [], list[tuple[Goal, ...]]()
    with progress(console, "rendered states", max(1, len(paths))) as advance:
        for path in paths:
            frames, scene = read_shard(path), path.stem.rpartition("-")[0]
            offered = [goals_in(present, scene, naming) for present in frames.present]
            told = [index for index, some in enumerate(offered) if len(some) > 1]
            if told:
                encoded = encoded_once(frames.images[:, 0], cache / "references", encoder)
                features.append(coding.features.normalise(encoded[told]).half())
                places.append(frames.poses[told, :, :3])
                goals += [offered[index] for index in told]
            advance(1, path.name)
    if not goals:
        raise ValueError(
            f"--references {folder}: no state in it is of a scene whose sentences name one of several things "
            f"({', '.join(sorted(scenes)) or 'none of --goals is'}); make some with "
            "python -m clwm_embodichain.training.encoder.render"
        )
    return RenderedReferences(torch.cat(features), np.concatenate(places), goals, coding, embed)


def goals_in(present: NDArray[np.bool_], scene: str, kinds: Sequence[type[Goal]]) -> tuple[Goal, ...]:
    """Of these kinds, in a state with these roles."""
    layout = Layout.of(*(_thing(role) for role, there in zip(ROLES, present, strict=True) if there))
    return tuple(goal for kind in kinds if scene in kind.scenes for goal in kind.offered(layout))


def _thing(role: str) -> Thing:
    colour, _, kind = role.rpartition(" ")
    return Thing(role, kind, (), (0.0, 0.0, 0.0), colour=colour)
