"""From a checkpoint to a working engine, without ROS."""

import numpy as np
import pytest
import torch

from clwm_policy.engine.calibration import FILE_NAME, Calibration, CalibrationError, save_calibration
from clwm_policy.engine.re_entry import Plan, ReEntryError
from clwm_policy.engine.refinement import refinements
from clwm_policy.loading import PolicySettings, load_engine
from clwm_policy.model.checkpoint import CheckpointError, load_policy, save_policy


@pytest.fixture(scope="module")
def checkpoint(tiny_policy, tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "policy.safetensors"
    save_policy(path, tiny_policy, torch.float32)
    return path


def settings(path, **changes):
    return PolicySettings(path, **{"sai": "fixed:0.5", "video_steps": 2, "action_steps": 4, **changes})


def test_the_warm_up_leaves_no_trace(checkpoint, tiny_policy, made_up_embedding, make_episode):
    engine = load_engine(settings(checkpoint), made_up_embedding)
    assert engine.memory.observations == 0
    assert engine.memory.digest() == tiny_policy.model.initial_memory(1).digest()
    loaded, direct = make_episode("fixed:0.5"), make_episode("fixed:0.5")
    loaded.engine = engine
    for (chunk, _), (expected, _) in zip(loaded.run(3), direct.run(3), strict=True):
        np.testing.assert_array_equal(chunk.rows, expected.rows)


def test_untrained_weights_give_other_chunks_and_say_so(checkpoint, made_up_embedding, make_episode):
    chunks = []
    for seed in (None, 1, 2):
        episode = make_episode()
        episode.engine = load_engine(settings(checkpoint, untrained_seed=seed), made_up_embedding)
        chunks.append(episode.run(1)[0][0])
    assert [chunk.policy_hash for chunk in chunks[1:]] == ["random-1", "random-2"]
    assert not np.array_equal(chunks[0].rows, chunks[1].rows)
    assert not np.array_equal(chunks[1].rows, chunks[2].rows)


def test_one_torch_thread_is_used(checkpoint, made_up_embedding):
    load_engine(settings(checkpoint), made_up_embedding)
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"sai": "adaptiv"}, ReEntryError),
        ({"sai": "adaptive"}, CalibrationError),
        ({"action_steps": 0}, ReEntryError),
        ({"encoder_hash": "0" * 64}, CheckpointError),
    ],
)
def test_what_does_not_fit_is_refused(checkpoint, made_up_embedding, changes, error):
    with pytest.raises(error):
        load_engine(settings(checkpoint, **changes), made_up_embedding)


def test_adaptive_runs_by_the_calibration_beside_the_checkpoint(checkpoint, tmp_path, made_up_embedding):
    copy = tmp_path / checkpoint.name
    for name in (checkpoint.name, checkpoint.with_suffix(".json").name):
        (tmp_path / name).write_bytes(checkpoint.with_name(name).read_bytes())
    policy, plan = load_policy(copy), Plan(2, 4)
    everything = Calibration(
        plan, 0.95, (1e9,), ((0.0,) * len(refinements(plan)),), policy.policy_hash, policy.encoder_hash
    )
    save_calibration(copy.with_name(FILE_NAME), everything)
    engine = load_engine(settings(copy, sai="adaptive"), made_up_embedding)
    assert engine._re_entry.calibration == everything
    with pytest.raises(CalibrationError, match="clwm calibrate"):
        load_engine(settings(copy, sai="adaptive", untrained_seed=1), made_up_embedding)
