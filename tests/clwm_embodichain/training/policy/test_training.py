"""The policy trainer on a made-up task: the loss falls, interruptions do not matter, data is coded as promised."""

import dataclasses

import numpy as np
import pytest
import torch

from clwm_embodichain.episodes.features import PolicyDataError, encode_features, load_episodes
from clwm_embodichain.training.curves import Curves, draw_curves
from clwm_embodichain.training.policy.losses import LossSettings, channel_weights
from clwm_embodichain.training.policy.samples import Coding, build_samples, fit_coding
from clwm_embodichain.training.policy.streams import RecordedStreams
from clwm_embodichain.training.policy.train import PANELS
from clwm_embodichain.training.policy.trainer import PolicyTrainer, TrainingSettings
from clwm_embodichain.training.policy.validation import validate, validate_misled
from clwm_embodichain.training.states import read_state, write_state
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.sizes import ClwmConfig
from clwm_sim.cameras import CAMERAS

TINY = ClwmConfig(width=32, layers=2, heads=2, ffn_width=64, memory_rank=8, feature_channels=8)


@pytest.fixture(scope="module")
def data(made_up_episode, embed, jacobians):
    episodes = [made_up_episode(seed, ("lift", "place it")[seed % 2]) for seed in range(12)]
    coding = fit_coding(episodes)
    return build_samples(episodes, coding, embed, jacobians), coding


def make_trainer(data, **changes):
    samples, coding = data
    torch.manual_seed(0)
    settings = TrainingSettings(**({"steps": 30, "streams": 4, "segment": 2, "warmup_steps": 5} | changes))
    return PolicyTrainer(Clwm(TINY), RecordedStreams(samples, settings.streams, settings.seed), coding, settings)


def test_the_losses_fall_and_the_kept_model_follows(data):
    trainer = make_trainer(data, learning_rate=3e-3)
    before = validate(trainer.ema, data[1], data[0])
    losses = [trainer.step() for _ in range(30)]
    # Batches differ too much for neighbours to be compared; the mean over ten does not.
    first, last = (np.mean([loss["action"] for loss in part]) for part in (losses[:10], losses[-10:]))
    assert last < 0.9 * first
    assert validate(trainer.ema, data[1], data[0])["joint_mrad"] < before["joint_mrad"]
    assert trainer.progress == 1.0


def test_a_resumed_training_takes_the_very_step_that_would_have_followed(data, tmp_path):
    trainer = make_trainer(data)
    for _ in range(3):
        trainer.step()
    write_state(tmp_path / "trainer.pt", trainer.state())
    expected = [trainer.step()["action"] for _ in range(3)]
    again = make_trainer(data, seed=99)
    again.resume(read_state(tmp_path / "trainer.pt"))
    assert [again.step()["action"] for _ in range(3)] == expected
    for ours, theirs in zip(again.ema.parameters(), trainer.ema.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_training_goes_on_when_the_data_has_grown(data, tmp_path, made_up_episode, embed, jacobians):
    trainer = make_trainer(data)
    trainer.step()
    write_state(tmp_path / "trainer.pt", trainer.state())
    data[1].save(tmp_path / "coding.json")
    coding = Coding.load(tmp_path / "coding.json")
    grown = build_samples([made_up_episode(seed, "lift") for seed in range(14)], coding, embed, jacobians)
    again = make_trainer((grown, coding))
    again.resume(read_state(tmp_path / "trainer.pt"))
    assert again.steps_done == 1
    assert np.isfinite(again.step()["action"])


def test_gradient_reaches_the_memory_through_its_updates(data):
    trainer = make_trainer(data)
    for _ in range(3):  # the output projections start at zero and have to wake up
        trainer.step()
    assert trainer.model.blocks[0].memory.step_size.grad.abs() > 0.0
    assert trainer.model.blocks[0].memory.theta_v.weight.grad.abs().max() > 0.0


def test_targets_decode_to_the_experts_rows(data, made_up_episode):
    samples, coding = data
    source = made_up_episode(0, "lift")
    for index in (0, 3, 14):
        row = 4 * index
        rows = coding.codec.decode_rows(samples.target[index].numpy(), source.executed[row])
        np.testing.assert_allclose(rows, source.plans[index], atol=1e-5)


def test_after_four_executed_rows_the_plan_continues_from_where_they_led(made_up_episode, embed, jacobians):
    source = made_up_episode(0, "lift")
    source = dataclasses.replace(source, executed=source.executed + 0.25)  # as if disturbed
    coding = fit_coding([source])
    samples = build_samples([source], coding, embed, jacobians)
    rows = coding.codec.decode_rows(samples.committed[2].numpy(), source.executed[8])
    np.testing.assert_allclose(rows[:4, 14:], source.executed[8:12, 14:], atol=1e-5)
    np.testing.assert_allclose(rows[4:, 14:], source.plans[3, :12, 14:], atol=1e-5)


def test_the_next_observation_is_one_horizon_away_and_never_of_another_episode(data):
    samples, _ = data
    assert samples.following[0] == 3
    assert (samples.following <= samples.last).all() and (samples.following >= samples.first).all()


def test_executed_rows_are_hidden_before_the_episode_began(data):
    samples, _ = data
    assert samples.executed_mask[:4].sum(1).tolist() == [0, 4, 8, 12]


def test_the_surrogate_is_judged_against_copying(data):
    result = validate(Clwm(TINY).eval(), data[1], data[0])
    # Output projections start at zero, so an untrained model predicts that nothing changes.
    assert result["surrogate_over_copy"] == pytest.approx(1.0, abs=1e-4)


def test_one_held_out_episode_is_enough(data, made_up_episode, embed, jacobians):
    one = build_samples([made_up_episode(3, "lift")], data[1], embed, jacobians)
    assert np.isfinite(list(validate(Clwm(TINY).eval(), data[1], one).values())).all()


def test_channel_weights_favour_what_is_executed():
    weights = channel_weights(LossSettings())
    assert weights.mean() == pytest.approx(1.0)
    assert weights[28] > weights[14] > weights[0] > weights[3]


def test_settings_that_cannot_train_are_refused():
    with pytest.raises(ValueError, match="streams is 0"):
        TrainingSettings(streams=0)


@pytest.mark.parametrize("name", ["features", "plans", "executed", "states"])
def test_an_episode_with_numbers_that_are_not_finite_is_named(data, made_up_episode, embed, jacobians, name):
    bad = made_up_episode(4, "lift")
    array = getattr(bad, name).copy()
    array[2] = np.nan
    bad = dataclasses.replace(bad, **{name: array})
    with pytest.raises(PolicyDataError, match=rf"table, lift, seed 4: {name}\[2\] has numbers that are not finite"):
        build_samples([made_up_episode(0, "lift"), bad], data[1], embed, jacobians)
    with pytest.raises(PolicyDataError, match="seed 4"):
        fit_coding([bad])


def test_a_coding_or_features_that_are_half_written_are_named(tmp_path, made_up_episode):
    (tmp_path / "coding.json").write_text('{"normaliser": {')
    with pytest.raises(PolicyDataError, match=r"coding.json cannot be read"):
        Coding.load(tmp_path / "coding.json")
    path, cache = tmp_path / "data" / "table" / "lift" / "3.npz", tmp_path / "cache"
    write_episode(path, made_up_episode(3, "lift"))
    encode_features([path], cache, lambda images: np.zeros((3, 4, 4, 8), np.float16), progress=False)
    whole = (cache / "table" / "lift" / "3.npy").read_bytes()
    (cache / "table" / "lift" / "3.npy").write_bytes(whole[:200])
    with pytest.raises(PolicyDataError, match=r"3.npy is damaged .* delete it and encode again"):
        list(load_episodes([path], cache))


def test_no_episodes_are_refused(data, embed, jacobians):
    with pytest.raises(PolicyDataError, match="no successful episodes"):
        build_samples([], data[1], embed, jacobians)


def write_episode(path, source, images=15):
    from clwm_embodichain.episodes.storage import Episode

    Episode(
        images=np.full((images, 3, 8, 8, 3), 7, np.uint8),
        image_rows=source.image_rows,
        plans=source.plans,
        commands=source.executed,
        executed=source.executed,
        states=source.states,
        asked=source.asked,
        interventions=np.zeros(len(source.executed), bool),
        success=True,
        instructions=source.instructions,
        goals=source.goals,
        cameras=CAMERAS,
        scene=source.scene,
        expansion="none",
        seed=3,
    ).save(path)


def test_pictures_are_encoded_once_and_an_interrupted_encoding_is_continued(tmp_path, made_up_episode):
    path, cache, calls = tmp_path / "data" / "table" / "lift" / "3.npz", tmp_path / "cache", []
    write_episode(path, made_up_episode(3, "lift"))

    def encode(images):
        calls.append(images.shape)
        return np.full((3, 4, 4, 8), images.mean(), np.float16)

    with pytest.raises(PolicyDataError, match="encode the episodes first"):
        list(load_episodes([path], cache))
    encode_features([path], cache, encode, progress=False)
    encode_features([path], cache, encode, progress=False)
    assert len(calls) == 15
    (loaded,) = load_episodes([path], cache)
    assert loaded.features.shape == (15, 3, 4, 4, 8) and loaded.features.max() == 7.0


def test_features_of_other_pictures_are_refused(tmp_path, made_up_episode):
    path, cache = tmp_path / "data" / "table" / "lift" / "3.npz", tmp_path / "cache"
    write_episode(path, made_up_episode(3, "lift"))
    encode_features([path], cache, lambda images: np.zeros((3, 4, 4, 8), np.float16), progress=False)
    np.save(cache / "table" / "lift" / "3.npy", np.zeros((9, 3, 4, 4, 8), np.float16))
    with pytest.raises(PolicyDataError, match="9 features for 15 pictures"):
        list(load_episodes([path], cache))


def test_pictures_that_miss_the_horizon_are_refused(data, made_up_episode):
    strange = dataclasses.replace(
        made_up_episode(0, "lift"),
        image_rows=np.arange(0, 60, 5)[:12],
        features=np.zeros((12, 3, 4, 4, 8), np.float16),
        plans=np.zeros((12, 16, 30)),
    )
    with pytest.raises(PolicyDataError, match="every 5 rows"):
        fit_coding([strange])


def test_curves_continue_and_are_drawn(tmp_path):
    Curves(tmp_path / "c.jsonl").append({"minutes": 0.1, "action": 1.0, "video": 1.0})
    curves = Curves(tmp_path / "c.jsonl")
    curves.append({"minutes": 0.2, "action": 0.5, "video": 0.9, "eef_mm": 9.0})
    assert len(curves.records()) == 2
    with (tmp_path / "c.jsonl").open("a") as stream:
        stream.write('{"minutes": 0.3, "act')  # what a run that was killed left
    curves.append({"minutes": 0.4, "action": 0.4, "video": 0.8})
    assert [record["minutes"] for record in curves.records()] == [0.1, 0.2, 0.4]
    draw_curves(tmp_path / "c.png", PANELS, {"": tmp_path / "c.jsonl"})
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"


def test_a_step_says_the_loss_of_each_goal_that_it_met(data):
    samples, coding = data
    settings = TrainingSettings(steps=5, streams=4, segment=2)
    streams = RecordedStreams(samples, settings.streams, settings.seed)
    trainer = PolicyTrainer(Clwm(TINY), streams, coding, settings, goals=("lift", "place it"))
    found = [trainer.step() for _ in range(5)]
    said = {f"{loss}/{goal}" for loss in ("action", "keypose") for goal in ("lift", "place it")}
    assert {name for each in found for name in each if "/" in name} == said
    for each in found:
        losses = [value for name, value in each.items() if name.startswith("action/")]
        assert min(losses) - 1e-6 <= each["action"] <= max(losses) + 1e-6


def test_where_something_else_is_asked_for_the_committed_rows_answer_the_old_instruction(
    data, made_up_episode, embed, jacobians
):
    episode = made_up_episode(1, "lift")
    plans = episode.plans.copy()
    plans[7:, :, 14:28] += 0.1  # what is asked for then is elsewhere
    episode = dataclasses.replace(episode, plans=plans)
    changed = dataclasses.replace(
        episode, goals=("lift", "place it"), instructions=("a", "bb"), asked=(np.arange(15) > 6).astype(np.int64)
    )
    samples = build_samples([changed], data[1], embed, jacobians)
    assert samples.task.tolist() == [0] * 7 + [1] * 8
    assert torch.equal(samples.language[6], embed("a")) and torch.equal(samples.language[7], embed("bb"))
    assert torch.equal(samples.committed[6], samples.target[6])
    assert torch.equal(samples.committed_jacobian[6], samples.target_jacobian[6])
    plain = build_samples([episode], data[1], embed, jacobians)
    others = torch.arange(15) != 6
    assert not torch.equal(samples.committed[6], plain.committed[6])
    assert torch.equal(samples.committed[others], plain.committed[others])


def test_each_observation_has_a_reference_in_turn_and_only_what_that_names_is_known(
    made_up_episode, embed, jacobians, data
):
    referents = np.arange(15 * 2 * 2 * 3, dtype=np.float32).reshape(15, 2, 2, 3) / 100.0
    referents[:, 1, 1] = np.nan  # names one thing only
    plain = made_up_episode(1, "lift")
    told = dataclasses.replace(plain, references=("red on blue", "the green one"), referents=referents)
    samples = build_samples([told, plain], data[1], embed, jacobians)
    assert samples.referents_known[:15].tolist() == [[True, True], [True, False]] * 7 + [[True, True]]
    assert not samples.referents_known[15:].any() and not samples.reference[15:].any()
    for index, sentence in ((0, "red on blue"), (1, "the green one"), (2, "red on blue")):
        torch.testing.assert_close(samples.reference[index], embed(sentence).half())
    assert torch.isfinite(samples.referents).all()
    low, high = (getattr(data[1].codec.absolute, name)[:3] for name in ("low", "high"))
    decoded = samples.referents[2, 0].numpy() * (high - low) / 2 + (high + low) / 2
    np.testing.assert_allclose(decoded, referents[2, 0, 0], atol=1e-4)


def test_references_are_learned_where_there_are_some(made_up_episode, embed, jacobians, data):
    rng = np.random.default_rng(0)
    referents = rng.uniform(-0.3, 0.3, (15, 1, 2, 3)).astype(np.float32)
    episode = dataclasses.replace(made_up_episode(1, "lift"), references=("red on blue",), referents=referents)
    for episodes, is_told in (([episode], True), ([made_up_episode(1, "lift")], False)):
        samples = build_samples(episodes, data[1], embed, jacobians)
        settings = TrainingSettings(steps=5, streams=4)
        trainer = PolicyTrainer(Clwm(TINY), RecordedStreams(samples, 4, 0), data[1], settings)
        before = trainer._points.referent.out.weight.detach().clone()
        assert (trainer.step()["referent"] > 0.0) == is_told
        assert torch.equal(before, trainer._points.referent.out.weight) != is_told


def test_the_control_of_validation_tells_each_observation_its_reference(made_up_episode, embed, jacobians, data):
    referents = np.zeros((15, 1, 2, 3), np.float32)
    plain = made_up_episode(1, "lift")
    told = dataclasses.replace(plain, references=("red on blue",), referents=referents)
    torch.manual_seed(0)
    model = Clwm(TINY).eval()
    torch.nn.init.normal_(model.action_out.weight, std=0.1)
    once, misled, without = (
        build_samples([dataclasses.replace(told, **changes)], data[1], embed, jacobians)
        for changes in ({"instructions": ("red on blue",)}, {}, {"references": (), "referents": None})
    )
    found = validate_misled(model, data[1], misled, goals=("lift",))
    assert set(found) == {"misled_p90_mm", "misled_p90_mm/lift"}
    assert found["misled_p90_mm"] == pytest.approx(validate(model, data[1], once)["eef_p90_mm"], rel=0.01)
    assert found["misled_p90_mm"] != validate(model, data[1], misled)["eef_p90_mm"]
    assert validate_misled(model, data[1], without) == {}
