"""The baseline that the memory is held against: the same blocks with the whole history as keys and values, no TTT.

It speaks the model's interface, so the engine, the losses and the measurements take it as it is. Every real
observation's keys and values stay and are attended to ever after, or the newest `window` of them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clwm_policy.model.clwm import Clwm, Context
from clwm_policy.model.sizes import ClwmConfig

KeysValues = tuple[Tensor, Tensor]  # (batch, heads, tokens, head width) each


@dataclass(frozen=True)
class KvHistory:
    """Keys and values of every layer, batch first, oldest observation first; never changed in place."""

    layers: tuple[KeysValues, ...]
    updates: int = 0

    def fork(self) -> KvHistory:
        """A history that starts equal; appending to either never shows in the other."""
        return KvHistory(self.layers, self.updates)

    def digest(self) -> str:
        """sha256 over every number held, in layer order."""
        digest = hashlib.sha256()
        for pair in self.layers:
            for tensor in pair:
                digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def nbytes(self) -> int:
        """Bytes held: they grow with every observation, up to the window."""
        return sum(tensor.numel() * tensor.element_size() for pair in self.layers for tensor in pair)


class NoMemory(nn.Module):
    """In the place of a block's TTT layer: adds nothing."""

    def read(self, z: Tensor, weights: object) -> Tensor:
        return z.new_zeros(())


class KvClwm(Clwm):
    """Clwm with a growing history in the place of the TTT memory; `memory_rank` of the configuration means nothing.

    window: observations that are kept, None for all of them.
    """

    def __init__(self, config: ClwmConfig, window: int | None = None) -> None:
        super().__init__(config)
        if window is not None and window < 1:
            raise ValueError(f"a window of {window} observations; expected at least 1, or None to keep them all")
        for block in self.blocks:
            block.memory = NoMemory()
        self.window = window

    @property
    def context_tokens(self) -> int:
        """Tokens of one observation: features, proprioception, executed rows, language."""
        return self.config.visual_tokens + 1 + self.config.executed_tokens + self.config.text_tokens

    def initial_memory(self, batch: int) -> KvHistory:
        """The history of a new episode: nothing."""
        config = self.config
        empty = self.visual_position.new_zeros(batch, config.heads, 0, config.width // config.heads)
        return KvHistory(tuple((empty, empty) for _ in self.blocks))

    def write(self, memory: KvHistory, context: Context) -> KvHistory:
        """Append the keys and values in `context`: an observation's, or in a working copy a prediction's."""
        kept = None if self.window is None else -self.window * self.context_tokens
        layers = tuple(
            (torch.cat([old_k, k], dim=2)[:, :, kept:], torch.cat([old_v, v], dim=2)[:, :, kept:])
            for (old_k, old_v), (k, v) in zip(memory.layers, context.past, strict=True)
        )
        return KvHistory(layers, memory.updates + 1)

    def _known(self, memory: KvHistory, context: Context | None, layer: int) -> tuple[None, KeysValues]:
        # What is denoised attends to the history alone: the observation in `context` was written to it before.
        return None, memory.layers[layer]
