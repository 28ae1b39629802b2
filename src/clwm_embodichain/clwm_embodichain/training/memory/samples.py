"""Recordings of `remember_side` in model units, and streams of any delay made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clwm_common.actions import CHUNK_ROWS
from clwm_embodichain.training.memory.data import CHOOSING, CUE, OBSERVATIONS, WAITING, Recordings
from clwm_embodichain.training.policy.samples import HORIZON, Coding, Jacobians, Samples, check_finite, coded_jacobians

_CUE_SEEN_ONCE = 0.3  # share of streams whose second sight of the cue was missed


def side_samples(
    recordings: Recordings, coding: Coding, embed: Callable[[str], Tensor], jacobians: Jacobians
) -> Samples:
    """Every observation coded, episodes one after the other, OBSERVATIONS each; `task` is the asked arm."""
    for index in range(len(recordings)):
        one = {name: getattr(recordings, name)[index] for name in ("features", "states", "chunks")}
        check_finite(f"recording of seed {recordings.seed[index]}", one)
    codec, count = coding.codec, len(recordings)
    chunks, executed = (array.reshape(-1, *array.shape[2:]) for array in (recordings.chunks, recordings.executed))
    states, anchors = recordings.states.reshape(-1, 30), chunks[:, 0].astype(np.float64)
    at_start = np.arange(len(states)) % OBSERVATIONS == 0
    previous = np.where(at_start[:, None], states, np.roll(states, 1, axis=0))
    predicted = np.stack(
        [
            coding.state_predictor.predict(before, rows[:0] if fresh else rows, anchor)
            for before, rows, anchor, fresh in zip(previous, executed, anchors, at_start, strict=True)
        ]
    )
    wide, rows = anchors[:, None], chunks.reshape(-1, CHUNK_ROWS, 30)
    target, bent = _tensor(codec.encode_rows(rows, wide)), coded_jacobians(rows, codec, jacobians)
    first = torch.arange(count).repeat_interleave(OBSERVATIONS) * OBSERVATIONS
    index = torch.arange(count * OBSERVATIONS)
    sentences = {sentence: embed(str(sentence)) for sentence in set(recordings.instruction)}
    language = torch.stack([sentences[sentence] for sentence in recordings.instruction])
    unknown = torch.zeros(len(index), 2, dtype=torch.bool)  # nothing is grasped, and nothing named
    return Samples(
        features=coding.features.normalise(recordings.features.reshape(-1, *recordings.features.shape[2:])).half(),
        following=torch.minimum(index + 1, first + OBSERVATIONS - 1),
        proprioception=_tensor(codec.encode_state(states, anchors)),
        predicted_proprioception=_tensor(codec.encode_state(predicted, anchors)),
        executed=_tensor(codec.encode_rows(executed, wide)),
        executed_mask=torch.from_numpy(~at_start)[:, None].expand(-1, HORIZON),
        target=target,
        committed=target,
        weight=torch.ones(target.shape[:2]),
        target_jacobian=bent,
        committed_jacobian=bent,
        keypose=torch.zeros(len(index), 2, 3),
        keypose_known=unknown,
        reference=language.repeat_interleave(OBSERVATIONS, dim=0).half(),
        referents=torch.zeros(len(index), 2, 3),
        referents_known=unknown,
        language=language.repeat_interleave(OBSERVATIONS, dim=0),
        task=torch.from_numpy(recordings.asked_arm).repeat_interleave(OBSERVATIONS),
        first=first,
        last=first + OBSERVATIONS - 1,
    )


class SideStreams:
    """Draws batches of streams: the cue, `delay` waiting observations in any order, then the choice; sides balanced."""

    def __init__(self, samples: Samples, seed: int) -> None:
        arms = samples.task[samples.first.unique()].numpy()
        self._of_arm = [np.flatnonzero(arms == arm) for arm in (0, 1)]
        self.generator = np.random.default_rng(seed)

    def draw(self, streams: int, delay: int) -> list[Tensor]:
        """One sample index (streams,) per step; the last CHOOSING steps are the choice. An even number of streams."""
        half = [self.generator.choice(found, streams // 2) for found in self._of_arm]
        start = np.concatenate(half) * OBSERVATIONS
        seen_once = self.generator.random() < _CUE_SEEN_ONCE
        steps: list[NDArray[np.int64]] = [start + cue for cue in range(1 if seen_once else CUE)]
        steps += [start + CUE + self.generator.integers(WAITING, size=streams) for _ in range(delay)]
        steps += [start + CUE + WAITING + choice for choice in range(CHOOSING)]
        return [torch.from_numpy(step) for step in steps]


def delays_drawn(longest: int, shortest: int, generator: np.random.Generator) -> int:
    """A delay up to `longest`: two in ten are the longest itself, the others spread over its orders of magnitude."""
    if generator.random() < 0.2:
        return longest
    return int(np.exp(generator.uniform(np.log(shortest), np.log(longest + 1))))


def _tensor(array: NDArray[np.float64] | Sequence[float]) -> Tensor:
    return torch.from_numpy(np.asarray(array, dtype=np.float32))
