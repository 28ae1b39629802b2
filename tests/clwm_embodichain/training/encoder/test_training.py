"""Encoder training at toy size, its supervision's geometry, and the probe."""

import copy
import json

import numpy as np
import pytest
import torch

from clwm_embodichain.training.encoder.data import EncoderDataError, Frames, load_frames, object_poses
from clwm_embodichain.training.encoder.heads import Supervision, pose_errors, pose_mask, scale_poses, unscale_poses
from clwm_embodichain.training.encoder.model import TrainingConfig
from clwm_embodichain.training.encoder.probe import fit_probe
from clwm_embodichain.training.encoder.train import EncoderTrainer, FramePool, save_encoder
from clwm_embodichain.training.muon import Muon, orthogonalise
from clwm_perception.encoder import Encoder

KEYPOINTS = 14
CONFIG = TrainingConfig(
    channels=32,
    layers=1,
    heads=2,
    patch=16,
    image_size=64,
    scenes=8,
    steps=1000,
    learning_rate=5e-3,
    warm_up=2,
    ema=0.9,
)


def _frames(count, seed):
    """Pictures with one bright square where all key points of the tray are; the other objects are absent."""
    rng = np.random.default_rng(seed)
    side = CONFIG.image_size
    images = np.full((count, 3, side, side, 3), 60, np.uint8)
    pixels = rng.uniform(6, side - 7, (count, 3, 1, 2)).repeat(KEYPOINTS, axis=2).astype(np.float32)
    for scene in range(count):
        for camera in range(3):
            u, v = pixels[scene, camera, 0].round().astype(int)
            images[scene, camera, v - 4 : v + 5, u - 4 : u + 5] = (250, 40, 40)
    keypoints = rng.normal(0.4, 0.05, (count, KEYPOINTS, 3)).astype(np.float32)
    present = np.zeros((count, KEYPOINTS), bool)
    present[:, :6] = True
    return Frames(images, keypoints, present, pixels)


@pytest.fixture
def pool(tmp_path):
    for shard in range(2):
        frames = _frames(30, shard)
        np.savez(tmp_path / f"scenes_{shard:03d}.npz", **vars(frames))
    return FramePool(tmp_path)


def test_loss_falls_and_key_points_are_found_better_than_at_the_start(pool):
    trainer = EncoderTrainer(CONFIG, pool)
    held_out = _frames(24, 9)
    before = trainer.evaluate(held_out)["head_px"]
    losses = [trainer.step()["cell_class"] for _ in range(40)]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert trainer.evaluate(held_out)["head_px"] < 0.85 * before


def test_a_resumed_run_ends_with_the_same_weights_as_an_uninterrupted_one(pool, tmp_path):
    whole = EncoderTrainer(CONFIG, pool)
    for _ in range(4):
        whole.step()
    first = EncoderTrainer(CONFIG, pool)
    for _ in range(2):
        first.step()
    torch.save(first.state(), tmp_path / "state.pt")
    second = EncoderTrainer(CONFIG, pool)
    second.resume(torch.load(tmp_path / "state.pt", weights_only=True))
    for _ in range(2):
        second.step()
    assert second.steps_done == whole.steps_done == 4
    for name, weight in whole.ema.state_dict().items():
        torch.testing.assert_close(second.ema.state_dict()[name], weight, rtol=0, atol=0)


def test_a_state_of_an_earlier_release_goes_on_at_its_step(pool):
    trainer = EncoderTrainer(CONFIG, pool)
    trainer.step()
    old = copy.deepcopy(trainer.state())
    old["step"] = old.pop("steps_done")
    del old["torch_rng"]
    again = EncoderTrainer(CONFIG, pool)
    again.resume(old)
    assert again.step() == trainer.step() and again.steps_done == 2


def test_a_checkpoint_of_another_size_is_refused(pool):
    other = EncoderTrainer(TrainingConfig(**(vars(CONFIG) | {"layers": 2})), pool)
    with pytest.raises(ValueError, match="layers=1, this run 2"):
        other.resume(EncoderTrainer(CONFIG, pool).state())


def test_the_saved_folder_gives_the_trainers_own_features(pool, tmp_path):
    trainer = EncoderTrainer(CONFIG, pool)
    trainer.step()
    save_encoder(trainer, tmp_path / "encoder", {"id": "toy", "image_size": CONFIG.image_size})
    images = _frames(1, 3).images[0]
    with torch.no_grad():
        expected = trainer.grids(trainer.ema, images)[1].numpy()
    encoder = Encoder.load(tmp_path / "encoder", backend="torch")
    assert encoder.encoder_id == json.loads((tmp_path / "encoder" / "clwm.json").read_text())["id"] == "toy"
    np.testing.assert_allclose(encoder(images), expected, atol=2e-3)


def test_locating_inverts_the_answers_that_describe_a_pixel():
    supervision = Supervision(channels=8, grid=8, pool=2, image_size=128)
    pixels = torch.tensor([[[10.25, 100.75]] * KEYPOINTS])
    position, visible = supervision.positions(pixels, torch.ones(1, KEYPOINTS, dtype=torch.bool), 4)
    assert visible.all() and torch.allclose(position[0, 0], torch.tensor([(10.25 + 0.5) / 32, (100.75 + 0.5) / 32]))

    class Oracle(torch.nn.Module):
        def forward(self, grid):
            cell = position.floor().long()
            index = cell[..., 1] * 4 + cell[..., 0]
            logits = torch.nn.functional.one_hot(index, 17).float()
            return logits, (position - cell - 0.5).unsqueeze(2).expand(-1, -1, 16, -1)

    located = supervision.locate(Oracle(), torch.zeros(1, 4, 4, 8))
    torch.testing.assert_close(located, pixels, rtol=0, atol=1e-4)


@pytest.mark.parametrize("pixel", [(-0.6, 5.0), (5.0, 127.6), (float("nan"), 5.0)])
def test_a_key_point_outside_the_picture_or_behind_the_camera_is_not_visible(pixel):
    supervision = Supervision(channels=8, grid=8, pool=2, image_size=128)
    _, visible = supervision.positions(torch.tensor([[pixel]]), torch.ones(1, 1, dtype=torch.bool), 8)
    assert not visible.any()


def test_poses_come_back_from_corners_and_from_their_scaled_units():
    yaw, centre = 0.3, np.array([0.5, -0.04, 0.02])
    rotation = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    corners = np.array([[-1, -1, 0], [-1, 1, 0], [1, -1, 0], [1, 1, 0]]) * 0.1
    keypoints = np.zeros((1, KEYPOINTS, 3), np.float32)
    keypoints[0, :4] = keypoints[0, 7:11] = corners @ rotation.T + centre
    poses = object_poses(keypoints)
    np.testing.assert_allclose(poses[0, :5], [*centre, np.sin(yaw), np.cos(yaw)], atol=1e-6)
    np.testing.assert_allclose(poses[0, 5:10], poses[0, :5], atol=1e-6)
    back = unscale_poses(scale_poses(torch.from_numpy(poses))).numpy()
    np.testing.assert_allclose(back, poses, atol=1e-5)
    assert pose_mask(torch.zeros(1, KEYPOINTS, dtype=torch.bool)).shape == (1, poses.shape[1])


def test_pose_errors_are_in_millimetres_and_degrees_of_present_objects_only():
    truth = np.zeros((2, 18))
    truth[:, 4] = truth[:, 9] = 1.0
    estimate = truth.copy()
    estimate[:, 0] = 0.003
    estimate[0, 3:5] = np.sin(np.radians(2.0)), np.cos(np.radians(2.0))
    estimate[1, 3:5] = -np.sin(np.radians(2.0)), np.cos(np.radians(2.0))
    present = np.zeros((2, KEYPOINTS), bool)
    present[:, 0] = True
    errors = pose_errors(estimate, truth, present)
    assert errors["tray_mm"] == pytest.approx(3.0) and errors["tray_deg"] == pytest.approx(2.0)
    assert np.isnan(errors["block_mm"])


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


def test_the_probe_recovers_a_linear_map_from_more_numbers_than_scenes():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(6, 3))
    inputs = rng.normal(size=(300, 6)) @ rng.normal(size=(6, 400)) + 0.01 * rng.normal(size=(300, 400))
    latent = inputs @ np.linalg.pinv(rng.normal(size=(6, 400)))
    probe = fit_probe(inputs[:250], latent[:250] @ truth)
    residual = probe(inputs[250:]) - latent[250:] @ truth
    assert np.abs(residual).mean() < 0.1 * np.abs(latent @ truth).mean()


def test_missing_or_damaged_pictures_name_the_command_that_makes_them(tmp_path):
    with pytest.raises(EncoderDataError, match="encoder.data"):
        FramePool(tmp_path)
    (tmp_path / "scenes_000.npz").write_bytes(b"no archive")
    with pytest.raises(EncoderDataError, match="scenes_000.npz cannot be read"):
        load_frames(tmp_path / "scenes_000.npz")
