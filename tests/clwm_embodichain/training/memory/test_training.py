"""The training to remember, on streams made of numbers: what is learned, the curriculum, interruptions."""

import copy

import numpy as np
import pytest
import torch

from clwm_common.actions import ACTION_DIM
from clwm_embodichain.training.curves import Curves, draw_curves
from clwm_embodichain.training.memory.choice import chosen_arms, chunks_after
from clwm_embodichain.training.memory.data import CHOOSING, CUE, OBSERVATIONS, WAITING, Recordings
from clwm_embodichain.training.memory.kv_model import KvClwm
from clwm_embodichain.training.memory.samples import SideStreams, delays_drawn, side_samples
from clwm_embodichain.training.memory.train import PANELS, fit_scale
from clwm_embodichain.training.memory.trainer import MemoryTrainer, MemoryTrainingSettings
from clwm_embodichain.training.policy.samples import Coding
from clwm_policy.engine.re_entry import Plan
from clwm_policy.model.action_codec import ActionCodec, Normaliser
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.sizes import ClwmConfig
from clwm_policy.model.state_predictor import REGRESSORS, StatePredictor

TINY = ClwmConfig(
    width=32, layers=2, heads=2, ffn_width=64, memory_rank=8, feature_channels=8, grid=2, executed_group=12
)
EPISODES = 12


def recordings():
    """Arms that hold still and then lift one hand; the cue's features tell which, all others are the same."""
    rng = np.random.default_rng(0)
    asked = np.arange(EPISODES) % 2
    features = np.tile(rng.normal(size=(OBSERVATIONS, 3, 2, 2, 8)), (EPISODES, 1, 1, 1, 1, 1))
    features[:, CUE : CUE + WAITING] = features[:, CUE : CUE + 1]
    features[asked == 1, :CUE] *= -1.0
    row = np.zeros(ACTION_DIM)
    row[[6, 13]] = 1.0
    chunks = np.tile(row, (EPISODES, OBSERVATIONS, 16, 1))
    lift = np.linspace(0.0, 0.3, 12)
    for episode, arm in enumerate(asked):
        chunks[episode, CUE + WAITING :, 4:, 14 + 7 * arm] += lift
        chunks[episode, CUE + WAITING :, 4:, 7 * arm + 2] += lift
    return Recordings(
        features.astype(np.float16),
        np.tile(row, (EPISODES, OBSERVATIONS, 1)).astype(np.float32),
        chunks.astype(np.float32),
        np.tile(row, (EPISODES, OBSERVATIONS, 12, 1)).astype(np.float32),
        asked,
        np.array(["remember"] * EPISODES),
        np.arange(EPISODES),
    )


@pytest.fixture(scope="module")
def data():
    wide = Normaliser(np.full(ACTION_DIM, -0.5), np.full(ACTION_DIM, 0.5), np.ones(ACTION_DIM, dtype=bool))
    found = recordings()
    coding = Coding(ActionCodec(wide, wide, wide), fit_scale(found), StatePredictor(np.zeros((ACTION_DIM, REGRESSORS))))
    samples = side_samples(
        found, coding, lambda sentence: torch.zeros(384), lambda joints: np.tile(np.eye(6, 7), (2, 1, 1))
    )
    return samples, coding


def trainer_of(data, kind=Clwm, **changes):
    samples, coding = data
    torch.manual_seed(0)
    settings = MemoryTrainingSettings(**({"streams": 4, "warmup_steps": 5, "steps": 1000} | changes))
    return MemoryTrainer(kind(TINY), samples, coding, settings, clock=lambda: 0.0)


def test_stream_is_the_cue_then_the_delay_then_the_choice_and_both_sides_are_in_it(data):
    samples, _ = data
    for _ in range(5):
        steps = SideStreams(samples, 1).draw(4, 7)
        phases = torch.stack(steps) % OBSERVATIONS
        cues = int((phases[:, 0] < CUE).sum())
        assert 1 <= cues <= CUE and len(steps) == cues + 7 + CHOOSING
        assert ((phases[cues:-CHOOSING] >= CUE) & (phases[cues:-CHOOSING] < CUE + WAITING)).all()
        assert phases[-CHOOSING:, 0].tolist() == list(range(CUE + WAITING, OBSERVATIONS))
        assert samples.task[steps[0]].tolist() == [0, 0, 1, 1]
        # A stream is one episode's from beginning to end.
        assert len({tuple((step // OBSERVATIONS).tolist()) for step in steps}) == 1


def test_delays_reach_the_longest_and_never_pass_it():
    generator = np.random.default_rng(0)
    drawn = [delays_drawn(40, 2, generator) for _ in range(500)]
    assert min(drawn) == 2 and max(drawn) == 40


@pytest.mark.parametrize("kind", [Clwm, KvClwm])
def test_a_few_steps_teach_what_the_cue_meant(data, kind):
    trainer = trainer_of(data, kind, learning_rate=4e-3, recalled=1.1)
    losses = [trainer.step() for _ in range(40)]
    for name in ("recall", "action"):
        values = [loss[name] for loss in losses]
        assert np.median(values[-10:]) < 0.5 * np.median(values[:5]), name


def test_longest_delay_grows_when_the_side_is_recalled_and_stops_at_the_longest_of_all(data):
    trainer = trainer_of(data, learning_rate=1e-9, recalled=0.5, growth=10.0)
    trainer.recall = 1.0
    trainer.step()
    assert trainer.longest == 20.0
    trainer.recall, trainer.longest = 1.0, 59.5
    trainer.step()
    assert trainer.longest == 60.0


def test_longest_delay_does_not_grow_while_the_side_is_guessed(data):
    trainer = trainer_of(data, learning_rate=1e-9)
    for _ in range(8):
        trainer.step()
    assert trainer.longest == 2


@pytest.mark.parametrize("kind", [Clwm, KvClwm])
def test_interrupted_training_goes_on_as_if_it_had_not_been(data, kind):
    whole = trainer_of(data, kind)
    for _ in range(4):
        whole.step()
    first = trainer_of(data, kind)
    for _ in range(2):
        first.step()
    state = first.state()  # with the random numbers to come, which another trainer would draw anew
    second = trainer_of(data, kind)
    second.resume(state)
    for _ in range(2):
        second.step()
    for ours, theirs in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_state_of_an_earlier_release_with_one_optimiser_goes_on(data):
    trainer = trainer_of(data)
    trainer.step()
    old = copy.deepcopy(trainer.state())
    (old["optimiser"],) = old.pop("optimisers")
    expected = trainer.step()
    again = trainer_of(data)
    again.resume(old)
    assert again.step() == expected and again.steps_done == 2


def test_forgetting_model_answers_from_the_last_observation_alone(data):
    samples, _ = data
    torch.manual_seed(0)
    model = Clwm(TINY).eval()
    torch.nn.init.normal_(model.action_out.weight)
    streams = SideStreams(samples, 0).draw(4, 3)[: 1 - CHOOSING]
    steps = [samples.take(index) for index in streams]

    def chunk(steps, forgets):
        return chunks_after(model, steps, Plan(1, 2), torch.Generator().manual_seed(0), forgets=forgets)

    assert torch.equal(chunk(steps, True), chunk(steps[-1:], True))
    assert not torch.equal(chunk(steps, False), chunk(steps[-1:], False))


def test_chosen_arm_is_the_hand_that_moves_further():
    rows = torch.zeros(2, 16, ACTION_DIM)
    rows[0, -1, 2] = 0.1
    rows[1, -1, 9], rows[1, -1, 2] = 0.1, 0.05
    assert chosen_arms(rows).tolist() == [0, 1]


@pytest.mark.parametrize("field, value", [("streams", 3), ("streams", 0), ("minutes", 0.0), ("steps", -1)])
def test_setting_that_makes_no_sense_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        MemoryTrainingSettings(**{field: value})


def test_recordings_come_back_as_they_were_saved(tmp_path):
    found = recordings()
    found.save(tmp_path / "some.npz")
    again = Recordings.load(tmp_path / "some.npz")
    assert np.array_equal(again.chunks, found.chunks) and np.array_equal(again.instruction, found.instruction)


def test_curves_of_all_trainings_are_one_picture(tmp_path):
    Curves(tmp_path / "ttt.jsonl").append({"minutes": 1.0, "action": 0.1, "recalled": 0.9, "longest": 8})
    draw_curves(tmp_path / "curves.png", PANELS, {"ttt": tmp_path / "ttt.jsonl", "kv": tmp_path / "kv.jsonl"})
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
