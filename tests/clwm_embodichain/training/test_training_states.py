"""States of a training: the last three and the best, whole or not there; the newest readable one is gone on from."""

import pytest
import torch

from clwm_embodichain.training.states import StateError, TrainingStates, write_state


def state(step, value=1.0):
    return {"model": {"weight": torch.full((2,), value)}, "ema": {"weight": torch.zeros(2)}, "steps_done": step}


@pytest.fixture
def states(tmp_path):
    return TrainingStates(tmp_path, "trainer")


def resumed_step(states):
    found = []
    resumed = states.resume(lambda state: found.append(state["steps_done"]))
    return (found[0] if found else None), resumed


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_last_three_and_the_best_are_kept(states, tmp_path):
    for step in (5, 10, 90, 100, 1000):
        states.save(step, state(step), is_best=step == 10)
    assert names(tmp_path) == [
        "trainer-00000090.pt", "trainer-00000100.pt", "trainer-00001000.pt", "trainer-best.pt",
    ]  # fmt: skip
    assert torch.load(states.best, weights_only=True)["steps_done"] == 10


def test_nothing_to_resume_is_nothing(states):
    assert resumed_step(states)[1].path is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half", b"\x80\x04not a pickle", None])
def test_the_newest_readable_one_is_taken_and_those_that_were_skipped_are_named(states, content):
    for step in (1, 2, 3):
        path = states.save(step, state(step))
    path.write_bytes(path.read_bytes()[:-50] if content is None else content)
    step, resumed = resumed_step(states)
    assert step == 2 and resumed.path.name == "trainer-00000002.pt"
    (said,) = resumed.skipped
    assert "trainer-00000003.pt cannot be read" in said


def test_a_state_with_weights_that_are_not_finite_is_skipped_by_name(states, tmp_path):
    states.save(1, state(1))
    torch.save(state(2, float("nan")), tmp_path / "trainer-00000002.pt")
    step, resumed = resumed_step(states)
    assert step == 1 and "trainer-00000002.pt: 'model.weight' is not finite" in resumed.skipped[0]


def test_the_best_is_gone_on_from_when_no_other_can_be_read(states, tmp_path):
    states.save(4, state(4), is_best=True)
    (tmp_path / "trainer-00000004.pt").unlink()
    (tmp_path / "trainer-00000005.pt").write_bytes(b"")
    assert resumed_step(states)[0] == 4


def test_none_that_can_be_read_is_an_error_with_all_names(states, tmp_path):
    for step in (1, 2):
        (tmp_path / f"trainer-{step:08d}.pt").write_bytes(b"")
    with pytest.raises(StateError, match=r"trainer-00000002.pt .*trainer-00000001.pt .*move them away"):
        resumed_step(states)


def test_weights_that_are_not_finite_are_not_written_and_the_last_state_stays(states, tmp_path):
    states.save(1, state(1), is_best=True)
    with pytest.raises(StateError, match="'model.weight' is not finite"):
        states.save(2, state(2, float("inf")), is_best=True)
    assert names(tmp_path) == ["trainer-00000001.pt", "trainer-best.pt"] and resumed_step(states)[0] == 1


def test_an_end_in_the_middle_of_writing_leaves_what_was_there(states, tmp_path, monkeypatch):
    states.save(1, state(1))

    def cut_short(state, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", cut_short)
    for path in (tmp_path / "trainer-00000001.pt", tmp_path / "trainer-00000002.pt"):
        with pytest.raises(KeyboardInterrupt):
            write_state(path, state(2))
    assert resumed_step(states)[0] == 1


def test_a_training_of_an_earlier_release_is_gone_on_with(states, tmp_path):
    write_state(tmp_path / "trainer.pt", state(7))
    assert resumed_step(states)[0] == 7
    states.save(8, state(8))
    assert resumed_step(states)[0] == 8
