"""Completing a draft by a few evaluations: what they are, and what their numbers must be."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clwm_policy.engine.re_entry import START, Plan, Point
from clwm_policy.engine.refinement import Refinement, refinements
from clwm_policy.model.flow import flow_times

plans = st.builds(Plan, st.integers(1, 30), st.integers(1, 30))
SHAPE = (1, 4, 3)


def drafted(velocity, steps: int, seed: int) -> tuple[list[torch.Tensor], list[float]]:
    """Euler states of `velocity` at all flow times."""
    times = flow_times(steps)
    states = [torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)]
    for s, s_next in zip(times[:-1], times[1:], strict=True):
        states.append(states[-1] + (s_next - s) * velocity(states[-1], s))
    return states, times


def refined(refinement: Refinement, velocity) -> torch.Tensor:
    while refinement.result is None:
        refinement.renew(velocity(*refinement.pending))
    return refinement.result


def believing(clean):
    """The velocity of a model that believes in clean(x, s)."""
    return lambda x, s: (clean(x, s) - x) / (1.0 - s)


@st.composite
def cases(draw):
    steps = draw(st.integers(1, 12))
    chosen = sorted(draw(st.sets(st.integers(0, steps - 1), min_size=1)))
    return steps, chosen, draw(st.integers(0, 2**31 - 1))


@given(plans)
def test_points_run_to_the_end_of_the_program_and_each_later_one_costs_less(plan):
    ways = refinements(plan)
    points, evaluations = list(ways), list(ways.values())
    assert points == sorted(points) and START not in points
    assert points[-1] == Point(plan.video_steps, plan.action_steps) and evaluations[-1].nfe == 0
    costs = [steps.nfe for steps in evaluations]
    assert costs == sorted(set(costs), reverse=True)


@given(plans)
def test_a_chunk_is_resumed_at_its_first_evaluation_and_its_last_step_is_evaluated(plan):
    for point, steps in list(refinements(plan).items())[:-1]:
        assert point == (Point(steps.video[0], 0) if steps.video else Point(plan.video_steps, steps.action[0]))
        assert steps.action[-1] == plan.action_steps - 1
        for chosen, count in ((steps.video, plan.video_steps), (steps.action, plan.action_steps)):
            assert list(chosen) == sorted(set(chosen)) and all(0 <= step < count for step in chosen)


def test_the_reference_program_of_ten_and_ten_steps_takes_at_most_five_evaluations():
    assert max(steps.nfe for steps in refinements(Plan(10, 10)).values()) == 5


def test_the_documented_evaluations_are_those_of_the_code():
    plan = Plan(10, 10)
    made = [
        [
            plan.name(point),
            ", ".join(f"{step / plan.video_steps:g}" for step in steps.video),
            ", ".join(f"{step / plan.action_steps:g}" for step in steps.action),
            str(steps.nfe),
        ]
        for point, steps in reversed(refinements(plan).items())
    ]
    text = (Path(__file__).parents[3] / "docs" / "adaptive.md").read_text()
    table = text.partition("| resumed at |")[2].partition("| start |")[0]
    assert [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[2:]] == made


@given(cases())
def test_where_nothing_differs_the_draft_is_the_result(case):
    steps, chosen, seed = case
    velocity = believing(lambda x, s: torch.tanh(x) + s)
    states, times = drafted(velocity, steps, seed)
    result = refined(Refinement(states, times, torch.zeros(SHAPE), chosen), velocity)
    np.testing.assert_allclose(result, states[-1], atol=1e-9)


@given(cases())
def test_one_evaluation_finds_a_belief_that_does_not_depend_on_the_state_whatever_was_corrected_before(case):
    steps, chosen, seed = case
    states, times = drafted(believing(lambda x, s: torch.full(SHAPE, 0.3, dtype=torch.float64)), steps, seed)
    wrong = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    other = torch.full(SHAPE, -0.8, dtype=torch.float64)
    result = refined(Refinement(states, times, wrong, chosen), believing(lambda x, s: other))
    np.testing.assert_allclose(result, other, atol=1e-9)


@given(cases())
def test_the_last_step_alone_is_an_euler_step_from_the_corrected_state(case):
    steps, _, seed = case
    states, times = drafted(believing(lambda x, s: torch.sin(3.0 * x)), steps, seed)
    other, correction = believing(lambda x, s: torch.cos(2.0 * x)), torch.full(SHAPE, 0.1, dtype=torch.float64)
    x, s = states[-2] + times[-2] * correction, times[-2]
    result = refined(Refinement(states, times, correction, [steps - 1]), other)
    np.testing.assert_allclose(result, x + (1.0 - s) * other(x, s), atol=1e-9)


@given(cases())
def test_what_is_not_corrected_and_does_not_move_stays_as_it_is_to_the_bit(case):
    # The committed prefix: its states are the same all along, its velocity is zero.
    steps, chosen, seed = case
    states, times = drafted(lambda x, s: torch.zeros(SHAPE, dtype=torch.float64), steps, seed)
    refinement = Refinement(states, times, torch.zeros(SHAPE, dtype=torch.float64), chosen)
    assert torch.equal(refined(refinement, lambda x, s: torch.zeros(SHAPE, dtype=torch.float64)), states[0])


def test_without_evaluations_the_correction_alone_is_added():
    states, times = drafted(lambda x, s: x, 4, 0)
    refinement = Refinement(states, times, torch.full(SHAPE, 0.5), ())
    assert torch.equal(refinement.result, states[-1] + 0.5)
    with pytest.raises(IndexError):
        _ = refinement.pending


def test_on_a_curved_path_more_evaluations_come_closer_to_the_whole_integration():
    def clean(shift):
        return lambda x, s: torch.tanh(2.0 * (1.0 - s) * x + shift)

    steps, gaps = 10, {}
    for chosen in ((9,), (6, 9), (5, 7, 9)):
        gaps[chosen] = 0.0
        for seed in range(40):
            (states, times), (whole, _) = (drafted(believing(clean(shift)), steps, seed) for shift in (0.0, 0.4))
            preview = clean(0.4)(states[0], 0.0) - clean(0.0)(states[0], 0.0)
            result = refined(Refinement(states, times, preview, chosen), believing(clean(0.4)))
            gaps[chosen] += float((result - whole[-1]).abs().max())
    assert gaps[(9,)] > gaps[(6, 9)] > gaps[(5, 7, 9)]
