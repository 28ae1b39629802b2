"""Which rows of a policy's own episodes are imitated, and trainings that go on from a checkpoint beside them."""

import dataclasses
import json

import numpy as np
import pytest
import torch
import typer

from clwm_common.actions import ROW_DT
from clwm_common.files.model_files import ModelFiles
from clwm_common.recordings.corrections import CorrectionLabel
from clwm_common.recordings.reader import RecordingError
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_common.terminal.console import PlainConsole
from clwm_embodichain.cluster.placement import Placement
from clwm_embodichain.episodes.features import FeatureEpisode, PolicyDataError, encode_features, load_episodes
from clwm_embodichain.episodes.storage import Episode, EpisodeError
from clwm_embodichain.recordings.grid_episode import episode_of_rows
from clwm_embodichain.stream.workers import SimulationWorkers, told_type
from clwm_embodichain.training.policy import train as train_policy
from clwm_embodichain.training.policy.experience import (
    ExperienceSettings,
    experience_files,
    keep_coding,
    load_experience,
    row_weights,
)
from clwm_embodichain.training.policy.losses import LossSettings, observation_losses
from clwm_embodichain.training.policy.samples import build_samples, fit_coding
from clwm_embodichain.training.policy.streams import MixedStreams, OnlineStreams, RecordedStreams
from clwm_policy.model.checkpoint import load_policy
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.sizes import SAID_LATER, ClwmConfig

MODEL = ModelFiles.load("nano")
ROWS = 80
SETTINGS = ExperienceSettings(intervention_weight=4.0, before_takeover=10 * ROW_DT)
TINY = ClwmConfig(width=32, layers=2, heads=2, ffn_width=64, memory_rank=8, feature_channels=8)


def mask(*spans):
    found = np.zeros(ROWS, bool)
    for begin, end in spans:
        found[begin:end] = True
    return found


def episode(human=(), held=None, *, said=(), success=True, seed=1, goal="place_block", size=128):
    robot = RobotDescription.load("dual_fr3_mujoco")
    kinematics, rng = DualArmKinematics(robot), np.random.default_rng(seed)
    joints = robot.home + 0.1 * np.sin(0.05 * np.arange(ROWS)[:, None] + rng.uniform(0, 6, 14))
    rows = np.stack([kinematics.row(row, np.array([0.08, 0.04])) for row in joints])
    return episode_of_rows(
        rng.integers(0, 255, (ROWS // 4, 3, size, size, 3), dtype=np.uint8),
        rows,
        rows,
        interventions=mask(*human),
        held=None if held is None else mask(*held),
        corrections=np.where(mask(*said), np.int8(CorrectionLabel.DISCARDED), np.int8(0)) if said else None,
        instructions=("put the block on the pad",),
        goals=(goal,),
        cameras=("head", "left_wrist", "right_wrist"),
        success=success,
        scene="table",
        seed=seed,
    )


def spans(weights):
    """[(value, rows)] in order."""
    edges = [0, *np.flatnonzero(np.diff(weights)) + 1, len(weights)]
    return [(float(weights[a]), b - a) for a, b in zip(edges, edges[1:], strict=False)]


def test_what_a_human_did_counts_more_and_what_led_to_it_nothing():
    assert spans(row_weights(episode([(40, 60)]), SETTINGS)) == [(1, 30), (0, 10), (4, 20), (1, 20)]


def test_arms_that_were_held_before_the_take_over_had_been_lost_before():
    lost = episode([(40, 60)], held=[(34, 40), (60, 66)])
    assert spans(row_weights(lost, SETTINGS)) == [(1, 24), (0, 16), (4, 20), (0, 6), (1, 14)]


def test_arms_that_were_held_for_another_reason_only_leave_those_rows_out():
    assert spans(row_weights(episode(held=[(30, 40)]), SETTINGS)) == [(1, 30), (0, 10), (1, 40)]


def test_a_discarded_correction_trains_nothing_and_neither_does_what_led_to_it():
    discarded = episode([(40, 60)], said=[(40, 66)])
    assert spans(row_weights(discarded, SETTINGS)) == [(1, 30), (0, 36), (1, 14)]


def test_a_correction_shortly_after_another_keeps_the_first_one_whole():
    twice = episode([(20, 40), (45, 60)])
    assert spans(row_weights(twice, SETTINGS)) == [(1, 10), (0, 10), (4, 20), (0, 5), (4, 15), (1, 20)]


def test_of_an_episode_that_failed_only_the_human_is_imitated():
    assert spans(row_weights(episode([(0, 10), (70, 80)], success=False), SETTINGS)) == [(4, 10), (0, 60), (4, 10)]
    assert not row_weights(episode(success=False), SETTINGS).any()


def test_held_rows_survive_a_file_and_an_episode_without_them_has_none(tmp_path):
    episode([(40, 60)], held=[(60, 66)]).save(tmp_path / "1.npz")
    assert np.array_equal(Episode.load(tmp_path / "1.npz").held, mask((60, 66)))
    episode().save(tmp_path / "2.npz")
    assert Episode.load(tmp_path / "2.npz").held is None
    short = dataclasses.replace(episode(), held=np.zeros(ROWS - 1, bool))
    with pytest.raises(EpisodeError, match="held is bool"):
        short.save(tmp_path / "3.npz")


@pytest.fixture
def encoder():
    """Features that are the mean of the pictures; counts what it is asked."""

    class Encoder:
        calls = 0

        def __call__(self, pictures):
            self.calls += 1
            return np.full((3, 4, 4, 8), pictures.mean(), np.float16)

    found = Encoder()
    found.checkpoint = type("C", (), {"preprocessing": type("P", (), {"size": (16, 16)})})
    return found


def test_experience_is_encoded_once_and_failures_without_a_human_are_left_out(tmp_path, encoder):
    for seed, one in enumerate((episode([(40, 60)], size=16), episode(success=False, seed=2, size=16))):
        one.save(tmp_path / "lived" / f"{seed}.npz")
    found = [load_experience([tmp_path / "lived"], tmp_path / "c", encoder, SETTINGS, PlainConsole()) for _ in "12"]
    assert encoder.calls == ROWS // 4
    for each in found:
        assert each.facts["recordings"] == 2 and each.facts["used"] == 1
        assert (each.facts["human_rows"], each.facts["policy_rows"], each.facts["rows_not_imitated"]) == (20, 50, 90)
        (only,) = each.episodes
        assert only.weights.max() == 4.0 and only.features.shape == (20, 3, 4, 4, 8)


def test_experience_of_which_nothing_is_to_be_imitated_is_refused(tmp_path, encoder):
    episode(success=False, size=16).save(tmp_path / "1.npz")
    with pytest.raises(PolicyDataError, match="all of it failed, was held or was discarded"):
        load_experience([tmp_path], tmp_path / "cache", encoder, SETTINGS, PlainConsole())


def test_a_place_without_recordings_is_named(tmp_path):
    for place, said in ((tmp_path, "has no recording in it"), (tmp_path / "gone", "does not exist")):
        with pytest.raises(RecordingError, match=f"{place} {said}"):
            experience_files([place])


def samples_of(made_up_episode, embed, jacobians, weights):
    plain = made_up_episode(0, "lift")
    coding = fit_coding([plain])
    return build_samples([dataclasses.replace(plain, weights=weights)], coding, embed, jacobians), coding


def action_losses(samples, coding):
    torch.manual_seed(0)
    model = Clwm(TINY)
    torch.manual_seed(1)
    batch, future = samples.take(slice(0, 15)), samples.features[samples.following].float()
    memory = model.initial_memory(15)
    return observation_losses(model, coding.features, memory, batch, future, None, LossSettings()).by_stream


def test_a_row_counts_in_the_loss_of_every_chunk_as_much_as_it_weighs(made_up_episode, embed, jacobians):
    def losses(weights):
        return action_losses(*samples_of(made_up_episode, embed, jacobians, weights))

    plain, ones = losses(None), losses(np.ones(60, np.float32))
    assert torch.equal(plain, ones)
    assert torch.allclose(losses(np.full(60, 4.0, np.float32)), 4.0 * plain)
    # Rows 0 to 29 are not imitated: chunks of the observations at rows 0 to 12 lie within, and those from 32 on beyond.
    late = losses((np.arange(60) >= 30).astype(np.float32))
    assert (late[:4] == 0.0).all() and torch.equal(late[8:], plain[8:])
    assert ((late[4:8] > 0.0) & (late[4:8] < plain[4:8])).all()


def test_a_mix_shows_all_its_streams_and_goes_on_where_it_was(made_up_episode, embed, jacobians):
    samples, _ = samples_of(made_up_episode, embed, jacobians, np.full(60, 4.0, np.float32))
    others, _ = samples_of(made_up_episode, embed, jacobians, None)

    def mixed():
        return MixedStreams(RecordedStreams(samples, 2, 0), RecordedStreams(others, 3, 1))

    streams = mixed()
    first = streams.next()
    assert first.fresh.tolist() == [True] * 5 and first.future.shape[0] == 5 and streams.walks >= 5
    assert first.batch.weight[:, 0].tolist() == [4.0, 4.0, 1.0, 1.0, 1.0]
    state, expected = streams.state(), [streams.next() for _ in range(8)]
    again = mixed()
    assert again.resume(state)
    for step in expected:
        assert torch.equal(again.next().batch.target, step.batch.target)
    assert not streams.resume({}) and not streams.resume({"parts": [{}]})


def test_a_mix_that_cannot_go_on_in_all_its_parts_begins_an_episode_in_each_stream(made_up_episode, embed, jacobians):
    samples, _ = samples_of(made_up_episode, embed, jacobians, None)

    def mixed(count):
        return MixedStreams(RecordedStreams(samples, count, 0), OnlineStreams(lambda: samples, 3, 0))

    streams = mixed(2)
    for _ in range(2):
        streams.next()
    assert not streams.next().fresh[:2].all(), "no recorded stream is in the middle of an episode"
    state = streams.state()
    for again in (mixed(2), streams):
        assert not again.resume(state)
        assert again.next().fresh.tolist() == [True] * 5


@pytest.fixture
def recorded(tmp_path):
    for seed in (1, 2):
        episode(seed=seed).save(tmp_path / "data" / "table" / "place_block" / f"{seed}.npz")
    return tmp_path / "data"


def fine_tune(place, data, **changes):
    settings = {"steps": 1, "streams": 2, "minutes": 60.0, "from_checkpoint": MODEL.policy.parent} | changes
    out = place / "out"
    train_policy.main(
        goals="table/place_block",
        data=data,
        features=place / "features",
        encoder=MODEL.encoder,
        out=out,
        experience=[place / "lived"],
        **settings,
    )
    return json.loads((out / "policy.json").read_text())


def test_a_fine_tuned_policy_reads_and_is_asked_as_the_one_it_began_with(tmp_path, recorded):
    episode([(40, 60)]).save(tmp_path / "lived" / "1.npz")
    document, before = fine_tune(tmp_path, recorded), json.loads(MODEL.policy.with_suffix(".json").read_text())
    for section in ("inputs", "normaliser", "features", "state_predictor"):
        assert document[section] == before[section], section
    assert document["config"] == SAID_LATER | before["config"]
    facts = document["facts"]
    assert facts["settings"]["learning_rate"] == train_policy.FROM_CHECKPOINT_RATE < 1e-3
    assert facts["from_checkpoint"] == before["weights_sha256"]
    assert facts["experience"]["human_rows"] == 20 and facts["experience"]["intervention_weight"] == 4.0
    tuned, began = (
        load_policy(path).model.state_dict() for path in (tmp_path / "out/policy.safetensors", MODEL.policy)
    )
    moved = max(float((tuned[name] - began[name]).abs().max()) for name in tuned)
    assert 0.0 < moved < 0.01


class MadeWorkers(SimulationWorkers):
    """Simulation workers whose trajectories are made up: one of each goal in turn, as many as are asked for."""

    def __init__(self, simulation, next_seed):
        self.count, self.choices, self.shape = 1, simulation.choices, simulation.feature_shape
        self.told = np.zeros(1, told_type(len(self.choices)))
        self.told["next_seed"] = next_seed

    def __exit__(self, *error):
        pass

    def follow(self, schedule):
        pass

    def replace(self, worker):
        raise AssertionError("a worker that lives was replaced")

    def ending(self, worker):
        return None

    def take(self):
        seed = int(self.told["next_seed"][0])
        self.told["next_seed"] += 1
        self.told["beats"] += 1
        return simulated(seed, self.shape)


def simulated(seed, shape):
    features = np.random.default_rng(seed).normal(size=(ROWS // 4, *shape)).astype(np.float16)
    return FeatureEpisode.of(episode(seed=seed, size=16), features)


def test_what_was_lived_through_is_learned_beside_what_is_simulated_meanwhile(tmp_path, monkeypatch):
    shape = (3, TINY.grid, TINY.grid, ClwmConfig().feature_channels)
    monkeypatch.setitem(train_policy.PRESETS, "tiny", TINY)
    monkeypatch.setattr(train_policy, "held_out_episodes", lambda *_: [simulated(900_000, shape)])
    monkeypatch.setattr(train_policy, "Placement", lambda: Placement(workers=MadeWorkers))
    episode([(40, 60)]).save(tmp_path / "lived" / "1.npz")
    shown, take = [], MixedStreams.next
    monkeypatch.setattr(MixedStreams, "next", lambda streams: shown.append(take(streams)) or shown[-1])
    options = {"online": True, "from_checkpoint": None, "preset": "tiny", "capacity": 2}
    before = 0
    for steps in (1, 2):  # the second goes on from the first
        facts = fine_tune(tmp_path, None, streams=3, experience_streams=1, steps=steps, **options)["facts"]
        assert facts["steps"] == steps and facts["experience"]["human_rows"] == 20
        assert facts["experience"]["walks"] >= 1 and facts["episodes"] >= before + 2
        before = facts["episodes"]
        weights = torch.stack([step.batch.weight for step in shown])
        assert weights[:, 0].max() == 4.0 and (weights[:, 1:] == 1.0).all()
        assert shown[0].fresh.tolist() == [True] * 3
        shown.clear()


def test_a_recording_of_another_goal_is_refused_before_anything_is_simulated(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train_policy, "held_out_episodes", lambda *_: pytest.fail("episodes were simulated"))
    episode([(40, 60)], goal="lift_tray").save(tmp_path / "lived" / "1.npz")
    with pytest.raises(typer.Exit):
        fine_tune(tmp_path, None, online=True)
    said = " ".join(capsys.readouterr().out.split())
    assert "a recording is of 'lift_tray', and trained are place_block; name its goal in --goals" in said


def test_another_trainings_folder_is_refused_and_ones_own_is_not(tmp_path, made_up_episode):
    one, other = (fit_coding([made_up_episode(seed, "lift")]) for seed in (0, 1))
    for _ in range(2):
        keep_coding(one, tmp_path)
    with pytest.raises(PolicyDataError, match="another training was begun there; give another --out"):
        keep_coding(other, tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"streams": 1}, "1 streams, 0 of them through --from; expected at least one for each"),
        ({"experience_streams": 2}, "2 streams, 2 of them through --from"),
        ({"from_checkpoint": "nowhere"}, "--from-checkpoint nowhere: nowhere does not exist"),
    ],
)
def test_a_fine_tuning_that_cannot_be_is_refused_in_one_sentence(tmp_path, capsys, recorded, changes, said):
    from pathlib import Path

    episode([(40, 60)]).save(tmp_path / "lived" / "1.npz")
    if "from_checkpoint" in changes:
        with pytest.raises(typer.Exit):
            train_policy.main(
                from_checkpoint=Path(changes["from_checkpoint"]), encoder=MODEL.encoder, out=tmp_path / "out"
            )
    else:
        with pytest.raises(typer.Exit):
            fine_tune(tmp_path, recorded, **changes)
    assert said in " ".join(capsys.readouterr().out.split())


def test_features_of_an_episode_keep_its_arrays_and_take_weights():
    source = episode([(40, 60)], size=16)
    made = FeatureEpisode.of(source, np.zeros((20, 3, 4, 4, 8), np.float16), np.ones(ROWS, np.float32))
    assert made.executed is source.executed and made.weights.sum() == ROWS
    assert FeatureEpisode.of(source, np.zeros((20, 3, 4, 4, 8), np.float16)).weights is None


def test_no_training_imitates_held_arms_or_what_was_discarded(tmp_path):
    path, cache = tmp_path / "data" / "table" / "place_block" / "1.npz", tmp_path / "cache"
    episode([(40, 60)], held=[(30, 40)], said=[(40, 66)], size=16).save(path)
    encode_features([path], cache, lambda pictures: np.zeros((3, 4, 4, 8), np.float16), progress=False)
    (loaded,) = load_episodes([path], cache)
    assert spans(loaded.weights) == [(1, 30), (0, 36), (1, 14)]


def test_a_recovery_counts_as_what_a_human_did():
    saved = dataclasses.replace(episode([(40, 60)]), corrections=np.full(ROWS, CorrectionLabel.RECOVERY, np.int8))
    assert spans(row_weights(saved, SETTINGS)) == [(1, 30), (0, 10), (4, 20), (1, 20)]
