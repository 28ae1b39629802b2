"""Encoder training at toy size: it learns, it resumes, it keeps what it says it keeps."""

import json
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from clwm_embodichain.training.encoder import train
from clwm_embodichain.training.encoder.data import FramePool, write_shard
from clwm_embodichain.training.encoder.model import TrainingConfig, build_model
from clwm_embodichain.training.encoder.stability import distillation_loss, effective_rank, relative_distance
from clwm_embodichain.training.encoder.train import save_encoder
from clwm_embodichain.training.encoder.trainer import EncoderTrainer
from clwm_embodichain.training.muon import Muon, orthogonalise
from clwm_perception.encoder import Encoder


@pytest.fixture
def pool(tmp_path, toy_frames):
    for number in range(2):
        write_shard(tmp_path / f"toy-{number}.npz", toy_frames(30, number))
    return FramePool(tmp_path)


@pytest.fixture(params=["vit", "convnext"])
def config(request, toy_config):
    """Of both families."""
    return replace(toy_config, family=request.param)


def test_losses_fall_and_poses_are_found_better_than_at_the_start(pool, toy_frames, config):
    trainer = EncoderTrainer(config, pool)
    held_out = toy_frames(24, 9)
    before = trainer.evaluate(held_out)
    losses = [trainer.step() for _ in range(60)]
    for name in ("cell_class", "patch_class", "cell_place", "cell_pose", "segment", "pose", "distillation"):
        first, last = (np.mean([found[name] for found in part]) for part in (losses[:5], losses[-5:]))
        assert last < 0.85 * first, name
    assert trainer.evaluate(held_out)["tray_mm"] < 0.85 * before["tray_mm"]


def test_a_resumed_run_ends_with_the_same_weights_as_an_uninterrupted_one(pool, tmp_path, toy_config):
    whole = EncoderTrainer(toy_config, pool)
    for _ in range(4):
        whole.step()
    first = EncoderTrainer(toy_config, pool)
    for _ in range(2):
        first.step()
    torch.save(first.state(), tmp_path / "state.pt")
    second = EncoderTrainer(toy_config, pool)
    second.resume(torch.load(tmp_path / "state.pt", weights_only=True))
    for _ in range(2):
        second.step()
    assert second.steps_done == whole.steps_done == 4
    for name, weight in whole.ema.state_dict().items():
        torch.testing.assert_close(second.ema.state_dict()[name], weight, rtol=0, atol=0)


def test_a_training_can_begin_with_the_weights_of_another_encoder(pool, toy_config):
    first = EncoderTrainer(toy_config, pool)
    first.step()
    second = EncoderTrainer(toy_config, pool, initial=first.ema)
    for name, weight in first.ema.state_dict().items():
        torch.testing.assert_close(second.model.state_dict()[name], weight)
        torch.testing.assert_close(second.ema.state_dict()[name], weight)


def test_a_checkpoint_of_another_size_is_refused(pool, toy_config):
    other = EncoderTrainer(TrainingConfig(**(vars(toy_config) | {"layers": 2})), pool)
    with pytest.raises(ValueError, match="layers=1, this run 2"):
        other.resume(EncoderTrainer(toy_config, pool).state())


def test_a_state_of_before_there_were_families_is_refused_and_not_misread(pool, toy_config):
    trainer = EncoderTrainer(toy_config, pool)
    state = trainer.state()
    del state["config"]["family"]
    with pytest.raises(ValueError, match=r"family=None, this run vit; choose another --run folder"):
        trainer.resume(state)


@pytest.mark.parametrize(("patch", "channels"), [(24, 32), (64, 64), (16, 34)])
def test_a_convnext_that_stages_do_not_lead_to_is_refused(toy_config, patch, channels):
    config = replace(toy_config, family="convnext", patch=patch, channels=channels)
    with pytest.raises(ValueError, match=f"patch {patch} and {channels} channels.*4, 8, 16, 32"):
        build_model(config)


def test_an_unknown_family_is_refused_with_those_that_there_are(toy_config):
    with pytest.raises(ValueError, match="'swin'; expected 'vit' or 'convnext'"):
        build_model(replace(toy_config, family="swin"))


def test_the_time_of_a_training_is_that_of_the_processor_not_of_the_wall(pool, toy_config):
    trainer = EncoderTrainer(toy_config, pool)
    before = time.process_time()
    trainer.step()
    assert 0.0 < trainer.seconds <= time.process_time() - before


def test_the_budget_ends_with_the_minutes_or_the_steps_whichever_comes_first():
    config = TrainingConfig(minutes=10.0, steps=100)
    assert config.progress(50, 60.0) == 0.5
    assert config.progress(50, 540.0) == 0.9
    assert config.progress(100, 0.0) == config.progress(0, 900.0) == 1.0


def test_the_saved_folder_gives_the_trainers_own_features_and_weighs_two_bytes_a_number(
    pool, tmp_path, toy_frames, config
):
    trainer = EncoderTrainer(config, pool)
    trainer.step()
    save_encoder(trainer, tmp_path / "encoder", {"id": "toy", "pool": 2})
    images = toy_frames(1, 3).images[0, 0]
    with torch.no_grad():
        expected = trainer.grids(trainer.ema, images)[1].numpy()
    encoder = Encoder.load(tmp_path / "encoder", backend="torch")
    assert encoder.encoder_id == json.loads((tmp_path / "encoder" / "clwm.json").read_text())["id"] == "toy"
    np.testing.assert_allclose(encoder(images), expected, atol=1e-2)
    numbers = sum(weight.numel() for weight in trainer.ema.parameters())
    assert (tmp_path / "encoder" / "model.safetensors").stat().st_size < 2.5 * numbers + 10_000


def test_a_training_without_pictures_names_the_command_that_makes_them(tmp_path, toy_frames, monkeypatch):
    run = tmp_path / "run"
    write_shard(run / "held_out-0.npz", toy_frames(2, 0))
    monkeypatch.setattr(sys, "argv", ["train", "--run", str(run), "--data", str(tmp_path / "no")])
    with pytest.raises(SystemExit, match=r"has no pictures; run python -m clwm_embodichain\.training\.encoder\.render"):
        train.main()


def test_distillation_costs_nothing_for_equal_features_and_two_for_those_of_other_states():
    teacher = torch.randn(2000, 8, generator=torch.Generator().manual_seed(0))
    assert distillation_loss(teacher, teacher) == 0.0
    assert float(distillation_loss(teacher.roll(1, 0), teacher)) == pytest.approx(2.0, rel=0.05)


def test_shrinking_all_features_makes_distillation_no_cheaper():
    noise = torch.Generator().manual_seed(0)
    one = torch.randn(50, 8, generator=noise)
    other = one + 0.3 * torch.randn(50, 8, generator=noise)
    loss = distillation_loss(one, other)
    torch.testing.assert_close(distillation_loss(0.01 * one, 0.01 * other), loss)
    torch.testing.assert_close(distillation_loss(one + 5.0, other + 5.0), loss)


def test_looks_are_no_distance_when_features_ignore_them_and_a_whole_one_when_they_are_all():
    features = torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
    assert relative_distance(features, features) == 0.0
    assert relative_distance(features, features.roll(1, 0)) == pytest.approx(1.0, abs=0.1)


def test_the_effective_rank_counts_the_directions_in_use():
    features = torch.randn(4000, 10, generator=torch.Generator().manual_seed(2))
    features[:, 4:] = 0.0
    assert effective_rank(features) == pytest.approx(4.0, abs=0.05)


def test_orthogonalised_matrices_have_singular_values_near_one_and_keep_their_directions():
    matrices = torch.randn(3, 6, 10, generator=torch.Generator().manual_seed(0))
    result = orthogonalise(matrices)
    assert ((torch.linalg.svdvals(result) - 1.0).abs() < 0.35).all()
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    middle = u.mT @ result @ vh.mT
    assert (middle - torch.diag_embed(middle.diagonal(dim1=1, dim2=2))).abs().max() < 1e-3


def test_muon_refuses_anything_but_matrices():
    with pytest.raises(ValueError, match=r"\(3,\)"):
        Muon([torch.nn.Parameter(torch.zeros(3))], lr=0.1)
