"""The flow: its path, its integration against a known solution, and noise that can be replayed."""

import math

import pytest
import torch

from clwm_policy.model.flow import clamp_prefix, flow_times, integrate, noise, point_on_path, row_times


def test_euler_recovers_the_data_exactly_on_the_straight_path():
    eps, clean = torch.randn(4, 16, 30), torch.randn(4, 16, 30)
    for steps in (1, 3, 10):
        found = integrate(lambda x, s: clean - eps, eps, steps)
        torch.testing.assert_close(found, clean, atol=1e-5, rtol=0)


def test_euler_converges_at_first_order_to_the_known_solution_of_a_linear_ode():
    start = torch.ones(1, dtype=torch.float64)
    errors = [abs(float(integrate(lambda x, s: -2.0 * x, start, steps)) - math.exp(-2.0)) for steps in (50, 100, 200)]
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(2.0, rel=0.05)


def test_gaussian_flow_maps_noise_to_the_data_distribution():
    # For data N(m, v^2) and independent noise the marginal velocity is known in closed form.
    mean, deviation = 3.0, 0.5

    def velocity(x, s):
        variance = (1 - s) ** 2 + (s * deviation) ** 2
        slope = (s * deviation**2 - (1 - s)) / variance
        return mean + slope * (x - s * mean)

    found = integrate(
        velocity, torch.randn(20000, generator=torch.Generator().manual_seed(0), dtype=torch.float64), 400
    )
    assert float(found.mean()) == pytest.approx(mean, abs=0.02)
    assert float(found.std()) == pytest.approx(deviation, abs=0.02)


def test_path_runs_from_noise_to_data_and_its_slope_is_the_velocity():
    eps, clean = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    zero, one = torch.zeros(2), torch.ones(2)
    assert torch.equal(point_on_path(eps, clean, zero), eps)
    assert torch.equal(point_on_path(eps, clean, one), clean)
    slope = (point_on_path(eps, clean, one * 0.75) - point_on_path(eps, clean, one * 0.25)) / 0.5
    torch.testing.assert_close(slope, clean - eps, atol=1e-5, rtol=1e-5)


def test_noise_depends_on_seed_chunk_and_stage_and_on_nothing_else():
    first = noise(7, 3, (1, 16, 30), "action")
    torch.manual_seed(123)
    torch.randn(5)
    assert torch.equal(first, noise(7, 3, (1, 16, 30), "action"))
    for other in (
        noise(8, 3, (1, 16, 30), "action"),
        noise(7, 4, (1, 16, 30), "action"),
        noise(7, 3, (1, 16, 30), "video"),
    ):
        assert not torch.equal(first, other)


def test_replayed_noise_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.randn(3)
    torch.manual_seed(0)
    noise(1, 2, (4,), "video")
    assert torch.equal(torch.randn(3), expected)


def test_committed_rows_stand_at_flow_time_one():
    times = row_times(0.25, prefix_rows=4, rows=16, batch=2)
    assert times.shape == (2, 16)
    assert (times[:, :4] == 1.0).all() and (times[:, 4:] == 0.25).all()
    x, prefix = torch.randn(2, 16, 30), torch.randn(2, 4, 30)
    clamped = clamp_prefix(x, prefix)
    assert torch.equal(clamped[:, :4], prefix) and torch.equal(clamped[:, 4:], x[:, 4:])


def test_no_steps_is_refused():
    with pytest.raises(ValueError, match="0 flow steps"):
        flow_times(0)
