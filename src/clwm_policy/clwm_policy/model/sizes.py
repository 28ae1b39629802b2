"""Sizes of the model. `wan5b` has the paper's dimensions; `nano` is what two CPU cores train and run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from clwm_common.actions import ACTION_DIM, CHUNK_ROWS

EXECUTED_ROWS = 12  # executed rows shown to the model: one execution horizon


@dataclass(frozen=True)
class ClwmConfig:
    """Every number that decides the shape of the weights. Raises ValueError when they do not fit together."""

    width: int = 192
    layers: int = 4
    heads: int = 6
    ffn_width: int = 768
    memory_rank: int = 32
    feature_channels: int = 128
    cameras: int = 3
    grid: int = 4
    video_patch: int = 2
    text_width: int = 384
    executed_group: int = 3
    action_dim: int = ACTION_DIM
    chunk_rows: int = CHUNK_ROWS

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}; choose one that is")
        if self.grid % self.video_patch:
            raise ValueError(
                f"grid {self.grid} is not a multiple of video_patch {self.video_patch}; choose one that is"
            )
        if EXECUTED_ROWS % self.executed_group:
            raise ValueError(f"executed_group {self.executed_group} does not divide {EXECUTED_ROWS} executed rows")

    @property
    def visual_tokens(self) -> int:
        """Feature tokens of one observation: cameras x grid x grid."""
        return self.cameras * self.grid**2

    @property
    def video_tokens(self) -> int:
        """Tokens that stage 1 denoises: patches of `video_patch` x `video_patch` feature tokens."""
        return self.visual_tokens // self.video_patch**2

    @property
    def patch_channels(self) -> int:
        """Numbers in one video token."""
        return self.feature_channels * self.video_patch**2

    @property
    def executed_tokens(self) -> int:
        """Tokens that carry the executed rows."""
        return EXECUTED_ROWS // self.executed_group

    @property
    def proprioception_width(self) -> int:
        """Anchor row and the measured state's distance from it, side by side."""
        return 2 * self.action_dim

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ClwmConfig:
        """Raises ValueError for a missing or an unknown field: a checkpoint must say every size."""
        expected = {field.name for field in fields(cls)}
        if set(data) != expected:
            missing, unknown = sorted(expected - set(data)), sorted(set(data) - expected)
            raise ValueError(f"model configuration lacks {missing} and has unknown fields {unknown}")
        return cls(**{name: int(value) for name, value in data.items()})


PRESETS: dict[str, ClwmConfig] = {
    "nano": ClwmConfig(),
    "base": ClwmConfig(width=768, layers=12, heads=12, ffn_width=3072, memory_rank=64, feature_channels=768),
    # Wan2.2-TI2V-5B's core, which the paper starts from: 30 layers, hidden 3072, 24 heads, FFN 14336, text 4096.
    "wan5b": ClwmConfig(
        width=3072, layers=30, heads=24, ffn_width=14336, memory_rank=64, feature_channels=768, grid=14, text_width=4096
    ),
}
