"""Sizes of the model. `wan5b` has the paper's dimensions; `nano` is what two CPU cores train and run."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import PositiveInt

from clwm_common.actions import ACTION_DIM, CHUNK_ROWS

EXECUTED_ROWS = 12  # executed rows shown to the model: one execution horizon


@dataclass(frozen=True)
class ClwmConfig:
    """Every number that decides the shape of the weights. Raises ValueError when they do not fit together.

    text_tokens: of an instruction; 1: the embedding of the whole sentence.
    """

    width: PositiveInt = 192
    layers: PositiveInt = 4
    heads: PositiveInt = 6
    ffn_width: PositiveInt = 768
    memory_rank: PositiveInt = 32
    feature_channels: PositiveInt = 128
    cameras: PositiveInt = 3
    grid: PositiveInt = 4
    video_patch: PositiveInt = 2
    text_tokens: PositiveInt = 1
    text_width: PositiveInt = 384
    executed_group: PositiveInt = 3
    action_dim: PositiveInt = ACTION_DIM
    chunk_rows: PositiveInt = CHUNK_ROWS

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
    def language_width(self) -> int:
        """Numbers of an instruction: those of its tokens one after the other."""
        return self.text_tokens * self.text_width

    @property
    def proprioception_width(self) -> int:
        """Anchor row and the measured state's distance from it, side by side."""
        return 2 * self.action_dim


SAID_LATER = {"text_tokens": 1}  # sizes that files do not say from when there was only this value
PRESETS: dict[str, ClwmConfig] = {
    "nano": ClwmConfig(text_tokens=18),
    "base": ClwmConfig(width=768, layers=12, heads=12, ffn_width=3072, memory_rank=64, feature_channels=768),
    # Wan2.2-TI2V-5B's core, which the paper starts from: 30 layers, hidden 3072, 24 heads, FFN 14336, text 4096.
    "wan5b": ClwmConfig(
        width=3072, layers=30, heads=24, ffn_width=14336, memory_rank=64, feature_channels=768, grid=14, text_width=4096
    ),
}
