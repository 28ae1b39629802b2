"""Training samples: every observation of every episode, coded for the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clwm_common.actions import ACTION_DIM, CHANNEL_NAMES, CHUNK_ROWS, JOINTS
from clwm_embodichain.episodes.features import FeatureEpisode, PolicyDataError
from clwm_embodichain.training.policy.points import POSITIONS, next_keyposes
from clwm_policy.memory.ttt import MemoryState
from clwm_policy.model.action_codec import RELATIVE, ActionCodec, Normaliser
from clwm_policy.model.checkpoint import Scales
from clwm_policy.model.clwm import Clwm, Context
from clwm_policy.model.feature_scale import FeatureScale
from clwm_policy.model.sizes import EXECUTED_ROWS
from clwm_policy.model.state_predictor import StatePredictor

HORIZON = EXECUTED_ROWS  # rows between two observations
LONGEST_PREFIX = CHUNK_ROWS - HORIZON
POSE_SCALE = np.array([0.1] * 3 + [0.5] * 3)  # m and rad of tool motion that count like one coded unit

Jacobians = Callable[[NDArray[np.float32]], NDArray[np.float64]]  # joints (14,) -> (2, 6, 7)


@dataclass(frozen=True)
class Coding:
    """How physical rows and encoder features become model numbers, fitted on training episodes."""

    codec: ActionCodec
    features: FeatureScale
    state_predictor: StatePredictor

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(Scales.of(self).model_dump_json(by_alias=True))
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Coding:
        """Raises PolicyDataError for a file that is not whole: the weights beside it can be read by no other coding."""
        try:
            scales = Scales.model_validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())  # on one line
            raise PolicyDataError(f"{path} cannot be read ({reason}); restore it, or begin in another --out") from None
        return cls(scales.normaliser, scales.features, scales.state_predictor)


@dataclass(frozen=True)
class Samples:
    """n observations in model units, episodes one after the other.

    features: (n, tokens, C) float16. following: (n,) index of the observation one horizon later (the last one at an
    episode's end). proprioception and predicted_proprioception: (n, 60), measured and foreseen by the state predictor.
    executed: (n, 12, 30), executed_mask: (n, 12). target: (n, 16, 30) the expert's plan from here. committed: (n, 16,
    30) the four rows really executed from here, then the expert's plan from where they led: the chunk after a
    committed prefix of 4. weight: (n, 16) what each row of both counts. target_jacobian, committed_jacobian: (n, 16, 2,
    6, 7) float16, how much pose error (in POSE_SCALE) a coded joint error makes. keypose: (n, 2, 3) where each arm's
    tool will be when its gripper next moves, coded as an anchor's; keypose_known: (n, 2). reference: (n, width) half
    floats, one of the episode's references; referents: (n, 2, 3) where the things are that it names, coded likewise;
    referents_known: (n, 2). language: (n, width). task: (n,).
    first, last: (n,) range of the sample's episode.
    """

    features: Tensor
    following: Tensor
    proprioception: Tensor
    predicted_proprioception: Tensor
    executed: Tensor
    executed_mask: Tensor
    target: Tensor
    committed: Tensor
    weight: Tensor
    target_jacobian: Tensor
    committed_jacobian: Tensor
    keypose: Tensor
    keypose_known: Tensor
    reference: Tensor
    referents: Tensor
    referents_known: Tensor
    language: Tensor
    task: Tensor
    first: Tensor
    last: Tensor

    def __len__(self) -> int:
        return len(self.following)

    def take(self, index: Tensor | slice) -> Samples:
        return Samples(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def to(self, device: torch.device) -> Samples:
        return Samples(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def encode_observation(model: Clwm, memory: MemoryState, seen: Samples, language: Tensor | None = None) -> Context:
    """The context of observations as they are, without noise. language: in place of their own."""
    told = seen.language if language is None else language
    return model.encode_context(
        memory, seen.features.float(), seen.proprioception, seen.executed, seen.executed_mask, told
    )


def check_finite(what: str, arrays: dict[str, NDArray[Any]]) -> None:
    """Raises PolicyDataError naming `what`, the array and the place of the first number that is not finite."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            place = int(np.argwhere(~np.isfinite(array))[0][0])
            raise PolicyDataError(
                f"{what}: {name}[{place}] has numbers that are not finite; delete it, and record and encode it again"
            )


def _windows(episode: FeatureEpisode) -> dict[str, NDArray[Any]]:
    arrays = {name: getattr(episode, name) for name in ("features", "plans", "executed", "states")}
    check_finite(f"episode of {episode.scene}, {episode.goals[0]}, seed {episode.seed}", arrays)
    rows, length = episode.image_rows, len(episode.executed)
    chunk = np.minimum(rows[:, None] + np.arange(CHUNK_ROWS), length - 1)
    ahead = chunk[:, :LONGEST_PREFIX]
    behind = rows[:, None] + np.arange(-HORIZON, 0)
    stride = int(rows[1] - rows[0]) if len(rows) > 1 else HORIZON
    if stride != LONGEST_PREFIX:
        raise PolicyDataError(f"pictures every {stride} rows do not meet the horizon of {HORIZON}; record every 4 rows")
    # The plan made where the prefix ends; at the very end of an episode the arms are still and the last plan goes on.
    later = np.minimum(np.arange(len(rows)) + LONGEST_PREFIX // stride, len(rows) - 1)
    committed = np.concatenate([episode.executed[ahead], episode.plans[later, :HORIZON]], axis=1)
    # Where something else is asked for by then, nothing that was executed is an answer to the instruction held here.
    goes_on = episode.asked[later] == episode.asked
    committed[~goes_on] = episode.plans[~goes_on]
    return {
        "target": episode.plans,
        "committed": committed,
        "weight": np.ones(chunk.shape, np.float32) if episode.weights is None else episode.weights[chunk],
        "executed": episode.executed[np.maximum(behind, 0)],
        "mask": behind >= 0,
        "anchor": episode.executed[np.minimum(rows, length - 1)],
        "state": episode.states[np.minimum(rows, length - 1)],
        "previous_state": episode.states[np.maximum(rows - HORIZON, 0)],
        "later": later,
        "goes_on": goes_on,
        "following": np.minimum(np.arange(len(rows)) + HORIZON // stride, len(rows) - 1),
    }


def fit_coding(episodes: Sequence[FeatureEpisode]) -> Coding:
    """Percentiles, feature statistics and state predictor of the training episodes.

    Channels that they have not are absent from the policy, too: it is given 0 for them and learns to answer 0, and rows
    that it makes keep what is commanded there. Raises PolicyDataError when some have channels that others have not.
    """
    there = episodes[0].channels
    for episode in episodes:
        _check_channels(episode, there)
    parts = [_windows(episode) for episode in episodes]
    target, anchor, state, previous, executed, mask = (
        np.concatenate([part[name] for part in parts]).astype(np.float64)
        if name != "mask"
        else np.concatenate([part[name] for part in parts])
        for name in ("target", "anchor", "state", "previous_state", "executed", "mask")
    )
    codec = ActionCodec(
        chunk=Normaliser.fit(target - np.where(RELATIVE, anchor[:, None], 0.0), there),
        absolute=Normaliser.fit(anchor, there),
        lag=Normaliser.fit(state - anchor, there),
    )
    whole = mask.all(axis=1)
    predictor = StatePredictor.fit(previous[whole], executed[whole], anchor[whole], state[whole])
    features = np.concatenate([e.features.reshape(-1, e.features.shape[-1]) for e in episodes]).astype(np.float32)
    mean, std = features.mean(0), features.std(0) + 1e-6
    difference = np.concatenate(
        [
            (e.features[p["following"]].astype(np.float32) - e.features).reshape(-1, len(mean))
            for e, p in zip(episodes, parts, strict=True)
        ]
    )
    return Coding(codec, FeatureScale(mean, std, (difference / std).std(0) + 1e-3), predictor)


def build_samples(
    episodes: Sequence[FeatureEpisode],
    coding: Coding,
    embed: Callable[[str], Tensor],
    jacobians: Jacobians,
    tasks: Sequence[str] = (),
) -> Samples:
    """Code every observation. embed: sentence -> its embedding. tasks: kinds of goals that `task` counts through,
    default those that occur.

    Raises PolicyDataError for no episodes, and for one that has other channels than `coding`.
    """
    if not episodes:
        raise PolicyDataError("no successful episodes to make samples of")
    for episode in episodes:
        _check_channels(episode, coding.codec.chunk.mask)
    tasks = list(tasks) or sorted({kind for episode in episodes for kind in episode.kinds})
    codec, collected, start = coding.codec, [], 0
    for episode in episodes:
        part, count = _windows(episode), len(episode.image_rows)
        anchor = part["anchor"].astype(np.float64)
        predicted = np.stack(
            [
                coding.state_predictor.predict(
                    part["previous_state"][i], part["executed"][i][part["mask"][i]], anchor[i]
                )
                for i in range(count)
            ]
        )
        wide = anchor[:, None]
        asked = torch.from_numpy(episode.asked)
        bent = coded_jacobians(part["target"], codec, jacobians)
        places, known = next_keyposes(episode.executed, episode.image_rows, episode.asked)
        collected.append(
            {
                "features": coding.features.normalise(episode.features).half(),
                "following": torch.from_numpy(part["following"] + start),
                "proprioception": _tensor(codec.encode_state(part["state"], anchor)),
                "predicted_proprioception": _tensor(codec.encode_state(predicted, anchor)),
                "executed": _tensor(codec.encode_rows(part["executed"], wide)),
                "executed_mask": torch.from_numpy(part["mask"]),
                "target": _tensor(codec.encode_rows(part["target"], wide)),
                "committed": _tensor(codec.encode_rows(part["committed"], wide)),
                "weight": torch.from_numpy(part["weight"]),
                "target_jacobian": bent,
                "committed_jacobian": torch.where(
                    torch.from_numpy(part["goes_on"])[:, None, None, None, None],
                    torch.cat([bent[:, :LONGEST_PREFIX], bent[part["later"], :HORIZON]], dim=1),
                    bent,
                ),
                "keypose": _tensor(coded_positions(places, codec)),
                "keypose_known": torch.from_numpy(known),
                **_referring(episode, codec, embed),
                "language": torch.stack([embed(sentence).flatten() for sentence in episode.instructions])[asked],
                "task": torch.tensor([tasks.index(kind) for kind in episode.kinds])[asked],
                "first": torch.full((count,), start),
                "last": torch.full((count,), start + count - 1),
            }
        )
        start += count
    return Samples(**{name: torch.cat([part[name] for part in collected]) for name in collected[0]})


def _check_channels(episode: FeatureEpisode, there: NDArray[np.bool_]) -> None:
    different = [name for name, one, other in zip(CHANNEL_NAMES, episode.channels, there, strict=True) if one != other]
    if different:
        raise PolicyDataError(
            f"episode of {episode.scene}, {episode.goals[0]}, seed {episode.seed}: some of the training's episodes "
            f"have {', '.join(different)}, and others have not; train on those that have the same"
        )


def coded_jacobians(rows: NDArray[np.float32], codec: ActionCodec, jacobians: Jacobians) -> Tensor:
    """(n, 16, 2, 6, 7) float16 of rows (n, 16, 30): pose error, in POSE_SCALE, that a coded joint error makes."""
    half_range = ((codec.chunk.high - codec.chunk.low) / 2.0)[JOINTS].reshape(2, 1, 7)
    flat = np.stack([jacobians(joints) for joints in rows[..., JOINTS].reshape(-1, 14)])
    coded = flat * half_range / POSE_SCALE[:, None]
    return torch.from_numpy(coded.reshape(*rows.shape[:-1], 2, 6, 7).astype(np.float16))


def _referring(episode: FeatureEpisode, codec: ActionCodec, embed: Callable[[str], Tensor]) -> dict[str, Tensor]:
    """One of the episode's references for each observation, in turns; nothing is known without any."""
    count = len(episode.image_rows)
    if not episode.references or episode.referents is None:
        width = embed(episode.instructions[0]).numel()
        places, language = np.full((count, 2, 3), np.nan), torch.zeros(count, width)
    else:
        turn = np.arange(count) % len(episode.references)
        places = episode.referents[np.arange(count), turn]
        language = torch.stack([embed(sentence).flatten() for sentence in episode.references])[torch.from_numpy(turn)]
    known = np.isfinite(places).all(axis=-1)
    return {
        "reference": language.half(),
        "referents": _tensor(coded_positions(np.nan_to_num(places), codec)),
        "referents_known": torch.from_numpy(known),
    }


def coded_positions(places: NDArray[np.float32], codec: ActionCodec) -> NDArray[np.float64]:
    """Positions (n, 2, 3) m of both tools, as those of an anchor are coded."""
    rows = np.zeros((len(places), ACTION_DIM))
    for arm, position in enumerate(POSITIONS):
        rows[:, position] = places[:, arm]
    return np.stack([codec.absolute.encode(rows)[:, position] for position in POSITIONS], axis=1)


def concatenate(parts: Sequence[Samples]) -> Samples:
    """One after the other; indices into samples (following, first, last) keep referring to their own part."""
    return Samples(
        **{field.name: torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Samples)}
    )


def _tensor(array: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))
