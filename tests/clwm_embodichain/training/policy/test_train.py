"""`clwm train-policy --online` from start to checkpoint, and on from there."""

import json
import multiprocessing
import os
import signal

import pytest
import typer

from clwm_common.files.model_files import ModelFiles
from clwm_embodichain.stream import sources as training_sources
from clwm_embodichain.training.policy import train as train_policy
from clwm_policy.model.checkpoint import load_policy

MODEL = ModelFiles.load("nano")


def train(out, **changes):
    settings = {"streams": 2, "steps": 2, "capacity": 2, "reuse": 3, "minutes": 60.0} | changes
    train_policy.main(online=True, encoder=MODEL.encoder, out=out, export=out / "policy.safetensors", **settings)
    return json.loads((out / "policy.json").read_text())["facts"]


def test_an_online_training_makes_a_policy_and_goes_on_with_episodes_that_it_has_not_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(training_sources, "HELD_OUT_EPISODES", 1)
    first = train(tmp_path)
    seeds_begun = json.loads((tmp_path / "stream.json").read_text())["next_seed"]
    assert first["steps"] == 2 and first["episodes"] >= 2 and first["walks"] >= 2
    second = train(tmp_path, steps=4)
    assert second["steps"] == 4
    assert second["episodes"] >= first["episodes"] + 2 and second["walks"] > first["walks"]
    assert json.loads((tmp_path / "stream.json").read_text())["next_seed"] >= seeds_begun + 2
    assert load_policy(tmp_path / "policy.safetensors").facts["stream"]["reuse"] == 3


def test_seeds_that_are_used_up_are_refused_before_anything_is_started(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train_policy, "held_out_episodes", lambda *args: [])
    before = {"episodes": 1, "observations": 1, "walks": 1, "next_seed": 899_999}
    (tmp_path / "stream.json").write_text(json.dumps(before))
    with pytest.raises(typer.Exit):
        train(tmp_path)
    assert "used up the seeds below 900000" in " ".join(capsys.readouterr().out.split())


def test_ctrl_c_ends_an_online_training_with_what_it_has_learned(tmp_path, monkeypatch):
    monkeypatch.setattr(training_sources, "HELD_OUT_EPISODES", 1)
    step = train_policy.PolicyTrainer.step

    def interrupted(trainer):
        os.kill(os.getpid(), signal.SIGINT)
        return step(trainer)

    monkeypatch.setattr(train_policy.PolicyTrainer, "step", interrupted)
    with pytest.raises(typer.Exit) as ended:
        train(tmp_path, steps=1000)
    assert ended.value.exit_code == 130
    assert json.loads((tmp_path / "policy.json").read_text())["facts"]["steps"] == 1
    assert (tmp_path / "trainer-00000001.pt").exists()
    assert not multiprocessing.active_children()


def test_streams_that_learners_cannot_share_are_refused_before_anything_is_simulated(tmp_path, capsys):
    with pytest.raises(typer.Exit):
        train(tmp_path, cluster="ray", learners=4, streams=6)
    assert "--streams 6 cannot be shared equally by --learners 4" in " ".join(capsys.readouterr().out.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("changes", [{}, {"expansion": "all"}, {"goals": "pot", "expansion": "physics"}])
def test_more_looks_than_one_are_refused_where_episodes_have_one(tmp_path, capsys, changes):
    with pytest.raises(typer.Exit):
        train(tmp_path, looks=3, **changes)
    told = " ".join(capsys.readouterr().out.split())
    assert "--looks 3 are of episodes that are simulated meanwhile with visual expansion; add --online" in told
