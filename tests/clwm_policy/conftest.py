"""A policy small enough for a test, and the messages of a made-up episode."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from clwm_common.actions import ACTION_DIM, LAYOUT_VERSION, ROW_DT, pack
from clwm_common.files.policy_document import PolicyInputs
from clwm_common.messages import ActionChunk, ChunkRequest, DualArmState, FeatureFrame
from clwm_policy.engine.engine import Engine
from clwm_policy.engine.re_entry import Plan, parse_re_entry
from clwm_policy.model.action_codec import ActionCodec, Normaliser
from clwm_policy.model.checkpoint import Policy
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.feature_scale import FeatureScale
from clwm_policy.model.sizes import ClwmConfig
from clwm_policy.model.state_predictor import REGRESSORS, StatePredictor

ENCODER_HASH = "e" * 64
HORIZON = 12
INPUTS = PolicyInputs(
    cameras=("head", "left_wrist", "right_wrist"),
    picture_size=(32, 32),
    layout_version=LAYOUT_VERSION,
    row_dt=ROW_DT,
    execution_horizons=(HORIZON,),
    prefix_lengths=(1, 2, 4),
    sentences={"lift": ("lift the tray",)},
)
PERIOD = 0.6


@pytest.fixture(scope="session")
def tiny_policy() -> Policy:
    """Random weights everywhere, so that nothing is zero by initialisation."""
    torch.set_num_threads(1)
    config = ClwmConfig(
        width=16, layers=2, heads=2, ffn_width=32, memory_rank=4, feature_channels=6, grid=2, text_width=384
    )
    torch.manual_seed(0)
    model = Clwm(config)
    for out in (model.video_out, model.action_out):
        torch.nn.init.normal_(out.weight, std=0.2)
    around_zero = Normaliser(np.full(ACTION_DIM, -1.0), np.full(ACTION_DIM, 1.0), np.ones(ACTION_DIM, dtype=bool))
    rng = np.random.default_rng(0)
    return Policy(
        model=model.eval(),
        codec=ActionCodec(around_zero, around_zero, around_zero),
        features=FeatureScale(
            mean=rng.normal(size=6).astype(np.float32),
            std=rng.uniform(0.5, 2.0, size=6).astype(np.float32),
            residual_std=rng.uniform(0.5, 1.0, size=6).astype(np.float32),
        ),
        state_predictor=StatePredictor(rng.normal(scale=0.1, size=(ACTION_DIM, REGRESSORS))),
        encoder_hash=ENCODER_HASH,
        policy_hash="tiny",
        inputs=INPUTS,
    )


def embed(sentence: str) -> torch.Tensor:
    """A sentence's made-up embedding."""
    return torch.full((384,), len(sentence) / 10.0)


@pytest.fixture(scope="session")
def made_up_embedding():
    """Stands in for the sentence model."""
    return embed


class CountingStopwatch:
    """Goes on by one second per look: durations become numbers of looks."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return float(self.looks)


def held_row(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pose = np.concatenate([rng.normal(size=3), [0.1, 0.9, 0.2, 0.3]])
    return pack(pose, pose, rng.normal(size=14), [0.02, 0.04])


@dataclass
class Episode:
    """Plays executor and perception for one engine; chunk k is asked for at k * PERIOD, after chunk k - 1 was made."""

    engine: Engine
    seed: int = 7
    chunk_id: int = 0
    epoch: int = 1
    last: ActionChunk | None = None

    def next_request(self, **changes) -> ChunkRequest:
        self.chunk_id += 1
        moving = self.last is not None
        request = ChunkRequest(
            chunk_id=self.chunk_id,
            task_epoch=self.epoch,
            observe_at=self.chunk_id * PERIOD,
            needed_by=self.chunk_id * PERIOD + 0.2,
            committed_prefix=self.last.rows[HORIZON:] if moving else held_row()[None],
            executed_rows=self.last.rows[:HORIZON] if moving else np.zeros((0, ACTION_DIM), np.float32),
            instruction="lift the tray",
            episode_seed=self.seed,
            at_rest=not moving,
            executed_chunk_id=self.last.chunk_id if moving else 0,
        )
        return replace(request, **changes)

    def frame(self, **changes) -> FeatureFrame:
        features = np.random.default_rng(100 + self.chunk_id).normal(size=(3, 2, 2, 6)).astype(np.float16)
        frame = FeatureFrame(
            self.chunk_id * PERIOD, features, ("head", "left_wrist", "right_wrist"), "tiny", ENCODER_HASH
        )
        return replace(frame, **changes)

    def state(self, values: np.ndarray | None = None) -> DualArmState:
        values = held_row(self.chunk_id) if values is None else values
        return DualArmState(self.chunk_id * PERIOD, values, np.ones(ACTION_DIM, dtype=bool))

    def run(self, chunks: int, idle_steps: int = 100) -> list[tuple]:
        """Make chunks with at most `idle_steps` steps of idle-time work each; their (chunk, report) pairs."""
        made = []
        for _ in range(chunks):
            self.engine.request(self.next_request())
            for _ in range(idle_steps):
                if not self.engine.advance():
                    break
            made.append(self.engine.observe(self.frame(), self.state()))
            self.last = made[-1][0]
        return made


@pytest.fixture
def make_episode(tiny_policy):
    """make_episode(re_entry='fixed:0.5', video_steps=2, action_steps=4) -> Episode with its own engine."""

    def make(
        re_entry: str = "fixed:0.5", video_steps: int = 2, action_steps: int = 4, policy: Policy = tiny_policy, **fields
    ):
        engine = Engine(policy, embed, parse_re_entry(re_entry), Plan(video_steps, action_steps), CountingStopwatch())
        return Episode(engine, **fields)

    return make
