"""Trainings side by side: equal times only, and the errors of the last time that each was kept."""

import json

import pytest

from clwm_embodichain.training.curves import Curves
from clwm_embodichain.training.encoder.compare import _LOSSES, RunsDiffer, compare
from clwm_embodichain.training.states import TrainingStates


@pytest.fixture
def run(tmp_path):
    """(name, minutes, tray_mm, is_kept) -> folder of a training"""

    def make(name, minutes, tray_mm, is_kept=True):
        folder = tmp_path / name
        curves = Curves(folder / "curves.jsonl")
        curves.append(dict.fromkeys(_LOSSES, 1.0) | {"minutes": minutes - 0.1, "step": 20})
        if is_kept:
            for at, error in ((minutes / 2, 2 * tray_mm), (minutes, tray_mm)):
                curves.append({"minutes": at, "step": 25, "tray_mm": error, "looks_apart": 0.5})
        TrainingStates(folder, "state").save(25, {"config": {"family": name}})
        return folder

    return make


def test_each_trainings_last_errors_stand_beside_its_settings(run):
    found = compare({"A": run("vit", 10.0, 20.0), "B": run("convnext", 10.2, 30.0)})
    assert [each["held_out"]["tray_mm"] for each in found.values()] == [20.0, 30.0]
    assert [each["config"]["family"] for each in found.values()] == ["vit", "convnext"]
    assert json.dumps(found)


def test_trainings_of_other_lengths_are_not_compared(run):
    with pytest.raises(RunsDiffer, match=r"B was kept at 14\.0 minutes, the first at 10\.0"):
        compare({"A": run("vit", 10.0, 20.0), "B": run("convnext", 14.0, 30.0)})


def test_a_training_that_was_never_kept_is_named(run):
    with pytest.raises(RunsDiffer, match="B: .*convnext has no held-out errors yet"):
        compare({"A": run("vit", 10.0, 20.0), "B": run("convnext", 10.0, 30.0, is_kept=False)})
