"""What all trainings share: the moving average of the weights, and settings that are refused by name."""

import math

import pytest
import torch

from clwm_embodichain.training.memory.trainer import MemoryTrainingSettings
from clwm_embodichain.training.policy.trainer import TrainingSettings
from clwm_embodichain.training.trainer import moving_average


def test_the_average_is_bit_for_bit_that_of_its_formula():
    torch.manual_seed(0)
    model = torch.nn.Linear(5, 3)
    average = moving_average(model, decay=0.6, ramp=9.0)
    expected = [weight.detach().clone() for weight in model.parameters()]
    for step in range(1, 30):
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight))
        average.update_parameters(model)
        for ours, weight in zip(expected, model.parameters(), strict=True):
            ours.lerp_(weight.detach(), 1.0 - min(0.6, step / (step + 9.0)))
        assert all(map(torch.equal, expected, average.module.parameters())), step


@pytest.mark.parametrize("settings", [TrainingSettings, MemoryTrainingSettings])
@pytest.mark.parametrize("name", ["minutes", "steps", "streams", "learning_rate", "warmup_steps", "gradient_clip"])
@pytest.mark.parametrize("value", [0, -1, math.nan, "8"])
def test_a_setting_that_makes_no_sense_is_refused_by_name_and_value(settings, name, value):
    with pytest.raises(ValueError, match=f"setting {name} is {value!r}; .*should be"):
        settings(**{name: value})


def test_a_setting_that_there_is_none_of_is_refused():
    with pytest.raises(ValueError, match="setting minuets is 1"):
        TrainingSettings(minuets=1)


def test_an_odd_number_of_streams_cannot_be_of_two_sides():
    with pytest.raises(ValueError, match="setting streams is 3; .*multiple of 2"):
        MemoryTrainingSettings(streams=3)
