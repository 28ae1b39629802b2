"""The gate: ridge probes of what is there, and the verdict."""

import json
from pathlib import Path

import numpy as np
import pytest

from clwm_embodichain.training.encoder.data import FramePool, Frames, write_shard
from clwm_embodichain.training.encoder.model import SIZES
from clwm_embodichain.training.encoder.probe import (
    Errors,
    groups,
    is_passed,
    pixels_of,
    probe_scene,
    untrained,
    with_controls,
)
from clwm_embodichain.training.encoder.ridge import fit_probe
from clwm_embodichain.training.encoder.roles import BASES, FIRST_POINTS, OWNERS, ROLES
from clwm_embodichain.training.encoder.train import save_encoder
from clwm_embodichain.training.encoder.trainer import EncoderTrainer


def test_the_probe_recovers_a_linear_map_from_more_numbers_than_states():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(6, 3))
    inputs = rng.normal(size=(300, 6)) @ rng.normal(size=(6, 400)) + 0.01 * rng.normal(size=(300, 400))
    latent = inputs @ np.linalg.pinv(rng.normal(size=(6, 400)))
    probe = fit_probe(inputs[:250], latent[:250] @ truth)
    residual = probe(inputs[250:]) - latent[250:] @ truth
    assert np.abs(residual).mean() < 0.1 * np.abs(latent @ truth).mean()


def test_exact_pixels_place_things_only_together_with_the_bases_when_the_camera_moves():
    rng = np.random.default_rng(0)
    tray, bases = ROLES.index("tray"), [ROLES.index(name) for name in BASES]

    def states(count):
        """A tray on a table that a camera sees, which is shifted by up to 10 px."""
        poses = np.zeros((count, len(ROLES), 5), np.float32)
        poses[:, tray, :2] = rng.uniform(0.3, 0.7, (count, 2))
        shift = rng.uniform(-10.0, 10.0, (count, 1, 2))
        pixels = np.full((count, 1, 3, len(OWNERS), 2), np.nan, np.float32)
        pixels[:, 0, 0, OWNERS == tray] = 100.0 * poses[:, tray, None, :2] + shift
        pixels[:, 0, 0, FIRST_POINTS[bases]] = np.array([[10.0, 5.0], [90.0, 5.0]]) + shift
        present = np.isin(np.arange(len(ROLES)), [tray, *bases])[None].repeat(count, axis=0)
        images = np.zeros((count, 1, 3, 128, 128, 3), np.uint8)
        return Frames(images, poses, present, pixels, np.zeros((count, 1, 3, 32, 32), np.uint8))

    train, test = states(200), states(60)

    def millimetres(with_bases):
        inputs, unseen = (pixels_of(frames, with_bases) for frames in (train, test))
        return probe_scene(train, test, inputs, unseen)["tray"].medians["mm"]

    assert millimetres(with_bases=True) < 3.0 < 30.0 < millimetres(with_bases=False)


def test_controls_are_added_only_to_a_report_about_the_same_states(tmp_path):
    report = {"train_states": 1000, "test_states": 250, "seeds": {"train": 1, "test": 2}}
    with pytest.raises(ValueError, match="train_states is 1000, not 500; run the whole probe"):
        with_controls(report, tmp_path, 500, 250)
    with pytest.raises(ValueError, match="seeds is"):
        with_controls(report, tmp_path, 1000, 250)


def test_the_next_encoder_says_all_that_its_untrained_control_is_made_from():
    folder = Path(__file__).parents[4] / "models" / "next" / "encoder"
    assert set(SIZES) <= set(json.loads((folder / "clwm.json").read_text())["training"])


def test_features_that_hold_the_places_pass_and_the_mean_does_not(toy_frames):
    train, test = toy_frames(200, 0), toy_frames(60, 1)
    inputs, unseen = (frames.poses[:, ROLES.index("tray"), :2].astype(np.float32) for frames in (train, test))
    found = probe_scene(train, test, inputs, unseen)["tray"]
    assert found.medians["mm"] < 1.0
    assert probe_scene(train, test, None, None)["tray"].medians["mm"] > 20.0


def test_colours_are_probed_apart_only_where_a_scene_shows_several_at_once():
    present = np.zeros((4, len(ROLES)), bool)
    red, blue = ROLES.index("red block"), ROLES.index("blue block")
    present[:2, red] = present[2:, blue] = True
    assert groups(present) == [("block", [red, blue])]
    present[0, blue] = True
    assert groups(present) == [("block", [red]), ("block", [blue])]


@pytest.mark.parametrize(
    ("millimetres", "degrees", "apart", "passes"),
    [(8.0, 5.0, 0.35, True), (8.1, 5.0, 0.35, False), (8.0, 5.1, 0.35, False), (8.0, 5.0, 0.36, False)],
)
def test_every_figure_of_the_gate_counts(millimetres, degrees, apart, passes):
    good = Errors(np.array([1.0]), np.array([np.nan]))
    errors = {"one": {"pad": good}, "two": {"pad": good, "tray": Errors(np.array([millimetres]), np.array([degrees]))}}
    constant = {scene: {kind: Errors(np.array([40.0]), np.array([15.0])) for kind in errors[scene]} for scene in errors}
    assert is_passed(errors, constant, {"all": apart}) == passes


def test_what_a_constant_finds_as_well_has_not_been_seen():
    errors, small = ({"one": {"bar": Errors(np.array([3.0]), np.array([each]))}} for each in (2.5, 1.2))
    constant = {"one": {"bar": Errors(np.array([40.0]), np.array([2.6]))}}
    assert not is_passed(errors, constant, {"all": 0.1}) and is_passed(small, constant, {"all": 0.1})


def test_the_untrained_control_has_the_encoders_size_and_none_of_its_weights(tmp_path, toy_frames, toy_config):
    write_shard(tmp_path / "toy-0.npz", toy_frames(20, 0))
    trainer = EncoderTrainer(toy_config, FramePool(tmp_path))
    save_encoder(trainer, tmp_path / "encoder", {"id": "toy", "pool": 2, "training": vars(toy_config)})
    images = toy_frames(1, 3).images[0, 0]
    trained = trainer.grids(trainer.ema, images)[1].detach().numpy()
    control = untrained(tmp_path / "encoder")(images)
    assert control.shape == trained.shape and np.abs(control - trained).max() > 0.1
    assert json.loads((tmp_path / "encoder" / "clwm.json").read_text())["inputs"]["picture_size"] == [64, 64]
