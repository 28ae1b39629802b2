"""CLWM: two flow-matching stages (next feature, then action chunk) on one shared transformer core with a TTT memory.

Everything is in normalised units (`feature_scale`, `action_codec`), batch first, and functional in the memory: calls
return new states and change nothing. Only flow-time embeddings and linear projections belong to one stage (Mixture of
Transformers, paper).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from clwm_policy.memory.ttt import FastWeights, MemoryState
from clwm_policy.model.blocks import Block, FlowTimeEmbedding
from clwm_policy.model.sizes import EXECUTED_ROWS, ClwmConfig

_POSITION_STD = 0.02  # standard deviation of learned position embeddings


@dataclass(frozen=True)
class Context:
    """What the denoising steps attend to, encoded once: they never write into it.

    past: per layer keys and values (batch, heads, tokens, head width). absorbed: per layer the tokens
    (batch, tokens, width) that a memory write takes in. patches: the observation's features as video tokens
    (batch, video tokens, patch channels).
    """

    past: tuple[tuple[Tensor, Tensor], ...]
    absorbed: tuple[Tensor, ...]
    patches: Tensor


class Clwm(nn.Module):
    """The model. Token counts at nano size: context 71, video 12, action 16.

    `x` of the velocity calls may hold n entries per context entry, neighbours sharing a context: several noises for the
    price of one context.
    """

    def __init__(self, config: ClwmConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.blocks = nn.ModuleList(
            Block(width, config.heads, config.ffn_width, config.memory_rank) for _ in range(config.layers)
        )
        self.visual_in = nn.Linear(config.feature_channels, width)
        self.visual_position = _positions(config.visual_tokens, width)
        self.proprioception_in = nn.Linear(config.proprioception_width, width)
        self.executed_in = nn.Linear(config.executed_group * (config.action_dim + 1), width)
        self.executed_position = _positions(config.executed_tokens, width)
        self.language_in = nn.Linear(config.text_width, width)
        if config.text_tokens > 1:
            self.language_position = _positions(config.text_tokens, width)

        # Stage 1. The present patch goes in beside the noisy one: a residual is local.
        self.video_in = nn.Linear(2 * config.patch_channels, width)
        self.video_position = _positions(config.video_tokens, width)
        self.video_time = FlowTimeEmbedding(width)
        self.video_norm = nn.LayerNorm(width)
        self.video_out = nn.Linear(width, config.patch_channels)

        # Stage 2.
        self.prediction_in = nn.Linear(2 * config.patch_channels, width)
        self.prediction_position = _positions(config.video_tokens, width)
        self.action_in = nn.Linear(config.action_dim, width)
        self.action_position = _positions(config.chunk_rows, width)
        self.action_time = FlowTimeEmbedding(width)
        self.action_norm = nn.LayerNorm(width)
        self.action_out = nn.Linear(width, config.action_dim)
        for out in (self.video_out, self.action_out):
            nn.init.zeros_(out.weight)
            nn.init.zeros_(out.bias)

    @property
    def backend(self) -> str:
        """What runs the calls, and all of it that may change their last bits."""
        return f"torch {torch.__version__}, {torch.get_num_threads()} thread(s)"

    def initial_memory(self, batch: int) -> MemoryState:
        """W0 for every batch entry: the memory of a new episode."""
        return MemoryState(tuple(block.memory.initial(batch) for block in self.blocks))

    def encode_context(
        self,
        memory: MemoryState,
        features: Tensor,
        proprioception: Tensor,
        executed: Tensor,
        executed_mask: Tensor,
        language: Tensor,
    ) -> Context:
        """Encode one observation under `memory`.

        features: (batch, visual tokens, C) normalised. proprioception: (batch, 60) of `ActionCodec.encode_state`.
        executed: (batch, 12, 30) and executed_mask (batch, 12) of `ActionCodec.encode_executed`. language: (batch,
        text tokens x text width) of `SentenceEncoder.embed`. Raises ValueError when a shape is wrong.
        """
        tokens = self._context_tokens(features, proprioception, executed, executed_mask, language)
        # All of them lead: only the keys, values and absorbed tokens are asked for.
        _, past, absorbed = self._core(memory, tokens, None, tokens.shape[1])
        return Context(past, absorbed, self.to_patches(features))

    def encode_with_preview(
        self,
        memory: MemoryState,
        features: Tensor,
        proprioception: Tensor,
        executed: Tensor,
        executed_mask: Tensor,
        language: Tensor,
        x: Tensor,
    ) -> tuple[Context, Tensor]:
        """`encode_context` and, in the same pass, the clean residual that stage 1 believes in at (x, s = 0).

        x: (batch, visual tokens, C), the noise. The preview reads `memory` as given, before the observation is written.
        """
        context = self._context_tokens(features, proprioception, executed, executed_mask, language)
        patches, lead = self.to_patches(features), context.shape[1]
        video = self._video_tokens(x, x.new_zeros(x.shape[0]), patches)
        tokens, past, absorbed = self._core(memory, torch.cat([context, video], dim=1), None, lead)
        clean = self.from_patches(self.video_out(self.video_norm(tokens)))
        past = tuple((k[:, :, :lead], v[:, :, :lead]) for k, v in past)
        return Context(past, tuple(z[:, :lead] for z in absorbed), patches), clean

    def write(self, memory: MemoryState, context: Context) -> MemoryState:
        """One gradient step per layer on the observation in `context`.

        On a real observation this makes W_long; on a surrogate, and only on a fork, a working state.
        """
        layers = tuple(
            block.memory.write(tokens, weights)
            for block, tokens, weights in zip(self.blocks, context.absorbed, memory.layers, strict=True)
        )
        return MemoryState(layers, memory.updates + 1)

    def read(self, memory: MemoryState, context: Context, tokens: Tensor) -> Tensor:
        """What tokens (batch, n, width) of somebody else's become when they attend to a context."""
        return self._core(memory, tokens, context)[0]

    def video_velocity(self, memory: MemoryState, context: Context, x: Tensor, s: Tensor) -> Tensor:
        """Velocity (n * batch, visual tokens, C) of the normalised residual f_{t+H} - f_t at flow times s."""
        return _velocity(self.video_clean(memory, context, x, s), x, s[:, None, None])

    def video_clean(self, memory: MemoryState, context: Context, x: Tensor, s: Tensor) -> Tensor:
        """The clean residual that stage 1 believes in at (x, s); the velocity points there."""
        tokens, _, _ = self._core(memory, self._video_tokens(x, s, context.patches), context)
        return self.from_patches(self.video_out(self.video_norm(tokens)))

    def absorb(self, memory: MemoryState, context: Context, prediction: Tensor) -> tuple[MemoryState, Context]:
        """The working state's only update: take in the predicted residual (batch, visual tokens, C), once, at s = 0.

        Returns the updated working state and a context that also holds the prediction's keys and values.
        """
        tokens = self._prediction_tokens(context, prediction)
        _, past, absorbed = self._core(memory, tokens, context, tokens.shape[1])
        updated = self.write(memory, Context(past, absorbed, context.patches))
        return updated, _joined(context, past)

    def action_preview(
        self, memory: MemoryState, context: Context, prediction: Tensor, x: Tensor, s: Tensor
    ) -> tuple[Tensor, Context]:
        """In one pass: the clean chunk that stage 2 believes in at (x, s) given a prediction that is not absorbed.

        memory: a working state that is read and not updated. Returns the chunk (batch, 16, 30) and a context that also
        holds the prediction's keys and values, as `absorb` does.
        """
        known = self._prediction_tokens(context, prediction)
        lead = known.shape[1]
        tokens, past, _ = self._core(memory, torch.cat([known, self._action_tokens(x, s)], dim=1), context, lead)
        clean = self.action_out(self.action_norm(tokens))
        return clean, _joined(context, tuple((k[:, :, :lead], v[:, :, :lead]) for k, v in past))

    def action_velocity(self, memory: MemoryState, context: Context, x: Tensor, s: Tensor) -> Tensor:
        """Velocity (n * batch, 16, 30) at flow times s (n * batch, 16), one per row.

        Committed-prefix rows carry s = 1 and their clean values; their velocity is exactly zero.
        """
        return _velocity(self.action_clean(memory, context, x, s), x, s.unsqueeze(-1))

    def action_clean(self, memory: MemoryState, context: Context, x: Tensor, s: Tensor) -> Tensor:
        """The clean chunk that stage 2 believes in at (x, s); the velocity points there."""
        tokens, _, _ = self._core(memory, self._action_tokens(x, s), context)
        return self.action_out(self.action_norm(tokens))

    def to_patches(self, features: Tensor) -> Tensor:
        """(batch, cameras * grid * grid, C) -> (batch, video tokens, patch * patch * C)."""
        config, patch = self.config, self.config.video_patch
        side = config.grid // patch
        x = features.reshape(-1, config.cameras, side, patch, side, patch, config.feature_channels)
        return x.permute(0, 1, 2, 4, 3, 5, 6).reshape(features.shape[0], config.video_tokens, config.patch_channels)

    def from_patches(self, patches: Tensor) -> Tensor:
        """The inverse of `to_patches`."""
        config, patch = self.config, self.config.video_patch
        side = config.grid // patch
        x = patches.reshape(-1, config.cameras, side, side, patch, patch, config.feature_channels)
        return x.permute(0, 1, 2, 4, 3, 5, 6).reshape(patches.shape[0], config.visual_tokens, config.feature_channels)

    def _context_tokens(
        self, features: Tensor, proprioception: Tensor, executed: Tensor, executed_mask: Tensor, language: Tensor
    ) -> Tensor:
        config, batch = self.config, features.shape[0]
        _expect("features", features, (batch, config.visual_tokens, config.feature_channels))
        _expect("proprioception", proprioception, (batch, config.proprioception_width))
        _expect("executed", executed, (batch, EXECUTED_ROWS, config.action_dim))
        _expect("executed_mask", executed_mask, (batch, EXECUTED_ROWS))
        _expect("language", language, (batch, config.language_width))
        mask = executed_mask.to(executed.dtype).unsqueeze(-1)
        groups = torch.cat([executed * mask, mask], dim=-1).reshape(batch, config.executed_tokens, -1)
        return torch.cat(
            [
                _project(self.visual_in, features) + self.visual_position,
                _project(self.proprioception_in, proprioception).unsqueeze(1),
                _project(self.executed_in, groups) + self.executed_position,
                self._language_tokens(language),
            ],
            dim=1,
        )

    def _language_tokens(self, language: Tensor) -> Tensor:
        if self.config.text_tokens == 1:
            return _project(self.language_in, language).unsqueeze(1)
        states = language.unflatten(1, (self.config.text_tokens, self.config.text_width))
        # Of the size of other inputs; zeros, where a sentence has no more tokens, stay zeros.
        sized = functional.normalize(states, dim=-1) * math.sqrt(self.config.text_width)
        return _project(self.language_in, sized) + self.language_position

    def _video_tokens(self, x: Tensor, s: Tensor, patches: Tensor) -> Tensor:
        _expect("x", x, (s.shape[0], self.config.visual_tokens, self.config.feature_channels))
        if (repeats := x.shape[0] // patches.shape[0]) > 1:
            patches = patches.repeat_interleave(repeats, dim=0)
        tokens = _project(self.video_in, torch.cat([self.to_patches(x), patches], dim=-1))
        return tokens + self.video_position + self.video_time(s).unsqueeze(1)

    def _prediction_tokens(self, context: Context, prediction: Tensor) -> Tensor:
        tokens = _project(self.prediction_in, torch.cat([self.to_patches(prediction), context.patches], dim=-1))
        return tokens + self.prediction_position

    def _action_tokens(self, x: Tensor, s: Tensor) -> Tensor:
        _expect("x", x, (s.shape[0], self.config.chunk_rows, self.config.action_dim))
        return _project(self.action_in, x) + self.action_position + self.action_time(s)

    def _core(
        self, memory: MemoryState, tokens: Tensor, context: Context | None, lead: int | None = None
    ) -> tuple[Tensor, tuple[tuple[Tensor, Tensor], ...], tuple[Tensor, ...]]:
        """Tokens (all after the first `lead`), and per layer the keys, values and absorbed tokens of all of them."""
        past, absorbed = [], []
        for layer, block in enumerate(self.blocks):
            weights, known = self._known(memory, context, layer)
            tokens, own, z = block(tokens, weights, known, lead, layer == len(self.blocks) - 1)
            past.append(own)
            absorbed.append(z)
        return tokens, tuple(past), tuple(absorbed)

    def _known(
        self, memory: MemoryState, context: Context | None, layer: int
    ) -> tuple[FastWeights, tuple[Tensor, Tensor] | None]:
        """What a block reads besides its tokens: fast weights, and keys and values to attend to."""
        return memory.layers[layer], None if context is None else context.past[layer]


def _project(linear: nn.Linear, x: Tensor) -> Tensor:
    # States and observations are float32 whatever the precision of the core: the integration goes on with them.
    return linear(x.to(linear.weight.dtype))


def _velocity(clean: Tensor, x: Tensor, s: Tensor) -> Tensor:
    # On the straight path x = (1-s) eps + s x1, so x1 - eps = (x1 - x) / (1-s); rows already at s = 1 do not move.
    remaining = 1.0 - s
    return torch.where(remaining > 0.0, (clean - x) / remaining.clamp(min=1e-3), torch.zeros_like(x))


def _joined(context: Context, past: tuple[tuple[Tensor, Tensor], ...]) -> Context:
    joined = tuple(
        (torch.cat([old_k, k], dim=2), torch.cat([old_v, v], dim=2))
        for (old_k, old_v), (k, v) in zip(context.past, past, strict=True)
    )
    return Context(joined, context.absorbed, context.patches)


def _positions(tokens: int, width: int) -> nn.Parameter:
    return nn.Parameter(_POSITION_STD * torch.randn(tokens, width))


def _expect(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; expected {shape}")
